"""Count the lines of code of each package, now and at another revision.

    python benchmarks/code_lines.py REVISION

A line of code is neither blank, nor a comment, nor part of a docstring.
"""

import argparse
import ast
import subprocess
import tokenize
from collections import Counter
from io import StringIO
from pathlib import PurePosixPath

from reporting import HERE, record

ROOT = HERE.parent
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = ast.Module | ast.ClassDef | FUNCTION
NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


def code_lines(source):
    """Number of lines of code in Python source."""
    lines = set()
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            first = node.body[0]
            lines -= set(range(first.lineno, first.end_lineno + 1))
    return len(lines)


def lines_of_kinds(source):
    """Number of lines of imports, of signatures and of errors that are raised."""
    kinds = {"imports": set(), "signatures": set(), "errors": set()}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            kinds["imports"].update(range(node.lineno, node.end_lineno + 1))
        elif isinstance(node, FUNCTION):
            parts = [*ast.walk(node.args), node.returns or node.args]
            ends = [part.end_lineno for part in parts if hasattr(part, "end_lineno")]
            last = max([node.lineno, *ends])
            if last > node.lineno:
                last = max(last, node.body[0].lineno - 1)
            kinds["signatures"].update(range(node.lineno, last + 1))
        elif isinstance(node, ast.Raise):
            kinds["errors"].update(range(node.lineno, node.end_lineno + 1))
    return Counter({kind: len(lines) for kind, lines in kinds.items()})


def git(*arguments):
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def sources(revision):
    """Path and source of each file of the library; of the working tree for ``""``."""
    listing = ["ls-tree", "-r", "--name-only", revision] if revision else ["ls-files"]
    for path in git(*listing, "userlogfeat").splitlines():
        if path.endswith(".py"):
            if revision:
                yield path, git("show", f"{revision}:{path}")
            elif (ROOT / path).exists():
                yield path, (ROOT / path).read_text("utf-8")


def count(revision=""):
    """Lines of code and files by package, what lies beside packages as one; kinds."""
    lines, files, kinds = Counter(), Counter(), Counter()
    for path, source in sources(revision):
        parts = PurePosixPath(path).parts
        package = parts[1] if len(parts) > 2 else "(files beside packages)"
        lines[package] += code_lines(source)
        files[package] += 1
        kinds += lines_of_kinds(source)
    return lines, files, kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="what to compare with, as git names it")
    revision = parser.parse_args().revision
    before, files_before, kinds_before = count(revision)
    now, files_now, kinds_now = count()
    rows = [
        [
            package,
            before[package],
            now[package],
            files_before[package],
            files_now[package],
        ]
        for package in sorted({*before, *now})
    ]
    totals = (sum(c.values()) for c in (before, now, files_before, files_now))
    rows.append(["all", *totals])
    of_kinds = (
        f"{part}: {kinds['imports']} lines of imports, {kinds['signatures']} of "
        f"signatures, {kinds['errors']} of errors that are raised, "
        f"{sum(lines.values()) - sum(kinds.values())} of all else"
        for part, kinds, lines in (
            ("Before", kinds_before, before),
            ("now", kinds_now, now),
        )
    )
    record(
        "code_lines",
        "Lines of code by package, without docstrings, comments and blank lines",
        ["package", "lines before", "lines now", "files before", "files now"],
        rows,
        [
            f"Before: revision {git('rev-parse', '--short', revision).strip()}.",
            "; ".join(of_kinds) + ".",
        ],
    )


if __name__ == "__main__":
    main()
