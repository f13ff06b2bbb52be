"""Scores of all arms by channels or labels: Figure 4 of Lee, Lee, Park, Lee (2019).

``TransferDisplay`` is like scikit-learn's displays: a class method computes and draws,
the object keeps the numbers, and `plot` draws them again. Reports of comparisons have
one for each setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import polars as pl

from userlogfeat._check import check_choice
from userlogfeat.evaluation.intervals import mean_interval
from userlogfeat.evaluation.learning_curves import LearningCurve
from userlogfeat.report.frames import (
    ALL,
    Metric,
    Results,
    make_results,
    ordered_arms,
    setting_text,
    settings,
)
from userlogfeat.report.plots import Picture, register_plot
from userlogfeat.report.style import (
    FONT,
    arm_styles,
    finish,
    new_axes,
    new_figure,
    write_percentages,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


BARS = "bars: 95 % intervals"
SIZE = (5.6, 4.8)  # inches of a new figure
SPREAD = 0.4  # distance of the outer arms, as a fraction of the gap between ticks
AXES = {
    "channels": "Channels of each convolution",
    "n_labels": "Labelled clips per class",
}


@dataclass(repr=False, eq=False)
class TransferDisplay:
    """Scores of all arms by the network's channels or the number of labels.

    Figure 4 of Lee, Lee, Park, Lee (2019), "Enhancing music features by knowledge
    transfer from user-item log data", with intervals and the controls.

    Parameters
    ----------
    positions : list of int or None
        Values on the x axis, ascending; None for all labels.
    scores : dict of str to ndarray (3, n_positions)
        Mean, low and high end of the 95 % interval of each arm; NaN where an arm was
        not run.
    x : {"channels", "n_labels"}
        Meaning of the positions.
    metric : Metric
        Name and unit of the scores.
    setting : str
        The setting that is the same for all scores, in words.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D
        The means of each arm.
    intervals_ : dict of str to matplotlib LineCollection
        The intervals of each arm.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import polars as pl
    >>> summary = pl.DataFrame({
    ...     "n_labels": [20, 20, 20, 20], "channels": [32, 64, 32, 64],
    ...     "arm": ["base", "base", "kd", "kd"], "mean": [0.35, 0.36, 0.39, 0.41],
    ...     "low": [0.34, 0.35, 0.38, 0.40], "high": [0.36, 0.37, 0.40, 0.42],
    ... })
    >>> display = TransferDisplay.from_comparison(summary, metric="accuracy")
    >>> display.lines_["kd"].get_ydata()
    array([0.39, 0.41])
    >>> plt.close(display.figure_)
    """

    positions: list[int | None] | None
    scores: dict[str, np.ndarray]
    x: Literal["channels", "n_labels"]
    metric: Metric
    setting: str = ""

    @classmethod
    def from_comparison(
        cls,
        frame: pl.DataFrame,
        *,
        x: Literal["channels", "n_labels"] | None = None,
        at: int | Literal["all"] | None = None,
        metric: str | None = None,
        arms: list[str] | None = None,
        ax: Axes | None = None,
    ) -> TransferDisplay:
        """Draw the frame that `compare` or `summarise` returned.

        Parameters
        ----------
        frame : polars.DataFrame
            One row per fit (`compare`) or one row per arm and setting (`summarise`).
        x : {"channels", "n_labels"}, optional
            Column of the x axis. By default channels, where there are several, else
            n_labels.
        at : int or "all", optional
            Value of the other column. Required where the frame has several.
        metric : str, optional
            Name of the metric, where the frame has several; name of the score, where
            the frame does not name it. "accuracy" is drawn in per cent.
        arms : list of str, optional
            Arms to draw. By default all.
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot.

        Returns
        -------
        TransferDisplay

        Raises
        ------
        TypeError, ValueError
            If the frame is not one of a comparison, has one arm or scores that are NaN,
            or lacks the setting or arm asked for.
        ImportError
            If matplotlib is missing.
        """
        results = make_results(frame, metric)
        summary, metric = results.summary, results.metric
        if x is None:
            x = "channels" if len(settings(summary, "channels")) > 1 else "n_labels"
        check_choice(x, "x", tuple(AXES))
        summary, setting = _fix_other(summary, x, at)
        positions = settings(summary, x)
        if x == "channels" and None in positions:
            raise ValueError(
                "Some or all rows of the frame have no channels (network='mlp' has "
                "none). Pass x='n_labels'."
            )
        scores = _scores(summary, x, positions, arms)
        return cls(positions, scores, x, metric, setting).plot(ax=ax)

    @classmethod
    def from_curves(
        cls, curves: Mapping[str, LearningCurve], *, ax: Axes | None = None
    ) -> TransferDisplay:
        """Draw learning curves of several feature sets or classifiers.

        Parameters
        ----------
        curves : dict of str to LearningCurve
            Results of :func:`userlogfeat.evaluation.learning_curves.learning_curve`,
            of the same sizes. Intervals are over clips.
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot.

        Returns
        -------
        TransferDisplay

        Raises
        ------
        ValueError
            If there is no curve, or their sizes differ.
        ImportError
            If matplotlib is missing.
        """
        sizes = {tuple(curve.sizes) for curve in curves.values()}
        if len(sizes) != 1:
            raise ValueError(
                f"Got curves of {len(sizes)} different lists of sizes, expected one: "
                "draw curves of the same numbers of labels."
            )
        scores = {str(name): _of_curve(curve) for name, curve in curves.items()}
        accuracy = Metric("accuracy")
        return cls(list(sizes.pop()), scores, "n_labels", accuracy).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw into. By default those of a new figure of pyplot.

        Returns
        -------
        self
        """
        self.ax_ = new_axes(SIZE) if ax is None else ax
        self.figure_ = self.ax_.figure
        self.lines_, self.intervals_ = {}, {}
        places = _places(self.positions)
        gap = np.diff(np.log2(places)).min() if len(places) > 1 else 1.0
        n = len(self.scores)
        steps = SPREAD * gap * (np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1))
        handles, looks = {}, arm_styles(self.scores)
        for (arm, scores), step in zip(self.scores.items(), steps, strict=True):
            mean, low, high = scores
            lengths = np.clip([mean - low, high - mean], 0, None)
            drawn = self.ax_.errorbar(places * 2**step, mean, lengths, **looks[arm])
            self.lines_[arm], self.intervals_[arm] = drawn.lines[0], drawn.lines[2][0]
            handles[arm] = drawn
        self._label(places, gap)
        title = "; ".join(filter(None, (self.setting, BARS)))
        finish(self.ax_, handles, title=title)
        return self

    def _label(self, places, gap):
        """Write names, units and ticks on the axes."""
        ax = self.ax_
        ax.set_xscale("log", base=2)
        names = [ALL if value is None else str(value) for value in self.positions]
        ax.set_xticks(places, names)
        ax.minorticks_off()
        ax.set_xlim(places[0] * 2 ** (-gap / 2), places[-1] * 2 ** (gap / 2))
        ax.set_xlabel(AXES[self.x], fontsize=FONT)
        ax.set_ylabel(self.metric.label, fontsize=FONT)
        if self.metric.is_proportion:
            write_percentages(ax.yaxis)


