"""Texts that are read on the site and elsewhere: README, changelog, benchmarks.

There they link to the site by its address and to files of the repository by their
paths. Inside the site the same links are made relative, so that a wrong one is found.
"""

import re
from pathlib import Path

from userlogfeat._pages import SITE

DOCS = Path(__file__).resolve().parent
FILES = "https://github.com/userlogfeat/userlogfeat/blob/main/"
IMAGES = "https://raw.githubusercontent.com/userlogfeat/userlogfeat/main/docs/"
# Files of the repository that are pages of the site.
PAGES = {
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}


def localise(text: str, page: str) -> str:
    """Make links relative.

    Parameters
    ----------
    text : str
        Markdown from outside the folder of the documentation.
    page : str
        The page that includes it, without suffix: ``"guide/logs"``.

    Returns
    -------
    str
    """
    up = "../" * page.count("/")

    def of_site(match):
        path, anchor = match.groups()
        known = (DOCS / f"{path}.md").exists()
        return f"]({up}{path}.{'md' if known else 'rst'}{anchor or ''})"

    def of_file(match):
        path = match.group(1)
        return f"]({up}{PAGES[path]})" if path in PAGES else match.group(0)

    text = re.sub(rf"\]\({re.escape(SITE)}([^)#]+)\.html(#[^)]*)?\)", of_site, text)
    text = re.sub(rf"\]\({re.escape(FILES)}([^)#]+)\)", of_file, text)
    text = re.sub(r"\]\(docs/([^)]+)\)", rf"]({up}\1)", text)
    return text.replace(IMAGES, up)


def adapt(app, relative_path, parent, content):
    """Adapt an included file; Sphinx calls this (event ``include-read``)."""
    content[0] = localise(content[0], parent)
