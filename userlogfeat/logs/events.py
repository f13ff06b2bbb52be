"""Events of logs, read some rows at a time, become matrices of users x items.

What stays in memory is a pair of 32-bit codes and a 32-bit count a row (and a 64-bit
time, where last items are asked for).
"""

import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from userlogfeat._groups import warn_of_odd_ids
from userlogfeat._typing import ArrayLike
from userlogfeat.logs.columns import read_counts, read_fractions, read_verdicts
from userlogfeat.logs.ids import IdCodes, Places, place_ids, refuse_strangers
from userlogfeat.logs.interactions import Interactions
from userlogfeat.logs.sources import CHUNK_ROWS
from userlogfeat.logs.times import Times

_log = logging.getLogger(__name__)
_EXACT = 1 << 24  # up to here float32 counts one by one
_MERGE_ROWS = 1 << 25  # events kept apart before those of one pair are added up


@dataclass(frozen=True)
class Period:
    """Which plays count, and how much: see :func:`userlogfeat.read_logs`."""

    since: Any = None
    until: Any = None
    half_life: Any = None
    listened_above: float = 0.0

    @property
    def needs_time(self) -> bool:
        """Whether it asks for the times of plays."""
        return any(v is not None for v in (self.since, self.until, self.half_life))


@dataclass(frozen=True)
class Rules:
    """Which users and items become rows and columns."""

    user_ids: ArrayLike | None = None
    item_ids: ArrayLike | None = None
    unknown: str = "apart"
    aliases: Mapping[Any, Any] | None = None
    without_users: ArrayLike | None = None
    min_users_per_item: int = 1
    min_items_per_user: int = 1


class Events:
    """Rows read so far, as codes and numbers.

    Parameters
    ----------
    period : Period, optional
    merges : bool, default=True
        Whether many plays of one pair become one, to keep the memory small.
    """

    def __init__(self, period: Period | None = None, *, merges: bool = True) -> None:
        self.period, self.merges = period or Period(), merges
        self.user_codes, self.item_codes = IdCodes("user"), IdCodes("item")
        self.times = Times()
        self.pending = []  # (counts, verdicts or None, times or None) a chunk
        self.plays = []  # (users, items, counts, times or None) a batch
        self.verdicts = []  # (users, items, verdicts, times or None) a batch
        self.n_rows = self.n_plays = self.n_merged = self.n_pending = 0
        self.n_outside = 0  # rows before `since`, or from `until` on

    def add(self, chunk: Any, pool: Executor) -> None:
        """Add a chunk; users and items are looked up in parallel, in batches."""
        times = self.times.read(chunk) if "time" in chunk.table.column_names else None
        if self.period.since is not None or self.period.until is not None:
            chunk, times = self._inside(chunk, times)
        self.user_codes.add(chunk)
        self.item_codes.add(chunk)
        counts, verdicts = read_counts(chunk), read_verdicts(chunk)
        if "played" in chunk.table.column_names and self.period.listened_above > 0:
            counts[read_fractions(chunk) <= self.period.listened_above] = 0
        self.pending.append((counts, verdicts, times))
        self.n_pending += len(counts)
        if self.n_pending >= CHUNK_ROWS:
            self.take_pending(pool)

    def take_pending(self, pool: Executor) -> None:
        """Look up the identifiers of what was added."""
        pending: Any
        pending, self.pending = self.pending, []
        if not pending:
            return
        both = (self.user_codes, self.item_codes)
        users, items = pool.map(lambda codes: codes.take_codes(), both)
        counts: Any
        counts, verdicts, times = zip(*pending, strict=True)
        counts = np.concatenate(counts)
        times = None if times[0] is None else np.concatenate(times)
        self.n_rows += self.n_pending
        self.n_pending = 0
        if any(part is not None for part in verdicts):
            verdicts = np.concatenate(
                [
                    np.full(len(part[0]), np.nan, np.float32) if v is None else v
                    for part, v in zip(pending, verdicts, strict=True)
                ]
            )
            rows = (users, items, verdicts, times)
            self.verdicts.append(_pick(rows, ~np.isnan(verdicts)))
        rows = (users, items, counts, times)
        # A row of count 0 says that nothing was played: it is not a last item either.
        self.plays.append(rows if counts.all() else _pick(rows, counts > 0))
        self.n_plays += len(self.plays[-1][0])
        if self.merges and self.n_plays > _MERGE_ROWS + 2 * self.n_merged:
            self.plays = [_merge(*_joined(self.plays), half_life=self._half_life())]
            self.n_plays = self.n_merged = len(self.plays[0][0])

    def interactions(self, weights: str, rules: Rules) -> Interactions:
        """Return all rows as matrices; all that was added is looked up already.

        `plays` is one batch then: of the rows and columns of all identifiers.

        Parameters
        ----------
        weights : {"count", "binary"}
        rules : Rules
        """
        if not self.n_plays:
            raise ValueError(self._nothing())
        self.times.check()
        without, known = rules.without_users, (rules.user_ids, rules.item_ids)
        users = place_ids(self.user_codes, known=known[0], without=without)
        items = place_ids(self.item_codes, known=known[1], aliases=rules.aliases)
        apart = rules.unknown == "apart"
        if known[1] is not None and apart:
            refuse_strangers(items, "item")
        elif known[0] is not None and apart and rules.min_users_per_item:
            refuse_strangers(users, "user")
        places = (users, items)
        plays = _joined(_in_order(self.plays, *places))
        if not len(plays[0]):
            raise ValueError("without_users= leaves nothing of the logs.")
        verdicts = None
        if self.verdicts:
            verdicts = _joined(_in_order(self.verdicts, *places))
        if self.period.half_life is not None:
            plays[2] = self._decayed(plays[2], plays[3])
        self.plays = [plays]
        logs = _matrices(plays, verdicts, places, weights, rules)
        for what, ids in (("user", logs.user_ids), ("item", logs.item_ids)):
            if ids.dtype.kind == "O":
                fate = f"all its rows count as one {what}"
                warn_of_odd_ids(ids.tolist(), what, fate, "Leave these rows out")
        return logs

    def _inside(self, chunk, times):
        """Keep the rows of the period."""
        kept = np.ones(len(times), bool)
        if self.period.since is not None:
            kept &= times >= self.times.bound(self.period.since, "since")
        if self.period.until is not None:
            kept &= times < self.times.bound(self.period.until, "until")
        self.n_outside += len(kept) - np.count_nonzero(kept)
        if kept.all():
            return chunk, times
        return chunk.only(kept), times[kept]

    def _half_life(self):
        if self.period.half_life is None:
            return None
        return self.times.span(self.period.half_life, "half_life")

    def _decayed(self, counts, times):
        """Halve counts for every half-life between a play and the end."""
        end = times.max()
        if self.period.until is not None:
            end = self.times.bound(self.period.until, "until")
        return (counts * _fraction_left(end - times, self._half_life())).astype("f4")

    def _nothing(self):
        what = "no rows"
        if self.n_rows:
            what = f"{self.n_rows} rows, no play"
        if self.n_outside:
            ends = {"since": self.period.since, "until": self.period.until}
            given = [f"{name}={end}" for name, end in ends.items() if end is not None]
            what += f" in the period {', '.join(given)} ({self.n_outside} rows outside)"
            if len(given) == 2 and self._ends_before_it_begins():
                what += ", which ends before it begins"
        return f"The logs hold {what}: there is nothing to learn from."

    def _ends_before_it_begins(self):
        since = self.times.bound(self.period.since, "since")
        return self.times.bound(self.period.until, "until") <= since


