"""Linear discriminant analysis that many small classes do not upset.

Fisher (1936), "The use of multiple measurements in taxonomic problems", with the
shrinkage of Ledoit & Wolf (2004), "A well-conditioned estimator for large-dimensional
covariance matrices".
"""

from numbers import Real

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage

# Directions in which classes vary less than this share of the most are left out:
# without shrinkage, nothing is known of them.
LEAST_VARIANCE = 1e-8


def fit_discriminants(features, labels, n_components, shrinkage="auto"):
    """The directions in which classes differ most, for their spread within.

    With S the covariance within classes and B that of their means, weighted by how many
    rows they have, the directions are the leading eigenvectors of S^-1 B, scaled so
    that the variance S within classes is 1 along each.

    Parameters
    ----------
    features : ndarray (n, n_features)
        Rows of all classes.
    labels : ndarray (n,) of int
        Classes from 0 on, each with a row or more.
    n_components : int
        At most the number of classes less one, and `n_features`.
    shrinkage : float or "auto"
        S becomes (1 - a) S + a t I, with t the mean of its diagonal: 0 leaves it, 1
        knows of no correlation. ``"auto"`` is what Ledoit & Wolf derive: the more, the
        fewer rows there are in classes of two or more. Features are brought to unit
        spread within classes first.

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
        Where no class has two rows.
    """
    within = _contrasts(features, labels)
    if not len(within):
        raise ValueError(
            "No class has two rows: there is no spread within classes to set the "
            "differences between them beside."
        )
    spread = np.sqrt(np.square(within).mean(axis=0))
    scale = np.where(spread > 1e-7 * max(spread.max(), 1e-30), spread, 1.0)
    within = within / scale
    if shrinkage == "auto":
        shrinkage = float(ledoit_wolf_shrinkage(within, assume_centered=True))
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


def check_shrinkage(shrinkage):
    """Raise unless `shrinkage` is "auto" or between 0 and 1."""
    if isinstance(shrinkage, str) and shrinkage == "auto":
        return
    number = isinstance(shrinkage, Real) and not isinstance(shrinkage, bool)
    if not (number and 0 <= shrinkage <= 1):
        raise ValueError(
            f"Got shrinkage={shrinkage!r}, expected 'auto' or a number from 0 to 1."
        )


def _contrasts(features, labels):
    """Rows (n - n_classes, n_features) that have the covariance within classes.

    Row j + 1 of a class less the mean of the j before it, times sqrt(j / (j + 1)): the
    squares of these sum to those of the differences from the class's mean (Helmert).
    Unlike those, which sum to zero in every class, they are independent, as Ledoit &
    Wolf assume: with two rows a class, differences would count everything twice.
    """
    order = np.argsort(labels, kind="stable")
    x = features[order].astype(np.float64)
    counts = np.bincount(labels)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    j = np.arange(len(x)) - first  # rows of the class that came before
    sums = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])
    later = j > 0
    before = sums[:-1][later] - sums[first[later]]
    j = j[later, None]
    return np.sqrt(j / (j + 1)) * (x[later] - before / j)


def _means(features, labels):
    """The mean of all rows, and that of each class from there, by its weight's root."""
    features = features.astype(np.float64)
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), features.shape[1]))
    np.add.at(sums, labels, features)
    mean = features.mean(axis=0)
    share = np.sqrt(counts / len(features))
    return mean, share[:, None] * (sums / counts[:, None] - mean)


def _signs(weight):
    """Of the largest coefficient of each row: directions have no sign of their own."""
    largest = np.abs(weight).argmax(axis=1)
    signs = np.sign(weight[np.arange(len(weight)), largest])
    return np.where(signs == 0, 1.0, signs)
