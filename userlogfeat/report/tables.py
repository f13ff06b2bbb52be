"""The tables of a report as text: a header and rows of cells, not yet escaped."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import polars as pl

from userlogfeat.report.frames import ordered_arms, settings
from userlogfeat.report.words import ALL, ARMS

if TYPE_CHECKING:
    from userlogfeat.report.frames import Contrast
    from userlogfeat.report.words import Metric


UNKNOWN = "–"
_SETTINGS = ("Labels a class", "Channels")
CONTRAST_HEADER = (
    *_SETTINGS,
    "Arm",
    "Difference",
    "95 % interval",
    "p, t-test (Holm)",
    "p, Wilcoxon (Holm)",
    "Effect size (d)",
)


def overview(
    summary: pl.DataFrame, fits: pl.DataFrame | None, metric: Metric
) -> list[tuple[str, str]]:
    """What was compared: pairs of a name and a value.

    Parameters
    ----------
    summary : polars.DataFrame
    fits : polars.DataFrame or None
        The frame of `compare`, where it is known.
    metric : Metric

    Returns
    -------
    list of (str, str)
    """
    channels = [c for c in settings(summary, "channels") if c is not None]
    pairs = [
        ("Score", metric.label),
        ("Arms", ", ".join(ordered_arms(summary))),
        ("Labelled clips a class", ", ".join(map(_or_all, _labels(summary)))),
        ("Channels of the network", ", ".join(map(str, channels)) or UNKNOWN),
        ("Clips tested", _range(summary, "n_clips")),
        ("Artists tested", _range(summary, "n_groups")),
        ("Seeds", _range(summary, "n_seeds")),
    ]
    if fits is not None:
        pairs += [
            ("Folds", str(fits["fold"].n_unique()) if "fold" in fits else UNKNOWN),
            ("Clips trained on", _range(fits, "n_train")),
            ("Fits", str(fits.height)),
        ]
    return pairs


def arm_table(
    summary: pl.DataFrame, fits: pl.DataFrame | None
) -> tuple[list[str], list[list[str]]]:
    """Header and rows: arm, what it is, and, where fits are known, how long one takes.

    Parameters
    ----------
    summary : polars.DataFrame
    fits : polars.DataFrame or None

    Returns
    -------
    header : list of str
    rows : list of list of str
    """
    header, rows = ["Arm", "What it is"], []
    timed = fits is not None and "seconds" in fits.columns
    for arm in ordered_arms(summary):
        row = [arm, ARMS.get(arm, "an arm of your own")]
        if timed:
            mean = fits.filter(pl.col("arm") == arm)["seconds"].mean()
            row.append(UNKNOWN if mean is None else f"{mean:.3g}")
        rows.append(row)
    return header + ["Seconds a fit"] * timed, rows


def score_tables(
    summary: pl.DataFrame, metric: Metric
) -> list[tuple[str, list[str], list[list[str]]]]:
    """Scores with intervals: arms down; labels across, or channels where they vary.

    Parameters
    ----------
    summary : polars.DataFrame
    metric : Metric

    Returns
    -------
    list of (str, list of str, list of list of str)
        Caption, header, rows: a table for each number of channels, or one for all
        where there is a single number of labels.
    """
    channels, labels = settings(summary, "channels"), _labels(summary)
    if len(labels) == 1 and len(channels) > 1:
        header = ["Arm", *(f"{c} channels" for c in channels)]
        return [("", header, _pivot(summary, "channels", channels, metric))]
    header, tables = ["Arm", *(f"{_or_all(n)} labels" for n in labels)], []
    for value in channels:
        part = summary.filter(pl.col("channels").eq_missing(value))
        caption = "" if value is None else f"{value} channels"
        tables.append((caption, header, _pivot(part, "n_labels", labels, metric)))
    return tables


def _pivot(summary, column, values, metric):
    cells = {(row["arm"], row[column]): row for row in summary.to_dicts()}
    rows = []
    for arm in ordered_arms(summary):
        found = [cells.get((arm, value)) for value in values]
        rows.append(
            [arm, *(UNKNOWN if r is None else _score(r, metric) for r in found)]
        )
    return rows


def _score(row, metric):
    mean, low, high = (metric.score(row[name]) for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def contrast_table(
    found: list[Contrast], metric: Metric
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of differences, without columns that say nothing.

    These are p values that are not known, and settings of which there is only one.

    Parameters
    ----------
    found : list of Contrast
    metric : Metric

    Returns
    -------
    header : list of str
    rows : list of list of str
    """
    rows = [_contrast_row(contrast, metric) for contrast in found]
    said = [
        set(cells) != {UNKNOWN} and (len(set(cells)) > 1 or name not in _SETTINGS)
        for name, cells in zip(CONTRAST_HEADER, zip(*rows, strict=True), strict=True)
    ]
    header = [name for name, keep in zip(CONTRAST_HEADER, said, strict=True) if keep]
    return header, [
        [cell for cell, keep in zip(row, said, strict=True) if keep] for row in rows
    ]


def _contrast_row(contrast, metric):
    change, low, high = metric.amounts(contrast.difference, contrast.low, contrast.high)
    unit = " points" if metric.is_share else ""
    return [
        _or_all(contrast.n_labels),
        UNKNOWN if contrast.channels is None else str(contrast.channels),
        contrast.arm,
        f"{change}{unit}",
        f"{low} to {high}",
        p_value(contrast.p_ttest_holm),
        p_value(contrast.p_wilcoxon_holm),
        _effect(contrast.effect_size),
    ]


def _effect(size):
    """Cohen's d as text; it is infinite where all differences are the same."""
    if size is None or math.isnan(size):
        return UNKNOWN
    text = "∞" if math.isinf(size) else f"{abs(size):.2f}"
    return f"−{text}" if size < 0 else text


def p_value(p: float | None) -> str:
    """A p value as text: two digits, and "< 0.0001" below that."""
    if p is None or p != p:
        return UNKNOWN
    if p < 1e-4:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.001 else f"{p:.2g}"


def setting_table(fits: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Header and rows: arm, parameter, the values that the search chose, how often.

    Parameters
    ----------
    fits : polars.DataFrame
        With a column `params`: a struct, or JSON.

    Returns
    -------
    header : list of str
    rows : list of list of str
        Empty where nothing was searched.
    """
    rows = []
    for arm in ordered_arms(fits):
        chosen = [_params(p) for p in fits.filter(pl.col("arm") == arm)["params"]]
        names = dict.fromkeys(name for params in chosen for name in params)
        for name in names:
            values = [str(params[name]) for params in chosen if name in params]
            counts = {value: values.count(value) for value in dict.fromkeys(values)}
            ranked = sorted(counts.items(), key=lambda pair: -pair[1])
            words = [f"{value} ({n} of {len(values)})" for value, n in ranked]
            rows.append([arm, name, ", ".join(words)])
    return ["Arm", "Parameter", "Chosen (in how many fits)"], rows


def _params(value):
    """The chosen settings of one fit; a struct has null where an arm has none."""
    if isinstance(value, str):
        value = json.loads(value)
    return {k: v for k, v in (value or {}).items() if v is not None}


def _labels(summary):
    return settings(summary, "n_labels")


def _or_all(n_labels):
    return ALL if n_labels is None else str(n_labels)


def _range(frame, column):
    """A column as "200", or as "190 to 200" where it varies; a dash without it."""
    values = frame[column].drop_nulls() if column in frame.columns else []
    if len(values) == 0:
        return UNKNOWN
    low, high = values.min(), values.max()
    return str(low) if low == high else f"{low} to {high}"
