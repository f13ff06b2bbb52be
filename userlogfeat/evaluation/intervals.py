"""Intervals of means over clips (or artists) and seeds, valid for few of them too.

A score varies with the clips that were tested and with the seeds of training, and every
clip is tested under every seed: the outcomes of one clip under ten seeds are not ten
clips. So there are two standard errors, found by leaving out one group of clips, and
one seed, at a time (the jackknife, which is right for clusters of any size). Each is
multiplied by the quantile of its own t distribution, and the two are combined as
independent errors:

    half width^2 = (t_clips * se_clips)^2 + (t_seeds * se_seeds)^2

Howe (1974), "Approximate confidence limits on the mean of X + Y where X and Y are two
tabled independent random variables"; it covers somewhat more than its level, never
less. Percentiles of a bootstrap cover less with few groups or seeds: 84 % in place of
95 % with five artists. t_clips has the degrees of freedom of Kish's effective number of
groups, since a few large ones are less evidence than as many equal ones.

Means of outcomes within bounds, such as proportions, are skewed near these, and have
the interval of Wilson (1927), "Probable inference, the law of succession, and
statistical inference", for the number of clips with the same error; within one bound,
an interval of the logarithm. ``benchmarks/interval_coverage.py`` measures the coverage.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from userlogfeat._groups import artist_groups
from userlogfeat._typing import ArrayLike


class Interval(NamedTuple):
    """A mean and the bounds of its interval.

    Attributes
    ----------
    mean, low, high : float
    """

    mean: float
    low: float
    high: float


def mean_interval(
    outcomes: ArrayLike,
    *,
    tested: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    bounds: tuple[float, float] | None = None,
    level: float = 0.95,
) -> Interval:
    """Compute the interval of a mean outcome, over clips and seeds.

    Parameters
    ----------
    outcomes : array-like (n_seeds, n_clips) or (n_clips,)
        The outcome of each clip under each seed: correct (0 or 1), or a squared error;
        or differences of two models, whose interval then is that of the difference.
    tested : array-like (n_seeds, n_clips) of bool, optional
        False where a seed did not test a clip; the outcome there is ignored.
    groups : array-like (n_clips,), optional
        Artists, for clips that are not independent: the interval is then over artists.
        Missing ones (None, NaN, "", -1) are artists of their own.
    bounds : (float, float), optional
        Minimum and maximum of possible outcomes, infinite without a bound: (0, 1) for a
        proportion or an area under a curve, (-1, 1) for a difference of two, (0, inf)
        for squared errors. The interval stays between. By default (0, 1) if all
        outcomes are 0 or 1, else none.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    Interval
        `mean`, `low` and `high`. With one seed it is over clips only. Where nothing
        varies, or there is one group, the interval with two bounds is as wide as n
        groups without an exception allow; without bounds it is the mean alone, and
        infinite for one group.

    Raises
    ------
    ValueError
        If outcomes are not finite or out of bounds, or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.evaluation.intervals import mean_interval
    >>> correct = np.tile([1, 1, 1, 0], (3, 25))  # 3 seeds, 100 clips
    >>> interval = mean_interval(correct)
    >>> interval.mean
    0.75
    >>> [round(bound, 2) for bound in interval[1:]]  # 0.75 +- 1.98 * 0.044
    [0.66, 0.83]
    """
    if not 0 < level < 1:
        raise ValueError(f"Got level={level!r}, expected a probability in (0, 1).")
    outcomes, tested = _check_outcomes(outcomes, tested)
    binary = bool(np.isin(outcomes, (0, 1)).all())
    n_clips = np.count_nonzero(tested.any(axis=0))
    bounds = _check_bounds(bounds, outcomes, tested, binary)
    if groups is not None:
        groups = artist_groups(groups)
        if len(groups) != outcomes.shape[1]:
            raise ValueError(
                f"Got {len(groups)} groups for {outcomes.shape[1]} clips, expected one "
                "for each clip."
            )
        outcomes, tested = (_sum_by(table, groups) for table in (outcomes, tested))
    mean = float(outcomes.sum() / tested.sum())
    error, half, n_groups = _errors(outcomes, tested, (1 + level) / 2)
    if error == 0:
        return Interval(mean, *_of_equals(mean, bounds, n_groups, level))
    if np.isfinite(bounds).all():
        # Outcomes of 0 and 1 are not surer than as many independent clips would be.
        most = n_clips if binary and bounds == (0, 1) else np.inf
        return Interval(mean, *_wilson(mean, bounds, error, half, most))
    return Interval(mean, *_within(mean, bounds, half))


def _check_outcomes(outcomes, tested):
    """Return outcomes, 0 where not tested, and the mask, both (n_seeds, n_clips)."""
    outcomes = np.asarray(outcomes, np.float64)
    if outcomes.ndim not in (1, 2) or outcomes.size == 0:
        raise ValueError(
            f"Got outcomes of shape {outcomes.shape}, expected (n_seeds, n_clips)."
        )
    tested = np.ones(outcomes.shape) if tested is None else np.asarray(tested)
    if tested.shape != outcomes.shape:
        raise ValueError(
            f"Got tested of shape {tested.shape} for outcomes of {outcomes.shape}."
        )
    outcomes, tested = np.atleast_2d(outcomes), np.atleast_2d(tested).astype(bool)
    if not np.isfinite(outcomes[tested]).all():
        raise ValueError(
            "Got outcomes with NaN or infinity. Pass where a seed tested a clip: "
            "tested=~numpy.isnan(outcomes)."
        )
    if not tested.any():
        raise ValueError("Got tested without any True, expected tested clips.")
    return np.where(tested, outcomes, 0), tested.astype(np.float64)


def _check_bounds(bounds, outcomes, tested, binary):
    if bounds is None:
        return (0.0, 1.0) if binary else (-np.inf, np.inf)
    low, high = map(float, bounds)
    values = outcomes[tested > 0]
    if not (low < high and low <= values.min() and values.max() <= high):
        raise ValueError(
            f"Got bounds={bounds!r} and outcomes from {values.min():g} to "
            f"{values.max():g}, expected (least, greatest) with all outcomes between."
        )
    return low, high


def _sum_by(table, groups):
    """Sums over the clips of each group: (n_seeds, n_groups)."""
    sums = np.zeros((table.shape[0], groups.max() + 1))
    np.add.at(sums.T, groups, table.T)
    return sums


def _errors(sums, counts, quantile):
    """Return the standard error of the mean, half its interval, number of groups."""
    by_group = _jackknife(sums.sum(axis=0), counts.sum(axis=0))
    by_seed = _jackknife(sums.sum(axis=1), counts.sum(axis=1))
    found = [(variance, df) for variance, df, n in (by_group, by_seed) if n > 1]
    error = np.sqrt(sum(variance for variance, _ in found))
    squares = (special.stdtrit(df, quantile) ** 2 * v for v, df in found)
    half = np.sqrt(sum(squares))
    if error <= 1e-12 * np.abs(sums).sum() / counts.sum():  # rounding
        error = half = 0.0
    return float(error), float(half), by_group[2]


def _jackknife(sums, counts):
    """Return the variance of sum(sums) / sum(counts), degrees of freedom, n parts.

    The mean without part j is (X - x_j) / (N - n_j); the variance is (K - 1) / K times
    the sum of their squared distances to the mean of all.
    """
    sums, counts = sums[counts > 0], counts[counts > 0]
    n, total = len(sums), counts.sum()
    if n < 2:
        return 0.0, 0.0, n
    mean = sums.sum() / total
    # Without part j the mean moves by (x_j - mean n_j) / (N - n_j): nothing cancels.
    moved = (sums - mean * counts) / (total - counts)
    effective = total**2 / np.square(counts).sum()
    return (n - 1) / n * np.square(moved).sum(), max(effective - 1, 1.0), n


def _of_equals(mean, bounds, n_groups, level):
    """Return the interval if no group differs from another.

    Had a proportion q of groups another outcome, all n would agree with probability
    (1 - q)^n: q can be as large as 1 - ((1 - level) / 2)^(1 / n), and they can be as
    far away as a bound. For 0 and 1 this is the interval of Clopper and Pearson (1934).
    """
    if np.isfinite(bounds).all():
        q = 1 - ((1 - level) / 2) ** (1 / n_groups)
        return mean - q * (mean - bounds[0]), mean + q * (bounds[1] - mean)
    return bounds if n_groups < 2 else (mean, mean)


def _wilson(mean, bounds, error, half, most):
    """Return Wilson's interval for n clips: p (1 - p) / n is the error squared.

    n is `most` at most.
    """
    low, high = bounds
    p, scaled = (mean - low) / (high - low), error / (high - low)
    # t^2 / n, with t = half / error.
    n = min(p * (1 - p) / scaled**2, most)
    ratio = (half / error) ** 2 / n
    centre = (p + ratio / 2) / (1 + ratio)
    width = np.sqrt(ratio * p * (1 - p) + ratio**2 / 4) / (1 + ratio)
    ends = max(centre - width, 0.0), min(centre + width, 1.0)
    return tuple(low + (high - low) * float(end) for end in ends)


def _within(mean, bounds, half):
    """Return mean -+ half; on the scale of the logarithm with one bound."""
    low, high = bounds
    if np.isfinite(low):
        factor = np.exp(half / (mean - low))
        return float(low + (mean - low) / factor), float(low + (mean - low) * factor)
    if np.isfinite(high):
        factor = np.exp(half / (high - mean))
        below = high - mean
        return float(high - below * factor), float(high - below / factor)
    return mean - half, mean + half
