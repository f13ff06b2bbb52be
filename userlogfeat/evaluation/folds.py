"""Training and test clips: folds, splits and small subsets.

Clips of one artist on both sides of a split raise the scores of every classifier
(Flexer and Schnitzer 2010, "Effects of album and artist filters in audio similarity
computed for very large music databases"), so all functions here can keep artists
together.
Published splits belong to the data sets: see
:meth:`userlogfeat.datasets.LabelledClips.cv`.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.utils.multiclass import type_of_target

from userlogfeat._check import check_choice, check_positive
from userlogfeat._groups import artist_groups, warn_of_odd_ids
from userlogfeat._pages import see
from userlogfeat._typing import ArrayLike, Labels, RandomState

__all__ = [
    "artist_groups",
    "n_per_class",
    "stratified_folds",
    "StratifiedArtistKFold",
    "take",
]


def _check_labels(y):
    y = np.asarray(y)
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(f"Got y of shape {y.shape}, expected labels (n_clips,).")
    if any(value is None or value != value for value in y.tolist()):
        raise ValueError("Got y with missing labels. Leave these clips out.")
    fate = "it is a class like others"
    warn_of_odd_ids(y.tolist(), "label", fate, "Leave these clips out")
    if type_of_target(y) not in ("binary", "multiclass"):
        raise ValueError(
            f"Got y of type {type_of_target(y)!r}, expected one class per clip. For "
            "numbers to predict, use sklearn's KFold or GroupKFold."
        )
    return y


def _check_groups(groups, y):
    groups = artist_groups(groups)
    if len(groups) != len(y):
        raise ValueError(f"Got {len(groups)} artists for {len(y)} labels.")
    return groups


class StratifiedArtistKFold(StratifiedGroupKFold):
    """Folds that keep artists together and classes in proportion.

    scikit-learn's ``StratifiedGroupKFold``, for artists as data sets have them: a clip
    whose artist is missing is a group of its own (see :func:`artist_groups`), and no
    fold is empty: where one artist has most of a class, that greedy search can leave a
    fold without clips, which then gets a group of the largest fold.

    Where one artist has all clips of a class, no fold can both learn and test it: its
    clips count as errors in the fold that tests them.

    Parameters
    ----------
    n_splits : int
        Number of folds, at least 2.
    shuffle : bool
        Whether to draw the order of the artists.
    random_state : int, RandomState instance or None
        Seed of that order. An int gives the same folds in every call.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.model_selection import cross_val_score
    >>> from userlogfeat.evaluation.folds import StratifiedArtistKFold
    >>> y = np.repeat(["jazz", "rock"], 6)
    >>> artists = ["a", "a", "b", "b", None, None, "c", "c", "d", "d", "e", None]
    >>> cv = StratifiedArtistKFold(3, random_state=0)
    >>> X = np.zeros((12, 1))
    >>> scores = cross_val_score(
    ...     DummyClassifier(), X, y, cv=cv, groups=artists
    ... )
    >>> scores.tolist()
    [0.5, 0.5, 0.5]
    """

    def __init__(
        self, n_splits: int = 5, shuffle: bool = True, random_state: RandomState = None
    ) -> None:
        super().__init__(n_splits=n_splits, shuffle=shuffle, random_state=random_state)

    def split(
        self, X: Any, y: ArrayLike | None = None, groups: Labels | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows of each fold.

        Parameters
        ----------
        X : array-like (n_clips, ...)
            Only its length is used.
        y : array-like (n_clips,)
            One class per clip.
        groups : array-like (n_clips,)
            Artists.

        Yields
        ------
        train, test : ndarray of int64
            Rows, ascending.

        Raises
        ------
        ValueError
            If there are no groups, or fewer than folds.
        """
        if groups is None:
            raise ValueError(
                "Got groups=None, expected the artist of each clip. Pass "
                "groups=artists (to cross_val_score, or to fit of a grid), or use "
                "stratified_folds." + see("guide/evaluation")
            )
        y = _check_labels(y)
        groups = _check_groups(groups, y)
        n_groups = groups.max() + 1
        if n_groups < self.n_splits:
            raise ValueError(
                f"Got {n_groups} artists for {self.n_splits} folds. Make fewer folds."
                + see("guide/evaluation")
            )
        fold_of = np.empty(len(y), dtype=np.int64)
        for fold, (_, test) in enumerate(super().split(X, y, groups)):
            fold_of[test] = fold
        _fill_empty_folds(fold_of, groups, self.n_splits)
        for fold in range(self.n_splits):
            yield np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)


