"""Pages as one HTML file each: nothing is fetched, any browser shows them.

All pages have one look: they extend ``templates/base.html`` and have the style sheet
``templates/style.css``. Templates escape every text; the policy of a page names the
digest of its style and its script, so nothing else is applied or run.

A page of sections is ``templates/page.html``. Sections hold paragraphs (str), lists of
items (list of str), and the blocks defined here.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from userlogfeat._files import replace_file
from userlogfeat._templates import templates_of
from userlogfeat._typing import PathLike
from userlogfeat.report.plots import Picture

if TYPE_CHECKING:
    from markupsafe import Markup


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
    return render("page.html", title=title, sections=list(sections), footer=footer)


def render(
    template: str,
    *,
    styles: Sequence[str] = ("style.css",),
    script: str | None = None,
    media: str = "'none'",
    **values: Any,
) -> str:
    """Render a template of ``report/templates`` that extends ``base.html``.

    Parameters
    ----------
    template : str
        Name of the file.
    styles : sequence of str
        Style sheets beside it, joined.
    script : str, optional
        Script beside it.
    media : str
        Sources of audio that the page's policy allows.
    **values : object
        Values of the template, `title` among them. Text is escaped.

    Returns
    -------
    str
    """
    from markupsafe import Markup

    templates = templates_of("userlogfeat.report", autoescape=True)

    def read(name: str) -> str:
        return templates.loader.get_source(templates, name)[0]

    style = "\n".join(map(read, styles))
    code = None if script is None else read(script)
    scripts = "'none'" if code is None else _digest(code)
    policy = [
        "default-src 'none'",
        "img-src data:",
        f"style-src {_digest(style)}",
        f"script-src {scripts}",
        f"media-src {media}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return templates.get_template(template).render(
        policy=Markup("; ".join(policy)),
        style=Markup(style),
        script=None if code is None else Markup(code),
        **values,
    )


def json_text(data: Any) -> Markup:
    r"""Return data as JSON that may stand in an HTML script element.

    Parameters
    ----------
    data : object

    Returns
    -------
    markupsafe.Markup
        No character of it can end the element, or be read as markup.

    Examples
    --------
    >>> str(json_text(["</script>"]))
    '["\\u003c/script\\u003e"]'
    """
    from markupsafe import Markup

    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _digest(text):
    """Digest of a style or script as a page's policy names it."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


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
