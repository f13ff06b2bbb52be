"""The k highest scalar products of each query, without an array of all products.

Products of a block of queries and a chunk of targets stay in the processor's cache.
After the first chunk only those above the k-th best so far are kept: few, and fewer
with every chunk, so that most products are written, compared once and forgotten.
"""

import numpy as np
from scipy import sparse

from userlogfeat.evaluation.ranking import (
    check_embeddings,
    reached_bound,
    refuse_nan,
    top_items,
    unit_rows,
)

BLOCK_ENTRIES = 1 << 19  # products at once: 2 MiB of float32
MOST_QUERIES = 256  # of a block
_SAFE = (1e-30, 1e30)  # squared lengths that can be divided by
_CLOSE = 1e-5  # relative error of products in float32, with room to spare


def highest_products(
    queries: np.ndarray,
    targets: np.ndarray,
    k: int,
    *,
    exclude: sparse.csr_matrix | None = None,
    known: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows of `targets` of the k highest products with each query.

    Parameters
    ----------
    queries : ndarray, shape (n_queries, n_factors)
    targets : ndarray, shape (n_targets, n_factors)
    k : int
    exclude : csr_matrix, shape (n_queries, n_targets), optional
        Pairs that are left out: all stored entries.
    known : ndarray of bool, shape (n_targets,), optional
        Targets that are not left out for everyone.

    Returns
    -------
    chosen : ndarray of int64, shape (n_queries, k)
        Best first; of equal products the lower row. -1 where none is left.
    scores : ndarray, shape (n_queries, k)
        The products; -inf beside -1.

    Raises
    ------
    ValueError
        Where a product is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.recommendation.exact import highest_products
    >>> highest_products(np.eye(2), np.array([[1.0, 4.0], [2.0, 3.0]]), 1)[0]
    array([[1],
           [0]])
    """
    dtype = np.result_type(queries, targets)
    chosen = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.full((len(queries), k), -np.inf, dtype=dtype)
    step = max(1, min(MOST_QUERIES, (1 << 17) // k, BLOCK_ENTRIES))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        out = None if exclude is None else exclude[rows].tocsc()
        block = _Block(queries[rows], targets, out, known, start)
        chosen[rows], scores[rows] = block.search(k)
    return chosen, scores


class _Block:
    """A block of queries on its way through the chunks of targets."""

    def __init__(self, queries, targets, exclude, known, first_query):
        self.queries, self.targets = queries, targets
        self.exclude, self.known = exclude, known
        self.first_query = first_query

    def search(self, k):
        # Q: queries, N: targets, C: those of a chunk
        n_queries, n_targets = len(self.queries), len(self.targets)
        step = max(BLOCK_ENTRIES // max(n_queries, 1), 8 * k)
        first = self.products(slice(0, min(step, n_targets)))  # Q, C
        refuse_nan(first, self.first_query)
        chosen, scores = top_items(first, k)
        chosen[np.isneginf(scores)] = -1
        waiting, n_waiting = [], 0
        for start in range(step, n_targets, step):
            part = slice(start, min(start + step, n_targets))
            block = self.products(part)
            # Later targets of equal products lose; NaN is not below anything.
            above = np.flatnonzero(~(block <= scores[:, -1:]))
            found = block.ravel()[above]
            if np.isnan(found).any():
                refuse_nan(block, self.first_query)
            rows, columns = np.divmod(above, block.shape[1])
            waiting.append((rows, columns + start, found))
            n_waiting += len(found)
            if n_waiting > k * n_queries:
                chosen, scores = _merge(chosen, scores, waiting)
                waiting, n_waiting = [], 0
        return _merge(chosen, scores, waiting)

    def products(self, part):
        """Products with a chunk of targets; -inf for those that are left out."""
        block = self.queries @ self.targets[part].T  # Q, C
        if self.known is not None and not self.known[part].all():
            block[:, ~self.known[part]] = -np.inf
        if self.exclude is not None:
            starts = self.exclude.indptr[part.start : part.stop + 1]
            rows = self.exclude.indices[starts[0] : starts[-1]]
            block[
                rows, np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            ] = -np.inf
        return block


def _merge(chosen, scores, waiting):
    """Put what was found since among the best; all of it comes later in order."""
    if not waiting:
        return chosen, scores
    n_queries, k = chosen.shape
    rows = [np.repeat(np.arange(n_queries), k), *[part[0] for part in waiting]]
    rows = np.concatenate(rows)
    columns = np.concatenate([chosen.ravel(), *[part[1] for part in waiting]])
    values = np.concatenate([scores.ravel(), *[part[2] for part in waiting]])
    order = _order(rows, values)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_queries))])
    best = order[starts[:-1, None] + np.arange(k)]
    return columns[best], values[best]


def _order(rows, values):
    """Order by row, then by value, highest first, then by place."""
    if values.dtype != np.float32 or len(rows) > 1 << 24 or rows.max() > 0xFF:
        return np.lexsort((-values, rows))
    # Row, value and place in one number: sorting numbers is several times as fast.
    bits = (values + np.float32(0)).view(np.uint32)  # -0.0 equals 0.0
    falling = np.where(bits >> 31, bits, ~bits & 0x7FFFFFFF).astype(np.uint64)
    key = rows.astype(np.uint64) << 56 | falling << 24
    key |= np.arange(len(key), dtype=np.uint64)
    key.sort()
    return (key & 0xFFFFFF).astype(np.int64)


def highest_cosines(
    queries: np.ndarray,
    targets: np.ndarray,
    k: int,
    *,
    exclude: sparse.csr_matrix | None = None,
    known: np.ndarray | None = None,
    squares: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows of `targets` of the k highest cosines with each query.

    Bringing the targets to unit length takes longer than the products of a few queries.
    With `squares` the products are divided by the lengths, and the best computed again
    as for many.

    Parameters
    ----------
    queries, targets, k, exclude, known
        As of :func:`highest_products`.
    squares : ndarray, shape (n_targets,), optional
        Result of :func:`squared_lengths`.
    """
    queries = unit_rows(queries)
    if squares is not None:
        lengths = squares if known is None else squares[known]
        if not _SAFE[0] < lengths.min() <= lengths.max() < _SAFE[1]:
            squares = None
    if squares is None:
        units = unit_rows(targets)
        return highest_products(queries, units, k, exclude=exclude, known=known)
    inverse = 1 / np.sqrt(np.maximum(squares, _SAFE[0]))
    found = np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf)
    chosen, scores = found[0], found[1].astype(inverse.dtype)
    for row, query in enumerate(queries):
        out = np.zeros(len(targets), bool) if known is None else ~known
        if exclude is not None:
            out[exclude.indices[slice(*exclude.indptr[[row, row + 1]])]] = True
        cosines = (targets @ query) * inverse
        cosines[out] = -np.inf
        bound = reached_bound(cosines[None], min(k, len(targets)))
        near = np.flatnonzero((cosines >= bound - _CLOSE) & ~out)
        best, scores[row] = highest_products(query[None], unit_rows(targets[near]), k)
        chosen[row] = np.append(near, -1)[best]  # place -1 is the last
    return chosen, scores