def _fix_other(summary, x, at):
    """Select one value of the other column; return its rows, and it in words."""
    other = "n_labels" if x == "channels" else "channels"
    values = settings(summary, other)
    listed = ", ".join(map(_shown, values))
    if at is None and len(values) > 1:
        raise ValueError(
            f"The frame has several {other}: {listed}. Choose the one to draw with "
            f"at={_shown(values[0])}."
        )
    value = values[0] if at is None else None if at == ALL else at
    if value not in values:
        raise ValueError(f"Got at={at!r}, but {other} in the frame are {listed}.")
    chosen = summary.filter(pl.col(other).eq_missing(value))
    if other == "n_labels":
        return chosen, setting_text(value)
    return chosen, "" if value is None else f"{value} channels"


def _shown(value):
    return repr(ALL) if value is None else repr(value)


def _scores(summary, x, positions, arms):
    """Return mean, low and high (3, n_positions) of each arm; NaN where not run."""
    known, scores = ordered_arms(summary), {}
    column = {value: i for i, value in enumerate(positions)}
    for arm in known if arms is None else arms:
        check_choice(arm, "arm", known)
        scores[arm] = np.full((3, len(positions)), np.nan)
        for row in summary.filter(pl.col("arm") == arm).to_dicts():
            scores[arm][:, column[row[x]]] = row["mean"], row["low"], row["high"]
    return scores


def _of_curve(curve):
    """Return mean, low and high (3, n_sizes) of a learning curve, over clips."""
    rows = [outcomes[~np.isnan(outcomes)] for outcomes in curve.outcomes]
    return np.array([mean_interval(row, bounds=(0, 1)) for row in rows]).T


def _places(positions):
    """Return positions on a logarithmic axis; all labels are one step after the last.

    The step is the last one between two numbers, though no more than a factor of four.
    """
    numbers = np.array([value for value in positions if value is not None], float)
    if None not in positions:
        return numbers
    if len(numbers) == 0:
        return np.ones(1)
    step = numbers[-1] / numbers[-2] if len(numbers) > 1 else 2.0
    return np.append(numbers, numbers[-1] * min(step, 4))


@register_plot("transfer", page="comparison")
def draw_transfer(results: Results) -> Iterator[Picture]:
    """Draw scores by labels for each number of channels, and the other way round.

    Parameters
    ----------
    results : Results

    Yields
    ------
    Picture
    """
    channels, labels = results.settings("channels"), results.settings("n_labels")
    wanted = []
    if len(labels) > 1 or len(channels) == 1:
        wanted += [("n_labels", value) for value in channels]
    if len(channels) > 1 and None not in channels:
        wanted += [("channels", value) for value in labels]
    for x, value in wanted:
        figure = new_figure(SIZE)
        display = TransferDisplay.from_comparison(
            results.summary,
            x=x,
            at=ALL if value is None else value,
            metric=results.metric.name,
            ax=figure.subplots(),
        )
        arms = ", ".join(results.arms)
        where = f", {display.setting}" if display.setting else ""
        yield Picture(
            figure,
            f"{results.metric.label} of {arms} by {AXES[x].lower()}{where}. The "
            "numbers are in the table of scores.",
        )
