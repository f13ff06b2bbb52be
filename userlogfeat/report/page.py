"""A page of sections, as one HTML file: no scripts, no network, any browser.

``templates/page.html`` has the markup and escapes every text. Sections hold paragraphs
(str), lists of items (list of str), and the blocks defined here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from userlogfeat._files import replace_file
from userlogfeat._typing import PathLike

if TYPE_CHECKING:
    from userlogfeat.report.plots import Picture


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row.

    Attributes
    ----------
    header : sequence of str
        Empty for none.
    rows : iterable of sequence of str
    caption : str
        Heading above the table.
    numbers : bool
        Whether the entries are numbers, which are not broken into lines.
    """

    header: Sequence[str]
    rows: Iterable[Sequence[str]]
    caption: str = ""
    numbers: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Lines:
    """Text whose lines stay as they are."""

    text: str
    kind: ClassVar[str] = "lines"


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side where there is room."""

    pictures: list[Picture]
    kind: ClassVar[str] = "pictures"


Block: TypeAlias = str | list[str] | Table | Lines | Pictures


@dataclass(frozen=True)
class Section:
    """A heading and the blocks below it."""

    heading: str
    blocks: list[Block] = field(default_factory=list)


def render_page(title: str, sections: Iterable[Section], footer: str) -> str:
    """Return a page as HTML.

    Parameters
    ----------
    title, footer : str
        Plain text, as all text in `sections`: it is escaped here.
    sections : iterable of Section

    Returns
    -------
    str

    Examples
    --------
    >>> from userlogfeat.report.page import Section, render_page
    >>> page = render_page("Scores", [Section("Notes", ["1 < 2"])], "The end.")
    >>> "<p>1 &lt; 2</p>" in page
    True
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("userlogfeat.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template("page.html")
    return template.render(title=title, sections=list(sections), footer=footer) + "\n"


def write_page(
    path: PathLike, title: str, sections: Iterable[Section], footer: str
) -> None:
    """Write a page to a file, which is replaced as a whole.

    Parameters
    ----------
    path : str or Path
        Its folder must exist.
    title, sections, footer
        See :func:`render_page`.
    """
    page = render_page(title, sections, footer)
    with replace_file(path) as temporary:
        # Names of files that are not UTF-8 hold surrogates, which cannot be encoded.
        temporary.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")
