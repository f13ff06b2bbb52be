"""Checked columns of logs: identifiers become codes, counts and times numbers.

Every check names the rows that fail it, counted from 0 without the header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from userlogfeat.logs.sources import Chunk


_SHOWN_ROWS = 5  # in an error message


class IdCodes:
    """Numbers identifiers 0, 1, ... in the order they are first met.

    Parameters
    ----------
    role : {"user", "item"}
        For messages.
    """

    def __init__(self, role: Literal["user", "item"]) -> None:
        self.role = role
        self.ids = None  # Arrow array: code -> identifier
        self.is_text = False

    def encode(self, chunk: Chunk) -> np.ndarray:
        """Codes of a chunk's identifiers, int32 (n_rows,)."""
        column = plain(chunk.table[self.role])
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
        codes = pc.fill_null(codes, 0).to_numpy().copy()
        codes[is_new.to_numpy(zero_copy_only=False)] = new.indices.to_numpy() + len(
            self.ids
        )
        self.ids = pa.concat_arrays([self.ids, new.dictionary])
        return codes

    def in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """The identifiers, sorted, and the rank of each code.

        Identifiers read from text become int64 where all of them are whole numbers
        written without leading zeros or signs, so that nothing of them is lost.

        Returns
        -------
        ids : ndarray, shape (n_ids,)
        ranks : ndarray of int32, shape (n_ids,)
            ``ids[ranks[code]]`` is the identifier with that code.
        """
        ids = self.ids
        if self.is_text:
            ids = _whole_numbers(ids)
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
    """A chunk's play counts as float32, or ones where it has none.

    Raises
    ------
    ValueError
        Where a count is not a number, is missing, negative, or infinite in float32.
    """
    if "count" not in chunk.table.column_names:
        return np.ones(chunk.table.num_rows, np.float32)
    column = plain(chunk.table["count"])
    values = _as_float(column, chunk, "count")
    _refuse(np.isnan(values), chunk, "a missing or NaN count", "Remove these rows.")
    _refuse(
        values < 0,
        chunk,
        "a negative count",
        "Counts are numbers of plays; give ratings or dislikes through liked=, "
        "disliked=.",
    )
    too_large = values > np.finfo(np.float32).max
    _refuse(too_large, chunk, "an infinite count", "Correct or remove these rows.")
    return values.astype(np.float32)


def read_times(chunk: Chunk) -> np.ndarray:
    """A chunk's times as int64 (whole numbers, microseconds of dates) or float64.

    Text is read as numbers or, failing that, as ISO 8601 dates.
    """
    column = plain(chunk.table["time"])
    missing = column.is_null(nan_is_null=True)
    _refuse(missing, chunk, "no time", "Remove these rows, or leave time= out.")
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64()).to_numpy()
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return column.cast(pa.float64()).to_numpy()
    kinds = [pa.timestamp("us"), pa.timestamp("us", "UTC")]
    if _is_string(column):
        kinds = [pa.int64(), pa.float64(), *kinds]
    for kind in kinds:
        try:
            times = column.cast(kind)
        except pa.ArrowException:
            continue
        if pa.types.is_timestamp(kind):
            times = times.cast(pa.int64())
        return times.to_numpy()
    raise ValueError(
        f"The column time= of {chunk.origin} is of type {column.type} and starts with "
        f"{column[0].as_py()!r}, expected numbers, dates, or text in ISO 8601 such as "
        "2009-05-04T23:08:57, all rows alike."
    )


def read_verdicts(chunk: Chunk) -> np.ndarray | None:
    """+1 liked, -1 disliked, 0 withdrawn, as float with NaN for neither, or None."""
    names = chunk.table.column_names
    if "verdict" in names:
        column = plain(chunk.table["verdict"]).cast(pa.float32())
        return column.to_numpy(zero_copy_only=False)
    verdicts = None
    for role, value in (("liked", 1), ("disliked", -1)):
        if role in names:
            if verdicts is None:
                verdicts = np.full(chunk.table.num_rows, np.nan, np.float32)
            said = _as_bool(plain(chunk.table[role]), chunk, role)
            _refuse(
                said & ~np.isnan(verdicts),
                chunk,
                "both liked and disliked",
                "A row can be one of them.",
            )
            verdicts[said] = value
    return verdicts


