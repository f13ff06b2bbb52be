from pathlib import Path

import userlogfeat
from userlogfeat.datasets import list_datasets

project = "userlogfeat"
author = "the userlogfeat developers"
copyright = f"2026, {author}"
version = release = userlogfeat.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.md5"]
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
html_theme = "alabaster"
myst_heading_anchors = 3
# sklearn docstrings that estimators inherit link to its own pages.
suppress_warnings = ["config.cache", "myst.xref_missing", "ref.ref"]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "ignore_pattern": "demo\\.py",  # minutes, not seconds: `make demo`
}

# The list of data sets is made from their files.
_generated = Path(__file__).parent / "generated"
_generated.mkdir(exist_ok=True)
(_generated / "data_sets.md").write_text(
    f"# List of data sets\n\n{list_datasets()}", encoding="utf-8"
)
