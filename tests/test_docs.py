"""The documentation: nothing public is missing, and every link leads somewhere."""

import ast
import inspect
import json
import os
import re
import sys
import tomllib
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import userlogfeat
from userlogfeat import _pages

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


def test_the_readme_is_read_to_its_end():
    """Longer texts are pages of the site; in less, nobody learns what it does."""
    assert 150 <= len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 200


def test_every_extra_is_explained_and_has_a_size():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(project["optional-dependencies"]) - {"docs", "dev"}  # for developers
    readme = (ROOT / "README.md").read_text("utf-8")
    listed = readme.split("Extras, as in")[1].split("<!-- end of install")[0]
    sizes = (DOCS / "install.md").read_text("utf-8").split("## Sizes")[1].split("##")[0]
    for text in (listed.split(": ", 1)[1], sizes):
        assert set(re.findall(r"`([a-z]+)`", text)) == extras


def links_of_errors():
    """(page, place) of each call of `see`, and the file."""
    for path in Path(userlogfeat.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "see":
                yield tuple(argument.value for argument in node.args), path.stem


def test_errors_link_to_headings_of_pages():
    links = list(links_of_errors())
    assert len({name for _, name in links}) >= 10
    for arguments, name in links:
        link = _pages.see(*arguments).removeprefix(f" See {_pages.SITE}")
        page, _, place = link.partition(".html#")
        text = (DOCS / f"{page}.md").read_text("utf-8")
        headings = re.findall(r"^#+ (.+)$", text, re.M)
        slugs = [re.sub(r"[^a-z0-9]+", "-", h.lower()).strip("-") for h in headings]
        assert place in slugs, f"{name}: {link}"


def test_python_on_pages_compiles():
    """What is not run, such as code for a cluster, has no slip of syntax."""
    for page in DOCS.rglob("*.md"):
        if not MADE & set(page.parts):
            for code in re.findall(
                r"```python\n(.*?)```", page.read_text("utf-8"), re.S
            ):
                compile(code, str(page), "exec")


class Page(HTMLParser):
    """Addresses that a page links to, and the places in it."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.places |= {attrs.get("id"), attrs.get("name")}
        for name in ("href", "src"):
            if attrs.get(name):
                self.links.append(attrs[name])


@pytest.fixture(scope="module")
def site():
    """The site that `make docs` has just built."""
    if "USERLOGFEAT_SITE" not in os.environ:
        pytest.skip("reads the site, which is built by `make docs`")
    return Path(os.environ["USERLOGFEAT_SITE"]).resolve()


def test_internal_links_lead_somewhere(site):
    files = [f for f in site.rglob("*.html") if "_static" not in f.parts]  # templates
    pages = {path: Page(path) for path in files}
    assert len(pages) > 100
    broken = []
    for path, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            if address.scheme or address.netloc or link in ("#", ""):
                continue
            target = path
            if address.path:
                target = (path.parent / unquote(address.path)).resolve()
            exists = target.is_file() or target.is_dir()
            place = unquote(address.fragment)
            if not exists or (
                place and target in pages and place not in pages[target].places
            ):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_pages_load_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        source = path.read_text("utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="(https?:[^"]*)', source)
        loaded += re.findall(
            r'<link[^>]*rel="stylesheet"[^>]*href="(https?:[^"]*)', source
        )
        # Formulas are drawn by MathJax, which Sphinx takes from where it is published.
        assert [url for url in loaded if "/mathjax@" not in url] == [], path.name


def test_search_finds_classes_and_words_of_the_guide(site):
    text = (site / "searchindex.js").read_text("utf-8")
    index = json.loads(text.partition("Search.setIndex(")[2].rstrip().removesuffix(")"))
    assert "reference/userlogfeat.CFEmbedding" in index["docnames"]
    documents = index["docnames"]
    found = index["terms"]["permut"]  # the stem of "permuted"
    pages = {documents[i] for i in (found if isinstance(found, list) else [found])}
    assert "guide/evaluation" in pages


def test_reference_pages_show_methods_and_the_gallery(site):
    page = (site / "reference" / "userlogfeat.CFEmbedding.html").read_text("utf-8")
    assert 'id="userlogfeat.CFEmbedding.transform_items"' in page
    assert "sphx-glr-thumbcontainer" in page
