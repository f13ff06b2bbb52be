"""Linear discriminant analysis with shrinkage, for many small classes.

Fisher (1936), "The use of multiple measurements in taxonomic problems", with the
shrinkage of Ledoit & Wolf (2004), "A well-conditioned estimator for large-dimensional
covariance matrices".
"""

from typing import Literal

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage

from userlogfeat._check import check_number
from userlogfeat._threads import one_blas_thread

# Directions in which classes vary less than this share of the maximum are left out:
# without shrinkage, nothing is known of them.
LEAST_VARIANCE = 1e-8
# Minimum spread within classes, as a share of that of all rows: with less, rows are
# copies of each other, or differ by rounding alone.
LEAST_SPREAD = 1e-4


@one_blas_thread()  # eigenvectors: as many small products as there are features
def fit_discriminants(
    features: np.ndarray,
    labels: np.ndarray,
    n_components: int,
    shrinkage: float | Literal["auto"] = "auto",
) -> tuple[np.ndarray, np.ndarray, float]:
    """Find the directions in which classes differ most, relative to their spread.

    With S the covariance within classes, shrunk, and B that of their means, weighted by
    how many rows they have, the directions are the leading eigenvectors of S^-1 B,
    scaled so that S is 1 along each: the spread that the rows have within classes is 1
    without shrinkage, and mostly somewhat less with it.

    Parameters
    ----------
    features : ndarray (n, n_features)
        Rows of all classes.
    labels : ndarray (n,) of int
        Classes, counted from 0, each with at least one row.
    n_components : int
        Number of directions: at most the number of classes less one, and `n_features`.
    shrinkage : float or "auto"
        S becomes (1 - a) S + a t I, with t the mean of its diagonal: 0 leaves it, 1
        knows of no correlation. ``"auto"`` is what Ledoit & Wolf derive: the more, the
        fewer rows there are in classes of two or more; 1 where all rows but one are
        the first of their class. Features are brought to unit spread within classes
        first; one that has none, though classes differ in it, to unit spread in all
        rows, and counts as far as `shrinkage` lets it.

    Returns
    -------
    weight : ndarray (n_components, n_features)
    bias : ndarray (n_components,)
        ``features @ weight.T + bias`` has mean 0.
    shrinkage : float
        As it was used.

    Raises
    ------
    ValueError
        Where no class has two rows, or rows of a class are all the same: nothing says
        how much those of a class differ.
    """
    within = _contrasts(features, labels)
    if not len(within):
        raise ValueError(
            "No class has two rows: there is no spread within classes to set the "
            "differences between them beside."
        )
    scale, known = _spread(within, features)
    within = np.where(known, within / scale, 0)
    if shrinkage == "auto":  # a single row has no correlations
        shrinkage = 1.0
        if len(within) > 1:
            shrinkage = ledoit_wolf_shrinkage(within, assume_centered=True)
    covariance = within.T @ within / len(within)
    target = np.trace(covariance) / len(covariance)
    covariance *= 1 - shrinkage
    covariance[np.diag_indices_from(covariance)] += shrinkage * target
    values, vectors = np.linalg.eigh(covariance)
    known = values > LEAST_VARIANCE * values[-1]
    whitening = vectors[:, known] / np.sqrt(values[known])
    mean, between = _means(features, labels)
    _, _, directions = np.linalg.svd(between / scale @ whitening, full_matrices=False)
    weight = (whitening @ directions[:n_components].T).T / scale
    if len(weight) < n_components:  # the classes lie in fewer dimensions
        empty = np.zeros((n_components - len(weight), features.shape[1]))
        weight = np.concatenate([weight, empty])
    weight *= _signs(weight)[:, None]
    return weight, -weight @ mean, float(shrinkage)


def check_shrinkage(shrinkage: float | Literal["auto"]) -> None:
    """Raise unless `shrinkage` is "auto" or between 0 and 1."""
    check_number(shrinkage, "shrinkage", 0, 1, also="auto")


def _contrasts(features, labels):
    """Rows (n - n_classes, n_features) that have the covariance within classes.

    Row j + 1 of a class less the mean of the j before it, times sqrt(j / (j + 1)): the
    squares of these sum to those of the differences from the class's mean (Helmert).
    Unlike those, which sum to zero in every class, they are independent, as Ledoit &
    Wolf assume: with two rows per class, differences would count everything twice.
    """
    order = np.argsort(labels, kind="stable")
    x = features[order].astype(np.float64)
    x -= x.mean(axis=0)  # sums of a common offset would round the differences away
    counts = np.bincount(labels)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    j = np.arange(len(x)) - first  # rows of the class that came before
    sums = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])
    later = j > 0
    before = sums[:-1][later] - sums[first[later]]
    j = j[later, None]
    return np.sqrt(j / (j + 1)) * (x[later] - before / j)


def _spread(within, features):
    """Divisor of each feature; whether that is its spread within classes."""
    spread = np.sqrt(np.square(within).mean(axis=0))
    total = features.std(axis=0, dtype=np.float64)
    size = np.sqrt(np.square(features, dtype=np.float64).mean(axis=0))
    rounding = 4 * np.finfo(np.result_type(features, np.float32)).eps * size
    differs = total > rounding
    known = spread > np.maximum(LEAST_SPREAD * total, rounding)
    if differs.any() and not known.any():
        raise ValueError(
            "The rows (songs) of each class (artist) are the same, or nearly so: "
            "nothing says how those of a class differ among themselves. Are they "
            "copies, or clips of one song? Pass classes with different rows."
        )
    return np.where(known, spread, np.where(differs, total, 1.0)), known


def _means(features, labels):
    """Mean of all rows; weighted distance of each class's mean from it."""
    features = features.astype(np.float64)
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), features.shape[1]))
    np.add.at(sums, labels, features)
    mean = features.mean(axis=0)
    share = np.sqrt(counts / len(features))
    return mean, share[:, None] * (sums / counts[:, None] - mean)


def _signs(weight):
    """Sign of the largest coefficient of each row, as directions have none."""
    largest = np.abs(weight).argmax(axis=1)
    signs = np.sign(weight[np.arange(len(weight)), largest])
    return np.where(signs == 0, 1.0, signs)
