"""Labels of clips as a column: names or numbers, all of one kind, none missing."""

from numbers import Real

import numpy as np
from sklearn.utils.validation import column_or_1d

from userlogfeat._groups import as_objects, warn_of_odd_ids


def as_labels(values, *, name, of, is_missing=None, advice="Leave these clips out."):
    """Check a column of labels, artists or ids, and return it as an array.

    NumPy reads ``["rock", nan]`` and ``["rock", 1]`` as texts; here these are refused.

    Parameters
    ----------
    values : array-like (n_clips,)
        A column (n_clips, 1) is accepted with scikit-learn's warning.
    name, of : str
        For messages: the caller's name of `values`, and its entries in the plural.
    is_missing : callable, optional
        From an entry to bool; None, NaN and pandas.NA by default.
    advice : str
        Advice for missing ones, in the message.

    Returns
    -------
    ndarray (n_clips,)
        With the type that NumPy gives them; objects stay objects.

    Raises
    ------
    ValueError
        Where entries are missing.
    TypeError
        Where numbers and names are mixed.

    Examples
    --------
    >>> from userlogfeat._labels import as_labels
    >>> as_labels(["rock", "jazz"], name="y", of="labels")
    array(['rock', 'jazz'], dtype='<U4')
    """
    column = column_or_1d(_keep_types(values), warn=True)
    is_missing = is_null if is_missing is None else is_missing
    entries = column.tolist()
    rows = [row for row, value in enumerate(entries) if is_missing(value)]
    if rows:
        first = entries[rows[0]]
        raise ValueError(say_missing(rows, first, name=name, of=of, advice=advice))
    warn_of_odd_ids(entries, of, "they count like others", "Leave these clips out")
    if column.dtype == object:
        _check_kinds([value for value in column if value is not None], name, of)
    return natural(column) if isinstance(values, list | tuple) else column


def say_missing(rows, first, *, name, of, advice):
    """Return the message for missing entries; `first` is the first of them."""
    if isinstance(first, str | bytes):
        held = "an empty name"
    elif is_null(first):
        held = "None" if first is None else "NaN"
    else:
        held = repr(first)
    return (
        f"The {of} of {len(rows)} clips are missing: {name} contains {held} (first: "
        f"row {rows[0]}). {advice}"
    )


def is_null(value):
    """Whether a value is None, NaN, or the NA of pandas."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # NA has no truth; an array has several
        return type(value).__name__ == "NAType"


def natural(column):
    """Give an array of objects the type of its values; with None it stays as it is."""
    if column.dtype != object or any(value is None for value in column):
        return column
    return np.asarray(column.tolist())


def to_python(value):
    """Turn a NumPy scalar into a Python one; return anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def is_number(value):
    """Whether a value is a number, or true or false."""
    return isinstance(value, Real | np.bool_)


def _keep_types(values):
    """Return an array; for a list of single values one of objects, to keep types."""
    listed = isinstance(values, list | tuple)
    if not listed or any(isinstance(v, list | tuple | np.ndarray) for v in values):
        return np.asarray(values)
    return as_objects(values)


def _check_kinds(values, name, of):
    """Raise unless all values are numbers, or all names, or all of one other type."""
    kinds = {}
    for value in values:
        kinds.setdefault(_kind(value), value)
    if len(kinds) > 1:
        (kind, value), (other_kind, other) = list(kinds.items())[:2]
        raise TypeError(
            f"The {of} in {name} cannot be compared: {to_python(value)!r} is of kind "
            f"{kind}, {to_python(other)!r} of kind {other_kind}. Expected names or "
            f"numbers of one type: pass [str(value) for value in {name}] to make all "
            "names."
        )


def _kind(value):
    if is_number(value):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__
