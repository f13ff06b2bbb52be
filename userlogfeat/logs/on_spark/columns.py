"""Checked columns of logs on a cluster: one pass counts the wrong rows of each kind.

The rules are those of :mod:`userlogfeat.logs.columns`. A frame on a cluster has no row
numbers, so messages show some of the wrong rows instead.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from userlogfeat.logs.columns import (
    BOTH_VERDICTS,
    INFINITE_COUNT,
    NEGATIVE_COUNT,
    NO_COUNT,
    NO_FLAG,
    NO_TIME,
    NUMBER_FORMAT,
)
from userlogfeat.logs.on_spark.sources import Source, reading

_SHOWN_ROWS = 3  # in an error message
_TRUE, _FALSE = ("true", "1"), ("false", "0")  # Spark would take "y" and "n" too
_TIMES = ("bigint", "double", "timestamp")  # types of text as time, tried in order


class Check(NamedTuple):
    """A condition that no row may meet."""

    bad: Column  # true where a row is to be refused
    what: str  # "Got 3 rows of plays.csv with {what} (...). {advice}"
    advice: str


def checked_events(source: Source) -> tuple[DataFrame, int, int]:
    """Turn the rows of a source into numbers and identifiers, and check all of them.

    Parameters
    ----------
    source : Source
        With columns user, item and place; optionally count, time, liked and disliked,
        or verdict.

    Returns
    -------
    frame : pyspark.sql.DataFrame
        Columns user, item, count (double; ones where there are no counts), place,
        and where the source has them time and verdict (1, -1, 0, or null).
    n_rows, n_plays : int
        Rows, and those with a count above 0.

    Raises
    ------
    ValueError
        As :func:`userlogfeat.read_logs` for wrong rows.
    """
    frame = source.frame
    kinds = {field.name: field.dataType for field in frame.schema.fields}
    columns = {role: F.col(role) for role in ("user", "item", "place")}
    checks = [_identifier(role, kinds[role], source) for role in ("user", "item")]
    columns["count"], found = _count(kinds, source.origin)
    checks += found
    if "verdict" in kinds:
        columns["verdict"] = F.col("verdict").cast("float")
    elif roles := [role for role in ("liked", "disliked") if role in kinds]:
        columns["verdict"], found = _verdict(roles, kinds, source.origin)
        checks += found
    checks += [Check(*check) for check in source.checks]
    times = []
    if "time" in kinds:
        times, check = _times(kinds["time"], source.origin)
        checks.append(check)
    strange = _no_whole_numbers() if source.is_text else {}
    totals = _totals(source, checks, times, strange, columns["count"])
    for index, check in enumerate(checks):
        if totals[f"check{index}"]:
            _refuse(source, check, totals[f"check{index}"])
    if totals["n_mangled"]:
        warnings.warn(
            f"The identifiers of {totals['n_mangled']} rows of {source.origin} hold "
            "U+FFFD, which stands for what is no UTF-8: different ones may have become "
            "one. Convert the file first: iconv -f latin1 -t utf-8 OLD > NEW.",
            stacklevel=2,
        )
    if times:
        fits = [time for i, time in enumerate(times) if not totals[f"time{i}"]]
        columns["time"] = fits[0] if fits else _no_time(source, kinds["time"])
    for role in strange:
        if not totals[role]:
            columns[role] = F.col(role).cast("bigint")
    chosen = [column.alias(name) for name, column in columns.items()]
    return frame.select(*chosen), totals["n_rows"], totals["n_plays"]


def _totals(source, checks, times, strange, count):
    """Count the wrong rows, and all rows, in one pass."""
    totals = {f"check{i}": F.count_if(check.bad) for i, check in enumerate(checks)}
    totals |= {f"time{i}": F.count_if(time.isNull()) for i, time in enumerate(times)}
    totals |= {role: F.count_if(bad) for role, bad in strange.items()}
    totals |= {"n_rows": F.count("*"), "n_plays": F.count_if(count > 0)}
    totals["n_mangled"] = F.count_if(_mangled() if source.is_text else F.lit(False))
    totals = [total.alias(name) for name, total in totals.items()]
    with reading(source.origin):
        return source.frame.agg(*totals).first()


def _mangled():
    """Mark text that was no UTF-8 and became U+FFFD: two ids may be one then."""
    return F.col("user").contains("\ufffd") | F.col("item").contains("\ufffd")


def _identifier(role, kind, source):
    if isinstance(kind, T.ArrayType | T.MapType | T.StructType | T.VariantType):
        raise ValueError(
            f"Column {role}= of {source.origin} holds lists or structs "
            f"({kind.simpleString()}), expected one identifier per row. Explode it "
            "first."
        )
    missing = F.col(role).isNull()
    if isinstance(kind, T.FloatType | T.DoubleType):
        missing |= F.isnan(role)
    elif source.is_text:
        missing |= F.col(role) == ""
    return Check(
        missing,
        f"no {role} identifier (missing, None or NaN)",
        "Remove these rows, or give the unknown a name.",
    )


def _count(kinds, origin):
    """Read the count as double, rounded to float32 as in the local reader."""
    if "count" not in kinds:
        return F.lit(1.0), []
    kind, count = kinds["count"], F.col("count")
    checks = []
    if isinstance(kind, T.StringType):
        # Java takes "3f" and " 3" for numbers as well.
        javas = count.rlike(r"^\s|\s$|[0-9.][dDfF]$")
        unread = (count != "") & (count.try_cast("double").isNull() | javas)
        checks += [Check(unread, "a count that is not a number", NUMBER_FORMAT)]
        count = count.try_cast("double")
    elif isinstance(kind, T.NumericType | T.BooleanType):
        count = count.cast("double")
    else:
        raise ValueError(_expected("count", origin, kind, "numbers"))
    largest = float(np.finfo(np.float32).max)
    checks += [
        Check(count.isNull() | F.isnan(count), *NO_COUNT),
        Check(count < 0, *NEGATIVE_COUNT),
        Check((count > largest) & ~F.isnan(count), *INFINITE_COUNT),
    ]
    return count.cast("float").cast("double"), checks


def _verdict(roles, kinds, origin):
    """+1 liked, -1 disliked, null neither."""
    said, checks = {}, []
    for role in roles:
        said[role], found = _flag(role, kinds[role], origin)
        checks += found
    if len(said) == 2:
        both = said["liked"] & said["disliked"]
        checks.append(Check(both, *BOTH_VERDICTS))
    verdict = F.lit(None).cast("float")
    for role, value in (("liked", 1.0), ("disliked", -1.0)):
        if role in said:
            verdict = F.when(said[role], F.lit(value)).otherwise(verdict)
    return verdict.cast("float"), checks


def _flag(role, kind, origin):
    """Read a column of true and false, or 1 and 0; null is false."""
    flag, checks = F.col(role), []
    if isinstance(kind, T.NumericType):
        known = flag.isNotNull() & ~F.isnan(flag.cast("double"))
        what, advice = NO_FLAG
        bad = known & (flag != 0) & (flag != 1)
        checks = [Check(bad, what.format(role=role), advice)]
        flag = flag == 1
    elif isinstance(kind, T.StringType):
        read = F.when(F.lower(flag).isin(*_TRUE), True)
        read = read.when(F.lower(flag).isin(*_FALSE), False)
        unread = (flag != "") & read.isNull()
        what = f"text in {role}= that is neither true nor false"
        checks = [Check(unread, what, "Write true and false, or 1 and 0.")]
        flag = read
    elif not isinstance(kind, T.BooleanType):
        raise ValueError(_expected(role, origin, kind, "true and false, or 1 and 0"))
    return F.coalesce(flag, F.lit(False)), checks


def _times(kind, origin):
    """Return the ways to read the time, and the check for missing ones."""
    time = F.col("time")
    missing, ways = time.isNull(), [time]
    if isinstance(kind, T.FloatType | T.DoubleType):
        missing |= F.isnan(time)
    elif isinstance(kind, T.StringType):
        missing |= (time == "") | F.isnan(time.try_cast("double"))
        ways = [time.try_cast(way) for way in _TIMES]
    elif not isinstance(
        kind, T.NumericType | T.DateType | T.TimestampType | T.TimestampNTZType
    ):
        raise ValueError(_expected("time", origin, kind, "numbers, dates or text"))
    return ways, Check(missing, *NO_TIME)


def _no_time(source, kind):
    first = source.frame.select("time").first()["time"]
    raise ValueError(
        f"The column time= of {source.origin} is of type {kind.simpleString()} and "
        f"starts with {first!r}, expected numbers, dates, or text in ISO 8601 such as "
        "2009-05-04T23:08:57, all rows alike."
    )


def _no_whole_numbers():
    """Mark identifiers from text that are not whole numbers: role -> column."""
    written = {role: F.col(role).try_cast("bigint") for role in ("user", "item")}
    return {
        role: F.coalesce(number.cast("string") != F.col(role), F.lit(True))
        for role, number in written.items()
    }


def _expected(role, origin, kind, what):
    return (
        f"The column {role}= of {origin} is of type {kind.simpleString()}, expected "
        f"{what}."
    )


def _refuse(source, check, n_bad):
    shown = source.frame.filter(check.bad).drop("place").limit(_SHOWN_ROWS).collect()
    rows = "; ".join(
        ", ".join(f"{name}={value!r}" for name, value in row.asDict().items())
        for row in shown
    )
    noun = "row" if n_bad == 1 else "rows"
    more = "; ..." if n_bad > _SHOWN_ROWS else ""
    raise ValueError(
        f"Got {n_bad} {noun} of {source.origin} with {check.what} ({rows}{more}). "
        f"{check.advice}"
    )
