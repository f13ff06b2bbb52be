"""The metrics of one user's ranking, one function each.

Those at k take `hits`, whether each of the k best items is relevant, for many users at
once; those of the whole order take the sorted scores of one user. Conventions are in
:mod:`userlogfeat.evaluation.recommendation`.
"""

import numpy as np

from userlogfeat._typing import ArrayLike


def precision(hits: np.ndarray) -> np.ndarray:
    """Share of the k recommended items that are relevant, a value a user.

    Divided by k, also where fewer than k items are relevant or can be recommended.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
        Whether each recommended item is relevant, best first; False where there is
        none.

    Returns
    -------
    ndarray of float64, shape (n_users,)
        In [0, 1].
    """
    return hits.mean(axis=1)


def recall(hits: np.ndarray, n_relevant: np.ndarray) -> np.ndarray:
    """Share of the relevant items that are among the k recommended, a value a user.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
        As in :func:`precision`.
    n_relevant : ndarray of int, shape (n_users,)
        How many items are relevant to each user, recommended or not.

    Returns
    -------
    ndarray of float64, shape (n_users,)
        In [0, 1]; NaN for users without relevant items.
    """
    return divide(hits.sum(axis=1), n_relevant)


def ndcg(hits: np.ndarray, n_relevant: np.ndarray) -> np.ndarray:
    """Normalised discounted cumulative gain at k, a value a user.

    The sum of 1 / log2(1 + rank) over the hits, divided by the most that is possible:
    relevant items at all of the first min(k, n_relevant) ranks.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
    n_relevant : ndarray of int, shape (n_users,)
        As in :func:`recall`.

    Returns
    -------
    ndarray of float64, shape (n_users,)
        In [0, 1]; NaN for users without relevant items.
    """
    k = hits.shape[1]
    discounts = 1 / np.log2(np.arange(k) + 2)
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(n_relevant, k)]
    return divide(hits @ discounts, ideal)


def reciprocal_rank(hits: np.ndarray) -> np.ndarray:
    """1 / rank of the first relevant item among the k recommended, a value a user.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
        As in :func:`precision`.

    Returns
    -------
    ndarray of float64, shape (n_users,)
        In [0, 1]; 0 where none of the k is relevant. The mean over users is the MRR.
    """
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)


def hit_rate(hits: np.ndarray) -> np.ndarray:
    """Whether any of the k recommended items is relevant, a value (0, 1) a user.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
        As in :func:`precision`.

    Returns
    -------
    ndarray of float64, shape (n_users,)
    """
    return hits.any(axis=1).astype(np.float64)


def auc(ordered: np.ndarray, relevant: np.ndarray) -> float:
    """Area under the ROC curve of one user.

    How often a relevant item scores above another one, a tie counted half.

    Parameters
    ----------
    ordered : ndarray, shape (n_candidates,)
        The scores of all candidates, the relevant ones too, ascending.
    relevant : ndarray, shape (n_relevant,)
        The scores of the relevant ones.

    Returns
    -------
    float
        In [0, 1]; NaN where no candidate, or every one, is relevant.
    """
    n_relevant, n_others = len(relevant), len(ordered) - len(relevant)
    if n_relevant == 0 or n_others == 0:
        return np.nan
    below = np.searchsorted(ordered, relevant, side="left").sum()
    not_above = np.searchsorted(ordered, relevant, side="right").sum()
    # Against all candidates, ties half; relevant ones among themselves win half of it.
    pairs = (below + not_above) / 2 - n_relevant**2 / 2
    return pairs / (n_relevant * n_others)


def average_precision(ordered: np.ndarray, relevant: np.ndarray) -> float:
    """Mean, over the relevant items of one user, of the precision down to each.

    Parameters
    ----------
    ordered, relevant : ndarray
        As in :func:`auc`.

    Returns
    -------
    float
        In (0, 1]; NaN where no candidate is relevant. Equal scores are taken in or left
        out together.
    """
    if len(relevant) == 0:
        return np.nan
    own = np.sort(relevant)
    hits = len(own) - np.searchsorted(own, own, side="left")
    taken = len(ordered) - np.searchsorted(ordered, own, side="left")
    return float((hits / taken).mean())


def divide(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """The ratio; NaN where `b` is 0."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0)
