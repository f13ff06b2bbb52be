"""Accuracy by the number of examples of each class, with standard errors over folds.

Hamel, Davies, Yoshii, Goto (2013), "Transfer learning in MIR", figure 3: in each of ten
folds the classifier learns from a few clips per class of the training part, and is
tested on all of the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from userlogfeat._typing import ArrayLike, Audio, Labels
from userlogfeat.evaluation.folds import n_per_class, stratified_folds, take


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Accuracy by examples per class.

    Attributes
    ----------
    sizes : tuple of (int or None)
        Numbers of examples of each class; None for all.
    scores : ndarray (n_sizes, n_folds)
        Accuracy of each fold, from 0 to 1.
    outcomes : ndarray (n_sizes, n_clips)
        1 for a clip that was classified correctly, 0 for others; the mean over the
        folds that tested it; NaN for a clip that none tested.
    """

    sizes: tuple
    scores: np.ndarray
    outcomes: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean accuracy over the folds: ndarray (n_sizes,)."""
        return self.scores.mean(axis=1)

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of that mean: ndarray (n_sizes,)."""
        return np.array([standard_error(row) for row in self.scores])


def standard_error(scores: ArrayLike) -> float:
    """Compute the standard error of a mean over folds: s / sqrt(n), with s of n - 1.

    Training clips of folds overlap, so it is somewhat too small (Nadeau and Bengio
    2003). Tables call it "10-fold, standard error".

    Parameters
    ----------
    scores : array-like (n_folds,)

    Returns
    -------
    float
        NaN for one fold.

    Examples
    --------
    >>> from userlogfeat.evaluation.learning_curves import standard_error
    >>> standard_error([0.5, 0.7])  # s = 0.1414
    0.1
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"Got scores of shape {scores.shape}, expected (n_folds,).")
    if len(scores) == 1:
        return float("nan")
    return float(round(scores.std(ddof=1) / np.sqrt(len(scores)), 15))


def learning_curve(
    estimator: Any,
    X: Audio,
    y: ArrayLike,
    *,
    sizes: Sequence[int | None] = (None,),
    cv: list[tuple[np.ndarray, np.ndarray]] | None = None,
    groups: Labels | None = None,
    seed: int = 0,
) -> LearningCurve:
    """Measure the accuracy of a classifier trained on a few clips of each class.

    Parameters
    ----------
    estimator : classifier
        Classifier, cloned for every fit.
    X : list or array-like of n_clips
        Input of the classifier: rows, or arrays of windows.
    y : array-like (n_clips,)
        One class per clip.
    sizes : sequence of (int or None)
        Numbers of training clips of each class; a class of fewer gives all it has.
        None: all. Within a fold, smaller samples are part of larger ones.
    cv : list of (train, test), optional
        Folds; ten stratified ones by default, which keep `groups` together.
    groups : array-like (n_clips,), optional
        Artists: the few clips of a class are spread over them.
    seed : int
        Seed of the folds and the draws.

    Returns
    -------
    LearningCurve

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from userlogfeat.evaluation.learning_curves import learning_curve
    >>> X, y = np.arange(40)[:, None], np.repeat(["low", "high"], 20)
    >>> curve = learning_curve(KNeighborsClassifier(1), X, y, sizes=(1, None))
    >>> curve.scores.shape
    (2, 10)
    >>> bool(curve.mean[1] > 0.9)
    True
    """
    y = np.asarray(y)
    cv = stratified_folds(y, groups=groups, seed=seed) if cv is None else list(cv)
    groups = None if groups is None else np.asarray(groups, dtype=object)
    scores = np.empty((len(sizes), len(cv)))
    right, tested = np.zeros((len(sizes), len(y))), np.zeros(len(y))
    for fold, (train, test) in enumerate(cv):
        tested[test] += 1
        for place, size in enumerate(sizes):
            rows = _draw(train, y, size, groups, [seed, fold])
            fitted = clone(estimator).fit(take(X, rows), y[rows])
            correct = np.asarray(fitted.predict(take(X, test))) == y[test]
            scores[place, fold] = correct.mean()
            right[place, test] += correct
    outcomes = np.where(tested > 0, right / np.maximum(tested, 1), np.nan)
    return LearningCurve(tuple(sizes), scores, outcomes)


def _draw(train, y, size, groups, seed):
    """Draw rows of `train`, `size` of each class."""
    if size is None:
        return train
    own = None if groups is None else groups[train]
    seed = int(np.random.default_rng(seed).integers(2**31))
    return train[n_per_class(y[train], size, groups=own, seed=seed, fewer="all")]
