"""Artists in the training data of a teacher and in the clips of its students.

A teacher must not be trained on the artists that its students are tested on. So the
artists of both sides get one numbering, from their ids and from clips that are on both
sides (:func:`find_artist_overlap`).
"""

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from userlogfeat._check import check_number
from userlogfeat._digests import array_digest
from userlogfeat._groups import as_column, group_keys, is_missing
from userlogfeat._ids import examples
from userlogfeat._typing import Audio, Labels

_SHOWN = 3  # examples in a message


@dataclass(frozen=True, eq=False)
class TeacherData:
    """A teacher yet to be trained, with its training clips and their factors.

    Attributes
    ----------
    estimator : CFRegressor
        Teacher, not fitted. If its `random_state` is None, every seed of the comparison
        trains a teacher of its own; with an integer, all seeds have the same.
    X : array-like of n_clips
        Training clips of the teacher, as the estimator's ``fit`` takes them.
    factors : array-like (n_clips, n_factors)
        Factor of each clip's item, as ``Catalogue.align`` gives them.
    items : array-like (n_clips,)
        Item of each clip, or artist if the items of the logs are artists. In permuted
        logs, these exchange their factors.
    clips : array-like (n_clips,) of int, optional
        For each clip, the row of the student's X that is the same clip; -1 for none.
        By default, rows that are equal (the same path, the same numbers). All -1,
        together with `groups`, states that there is no overlap.
    groups : array-like (n_clips,), optional
        Artist of each clip, by default `items`. The ids must be those of the
        ``groups`` that ``compare`` gets: they identify the test artists. If no id is on
        both sides, ``compare`` warns.
    sample_weight : array-like (n_clips,), optional
        Weights of the clips when the teacher is trained.
    student_X : array-like, optional
        The student's clips as input of the teacher, if it does not take the student's
        own X (features for the teacher, spectrograms for the student).
    n_folds : int
        Number of heads that estimate the teacher's own clips, each trained without one
        part of the artists; two or more.
    """

    estimator: Any
    X: Any
    factors: Any
    items: Any
    clips: Any = None
    groups: Any = None
    sample_weight: Any = None
    student_X: Any = None
    n_folds: int = 9


@dataclass(frozen=True)
class ArtistOverlap:
    """Artists of the student's and the teacher's clips, by one numbering.

    Attributes
    ----------
    student : ndarray (n_student_clips,), int
    teacher : ndarray (n_teacher_clips,), int
    certain : bool
        False if the student's artists are known, but no id is on both sides and the
        teacher has clips of its own: their artists may be the student's under other
        names.
    """

    student: np.ndarray
    teacher: np.ndarray
    certain: bool = True

    def common(self, rows: np.ndarray) -> np.ndarray:
        """Return the teacher's artists that are in some rows of the student's clips."""
        return np.intersect1d(self.student[rows], self.teacher)


def check_teacher_data(data: TeacherData, n_student_clips: int) -> TeacherData:
    """Return the data with arrays for sequences; raise if no teacher can be trained.

    Parameters
    ----------
    data : TeacherData
    n_student_clips : int

    Returns
    -------
    TeacherData
    """
    _check_estimator(data)
    n_clips = n_rows(data.X)
    factors = np.asarray(data.factors)
    if factors.ndim != 2 or factors.dtype.kind not in "fiu":
        raise ValueError(
            f"Got factors of shape {factors.shape} and dtype {factors.dtype}, expected "
            "numbers (n_clips, n_factors): a factor for each of the teacher's clips."
        )
    bad = np.flatnonzero(~np.isfinite(factors).all(axis=1))
    if len(bad):
        raise ValueError(
            f"The factors of {len(bad)} clips contain NaN or infinity (rows "
            f"{examples(bad, write=str)}): leave out clips whose item "
            "is not in the logs."
        )
    columns = {"items": as_column(data.items, "items"), "factors": factors}
    for name in ("clips", "groups", "sample_weight"):
        if (values := getattr(data, name)) is not None:
            is_ids = name == "groups"  # NumPy would turn NaN among names to text
            columns[name] = as_column(values, name) if is_ids else np.asarray(values)
    for name, values in columns.items():
        if len(values) != n_clips:
            raise ValueError(
                f"Got {name} of {len(values)} rows for a teacher's X of {n_clips}: "
                "expected one row per clip."
            )
    clips = columns.get("clips", np.array([-1]))
    if clips.dtype.kind not in "iu" or clips.max(initial=-1) >= n_student_clips:
        raise ValueError(
            f"Got clips of dtype {clips.dtype} with maximum {clips.max()}, expected "
            f"rows of the student's X (0 to {n_student_clips - 1}), -1 for none."
        )
    if data.student_X is not None and n_rows(data.student_X) != n_student_clips:
        raise ValueError(
            f"Got student_X of {n_rows(data.student_X)} rows, expected one for each of "
            f"the student's {n_student_clips} clips."
        )
    return replace(data, **columns)


