"""Recommend items to users, and find the users of a new item, from their embeddings.

Exact and in blocks: no more than a block of users x items is ever in memory. For a
service that answers one user at a time, or millions of items, :class:`ItemIndex` keeps
what is prepared here at every call. Both sides must come from one model:
``CFEmbedding``, or a user tower and the audio network trained against it (Chen, Liang,
Ma, Gu 2021), whose relevance is the cosine.
"""

import warnings
from typing import Literal

import numpy as np
from scipy import sparse

from userlogfeat._check import check_choice, check_positive
from userlogfeat._spaces import check_same_space
from userlogfeat._typing import ArrayLike, Matrix
from userlogfeat.evaluation.ranking import (
    as_floats,
    check_embeddings,
    check_pairs,
    iter_rows,
    mask_of,
    top_items,
    unit_rows,
)
from userlogfeat.recommendation.exact import (
    highest_cosines,
    highest_products,
    known_rows,
    squared_lengths,
)

METRICS = ("dot", "cosine")
_FEW = 8  # queries for which the targets are not brought to unit length


def recommend(
    user_embeddings: ArrayLike,
    item_embeddings: ArrayLike,
    k: int,
    *,
    exclude: Matrix | None = None,
    metric: Literal["dot", "cosine"] = "dot",
    popularity: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k items of the highest scores for each user.

    Parameters
    ----------
    user_embeddings : array-like, shape (n_users, n_factors)
        Float32 is computed in float32, float64 in float64.
    item_embeddings : array-like, shape (n_items, n_factors)
    k : int
        Number of items, at least 1.
    exclude : csr matrix, shape (n_users, n_items), optional
        Items that are not recommended to a user, such as those that the user has:
        entries that are stored and not 0.
    metric : {"dot", "cosine"}
        The score: the scalar product, which is what factors of one training are made
        for; or the cosine, for estimates from audio and users of
        :func:`mean_histories`.
    popularity : array-like, shape (n_items,), optional
        Score of each item for users whose embedding is zeros, of whom nothing is known:
        the fraction of users who played it, or its :func:`mean_scores`.

    Returns
    -------
    items : ndarray of int64, shape (n_users, k)
        Rows of `item_embeddings`, best first. Of equal scores the lower index comes
        first. -1 where fewer than k are left, and for users of whom nothing is known
        without `popularity`. An item of zeros, which nobody played, is not recommended
        by its score.
    scores : ndarray of float32 or float64, shape (n_users, k)
        Their scores; -inf beside -1.

    Raises
    ------
    ValueError
        Where shapes do not fit; embeddings are NaN or infinite, with the row; or they
        are known to be of different trainings.

    Warns
    -----
    UserWarning
        Where nothing is known of some users, and there is no `popularity`: how many.

    Notes
    -----
    Equal embeddings have equal scores up to rounding: in blocks of another size, sums
    in float32 may differ in their last digit.

    Examples
    --------
    >>> from userlogfeat.recommendation.ranking import recommend
    >>> users = [[1.0, 0.0], [0.0, 1.0]]
    >>> items = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]
    >>> recommend(users, items, 2)[0]
    array([[0, 2],
           [1, 2]])

    The first user has item 0 already:

    >>> recommend(users, items, 3, exclude=[[1, 0, 0], [0, 0, 0]])[0]
    array([[ 2,  1, -1],
           [ 1,  2,  0]])
    """
    _check_settings(k, metric)
    check_same_space(
        user_embeddings, item_embeddings, ("user_embeddings", "item_embeddings")
    )
    users = check_embeddings(user_embeddings, "user_embeddings")
    items = as_floats(item_embeddings)
    squares = _squares(users, items, metric)
    known = known_rows(items, "item_embeddings", users.shape[1], squares)
    exclude = check_pairs(exclude, "exclude", (len(users), len(items)))
    found = search(users, items, int(k), exclude, metric, known, squares)
    if popularity is None:
        warn_of_unknown(users, "users", "Pass popularity=, one number per item.")
    else:
        fill_unknown(found, users, popularity, items, exclude)
    return found


def nearest_users(
    item_embeddings: ArrayLike,
    user_embeddings: ArrayLike,
    k: int,
    *,
    exclude: Matrix | None = None,
    metric: Literal["dot", "cosine"] = "dot",
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k users of the highest scores for each item: who may like a new track.

    :func:`recommend` with the sides exchanged: scores, ties and NaN are the same.

    Parameters
    ----------
    item_embeddings : array-like, shape (n_items, n_factors)
        New items, such as an audio network's estimates.
    user_embeddings : array-like, shape (n_users, n_factors)
    k : int
        Number of users, at least 1.
    exclude : csr matrix, shape (n_items, n_users), optional
        Users that an item is not for: a row per item.
    metric : {"dot", "cosine"}
        As in :func:`recommend`. With "dot", users with long embeddings (from large
        histories) come first for many items; "cosine" compares their taste alone.

    Returns
    -------
    users : ndarray of int64, shape (n_items, k)
        Rows of `user_embeddings`, nearest first; -1 where fewer than k are left.
    scores : ndarray of float32 or float64, shape (n_items, k)
        Their scores; -inf beside -1.

    Raises
    ------
    ValueError
        As in :func:`recommend`.

    Examples
    --------
    >>> from userlogfeat.recommendation.ranking import nearest_users
    >>> users, scores = nearest_users([[0.6, 0.8]], [[1, 0], [0, 1], [1, 1]], 2)
    >>> users, scores
    (array([[2, 1]]), array([[1.4, 0.8]]))
    """
    _check_settings(k, metric)
    check_same_space(
        item_embeddings, user_embeddings, ("item_embeddings", "user_embeddings")
    )
    items = check_embeddings(item_embeddings, "item_embeddings")
    users = as_floats(user_embeddings)
    squares = _squares(items, users, metric)
    known = known_rows(users, "user_embeddings", items.shape[1], squares)
    if exclude is not None and np.shape(exclude) != (len(items), len(users)):
        raise ValueError(
            f"Got exclude of shape {np.shape(exclude)}, expected "
            f"{len(items), len(users)}: rows are items and columns users. Transpose a "
            "matrix of users x items."
        )
    exclude = check_pairs(exclude, "exclude", None)
    warn_of_unknown(items, "items", "Leave them out.")
    return search(items, users, int(k), exclude, metric, known, squares)


