"""``SparkInteractions``: who played what, as frames on a Spark cluster.

The logs are read twice: once to check every row, once to add up the rows of each pair
of user and item. From then on there are pairs, identifiers are numbers of 32 bits, and
the driver sees totals only.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

from userlogfeat._spark import (
    arrow_table,
    is_spark_frame,
    is_stopped,
    partitions_for,
    slower_than_here,
    spark_session,
)
from userlogfeat._typing import Frame, PathLike
from userlogfeat.logs.interactions import Interactions
from userlogfeat.logs.on_spark.codes import numbered
from userlogfeat.logs.on_spark.columns import checked_events
from userlogfeat.logs.on_spark.formats import read_format
from userlogfeat.logs.on_spark.pruning import pruned
from userlogfeat.logs.on_spark.sources import read_source

SIDES = ("user", "item")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False, eq=False)
class SparkInteractions:
    """:class:`Interactions` as frames on a cluster.

    Parameters
    ----------
    user_items : pyspark.sql.DataFrame
        user (int), item (int), count (float): one row per pair, counts above 0. Users
        and items are numbers from 0, in the order of their identifiers.
    user_ids : pyspark.sql.DataFrame
        user (int), id: the identifier of each user.
    item_ids : pyspark.sql.DataFrame
        item (int), id.
    n_users, n_items, n_pairs : int
    last_items : pyspark.sql.DataFrame, optional
        user (int), item (int): the item each user played last.
    liked, disliked : pyspark.sql.DataFrame, optional
        user (int), item (int): one row per pair.
    cached : tuple of pyspark.sql.DataFrame
        Frames that :meth:`unpersist` frees.
    """

    user_items: DataFrame
    user_ids: DataFrame
    item_ids: DataFrame
    n_users: int
    n_items: int
    n_pairs: int
    last_items: DataFrame | None = None
    liked: DataFrame | None = None
    disliked: DataFrame | None = None
    cached: tuple[DataFrame, ...] = ()

    def collect(self) -> Interactions:
        """Bring everything to this process.

        Returns
        -------
        Interactions
            Those that ``read_logs`` gives without a cluster: 12 bytes per pair, and the
            identifiers.
        """
        spark_session(session=self.user_items.sparkSession, purpose="collect()")
        shape = (self.n_users, self.n_items)
        last_items = None
        if self.last_items is not None:
            table = arrow_table(self.last_items)
            last_items = np.full(self.n_users, -1)
            last_items[table["user"].to_numpy()] = table["item"].to_numpy()
        return Interactions(
            _matrix(self.user_items, shape),
            ids_in_order(self.user_ids),
            ids_in_order(self.item_ids),
            last_items,
            None if self.liked is None else _matrix(self.liked, shape),
            None if self.disliked is None else _matrix(self.disliked, shape),
        )

    def unpersist(self) -> None:
        """Free the cluster's memory of it; the frames are made anew when used."""
        if not is_stopped(self.user_items.sparkSession):  # else nothing is kept
            for frame in self.cached:
                frame.unpersist()

    def __repr__(self) -> str:
        parts = [f"{self.n_users} users, {self.n_items} items, {self.n_pairs} pairs"]
        extra = ("last_items", "liked", "disliked")
        parts += [name for name in extra if getattr(self, name) is not None]
        return f"<SparkInteractions: {', '.join(parts)}>"


def read_spark_logs(
    source: PathLike | Frame,
    format: str | None,
    roles: Mapping[str, str | None],
    weights: Literal["count", "binary"],
    minimums: dict[str, int],
    *,
    listened_above: float = 0.0,
    **layout: Any,
) -> SparkInteractions:
    """Do the work of :func:`userlogfeat.read_logs` on a cluster.

    Parameters
    ----------
    source : pyspark.sql.DataFrame, str, Path, or frame of another library
    format : str or None
    roles : dict of str
        Role -> column; not used where there is a format.
    weights : {"count", "binary"}
    minimums : dict of int
        "item" -> min_users_per_item, "user" -> min_items_per_user.
    listened_above : float
        For Yambda: see :func:`userlogfeat.read_logs`.
    **layout : optional
        `separator`, `columns` and `optional` of :func:`.sources.read_source`.

    Returns
    -------
    SparkInteractions
    """
    session = source.sparkSession if is_spark_frame(source) else None
    session = spark_session(session=session, purpose='read_logs(backend="spark")')
    if format is not None:
        source = read_format(session, source, format, listened_above=listened_above)
    else:
        source = read_source(session, source, roles, **layout)
    source = source._replace(frame=_apart(source.frame))
    events, n_rows, n_plays = checked_events(source)
    if not n_plays:
        what = "no rows" if not n_rows else f"{n_rows} rows, no play"
        raise ValueError(f"The logs hold {what}: there is nothing to learn from.")
    if (hint := slower_than_here(n_rows)) is not None:
        _LOG.info(hint)
    with partitions_for(session, n_rows):
        pairs = _pairs(events).persist()
        try:
            return _coded(pairs, weights, minimums)
        finally:
            pairs.unpersist()


