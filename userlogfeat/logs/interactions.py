"""Listening logs, from files or frames, as one sparse matrix of users x items.

Logs are read some rows at a time; what stays in memory is a pair of 32-bit codes and
a 32-bit count a row (and a 64-bit time, where last items are asked for).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
from scipy import sparse

from userlogfeat._spark import is_spark_frame
from userlogfeat._typing import Frame, PathLike
from userlogfeat.logs.columns import IdCodes, Times, read_counts, read_verdicts
from userlogfeat.logs.formats import READERS
from userlogfeat.logs.sources import CHUNK_ROWS, iter_chunks

if TYPE_CHECKING:
    from userlogfeat.logs.on_spark.interactions import SparkInteractions


_EXACT = 1 << 24  # up to here float32 counts one by one
_MERGE_ROWS = 1 << 25  # events kept apart before those of one pair are added up


@dataclass(frozen=True, repr=False, eq=False)
class Interactions:
    """Who played what, how often.

    Parameters
    ----------
    user_items : csr_matrix of float32, shape (n_users, n_items)
        Numbers of plays, or ones where ``weights="binary"``.
    user_ids : ndarray, shape (n_users,)
        The identifier of each row, sorted.
    item_ids : ndarray, shape (n_items,)
        The identifier of each column, sorted.
    last_items : ndarray of int64, shape (n_users,), optional
        The column of the item each user played last; -1 for a user without plays.
    liked, disliked : csr_matrix of float32, shape (n_users, n_items), optional
        Ones where the user liked, or disliked, the item.
    """

    user_items: sparse.csr_matrix
    user_ids: np.ndarray
    item_ids: np.ndarray
    last_items: np.ndarray | None = None
    liked: sparse.csr_matrix | None = None
    disliked: sparse.csr_matrix | None = None

    def __post_init__(self) -> None:
        expected = (len(self.user_ids), len(self.item_ids))
        for name in ("user_items", "liked", "disliked"):
            matrix = getattr(self, name)
            if matrix is not None and matrix.shape != expected:
                raise ValueError(
                    f"Got {name} of shape {matrix.shape}, but {expected[0]} user_ids "
                    f"and {expected[1]} item_ids. Rows are users, columns items."
                )
        if self.last_items is not None and len(self.last_items) != expected[0]:
            raise ValueError(
                f"Got {len(self.last_items)} last_items for {expected[0]} users."
            )
        if self.last_items is not None and len(self.last_items):
            low, high = np.min(self.last_items), np.max(self.last_items)
            if low < -1 or high >= expected[1]:
                raise ValueError(
                    f"Got last_items from {low} to {high}, expected columns of "
                    f"user_items, 0 to {expected[1] - 1}, or -1 for none."
                )

    def __repr__(self) -> str:
        parts = [
            f"{len(self.user_ids)} users, {len(self.item_ids)} items, "
            f"{self.user_items.nnz} pairs"
        ]
        extra = ("last_items", "liked", "disliked")
        parts += [name for name in extra if getattr(self, name) is not None]
        return f"<Interactions: {', '.join(parts)}>"


# A Spark frame gives SparkInteractions as well: say so with backend="spark".
@overload
def read_logs(
    source: PathLike | Frame,
    format: str | None = ...,
    *,
    user: str = ...,
    item: str = ...,
    count: str | None = ...,
    time: str | None = ...,
    liked: str | None = ...,
    disliked: str | None = ...,
    weights: Literal["count", "binary"] = ...,
    min_users_per_item: int = ...,
    min_items_per_user: int = ...,
    separator: str | None = ...,
    columns: Sequence[str] | None = ...,
    backend: Literal["local"] | None = ...,
) -> Interactions: ...


@overload
def read_logs(
    source: PathLike | Frame,
    format: str | None = ...,
    *,
    user: str = ...,
    item: str = ...,
    count: str | None = ...,
    time: str | None = ...,
    liked: str | None = ...,
    disliked: str | None = ...,
    weights: Literal["count", "binary"] = ...,
    min_users_per_item: int = ...,
    min_items_per_user: int = ...,
    separator: str | None = ...,
    columns: Sequence[str] | None = ...,
    backend: Literal["spark"],
) -> SparkInteractions: ...


def read_logs(
    source: PathLike | Frame,
    format: str | None = None,
    *,
    user: str = "user",
    item: str = "item",
    count: str | None = None,
    time: str | None = None,
    liked: str | None = None,
    disliked: str | None = None,
    weights: Literal["count", "binary"] = "count",
    min_users_per_item: int = 1,
    min_items_per_user: int = 1,
    separator: str | None = None,
    columns: Sequence[str] | None = None,
    backend: Literal["local", "spark"] | None = None,
) -> Interactions | SparkInteractions:
    """Read listening logs.

    Rows of the same user and item are added up. Items and users with too few of the
    other are left out, again and again until all that are left have enough (the
    largest such part of the logs: leaving out an item may leave a user with too few).

    Parameters
    ----------
    source : str, Path or frame
        The path of a csv, tsv or parquet file (text may be compressed: .gz, .bz2,
        .zst) or of a folder of parquet files; or a frame of polars (lazy too), pandas
        or pyarrow. With `format`: the data set's folder or file. On Spark also a Spark
        frame, or any path, URL or pattern of csv, tsv, Parquet, ORC or JSON files that
        Spark reads.
    format : str, optional
        A published data set: "hetrec-lastfm-2k", "lastfm-360k", "taste-profile",
        "mpd" or "yambda" (see :mod:`userlogfeat.logs.formats`). It says itself
        what its columns are.
    user, item : str
        The columns with the identifiers. Any type is kept, as it is in the source. Of
        text files, identifiers are str, unless all of a column are whole numbers
        without leading zeros: then they are int64.
    count : str, optional
        The column with the number of plays, not negative. By default every row is one
        play.
    time : str, optional
        The column with the time of the play, for `last_items`: numbers, dates, or ISO
        8601 text. Of two plays at one time the one further down is the later.
    liked, disliked : str, optional
        Columns of true and false (or 1 and 0). Where rows of one user and item say
        different things, the latest that says anything holds.
    weights : {"count", "binary"}
        Whether `user_items` holds numbers of plays or ones. A pair that is only ever
        counted 0 is no interaction.
    min_users_per_item, min_items_per_user : int
        The fewest users an item, and items a user, may have. With 0, users and items
        without any play are kept too.
    separator : str, optional
        Of text files. By default "," for .csv, a tab for .tsv, .tab, .txt and .dat.
        Tab-separated fields are taken as they are, quotes included.
    columns : list of str, optional
        The columns of a text file that has no header line.
    backend : {"local", "spark"}, optional
        "spark" reads on a cluster, with the Spark session that runs or else a new one.
        By default that is done with Spark frames only.

    Returns
    -------
    Interactions or SparkInteractions
        Users and items in the order of their identifiers. On Spark everything stays
        there until ``collect()``, which gives the same Interactions.

    Raises
    ------
    FileNotFoundError
        Where the file or folder is not there.
    ValueError
        Where the source cannot be read or lacks a column; where identifiers, counts
        or times are missing or wrong (with the rows); where nothing is left (with
        what left it out).

    Examples
    --------
    >>> import polars as pl
    >>> from userlogfeat import read_logs
    >>> plays = pl.DataFrame({
    ...     "user": ["ann", "bob", "ann", "ann"],
    ...     "item": ["song 2", "song 1", "song 1", "song 2"],
    ...     "plays": [3, 1, 2, 4],
    ... })
    >>> logs = read_logs(plays, count="plays")
    >>> logs
    <Interactions: 2 users, 2 items, 3 pairs>
    >>> logs.user_items.toarray()
    array([[2., 7.],
           [1., 0.]], dtype=float32)
    """
    roles = {"user": user, "item": item, "count": count, "time": time}
    roles |= {"liked": liked, "disliked": disliked}
    roles = {role: name for role, name in roles.items() if name is not None}
    _check_settings(weights, min_users_per_item, min_items_per_user)
    if format is not None:
        extra = separator is not None or columns is not None
        extra |= roles != {"user": "user", "item": "item"}
        _check_format(format, source, extra)
    if _on_spark(backend, source):
        from userlogfeat.logs.on_spark.interactions import read_spark_logs

        minimums = {"item": min_users_per_item, "user": min_items_per_user}
        layout = {"separator": separator, "columns": columns}
        return read_spark_logs(source, format, roles, weights, minimums, **layout)
    if format is None:
        chunks = iter_chunks(source, roles, separator=separator, columns=columns)
    else:
        chunks = READERS[format](source)
    events = _Events()
    with ThreadPoolExecutor(2) as pool:
        for chunk in chunks:
            events.add(chunk, pool)
    return events.interactions(weights, min_users_per_item, min_items_per_user)


def _on_spark(backend, source):
    """Whether a cluster is to read it."""
    if backend not in (None, "local", "spark"):
        raise ValueError(f'Got backend={backend!r}, expected "local" or "spark".')
    if backend == "local" and is_spark_frame(source):
        raise TypeError(
            'Got a Spark frame with backend="local". Leave backend out to read it on '
            "its cluster, or bring it here first: frame.toArrow()."
        )
    return backend == "spark" or is_spark_frame(source)


class _Events:
    """The rows read so far, as codes and numbers."""

    def __init__(self):
        self.user_codes, self.item_codes = IdCodes("user"), IdCodes("item")
        self.times = Times()
        self.plays = []  # (users, items, counts, times or None) a chunk
        self.verdicts = []  # (users, items, verdicts, times or None) a chunk
        self.n_rows = self.n_plays = self.n_merged = 0

    def add(self, chunk, pool):
        """Take a chunk in; users and items are looked up side by side."""
        users, items = pool.map(
            lambda codes: codes.encode(chunk), (self.user_codes, self.item_codes)
        )
        counts, verdicts = read_counts(chunk), read_verdicts(chunk)
        times = self.times.read(chunk) if "time" in chunk.table.column_names else None
        self.n_rows += len(users)
        if verdicts is not None:
            told = ~np.isnan(verdicts)
            rows = (users, items, verdicts, times)
            self.verdicts.append(_pick(rows, told))
        rows = (users, items, counts, times)
        # A row of count 0 says that nothing was played: it is no last item either.
        self.plays.append(rows if counts.all() else _pick(rows, counts > 0))
        self.n_plays += len(self.plays[-1][0])
        if self.n_plays > _MERGE_ROWS + 2 * self.n_merged:
            self.plays = [_merge(*_joined(self.plays))]
            self.n_plays = self.n_merged = len(self.plays[0][0])

    def interactions(self, weights, min_users_per_item, min_items_per_user):
        """Everything as matrices, with the identifiers in order."""
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
            told = _joined(_in_order(self.verdicts, *ranks))
            liked, disliked = _liked_disliked(*told, shape)
        return Interactions(
            _part(user_items, kept),
            user_ids[kept[0]],
            item_ids[kept[1]],
            last_items,
            _part(liked, kept),
            _part(disliked, kept),
        )


def _add_up(users, items, counts, shape):
    """Plays of each pair; by float64 where float32 would lose single ones."""
    user_items = sparse.coo_matrix((counts, (users, items)), shape=shape).tocsr()
    if user_items.data.max(initial=0) < _EXACT:
        return user_items
    counts = counts.astype(np.float64)
    exact = sparse.coo_matrix((counts, (users, items)), shape=shape).tocsr()
    return exact.astype(np.float32)


def _enough(user_items, min_users_per_item, min_items_per_user):
    """Users and items that have enough of each other: two boolean masks.

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
    """Column, among the kept ones, of each kept user's latest play of a kept item."""
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
    """Parts of many rows, so that what is made of them is small."""
    return [slice(s, s + CHUNK_ROWS) for s in range(0, n_rows, CHUNK_ROWS)]


