"""Events of logs, read some rows at a time, become matrices of users x items.

What stays in memory is a pair of 32-bit codes and a 32-bit count a row (and a 64-bit
time, where last items are asked for).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from userlogfeat.logs.columns import IdCodes, Times, read_counts, read_verdicts
from userlogfeat.logs.interactions import Interactions
from userlogfeat.logs.sources import CHUNK_ROWS

if TYPE_CHECKING:
    from concurrent.futures import Executor

_EXACT = 1 << 24  # up to here float32 counts one by one
_MERGE_ROWS = 1 << 25  # events kept apart before those of one pair are added up


class Events:
    """Rows read so far, as codes and numbers."""

    def __init__(self) -> None:
        self.user_codes, self.item_codes = IdCodes("user"), IdCodes("item")
        self.times = Times()
        self.plays = []  # (users, items, counts, times or None) a chunk
        self.verdicts = []  # (users, items, verdicts, times or None) a chunk
        self.n_rows = self.n_plays = self.n_merged = 0

    def add(self, chunk: Any, pool: Executor) -> None:
        """Add a chunk; users and items are looked up in parallel."""
        users, items = pool.map(
            lambda codes: codes.encode(chunk), (self.user_codes, self.item_codes)
        )
        counts, verdicts = read_counts(chunk), read_verdicts(chunk)
        times = self.times.read(chunk) if "time" in chunk.table.column_names else None
        self.n_rows += len(users)
        if verdicts is not None:
            rows = (users, items, verdicts, times)
            self.verdicts.append(_pick(rows, ~np.isnan(verdicts)))
        rows = (users, items, counts, times)
        # A row of count 0 says that nothing was played: it is no last item either.
        self.plays.append(rows if counts.all() else _pick(rows, counts > 0))
        self.n_plays += len(self.plays[-1][0])
        if self.n_plays > _MERGE_ROWS + 2 * self.n_merged:
            self.plays = [_merge(*_joined(self.plays))]
            self.n_plays = self.n_merged = len(self.plays[0][0])

    def interactions(
        self, weights: str, min_users_per_item: int, min_items_per_user: int
    ) -> Interactions:
        """Return all rows as matrices, with the identifiers in order."""
        if not self.n_plays:
            what = "no rows" if not self.n_rows else f"{self.n_rows} rows, no play"
            raise ValueError(f"The logs hold {what}: there is nothing to learn from.")
        self.times.check()
        user_ids, user_ranks = self.user_codes.in_order()
        item_ids, item_ranks = self.item_codes.in_order()
        ranks, shape = (user_ranks, item_ranks), (len(user_ids), len(item_ids))
        users, items, counts, times = _joined(_in_order(self.plays, *ranks))
        user_items = _add_up(users, items, counts, shape)
        del counts
        if times is None:
            del users, items
        if weights == "binary":
            user_items.data[:] = 1
        kept = _enough(user_items, min_users_per_item, min_items_per_user)
        last_items = None
        if times is not None:
            last_items = _last_items(users, items, times, kept)
        liked = disliked = None
        if self.verdicts:
            verdicts = _joined(_in_order(self.verdicts, *ranks))
            liked, disliked = _liked_disliked(verdicts, shape)
        return Interactions(
            _part(user_items, kept),
            user_ids[kept[0]],
            item_ids[kept[1]],
            last_items,
            _part(liked, kept),
            _part(disliked, kept),
        )


def _add_up(users, items, counts, shape):
    """Add up the plays of each pair, in float64 where float32 would lose some."""
    user_items = sparse.coo_matrix((counts, (users, items)), shape=shape).tocsr()
    if user_items.data.max(initial=0) < _EXACT:
        return user_items
    counts = counts.astype(np.float64)
    exact = sparse.coo_matrix((counts, (users, items)), shape=shape).tocsr()
    return exact.astype(np.float32)


def _enough(user_items, min_users_per_item, min_items_per_user):
    """Find users and items that have enough of each other: two boolean masks.

    The largest part of the logs in which every item has `min_users_per_item` users
    and every user `min_items_per_user` items. It does not depend on the order in
    which users and items are left out.
    """
    keep_users, keep_items = (np.ones(n, bool) for n in user_items.shape)
    pattern = sparse.csr_matrix(
        (np.ones(user_items.nnz, np.int32), user_items.indices, user_items.indptr),
        shape=user_items.shape,
    )
    n_users = pattern.T @ keep_users.astype(np.int32)
    while True:
        keep_items = n_users >= min_users_per_item
        _refuse_nothing(keep_items, "min_users_per_item", min_users_per_item, n_users)
        n_items = pattern @ keep_items.astype(np.int32)
        keep_users = n_items >= min_items_per_user
        _refuse_nothing(keep_users, "min_items_per_user", min_items_per_user, n_items)
        n_users = pattern.T @ keep_users.astype(np.int32)
        if (n_users >= min_users_per_item).tolist() == keep_items.tolist():
            return keep_users, keep_items


def _refuse_nothing(kept, name, minimum, numbers):
    if not kept.any():
        what, of = ("items", "users") if "per_item" in name else ("users", "items")
        raise ValueError(
            f"{name}={minimum} leaves nothing of the logs: none of {len(numbers)} "
            f"{what} has as many {of} (the most is {numbers.max()}, of those that were "
            "left before). Lower it."
        )


def _last_items(users, items, times, kept):
    """Find each kept user's latest play of a kept item: its column among the kept."""
    latest = np.full(len(kept[0]), times.min())
    for part in _slices(len(users)):
        rows = kept[1][items[part]]
        np.maximum.at(latest, users[part][rows], times[part][rows])
    columns = np.where(kept[1], np.cumsum(kept[1]) - 1, -1)
    last_items = np.full(len(kept[0]), -1)
    for part in _slices(len(users)):
        rows = kept[1][items[part]] & (times[part] == latest[users[part]])
        # Of equal times the row further down is written last.
        last_items[users[part][rows]] = columns[items[part][rows]]
    return last_items[kept[0]]