def _matrices(plays, verdicts, places, weights, rules):
    """Make the matrices of the users and items that are kept."""
    users, items, counts, times = plays
    shape = tuple(len(side.ids) for side in places)
    user_items = _add_up(users, items, counts, shape)
    user_items.eliminate_zeros()  # of plays so old that nothing is left of them
    del counts
    if weights == "binary":
        user_items.data[:] = 1
    liked = disliked = None
    if verdicts is not None:
        liked, disliked = _liked_disliked(verdicts, shape)
    matrices = {"user_items": user_items, "liked": liked, "disliked": disliked}
    inside, fixed = _inside(places, rules)
    minimums = (rules.min_users_per_item, rules.min_items_per_user)
    kept = _enough(user_items, *minimums, inside, fixed)
    _log_left_out(inside, kept, minimums)
    last_items = None
    if times is not None:
        last_items = _last_items(users, items, times, kept)
    return Interactions(
        **{name: _part(matrix, kept) for name, matrix in matrices.items()},
        user_ids=places[0].ids[kept[0]],
        item_ids=places[1].ids[kept[1]],
        last_items=last_items,
        unknown=_unknown(matrices, places, inside),
    )


def _inside(places, rules):
    """Find users and items that may be rows and columns, and those that must be."""
    inside, fixed = [], []
    given = (rules.user_ids, rules.item_ids)
    for side, known in zip(places, given, strict=True):
        is_known = np.arange(len(side.ids)) < side.n_known
        fixed.append(is_known)
        apart = known is not None and rules.unknown == "apart"
        inside.append(is_known if apart else np.ones(len(side.ids), bool))
    return inside, fixed


