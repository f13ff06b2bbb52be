"""Labels of clips, one or several per clip, of one data set or of several.

Two data sets may use one word in two ways, so a label is a pair: data set, and name.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from userlogfeat._groups import as_objects
from userlogfeat._labels import as_labels, to_python
from userlogfeat._typing import Labels
from userlogfeat.training.label_pairs import EXPECTED, read_pairs


@dataclass(frozen=True, eq=False)
class LabelSets:
    """Labels of clips, of one or several data sets.

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

    def columns(self, dataset: int) -> slice:
        """The slice of columns of the data set at a place in `datasets`."""
        own = [name == self.datasets[dataset] for name in self.label_datasets.tolist()]
        first = own.index(True)
        return slice(first, first + sum(own))


def read_label_sets(y: Any, n_clips: int, dataset: Labels | None = None) -> LabelSets:
    """Read the labels of clips in any form.

    Parameters
    ----------
    y : array-like
        Labels (n_clips,), also as a frame of one column; or a list with a collection of
        labels (a set, list, tuple or array) for each clip, in which single labels may
        be as they are; or an indicator matrix (n_clips, n_labels), dense, sparse, a
        list of rows, or a frame, whose columns name the labels. A clip without label
        (None, an empty collection, a row of zeros) is allowed; a column without any one
        is not a label.
    n_clips : int
        Number of clips.
    dataset : array-like (n_clips,), optional
        The data set that each clip is of: its labels differ from those of the same
        name in others. A data set has the labels that its clips have.

    Returns
    -------
    LabelSets

    Raises
    ------
    ValueError
        Where lengths differ, a label is NaN, a matrix has other numbers than 0 and 1,
        two columns have one name, no clip has a label, or a data set has only one
        label, or no clip that lacks one, so that there is nothing to learn.
    TypeError
        Where numbers and names are mixed.

    Examples
    --------
    >>> from userlogfeat.training.label_sets import read_label_sets
    >>> sets = read_label_sets(
    ...     ["rock", "jazz", {"rock", "loud"}, "rock"], 4, dataset=["A", "A", "B", "B"]
    ... )
    >>> list(zip(sets.label_datasets, sets.labels))
    [('A', 'jazz'), ('A', 'rock'), ('B', 'loud'), ('B', 'rock')]
    >>> sets.indicators.toarray()
    array([[0., 1., 0., 0.],
           [1., 0., 0., 0.],
           [0., 0., 1., 1.],
           [0., 0., 0., 1.]], dtype=float32)
    """
    clips, columns, names = read_pairs(y, n_clips)
    datasets, clip_datasets = _read_datasets(dataset, n_clips)
    if len(clips) == 0:
        raise ValueError(f"Got y without any label, {EXPECTED}.")
    # A label is a pair of data set and name: pairs that occur, in order.
    pairs = clip_datasets[clips] * len(names) + columns
    known, place = np.unique(pairs, return_inverse=True)
    matrix = sparse.csr_matrix(
        (np.ones(len(clips), np.float32), (clips, place)), shape=(n_clips, len(known))
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    owners = known // len(names)
    _check_datasets(matrix, owners, datasets, clip_datasets)
    labels = as_objects([names[i] for i in known % len(names)])
    of = as_objects([datasets[i] for i in owners])
    return LabelSets(matrix, labels, of, datasets, clip_datasets)


def _check_datasets(matrix, owners, datasets, clip_datasets):
    """Raise unless every data set has two labels, and a clip that lacks one."""
    n_labels = np.bincount(owners, minlength=len(datasets))
    n_given = np.diff(matrix.indptr)
    lacking = (n_given > 0) & (n_given < n_labels[clip_datasets])
    n_lacking = np.bincount(clip_datasets[lacking], minlength=len(datasets))
    for name, labels, clips in zip(datasets, n_labels, n_lacking, strict=True):
        of = "" if name is None else f" of data set {name!r}"
        if labels < 2:
            raise ValueError(
                f"The clips{of} have {labels} class or label, expected two or more: "
                "a single class has no contrast. Leave them out, or give them the data "
                "set of others."
            )
        if not clips:
            raise ValueError(
                f"Every clip{of} that has labels has all {labels} of them: there is "
                "nothing to learn. An indicator has a 0 where a clip lacks a "
                "label: is y what was meant?"
            )


def _read_datasets(dataset, n_clips):
    if dataset is None:
        return [None], np.zeros(n_clips, np.int64)
    dataset = as_labels(dataset, name="dataset", of="data sets")
    if len(dataset) != n_clips:
        raise ValueError(
            f"Got {len(dataset)} entries of dataset for {n_clips} clips, expected one "
            "per clip."
        )
    names, places = np.unique(dataset, return_inverse=True)
    return [to_python(name) for name in names.tolist()], places.astype(np.int64)
