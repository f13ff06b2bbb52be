"""Plots of a page, registered by name: a page draws all that are registered for it.

A plot is a function from the results that a page reports to pictures. The page
"comparison" (``write_html``) passes a :class:`~userlogfeat.report.frames.Results`, the
page "mirex" an :class:`~userlogfeat.mirex.scores.Evaluation`.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from userlogfeat._registry import FunctionT, Registry
from userlogfeat.report.style import plotting

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure with a text that replaces it.

    Attributes
    ----------
    figure : matplotlib Figure
        Not of pyplot: see :func:`userlogfeat.report.style.new_figure`.
    description : str
        Shown, or read out, where the picture is not.
    """

    figure: Figure
    description: str

    @property
    def source(self) -> str:
        """The drawing as a data URL of SVG; the same figure gives the same text."""
        file = io.BytesIO()
        settings = plotting().rc_context({"svg.hashsalt": "report"})
        with warnings.catch_warnings(), settings:
            # Letters that the font lacks; the tables on the page have them.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            self.figure.savefig(file, format="svg", metadata={"Date": None})
        data = base64.b64encode(file.getvalue()).decode()
        return f"data:image/svg+xml;base64,{data}"


PLOTS: dict[str, Registry] = {
    page: Registry("plot") for page in ("comparison", "mirex")
}


def register_plot(name: str, *, page: str) -> Callable[[FunctionT], FunctionT]:
    """Register the decorated function as a plot of a page.

    Parameters
    ----------
    name : str
        Name of the plot, which must be new.
    page : {"comparison", "mirex"}
        The page that shows it.

    Returns
    -------
    callable
        Decorator of a function from the page's results to an iterable of
        :class:`Picture`; an empty one where there is nothing to draw.

    Examples
    --------
    >>> from userlogfeat.report.plots import PLOTS, Picture, register_plot
    >>> from userlogfeat.report.style import new_figure
    >>> @register_plot("means", page="comparison")
    ... def draw_means(results):
    ...     figure = new_figure((4, 3))
    ...     figure.subplots().bar(results.summary["arm"], results.summary["mean"])
    ...     yield Picture(figure, "Means of all arms")
    >>> del PLOTS["comparison"]["means"]
    """
    if page not in PLOTS:
        raise ValueError(f"Got page={page!r}, expected one of {', '.join(PLOTS)}.")
    return PLOTS[page].register(name)


def draw_plots(page: str, results: Any) -> list[Picture]:
    """Draw the plots that are registered for a page.

    Parameters
    ----------
    page : {"comparison", "mirex"}
    results : object
        The results that the page reports.

    Returns
    -------
    list of Picture

    Raises
    ------
    ImportError
        If a plot is registered and matplotlib is missing.
    """
    pictures: list[Iterable[Picture]] = [draw(results) for draw in PLOTS[page].values()]
    return [picture for drawn in pictures for picture in drawn]
