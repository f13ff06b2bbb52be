"""``read_logs``: listening logs from files or frames, here or on a Spark cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, overload

import numpy as np

from userlogfeat._check import check_choice
from userlogfeat._spark import is_spark_frame
from userlogfeat._typing import Frame, PathLike
from userlogfeat.logs.events import Events
from userlogfeat.logs.formats import READERS
from userlogfeat.logs.interactions import Interactions
from userlogfeat.logs.on_spark.interactions import SparkInteractions, read_spark_logs
from userlogfeat.logs.sources import iter_chunks


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

    Rows of the same user and item are added up. Items with too few users and users with
    too few items are left out, repeatedly until all have enough: removing an item can
    leave a user with too few.

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
        "mpd" or "yambda" (see :mod:`userlogfeat.logs.formats`), whose columns are
        known.
    user, item : str
        The columns with the identifiers. Any type is kept, as it is in the source. In
        text files identifiers are str, unless every value of a column is a whole number
        without leading zeros: then they are int64.
    count : str, optional
        The column with the number of plays, not negative. By default every row is one
        play.
    time : str, optional
        The column with the time of the play, for `last_items`: numbers, dates, or ISO
        8601 text. Of two plays at one time the later row is the later play.
    liked, disliked : str, optional
        Columns of true and false (or 1 and 0). If a user rated an item several
        times, the latest counts.
    weights : {"count", "binary"}
        Whether `user_items` holds numbers of plays or ones. A pair whose counts
        are all 0 is left out.
    min_users_per_item, min_items_per_user : int
        The fewest users an item, and items a user, may have. With 0, users and items
        without any play are kept too.
    separator : str, optional
        Separator of text files; by default "," for .csv, a tab for .tsv, .tab, .txt and
        .dat. Tab-separated fields are read unchanged, quotes included.
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
        Where the source cannot be read or lacks a column; where identifiers, counts or
        times are missing or wrong (with the rows); where nothing is left (naming the
        minimum that left it out).

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
        minimums = {"item": min_users_per_item, "user": min_items_per_user}
        layout = {"separator": separator, "columns": columns}
        return read_spark_logs(source, format, roles, weights, minimums, **layout)
    if format is None:
        chunks = iter_chunks(source, roles, separator=separator, columns=columns)
    else:
        chunks = READERS[format](source)
    events = Events()
    with ThreadPoolExecutor(2) as pool:
        for chunk in chunks:
            events.add(chunk, pool)
    return events.interactions(weights, min_users_per_item, min_items_per_user)


def _on_spark(backend, source):
    """Whether a cluster is to read it."""
    check_choice(backend, "backend", (None, "local", "spark"))
    if backend == "local" and is_spark_frame(source):
        raise TypeError(
            'Got a Spark frame with backend="local". Leave backend out to read it on '
            "its cluster, or bring it here first: frame.toArrow()."
        )
    return backend == "spark" or is_spark_frame(source)


def _check_settings(weights, min_users_per_item, min_items_per_user):
    check_choice(weights, "weights", ("count", "binary"))
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
