"""Code, docstrings and messages have the words of the field, and one word per thing."""

import ast
import itertools
import re
from pathlib import Path

import pytest

import userlogfeat

PACKAGE = Path(userlogfeat.__file__).parent
# Words that say in a private way what torch, scikit-learn and music information
# retrieval have a word for: encode, train, print, shard, overlap.
PRIVATE = re.compile(
    r"(?<![a-z])(hear|hears|heard|hearing|hearers?|teach|teaches|taught|tell|tells|told"
    r"|telling|retaught|overheard)(?![a-z])",
    re.IGNORECASE,
)
# "20 labels a class": the library writes "per", in one word and everywhere. A braced
# number is one of a message: f"{size} a class".
PER = re.compile(
    r"(\}|\b(\d+|labels?|clips|examples|songs|once|one|row|class|tensor|array|path|entry"
    r"|features|bytes)) an? (class|clip|core|line|row|item|artist)\b",
    re.IGNORECASE,
)
FILE_POSITION = re.compile(r"(\.|def )tell\b|\btell=")  # method of Python's files
# How neither a docstring nor the text of a parameter begins.
OPENING = re.compile(r"(What|Of|Whose|Say|Says)\b")
FILES = sorted(PACKAGE.rglob("*.py"))
ROOT = Path(__file__).resolve().parents[1]
MADE = {"_build", "auto_examples", "generated", "reference"}  # by Sphinx, inside docs
TEXTS = sorted(
    [
        *(
            file
            for file in (ROOT / "docs").rglob("*")
            if file.suffix in {".md", ".py"} and not MADE & set(file.parts)
        ),
        *(ROOT / "examples").glob("*.py"),
        *(ROOT / "benchmarks").glob("*.py"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    ]
)


# Names in files that users have, which loaders still read; and a benchmark of others.
NAMES = re.compile(
    r'"n_taught"|\bHEAR\b|\bHearModel\b|\bexport[./]hear\b|\bhear  '
    r"|\bhear-?(?:validator|eval)\w*"
)


def words(text):
    """The text with identifiers cut into their words: ``hear_all`` is two."""
    text = NAMES.sub("", text)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("_", " ")


def openings(source):
    """First words of the docstrings, and of the parameter texts in them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            lines = (ast.get_docstring(node) or "").splitlines()
            yield from lines[:1]
            for line, below in itertools.pairwise(lines):
                if re.match(r"\*{0,2}\w+(, \w+)* : ", line) and below.startswith(
                    "    "
                ):
                    yield below.strip()


def lines_with_private_words(source):
    return [
        f"{number}: {line.strip()}"
        for number, line in enumerate(source.splitlines(), 1)
        if PRIVATE.search(words(FILE_POSITION.sub("", line)))
    ]


def lines_without_per(source):
    lines = source.splitlines()
    return [line.strip() for line in lines if PER.search(line)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_private_words(file):
    source = file.read_text("utf-8")
    assert lines_with_private_words(source) == []
    assert lines_without_per(source) == []
    assert [text for text in openings(source) if OPENING.match(text)] == []


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="no checkout")
@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_private_words_beside_the_package(file):
    source = file.read_text("utf-8")
    assert lines_with_private_words(source) == []
    if file.parent != ROOT / "benchmarks":  # whose rows are as they were recorded
        assert lines_without_per(source) == []
    if file.suffix == ".py":
        assert [text for text in openings(source) if OPENING.match(text)] == []


def test_the_check_finds_what_it_looks_for():
    assert PRIVATE.search(words("def hear_clips():"))
    assert PRIVATE.search(words("It tells what it heard."))
    assert not PRIVATE.search(words("The teacher shears the retellings."))
    assert PER.search("At 20 labels a class, once a clip.")
    assert PER.search("{size} a class")
    assert not PER.search("At 20 labels per class; a list of labels of a class.")
    source = 'def f(n):\n    """Count.\n\n    n : int\n        Of clips.\n    """'
    assert list(openings(source)) == ["Count.", "Of clips."]
