"""Accuracy of estimated factors: the cosine, and the rank of a clip's own artist.

R2 measures every coordinate, but factors are used for their directions and to identify
artists. Own-artist percentile: the proportion of all artists (or items) that are
farther from the estimate, by the cosine, than the clip's own; 1 if that is always the
nearest, 0.5 by chance.

`cosine_scorer` and `own_artist_scorer` are scikit-learn scorers of estimators whose
`predict` gives factors: ``GridSearchCV(CFRegressor(), grid, scoring=cosine_scorer)``.
"""

import numpy as np
from sklearn.metrics import make_scorer
from sklearn.utils.validation import check_array, check_consistent_length

from userlogfeat._groups import artist_groups
from userlogfeat._typing import ArrayLike
from userlogfeat.evaluation.ranking import iter_rows, unit_rows


def mean_cosine(factors: ArrayLike, estimates: ArrayLike) -> float:
    """Mean cosine between the factors of clips and their estimates.

    Parameters
    ----------
    factors, estimates : array-like (n_clips, n_factors)
        Two factors or more. An estimate of zeros has a cosine of 0.

    Returns
    -------
    float
        In [-1, 1].

    Raises
    ------
    ValueError
        If shapes differ, values are not finite or factors are all zeros.

    Examples
    --------
    >>> from userlogfeat.evaluation.factors import mean_cosine
    >>> mean_cosine([[5, 0], [0, 2]], [[0.1, 0], [1, 0]])
    0.5
    """
    factors, estimates = _check(factors, estimates)
    return float((factors * estimates).sum(axis=1).mean())


def own_artist_percentile(
    factors: ArrayLike, estimates: ArrayLike, *, artists: ArrayLike | None = None
) -> float:
    """Proportion of other artists that are farther from an estimate than its own.

    Parameters
    ----------
    factors, estimates : array-like (n_clips, n_factors)
        Factors and estimates; clips of one artist have the same factors.
    artists : array-like (n_clips,), optional
        Artist (or item) of each row; by default, equal factors mean one artist.

    Returns
    -------
    float
        Mean over clips, then over artists, in [0, 1]; an artist as far away as the
        clip's own counts as one half. 0.5 is chance.

    Raises
    ------
    ValueError
        As for :func:`mean_cosine`, and if there is only one artist.

    Examples
    --------
    >>> from userlogfeat.evaluation.factors import own_artist_percentile
    >>> own_artist_percentile([[1, 0], [0, 1], [1, 1]], [[3, 1], [0, 4], [1, 0]])
    0.8333333333333334
    """
    factors, estimates = _check(factors, estimates)
    known = factors
    if artists is not None:
        check_consistent_length(factors, artists)
        known = artist_groups(artists)
    _, first, own = np.unique(known, axis=0, return_index=True, return_inverse=True)
    own = own.ravel()
    if len(first) < 2:
        raise ValueError("Got factors of one artist, expected two or more to rank.")
    candidates, ranks = factors[first], np.empty(len(factors))
    for rows in iter_rows(len(factors), len(first)):
        cosines = estimates[rows] @ candidates.T
        right = np.take_along_axis(cosines, own[rows, None], axis=1)
        farther = (cosines < right).sum(axis=1)
        alike = (cosines == right).sum(axis=1) - 1
        ranks[rows] = (farther + alike / 2) / (len(first) - 1)
    return float((np.bincount(own, ranks) / np.bincount(own)).mean())


def _check(factors, estimates):
    """Return both as rows of unit length, float64."""
    factors, estimates = (
        check_array(table, dtype=np.float64, input_name=name)
        for table, name in ((factors, "factors"), (estimates, "estimates"))
    )
    if factors.shape != estimates.shape or factors.shape[1] < 2:
        raise ValueError(
            f"Got factors of shape {factors.shape} and estimates of {estimates.shape}, "
            "expected the same (n_clips, n_factors) with two factors or more."
        )
    empty = np.flatnonzero(~factors.any(axis=1))
    if len(empty):
        raise ValueError(
            f"{len(empty)} rows of factors are all zeros (first: row {empty[0]}): "
            "items that nobody played have no direction. Leave these clips out."
        )
    return unit_rows(factors), unit_rows(estimates)


cosine_scorer = make_scorer(mean_cosine)
own_artist_scorer = make_scorer(own_artist_percentile)
