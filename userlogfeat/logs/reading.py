"""``read_logs``: listening logs from files or frames, here or on a Spark cluster."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

import numpy as np

from userlogfeat._check import check_choice, check_number
from userlogfeat._ids import positions
from userlogfeat._optional import import_optional
from userlogfeat._progress import progress_bar
from userlogfeat._spark import is_spark_frame
from userlogfeat._typing import ArrayLike, Frame, PathLike
from userlogfeat.logs.events import Events, Period, Rules
from userlogfeat.logs.formats import READERS, YAMBDA_LISTENED
from userlogfeat.logs.ids import IdCodes
from userlogfeat.logs.interactions import Interactions
from userlogfeat.logs.sources import iter_chunks

if TYPE_CHECKING:
    from userlogfeat.logs.on_spark.interactions import SparkInteractions

Moment = int | float | str | datetime.date | np.datetime64
Span = int | float | datetime.timedelta
Aliases = Mapping[Any, Any] | PathLike | Frame
NOT_ON_SPARK = (
    "since=, until=, half_life=, played=, user_ids=, item_ids=, aliases= and "
    "without_users= work on this machine only. On Spark filter and join the frame "
    "first, and pass it then; a few new weeks are read here fast enough."
)


class _Options(TypedDict, total=False):
    """Arguments of :func:`read_logs` that do not change what it returns."""

    user: str
    item: str
    count: str | None
    time: str | None
    liked: str | None
    disliked: str | None
    played: str | None
    length: str | None
    listened_above: float | None
    since: Moment | None
    until: Moment | None
    half_life: Span | None
    user_ids: ArrayLike | None
    item_ids: ArrayLike | None
    unknown: Literal["apart", "append"]
    aliases: Aliases | None
    without_users: ArrayLike | None
    weights: Literal["count", "binary"]
    min_users_per_item: int
    min_items_per_user: int
    separator: str | None
    columns: Sequence[str] | None


# A Spark frame gives SparkInteractions as well: say so with backend="spark".
@overload
def read_logs(
    source: PathLike | Frame,
    format: str | None = ...,
    *,
    backend: Literal["local"] | None = ...,
    **options: Unpack[_Options],
) -> Interactions: ...
@overload
def read_logs(
    source: PathLike | Frame,
    format: str | None = ...,
    *,
    backend: Literal["spark"],
    **options: Unpack[_Options],
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
    played: str | None = None,
    length: str | None = None,
    listened_above: float | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    half_life: Span | None = None,
    user_ids: ArrayLike | None = None,
    item_ids: ArrayLike | None = None,
    unknown: Literal["apart", "append"] = "apart",
    aliases: Aliases | None = None,
    without_users: ArrayLike | None = None,
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
    source : str, Path, list of these, or frame
        The path of a csv, tsv or parquet file (text may be compressed: .gz, .bz2,
        .zst), a list of such paths, or a folder of files of one of these kinds, such as
        one per day; or a frame of polars (lazy too), pandas or pyarrow. With `format`:
        the data set's folder or file. On Spark also a Spark frame, or any path, URL or
        pattern of csv, tsv, Parquet, ORC or JSON files that Spark reads.
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
        The column with the time of the play, for `last_items`, `since`, `until` and
        `half_life`: numbers, dates, or ISO 8601 text. Of two plays at one time the
        later row is the later play.
    liked, disliked : str, optional
        Columns of true and false (or 1 and 0). If a user rated an item several
        times, the latest counts.
    played, length : str, optional
        The column with the fraction of the item that was played, 0 to 1; or with the
        seconds played, and that with the item's length in seconds.
    listened_above : float, optional
        A row is a play where more than this fraction was played; 0 counts every row.
        By default 0.5, the rule of Yambda's authors, where there is `played` or
        ``format="yambda"``. Other formats do not note the fraction, and count all.
    since, until : number, date, datetime or str, optional
        Only plays (and verdicts) from `since` on and before `until`. Text is a number
        or ISO 8601. Dates are understood where times are dates, or numbers since 1970.
        Without a time zone, here or in the logs, times are those of UTC.
    half_life : timedelta or number, optional
        Time after which a play counts half, one of twice that age a quarter, ...; the
        age is counted from `until`, else from the latest play. A number is in the
        unit of `time`.
    user_ids, item_ids : array-like, optional
        Users, items of an existing model: they are the first rows, or columns, in
        their order, whether they were played or not. Ids that are whole numbers on one
        side and text on the other are compared as text.
    unknown : {"apart", "append"}
        Place of the plays of other users and items: "apart" leaves them out of
        `user_items` and keeps them in the attribute `unknown`; "append" adds rows and
        columns for them after the given ones.
    aliases : dict, str, Path or frame, optional
        Items that were renamed or merged: old id -> new id, or a table with the
        columns "old" and "new". Chains are followed. Where `item_ids` have an old id
        and not its new one, plays stay with the old one.
    without_users : array-like, optional
        Users to leave out. :func:`userlogfeat.forgetting.forget_users` removes them
        from files.
    weights : {"count", "binary"}
        Whether `user_items` holds numbers of plays or ones. A pair whose counts
        are all 0 is left out.
    min_users_per_item, min_items_per_user : int
        The fewest users an item, and items a user, may have. With 0, users and items
        without any play are kept too. Given `user_ids` and `item_ids` stay.
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
        Users and items in the order of their identifiers, after those that were given.
        On Spark everything stays there until ``collect()``, which gives the same
        Interactions.

    Raises
    ------
    FileNotFoundError
        Where the file or folder is not there.
    ValueError
        Where the source cannot be read or lacks a column; where identifiers, counts or
        times are missing or wrong (with the rows); where nothing is left (naming the
        minimum that left it out).

    Warns
    -----
    UserWarning
        Where two files of a folder or list hold the same bytes.

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

    New plays against the items of that log; what it did not know stays apart:

    >>> week = pl.DataFrame({"user": ["eve", "eve"], "item": ["song 2", "song 3"]})
    >>> week = read_logs(week, item_ids=logs.item_ids)
    >>> week.user_items.toarray()
    array([[0., 1.]], dtype=float32)
    >>> week.unknown.item_ids.tolist()
    ['song 1', 'song 2', 'song 3']
    >>> week.unknown.user_items.toarray()
    array([[0., 0., 1.]], dtype=float32)
    """
    roles = {"user": user, "item": item, "count": count, "time": time}
    roles |= {"liked": liked, "disliked": disliked}
    roles |= {"played": played, "length": length}
    roles = {role: name for role, name in roles.items() if name is not None}
    rules = Rules(
        user_ids,
        item_ids,
        unknown,
        read_aliases(aliases),
        without_users,
        min_users_per_item,
        min_items_per_user,
    )
    _check_settings(weights, rules)
    if user == item:
        raise ValueError(f"Got user={user!r} and item={item!r}, expected two columns.")
    if format is not None:
        extra = separator is not None or columns is not None
        extra |= roles != {"user": "user", "item": "item"}
        _check_format(format, source, extra)
    above = _listened_above(listened_above, format, roles)
    period = Period(since, until, half_life, above)
    _check_period(period, format, roles, weights)
    if _on_spark(backend, source):
        ours = (since, until, half_life, played)
        ours += (user_ids, item_ids, aliases, without_users)
        if any(value is not None for value in ours):
            raise ValueError(NOT_ON_SPARK)
        minimums = {"item": min_users_per_item, "user": min_items_per_user}
        layout = {"separator": separator, "columns": columns}
        if format == "yambda":
            layout["listened_above"] = above
        import_optional("pyspark", extra="spark", purpose='read_logs(backend="spark")')
        from userlogfeat.logs.on_spark.interactions import read_spark_logs

        return read_spark_logs(source, format, roles, weights, minimums, **layout)
    if format == "yambda":
        chunks = READERS[format](source, listened_above=above)
    elif format is not None:
        chunks = READERS[format](source)
    else:
        chunks = iter_chunks(source, roles, separator=separator, columns=columns)
    return _add_all(Events(period), chunks).interactions(weights, rules)


