"""Imports go down only, and `import userlogfeat` is cheap."""

import ast
import graphlib
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import userlogfeat

PACKAGE = Path(userlogfeat.__file__).parent
# From the ground up: a module imports from lower rows only. Within a row the files of
# one folder may share (networks); siblings in estimators may not.
ROWS = [
    {"_pages", "_typing"},
    {"_check", "_digests", "_groups", "_ids", "_labels", "_optional", "_parquet"}
    | {"_progress", "_registry", "_spaces", "_stamps", "_templates", "_text_lines"}
    | {"_threads", "_untrusted"},
    {"_licence", "_locks", "_spark", "_text_tables"},
    {"_files", "_onnx"},
    {"logs", "catalogue", "audio", "frontends", "losses", "networks", "evaluation"}
    | {"id_tables", "encoders"},
    {"factorization", "factor_files", "training", "weights", "tables", "datasets"}
    | {"feedback", "users"},
    {"estimators"},
    {"extraction", "forgetting"},
    {"export"},
    {"recommendation"},
    {"report", "comparison", "inspection", "mirex", "exploration"},
    {"cli"},
]
# What may be imported from the same row.
PAIRS = {
    ("_labels", "_groups"),  # words for missing ones
    ("catalogue", "audio"),  # which suffixes are audio
    ("networks", "frontends"),  # its type alone
    ("networks", "encoders"),  # its type alone; encoders use mel and threads
    ("encoders", "frontends"),
    ("users", "training"),
    ("users", "weights"),
    ("id_tables", "catalogue"),
    ("report", "comparison"),
    ("mirex", "report"),
    ("exploration", "report"),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def unit(module):
    """The name of a dotted module in ROWS: its first part below the package."""
    return module.split(".")[1]


def row(name):
    return next((i for i, names in enumerate(ROWS) if name in names), None)


def imported(path):
    """Dotted names of the userlogfeat modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "userlogfeat":
                found |= {f"userlogfeat.{alias.name}" for alias in node.names}
            elif node.module.startswith("userlogfeat."):
                found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {
                alias.name
                for alias in node.names
                if alias.name.startswith("userlogfeat.")
            }
    return found


def dotted(path):
    return ".".join(["userlogfeat", *path.relative_to(PACKAGE).with_suffix("").parts])


def run_imports(source, known):
    """Those of the known modules that a source imports, late or not.

    Imports for type checkers alone are none.
    """
    nodes, found = [ast.parse(source)], set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
            continue
        if isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & known or {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        nodes += ast.iter_child_nodes(node)
    return found & known


def import_cycle(sources):
    """The first cycle among modules, given as dict of dotted name to source."""
    graph = {
        name: run_imports(source, set(sources)) - {name}
        for name, source in sources.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: dotted(path))
def test_imports_go_down(path):
    me = dotted(path)
    if me in ("userlogfeat.__init__", "userlogfeat.__main__"):
        return
    assert row(unit(me)) is not None, f"{me} has no row: give it one in ROWS"
    for other in imported(path):
        mine, theirs = unit(me), unit(other)
        if (mine, theirs) in PAIRS or (theirs, mine) in PAIRS:
            continue
        if mine == theirs and (mine != "estimators" or "estimators._" in other):
            continue
        assert row(theirs) is not None, f"{me} imports {other}, which has no row"
        assert row(theirs) < row(mine), f"{me} imports {other}: not downwards"


def test_contributing_draws_this_house():
    """The rows are drawn from the top down; a long one goes on in the next line."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text("utf-8")
    picture = text.partition("## Where things are")[2].partition("\n    ")[2]
    drawn = [line.split() for line in picture.partition("\n\n")[0].splitlines()]
    names = [name for row in reversed(ROWS) for name in sorted(row)]
    assert sorted(name for line in drawn for name in line) == sorted(names)
    for line in drawn:
        assert len({row(name) for name in line}) == 1, f"not one row: {line}"
    heights = [row(line[0]) for line in drawn]
    assert heights == sorted(heights, reverse=True)


def test_the_map_names_every_package():
    rows = re.findall(r"^(\w+)  ", userlogfeat.__doc__, re.MULTILINE)
    names = {unit(dotted(p)) for p in MODULES} - {"__init__", "__main__", "pretrained"}
    assert {name for name in names if not name.startswith("_")} == set(rows)


def test_rows_name_what_exists():
    units = {unit(dotted(path)) for path in MODULES if path.parent == PACKAGE}
    units |= {path.parent.name for path in MODULES}
    named = set().union(*ROWS, *PAIRS)
    assert named - units == set()


def unnamed(folder):
    """Files of a package that its first lines do not name, in a table or as code."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    rows = re.findall(r"^((?:\w+, )*\w+)  ", text, re.MULTILINE)
    named = {name for row in rows for name in row.split(", ")}
    named |= set(re.findall(r"`(\w+)`", text))
    return sorted({path.stem for path in folder.glob("*.py")} - named - {"__init__"})


@pytest.mark.parametrize(
    "folder",
    [
        path.parent
        for path in PACKAGE.rglob("__init__.py")
        # A command a file, and a set a file: their names are those of the files.
        if path.parent.name not in ("userlogfeat", "cli", "datasets")
    ],
    ids=lambda folder: folder.name,
)
def test_a_package_says_what_its_files_are(folder):
    assert unnamed(folder) == []


def test_an_upward_import_is_found(tmp_path):
    """The judge itself: a file that imports from above is seen to do so."""
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from userlogfeat.estimators.cf import CFEmbedding\n")
    assert imported(bad) == {"userlogfeat.estimators.cf"}


def test_no_module_imports_itself_through_others():
    """Inside of packages neither, and not inside of functions."""
    sources = {
        dotted(path).removesuffix(".__init__"): path.read_text() for path in MODULES
    }
    del sources["userlogfeat"]  # the map, which loads names on first use
    assert import_cycle(sources) == []


def test_a_cycle_by_a_late_import_is_found():
    late = "def f():\n    from p import b\n"
    assert set(import_cycle({"p.a": late, "p.b": "import p.a", "p.c": ""})) == {
        "p.a",
        "p.b",
    }
    types = "if TYPE_CHECKING:\n    from p.b import B\n"
    assert import_cycle({"p.a": types, "p.b": "from p.a import A"}) == []


@pytest.mark.parametrize("module", ["userlogfeat", "userlogfeat.cli"])
def test_import_is_cheap(module):
    """The command imported pyarrow and numpy for two functions of `extract`."""
    code = (
        f"import sys, {module}; "
        "heavy = {'torch', 'pyspark', 'matplotlib', 'sklearn', 'polars', 'pyarrow'}; "
        "print(sorted((heavy | {'numpy', 'scipy'}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_command_runs_by_name_alone(monkeypatch):
    """Tools that import every module ran it."""
    monkeypatch.setattr(sys, "argv", ["userlogfeat", "--version"])
    runpy.run_module("userlogfeat.__main__", run_name="userlogfeat.__main__")
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("userlogfeat", run_name="__main__")


@pytest.mark.parametrize("name", userlogfeat.__all__)
def test_public_names_load(name):
    assert hasattr(userlogfeat, name)


def test_type_checkers_see_the_public_names():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    seen = {
        alias.name: node.module.removeprefix("userlogfeat.")
        for node in imports
        for alias in node.names
        if alias.asname == alias.name  # else it is not public, by the rules of stubs
    }
    assert seen == userlogfeat._PUBLIC
    assert userlogfeat.__all__ == ["__version__", *userlogfeat._PUBLIC]


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        userlogfeat.Nothing  # noqa: B018
