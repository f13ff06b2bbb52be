"""The outer folds of a comparison, checked: rows of X, apart, and none empty."""

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from userlogfeat._check import check_positive
from userlogfeat.comparison.problem import make_folds

_FOLD_SEED = 0  # if `cv` is a number: one set of folds for all seeds


def check_folds(
    student: Any, y: np.ndarray, cv: Any, groups: np.ndarray | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the outer folds as a list, whatever `cv` is.

    Parameters
    ----------
    student : estimator
    y : ndarray (n_clips,) or (n_clips, n_outputs)
    cv : int, splitter or iterable
        Folds, as ``compare`` takes them.
    groups : ndarray (n_clips,) or None

    Returns
    -------
    list of (train, test)
        Rows of X, also if `cv` has masks.

    Raises
    ------
    ValueError
        If there is no fold, or a part of one is empty, has rows that X has not, or
        overlaps with the other part.
    """
    if isinstance(cv, Integral):
        check_positive(cv, "cv", integer=True)
        return make_folds(student, y, cv, groups, seed=_FOLD_SEED)
    if hasattr(cv, "__iter__") and not hasattr(cv, "split"):
        folds = list(cv)
    else:
        splitter = check_cv(cv, y, classifier=is_classifier(student))
        with warnings.catch_warnings():  # our own warning of common artists is clearer
            warnings.filterwarnings("ignore", "The groups parameter is ignored")
            folds = list(splitter.split(np.zeros(len(y)), y, groups))
    if not folds:
        raise ValueError(
            "Got a `cv` without folds, expected one or more pairs (train, test). An "
            "iterator that was used before is empty: pass list(...) of a new one."
        )
    folds = [_check_fold(number, fold, len(y)) for number, fold in enumerate(folds)]
    both = sum(len(np.intersect1d(train, test)) > 0 for train, test in folds)
    if both:
        raise ValueError(f"{both} of {len(folds)} folds of `cv` train on test clips.")
    return folds


def _check_fold(number, fold, n_clips):
    if not hasattr(fold, "__len__") or len(fold) != 2:
        raise ValueError(
            f"Fold {number} of `cv` is of type {type(fold).__name__}, expected a pair "
            "(train, test) of rows of X. One split is passed as [(train, test)]."
        )
    parts = zip(("training", "test"), fold, strict=True)
    return tuple(
        _check_rows(f"The {name} part of fold {number} of `cv`", rows, n_clips)
        for name, rows in parts
    )


def _check_rows(part, rows, n_clips):
    """Return row numbers, from row numbers or a mask."""
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != (n_clips,):
            raise ValueError(
                f"{part} is a mask of shape {rows.shape}, expected ({n_clips},): a "
                "value for each clip of X."
            )
        rows = np.flatnonzero(rows)
    if rows.size == 0:
        raise ValueError(f"{part} is empty, expected one clip of X or more.")
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"{part} has shape {rows.shape} and dtype {rows.dtype}, expected row "
            "numbers (n,) of X, or a mask."
        )
    if rows.min() < 0 or rows.max() >= n_clips:
        raise ValueError(
            f"{part} has rows from {rows.min()} to {rows.max()}, expected rows of X: 0 "
            f"to {n_clips - 1}. Were clips dropped from X after `cv` was made?"
        )
    return rows
