"""Tables with one row per id: of users, or of items.

Such as demographics (user, age, country) or attributes of items (item, artist, genre).
They are brought into the order of the logs' ids.
"""

from collections.abc import Sequence

import polars as pl

from userlogfeat._ids import AS_TEXT, as_list, examples, match_as_text, positions
from userlogfeat._text_tables import separator_hint
from userlogfeat._typing import ArrayLike, PathLike
from userlogfeat.catalogue.sources import as_ids, read_table

_SHOWN = 3  # examples in a message
# Such as 1,5 and 1.234,5 and 12 345 and 10 %: a decimal comma, separators of thousands.
_NUMBER_WITH_SIGNS = (
    r"^[+-]?(\d+,\d+|\d{1,3}([.,' ]\d{3})+([.,]\d+)?)$|^[+-]?\d+([.,]\d+)? ?%$"
)
_LEADING_ZERO = r"^0\d+$"  # of codes, such as postal ones


def read_id_table(
    path: PathLike,
    id_column: str,
    *,
    columns: Sequence[str] | None = None,
    text: Sequence[str] = (),
) -> pl.DataFrame:
    """Read a table with one row per id.

    Parameters
    ----------
    path : str or Path
        A csv, tsv, txt or parquet file.
    id_column : str
        The column of ids: in text files, int64 where all are whole numbers without
        leading zeros, as in :func:`userlogfeat.read_logs`.
    columns : sequence of str, optional
        The others to keep; all by default.
    text : sequence of str
        Columns that are categories although they look like numbers, such as postal
        codes. Other columns of text files that hold only numbers become float64, unless
        one has a leading zero; "nan" is a missing value.

    Returns
    -------
    polars.DataFrame
        First the column "id", then the others. Null where a value is missing.

    Raises
    ------
    FileNotFoundError, ValueError
        Where there is no such file or column; or an id is missing, or has two rows
        that differ; or most of a column of text are numbers, and some are not.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/users.csv"
    >>> people = {"user": [7, 9], "age": [31, None], "land": ["is", "fo"]}
    >>> pl.DataFrame(people).write_csv(path)
    >>> read_id_table(path, "user").rows()
    [(7, 31.0, 'is'), (9, None, 'fo')]
    """
    frame = read_table(path)
    names = [n for n in frame.columns if n != id_column]
    names = names if columns is None else list(columns)
    missing = [n for n in (id_column, *names, *text) if n not in frame.columns]
    if missing:
        raise ValueError(
            f"Found no column {missing[0]!r} in {path}. Its columns: "
            f"{', '.join(map(repr, frame.columns))}.{separator_hint(frame.columns)}"
        )
    ids = frame.select(pl.col(id_column).alias("id"))
    if ids["id"].null_count():
        raise ValueError(
            f"{ids['id'].null_count()} rows of {path} have no {id_column!r} (first: "
            f"row {ids['id'].is_null().arg_max()}, counted from 0, after the header). "
            "Fill them in or drop them."
        )
    ids = pl.DataFrame(as_ids(ids))
    others = [_typed(frame[name], name in text, path) for name in names]
    frame = pl.DataFrame([ids["id"], *others]).unique(maintain_order=True)
    _refuse_doubles(frame["id"], path, id_column)
    return frame


def rows_for(
    frame: pl.DataFrame, ids: ArrayLike, *, path: str, id_column: str
) -> pl.DataFrame:
    """Select the rows of some ids, in their order; nulls where an id has none.

    Parameters
    ----------
    frame : polars.DataFrame
        From :func:`read_id_table`.
    ids : array-like, shape (n_ids,)
        Such as ``Interactions.user_ids``.
    path, id_column : str
        Origin of the frame, for messages.

    Returns
    -------
    polars.DataFrame
        The columns except "id"; n_ids rows.

    Raises
    ------
    ValueError
        Where none of the ids is in the table.
    """
    ids, known = as_list(ids), frame["id"].to_list()
    rows = positions(ids, known)
    if (rows < 0).all():
        advice = "Is it another kind of id?"
        raise ValueError(
            f"None of the {len(ids)} ids of the logs ({ids[:_SHOWN]}) is in the column "
            f"{id_column!r} of {path} ({known[:_SHOWN]}). "
            f"{AS_TEXT if match_as_text(ids, known) else advice}"
        )
    rows = pl.Series([None if row < 0 else row for row in rows], dtype=pl.UInt32)
    return frame.drop("id")[rows]


def _typed(column, as_text, path):
    """Turn a column of text into numbers where it holds only numbers."""
    if as_text:
        return column.cast(pl.String)
    if column.dtype != pl.String or column.null_count() == len(column):
        return column
    if column.str.contains(_LEADING_ZERO).any():
        return column
    numbers = column.cast(pl.Float64, strict=False)
    lost = column.filter(numbers.is_null() & column.is_not_null())
    if not len(lost):
        return numbers.fill_nan(None)
    if len(lost) < numbers.count() or lost.str.contains(_NUMBER_WITH_SIGNS).all():
        rows = (numbers.is_null() & column.is_not_null()).arg_true()
        raise ValueError(
            f"The column {column.name!r} of {path} has numbers, but {lost[0]!r} and "
            f"the like in {len(lost)} rows ({examples(rows)}, "
            "counted from 0, after the header). Write numbers with a point, without "
            "separators of thousands, and leave unknown ones empty; or name the column "
            "as a category (text=)."
        )
    return column


def _refuse_doubles(ids, path, id_column):
    doubles = ids.filter(ids.is_duplicated()).unique(maintain_order=True)
    if len(doubles):
        raise ValueError(
            f"{len(doubles)} values of {id_column!r} have several rows in {path} that "
            f"differ: {doubles.head(_SHOWN).to_list()}. Keep one row each."
        )
