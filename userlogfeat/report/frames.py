"""Frames of a comparison, checked: settings, arms and the differences between them."""

import itertools
import math
from dataclasses import dataclass

import polars as pl

from userlogfeat._check import check_choice
from userlogfeat.comparison.arms import ARMS
from userlogfeat.comparison.summary import summarise

SIGNIFICANT = 0.05
ALL = "all"  # n_labels where no labels are left out
_PROPORTIONS = {"accuracy", "balanced accuracy", "recall", "macro recall", "f1"}
_KEYS = ["n_labels", "channels", "arm"]
_NUMBERS = ["mean", "low", "high"]
# Columns of a contrast, each "... to" the arm compared against.
_OF_CONTRAST = ["difference", "diff_low", "diff_high"]
_OF_CONTRAST += ["p_ttest_holm", "p_wilcoxon_holm", "effect_size"]


@dataclass(frozen=True)
class Metric:
    """A score's name, and how it is written.

    Attributes
    ----------
    name : str
        As in the column `metric`: ``"accuracy"``, ``"r2"``.
    """

    name: str

    @property
    def is_proportion(self) -> bool:
        """Whether the score is a proportion of clips, written as a percentage."""
        return self.name.lower().replace("_", " ") in _PROPORTIONS

    @property
    def unit(self) -> str:
        """Unit of a difference: " points" of a percentage, or nothing."""
        return " points" if self.is_proportion else ""

    @property
    def label(self) -> str:
        """Name with unit, for axes and tables."""
        if self.name.lower() == "r2":
            return "R² (1 is perfect, 0 the mean)"
        words = self.name.replace("_", " ")
        words = words[:1].upper() + words[1:]
        return f"{words} (%)" if self.is_proportion else words

    def amounts(self, *values: float) -> list[str]:
        """Write differences, with as many decimals as the smallest needs."""
        scale, decimals = (100, 1) if self.is_proportion else (1, 3)
        smallest = min((abs(v * scale) for v in values if v), default=1)
        while decimals < 6 and smallest < 0.5 * 10**-decimals:
            decimals += 1
        written = (f"{v * scale:.{decimals}f}" for v in values)
        return [
            text.replace("-", "−") if float(text) else text.lstrip("-")
            for text in written
        ]

    def score(self, value: float) -> str:
        """Write a score: per cent without the sign, or three decimals."""
        text = f"{value * 100:.1f}" if self.is_proportion else f"{value:.3f}"
        return text.replace("-", "−")


def setting_text(n_labels: int | None, channels: int | None = None) -> str:
    """Return a setting in words: "at 20 labels per class, 64 channels"."""
    labels = "with all labels"
    if n_labels is not None:
        labels = f"at {n_labels} label{'s' * (n_labels > 1)} per class"
    return labels if channels is None else f"{labels}, {channels} channels"


@dataclass(frozen=True)
class Contrast:
    """The difference between two arms in one setting, with its interval and tests."""

    arm: str
    against: str
    n_labels: int | None
    channels: int | None
    difference: float
    low: float
    high: float
    p_ttest_holm: float | None
    p_wilcoxon_holm: float | None
    effect_size: float | None

    @property
    def sign(self) -> int:
        """1 or -1 where the interval is above or below zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    @property
    def p(self) -> float | None:
        """The corrected p value: the t-test's, else Wilcoxon's, else None."""
        both = (self.p_ttest_holm, self.p_wilcoxon_holm)
        return next((p for p in both if _is_finite(p)), None)

    @property
    def holds(self) -> bool:
        """Whether there is a difference that survives Holm's correction, if made."""
        return self.sign != 0 and (self.p is None or self.p < SIGNIFICANT)


@dataclass(frozen=True)
class Results:
    """The results of a comparison in one metric: what a report shows.

    Attributes
    ----------
    summary : polars.DataFrame
        Frame of :func:`userlogfeat.comparison.summarise`.
    fits : polars.DataFrame or None
        Frame of :func:`userlogfeat.comparison.compare`, where it is known.
    metric : Metric
    """

    summary: pl.DataFrame
    fits: pl.DataFrame | None
    metric: Metric

    @property
    def arms(self) -> list[str]:
        """Arms in the order in which they were registered, then others."""
        return ordered_arms(self.summary)

    def settings(self, column: str) -> list[int | None]:
        """Return the values of `n_labels` or `channels`: see :func:`settings`."""
        return settings(self.summary, column)


