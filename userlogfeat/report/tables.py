"""The tables of a report: headers and rows of text, not yet escaped."""

import json
import math
from collections import Counter

import polars as pl

from userlogfeat.comparison.arms import ARMS
from userlogfeat.report.frames import ALL, Contrast, Metric, Results, ordered_arms
from userlogfeat.report.page import Table

UNKNOWN = "–"
_SETTINGS = ("Labels per class", "Channels")


def overview(results: Results) -> list[tuple[str, str]]:
    """Return names and values that describe the comparison.

    Parameters
    ----------
    results : Results

    Returns
    -------
    list of (str, str)
    """
    summary, fits = results.summary, results.fits
    channels = [c for c in results.settings("channels") if c is not None]
    labels = map(_or_all, results.settings("n_labels"))
    pairs = [
        ("Score", results.metric.label),
        ("Arms", ", ".join(results.arms)),
        ("Labelled clips per class", ", ".join(labels)),
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


def arm_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: arm, description and, of known fits, mean duration.

    Parameters
    ----------
    results : Results

    Returns
    -------
    header : list of str
    rows : list of list of str
    """
    header, rows = ["Arm", "What it is"], []
    timed = results.fits is not None and "seconds" in results.fits.columns
    for name in results.arms:
        arm = ARMS.get(name)
        row = [name, "an arm of your own" if arm is None else arm.description]
        if timed:
            mean = results.fits.filter(pl.col("arm") == name)["seconds"].mean()
            row.append(UNKNOWN if mean is None else f"{mean:.3g}")
        rows.append(row)
    return header + ["Seconds per fit"] * timed, rows


def score_tables(results: Results) -> list[Table]:
    """Return tables of scores: arms down; labels across, or channels where they vary.

    Parameters
    ----------
    results : Results

    Returns
    -------
    list of Table
        One for each number of channels, or one for all where there is a single number
        of labels.
    """
    channels, labels = results.settings("channels"), results.settings("n_labels")
    rows = {
        (r["arm"], r["n_labels"], r["channels"]): r for r in results.summary.to_dicts()
    }

    def table(header, settings, caption=""):
        scores = [
            [arm, *(_score(rows.get((arm, *s)), results.metric) for s in settings)]
            for arm in results.arms
        ]
        return Table(["Arm", *header], scores, caption=caption, numbers=True)

    if len(labels) == 1 and len(channels) > 1:
        header = [f"{c} channels" for c in channels]
        return [table(header, [(labels[0], c) for c in channels])]
    header = [f"{_or_all(n)} labels" for n in labels]
    return [
        table(header, [(n, c) for n in labels], "" if c is None else f"{c} channels")
        for c in channels
    ]


def _score(row, metric):
    if row is None:
        return UNKNOWN
    mean, low, high = (metric.score(row[name]) for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"


def contrast_table(found: list[Contrast], metric: Metric, caption: str = "") -> Table:
    """Return a table of differences, without columns that are not informative.

    These are p values that are not known, and settings of which there is only one.

    Parameters
    ----------
    found : list of Contrast
    metric : Metric
    caption : str

    Returns
    -------
    Table
    """
    rows, kept = [_contrast_row(c, metric) for c in found], {}
    for name in rows[0]:
        texts = [row[name] for row in rows]
        if set(texts) != {UNKNOWN} and (len(set(texts)) > 1 or name not in _SETTINGS):
            kept[name] = texts
    texts = list(zip(*kept.values(), strict=True))
    return Table(list(kept), texts, caption, numbers=True)


def _contrast_row(contrast, metric):
    change, low, high = metric.amounts(contrast.difference, contrast.low, contrast.high)
    channels = UNKNOWN if contrast.channels is None else str(contrast.channels)
    return {
        **dict(zip(_SETTINGS, (_or_all(contrast.n_labels), channels), strict=True)),
        "Arm": contrast.arm,
        "Difference": f"{change}{metric.unit}",
        "95 % interval": f"{low} to {high}",
        "p, t-test (Holm)": p_value(contrast.p_ttest_holm),
        "p, Wilcoxon (Holm)": p_value(contrast.p_wilcoxon_holm),
        "Effect size (d)": _effect(contrast.effect_size),
    }


def _effect(size):
    """Write Cohen's d; it is infinite where all differences are the same."""
    if size is None or math.isnan(size):
        return UNKNOWN
    text = "∞" if math.isinf(size) else f"{abs(size):.2f}"
    return f"−{text}" if size < 0 else text


def p_value(p: float | None) -> str:
    """Write a p value: two digits, and "< 0.0001" below that."""
    if p is None or p != p:
        return UNKNOWN
    if p < 1e-4:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.001 else f"{p:.2g}"


def setting_table(fits: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: arm, parameter, the values chosen and how often.

    Parameters
    ----------
    fits : polars.DataFrame
        Frame with a column `params`: a struct, or JSON.

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
            ranked = Counter(values).most_common()
            words = [f"{value} ({n} of {len(values)})" for value, n in ranked]
            rows.append([arm, name, ", ".join(words)])
    return ["Arm", "Parameter", "Chosen (in how many fits)"], rows


def _params(value):
    """The chosen settings of one fit; a struct has null where an arm has none."""
    if isinstance(value, str):
        value = json.loads(value)
    return {k: v for k, v in (value or {}).items() if v is not None}


def _or_all(n_labels):
    return ALL if n_labels is None else str(n_labels)


def _range(frame, column):
    """A column as "200", or as "190 to 200" where it varies; a dash without it."""
    values = frame[column].drop_nulls() if column in frame.columns else []
    if len(values) == 0:
        return UNKNOWN
    low, high = values.min(), values.max()
    return str(low) if low == high else f"{low} to {high}"
