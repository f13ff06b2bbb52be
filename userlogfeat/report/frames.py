"""Frames of a comparison, checked: settings, arms and the differences between them."""

import math
from dataclasses import dataclass

import polars as pl

from userlogfeat._check import check_choice
from userlogfeat.report.words import ARMS, SIGNIFICANT, Metric, place

_KEYS = ["n_labels", "channels", "arm"]
_NUMBERS = ["mean", "low", "high"]


@dataclass(frozen=True)
class Contrast:
    """The difference between two arms in one setting, with what supports it."""

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
        return next((p for p in both if _is_number(p)), None)

    @property
    def holds(self) -> bool:
        """Whether there is a difference, which survives Holm's correction if made."""
        return self.sign != 0 and (self.p is None or self.p < SIGNIFICANT)


def checked(
    frame: pl.DataFrame, metric: str | None = None
) -> tuple[pl.DataFrame, Metric]:
    """Check what `compare` or `summarise` returned, and choose one metric.

    Parameters
    ----------
    frame : polars.DataFrame
        Of :func:`userlogfeat.comparison.compare` (one row a fit) or of
        :func:`userlogfeat.comparison.summarise` (one row an arm and setting).
    metric : str, optional
        Which one, where the frame has several; the score's name, where it has none.

    Returns
    -------
    frame : polars.DataFrame
        Its rows of this metric.
    metric : Metric

    Raises
    ------
    TypeError
        Where `frame` is no polars frame.
    ValueError
        Where columns are missing, there are no rows, only one arm, several metrics or
        scores that are NaN.
    """
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(
            f"Got a frame of type {type(frame).__name__}, expected the polars.DataFrame"
            " that compare or summarise returned (polars.from_pandas turns one of "
            "pandas into it)."
        )
    frame, metric = _of_metric(frame, metric)
    if has_fits(frame):
        _check(frame, ["score"])
        return frame, Metric(metric)
    _check(frame, _NUMBERS)
    repeated = frame.filter(frame.select(_KEYS).is_duplicated())
    if repeated.height:
        raise ValueError(
            f"The summary has several rows for {_where(repeated.row(0, named=True))}: "
            "were summaries of several comparisons joined? Pass one at a time."
        )
    return frame, Metric(metric)


def summarised(
    frame: pl.DataFrame, metric: str | None = None
) -> tuple[pl.DataFrame, Metric]:
    """As :func:`checked`; the frame of `compare` is summarised."""
    frame, metric = checked(frame, metric)
    if not has_fits(frame):
        return frame, metric
    from userlogfeat.comparison import summarise

    return checked(summarise(frame), metric.name)


def has_fits(frame: pl.DataFrame) -> bool:
    """Whether a frame is of `compare`: a row a fit, not yet summarised."""
    return "score" in frame.columns and "mean" not in frame.columns


def _of_metric(frame, metric):
    """The rows of one metric, and its name."""
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
    arms = frame["arm"].unique(maintain_order=True).to_list()
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


def ordered_arms(summary: pl.DataFrame) -> list[str]:
    """Arms in the order of ARMS; others after them, as they come."""
    found = summary["arm"].unique(maintain_order=True).to_list()
    return [a for a in ARMS if a in found] + [a for a in found if a not in ARMS]


def settings(summary: pl.DataFrame, column: str) -> list[int | None]:
    """Values of `n_labels` or `channels`, ascending; None (all, or none) at the end."""
    values = summary[column].unique().to_list()
    return sorted(values, key=lambda value: (value is None, value))


def _where(row):
    return f"arm {row['arm']!r} {place(row['n_labels'], row['channels'])}"


def contrast_column(name: str, against: str) -> str:
    """Column of a summary with the number `name` of the differences to an arm."""
    return f"{name} to {against}"


def contrasts(summary: pl.DataFrame) -> list[Contrast]:
    """Every difference that a summary has.

    Returns
    -------
    list of Contrast
        By setting, then by the arm compared against, then by arm.
    """
    arms = ordered_arms(summary)
    compared = [a for a in arms if contrast_column("difference", a) in summary.columns]
    rows = {tuple(row[key] for key in _KEYS): row for row in summary.to_dicts()}
    found = []
    for channels in settings(summary, "channels"):
        for n_labels in settings(summary, "n_labels"):
            for against in compared:
                for arm in arms:
                    row = rows.get((n_labels, channels, arm))
                    if row is not None and arm != against:
                        found.append(_contrast(row, against))
    return [contrast for contrast in found if contrast is not None]


def _contrast(row, against):
    def number(name):
        return row.get(contrast_column(name, against))

    if not all(map(_is_number, map(number, ("difference", "diff_low", "diff_high")))):
        return None  # the arm compared against was not run in this setting
    return Contrast(
        arm=row["arm"],
        against=against,
        n_labels=row["n_labels"],
        channels=row["channels"],
        difference=number("difference"),
        low=number("diff_low"),
        high=number("diff_high"),
        p_ttest_holm=number("p_ttest_holm"),
        p_wilcoxon_holm=number("p_wilcoxon_holm"),
        effect_size=number("effect_size"),
    )


def _is_number(value):
    return value is not None and math.isfinite(value)
