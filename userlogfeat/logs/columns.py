"""Checked columns of logs: identifiers become codes, counts and times numbers.

Every check names the rows that fail it, counted from 0 without the header. Checks that
a cluster has too are named constants: what is wrong, and the advice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from userlogfeat._text_tables import whole_numbers

if TYPE_CHECKING:
    from userlogfeat.logs.sources import Chunk


NO_COUNT = ("a missing or NaN count", "Remove these rows.")
NEGATIVE_COUNT = (
    "a negative count",
    "Counts are numbers of plays. Give ratings or dislikes through liked=, disliked=.",
)
INFINITE_COUNT = ("an infinite count", "Correct or remove these rows.")
NO_TIME = ("no time", "Remove these rows, or leave time= out.")
BOTH_VERDICTS = ("both liked and disliked", "A row can be one of them.")
NO_FLAG = (
    "a number in {role}= other than 1 and 0",
    "Ratings, percentages and times are no flags: make the column true where they mean "
    "it, such as ratings of 4 and more.",
)
NUMBER_FORMAT = (
    "Write numbers with a point and without separators of thousands or spaces."
)

_SHOWN_ROWS = 5  # in an error message
_SAMPLE = 1000  # rows to find out whether most of a column are numbers or dates
_NUMBERS = "numbers"
# Types of text as time, tried in order.
_TIMES = {
    "whole numbers": pa.int64(),
    _NUMBERS: pa.float64(),
    "dates without time zone": pa.timestamp("us"),
    "dates with time zone": pa.timestamp("us", "UTC"),
}
# Times since 1970 from 1973 to 2286; no two units share a number.
_UNITS = {
    "seconds": (1e8, 1e10),
    "milliseconds": (1e11, 1e13),
    "microseconds": (1e14, 1e16),
    "nanoseconds": (1e17, 1e19),
}


class IdCodes:
    """Numbers identifiers 0, 1, ... in the order they are first met.

    Parameters
    ----------
    role : {"user", "item"}
        For messages.
    """

    def __init__(self, role: Literal["user", "item"]) -> None:
        self.role = role
        self.ids: pa.Array | None = None  # code -> identifier
        self.is_text = False

    def encode(self, chunk: Chunk) -> np.ndarray:
        """Return the codes of a chunk's identifiers, int32 (n_rows,)."""
        return self._encode(to_array(chunk.table[self.role]), chunk)

    def _encode(self, column, chunk):
        self._check(column, chunk)
        if self.ids is None:
            self.ids = column[:0]
            self.is_text = chunk.is_text
        elif column.type != self.ids.type:
            column = self._same_type(column, chunk)
        codes = pc.index_in(column, value_set=self.ids)
        if not codes.null_count:
            return codes.to_numpy()
        is_new = pc.is_null(codes)
        new = column.filter(is_new).dictionary_encode()
        if chunk.is_text and not new.dictionary.equals(_stripped(new.dictionary)):
            return self._encode(_stripped(column), chunk)
        codes = pc.fill_null(codes, 0).to_numpy().copy()
        codes[is_new.to_numpy(zero_copy_only=False)] = new.indices.to_numpy() + len(
            self.ids
        )
        self.ids = pa.concat_arrays([self.ids, new.dictionary])
        return codes

    def in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the identifiers, sorted, and the rank of each code.

        Identifiers read from text become int64 where nothing is lost by that: see
        :func:`userlogfeat._text_tables.whole_numbers`.

        Returns
        -------
        ids : ndarray, shape (n_ids,)
        ranks : ndarray of int32, shape (n_ids,)
            ``ids[ranks[code]]`` is the identifier with that code.
        """
        ids = self.ids
        if self.is_text:
            ids = whole_numbers(ids)
            if ids.type != self.ids.type:  # "7" and "7.0" are one
                ids, ranks = np.unique(ids.to_numpy(), return_inverse=True)
                return ids, ranks.astype(np.int32)
        order = pc.sort_indices(ids).to_numpy()
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order), dtype=np.int32)
        return ids.take(pa.array(order)).to_numpy(zero_copy_only=False), ranks

    def _check(self, column, chunk):
        if pa.types.is_nested(column.type):
            raise ValueError(
                f"Column {self.role}= of {chunk.origin} holds lists or structs "
                f"({column.type}), expected one identifier a row. Explode it first."
            )
        missing = column.is_null(nan_is_null=True)
        if pc.any(missing).as_py():
            raise ValueError(
                f"Got {_rows(chunk, missing)} without {self.role} identifier (missing, "
                "None or NaN). Remove these rows, or give the unknown a name."
            )

    def _same_type(self, column, chunk):
        try:
            return column.cast(self.ids.type)
        except pa.ArrowException as error:
            raise ValueError(
                f"The {self.role} identifiers of {chunk.origin} are of type "
                f"{column.type}, but before they were {self.ids.type}. Convert all "
                "parts to one type."
            ) from error


def read_counts(chunk: Chunk) -> np.ndarray:
    """Return a chunk's play counts as float32, or ones where it has none.

    Raises
    ------
    ValueError
        Where a count is not a number, is missing, negative, or infinite in float32.
    """
    if "count" not in chunk.table.column_names:
        return np.ones(chunk.table.num_rows, np.float32)
    column = to_array(chunk.table["count"])
    values = _as_float(column, chunk, "count")
    _refuse(np.isnan(values), chunk, *NO_COUNT)
    _refuse(values < 0, chunk, *NEGATIVE_COUNT)
    _refuse(values > np.finfo(np.float32).max, chunk, *INFINITE_COUNT)
    return values.astype(np.float32)


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

    def _read(self, column, chunk):
        missing = column.is_null(nan_is_null=True)
        _refuse(missing, chunk, *NO_TIME)
        kind, times = _numbers_or_dates(column)
        if times is None:
            if _is_string(column) and not column.equals(_stripped(column)):
                return self._read(_stripped(column), chunk)
            raise _unread_times(column, chunk)
        if times.dtype.kind == "f":
            bad = ~np.isfinite(times)
            _refuse(bad, chunk, "a time that is NaN or infinite", NO_TIME[1])
        self._kind = self._kind or kind
        if kind != self._kind:
            raise ValueError(
                f"The times from row {chunk.first_row} of {chunk.origin} on are "
                f"{kind}, but before they were {self._kind}. Write all rows alike."
            )
        if kind == _NUMBERS:
            self._note_units(times, chunk)
        return times

    def _note_units(self, times, chunk):
        n_fitting = np.count_nonzero(times == 0)  # which often stands for "unknown"
        for unit, (low, high) in _UNITS.items():
            fits = (times >= low) & (times < high)
            n_fits = np.count_nonzero(fits)
            n_fitting += n_fits
            if n_fits and unit not in self._rows:
                self._rows[unit] = _first_row(chunk, fits)
        self._is_epoch &= n_fitting == len(times)


def _numbers_or_dates(column):
    """Read a column of times: its kind, in words, and its values; or None twice."""
    if pa.types.is_integer(column.type):
        return _NUMBERS, column.cast(pa.int64()).to_numpy()
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return _NUMBERS, column.cast(pa.float64()).to_numpy()
    if not _is_string(column):
        ways = {"dates": pa.timestamp("us")}
    else:
        ways = _TIMES
    for kind, way in ways.items():
        try:
            times = column.cast(way, safe=not pa.types.is_timestamp(column.type))
        except pa.ArrowException:
            continue
        if pa.types.is_timestamp(way):
            times = times.cast(pa.int64())
        return kind.removeprefix("whole "), times.to_numpy()
    return None, None


def _unread_times(column, chunk):
    """Return the error for unreadable times; for text raise one with the rows."""
    if _is_string(column):
        _refuse_other_times(column, chunk)
    return ValueError(
        f"The column time= of {chunk.origin} is of type {column.type} and starts with "
        f"{column[0].as_py()!r}, expected numbers, dates, or text in ISO 8601 such as "
        "2009-05-04T23:08:57, all rows alike."
    )


def _refuse_other_times(column, chunk):
    """Name the rows that are unlike most, where most are numbers or dates."""
    sample = column[:_SAMPLE].to_pylist()
    n_read = {way: sum(_casts(t, way) for t in sample) for way in _TIMES.values()}
    way = max(n_read, key=n_read.get)
    if 2 * n_read[way] <= len(sample):
        return
    bad = np.array([not _casts(text, way) for text in column.to_pylist()])
    first = column[int(np.argmax(bad))].as_py()
    _refuse(
        bad,
        chunk,
        f"a time that is unlike the others, such as {first!r}",
        "Write all rows alike, as numbers or in ISO 8601, or remove these.",
    )


def read_verdicts(chunk: Chunk) -> np.ndarray | None:
    """Return verdicts as float: +1 liked, -1 disliked, 0 withdrawn, NaN none; or None.

    None stands for logs without such columns.
    """
    names = chunk.table.column_names
    if "verdict" in names:
        column = to_array(chunk.table["verdict"]).cast(pa.float32())
        return column.to_numpy(zero_copy_only=False)
    verdicts = None
    for role, value in (("liked", 1), ("disliked", -1)):
        if role in names:
            if verdicts is None:
                verdicts = np.full(chunk.table.num_rows, np.nan, np.float32)
            flags = _as_bool(to_array(chunk.table[role]), chunk, role)
            _refuse(flags & ~np.isnan(verdicts), chunk, *BOTH_VERDICTS)
            verdicts[flags] = value
    return verdicts


def read_fractions(chunk: Chunk) -> np.ndarray:
    """Return the fraction of the item that each row played, 0 to 1, as float64.

    The column "played", or "played" / "length" where there is a length, at most 1.

    Raises
    ------
    ValueError
        Where a value is not a number, is missing or negative; a length is 0; or,
        without lengths, a fraction is above 1.
    """
    played = _as_float(to_array(chunk.table["played"]), chunk, "played")
    _refuse(
        ~(played >= 0) | np.isinf(played),
        chunk,
        "a missing, negative or infinite value in played=",
        "Remove these rows.",
    )
    if "length" not in chunk.table.column_names:
        _refuse(
            played > 1,
            chunk,
            "a fraction played above 1",
            "Divide percentages by 100; of seconds, name the column of the items' "
            "lengths as well, with length=.",
        )
        return played
    length = _as_float(to_array(chunk.table["length"]), chunk, "length")
    _refuse(
        ~(length > 0) | np.isinf(length),
        chunk,
        "a missing length, or one that is not above 0",
        "Remove these rows, or correct them.",
    )
    return np.minimum(played / length, 1)


def read_skips(chunk: Chunk) -> np.ndarray:
    """Whether each row was skipped, as bool; missing values are refused."""
    column = to_array(chunk.table["skipped"])
    missing = column.is_null(nan_is_null=True)
    _refuse(missing, chunk, "nothing in skipped=", "Remove these rows.")
    return _as_bool(column, chunk, "skipped")


def to_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return one array; dictionaries (categories) decoded, text as large_string."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # an empty one, in some versions
            column = pa.concat_arrays(column.chunks)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_string(column) and column.type != pa.large_string():
        column = column.cast(pa.large_string())
    return column


def _is_string(column):
    kind = column.type
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )


def _stripped(column):
    """Strip blanks around text; null where nothing is left."""
    column = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)


def _as_float(column, chunk, role):
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    numeric = (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_decimal(column.type)
        or pa.types.is_boolean(column.type)
    )
    try:
        if numeric or _is_string(column):
            return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        if not column.equals(_stripped(column)):
            return _as_float(_stripped(column), chunk, role)
        bad = [not _casts(text, pa.float64()) for text in column.to_pylist()]
        bad = np.array(bad)
        first = column[int(np.argmax(bad))].as_py()
        _refuse(
            bad,
            chunk,
            f"a {role} that is not a number, such as {first!r}",
            NUMBER_FORMAT,
        )
    raise ValueError(
        f"The column {role}= of {chunk.origin} is of type {column.type}, expected "
        "numbers."
    )


def _casts(text, kind):
    """Whether a text is read as this type; null is, since others check for it."""
    try:
        pa.scalar(text, pa.large_string()).cast(kind)
    except pa.ArrowException:
        return False
    return True


def _as_bool(column, chunk, role):
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        known = ~np.isnan(values)
        what, advice = NO_FLAG
        bad = known & (values != 0) & (values != 1)
        _refuse(bad, chunk, what.format(role=role), advice)
        return known & (values == 1)
    if _is_string(column):
        column = _stripped(column)
    try:
        flags = column.cast(pa.bool_())
    except pa.ArrowException as error:
        raise ValueError(
            f"The column {role}= of {chunk.origin} is of type {column.type}, expected "
            "true and false, or 1 and 0."
        ) from error
    return pc.fill_null(flags, False).to_numpy(zero_copy_only=False)


def _refuse(bad, chunk, what, advice):
    """Raise a ValueError that names the rows where `bad` is true."""
    if isinstance(bad, pa.Array):
        bad = bad.to_numpy(zero_copy_only=False)
    if bad.any():
        raise ValueError(f"Got {_rows(chunk, bad)} with {what}. {advice}")


def _rows(chunk, bad):
    if isinstance(bad, pa.Array):
        bad = bad.to_numpy(zero_copy_only=False)
    rows = _row_numbers(chunk, np.flatnonzero(bad))
    shown = ", ".join(str(row) for row in rows[:_SHOWN_ROWS])
    more = ", ..." if len(rows) > _SHOWN_ROWS else ""
    noun = "row" if len(rows) == 1 else "rows"
    return (
        f"{len(rows)} {noun} of {chunk.origin} ({noun} {shown}{more}, counted from 0 "
        "without the header)"
    )


def _first_row(chunk, mask):
    return f"first in row {_row_numbers(chunk, np.argmax(mask))} of {chunk.origin}"


def _row_numbers(chunk, rows):
    return rows + chunk.first_row if chunk.rows is None else chunk.rows[rows]
