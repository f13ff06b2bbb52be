"""How sure a mean is: bootstrap intervals over clips and seeds.

A score varies with the clips that were tested and with the seeds of training. Both are
drawn anew, independently, and every drawn clip meets every drawn seed: the two-way
("pigeonhole") bootstrap of Owen (2007), "The pigeonhole bootstrap", whose intervals are
somewhat too wide rather than too narrow. Drawing the cells of the table alone would be
too narrow: the outcomes of one clip under ten seeds are not ten clips.
"""

from typing import Any, NamedTuple

import numpy as np

from userlogfeat._check import check_positive
from userlogfeat._groups import artist_groups
from userlogfeat._typing import ArrayLike, Labels

_BLOCK = 2**22  # drawn rows at once: 32 MiB of int64


class Interval(NamedTuple):
    """A mean and the bounds of its interval.

    Attributes
    ----------
    mean, low, high : float
    """

    mean: float
    low: float
    high: float


def bootstrap_interval(
    outcomes: ArrayLike,
    *,
    tested: ArrayLike | None = None,
    groups: Labels | None = None,
    n_bootstrap: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a mean outcome, over clips and seeds.

    Parameters
    ----------
    outcomes : array-like (n_seeds, n_clips) or (n_clips,)
        What each seed gave for each clip: correct (0 or 1), or a squared error; or
        differences of two models, whose interval then is that of the difference.
    tested : array-like (n_seeds, n_clips) of bool, optional
        False where a seed did not test a clip; the outcome there is ignored.
    groups : array-like (n_clips,), optional
        Artists, drawn instead of clips, with all their clips: for clips that are not
        independent. Missing ones (None, NaN, "", -1) are of their own.
    n_bootstrap : int
        Number of draws.
    level : float
        Probability that the interval is to cover, in (0, 1).
    seed : int
        Of the draws.

    Returns
    -------
    Interval
        `mean`, `low` and `high`. With one seed it speaks of clips only.

    Raises
    ------
    ValueError
        Where outcomes are not finite, or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.evaluation.significance import bootstrap_interval
    >>> correct = np.tile([1, 1, 1, 0], (3, 25))  # 3 seeds, 100 clips
    >>> interval = bootstrap_interval(correct)
    >>> interval.mean
    0.75
    >>> [round(bound, 1) for bound in interval[1:]]  # 0.75 +- 1.96 * 0.043
    [0.7, 0.8]
    """
    check_positive(n_bootstrap, "n_bootstrap", integer=True)
    if not 0 < level < 1:
        raise ValueError(f"Got level={level!r}, expected a probability in (0, 1).")
    outcomes, tested = _check_outcomes(outcomes, tested)
    if groups is not None:
        groups = artist_groups(groups)
        if len(groups) != outcomes.shape[1]:
            raise ValueError(
                f"Got {len(groups)} groups for {outcomes.shape[1]} clips, expected one "
                "for each clip."
            )
        outcomes, tested = (_sum_by(table, groups) for table in (outcomes, tested))
    mean = outcomes.sum() / tested.sum()
    draws = _draw_means(outcomes, tested, n_bootstrap, np.random.default_rng(seed))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(mean), float(low), float(high))


def bootstrap_difference(
    first: ArrayLike, second: ArrayLike, **settings: Any
) -> Interval:
    """Percentile interval of the mean of `first` minus `second`, paired.

    Parameters
    ----------
    first, second : array-like (n_seeds, n_clips) or (n_clips,)
        Outcomes of two models for the same clips under the same seeds.
    **settings
        Of :func:`bootstrap_interval`.

    Returns
    -------
    Interval

    Examples
    --------
    >>> from userlogfeat.evaluation.significance import bootstrap_difference
    >>> bootstrap_difference([1, 1, 1], [0, 0, 0])
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    first, second = (np.asarray(table, np.float64) for table in (first, second))
    if first.shape != second.shape:
        raise ValueError(
            f"Got outcomes of shapes {first.shape} and {second.shape}, expected the "
            "same clips and seeds of both models."
        )
    return bootstrap_interval(first - second, **settings)


def _check_outcomes(outcomes, tested):
    """Outcomes, 0 where not tested, and the mask, both (n_seeds, n_clips) float64."""
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
            "Got outcomes with NaN or infinity. Say where a seed did not test a clip: "
            "tested=~numpy.isnan(outcomes)."
        )
    if not tested.any():
        raise ValueError("Got tested without any True, expected tested clips.")
    return np.where(tested, outcomes, 0), tested.astype(np.float64)


def _sum_by(table, groups):
    """Sums over the clips of each group: (n_seeds, n_groups)."""
    sums = np.zeros((table.shape[0], groups.max() + 1))
    np.add.at(sums.T, groups, table.T)
    return sums


def _draw_means(sums, counts, n_bootstrap, rng):
    """Means of `n_bootstrap` tables with seeds and clips drawn with replacement.

    The mean of a drawn table is sum_ij s_i c_j x_ij / sum_ij s_i c_j n_ij, where s_i
    and c_j say how often seed i and clip j were drawn.
    """
    n_seeds, n_clips = sums.shape
    means = []
    for block in _sizes(n_bootstrap, max(1, _BLOCK // n_clips)):
        s = _draw_counts(block, n_seeds, rng)
        c = _draw_counts(block, n_clips, rng)
        total = np.einsum("bj,bj->b", s @ sums, c)
        number = np.einsum("bj,bj->b", s @ counts, c)
        means.append(total[number > 0] / number[number > 0])
    return np.concatenate(means)


def _sizes(total, block):
    return [min(block, total - start) for start in range(0, total, block)]


def _draw_counts(n_draws, n, rng):
    """How often each of n is among n drawn with replacement: (n_draws, n) float64."""
    drawn = rng.integers(n, size=(n_draws, n)) + n * np.arange(n_draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_draws * n)
    return counts.reshape(n_draws, n).astype(np.float64)