def make_results(
    frame: pl.DataFrame, metric: str | None = None, summary: pl.DataFrame | None = None
) -> Results:
    """Check the frame that `compare` or `summarise` returned, and choose one metric.

    Parameters
    ----------
    frame : polars.DataFrame
        Frame of :func:`userlogfeat.comparison.compare` (one row per fit), which is
        summarised, or of :func:`userlogfeat.comparison.summarise`.
    metric : str, optional
        Name of the metric, where the frame has several; name of the score, where the
        frame does not name it.
    summary : polars.DataFrame, optional
        Summary of `frame`, where it is not to be made here.

    Returns
    -------
    Results

    Raises
    ------
    TypeError
        If `frame` is not a polars frame.
    ValueError
        If columns are missing, or there are no rows, only one arm, several metrics or
        scores that are NaN.
    """
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(
            f"Got a frame of type {type(frame).__name__}, expected the polars.DataFrame"
            " that compare or summarise returned (polars.from_pandas turns one of "
            "pandas into it)."
        )
    frame, metric = _select_metric(frame, metric)
    fits = None
    if "score" in frame.columns and "mean" not in frame.columns:
        _check(frame, ["score"])
        fits, frame = frame, summarise(frame) if summary is None else summary
    frame, _ = _select_metric(frame, metric)
    return Results(_check_summary(frame), fits, Metric(metric))


def _select_metric(frame, metric):
    """Return the rows of one metric, and its name."""
    if "metric" not in frame.columns or frame.height == 0:
        return frame, metric or "score"
    names = frame["metric"].unique(maintain_order=True).to_list()
    if metric is None:
        if len(names) > 1:
            listed = ", ".join(map(repr, names))
            raise ValueError(
                f"The frame has several metrics: {listed}. Choose one with "
                f"metric={names[0]!r}."
            )
        metric = names[0]
    check_choice(metric, "metric", names)
    return frame.filter(pl.col("metric") == metric), metric


def _check_summary(summary):
    _check(summary, _NUMBERS)
    repeated = summary.filter(summary.select(_KEYS).is_duplicated())
    if repeated.height:
        raise ValueError(
            f"The summary has several rows for {_where(repeated.row(0, named=True))}: "
            "were summaries of several comparisons joined? Pass one at a time."
        )
    return summary


def _check(frame, numbers):
    """Raise unless the frame has the columns, rows, arms and finite `numbers`."""
    missing = [name for name in [*_KEYS, *numbers] if name not in frame.columns]
    if missing:
        raise ValueError(
            f"The frame has no column {', '.join(map(repr, missing))}, only "
            f"{', '.join(map(repr, frame.columns))}. Pass the frame that compare or "
            "summarise returned."
        )
    if frame.height == 0:
        raise ValueError("The frame has no rows: there is nothing to report.")
    arms = frame["arm"].unique().to_list()
    if len(arms) < 2:
        raise ValueError(
            f"The frame has the arm {arms[0]!r} only, expected two or more: run compare"
            " with base and a teacher, or do not filter its arms away."
        )
    finite = pl.all_horizontal(
        pl.col(name).cast(pl.Float64).is_finite().fill_null(False) for name in numbers
    )
    bad = frame.filter(~finite)
    if bad.height:
        row = bad.row(0, named=True)
        values = ", ".join(f"{name}={row[name]}" for name in numbers)
        raise ValueError(
            f"{bad.height} of {frame.height} rows have no finite score; the first is "
            f"{_where(row)}: {values}. A fit probably diverged, or a fold has a single "
            "clip (R2 needs two). Run that arm again, or leave it out of every setting."
        )


def ordered_arms(frame: pl.DataFrame) -> list[str]:
    """Return arms in the order in which they were registered; others as they come."""
    found = frame["arm"].unique(maintain_order=True).to_list()
    return [a for a in ARMS if a in found] + [a for a in found if a not in ARMS]


def settings(summary: pl.DataFrame, column: str) -> list[int | None]:
    """Return the values of a column, ascending; None (all, or none) at the end."""
    values = summary[column].unique().to_list()
    return sorted(values, key=lambda value: (value is None, value))


def _where(row):
    return f"arm {row['arm']!r} {setting_text(row['n_labels'], row['channels'])}"


def contrasts(summary: pl.DataFrame) -> list[Contrast]:
    """Return every difference that a summary has.

    Returns
    -------
    list of Contrast
        By setting, then by the arm compared against, then by arm.
    """
    arms = ordered_arms(summary)
    compared = [arm for arm in arms if f"difference to {arm}" in summary.columns]
    rows = {tuple(row[key] for key in _KEYS): row for row in summary.to_dicts()}
    found = []
    for channels, n_labels, against, arm in itertools.product(
        settings(summary, "channels"), settings(summary, "n_labels"), compared, arms
    ):
        row = rows.get((n_labels, channels, arm))
        if row is not None and arm != against:
            found.append(_contrast(row, against))
    return list(filter(None, found))


def _contrast(row, against):
    numbers = [row.get(f"{name} to {against}") for name in _OF_CONTRAST]
    if not all(map(_is_finite, numbers[:3])):
        return None  # the arm compared against was not run in this setting
    return Contrast(row["arm"], against, row["n_labels"], row["channels"], *numbers)


def _is_finite(value):
    return value is not None and math.isfinite(value)
