"""Similarity search: precision of a clip's k nearest neighbours.

Every clip is a query. Its k nearest neighbours among all others are correct if they
have its label. Hamel, Davies, Yoshii, Goto (2013), "Transfer learning in MIR", measure
features so, by L1 distance and k = 10.

Neighbours of the same artist are found by voice, instruments and studio rather than by
genre, so `artists` leaves them out: the artist filter of Flexer and Schnitzer (2010),
"Effects of album and artist filters in audio similarity computed for very large music
databases".
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.utils.validation import check_array, check_consistent_length

from userlogfeat._check import check_choice, check_positive
from userlogfeat._groups import artist_groups, as_column
from userlogfeat._labels import as_labels
from userlogfeat._typing import ArrayLike, Labels
from userlogfeat.evaluation.ranking import iter_rows, top_items, unit_rows

METRICS = ("l1", "l2", "cosine")
_NEAR = 1e-9  # squared distance relative to squares; rounding is far below


@dataclass(frozen=True, eq=False)
class Precision:
    """Precision at k, of all clips and of each.

    Attributes
    ----------
    mean : float
        Mean over the clips that have a candidate.
    clips : ndarray (n_clips,)
        Proportion of each clip's neighbours that have its label; NaN for a clip without
        any candidate.
    per_class : dict
        Label -> mean over its clips.
    """

    mean: float
    clips: np.ndarray
    per_class: dict[Any, float]


def nearest_clips(
    features: ArrayLike,
    k: int = 10,
    *,
    metric: Literal["l1", "l2", "cosine"] = "l1",
    artists: Labels | None = None,
) -> np.ndarray:
    """Find the k nearest neighbours of each clip among all others.

    Distances are computed a block of clips at a time, so that those between 100,000
    clips need not fit in memory: blocks take 32 MiB.

    Parameters
    ----------
    features : array-like (n_clips, n_features)
        Without NaN.
    k : int
        Number of neighbours.
    metric : {"l1", "l2", "cosine"}
        Sum of absolute differences; Euclidean distance; angle (a clip of zeros is as
        far from all).
    artists : array-like (n_clips,), optional
        Clips of the query's artist are left out. A missing artist (None, NaN, "", -1)
        leaves nothing out.

    Returns
    -------
    ndarray (n_clips, k), int64
        Nearest first; of equally near ones the lower row first; -1 where there are
        fewer candidates than k.

    Examples
    --------
    >>> from userlogfeat.evaluation.similarity import nearest_clips
    >>> nearest_clips([[0], [1], [3], [7]], 2)
    array([[1, 2],
           [0, 2],
           [1, 0],
           [2, 1]])
    >>> nearest_clips([[0], [1], [3], [7]], 2, artists=["A", "A", "B", "B"])
    array([[2, 3],
           [2, 3],
           [1, 0],
           [1, 0]])
    """
    check_positive(k, "k", integer=True)
    check_choice(metric, "metric", METRICS)
    features = check_array(features, dtype=np.float64, input_name="features")
    groups = None
    if artists is not None:
        groups = artist_groups(artists)
        check_consistent_length(features, groups)
    if metric == "cosine":
        features = unit_rows(features)
    elif metric == "l2":
        # Of large numbers that are nearly equal, squares less products leave rounding.
        features = features - features.mean(axis=0)
    squares = np.square(features).sum(axis=1)
    nearest = np.empty((len(features), k), dtype=np.int64)
    for rows in iter_rows(len(features), len(features)):
        near = -_distances(features, squares, rows, metric)
        queries = np.arange(len(features))[rows]
        allowed = np.ones(near.shape, dtype=bool)
        allowed[np.arange(len(queries)), queries] = False
        if groups is not None:
            allowed &= groups[queries][:, None] != groups[None]
        nearest[rows], _ = top_items(near, k, candidates=allowed)
    return nearest


def precision_at_k(
    features: ArrayLike,
    labels: ArrayLike,
    k: int = 10,
    *,
    metric: Literal["l1", "l2", "cosine"] = "l1",
    artists: Labels | None = None,
) -> Precision:
    """Compute the proportion of each clip's neighbours that have its label.

    Parameters
    ----------
    features : array-like (n_clips, n_features)
    labels : array-like (n_clips,)
        Labels, one per clip.
    k : int
        Number of neighbours; 10 in the paper. Clips with fewer candidates have fewer.
    metric : {"l1", "l2", "cosine"}
        Distance measure; L1 in the paper.
    artists : array-like (n_clips,), optional
        Clips of the query's artist are left out.

    Returns
    -------
    Precision

    Raises
    ------
    ValueError
        If lengths differ, features or labels have NaN, or no clip has a candidate.
    TypeError
        If numbers and names are mixed in the labels.

    Examples
    --------
    >>> from userlogfeat.evaluation.similarity import precision_at_k
    >>> precision = precision_at_k([[0], [1], [3], [7]], ["a", "a", "a", "b"], k=2)
    >>> precision.clips
    array([1., 1., 1., 0.])
    >>> precision.mean, precision.per_class
    (0.75, {'a': 1.0, 'b': 0.0})
    """
    labels = as_labels(as_column(labels, "labels"), name="labels", of="classes")
    nearest = nearest_clips(features, k, metric=metric, artists=artists)
    check_consistent_length(nearest, labels)
    found = nearest >= 0
    n_found = found.sum(axis=1)
    if not n_found.any():
        raise ValueError(
            "No clip has a candidate: there is one clip only, or artists= leaves none "
            "because all are by one artist."
        )
    right = ((labels[nearest] == labels[:, None]) & found).sum(axis=1)
    clips = np.where(n_found > 0, right / np.maximum(n_found, 1), np.nan)
    has_any = n_found > 0
    per_class = {
        label: float(clips[has_any & (labels == label)].mean())
        for label in np.unique(labels[has_any]).tolist()
    }
    return Precision(float(clips[has_any].mean()), clips, per_class)


def _distances(features, squares, rows, metric):
    """Compute distances of some rows to all; for "l2" squared, in the same order.

    |x - y|^2 = |x|^2 - 2 x y + |y|^2 is fast, and exact but for the rounding of the
    largest square; rows with a neighbour near that limit are computed exactly.
    """
    if metric == "l1":
        return cdist(features[rows], features, "cityblock")
    products = features[rows] @ features.T
    if metric == "cosine":
        return 1 - products
    near = squares[rows][:, None] - 2 * products + squares[None]
    if len(features) > 1:
        nearest = np.partition(near, 1, axis=1)[:, 1]  # the first is the row itself
        doubtful = nearest <= _NEAR * (squares[rows] + squares.max())
        near[doubtful] = cdist(features[rows][doubtful], features, "sqeuclidean")
    return near
