"""Public functions say what they take and give, and mypy finds users' mistakes."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_overloads, get_type_hints

import pytest

import userlogfeat
from userlogfeat.logs import read_logs, reading

PACKAGE = Path(userlogfeat.__file__).parent
SCRIPT = Path(__file__).parent / "typing" / "user_script.py"
MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if not re.search(r"/_(?!_init__)", str(path.relative_to(PACKAGE.parent)))
)


def public_functions(node, prefix=""):
    """Yield name and definition of public functions, and methods of public classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public_functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.If | ast.Try):
            yield from public_functions(child, prefix)
        elif isinstance(child, ast.FunctionDef):
            if not child.name.startswith("_") or child.name == "__init__":
                yield prefix + child.name, child


def not_annotated(name, function):
    """What a function does not say the type of."""
    own = [*function.args.posonlyargs, *function.args.args]
    static = any(ast.unparse(d) == "staticmethod" for d in function.decorator_list)
    own = own if "." not in name or static else own[1:]
    own += [*function.args.kwonlyargs, function.args.vararg, function.args.kwarg]
    missing = [arg.arg for arg in own if arg and arg.annotation is None]
    return missing + ["return"] * (function.returns is None)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_public_functions_are_annotated(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    missing = {
        f"{name} (line {function.lineno})": not_annotated(name, function)
        for name, function in public_functions(tree)
    }
    assert {name: what for name, what in missing.items() if what} == {}


def test_a_function_without_annotations_is_found():
    """The judge itself."""
    tree = ast.parse(
        "def f(a: int, *b, c=1): ...\n"
        "class A:\n"
        "    def __init__(self, x: int): ...\n"
        "    def _g(self, x): ...\n"
        "    @staticmethod\n"
        "    def h(x) -> None: ...\n"
    )
    found = [not_annotated(*pair) for pair in public_functions(tree)]
    assert found == [["c", "b", "return"], ["return"], ["x"]]


def test_overloads_have_all_parameters():
    expected = [*inspect.signature(read_logs).parameters]
    overloads = get_overloads(read_logs)
    assert len(overloads) == 2
    for overload in overloads:
        *before, backend, options = inspect.signature(overload).parameters.values()
        (shared,) = get_args(eval(options.annotation, vars(reading)))
        names = [parameter.name for parameter in before]
        assert [*names, *shared.__annotations__, backend.name] == expected
        known = get_type_hints(read_logs, localns={"SparkInteractions": object})
        assert get_type_hints(shared).items() <= known.items()


@pytest.mark.slow
def test_mypy_finds_the_mistakes_of_users(tmp_path):
    pytest.importorskip("mypy")
    options = ["--config-file", SCRIPT.parent / "mypy.ini", "--cache-dir", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, SCRIPT],
        env={**os.environ, "MYPYPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"user_script\.py:(\d+): error", done.stdout)
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    planted = [i for i, line in enumerate(lines, 1) if "# error" in line]
    assert len(planted) == 21
    assert sorted(set(map(int, found))) == planted, done.stdout + done.stderr