def _liked_disliked(users, items, verdicts, times, shape):
    """Two matrices, from the latest verdict of each pair."""
    order = np.arange(len(users)) if times is None else np.argsort(times, kind="stable")
    pairs = users[order].astype(np.int64) * shape[1] + items[order]
    # Of equal pairs, unique finds the first: so look from the end.
    pairs, positions = np.unique(pairs[::-1], return_index=True)
    verdicts = verdicts[order][::-1][positions]
    matrices = []
    for value in (1, -1):
        rows, columns = np.divmod(pairs[verdicts == value], shape[1])
        ones = np.ones(len(rows), np.float32)
        matrices.append(sparse.csr_matrix((ones, (rows, columns)), shape=shape))
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


def _check_settings(weights, min_users_per_item, min_items_per_user):
    if weights not in ("count", "binary"):
        raise ValueError(f'Got weights={weights!r}, expected "count" or "binary".')
    for name, value in (
        ("min_users_per_item", min_users_per_item),
        ("min_items_per_user", min_items_per_user),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"Got {name}={value!r}, expected a whole number.")
        if value < 0:
            raise ValueError(f"Got {name}={value}, expected 0 or more.")


def _check_format(format, source, has_columns):
    if format not in READERS:
        names = ", ".join(f'"{name}"' for name in READERS)
        raise ValueError(
            f"Got format={format!r}, expected one of {names}, or None with the columns "
            "named: user=..., item=..., count=..."
        )
    if has_columns:
        raise ValueError(
            f'format="{format}" knows its own columns: leave out user=, item=, '
            "count=, time=, liked=, disliked=, separator= and columns=."
        )
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f'With format="{format}" got {type(source).__name__}, expected the data '
            "set's folder or file."
        )
