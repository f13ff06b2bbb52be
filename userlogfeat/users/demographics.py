"""Demographics of users: a frame of numbers and categories, encoded for a network.

A number is standardised, and 0 where it is missing; a second column marks missing ones.
A category is a code from 1, and 0 where it is missing or was not seen in training.
"""

from typing import Any, Self

import numpy as np
import polars as pl

from userlogfeat._typing import Frame

N_SHOWN = 5  # columns that an error lists
_EXPECTED = "expected a frame of polars or pandas, or a dict of columns, a row per user"


class Demographics:
    """Encoder of the columns of a frame as numbers or codes.

    Parameters
    ----------
    columns : list of dict
        ``{"name", "mean", "scale"}`` for a number, ``{"name", "values"}`` for a
        category, whose values are text. JSON can hold them.

    Examples
    --------
    >>> import polars as pl
    >>> from userlogfeat.users.demographics import Demographics
    >>> frame = pl.DataFrame({"age": [20, None, 40], "land": ["is", "fo", None]})
    >>> numbers, categories = Demographics.learn(frame).encode(frame)
    >>> numbers
    array([[-1.,  0.],
           [ 0.,  1.],
           [ 1.,  0.]], dtype=float32)
    >>> categories.ravel()
    array([2, 1, 0])
    """

    def __init__(self, columns: list[dict[str, Any]]) -> None:
        self.columns = columns

    @classmethod
    def learn(cls, frame: Frame | None, rows: np.ndarray | None = None) -> Self:
        """Learn means, scales and categories from the columns of a frame.

        Parameters
        ----------
        frame : frame or dict, n_users rows; or None
            None has no columns.
        rows : ndarray of int, optional
            Users to learn from.
        """
        if frame is None:
            return cls([])
        frame = as_frame(frame)
        if rows is not None:
            frame = frame[rows]
        return cls([_learn_column(frame[name]) for name in frame.columns])

    @property
    def n_numbers(self) -> int:
        """Number of columns of the encoded numbers: two for each."""
        return 2 * sum("mean" in column for column in self.columns)

    @property
    def n_categories(self) -> list[int]:
        """Number of values of each category."""
        return [len(c["values"]) for c in self.columns if "values" in c]

    def encode(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Encode users as numbers and codes.

        Parameters
        ----------
        frame : frame or dict, n_users rows
            With the columns of `learn`, in any order.

        Returns
        -------
        numbers : ndarray of float32, shape (n_users, n_numbers)
        categories : ndarray of int64, shape (n_users, n_columns)
        """
        frame = as_frame(frame)
        names = [column["name"] for column in self.columns]
        if set(frame.columns) != set(names):
            raise ValueError(
                f"Got demographics with the columns {frame.columns[:N_SHOWN]}, "
                f"expected those of fit: {names[:N_SHOWN]}. Where values are unknown, "
                "pass the column with nulls."
            )
        numbers, categories = self.unknown(frame.height)
        place = column_place = 0
        for column in self.columns:
            values = frame[column["name"]]
            if "mean" in column:
                numbers[:, place : place + 2] = _encode_number(values, column)
                place += 2
            else:
                categories[:, column_place] = _encode_category(values, column)
                column_place += 1
        return numbers, categories

    def unknown(self, n_users: int) -> tuple[np.ndarray, np.ndarray]:
        """Encode users of whom nothing is known."""
        numbers = np.zeros((n_users, self.n_numbers), np.float32)
        numbers[:, 1::2] = 1
        return numbers, np.zeros((n_users, len(self.n_categories)), np.int64)


def as_frame(frame: Frame) -> pl.DataFrame:
    """Convert to a frame of polars."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    elif isinstance(frame, dict):
        frame = pl.DataFrame(frame)
    elif hasattr(frame, "iloc") and hasattr(frame, "columns"):
        frame = pl.from_pandas(frame)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(
            f"Got demographics of type {type(frame).__name__}, {_EXPECTED}."
        )
    return frame


def _learn_column(values):
    if _is_numeric(values):
        known = _as_floats(values)
        known = known[~np.isnan(known)]
        mean = float(known.mean()) if len(known) else 0.0
        scale = float(known.std()) if len(known) else 0.0
        return {"name": values.name, "mean": mean, "scale": scale or 1.0}
    known = _as_text(values).drop_nulls().unique().sort()
    return {"name": values.name, "values": known.to_list()}


def _encode_number(values, column):
    if _is_missing(values):
        values = pl.Series(values.name, [None] * len(values), dtype=pl.Float64)
    if not _is_numeric(values):
        raise _other_type(values, "numbers")
    values = _as_floats(values)
    missing = np.isnan(values)
    standard = np.where(missing, 0.0, (values - column["mean"]) / column["scale"])
    return np.stack([standard, missing], axis=1)


def _encode_category(values, column):
    if _is_missing(values):
        return np.zeros(len(values), np.int64)
    if _is_numeric(values):
        raise _other_type(values, "categories")
    code_of = {value: code for code, value in enumerate(column["values"], start=1)}
    return np.array([code_of.get(value, 0) for value in _as_text(values)], np.int64)


def _is_missing(values):
    """Whether a column has no value at all, whatever type that came with."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
    return values.null_count() == len(values)


def _is_numeric(values):
    """Whether a column holds numbers; one without any value is not."""
    kind = values.dtype
    if kind.is_numeric():
        return True
    if kind in (pl.String, pl.Boolean, pl.Categorical, pl.Enum, pl.Null):
        return False
    raise TypeError(
        f"The column {values.name!r} of demographics has type {kind}, expected "
        "numbers, text, categories or booleans. Make it one of these: of a date of "
        "birth, the age."
    )


def _as_floats(values):
    numbers = values.cast(pl.Float64).to_numpy()
    if np.isinf(numbers).any():
        row = int(np.isinf(numbers).argmax())
        raise ValueError(
            f"The column {values.name!r} of demographics is infinite in row {row}. "
            "Where a value is unknown, leave it missing."
        )
    return numbers


def _as_text(values):
    return values.cast(pl.String)


def _other_type(values, expected):
    return TypeError(
        f"The column {values.name!r} of demographics has type {values.dtype}, but held "
        f"{expected} in fit. Bring it to the same type."
    )