def read_shares(chunk: Chunk) -> np.ndarray:
    """Which share of the item each row played, 0 to 1, as float64.

    The column "played", or "played" / "length" where there is a length, at most 1.

    Raises
    ------
    ValueError
        Where a value is not a number, is missing or negative; a length is 0; or, of
        shares without a length, one is above 1.
    """
    played = _as_float(plain(chunk.table["played"]), chunk, "played")
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
            "a share played above 1",
            "Divide percentages by 100; of seconds, name the column of the items' "
            "lengths as well, with length=.",
        )
        return played
    length = _as_float(plain(chunk.table["length"]), chunk, "length")
    _refuse(
        ~(length > 0) | np.isinf(length),
        chunk,
        "a missing length, or one that is not above 0",
        "Remove these rows, or correct them.",
    )
    return np.minimum(played / length, 1)


def read_skips(chunk: Chunk) -> np.ndarray:
    """Whether each row was skipped, as bool; missing values are refused."""
    column = plain(chunk.table["skipped"])
    missing = column.is_null(nan_is_null=True)
    _refuse(missing, chunk, "nothing in skipped=", "Remove these rows.")
    return _as_bool(column, chunk, "skipped")


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One contiguous array; dictionaries (categories) decoded, text as large_string."""
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


def _whole_numbers(ids):
    """Text as int64 where it is the plain decimal writing of it, else as it is."""
    try:
        numbers = ids.cast(pa.int64())
    except pa.ArrowException:
        return ids
    return numbers if numbers.cast(ids.type).equals(ids) else ids


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
        bad = np.array([not _is_number(text) for text in column.to_pylist()])
        first = column[int(np.argmax(bad))].as_py()
        _refuse(
            bad,
            chunk,
            f"a {role} that is not a number, such as {first!r}",
            "Write numbers with a point and without separators of thousands or spaces.",
        )
    raise ValueError(
        f"The column {role}= of {chunk.origin} is of type {column.type}, expected "
        "numbers."
    )


def _is_number(text):
    if text is None:
        return True  # missing, which is told apart
    try:
        pa.scalar(text, pa.large_string()).cast(pa.float64())
    except pa.ArrowException:
        return False
    return True


def _as_bool(column, chunk, role):
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        known = ~np.isnan(values)
        _refuse(
            known & (values != 0) & (values != 1),
            chunk,
            f"a number in {role}= other than 1 and 0",
            "Ratings, percentages and times are no flags: make the column true where "
            "they mean it, such as ratings of 4 and more.",
        )
        return known & (values == 1)
    try:
        said = column.cast(pa.bool_())
    except pa.ArrowException as error:
        raise ValueError(
            f"The column {role}= of {chunk.origin} is of type {column.type}, expected "
            "true and false, or 1 and 0."
        ) from error
    return pc.fill_null(said, False).to_numpy(zero_copy_only=False)


def _refuse(bad, chunk, what, advice):
    """Raise a ValueError that names the rows where `bad` is true."""
    if isinstance(bad, pa.Array):
        bad = bad.to_numpy(zero_copy_only=False)
    if bad.any():
        raise ValueError(f"Got {_rows(chunk, bad)} with {what}. {advice}")


def _rows(chunk, bad):
    if isinstance(bad, pa.Array):
        bad = bad.to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(bad)
    rows = rows + chunk.first_row if chunk.rows is None else chunk.rows[rows]
    shown = ", ".join(str(row) for row in rows[:_SHOWN_ROWS])
    more = ", ..." if len(rows) > _SHOWN_ROWS else ""
    noun = "row" if len(rows) == 1 else "rows"
    return (
        f"{len(rows)} {noun} of {chunk.origin} ({noun} {shown}{more}, counted from 0 "
        "without the header)"
    )
