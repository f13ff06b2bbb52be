"""The best of many scores, a block of users at a time, with ties resolved.

Scores of all users x items do not fit in memory, and need not: a block of users is
scored, ranked and forgotten. Of equal scores the item of the lower index comes first,
in recommendation as in evaluation, so that both have the same lists.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import sparse

from userlogfeat._typing import ArrayLike, Matrix

# Scores held at once: 16 MiB of float32, small enough to stay near the processor.
BLOCK_ENTRIES = 1 << 22
# If more items than this times k reach the bound, the row is searched again by its
# exact k-th score, so that a user with equal scores for all items does not sort them.
_MANY = 8


def iter_rows(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Yield slices of rows, so that a block of n_columns has `BLOCK_ENTRIES` at most.

    Parameters
    ----------
    n_rows, n_columns : int
        One row is a block even where it is longer.
    """
    step = max(1, BLOCK_ENTRIES // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Scale rows (n, n_factors) to length 1; rows of zeros stay.

    Each is divided by its largest entry first, so that no square is 0 or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.evaluation.ranking import unit_rows
    >>> unit_rows(np.array([[3e200, 4e200], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    rows = rows / np.where(largest > 0, largest, 1)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)


def top_items(
    scores: np.ndarray, k: int, *, candidates: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best items of each row; of equal scores the lower index first.

    Parameters
    ----------
    scores : ndarray of floats, shape (n_users, n_items)
        Without NaN.
    k : int
        Number of items, at least 1.
    candidates : ndarray of bool, shape (n_users, n_items), optional
        Items that may be chosen; by default all.

    Returns
    -------
    items : ndarray of int64, shape (n_users, k)
        -1 where a row has fewer than k candidates.
    values : ndarray, shape (n_users, k)
        Their scores, in the dtype of `scores`; -inf for -1.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.evaluation.ranking import top_items
    >>> items, values = top_items(np.array([[0.5, 0.9, 0.5], [0.0, 0.0, 0.0]]), 2)
    >>> items
    array([[1, 0],
           [0, 1]])
    """
    n_users, n_items = scores.shape
    chosen = np.full((n_users, k), -1, dtype=np.int64)
    values = np.full((n_users, k), -np.inf, dtype=scores.dtype)
    if scores.size == 0:
        return chosen, values
    if candidates is not None:
        scores = np.where(candidates, scores, -np.inf).astype(scores.dtype, copy=False)
    wanted = min(k, n_items)
    near = scores >= reached_bound(scores, wanted)[:, None]
    if candidates is not None:
        near &= candidates
    # Entries come row by row, the lower index first; lexsort keeps that among equals.
    rows, columns = np.divmod(np.flatnonzero(near), n_items)
    crowded = np.bincount(rows, minlength=n_users) > _MANY * wanted
    if crowded.any():
        for row in np.flatnonzero(crowded):
            allowed = None if candidates is None else candidates[row]
            near[row] = _exactly(scores[row], wanted, allowed)
        rows, columns = np.divmod(np.flatnonzero(near), n_items)
    order = np.lexsort((-scores[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    first = place < wanted
    rows, columns, place = rows[first], columns[first], place[first]
    chosen[rows, place] = columns
    values[rows, place] = scores[rows, columns]
    return chosen, values


def reached_bound(scores: np.ndarray, k: int) -> np.ndarray:
    """Return a number per row that its k best scores reach, and few others.

    Parameters
    ----------
    scores : ndarray of floats, shape (n_users, n_items)
        Without NaN.
    k : int
        At most n_items.

    Notes
    -----
    Deal the columns to n piles and take the k-th largest of the piles' maxima: k scores
    reach it (those maxima), so the k-th best score does. It takes one pass; selecting
    among all scores takes several. With n many times k it is hardly below that score.
    """
    n_items = scores.shape[1]
    n_piles = max(16 * k, 512)
    if n_items < 2 * n_piles:
        return np.partition(scores, n_items - k, axis=1)[:, n_items - k]
    depth = n_items // n_piles
    piles = scores[:, : depth * n_piles].reshape(len(scores), depth, n_piles)
    return np.partition(piles.max(axis=1), n_piles - k, axis=1)[:, n_piles - k]


def _exactly(scores, k, candidates):
    """Return a mask of the k best of one row, the first of those equal to the k-th."""
    allowed = np.ones(len(scores), bool) if candidates is None else candidates
    bound = np.partition(scores, len(scores) - k)[len(scores) - k]
    best = (scores > bound) & allowed
    equal = np.flatnonzero((scores == bound) & allowed)
    best[equal[: k - np.count_nonzero(best)]] = True
    return best


def score_blocks(
    scores: ArrayLike | tuple[ArrayLike, ArrayLike] | Callable[[slice], np.ndarray],
    shape: tuple[int, int],
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the scores of all users in blocks, checked.

    Parameters
    ----------
    scores : ndarray, pair of ndarrays, or callable
        Scores (n_users, n_items); or embeddings of users and items, whose scalar
        products are the scores; or a function of a slice of users that returns theirs.
    shape : (n_users, n_items)
        Expected shape.

    Yields
    ------
    rows : slice
        Slice of users.
    block : ndarray of float32 or float64
        Their scores.

    Raises
    ------
    ValueError
        If shapes do not fit, or a score is NaN; the message has user and item.
    """
    compute = _scorer(scores, shape)
    for rows in iter_rows(*shape):
        block = as_floats(compute(rows))
        expected = (rows.stop - rows.start, shape[1])
        if block.shape != expected:
            raise ValueError(
                f"Got scores of shape {block.shape} for users {rows.start} to "
                f"{rows.stop - 1}, expected {expected}: a row per user, a column "
                "per item."
            )
        refuse_nan(block, rows.start)
        yield rows, block


def _scorer(scores, shape):
    """Return a function from a slice of users to their scores."""
    if callable(scores):
        return scores
    if isinstance(scores, tuple):
        if len(scores) != 2:
            raise ValueError(
                f"Got a tuple of {len(scores)} as scores, expected the embeddings "
                "(users, items)."
            )
        users = check_embeddings(scores[0], "user_embeddings")
        items = check_embeddings(scores[1], "item_embeddings", users.shape[1])
        if (len(users), len(items)) != tuple(shape):
            raise ValueError(
                f"Got embeddings of {len(users)} users and {len(items)} items, but "
                f"relevance of shape {tuple(shape)} (users, items)."
            )
        return lambda rows: users[rows] @ items.T
    scores = np.asarray(scores)
    if scores.shape != tuple(shape):
        raise ValueError(
            f"Got scores of shape {scores.shape}, expected {tuple(shape)}, that of "
            "relevance: rows are users and columns items."
        )
    return scores.__getitem__


def as_floats(array: ArrayLike) -> np.ndarray:
    """Return an array as float32 or float64; half precision becomes float32."""
    array = np.asarray(array)
    if array.dtype in (np.float32, np.float64):
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


def refuse_nan(block: np.ndarray, first_user: int) -> None:
    """Raise if a block of scores has NaN, naming user and item."""
    if np.isnan(block).any():
        user, item = np.argwhere(np.isnan(block))[0]
        raise ValueError(
            f"The score of user {first_user + user} for item {item} is NaN, which has "
            "no place in an order. Repair its source, or leave the user or item out."
        )


def check_embeddings(
    embeddings: ArrayLike, name: str, n_factors: int | None = None
) -> np.ndarray:
    """Check embeddings (n_rows, n_factors); return them as float32 or float64.

    Parameters
    ----------
    embeddings : array-like (n_rows, n_factors)
    name : str
        Name for error messages.
    n_factors : int, optional
        Required number of columns.

    Raises
    ------
    ValueError
        If they are not 2-D, have another number of columns, or NaN or infinite values.
    """
    embeddings = as_floats(embeddings)
    if embeddings.ndim != 2:
        single = "For a single one, pass embedding[None]."
        raise ValueError(
            f"Got {name} of shape {embeddings.shape}, expected 2-D: a row for each. "
            + (single if embeddings.size else "It holds none: was a filter too strict?")
        )
    if n_factors is not None and embeddings.shape[1] != n_factors:
        raise ValueError(
            f"Got {name} of {embeddings.shape[1]} columns, but the other side has "
            f"{n_factors}: users and items must come of one model."
        )
    bad = ~np.isfinite(embeddings).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"Row {row} of {name} has NaN or infinite values ({bad.sum()} such rows of "
            f"{len(bad)}). Leave them out, or embed them again."
        )
    return embeddings


def check_pairs(
    matrix: Matrix | None, name: str, shape: Sequence[int] | None
) -> sparse.csr_matrix | None:
    """Return a users x items matrix as csr without stored zeros; None stays None.

    Raises
    ------
    ValueError
        If its shape is not `shape`, or lists are of different lengths.
    """
    if matrix is None:
        return None
    if hasattr(matrix, "user_items"):
        raise TypeError(f"Got {matrix!r} as {name}, expected its matrix: .user_items.")
    if isinstance(matrix, list | tuple):
        matrix = _dense(matrix, name)
    matrix = sparse.csr_matrix(matrix)
    if shape is not None and matrix.shape != tuple(shape):
        raise ValueError(
            f"Got {name} of shape {matrix.shape}, expected {tuple(shape)}: rows are "
            "users and columns items."
        )
    if not matrix.data.all() or not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix


def _dense(rows, name):
    """Convert lists of one length to a matrix."""
    try:
        matrix = np.asarray(rows)
    except ValueError:
        matrix = None
    if matrix is None or matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise ValueError(
            f"Got {name} as lists that are not a matrix of numbers, expected one of "
            "users x items, 1 where a user has an item. Turn lists of items into "
            "one: scipy.sparse.csr_matrix((ones, (users, items)), shape=...)."
        )
    return matrix


def keep_pairs(pairs: sparse.csr_matrix, kept: np.ndarray) -> sparse.csr_matrix:
    """Return a matrix of the same shape with some of the stored pairs."""
    pairs = pairs.tocoo()
    entries = pairs.data[kept], (pairs.row[kept], pairs.col[kept])
    return sparse.csr_matrix(entries, shape=pairs.shape)


def mask_of(pairs: sparse.csr_matrix, rows: slice) -> np.ndarray:
    """Return the stored pairs of a slice of users as a dense mask."""
    return pairs[rows].astype(bool).toarray()
