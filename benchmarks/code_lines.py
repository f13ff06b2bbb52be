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
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
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
    """Lines of code, and files, by package; what lies beside packages is one."""
    lines, files = Counter(), Counter()
    for path, source in sources(revision):
        parts = PurePosixPath(path).parts
        package = parts[1] if len(parts) > 2 else "(files beside packages)"
        lines[package] += code_lines(source)
        files[package] += 1
    return lines, files


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="what to compare with, as git names it")
    revision = parser.parse_args().revision
    (before, files_before), (now, files_now) = count(revision), count()
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
    record(
        "code_lines",
        "Lines of code by package, without docstrings, comments and blank lines",
        ["package", "lines before", "lines now", "files before", "files now"],
        rows,
        [f"Before: revision {git('rev-parse', '--short', revision).strip()}."],
    )


if __name__ == "__main__":
    main()
