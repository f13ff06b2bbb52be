"""Pieces of an HTML page: every text is escaped here, and nowhere else."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from userlogfeat.report.style import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# A page that fetches nothing and runs nothing, even if an escape were forgotten.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CSS = """
:root { color-scheme: light; }
body { font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 60rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
ul { margin-top: .3rem; padding-left: 1.3rem; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
thead th { border-bottom: 2px solid #666; }
tbody th { font-weight: 600; }
td { white-space: pre-line; }
.numbers td, .numbers th { white-space: nowrap; }
.figures { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; }
img { width: 100%; max-width: 38rem; height: auto; }
pre { white-space: pre-wrap; font-size: .85rem; }
footer { margin-top: 2.5rem; font-size: .85rem; color: #444; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  .numbers td, .numbers th { white-space: normal; }
  h2, h3 { break-after: avoid; }
  tr, figure { break-inside: avoid; }
}
"""


def document(title: str, parts: list[str], footer: str) -> str:
    """A whole page.

    Parameters
    ----------
    title, footer : str
        Text.
    parts : list of str
        Markup, made by the functions of this file.

    Returns
    -------
    str
    """
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{body}
<footer>{escape(footer)}</footer>
</body>
</html>
"""


def heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def bullets(texts: Iterable[str]) -> str:
    """A list."""
    return (
        "<ul>\n" + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "\n</ul>"
    )


def preformatted(text: str) -> str:
    """Text whose lines stay as they are."""
    return f"<pre>{escape(text)}</pre>"


def table(header: list[str], rows: list[list[str]], *, numbers: bool = False) -> str:
    """A table whose first column names the row; it scrolls by itself where narrow.

    Parameters
    ----------
    header : list of str
        Empty for none.
    rows : list of list of str
    numbers : bool
        Whether the cells are numbers, which are not broken into lines.

    Returns
    -------
    str
    """
    kind = ' class="numbers"' if numbers else ""
    lines = [f'<div class="scroll"><table{kind}>']
    if header:
        cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
        lines.append(f"<thead><tr>{cells}</tr></thead>")
    lines.append("<tbody>")
    for name, *others in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return "\n".join([*lines, "</tbody></table></div>"])


def picture(figure: Figure, alt: str) -> str:
    """A matplotlib figure as a drawing inside the page, with a text that replaces it.

    Parameters
    ----------
    figure : matplotlib Figure
    alt : str

    Returns
    -------
    str
    """
    file = io.BytesIO()
    with warnings.catch_warnings(), plotting().rc_context({"svg.hashsalt": "report"}):
        # Names in scripts that the font lacks: the tables beside the drawing have them.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(file, format="svg", metadata={"Date": None})
    data = base64.b64encode(file.getvalue()).decode()
    source = f"data:image/svg+xml;base64,{data}"
    return f'<figure><img src="{source}" alt="{escape(alt)}"></figure>'


def figures(pictures: Iterable[str]) -> str:
    """Pictures beside each other where there is room, else one below the other."""
    return '<div class="figures">\n' + "\n".join(pictures) + "\n</div>"