def read_each_play(
    source: PathLike | Frame, roles: Mapping[str, str], since: Moment | None = None
) -> tuple[Interactions, tuple[np.ndarray, ...], float | None]:
    """Read logs with times, and keep each of their plays.

    Parameters
    ----------
    source : str, Path or frame
    roles : dict of str to str
        Names of the columns "user", "item", "time" and perhaps "count".
    since : int, float, str or date, optional
        A moment.

    Returns
    -------
    logs : Interactions
        As of :func:`read_logs` without times.
    plays : tuple of ndarray
        Row, column, count and time of each play.
    since : float or None
        The moment, as a number like these times.
    """
    events = _add_all(Events(merges=False), iter_chunks(source, roles))
    logs = replace(events.interactions("count", Rules()), last_items=None)
    moment = None if since is None else events.times.bound(since, "since")
    users, items, counts, times = events.plays[0]
    # Identifiers that have no play are in neither side of the matrix.
    rows = positions(events.user_codes.in_order()[0], logs.user_ids)[users]
    columns = positions(events.item_codes.in_order()[0], logs.item_ids)[items]
    return logs, (rows, columns, counts, times), moment


def _add_all(events, chunks):
    bar = progress_bar(desc="reading logs", unit="row", unit_scale=True)
    with ThreadPoolExecutor(2) as pool, bar:
        for chunk in chunks:
            events.add(chunk, pool)
            bar.update(chunk.table.num_rows)
        events.take_pending(pool)
    return events


