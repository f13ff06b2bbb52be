"""Paired tests of two models, corrections for several tests, effect sizes.

All tests are two-sided and paired: entry i of both arrays is the same fold, seed or
clip. p-values are defined in every case: equal models give 1, and so does a single
pair, which is not evidence. Intervals are in :mod:`userlogfeat.evaluation.intervals`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from userlogfeat._check import check_positive
from userlogfeat._typing import ArrayLike

# Differences smaller than this part of the scores are rounding: 0.3 - 0.1 - 0.2.
_ROUNDING = 1e-12
_ENUMERATED = 16  # so many signed ranks have 65,536 ways to be signed


@dataclass(frozen=True)
class PairedTest:
    """Result of a paired test.

    Attributes
    ----------
    method : str
        Name of the test.
    statistic : float
        t, or for Wilcoxon's test the smaller sum of ranks; NaN where there is none.
    p_value : float
        Two-sided, in [0, 1].
    mean_difference : float
        Mean of first minus second.
    n_pairs : int
    """

    method: str
    statistic: float
    p_value: float
    mean_difference: float
    n_pairs: int


def paired_ttest(
    first: ArrayLike,
    second: ArrayLike,
    *,
    n_train: float | None = None,
    n_test: float | None = None,
) -> PairedTest:
    """Student's paired t-test, or Nadeau and Bengio's for scores of folds.

    Scores of cross-validation folds are not independent, since the folds learn from
    nearly the same clips: the plain test, which Lee et al. (2019) use, then rejects too
    often. Nadeau and Bengio (2003), "Inference for the generalization error", correct
    the variance: t = mean / sqrt((1/J + n_test/n_train) * var), for J scores; Bouckaert
    and Frank (2004) use it for repeated cross-validation.

    Parameters
    ----------
    first, second : array-like (n_pairs,)
        Scores of two models in the same folds (of all seeds), or for the same clips.
    n_train, n_test : float, optional
        Clips in the train and test part of a fold. Given: the corrected test.

    Returns
    -------
    PairedTest
        Without any difference t = 0 and p = 1; where all differences are equal, but
        not 0, t is infinite and p = 0; with one pair t is NaN and p = 1.

    Raises
    ------
    ValueError
        If scores are not finite, or the arrays differ in length.

    Examples
    --------
    >>> from userlogfeat.evaluation.significance import paired_ttest
    >>> kd, base = [0.62, 0.58, 0.66, 0.61, 0.63], [0.60, 0.58, 0.61, 0.60, 0.61]
    >>> round(paired_ttest(kd, base).p_value, 3)
    0.075
    >>> round(paired_ttest(kd, base, n_train=800, n_test=200).p_value, 3)
    0.186
    """
    difference = _differences(first, second)
    n = len(difference)
    if (n_train is None) != (n_test is None):
        raise ValueError("Got one of n_train and n_test, expected both or neither.")
    factor, method = 1 / n, "paired t-test"
    if n_train is not None:
        check_positive(n_train, "n_train")
        check_positive(n_test, "n_test")
        factor, method = factor + n_test / n_train, "corrected resampled t-test"
    mean = difference.mean()
    if n == 1:
        t, p = np.nan, 1.0
    elif _all_equal(difference):
        t, p = (0.0, 1.0) if mean == 0 else (np.copysign(np.inf, mean), 0.0)
    else:
        t = mean / np.sqrt(factor * difference.var(ddof=1))
        p = 2 * stats.t.sf(abs(t), n - 1)
    return PairedTest(method, float(t), float(p), float(mean), n)


def wilcoxon(first: ArrayLike, second: ArrayLike) -> PairedTest:
    """Wilcoxon's signed-rank test, with zero differences ranked as Pratt does.

    Zeros are ranked with the others and their ranks then left out (Pratt 1959, "Remarks
    on zeros and ties in the Wilcoxon signed rank procedures"). If they are dropped
    first, as is common, a model can seem less significant for gaining more.

    Parameters
    ----------
    first, second : array-like (n_pairs,)
        Scores of two models, as for :func:`paired_ttest`.

    Returns
    -------
    PairedTest
        p is exact, ties and zeros included, for up to 16 differences that are not 0
        (folds), and for up to 50 without ties; else (clips) the normal approximation,
        corrected for ties. Without any difference, statistic 0 and p = 1.

    Raises
    ------
    ValueError
        As for :func:`paired_ttest`.

    Examples
    --------
    >>> from userlogfeat.evaluation.significance import wilcoxon
    >>> wilcoxon([5, 6, 7, 8, 9], [4, 4, 4, 4, 4]).p_value  # 2 of 2^5 signs
    0.0625
    """
    method = "Wilcoxon signed-rank test"
    difference = _differences(first, second)
    n, mean = len(difference), float(difference.mean())
    ranks = stats.rankdata(np.abs(difference))
    signed = (np.sign(difference) * ranks)[difference != 0]
    statistic = min(signed[signed > 0].sum(), -signed[signed < 0].sum())
    if len(signed) <= _ENUMERATED:
        p = _sign_flips(signed)
    else:
        p = stats.wilcoxon(difference, zero_method="pratt").pvalue
    return PairedTest(method, float(statistic), min(1.0, float(p)), mean, n)


def _sign_flips(signed):
    """Return the part of all signs of the ranks with a sum as far from 0."""
    sums = np.zeros(1)
    for rank in np.abs(signed):
        sums = np.concatenate([sums - rank, sums + rank])
    return np.mean(np.abs(sums) >= abs(signed.sum()))  # halves: no rounding


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's adjusted p-values, for several comparisons with one claim.

    The smallest of m is multiplied by m, the next by m - 1, and so on, and none may be
    less than one before it (Holm 1979, "A simple sequentially rejective multiple test
    procedure"): to reject those at or below 0.05 keeps the chance of any false
    rejection at 0.05.

    Parameters
    ----------
    p_values : array-like (n_tests,)
        In [0, 1].

    Returns
    -------
    ndarray (n_tests,)
        In the order given, at most 1.

    Examples
    --------
    >>> from userlogfeat.evaluation.significance import holm
    >>> holm([0.01, 0.04, 0.03, 0.005]).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    p_values = np.asarray(p_values, np.float64)
    if p_values.ndim != 1:
        raise ValueError(
            f"Got p_values of shape {p_values.shape}, expected (n_tests,)."
        )
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError("Got p_values with NaN or outside [0, 1].")
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.maximum.accumulate(p_values[order] * factors)
    return np.minimum(adjusted, 1)


def cohens_dz(first: ArrayLike, second: ArrayLike) -> float:
    """Cohen's d for pairs: the mean difference in units of its standard deviation.

    d_z = mean / sd of the differences, so t = d_z * sqrt(n_pairs). By custom 0.2 is
    small, 0.5 medium and 0.8 large. It measures how regular a gain is, not how
    large: ten folds that all gain 0.001 have a large d_z.

    Parameters
    ----------
    first, second : array-like (n_pairs,)
        Scores of two models, as for :func:`paired_ttest`.

    Returns
    -------
    float
        0 without any difference; infinite where all are equal, but not 0; NaN for one
        pair.

    Examples
    --------
    >>> from userlogfeat.evaluation.significance import cohens_dz
    >>> cohens_dz([3, 5, 7], [2, 3, 4])  # differences 1, 2, 3
    2.0
    """
    difference = _differences(first, second)
    mean = float(difference.mean())
    if len(difference) == 1:
        return float("nan")
    if _all_equal(difference):
        return 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
    return float(mean / difference.std(ddof=1))


def _differences(first, second):
    """Return first minus second, with differences that are rounding set to 0."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 1 or first.shape != second.shape or len(first) == 0:
        raise ValueError(
            f"Got scores of shapes {first.shape} and {second.shape}, expected both "
            "(n_pairs,), with one pair or more."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError(
            "Got scores with NaN or infinity. Find out which run failed; leaving its "
            "pair out flatters the model that fails."
        )
    difference = first - second
    size = np.maximum(np.abs(first), np.abs(second))
    return np.where(np.abs(difference) <= _ROUNDING * size, 0, difference)


def _all_equal(difference):
    """Return whether the differences are the same but for rounding."""
    return np.ptp(difference) <= 1e3 * _ROUNDING * np.abs(difference).max()
