"""Labels of clips in any form as pairs of a clip and a label.

One label per clip, collections of them, an indicator matrix: dense, sparse, of rows in
a list, or a frame whose columns are labels.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from userlogfeat._labels import (
    as_labels,
    is_null,
    is_number,
    natural,
    say_missing,
    to_python,
)

EXPECTED = (
    "expected labels (n_clips,), a list with a collection of labels per clip, or an "
    "indicator matrix (n_clips, n_labels) of zeros and ones, dense or sparse"
)
_ADVICE = "Leave these clips out, or give None to those that are to have no label."


def read_pairs(y: Any, n_clips: int) -> tuple[np.ndarray, np.ndarray, Sequence[Any]]:
    """Clip and column of every label given, and the names of the columns.

    Parameters
    ----------
    y : array-like
        As :func:`userlogfeat.training.label_sets.read_label_sets` takes it.
    n_clips : int
        How many there are.

    Returns
    -------
    clips, columns : ndarray (n_given,), int64
    names : sequence
        Names of the columns, of Python's own types.
    """
    if sparse.issparse(y):
        return (*_read_matrix(y, n_clips), range(y.shape[1]))
    if hasattr(y, "columns"):
        return _read_frame(y, n_clips)
    if not isinstance(y, list | tuple):
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] > 1:
            return (*_read_matrix(y, n_clips), range(y.shape[1]))
        if y.dtype == object and any(map(_is_collection, y.ravel())):
            y = y.ravel().tolist()
    if isinstance(y, list | tuple) and any(map(_is_collection, y)):
        matrix = _as_matrix(y)
        if matrix is None:
            return _read_collections(y, n_clips)
        return (*_read_matrix(matrix, n_clips), range(matrix.shape[1]))
    return _read_labels(y, n_clips)


def _read_frame(y, n_clips):
    names, matrix = [to_python(name) for name in y.columns], np.asarray(y)
    if len(names) == 1:
        return read_pairs(matrix[:, 0], n_clips)
    if any(isinstance(name, tuple) for name in names):
        raise ValueError(
            f"Got y as a frame whose columns have several levels, such as {names[0]}, "
            "expected one name per label: join them, as in ': '.join(levels)."
        )
    name, n_times = Counter(names).most_common(1)[0] if names else (None, 0)
    if n_times > 1:
        raise ValueError(
            f"Got y as a frame with {n_times} columns named {name!r}, expected one "
            "column for each label. Rename them, or merge them into one."
        )
    return (*_read_matrix(matrix, n_clips), names)


def _read_labels(y, n_clips):
    if np.ndim(y) not in (1, 2):
        raise ValueError(f"Got y of shape {np.shape(y)}, {EXPECTED}.")
    y = as_labels(y, name="y", of="labels", is_missing=_is_nan, advice=_ADVICE)
    _check_length(len(y), n_clips)
    clips = np.arange(n_clips)
    if y.dtype == object:
        clips = np.flatnonzero([label is not None for label in y])
    else:
        assert_all_finite(y, input_name="y")
    given = natural(y[clips])
    if len(clips):
        check_classification_targets(given)
    names, columns = np.unique(given, return_inverse=True)
    return clips, columns, names.tolist()


def _as_matrix(rows):
    """A list of the rows of a matrix as an array; None where it holds collections.

    Rows of 0 and 1 could only be collections in which every clip has both labels.
    """
    given = [row for row in rows if row is not None]
    if not all(isinstance(row, list | tuple | np.ndarray) for row in given):
        return None
    sizes = {np.size(row) for row in given}
    if len(sizes) > 1 or max(sizes) < 2:
        return None
    values = [value for row in given for value in row]
    if not all(map(is_number, values)):
        return None
    if all(value in (0, 1) for value in values):
        if len(given) < len(rows):
            none = next(i for i, row in enumerate(rows) if row is None)
            raise ValueError(
                f"Got y as a list of rows of {max(sizes)} zeros and ones, of which row "
                f"{none} is None, expected a row for every clip: of "
                "zeros where it has no label. If 0 and 1 are labels, pass sets of them."
            )
        return np.array([list(row) for row in rows], dtype=float)
    repeated = [row for row in given if len(set(row)) < len(row)]
    if repeated:
        raise ValueError(
            f"Got y as a list of rows of {max(sizes)} numbers, of which one is "
            f"{[to_python(value) for value in repeated[0]][:8]}: as an indicator it "
            "would hold zeros and ones alone, as a collection each label once. Pass an "
            "array for an indicator, sets for collections."
        )
    return None


def _read_collections(y, n_clips):
    _check_length(len(y), n_clips)
    clips, labels = [], []
    for clip, own in enumerate(y):
        if own is None:
            continue
        own = list(own) if _is_collection(own) else [own]
        clips += [clip] * len(own)
        labels += map(to_python, own)
    _check_collected(clips, labels)
    try:
        names = sorted(set(labels))
    except TypeError as error:
        raise TypeError(
            f"The labels in y cannot be compared ({error}), expected names or numbers "
            "of one type."
        ) from error
    column = {name: place for place, name in enumerate(names)}
    columns = [column[label] for label in labels]
    return np.array(clips, np.int64), np.array(columns, np.int64), names


def _check_collected(clips, labels):
    """Raise where one of the labels of clips is missing, or a fraction."""
    missing = [(clip, v) for clip, v in zip(clips, labels, strict=True) if is_null(v)]
    if missing:
        rows = sorted({clip for clip, _ in missing})
        first = missing[0][1]
        raise ValueError(
            say_missing(rows, first, name="y", of="labels", advice=_ADVICE)
        )
    broken = [v for v in labels if isinstance(v, float) and not v.is_integer()]
    if broken:
        raise ValueError(
            f"Unknown label type: a collection in y holds {broken[0]!r}, expected "
            "names or whole numbers. Scores are not labels: compare them with a "
            "threshold."
        )


def _read_matrix(y, n_clips):
    _check_length(y.shape[0], n_clips)
    if not sparse.issparse(y):
        y = _as_numbers(y)
        assert_all_finite(y, input_name="y")
    matrix = sparse.coo_matrix(y)
    given = matrix.data != 0
    if not (matrix.data[given] == 1).all():
        strange = matrix.data[given][matrix.data[given] != 1][0]
        raise ValueError(_no_indicator(y.shape, f"{strange:g}"))
    return matrix.row[given].astype(np.int64), matrix.col[given].astype(np.int64)


def _as_numbers(y):
    """A dense matrix, of objects perhaps, as one of numbers."""
    if y.dtype.kind in "fiub":
        return y
    for value in y.ravel().tolist():
        if not (is_number(value) or is_null(value)):
            raise ValueError(_no_indicator(y.shape, repr(value)))
    missing = np.vectorize(is_null, otypes=[bool])(y)
    return np.where(missing, np.nan, y).astype(float)


def _no_indicator(shape, held):
    return (
        f"Got y of shape {shape} that holds {held}, expected an indicator matrix of "
        "zeros and ones. Scores or factors are not labels: compare them with a "
        "threshold first, such as y > 0.5. Names go into one column, or collections."
    )


def _is_nan(value):
    """Whether a label is missing; None says that there is none."""
    return value is not None and is_null(value)


def _check_length(n, n_clips):
    check_consistent_length(range(n), range(n_clips))


def _is_collection(value):
    return isinstance(value, set | frozenset | list | tuple | np.ndarray)