def read_aliases(aliases: Aliases | None) -> dict[Any, Any] | None:
    """Return aliases as a dict of old id to new id.

    Parameters
    ----------
    aliases : dict, str, Path or frame, or None
        A table has the columns "old" and "new".
    """
    if aliases is None or isinstance(aliases, Mapping):
        return aliases if aliases is None else dict(aliases)
    sides = IdCodes("old"), IdCodes("new")
    for chunk in iter_chunks(aliases, {"old": "old", "new": "new"}):
        for side in sides:
            side.add(chunk)
    old, new = (ids[places].tolist() for ids, places in map(IdCodes.all_rows, sides))
    found = dict(zip(old, new, strict=True))
    for before, after in zip(old, new, strict=True):
        if found[before] != after:
            raise ValueError(
                f"aliases= has two new ids for {before!r}: {after!r} and "
                f"{found[before]!r}. Keep the one that holds."
            )
    return found


def _listened_above(fraction, format, roles):
    """Return the fraction above which a row is a play; 0 counts every row."""
    has_fractions = format == "yambda" or "played" in roles
    if "length" in roles and not has_fractions:
        raise ValueError("Got length= without played=, the column it belongs to.")
    if fraction is None:
        return YAMBDA_LISTENED if has_fractions else 0.0
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float)):
        raise TypeError(f"Got listened_above={fraction!r}, expected a number.")
    if not 0 <= fraction < 1:
        raise ValueError(
            f"Got listened_above={fraction}, expected a fraction from 0 up to, but not "
            "including, 1. Divide percentages by 100."
        )
    if fraction > 0 and not has_fractions:
        where = f'format="{format}" does' if format else "the logs do"
        raise ValueError(
            f"Got listened_above={fraction}, but {where} not say what fraction was "
            "played. Name its column with played=, or leave listened_above= out."
        )
    return float(fraction)


def _check_period(period, format, roles, weights):
    """Refuse what needs times where there are none."""
    has_time = "time" in roles if format is None else format == "yambda"
    if period.needs_time and not has_time:
        why = "Name the column of times with time=."
        if format is not None:
            why = f'format="{format}" has no times of plays.'
        raise ValueError(f"since=, until= and half_life= need times. {why}")
    if period.half_life is None:
        return
    if weights == "binary":
        raise ValueError(
            'half_life= makes old plays count less, but weights="binary" makes all '
            "count one. Leave one of them out."
        )
    length = period.half_life
    if isinstance(length, bool) or not isinstance(
        length, (int, float, datetime.timedelta)
    ):
        raise TypeError(f"Got half_life={length!r}, expected a timedelta or a number.")
    is_span = isinstance(length, datetime.timedelta)
    if not length > (datetime.timedelta(0) if is_span else 0):
        raise ValueError(f"Got half_life={length}, expected more than 0.")


def _on_spark(backend, source):
    """Whether a cluster is to read it."""
    check_choice(backend, "backend", (None, "local", "spark"))
    if backend == "local" and is_spark_frame(source):
        raise TypeError(
            'Got a Spark frame with backend="local". Leave backend out to read it on '
            "its cluster, or bring it here first: frame.toArrow()."
        )
    return backend == "spark" or is_spark_frame(source)


def _check_settings(weights, rules):
    check_choice(weights, "weights", ("count", "binary"))
    check_choice(rules.unknown, "unknown", ("apart", "append"))
    for name in ("min_users_per_item", "min_items_per_user"):
        check_number(getattr(rules, name), name, 0, integer=True)
    for name in ("user_ids", "item_ids"):
        known = getattr(rules, name)
        if known is not None and not isinstance(known, str) and len(known) == 0:
            raise ValueError(
                f"Got {name}=[], expected the ids that the matrix has, one or more. "
                f"Leave {name} out to take those of the logs. Was a filter too strict?"
            )


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
            "count=, time=, liked=, disliked=, played=, length=, separator= and "
            "columns=."
        )
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f'With format="{format}" got {type(source).__name__}, expected the data '
            "set's folder or file."
        )