def squared_lengths(rows: np.ndarray) -> np.ndarray:
    """Return the squared length of each row in one pass; infinite where too long."""
    with np.errstate(over="ignore"):
        return np.einsum("ij,ij->i", rows, rows)


def known_rows(
    rows: np.ndarray,
    name: str,
    n_factors: int | None = None,
    squares: np.ndarray | None = None,
) -> np.ndarray | None:
    """Check embeddings; return which are not zeros, or None where none is.

    One product finds the rows that may be zeros, NaN or infinite; only where there are
    any does a look at single numbers follow.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, n_factors)
    name : str
        Name for error messages.
    n_factors : int, optional
        Required number of columns.
    squares : ndarray, shape (n_rows,), optional
        Their squared lengths, which take the place of that product.

    Raises
    ------
    ValueError
        As :func:`userlogfeat.evaluation.ranking.check_embeddings`.
    """
    if rows.ndim != 2 or (n_factors is not None and rows.shape[1] != n_factors):
        check_embeddings(rows, name, n_factors)
    sums = squares
    if sums is None:
        with np.errstate(all="ignore"):
            sums = rows @ np.ones(rows.shape[1], rows.dtype)
    if not np.isfinite(sums).all():
        check_embeddings(rows, name, n_factors)
    maybe = np.flatnonzero(sums == 0)
    empty = maybe[~rows[maybe].any(axis=1)]
    if len(empty) == 0:
        return None
    known = np.ones(len(rows), bool)
    known[empty] = False
    return known
