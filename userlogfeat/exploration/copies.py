"""Leaks and copies as pairs of clips that a page can show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from userlogfeat.evaluation.copies import (
    COPY_RATIO,
    MIN_THRESHOLD,
    unit_scores,
    usual_distance,
)
from userlogfeat.evaluation.leaks import LeakReport, leak_report
from userlogfeat.exploration.clips import Clips
from userlogfeat.exploration.layers import Layer


@dataclass(frozen=True)
class Pair:
    """Two clips that have something in common.

    Attributes
    ----------
    kind : {"track", "artist", "audio", "copy"}
        "copy": near-duplicate audio within all clips.
    first, second : int
        Places of the clips.
    text : str
        The id in common, or the distance.
    """

    kind: str
    first: int
    second: int
    text: str


def pairs_of_report(report: LeakReport, places: np.ndarray) -> list[Pair]:
    """Return the pairs of a leak report.

    Parameters
    ----------
    report : LeakReport
    places : ndarray (n_rows,), int64
        Place of each of its rows on the page; -1 where it is not shown.

    Returns
    -------
    list of Pair
    """
    pairs = []
    for leak in report.leaks:
        sets = "/".join(leak.sets)
        for first, second, what in leak.pairs:
            if max(first, second) >= len(places):
                raise ValueError(
                    f"Got leaks of row {max(first, second)}, but the catalogue has "
                    f"{len(places)} rows. Make the report of the catalogue's clips."
                )
            a, b = int(places[first]), int(places[second])
            if a >= 0 and b >= 0:
                shared = f"distance {what:.3f}" if leak.kind == "audio" else str(what)
                pairs.append(Pair(leak.kind, a, b, f"{sets}: {shared}"))
    return pairs


def leaks_of_split(clips: Clips, split: list, features: np.ndarray) -> list[Pair]:
    """Return what the parts "train" and "test" of the clips have in common.

    Parameters
    ----------
    clips : Clips
    split : list of str or None
        Part of each clip.
    features : ndarray (n_clips, size)

    Returns
    -------
    list of Pair

    Raises
    ------
    ValueError
        Where a part is empty.
    """
    parts = [str(part).strip().lower() for part in split]
    train, test = (
        np.flatnonzero([part == name for part in parts]) for name in ("train", "test")
    )
    if not len(train) or not len(test):
        raise ValueError(
            f"Got a split with the parts {', '.join(sorted(set(parts)))}, expected "
            "train and test: leaks are looked for between these two."
        )
    items = clips.column("item")
    report = leak_report(
        train,
        test,
        tracks=_own(items, clips) if items is not None else None,
        artists=clips.column("artist"),
        features=features,
    )
    return pairs_of_report(report, np.arange(len(clips)))


def near_copies_of(features: np.ndarray, layer: Layer) -> list[Pair]:
    """Return pairs of clips that are much closer than usual neighbours.

    Parameters
    ----------
    features : ndarray (n_clips, size)
    layer : Layer
        The layer of these features.
    """
    rows = np.arange(len(features))
    units = unit_scores(features, rows)
    try:
        usual = usual_distance(units, [rows])
    except ValueError:  # all clips are copies of one
        usual = 0.0
    threshold = max(usual * COPY_RATIO, MIN_THRESHOLD)
    found = {
        (min(a, b), max(a, b)): distance
        for a, (others, distances) in enumerate(
            zip(layer.nearest.tolist(), layer.distances.tolist(), strict=True)
        )
        for b, distance in zip(others, distances, strict=True)
        if distance <= threshold
    }
    return [
        Pair("copy", a, b, f"distance {distance:.3f}")
        for (a, b), distance in sorted(found.items(), key=lambda pair: pair[1])
    ]


def _own(items, clips):
    """Items as text; a clip without one is its own."""
    return [
        f"clip {name}" if item is None else str(item)
        for name, item in zip(clips.names, items, strict=True)
    ]
