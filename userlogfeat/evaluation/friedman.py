"""Several models on the same cases: Friedman's test, and the pairs that differ.

Models are ranked within each case (a class, a fold, a data set), so cases that are hard
for all do not hide a difference. Friedman (1937), "The use of ranks to avoid the
assumption of normality implicit in the analysis of variance"; pairs after Nemenyi
(1963), as Demsar (2006), "Statistical comparisons of classifiers over multiple data
sets", section 3.2.2, has it. MIREX compares submissions in this way.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from userlogfeat._typing import ArrayLike


@dataclass(frozen=True)
class FriedmanTest:
    """Result of Friedman's test.

    Attributes
    ----------
    statistic : float
        Chi-squared, corrected for ties; 0 if all models are equal in every case.
    p_value : float
        p value of all models being alike; 1 if they are equal in every case.
    mean_ranks : ndarray (n_models,)
        Mean ranks, from 1, the worst in all cases, to n_models.
    p_values : ndarray (n_models, n_models)
        p values of two models being alike, corrected for the number of pairs.
    """

    statistic: float
    p_value: float
    mean_ranks: np.ndarray
    p_values: np.ndarray


def friedman_test(scores: ArrayLike) -> FriedmanTest:
    """Test whether models differ, and which.

    Parameters
    ----------
    scores : array-like (n_cases, n_models)
        Scores, the greater the better; two models or more.

    Returns
    -------
    FriedmanTest

    Raises
    ------
    ValueError
        If scores have another shape, or are not finite.

    Examples
    --------
    >>> from userlogfeat.evaluation.friedman import friedman_test
    >>> test = friedman_test([[0.5, 0.6, 0.7], [0.1, 0.2, 0.4], [0.8, 0.9, 1.0]])
    >>> test.statistic, test.mean_ranks.tolist()
    (6.0, [1.0, 2.0, 3.0])
    >>> round(float(test.p_values[0, 2]), 3)
    0.038
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2 or not len(scores):
        raise ValueError(
            f"Got scores of shape {scores.shape}, expected (n_cases, n_models) with "
            "two models or more."
        )
    if not np.isfinite(scores).all():
        raise ValueError("Got scores with NaN or infinity. Find out which run failed.")
    n, k = scores.shape
    ranks = stats.rankdata(scores, axis=1)
    mean_ranks = ranks.mean(axis=0)
    # With ties the ranks of a case vary less: their variance replaces k(k+1)/12.
    spread = ranks.var(axis=1, ddof=1).sum()
    deviation = np.square(mean_ranks - (k + 1) / 2).sum()
    statistic = n**2 * deviation / spread if spread else 0.0
    p_value = stats.chi2.sf(statistic, k - 1) if spread else 1.0
    differences = np.abs(mean_ranks[:, None] - mean_ranks)
    unit = np.sqrt(k * (k + 1) / (12 * n))  # of the studentised range
    p_values = stats.studentized_range.sf(differences / unit, k, np.inf)
    np.fill_diagonal(p_values, 1.0)
    return FriedmanTest(float(statistic), float(p_value), mean_ranks, p_values)
