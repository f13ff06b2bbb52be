"""Overlap of train, test and the teacher's data: tracks, artists, copies of audio.

A result is worth little if the test clips are known from training. Tracks and
artists are compared by their ids; copies that have other ids (GTZAN has some fifty:
Sturm 2013, "The GTZAN dataset: its contents, its faults, their effects on evaluation,
and its future use") by the cosine distance of their standardised features.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from userlogfeat._check import check_positive
from userlogfeat._groups import artist_groups, as_column, is_missing
from userlogfeat._typing import ArrayLike, Labels
from userlogfeat.evaluation.copies import (
    COPY_RATIO,
    MIN_THRESHOLD,
    near_copies,
    unit_scores,
    usual_distance,
)

_KINDS = ("track", "artist", "audio")


@dataclass(frozen=True, eq=False)
class Leak:
    """Overlap of two sets, of one kind.

    Attributes
    ----------
    kind : {"track", "artist", "audio"}
        Kind: same track, same artist, or near-duplicate audio.
    sets : (str, str)
        Names of the two sets, such as ("train", "test").
    rows : (ndarray, ndarray) of int64
        Rows of each set that overlap, ascending. To remove the leak, leave either out.
    pairs : list of (int, int, object)
        For every overlapping row of the second set: a row of the first (the nearest,
        for audio), that row itself, and the id of the track or artist in common, or the
        distance.
    n_rows : (int, int)
        Sizes of the two sets.
    """

    kind: str
    sets: tuple
    rows: tuple
    pairs: list[tuple[Any, ...]]
    n_rows: tuple

    @property
    def n_shared(self) -> int:
        """Number of tracks or artists in common; for audio, rows of the second set."""
        if self.kind == "audio":
            return len(self.pairs)
        return len({what for _, _, what in self.pairs})

    def __str__(self) -> str:
        first, second = self.sets
        names = {"track": "tracks", "artist": "artists", "audio": "copies of audio"}
        text = f"{first}/{second}: {self.n_shared} {names[self.kind]} shared"
        if not self.pairs:
            return text
        counts = [len(rows) for rows in self.rows]
        return (
            f"{text}, by {counts[0]} of {self.n_rows[0]} clips of {first} and "
            f"{counts[1]} of {self.n_rows[1]} ({counts[1] / self.n_rows[1]:.1%}) of "
            f"{second}"
        )


@dataclass(frozen=True, eq=False)
class LeakReport:
    """All leaks between train, test and the teacher's clips.

    Made by :func:`leak_report`; ``print`` it.

    Attributes
    ----------
    leaks : list of Leak
        One for each pair of sets and each kind that was compared, found or not.
    threshold : float or None
        Cosine distance at or below which audio counts as a copy; None without features.
    not_compared : tuple of str
        Kinds for which no ids or features were given.
    """

    leaks: list[Leak]
    threshold: float | None
    not_compared: tuple

    @property
    def clean(self) -> bool:
        """Whether no overlap was found."""
        return not any(leak.pairs for leak in self.leaks)

    def get(
        self, first: str, second: str, kind: Literal["track", "artist", "audio"]
    ) -> Leak:
        """Return the leak of one kind between two sets: ("train", "test", "artist").

        Parameters
        ----------
        first, second : str
            "train" and "test", "teacher" and "test", or "teacher" and "train".
        kind : {"track", "artist", "audio"}

        Returns
        -------
        Leak
        """
        for leak in self.leaks:
            if (*leak.sets, leak.kind) == (first, second, kind):
                return leak
        compared = ", ".join(f"{'/'.join(k.sets)} {k.kind}" for k in self.leaks)
        raise KeyError(f"{first}/{second} {kind} was not compared; there is {compared}")

    def __str__(self) -> str:
        lines = [str(leak) for leak in self.leaks]
        if self.threshold is not None:
            lines.append(f"(copies: cosine distance {self.threshold:.2g} or less)")
        if self.not_compared:
            lines.append(f"(not compared: {', '.join(self.not_compared)})")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return counts for a results file.

        Returns
        -------
        dict of str to dict
            "train/test artist", ... to {"n_shared", "n_first", "n_second"}: number in
            common, and of overlapping clips in either set.
        """
        return {
            f"{'/'.join(leak.sets)} {leak.kind}": {
                "n_shared": leak.n_shared,
                "n_first": len(leak.rows[0]),
                "n_second": len(leak.rows[1]),
            }
            for leak in self.leaks
        }

    def to_frame(self) -> pl.DataFrame:
        """Return all pairs.

        Returns
        -------
        polars.DataFrame
            One row per pair: `first`, `second` (names of the sets), `kind`,
            `row_first`, `row_second`, `shared` (id of the track or artist, as text)
            and `distance` (of audio; else null).
        """
        rows = [
            (*leak.sets, leak.kind, first, second)
            + ((None, what) if leak.kind == "audio" else (str(what), None))
            for leak in self.leaks
            for first, second, what in leak.pairs
        ]
        schema = dict.fromkeys(("first", "second", "kind"), pl.String)
        schema |= {"row_first": pl.Int64, "row_second": pl.Int64}
        schema |= {"shared": pl.String, "distance": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row")


def leak_report(
    train: ArrayLike,
    test: ArrayLike,
    *,
    teacher: ArrayLike | None = None,
    tracks: Labels | None = None,
    artists: Labels | None = None,
    features: ArrayLike | None = None,
    threshold: float | None = None,
) -> LeakReport:
    """Find the overlap of train and test, and of the teacher's data with both.

    All arrays are over the rows of one table of clips. For a teacher that learned from
    another table, put its rows below: ``np.concatenate([artists, teacher_artists])``.

    Parameters
    ----------
    train, test, teacher : array-like
        Rows, or boolean masks (n_clips,), of the training clips, the test clips, and
        the training clips of the teacher.
    tracks, artists : array-like (n_clips,), optional
        Ids. Missing ones (None, NaN, "", -1) overlap with none. Without `tracks`
        every row is a track.
    features : array-like (n_clips, n_features), optional
        Features of the audio; ten columns or more that are not redundant. They are
        standardised over all sets, so their scales do not matter.
    threshold : float, optional
        Cosine distance, in (0, 2), at or below which two clips are copies. By default
        ``COPY_RATIO`` (0.1) times the median distance from a clip to its nearest
        neighbour in its own set, over up to 1,000 clips of each set.

    Returns
    -------
    LeakReport

    Raises
    ------
    ValueError
        If rows or arrays do not fit together, an id occurs as a number and as text, or
        features are not finite.

    Examples
    --------
    >>> from userlogfeat.evaluation.leaks import leak_report
    >>> artists = ["Can", "Nico", "Nico", "Neu!", None, None]
    >>> report = leak_report([0, 1, 4], [2, 3, 5], artists=artists)
    >>> print(report)
    train/test: 0 tracks shared
    train/test: 1 artists shared, by 1 of 3 clips of train and 1 of 3 (33.3%) of test
    (not compared: audio)
    >>> report.get("train", "test", "artist").pairs
    [(1, 2, 'Nico')]
    """
    n_clips = _n_clips(tracks, artists, features)
    given = {"train": train, "test": test, "teacher": teacher}
    given = {name: rows for name, rows in given.items() if rows is not None}
    sets = {name: _rows(rows, name, n_clips) for name, rows in given.items()}
    pairs = [("train", "test")]
    if teacher is not None:
        pairs += [("teacher", "test"), ("teacher", "train")]
    n_rows = n_clips or 1 + max(rows.max() for rows in sets.values())
    ids = {"track": np.arange(n_rows) if tracks is None else tracks}
    if artists is not None:
        ids["artist"] = artists
    numbers = {}
    for kind, column in ids.items():
        values = as_column(column, f"{kind}s").tolist()
        _check_types(kind, values)
        numbers[kind] = artist_groups(column), values
    if features is not None:
        clips = np.unique(np.concatenate(list(sets.values())))
        units = unit_scores(features, clips)
        if threshold is None:
            threshold = usual_distance(units, sets.values()) * COPY_RATIO
            threshold = max(threshold, MIN_THRESHOLD)
        check_positive(threshold, "threshold")
    leaks = []
    for names in pairs:
        both = sets[names[0]], sets[names[1]]
        found = {kind: _shared(*both, *numbers[kind]) for kind in numbers}
        if features is not None:
            found["audio"] = near_copies(*both, units, threshold)
        sizes = tuple(len(rows) for rows in both)
        leaks += [Leak(kind, names, *found[kind], sizes) for kind in found]
    compared = {leak.kind for leak in leaks}
    missed = tuple(kind for kind in _KINDS if kind not in compared)
    return LeakReport(leaks, None if features is None else threshold, missed)


def _n_clips(tracks, artists, features):
    """Return the number of clips, the same in all arrays, or None without any."""
    given = {"tracks": tracks, "artists": artists, "features": features}
    sizes = {name: len(array) for name, array in given.items() if array is not None}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{size} {name}" for name, size in sizes.items())
        raise ValueError(f"Got {listed}, expected one for each clip.")
    return next(iter(sizes.values()), None)


def _check_types(kind, ids):
    """Raise if an id occurs in two types: it would count as two."""
    seen = {}
    for id in ids:
        if not is_missing(id) and seen.setdefault(str(id), id) != id:
            raise ValueError(
                f"Got the {kind} ids {seen[str(id)]!r} and {id!r}, which differ in "
                "type alone: their overlap would go unnoticed. Bring all to one type."
            )


def _rows(rows, name, n_clips):
    """Return row numbers, ascending, from row numbers or a mask."""
    rows = np.asarray(rows)
    if rows.dtype == bool and (n_clips is None or rows.shape == (n_clips,)):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or len(rows) == 0 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"Got {name} of shape {rows.shape} and type {rows.dtype}, expected row "
            f"numbers or a boolean mask{f' of {n_clips} clips' if n_clips else ''}, "
            "with one clip or more."
        )
    rows = np.unique(rows.astype(np.int64))
    if rows[0] < 0 or (n_clips is not None and rows[-1] >= n_clips):
        raise ValueError(
            f"Got {name} with rows {rows[0]} to {rows[-1]}, expected 0 to "
            f"{'n_clips - 1' if n_clips is None else n_clips - 1}."
        )
    return rows


def _shared(first, second, numbers, column):
    """Return rows of two sets with a number in common, and pairs of them."""
    _, at_first, at_second = np.intersect1d(
        numbers[first], numbers[second], return_indices=True
    )
    example = dict(zip(numbers[first][at_first], first[at_first], strict=True))
    concerned = second[np.isin(numbers[second], list(example))]
    pairs = [(int(example[numbers[row]]), int(row), column[row]) for row in concerned]
    rows = first[np.isin(numbers[first], numbers[second[at_second]])], concerned
    return rows, pairs
