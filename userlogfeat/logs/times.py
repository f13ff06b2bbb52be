"""Times of plays, of one kind throughout; bounds and half-lives in their unit.

What text is a time is said twice: here, and for Spark in ``on_spark/columns.py``.
"""

import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from userlogfeat.logs.columns import (
    NO_TIME,
    casts,
    first_row,
    is_string,
    refuse,
    stripped,
    to_array,
)
from userlogfeat.logs.sources import Chunk

_SAMPLE = 1000  # rows to find out whether most of a column are numbers or dates
_NUMBERS = "numbers"
# Types of text as time, tried in order.
_TIMES = (
    ("whole numbers", pa.int64()),
    (_NUMBERS, pa.float64()),
    ("dates without time zone", pa.timestamp("us")),
    ("dates with time zone", pa.timestamp("us", "UTC")),
    ("dates without time zone", pa.timestamp("ns")),
    ("dates with time zone", pa.timestamp("ns", "UTC")),
)
# How many are in a second.
_UNITS = {
    "seconds": 1,
    "milliseconds": 10**3,
    "microseconds": 10**6,
    "nanoseconds": 10**9,
}
_SINCE_1970 = (1e8, 1e10)  # seconds: 1973 to 2286; no two units share a number
_DATES_PER_SECOND = _UNITS["microseconds"]  # in which dates are kept
_EPOCH = datetime.datetime(1970, 1, 1)


class Times:
    """Reads the times of plays, which are of one kind throughout.

    Numbers (of whatever unit, but one), or dates, as such or as text in ISO 8601.
    """

    def __init__(self) -> None:
        self._kind = None
        self._rows = {}  # unit -> the first row that looks like it
        self._is_epoch = True  # whether all numbers look like times since 1970

    def read(self, chunk: Chunk) -> np.ndarray:
        """Return a chunk's times: int64 (whole numbers, dates in us) or float64.

        Raises
        ------
        ValueError
            Where a time is missing, NaN or infinite, or not like the others.
        """
        return self._read(to_array(chunk.table["time"]), chunk)

    def check(self) -> None:
        """Refuse times in several units, such as seconds and milliseconds."""
        if self._is_epoch and len(self._rows) > 1:
            listed = ", ".join(f"{u} ({row})" for u, row in self._rows.items())
            raise ValueError(
                f"The column time= holds times since 1970 in several units: {listed}. "
                "Bring them to one, or leave time= out."
            )

    def bound(self, value: Any, name: str) -> float:
        """Return a moment as these times are: a number, or a date in microseconds.

        Parameters
        ----------
        value : number, date, datetime or str
            Text is a number or ISO 8601. A date is its midnight; without a time zone
            it is in UTC, as dates of logs are.
        name : str
            For messages.

        Raises
        ------
        ValueError
            Where it is neither, or of another kind than the times that were read.
        """
        value = _moment(value, name)
        if not isinstance(value, datetime.datetime):
            if self._kind != _NUMBERS:
                raise ValueError(
                    f"Got {name}={value!r}, but the column time= holds dates. Pass a "
                    f"date, such as {name}='2024-03-01'."
                )
            return value
        microseconds = (value - _EPOCH) // datetime.timedelta(microseconds=1)
        per_second = self._per_second(name, value)
        return microseconds * per_second / _DATES_PER_SECOND

    def span(self, value: Any, name: str) -> float:
        """Return a length of time in the unit of these times.

        Parameters
        ----------
        value : timedelta or number
            A number is in the unit of times that are numbers.
        name : str
            For messages.
        """
        if isinstance(value, datetime.timedelta):
            length = value.total_seconds() * self._per_second(name, value)
        elif self._kind != _NUMBERS:
            raise ValueError(
                f"Got {name}={value!r}, but the column time= holds dates. Pass a "
                f"datetime.timedelta, such as {name}=timedelta(days=90)."
            )
        else:
            length = float(value)
        return length

    def _per_second(self, name, value):
        """Count the units of these times in a second."""
        if self._kind != _NUMBERS:
            return _DATES_PER_SECOND
        self.check()
        if not self._is_epoch or len(self._rows) != 1:
            raise ValueError(
                f"Got {name}={value!s}, but the column time= holds numbers that do not "
                f"look like seconds (or milli-, micro-, nanoseconds) since 1970. Pass "
                f"{name}= as a number in their unit."
            )
        return _UNITS[next(iter(self._rows))]

    def _read(self, column, chunk):
        missing = column.is_null(nan_is_null=True)
        refuse(missing, chunk, *NO_TIME)
        kind, times = _numbers_or_dates(column)
        if times is None:
            if is_string(column) and not column.equals(stripped(column)):
                return self._read(stripped(column), chunk)
            raise _unread_times(column, chunk)
        if times.dtype.kind == "f":
            bad = ~np.isfinite(times)
            refuse(bad, chunk, "a time that is NaN or infinite", NO_TIME[1])
        self._kind = self._kind or kind
        if kind != self._kind:
            raise ValueError(
                f"The times from row {chunk.first_row} of {chunk.origin} on are "
                f"{kind}, but before they were {self._kind}. Write all rows "
                "alike, and dates with a time zone all over or nowhere."
            )
        if kind == _NUMBERS:
            self._note_units(times, chunk)
        return times

    def _note_units(self, times, chunk):
        n_fitting = np.count_nonzero(times == 0)  # which often stands for "unknown"
        for unit, per_second in _UNITS.items():
            low, high = (seconds * per_second for seconds in _SINCE_1970)
            fits = (times >= low) & (times < high)
            n_fits = np.count_nonzero(fits)
            n_fitting += n_fits
            if n_fits and unit not in self._rows:
                self._rows[unit] = first_row(chunk, fits)
        self._is_epoch &= n_fitting == len(times)