def find_artist_overlap(
    data: TeacherData, X: Audio, groups: Labels | None = None
) -> ArtistOverlap:
    """Number the artists of the student's and the teacher's clips together.

    Two clips are by one artist if they have the same id, or if they are the same
    clip: the numbers are the connected components of both relations.

    Parameters
    ----------
    data : TeacherData
        Checked.
    X : array-like of n_clips
        The student's clips.
    groups : ndarray (n_clips,), optional
        Their artists. Without them, only equal clips are by one artist.

    Returns
    -------
    ArtistOverlap
    """
    number = {}
    teacher = _numbers("teacher", _artists(data), number)
    n_teacher = len(number)
    ids = [None] * n_rows(X) if groups is None else groups
    student = _numbers("student", ids, number)
    rows, clips = _same_clips(data, X)
    apart = groups is not None and student.min() >= n_teacher
    if apart and len(rows) == 0:
        _check_types(_artists(data), groups)
    stated = data.clips is not None and data.groups is not None
    inside = len(np.unique(clips)) == len(teacher)  # every clip is the student's too
    edges = (np.ones(len(rows)), (student[rows], teacher[clips]))
    graph = coo_array(edges, shape=(len(number), len(number)))
    _, part = connected_components(graph, directed=False)
    certain = not apart or stated or inside
    return ArtistOverlap(part[student], part[teacher], certain)


def n_rows(X: Audio) -> int:
    """Return the number of clips in X, whatever holds them."""
    return X.shape[0] if hasattr(X, "shape") else len(X)


def _check_estimator(data):
    """Raise if there is nothing to train, or too few heads."""
    needed = ("fit", "predict", "get_params", "set_params")
    lacking = [name for name in needed if not hasattr(data.estimator, name)]
    if isinstance(data.estimator, type) or lacking:
        kind = "the class " * isinstance(data.estimator, type) + repr(data.estimator)
        raise TypeError(
            f"Got TeacherData with estimator {kind}, expected an estimator to be "
            "trained, such as CFRegressor(). Teachers that are ready are passed as a "
            "dict, teachers={'kd': ...}."
        )
    # A training clip is estimated by a head without its artist.
    check_number(data.n_folds, "n_folds", 2, integer=True)


def _artists(data):
    return data.items if data.groups is None else data.groups


def _numbers(side, ids, number):
    """Number the ids; equal ids have one number, missing ones one each."""
    keys = group_keys(ids, side)
    return np.array([number.setdefault(key, len(number)) for key in keys])


def _same_clips(data, X):
    """Return rows of the student's X and of the teacher's that are the same clips."""
    if data.clips is not None:
        clips = np.flatnonzero(data.clips >= 0)
        return data.clips[clips], clips
    rows_of = {}
    for row, key in enumerate(_keys(X if data.student_X is None else data.student_X)):
        rows_of.setdefault(key, []).append(row)
    pairs = [
        (row, clip)
        for clip, key in enumerate(_keys(data.X))
        for row in rows_of.get(key, ())
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def _keys(X):
    """Yield the identity of each clip: its normal path, or a digest of its numbers."""
    for row in X.to_numpy() if hasattr(X, "iloc") else X:
        if isinstance(row, str | bytes | os.PathLike):
            yield os.path.normpath(os.fspath(row))
        else:
            yield array_digest([np.asarray(row, dtype=np.float32)], n_bytes=16)


def _check_types(artists, groups):
    """Raise if no id is shared, but some would be if written as text."""
    theirs, ours = (
        {str(i): i for i in as_column(ids, "groups").tolist() if not is_missing(i)}
        for ids in (artists, groups)
    )
    common = sorted(theirs.keys() & ours.keys())[:_SHOWN]
    if common:
        shown = ", ".join(f"{ours[text]!r} and {theirs[text]!r}" for text in common)
        raise ValueError(
            "No id of `groups` is among the teacher's artists, but as text some are: "
            f"{shown}. The teacher would be trained on test artists. Bring both to one "
            "type."
        )
