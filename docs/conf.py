import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import reference  # noqa: E402, beside this file
import texts  # noqa: E402

import userlogfeat  # noqa: E402
from userlogfeat.datasets import list_datasets  # noqa: E402

project = "userlogfeat"
author = "the userlogfeat developers"
copyright = f"2026, {author}"
version = release = userlogfeat.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "**sg_execution_times.rst",
    "auto_examples/*.md5",
    "auto_examples/*.ipynb",
]
# Docstrings that estimators inherit from scikit-learn refer to labels of its own pages.
suppress_warnings = ["config.cache", "ref.ref"]
nitpicky = False

# Reference: a page for each public name, made from `userlogfeat.__all__`.
autosummary_generate = False
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # numpydoc's sections have the types
maximum_signature_line_length = 80
numpydoc_show_class_members = False

# Markdown.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Look.
html_theme = "pydata_sphinx_theme"
html_title = f"userlogfeat {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
_ALONE = "index install get_started how_to evidence faq glossary cite benchmarks"
_ALONE += " contributing changelog"
html_sidebars = {name: [] for name in _ALONE.split()}
html_theme_options = {
    "logo": {"text": "userlogfeat"},
    "header_links_before_dropdown": 6,
    "icon_links": [
        {
            "name": "Source",
            "url": "https://github.com/userlogfeat/userlogfeat",
            "icon": "fa-brands fa-github",
        }
    ],
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "back_to_top_button": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

sphinx_gallery_conf = {
    "write_computation_times": False,  # its page loads scripts from elsewhere
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "ignore_pattern": "demo\\.py",  # minutes, not seconds: `make demo`
    "doc_module": ("userlogfeat",),
    "backreferences_dir": "reference/examples",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
}

# Pages made from the code, before Sphinx reads them. What former builds made of
# code that is gone would be pages that no page links to.
_generated = DOCS / "generated"
shutil.rmtree(_generated, ignore_errors=True)
_generated.mkdir()
for _page in (DOCS / "auto_examples").glob("*.rst"):
    _example = DOCS.parent / "examples" / f"{_page.stem}.py"
    if _page.stem != "index" and not _example.is_file():
        _page.unlink()
(_generated / "data_sets.md").write_text(
    f"# List of data sets\n\n{list_datasets()}", encoding="utf-8"
)
reference.write(DOCS / "reference")


def setup(app):
    """Let pages of the site include files that are read elsewhere, too."""
    app.connect("include-read", texts.adapt)
