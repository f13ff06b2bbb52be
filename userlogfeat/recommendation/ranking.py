"""Recommend items to users, and find the users of a new item, from their embeddings.

Exact and in blocks by default: no more than a block of users x items is ever in memory.
Both sides must come from one model: ``CFEmbedding``, or a user tower and the audio
network trained against it (Chen, Liang, Ma, Gu 2021), whose relevance is the cosine.
"""

import warnings
from typing import Literal

import numpy as np

from userlogfeat._check import check_choice, check_positive
from userlogfeat._optional import import_optional
from userlogfeat._typing import ArrayLike, Matrix
from userlogfeat.evaluation.ranking import (
    check_embeddings,
    check_pairs,
    iter_rows,
    mask_of,
    refuse_nan,
    top_items,
    unit_rows,
)

METRICS = ("dot", "cosine")
BACKENDS = ("exact", "faiss")


def recommend(
    user_embeddings: ArrayLike,
    item_embeddings: ArrayLike,
    k: int,
    *,
    exclude: Matrix | None = None,
    metric: Literal["dot", "cosine"] = "dot",
    backend: Literal["exact", "faiss"] = "exact",
    index: str = "Flat",
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
        The score: the scalar product, or the cosine.
    backend : {"exact", "faiss"}
        "faiss": the library of that name (``pip install 'userlogfeat[search]'``), for
        many users or for an approximate `index`.
    index : str
        For backend "faiss", a description for ``faiss.index_factory``: "Flat" is exact,
        others are faster and miss some items.
    popularity : array-like, shape (n_items,), optional
        Score of each item for users whose embedding is zeros, of whom nothing is known:
        the fraction of users who played it, or its :func:`mean_scores`.

    Returns
    -------
    items : ndarray of int64, shape (n_users, k)
        Rows of `item_embeddings`, best first. Of equal scores the lower index comes
        first (with faiss: among those it finds). -1 where fewer than k are left, and
        for users of whom nothing is known without `popularity`. An item of zeros, which
        nobody played, is not recommended by its score.
    scores : ndarray of float32 or float64, shape (n_users, k)
        Their scores; -inf beside -1.

    Raises
    ------
    ValueError
        Where shapes do not fit; or embeddings are NaN or infinite, with the row.
    ImportError
        Where faiss is missing, with the command that installs it.

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
    _check_settings(k, metric, backend)
    users = check_embeddings(user_embeddings, "user_embeddings")
    items = check_embeddings(item_embeddings, "item_embeddings", users.shape[1])
    exclude = check_pairs(exclude, "exclude", (len(users), len(items)))
    found = _search(users, items, int(k), exclude, metric, backend, index)
    if popularity is None:
        _warn_of_unknown(users, "users", "Pass popularity=, one number an item.")
    else:
        _fill_unknown(found, users, popularity, items, exclude)
    return found


def nearest_users(
    item_embeddings: ArrayLike,
    user_embeddings: ArrayLike,
    k: int,
    *,
    exclude: Matrix | None = None,
    metric: Literal["dot", "cosine"] = "dot",
    backend: Literal["exact", "faiss"] = "exact",
    index: str = "Flat",
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
        Users that an item is not for: a row an item.
    metric, backend, index
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
    ValueError, ImportError
        As in :func:`recommend`.

    Examples
    --------
    >>> from userlogfeat.recommendation.ranking import nearest_users
    >>> users, scores = nearest_users([[0.6, 0.8]], [[1, 0], [0, 1], [1, 1]], 2)
    >>> users, scores
    (array([[2, 1]]), array([[1.4, 0.8]]))
    """
    _check_settings(k, metric, backend)
    items = check_embeddings(item_embeddings, "item_embeddings")
    users = check_embeddings(user_embeddings, "user_embeddings", items.shape[1])
    if exclude is not None and np.shape(exclude) != (len(items), len(users)):
        raise ValueError(
            f"Got exclude of shape {np.shape(exclude)}, expected "
            f"{len(items), len(users)}: rows are items and columns users. Transpose a "
            "matrix of users x items."
        )
    exclude = check_pairs(exclude, "exclude", None)
    _warn_of_unknown(items, "items", "Leave them out.")
    return _search(items, users, int(k), exclude, metric, backend, index)


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


def _check_settings(k, metric, backend):
    check_positive(k, "k", integer=True)
    check_choice(metric, "metric", METRICS)
    check_choice(backend, "backend", BACKENDS)


def _fill_unknown(found, users, popularity, items, exclude):
    """Rank by popularity for users of zeros, in place."""
    chosen, scores = found
    popularity = np.asarray(popularity, scores.dtype)
    if popularity.shape != (len(items),) or not np.isfinite(popularity).all():
        raise ValueError(
            f"Got popularity of shape {popularity.shape}, expected {len(items)} finite "
            "numbers: one an item."
        )
    unknown = np.flatnonzero(~users.any(axis=1))
    for part in iter_rows(len(unknown), len(items)):
        rows = unknown[part]
        block = np.broadcast_to(popularity, (len(rows), len(items)))
        candidates = None if exclude is None else ~mask_of(exclude, rows)
        chosen[rows], scores[rows] = top_items(
            block, chosen.shape[1], candidates=candidates
        )


def _warn_of_unknown(queries, what, advice):
    unknown = int(np.count_nonzero(~queries.any(axis=1)))
    if unknown:
        warnings.warn(
            f"Nothing is known of {unknown} of {len(queries)} {what}, whose embeddings "
            f"are zeros: none is found for them (-1). {advice}",
            stacklevel=3,
        )


def _search(queries, targets, k, exclude, metric, backend, index):
    """Find the rows of `targets` of the highest scores for each of `queries`.

    Where an embedding is zeros, nothing is known: all scores would be 0, better than
    those of items known to be disliked.
    """
    asked, known = (side.any(axis=1) for side in (queries, targets))
    if metric == "cosine":
        queries, targets = unit_rows(queries), unit_rows(targets)
    if not asked.any() or not known.any():
        chosen = np.full((len(queries), k), -1)
        return chosen, np.full((len(queries), k), -np.inf, np.float32)
    if backend == "faiss":
        chosen, scores = _search_faiss(queries, targets, k, exclude, index, known)
    else:
        chosen, scores = _search_exact(queries, targets, k, exclude, known)
    chosen[~asked], scores[~asked] = -1, -np.inf
    return chosen, scores


def _search_exact(queries, targets, k, exclude, known):
    # Q: queries of a block, N: targets
    dtype = np.result_type(queries, targets)
    chosen = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=dtype)
    for rows in iter_rows(len(queries), len(targets)):
        block = queries[rows] @ targets.T  # Q, N
        refuse_nan(block, rows.start)  # finite embeddings can overflow
        candidates = None
        if exclude is not None:
            candidates = ~mask_of(exclude, rows)
            candidates &= known
        elif not known.all():
            candidates = np.broadcast_to(known, block.shape)
        chosen[rows], scores[rows] = top_items(block, k, candidates=candidates)
    return chosen, scores


def _search_faiss(queries, targets, k, exclude, index, known):
    """Do what `_search_exact` does with a faiss index, which cannot leave pairs out.

    So k more items are looked up than any user of a block has excluded, and filtered;
    blocks are of users with similar numbers.
    """
    faiss = import_optional("faiss", extra="search", purpose='backend="faiss"')
    n_factors = targets.shape[1]
    built = faiss.index_factory(n_factors, index, faiss.METRIC_INNER_PRODUCT)
    places = np.flatnonzero(known)
    targets = np.ascontiguousarray(targets[places], np.float32)
    if not built.is_trained:
        built.train(targets)
    built.add(targets)
    queries = np.ascontiguousarray(queries, np.float32)
    n_excluded = np.zeros(len(queries), np.int64)
    if exclude is not None:
        n_excluded = np.diff(exclude.indptr)
    order = np.argsort(n_excluded, kind="stable")
    chosen = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for part in iter_rows(len(queries), len(targets)):
        rows = order[part]
        depth = min(k + int(n_excluded[rows].max()), len(targets))
        found_scores, found = built.search(queries[rows], depth)
        keep = found >= 0
        found = places[found.clip(0)]
        if exclude is not None:
            excluded = mask_of(exclude, rows)
            keep &= ~np.take_along_axis(excluded, found, axis=1)
        chosen[rows], scores[rows] = _filter(found, found_scores, keep, k)
    return chosen, scores


def _filter(found, scores, keep, k):
    """Take the first k that are kept, by score and then by index; then -1 and -inf."""
    found = np.where(keep, found, -1)
    scores = np.where(keep, scores, -np.inf)
    order = np.lexsort((found, -scores, ~keep), axis=1)[:, :k]
    found, scores = (np.take_along_axis(a, order, axis=1) for a in (found, scores))
    missing = k - found.shape[1]
    if missing > 0:
        found = np.pad(found, ((0, 0), (0, missing)), constant_values=-1)
        scores = np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    return found, scores