def mean_scores(
    item_embeddings: ArrayLike,
    user_embeddings: ArrayLike,
    *,
    metric: Literal["dot", "cosine"] = "dot",
) -> np.ndarray:
    """Average the score of each item over all known users.

    Parameters
    ----------
    item_embeddings : array-like, shape (n_items, n_factors)
    user_embeddings : array-like, shape (n_users, n_factors)
        Users of zeros, of whom nothing is known, are left out.
    metric : {"dot", "cosine"}
        As in :func:`recommend`.

    Returns
    -------
    ndarray of float32 or float64, shape (n_items,)
        Zeros where no user is known.

    Examples
    --------
    >>> from userlogfeat.recommendation.ranking import mean_scores
    >>> mean_scores([[0.0, 1.0], [1.0, 0.0]], [[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]])
    array([0.4, 0.6])
    """
    check_choice(metric, "metric", METRICS)
    items = check_embeddings(item_embeddings, "item_embeddings")
    users = check_embeddings(user_embeddings, "user_embeddings", items.shape[1])
    users = users[users.any(axis=1)]
    if metric == "cosine":
        items, users = unit_rows(items), unit_rows(users)
    total = users.sum(axis=0, dtype=np.float64) / max(len(users), 1)
    return (items @ total).astype(items.dtype)


def _squares(queries, targets, metric):
    """Return the squared lengths of targets where a few queries ask for cosines."""
    few = metric == "cosine" and len(queries) <= _FEW and targets.ndim == 2
    return squared_lengths(targets) if few else None


def _check_settings(k, metric):
    check_positive(k, "k", integer=True)
    check_choice(metric, "metric", METRICS)


def fill_unknown(
    found: tuple[np.ndarray, np.ndarray],
    users: np.ndarray,
    popularity: ArrayLike,
    items: np.ndarray,
    exclude: sparse.csr_matrix | None,
) -> None:
    """Rank by popularity for users of zeros, in place."""
    chosen, scores = found
    popularity = np.asarray(popularity, scores.dtype)
    if popularity.shape != (len(items),) or not np.isfinite(popularity).all():
        raise ValueError(
            f"Got popularity of shape {popularity.shape}, expected {len(items)} finite "
            "numbers: one per item."
        )
    unknown = np.flatnonzero(~users.any(axis=1))
    for part in iter_rows(len(unknown), len(items)):
        rows = unknown[part]
        block = np.broadcast_to(popularity, (len(rows), len(items)))
        candidates = None if exclude is None else ~mask_of(exclude, rows)
        chosen[rows], scores[rows] = top_items(
            block, chosen.shape[1], candidates=candidates
        )


def warn_of_unknown(
    queries: np.ndarray,
    what: str,
    advice: str,
    *,
    nothing: object = -1,
    stacklevel: int = 3,
) -> None:
    """Warn of queries of zeros: `what` they are, and what to do.

    `nothing` stands where none is found; `stacklevel` is that of the user's line.
    """
    unknown = int(np.count_nonzero(~queries.any(axis=1)))
    if unknown:
        warnings.warn(
            f"Nothing is known of {unknown} of {len(queries)} {what}, whose embeddings "
            f"are zeros: none is found for them ({nothing}). {advice}",
            stacklevel=stacklevel,
        )


def search(
    queries: np.ndarray,
    targets: np.ndarray,
    k: int,
    exclude: sparse.csr_matrix | None,
    metric: str,
    known: np.ndarray | None,
    squares: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows of `targets` of the highest scores for each of `queries`.

    Where an embedding is zeros, nothing is known: all scores would be 0, better than
    those of items known to be disliked.

    Parameters
    ----------
    queries, targets : ndarray, shapes (n_queries, n_factors) and (n_targets, n_factors)
    k : int
    exclude : csr_matrix, shape (n_queries, n_targets), or None
    metric : {"dot", "cosine"}
    known : ndarray of bool, shape (n_targets,), or None
        Result of :func:`userlogfeat.recommendation.exact.known_rows`.
    squares : ndarray, shape (n_targets,), optional
        Squared lengths of the targets, for a few queries and cosines.
    """
    asked = queries.any(axis=1)
    if not asked.any() or not len(targets) or (known is not None and not known.any()):
        chosen = np.full((len(queries), k), -1)
        return chosen, np.full((len(queries), k), -np.inf, np.float32)
    settings = {"exclude": exclude, "known": known}
    if metric == "cosine":
        settings["squares"] = squares
    highest = highest_cosines if metric == "cosine" else highest_products
    chosen, scores = highest(queries, targets, k, **settings)
    chosen[~asked], scores[~asked] = -1, -np.inf
    return chosen, scores