def read_plays(source: PathLike | Frame) -> SparkInteractions:
    """Read a frame or path with the columns user, item and, if it is there, count.

    Parameters
    ----------
    source : pyspark.sql.DataFrame, str or Path

    Returns
    -------
    SparkInteractions
    """
    roles = {"user": "user", "item": "item"}
    minimums = {"user": 1, "item": 1}
    plays = {"count": "count"}
    return read_spark_logs(source, None, roles, "count", minimums, optional=plays)


def _apart(frame):
    """Return the same rows by a plan that no other reading has.

    Spark uses cached rows for equal plans. Two readings of one path have equal plans,
    also where somebody wrote to it between them.
    """
    own = F.lit(secrets.token_hex(8))
    return frame.filter(own == own)  # always true, which Spark finds out after that


def _pairs(events):
    """Make one row per user and item: plays, the last of them, the latest verdict."""
    has_time = "time" in events.columns
    when = F.struct("time", "place") if has_time else F.struct("place")
    found = [F.sum("count").alias("count")]
    if has_time:
        # A row of count 0 says that nothing was played: it is not a last item either.
        found.append(F.max(F.when(F.col("count") > 0, when)).alias("last"))
    if "verdict" in events.columns:
        judged = F.when(F.col("verdict").isNotNull(), when)
        found.append(F.max_by("verdict", judged).alias("verdict"))
    return events.groupBy("user", "item").agg(*found)


def _coded(pairs, weights, minimums):
    """Replace identifiers by codes; leave out users and items with too few."""
    ids, sizes, kept = {}, {}, {}
    for side in SIDES:
        known = pairs.select(F.col(side).alias("id")).distinct()
        ids[side], sizes[side], kept[side] = numbered(known, "id", side)
        of_side = ids[side].withColumnRenamed("id", f"{side}_id")
        pairs = pairs.withColumnRenamed(side, f"{side}_id").join(of_side, f"{side}_id")
    coded = pairs.drop("user_id", "item_id").persist()
    plays = coded.filter(F.col("count") > 0)
    left = pruned(plays, sizes, minimums)
    plays, verdicts = left, coded
    for side in SIDES:
        used = left.select(side).distinct()
        if minimums[side] == 0 or used.count() == sizes[side]:
            continue
        before = kept[side]
        ids[side], codes, sizes[side], kept[side] = _renumbered(ids[side], used, side)
        before.unpersist()
        plays = _recoded(plays, codes, side)
        verdicts = _recoded(verdicts, codes, side)
    frames = _frames(plays, verdicts, weights)
    sizes_of = {name: frame.persist().count() for name, frame in frames.items()}
    for frame in (coded, left):
        frame.unpersist()
    return SparkInteractions(
        user_ids=ids["user"],
        item_ids=ids["item"],
        n_users=sizes["user"],
        n_items=sizes["item"],
        n_pairs=sizes_of["user_items"],
        cached=(*frames.values(), *kept.values()),
        **frames,
    )


def _frames(plays, verdicts, weights):
    """Make the frames of `SparkInteractions` that consist of pairs."""
    count = F.lit(1.0) if weights == "binary" else F.col("count")
    count = count.cast("float").alias("count")
    frames = {"user_items": plays.select("user", "item", count)}
    if "last" in plays.columns:
        last = F.max_by("item", "last").alias("item")
        frames["last_items"] = plays.groupBy("user").agg(last)
    if "verdict" in verdicts.columns:
        for name, value in (("liked", 1), ("disliked", -1)):
            chosen = verdicts.filter(F.col("verdict") == value)
            frames[name] = chosen.select("user", "item")
    return frames


def _renumbered(ids, used, side):
    """Number the identifiers in use anew; return them, and old codes with new ones."""
    ids = ids.join(used, side, "left_semi").withColumnRenamed(side, "old")
    ids, size, kept = numbered(ids, "old", side)
    return ids.drop("old"), ids.drop("id"), size, kept


def _recoded(frame, codes, side):
    """Replace old codes by new ones; rows that have none are dropped."""
    return frame.withColumnRenamed(side, "old").join(codes, "old").drop("old")


def _matrix(frame, shape):
    """Turn pairs into a csr matrix; ones where they have no counts."""
    table = arrow_table(frame)
    counts = np.ones(len(table), np.float32)
    if "count" in table.column_names:
        counts = table["count"].to_numpy()
    places = table["user"].to_numpy(), table["item"].to_numpy()
    return sparse.coo_matrix((counts, places), shape=shape).tocsr()


def ids_in_order(frame: DataFrame) -> np.ndarray:
    """Return identifiers as an array, in the order of their codes."""
    table = arrow_table(frame)
    code = next(name for name in table.column_names if name != "id")
    ids = table["id"].take(np.argsort(table[code].to_numpy()))
    return ids.to_numpy(zero_copy_only=False)
