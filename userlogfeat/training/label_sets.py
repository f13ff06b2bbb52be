"""Labels of clips, one or several a clip, of one data set or of several.

Two data sets may use one word in two ways, so a label is a pair: data set, and name.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

_EXPECTED = (
    "expected labels (n_clips,), a list with a collection of labels a clip, or an "
    "indicator matrix (n_clips, n_labels) of zeros and ones, dense or sparse"
)


@dataclass(frozen=True, eq=False)
class LabelSets:
    """Which clip has which labels.

    Attributes
    ----------
    indicators : csr matrix (n_clips, n_labels), float32
        Ones. The labels of a data set are neighbours.
    labels : ndarray (n_labels,) of object
        Their names, of each data set in order.
    label_datasets : ndarray (n_labels,) of object
        The data set of each; None throughout where there is only one.
    datasets : list
        The data sets, in order.
    clip_datasets : ndarray (n_clips,), int64
        Place of each clip's data set in `datasets`.
    """

    indicators: sparse.csr_matrix
    labels: np.ndarray
    label_datasets: np.ndarray
    datasets: list
    clip_datasets: np.ndarray

    def columns(self, dataset):
        """The slice of columns of the data set at a place in `datasets`."""
        own = [name == self.datasets[dataset] for name in self.label_datasets.tolist()]
        first = own.index(True)
        return slice(first, first + sum(own))


def read_label_sets(y, n_clips, dataset=None):
    """Understand the targets of clips.

    Parameters
    ----------
    y : array-like
        Labels (n_clips,); or a list with a collection of labels (a set, list, tuple or
        array) for each clip, in which single labels may be as they are; or an indicator
        matrix (n_clips, n_labels), dense, sparse or a frame, whose columns name the
        labels. A clip without label (None, an empty collection, a row of zeros) is
        allowed.
    n_clips : int
        How many there are.
    dataset : array-like (n_clips,), optional
        The data set that each clip is of: its labels are told apart from those of the
        same name in others. A data set has the labels that its clips have.

    Returns
    -------
    LabelSets

    Raises
    ------
    ValueError
        Where lengths differ, a matrix has other numbers than 0 and 1, no clip has a
        label, or a data set has only one label, so that there is nothing to tell apart.

    Examples
    --------
    >>> from userlogfeat.training.label_sets import read_label_sets
    >>> sets = read_label_sets(
    ...     ["rock", "jazz", {"rock", "loud"}], 3, dataset=["A", "A", "B"]
    ... )
    >>> list(zip(sets.label_datasets, sets.labels))
    [('A', 'jazz'), ('A', 'rock'), ('B', 'loud'), ('B', 'rock')]
    >>> sets.indicators.toarray()
    array([[0., 1., 0., 0.],
           [1., 0., 0., 0.],
           [0., 0., 1., 1.]], dtype=float32)
    """
    clips, columns, names = _read_pairs(y, n_clips)
    datasets, clip_datasets = _read_datasets(dataset, n_clips)
    if len(clips) == 0:
        raise ValueError(f"Got y without any label, {_EXPECTED}.")
    # A label is a pair of data set and name: pairs that occur, in order.
    pairs = clip_datasets[clips] * len(names) + columns
    known, place = np.unique(pairs, return_inverse=True)
    matrix = sparse.csr_matrix(
        (np.ones(len(clips), np.float32), (clips, place)), shape=(n_clips, len(known))
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    owners = known // len(names)
    _check_datasets(owners, datasets, dataset)
    return LabelSets(
        matrix,
        _as_objects([names[i] for i in known % len(names)]),
        _as_objects([datasets[i] for i in owners]),
        datasets,
        clip_datasets,
    )


def _check_datasets(owners, datasets, dataset):
    n_labels = np.bincount(owners, minlength=len(datasets))
    poor = np.flatnonzero(n_labels < 2)
    if len(poor):
        of = "" if dataset is None else f" of data set {datasets[poor[0]]!r}"
        raise ValueError(
            f"The clips{of} have {n_labels[poor[0]]} class or label, expected two or "
            "more: one class alone cannot be told from anything. Leave them out, or "
            "give them the data set of others."
        )


def _read_pairs(y, n_clips):
    """Clip and column of every label given, and the names of the columns."""
    if hasattr(y, "columns") and not sparse.issparse(y):  # a frame
        names = list(y.columns)
        return (*_read_matrix(np.asarray(y), n_clips), names)
    if sparse.issparse(y):
        return (*_read_matrix(y, n_clips), range(y.shape[1]))
    if isinstance(y, list | tuple) and any(map(_is_collection, y)):
        return _read_collections(y, n_clips)
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1:
        return (*_read_matrix(y, n_clips), range(y.shape[1]))
    if y.dtype == object and any(map(_is_collection, y.ravel())):
        return _read_collections(y.ravel().tolist(), n_clips)
    return _read_labels(y, n_clips)


def _read_labels(y, n_clips):
    if y.ndim not in (1, 2):
        raise ValueError(f"Got y of shape {y.shape}, {_EXPECTED}.")
    y = column_or_1d(y, warn=True)
    _check_length(len(y), n_clips)
    clips = np.arange(n_clips)
    if y.dtype == object:
        clips = np.flatnonzero([label is not None for label in y])
    else:
        assert_all_finite(y, input_name="y")
    if len(clips):
        check_classification_targets(y[clips])
    names, columns = np.unique(y[clips], return_inverse=True)
    return clips, columns, names.tolist()


def _read_collections(y, n_clips):
    _check_length(len(y), n_clips)
    clips, labels = [], []
    for clip, own in enumerate(y):
        if own is None:
            continue
        own = list(own) if _is_collection(own) else [own]
        clips += [clip] * len(own)
        labels += own
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


def _read_matrix(y, n_clips):
    _check_length(y.shape[0], n_clips)
    if not sparse.issparse(y):
        assert_all_finite(y, input_name="y")
    matrix = sparse.coo_matrix(y)
    given = matrix.data != 0
    if not (matrix.data[given] == 1).all():
        strange = matrix.data[given][matrix.data[given] != 1][0]
        raise ValueError(
            f"Got y of shape {y.shape} that holds {strange:g}, expected an indicator "
            "matrix of zeros and ones. Scores or factors are no labels: compare them "
            "with a threshold first, such as y > 0.5."
        )
    return matrix.row[given].astype(np.int64), matrix.col[given].astype(np.int64)


def _read_datasets(dataset, n_clips):
    if dataset is None:
        return [None], np.zeros(n_clips, np.int64)
    dataset = column_or_1d(np.asarray(dataset))
    if len(dataset) != n_clips:
        raise ValueError(
            f"Got {len(dataset)} entries of dataset for {n_clips} clips, expected one "
            "a clip."
        )
    names, places = np.unique(dataset, return_inverse=True)
    return names.tolist(), places.astype(np.int64)


def _check_length(n, n_clips):
    check_consistent_length(range(n), range(n_clips))


def _is_collection(value):
    return isinstance(value, set | frozenset | list | tuple | np.ndarray)


def _as_objects(values):
    """A 1-D object array, whatever the values are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