def _slices(n_rows):
    """Split many rows into parts, to keep temporary arrays small."""
    return [slice(s, s + CHUNK_ROWS) for s in range(0, n_rows, CHUNK_ROWS)]


def _liked_disliked(columns, shape):
    """Make two matrices from the latest verdict of each pair."""
    users, items, verdicts, times = columns
    order = np.arange(len(users)) if times is None else np.argsort(times, kind="stable")
    pairs = users[order].astype(np.int64) * shape[1] + items[order]
    # Of equal pairs, unique finds the first: so look from the end.
    pairs, positions = np.unique(pairs[::-1], return_index=True)
    verdicts = verdicts[order][::-1][positions]
    matrices = []
    for value in (1, -1):
        pair = np.divmod(pairs[verdicts == value], shape[1])
        ones = np.ones(len(pair[0]), np.float32)
        matrices.append(sparse.csr_matrix((ones, pair), shape=shape))
    return matrices


def _merge(users, items, counts, times):
    """Add up the plays of each pair and keep its last time.

    Pairs come in the order of their last plays, so that "further down is later" stays
    true of what is left.
    """
    pairs = users.astype(np.int64) << 32 | items
    by_pair = np.argsort(pairs, kind="stable")
    pairs = pairs[by_pair]
    starts = np.flatnonzero(np.diff(pairs, prepend=pairs[0] - 1))
    counts = np.add.reduceat(counts[by_pair], starts, dtype=np.float64)
    last = by_pair  # the row of each pair's last play
    if times is not None:
        latest = np.maximum.reduceat(times[by_pair], starts)
        sizes = np.diff(starts, append=len(pairs))
        last = np.where(times[by_pair] == np.repeat(latest, sizes), by_pair, -1)
    last = np.maximum.reduceat(last, starts)
    order = np.argsort(last)
    last, counts = last[order], counts[order].astype(np.float32)
    return users[last], items[last], counts, None if times is None else times[last]


def _in_order(parts, user_ranks, item_ranks):
    """Replace codes by ranks, one part after another."""
    for index, (users, items, *rest) in enumerate(parts):
        parts[index] = (user_ranks[users], item_ranks[items], *rest)
    return parts


def _joined(parts):
    """Concatenate column by column; frees the parts as it goes."""
    columns = [list(column) for column in zip(*parts, strict=True)]
    parts.clear()
    joined = []
    while columns:
        column = columns.pop(0)
        joined.append(None if column[0] is None else np.concatenate(column))
    return joined


def _pick(rows, mask):
    return tuple(None if column is None else column[mask] for column in rows)


def _part(matrix, kept):
    if matrix is None or (kept[0].all() and kept[1].all()):
        return matrix
    return matrix[kept[0]][:, kept[1]]