def _unknown(matrices, places, inside):
    """Return the pairs of unknown users or items, or None where there are none."""
    if all(side.all() for side in inside):
        return None
    outside = {}
    for name, matrix in matrices.items():
        if matrix is None:
            continue
        pairs = matrix.tocoo()
        kept = ~(inside[0][pairs.row] & inside[1][pairs.col])
        entries = (pairs.data[kept], (pairs.row[kept], pairs.col[kept]))
        outside[name] = sparse.csr_matrix(entries, shape=matrix.shape)
    return Interactions(user_ids=places[0].ids, item_ids=places[1].ids, **outside)


def _add_up(users, items, counts, shape):
    """Add up the plays of each pair, in float64 where float32 would lose some."""
    user_items = sparse.coo_matrix((counts, (users, items)), shape=shape).tocsr()
    if user_items.data.max(initial=0) < _EXACT:
        return user_items
    counts = counts.astype(np.float64)
    exact = sparse.coo_matrix((counts, (users, items)), shape=shape).tocsr()
    return exact.astype(np.float32)


def _enough(user_items, min_users_per_item, min_items_per_user, inside, fixed):
    """Find users and items that have enough of each other: two boolean masks.

    The largest part of the logs in which every item has `min_users_per_item` users
    and every user `min_items_per_user` items. It does not depend on the order in
    which users and items are left out. Those outside of `inside` are none of it, and
    those of `fixed` stay, whatever they have.
    """
    keep_users, keep_items = inside
    pattern = sparse.csr_matrix(
        (np.ones(user_items.nnz, np.int32), user_items.indices, user_items.indptr),
        shape=user_items.shape,
    )
    n_users = pattern.T @ keep_users.astype(np.int32)
    while True:
        keep_items = inside[1] & (fixed[1] | (n_users >= min_users_per_item))
        _refuse_nothing(keep_items, "min_users_per_item", min_users_per_item, n_users)
        n_items = pattern @ keep_items.astype(np.int32)
        keep_users = inside[0] & (fixed[0] | (n_items >= min_items_per_user))
        _refuse_nothing(keep_users, "min_items_per_user", min_items_per_user, n_items)
        n_users = pattern.T @ keep_users.astype(np.int32)
        still = inside[1] & (fixed[1] | (n_users >= min_users_per_item))
        if np.array_equal(still, keep_items):
            return keep_users, keep_items


def _log_left_out(inside, kept, minimums):
    of = [np.count_nonzero(side) for side in inside]
    lost = [n - np.count_nonzero(side) for n, side in zip(of, kept, strict=True)]
    if any(lost):
        _log.info(
            "min_users_per_item=%d and min_items_per_user=%d left out %d of %d users "
            "and %d of %d items",
            *minimums,
            *(lost[0], of[0], lost[1], of[1]),
        )


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


def _fraction_left(ages, half_life):
    """Return the fraction of a play that is left after some time."""
    return np.exp2(-np.asarray(ages, dtype=np.float64) / half_life)


def _merge(
    users: Any, items: Any, counts: Any, times: Any, half_life: float | None = None
) -> Any:
    """Add up the plays of each pair and keep its last time.

    With a half-life each play counts what is left of it at the pair's last time.

    Pairs come in the order of their last plays, so that "further down is later" stays
    true of what is left.
    """
    pairs = users.astype(np.int64) << 32 | items
    by_pair = np.argsort(pairs, kind="stable")
    pairs = pairs[by_pair]
    starts = np.flatnonzero(np.diff(pairs, prepend=pairs[0] - 1))
    counts = counts[by_pair]
    last = by_pair  # the row of each pair's last play
    if times is not None:
        latest = np.maximum.reduceat(times[by_pair], starts)
        latest = np.repeat(latest, np.diff(starts, append=len(pairs)))
        last = np.where(times[by_pair] == latest, by_pair, -1)
        if half_life is not None:
            counts = counts * _fraction_left(latest - times[by_pair], half_life)
    counts = np.add.reduceat(counts, starts, dtype=np.float64)
    last = np.maximum.reduceat(last, starts)
    order = np.argsort(last)
    last, counts = last[order], counts[order].astype(np.float32)
    return users[last], items[last], counts, None if times is None else times[last]


def _in_order(parts: Any, user_places: Places, item_places: Places) -> Any:
    """Replace codes by rows and columns, one part after another."""
    for index, (users, items, *rest) in enumerate(parts):
        rows = (user_places.of_codes[users], item_places.of_codes[items], *rest)
        parts[index] = rows if (rows[0] >= 0).all() else _pick(rows, rows[0] >= 0)
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


def _pick(rows: Any, mask: Any) -> tuple[Any, ...]:
    return tuple(None if column is None else column[mask] for column in rows)


def _part(matrix, kept):
    if matrix is None or (kept[0].all() and kept[1].all()):
        return matrix
    return matrix[kept[0]][:, kept[1]]
