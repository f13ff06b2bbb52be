"""The look of plots: colours, markers and dashes of the arms, axes, legends.

Arms bring their colour, marker and dashes (see ``comparison/arms.py``). Colours are
those of Okabe and Ito (2008), which colour-blind readers can distinguish; markers and
dashes do the same in print without colour. Controls have hollow markers.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from userlogfeat._optional import import_optional
from userlogfeat.comparison.arms import ARMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SOLID = "-"
# Looks of arms that have none of their own, in turn. The lengths of the lists have no
# common divisor, so that 60 arms look different.
SPARE_COLOURS = ("#7F7F7F", "#0072B2", "#009E73")
SPARE_MARKERS = ("h", "P", "<", ">", "*")
SPARE_DASHES = ((0, (8, 2)), (0, (3, 3)), SOLID, (0, (1, 1)))
FONT = 11  # points; readable when a phone shrinks the picture
LEGEND_DROP = 44  # points below the axes: below the tick labels and the axis label
LEGEND_LETTERS = 13.5  # letters of a legend on an inch of axes
MARK = 8  # width of a mark and its line, in letters


def arm_styles(arms: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return keywords of ``Axes.errorbar`` for each arm.

    Parameters
    ----------
    arms : iterable of str

    Returns
    -------
    dict of str to dict
        Registered arms with a look always have the same one.
    """
    styles, n_spare = {}, 0
    for arm in arms:
        known = ARMS.get(arm)
        if known is not None and known.look is not None:
            colour, marker, dashes = known.look
        else:
            lists = (SPARE_COLOURS, SPARE_MARKERS, SPARE_DASHES)
            colour, marker, dashes = (of[n_spare % len(of)] for of in lists)
            n_spare += 1
        hollow = known is not None and known.is_control
        styles[arm] = {
            "color": colour,
            "marker": marker,
            "linestyle": dashes,
            "markerfacecolor": "white" if hollow else colour,
            "markersize": 6,
            "linewidth": 1.5,
            "elinewidth": 1.2,
            "capsize": 2.5,
        }
    return styles


def plotting(module: str = "matplotlib") -> ModuleType:
    """Import a module of matplotlib, or raise with the command that installs it."""
    return import_optional(module, extra="plots", purpose="A plot")


def new_axes(size: tuple[float, float]) -> Axes:
    """Make axes of a new pyplot figure of `size` (width, height), in inches."""
    plt = plotting("matplotlib.pyplot")
    return plt.subplots(figsize=size, layout="constrained")[1]


def new_figure(size: tuple[float, float]) -> Figure:
    """Make a figure for a file, outside pyplot, which need not be closed."""
    return plotting("matplotlib.figure").Figure(figsize=size, layout="constrained")


def write_percentages(axis: Any) -> None:
    """Write proportions on an axis as percentages; the sign is in the axis label."""
    ticker = plotting("matplotlib.ticker")
    axis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _: f"{100 * value:.4g}")
    )


def finish(ax: Axes, handles: Any, *, title: str = "", grid: str = "y") -> None:
    """Set fonts, grid and frame, and put a legend below the axes.

    `handles` is a dict of names to artists. Names are shown as they are: a dollar
    sign starts no formula.
    """
    ax.tick_params(labelsize=FONT)
    ax.grid(axis=grid, color="0.88", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title[:1].upper() + title[1:], fontsize=FONT, loc="left")
    below = plotting("matplotlib.transforms").offset_copy(
        ax.transAxes, fig=ax.figure, y=-LEGEND_DROP, units="points"
    )
    legend = ax.legend(
        list(handles.values()),
        list(handles),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=below,
        ncols=_columns(handles, ax.figure.get_figwidth() * ax.get_position().width),
        handlelength=3.5,
        fontsize=FONT - 1,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _columns(names, width):
    """Return the columns of a legend: three, or as many as fit below the axes."""
    for n in (3, 2):
        columns = [part for part in np.array_split(list(names), n) if len(part)]
        letters = sum(MARK + max(map(len, part)) for part in columns)
        if letters <= LEGEND_LETTERS * width:
            return len(columns)
    return 1