def _fill_empty_folds(fold_of, groups, n_splits):
    """Move a group of the largest fold with two to each empty fold; in place.

    The group is that whose size is nearest to half of the fold.
    """
    for fold in range(n_splits):
        if (fold_of == fold).any():
            continue
        sizes = np.bincount(fold_of, minlength=n_splits)
        several = [len(np.unique(groups[fold_of == k])) > 1 for k in range(n_splits)]
        largest = int(np.argmax(np.where(several, sizes, 0)))
        found, counts = np.unique(groups[fold_of == largest], return_counts=True)
        moved = found[np.argmin(np.abs(2 * counts - sizes[largest]))]
        fold_of[groups == moved] = fold


def stratified_folds(
    y: ArrayLike, n_splits: int = 10, *, groups: Labels | None = None, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw folds with the classes in proportion: Lee et al. (2019), section 4: ten.

    Parameters
    ----------
    y : array-like (n_clips,)
        One class per clip.
    n_splits : int
        Number of folds, at least 2.
    groups : array-like (n_clips,), optional
        Artists, kept together by :class:`StratifiedArtistKFold`.
    seed : int
        Seed of the order in which clips (artists) are assigned.

    Returns
    -------
    list of (train, test)
        Rows (int64, ascending) for each fold, as scikit-learn takes for ``cv``.

    Raises
    ------
    ValueError
        If a class has fewer clips than there are folds (without `groups`), or there are
        fewer artists than folds.

    Examples
    --------
    >>> from userlogfeat.evaluation.folds import stratified_folds
    >>> folds = stratified_folds(["jazz", "rock"] * 10, seed=1)
    >>> [len(test) for train, test in folds]
    [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    """
    y = _check_labels(y)
    if groups is not None:
        splitter = StratifiedArtistKFold(n_splits, random_state=seed)
        return list(splitter.split(y, y, groups))
    classes, labels, counts = np.unique(y, return_inverse=True, return_counts=True)
    if counts.min() < n_splits:
        raise ValueError(
            f"Class {classes.tolist()[counts.argmin()]!r} has {counts.min()} clips for "
            f"{n_splits} folds. Make fewer folds or leave the class out."
        )
    splitter = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    return list(splitter.split(labels, labels))


def n_per_class(
    y: ArrayLike,
    n: int,
    *,
    groups: Labels | None = None,
    seed: int = 0,
    fewer: Literal["error", "all"] = "error",
) -> np.ndarray:
    """Draw rows of a subset with `n` clips of each class, for curves over few labels.

    The subsets of one seed are nested: that of 5 is part of that of 20, so that a curve
    over `n` is not disturbed by new draws.

    Parameters
    ----------
    y : array-like (n_clips,)
        One class per clip.
    n : int
        Number of clips of each class.
    groups : array-like (n_clips,), optional
        Artists, over which the clips of a class are spread: every artist gives one clip
        before any gives a second. A missing artist counts as one of its own.
    seed : int
        Seed of the draw.
    fewer : {"error", "all"}
        Reaction to a class with fewer than `n` clips. "all": take all of them.

    Returns
    -------
    ndarray of int64
        Rows, ascending.

    Raises
    ------
    ValueError
        If a class has fewer clips.

    Examples
    --------
    >>> from userlogfeat.evaluation.folds import n_per_class
    >>> y = ["jazz"] * 4 + ["rock"] * 4
    >>> artists = ["a", "a", "a", "b", "c", "d", "d", "d"]
    >>> few = n_per_class(y, 2, groups=artists)
    >>> [artists[row] for row in few]
    ['a', 'b', 'c', 'd']
    """
    check_choice(fewer, "fewer", ("error", "all"))
    check_positive(n, "n", integer=True)
    y = _check_labels(y)
    groups = np.arange(len(y)) if groups is None else _check_groups(groups, y)
    classes, labels, counts = np.unique(y, return_inverse=True, return_counts=True)
    if counts.min() < n and fewer == "error":
        raise ValueError(
            f"Class {classes.tolist()[counts.argmin()]!r} has {counts.min()} clips, "
            f'expected n={n} or more. Pass fewer="all" to take all it has.'
        )
    chosen = []
    for label in range(len(classes)):
        rng = np.random.default_rng([seed, label])  # no class disturbs another's draw
        rows = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(_round_robin(rows, groups[rows], rng)[:n])
    return np.sort(np.concatenate(chosen))


def _round_robin(rows, groups, rng):
    """Order rows so that each group has its k-th row before any has its next."""
    found, inverse = np.unique(groups, return_inverse=True)
    turn = np.empty(len(rows), dtype=np.int64)
    for group in range(len(found)):
        members = inverse == group
        turn[members] = np.arange(members.sum())
    place = rng.permutation(len(found))[inverse]  # of the group within each turn
    return rows[np.lexsort((place, turn))]


def take(X: Any, rows: np.ndarray) -> Any:
    """Return some clips of X, in a container of the same kind."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if isinstance(X, list | tuple):
        return [X[row] for row in rows]
    return X[rows]