def _numbers_or_dates(column):
    """Read a column of times: its kind, in words, and its values; or None twice."""
    is_wide = pa.types.is_uint64(column.type)  # may hold more than int64 does
    if pa.types.is_integer(column.type) and not is_wide:
        return _NUMBERS, column.cast(pa.int64()).to_numpy()
    if is_wide or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return _NUMBERS, column.cast(pa.float64(), safe=False).to_numpy()
    if not is_string(column):
        zone = "with" if getattr(column.type, "tz", None) else "without"
        ways = ((f"dates {zone} time zone", pa.timestamp("us")),)
    else:
        ways = _TIMES
    for kind, way in ways:
        try:
            times = column.cast(way, safe=not pa.types.is_timestamp(column.type))
        except pa.ArrowException:
            continue
        if pa.types.is_timestamp(way):
            in_microseconds = pa.timestamp("us", way.tz)
            times = times.cast(in_microseconds, safe=False).cast(pa.int64())
        return kind.removeprefix("whole "), times.to_numpy()
    return None, None


def _unread_times(column, chunk):
    """Return the error for unreadable times; for text raise one with the rows."""
    if is_string(column):
        _refuse_other_times(column, chunk)
    return ValueError(
        f"The column time= of {chunk.origin} is of type {column.type} and starts with "
        f"{column[0].as_py()!r}, expected numbers, dates, or text in ISO 8601 such as "
        "2009-05-04T23:08:57, all rows alike, all with a time zone or none."
    )


def _refuse_other_times(column, chunk):
    """Name the rows that are unlike most, where most are numbers or dates."""
    sample = column[:_SAMPLE].to_pylist()
    n_read = {way: sum(casts(t, way) for t in sample) for _, way in _TIMES}
    way = max(n_read, key=n_read.get)
    if 2 * n_read[way] <= len(sample):
        return
    bad = np.array([not casts(text, way) for text in column.to_pylist()])
    first = column[int(np.argmax(bad))].as_py()
    refuse(
        bad,
        chunk,
        f"a time that is unlike the others, such as {first!r}",
        "Write all rows alike, as numbers or in ISO 8601, all with a time zone or "
        "none, or remove these.",
    )


def _moment(value, name):
    """Return a number, or a datetime in UTC without its time zone."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                value = datetime.datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(
                    f"Got {name}={value!r}, expected a number, a date, or text in ISO "
                    "8601 such as 2024-03-01 or 2024-03-01T12:00:00."
                ) from None
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        return value
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(
            f"Got {name} of type {type(value).__name__}, expected a number, a date or "
            "text in ISO 8601."
        )
    if not np.isfinite(value):
        raise ValueError(f"Got {name}={value}, expected a finite number or a date.")
    return value
