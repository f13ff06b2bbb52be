"""The documentation: nothing public is missing, and every link leads somewhere."""

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

import userlogfeat

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MADE = {"_build", "auto_examples", "generated", "reference"}  # by Sphinx

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="no checkout")


@pytest.fixture(scope="module")
def reference():
    return load("reference")


@pytest.fixture(scope="module")
def texts():
    return load("texts")


def load(name):
    """A module of the documentation's folder, without leaving a trace."""
    sys.path.insert(0, str(DOCS))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(DOCS))
        del sys.modules[name]


def test_reference_has_every_public_name(reference):
    found = [name for step in reference.steps() for name in step.found]
    assert set(userlogfeat.__all__) - set(found) == {"__version__"}
    assert len(found) == len(set(found))
    objects = [reference.resolve(name) for name in found]
    for package in reference.PACKAGES:
        for name in reference.public(package):
            value = reference.resolve(f"{package}.{name}")
            assert any(value is known for known in objects), f"{package}.{name}"


def test_every_name_of_the_reference_exists_and_is_documented(reference):
    for step in reference.steps():
        for name in step.found:
            value = reference.resolve(name)
            if callable(value):
                assert inspect.getdoc(value), name


def test_page_of_a_class_lists_every_method(reference):
    page = reference.page("CFEmbedding")
    cls = userlogfeat.CFEmbedding
    own = [n for n, v in vars(cls).items() if callable(v) and not n.startswith("_")]
    assert {"fit", "transform", "transform_items"} <= set(own)
    for name in [*own, "fit_transform", "get_params", "set_output"]:
        assert f".. automethod:: CFEmbedding.{name}\n" in page
    assert ".. minigallery:: userlogfeat.CFEmbedding" in page


def test_pages_of_names_that_are_gone_are_removed(reference, tmp_path):
    (tmp_path / "userlogfeat.Gone.rst").write_text("Gone")
    reference.write(tmp_path)
    assert not (tmp_path / "userlogfeat.Gone.rst").exists()
    kept = tmp_path / "userlogfeat.CFEmbedding.rst"
    before = kept.stat().st_mtime_ns
    reference.write(tmp_path)
    assert kept.stat().st_mtime_ns == before


def test_links_of_included_texts_become_relative(texts):
    text = "[a](https://userlogfeat.readthedocs.io/en/latest/guide/logs.html#logs) "
    text += f"[b]({texts.FILES}CONTRIBUTING.md) [c]({texts.FILES}LICENSE) "
    text += f"![d]({texts.IMAGES}images/x.png)"
    assert texts.localise(text, "guide/index") == (
        f"[a](../guide/logs.md#logs) [b](../contributing.md) [c]({texts.FILES}LICENSE) "
        "![d](../images/x.png)"
    )


def test_every_page_of_the_readme_exists(texts):
    links = re.findall(
        rf"{re.escape(texts.SITE)}([^)#]+)\.html",
        (ROOT / "README.md").read_text("utf-8"),
    )
    assert links
    for link in links:
        made = link.split("/")[0] in MADE
        assert made or (DOCS / f"{link}.md").is_file(), link


def test_python_on_pages_compiles():
    """What is not run, such as code for a cluster, has no slip of syntax."""
    for page in DOCS.rglob("*.md"):
        if not MADE & set(page.parts):
            for code in re.findall(
                r"```python\n(.*?)```", page.read_text("utf-8"), re.S
            ):
                compile(code, str(page), "exec")
