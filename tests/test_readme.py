"""The examples of README and documentation run, and print what they say."""

import doctest
import re
from pathlib import Path

import pytest

from userlogfeat.datasets.synthetic import make_listening_corpus

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MADE = {"_build", "auto_examples", "generated", "reference"}  # by Sphinx
LONG = {
    "audio",
    "faq",
    "many_files",
    "students",
    "teachers",
}  # they train networks, or read much audio
PAGES = sorted(
    page
    for page in DOCS.rglob("*.md")
    if not MADE & set(page.parts) and ">>> " in page.read_text("utf-8")
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """The folder of 400 planted users and 200 tracks, and what is in it."""
    folder = tmp_path_factory.mktemp("corpus")
    return folder, make_listening_corpus(400, 200, folder=folder, random_state=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.long] if page.stem in LONG else [])
        for page in (ROOT / "README.md", *PAGES)
    ],
    ids=lambda page: page.stem,
)
def test_examples_run(page, corpus, tmp_path):
    folder, made = corpus
    failures, attempts = doctest.testfile(
        str(page),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        globs={
            "folder": tmp_path,
            "corpus": folder,
            "paths": made.audio,
            "labels": made.catalogue.labels,
        },
    )
    assert attempts > (20 if page.stem == "README" else 0)
    assert failures == 0


@pytest.mark.long
@pytest.mark.slow
def test_figure_4_is_drawn_as_its_page_says(corpus, tmp_path, monkeypatch):
    """Its lines for the planted clips: two widths, two folds, five arms."""
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "papers" / "lee2019.md").read_text("utf-8")
    text = page.split("## Figure 4")[1].split("\n## ")[0]
    _, planted, code = re.findall(r"```python\n(.*?)```", text, re.S)
    names = {"corpus": corpus[0], "folder": tmp_path}
    exec(planted + code, names)
    assert len(names["frame"]) == 2 * 2 * 5
    assert (tmp_path / "figure_4.png").stat().st_size > 10_000
    plt.close(names["display"].figure_)
