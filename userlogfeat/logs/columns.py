"""Checked columns of logs: counts, verdicts and fractions played become numbers.

Every check names the rows that fail it, counted from 0 without the header. Checks that
a cluster has too are named constants: what is wrong, and the advice.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from userlogfeat._ids import examples
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
    "Ratings, percentages and times are not flags: make the column true where they "
    "mean it, such as ratings of 4 and more.",
)
NUMBER_FORMAT = (
    "Write numbers with a point and without separators of thousands or spaces."
)


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
    refuse(np.isnan(values), chunk, *NO_COUNT)
    refuse(values < 0, chunk, *NEGATIVE_COUNT)
    refuse(values > np.finfo(np.float32).max, chunk, *INFINITE_COUNT)
    return values.astype(np.float32)


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
            refuse(flags & ~np.isnan(verdicts), chunk, *BOTH_VERDICTS)
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
    refuse(
        ~(played >= 0) | np.isinf(played),
        chunk,
        "a missing, negative or infinite value in played=",
        "Remove these rows.",
    )
    if "length" not in chunk.table.column_names:
        refuse(
            played > 1,
            chunk,
            "a fraction played above 1",
            "Divide percentages by 100; of seconds, name the column of the items' "
            "lengths as well, with length=.",
        )
        return played
    length = _as_float(to_array(chunk.table["length"]), chunk, "length")
    refuse(
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
    refuse(missing, chunk, "nothing in skipped=", "Remove these rows.")
    return _as_bool(column, chunk, "skipped")


def to_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return one array; dictionaries (categories) decoded, text as large_string."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # an empty one, in some versions
            column = pa.concat_arrays(column.chunks)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_string(column) and column.type != pa.large_string():
        column = column.cast(pa.large_string())
    return column


def is_string(column: pa.Array) -> bool:
    """Whether a column is text."""
    kind = column.type
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )


def stripped(column: pa.Array) -> pa.Array:
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
        if numeric or is_string(column):
            floats = column.cast(pa.float64(), safe=not numeric)
            return floats.to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        if not column.equals(stripped(column)):
            return _as_float(stripped(column), chunk, role)
        bad = [not casts(text, pa.float64()) for text in column.to_pylist()]
        bad = np.array(bad)
        first = column[int(np.argmax(bad))].as_py()
        refuse(
            bad,
            chunk,
            f"a {role} that is not a number, such as {first!r}",
            NUMBER_FORMAT,
        )
    raise ValueError(
        f"The column {role}= of {chunk.origin} is of type {column.type}, expected "
        "numbers."
    )


def casts(text: str | None, kind: pa.DataType) -> bool:
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
        refuse(bad, chunk, what.format(role=role), advice)
        return known & (values == 1)
    if is_string(column):
        column = stripped(column)
    try:
        flags = column.cast(pa.bool_())
    except pa.ArrowException as error:
        raise ValueError(
            f"The column {role}= of {chunk.origin} is of type {column.type}, expected "
            "true and false, or 1 and 0."
        ) from error
    return pc.fill_null(flags, False).to_numpy(zero_copy_only=False)


def refuse(bad: pa.Array | np.ndarray, chunk: Chunk, what: str, advice: str) -> None:
    """Raise a ValueError that names the rows where `bad` is true."""
    if isinstance(bad, pa.Array):
        bad = bad.to_numpy(zero_copy_only=False)
    if bad.any():
        raise ValueError(f"Got {name_rows(chunk, bad)} with {what}. {advice}")


def name_rows(chunk: Chunk, bad: pa.Array | np.ndarray) -> str:
    """Count and number the rows of a chunk where `bad` is true."""
    if isinstance(bad, pa.Array):
        bad = bad.to_numpy(zero_copy_only=False)
    rows, origin, others = np.flatnonzero(bad), chunk.origin, ""
    if chunk.file_of is not None:
        file = chunk.file_of[rows[0]]
        origin = chunk.files[file]
        is_here = chunk.file_of[rows] == file
        if not is_here.all():
            others = f", and {np.count_nonzero(~is_here)} of other files"
        rows = rows[is_here]
    rows = _row_numbers(chunk, rows)
    noun = "row" if len(rows) == 1 else "rows"
    return (
        f"{len(rows)} {noun} of {origin} ({noun} {examples(rows, write=str)}, counted "
        f"from 0 without the header){others}"
    )


def first_row(chunk: Chunk, mask: np.ndarray) -> str:
    """Number the first row of a chunk where `mask` is true."""
    row = np.argmax(mask)
    origin = chunk.origin if chunk.file_of is None else chunk.files[chunk.file_of[row]]
    return f"first in row {_row_numbers(chunk, row)} of {origin}"


def _row_numbers(chunk, rows):
    return rows + chunk.first_row if chunk.rows is None else chunk.rows[rows]
