"""Look up labels of a shared space: by name and data set, and the nearest to one."""

from typing import Any, NamedTuple

import numpy as np


def _cosine_distance(embeddings, one):
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(one)
    return np.maximum(0.0, 1 - embeddings @ one / np.maximum(lengths, 1e-24))


DISTANCES = {
    "l1": lambda embeddings, one: np.abs(embeddings - one).sum(axis=1),
    "l2": lambda embeddings, one: np.linalg.norm(embeddings - one, axis=1),
    "cosine": _cosine_distance,
}


class LabelNeighbour(NamedTuple):
    """A label near another one.

    Attributes
    ----------
    label : object
    dataset : object
        Its data set; None where there is only one.
    distance : float
        Distance between the two embeddings, 0 or more; L1 by default.
    """

    label: Any
    dataset: Any
    distance: float


class LabelSearch:
    """Find labels among those of several data sets.

    Parameters
    ----------
    labels, datasets : ndarray (n_labels,) of object
        Name and data set of each.
    """

    def __init__(self, labels: np.ndarray, datasets: np.ndarray) -> None:
        self.labels, self.datasets = labels, datasets

    def find(self, label: Any, dataset: Any) -> int:
        """Row of a label; `dataset` decides where several data sets have it."""
        if isinstance(label, np.ndarray):
            raise ValueError(
                f"Got label={label!r}, expected one of labels_. Ask for one at a time."
            )
        of = self.columns(dataset)
        rows = of[[self.labels[i] == label for i in of]]
        if len(rows) == 1:
            return int(rows[0])
        where = "" if dataset is None else f" in data set {dataset!r}"
        if len(rows) == 0:
            some = ", ".join(repr(self.labels[i]) for i in of[:8])
            raise ValueError(
                f"There is no label {label!r}{where}; the {len(of)} labels there begin "
                f"with {some}."
            )
        owners = [self.datasets[i] for i in rows]
        raise ValueError(
            f"The label {label!r} is in {len(rows)} data sets: {owners}. Pass dataset= "
            "to say which is meant."
        )

    def columns(self, dataset: Any) -> np.ndarray:
        """Rows of a data set's labels; all rows for None."""
        if dataset is None:
            return np.arange(len(self.labels))
        if isinstance(dataset, np.ndarray):
            raise ValueError(f"Got dataset={dataset!r}, expected the name of one.")
        own = np.flatnonzero([name == dataset for name in self.datasets])
        if len(own) == 0:
            known = list(dict.fromkeys(self.datasets.tolist()))
            raise ValueError(f"Got dataset {dataset!r}, expected one of {known}.")
        return own

    def nearest(
        self, embeddings: np.ndarray, row: int, k: int, *, among: Any, metric: str
    ) -> list[LabelNeighbour]:
        """The `k` labels nearest to the one in a row, of all data sets or of one."""
        columns = self.columns(among)
        others = columns[columns != row]
        embeddings = embeddings.astype(np.float64)
        distances = DISTANCES[metric](embeddings[others], embeddings[row])
        order = np.argsort(distances, kind="stable")[:k]
        return [
            LabelNeighbour(self.labels[i], self.datasets[i], float(distance))
            for i, distance in zip(others[order], distances[order], strict=True)
        ]
