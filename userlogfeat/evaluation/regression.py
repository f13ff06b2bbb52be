"""Accuracy of estimated numbers: R2 and the squared correlation.

Lee et al. (2019) report valence and arousal by a "correlation coefficient (r2)", which
may be either; so both are here. Where they differ, R2 is the stricter: it asks that
estimates be near, the squared correlation only that they lie on some straight line.
"""

import numpy as np

from userlogfeat._typing import ArrayLike

# Relative range of constants after rounding, in sums of some hundred terms.
_SINGLE, _DOUBLE = 1e-6, 1e-14


def r2(
    y: ArrayLike, predicted: ArrayLike, *, per_target: bool = False
) -> float | np.ndarray:
    """Coefficient of determination: the proportion of explained variance.

    1 - sum (y - predicted)^2 / sum (y - mean y)^2, for each target.

    Parameters
    ----------
    y, predicted : array-like (n_clips,) or (n_clips, n_targets)
        Targets and their estimates; two clips or more.
    per_target : bool
        Whether to return a value for each target, not the mean over targets.

    Returns
    -------
    float or ndarray (n_targets,)
        At most 1; 0 for the mean of `y`; negative for worse estimates. For a constant
        target: 1 where all estimates are right, else 0 (as scikit-learn).

    Raises
    ------
    ValueError
        If shapes differ, values are not finite, or there is one clip.

    Examples
    --------
    >>> from userlogfeat.evaluation.regression import r2
    >>> r2([1, 2, 3], [1, 2, 2])
    0.5
    >>> r2([[1, 0], [3, 1]], [[1, 0.5], [3, 0.5]], per_target=True).tolist()
    [1.0, 0.0]
    """
    (constant, _), (y, predicted) = _check_targets(y, predicted)
    missed = ((y - predicted) ** 2).sum(axis=0)
    total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    values = 1 - missed / np.where(constant, 1, total)
    values[constant] = missed[constant] == 0
    return values if per_target else float(values.mean())


def squared_correlation(
    y: ArrayLike, predicted: ArrayLike, *, per_target: bool = False
) -> float | np.ndarray:
    """Square of Pearson's correlation between targets and estimates.

    It ignores wrong scale, offset and sign: estimates that fall where the target rises
    score like those that rise. Read it together with :func:`r2`, which it is never
    below (if the target varies).

    Parameters
    ----------
    y, predicted : array-like (n_clips,) or (n_clips, n_targets)
        Targets and their estimates; two clips or more.
    per_target : bool
        Whether to return a value for each target, not the mean over targets.

    Returns
    -------
    float or ndarray (n_targets,)
        In [0, 1]. Where estimates or targets are constant the correlation is 0/0; it
        is set to 0, since a constant has no information on the target.

    Raises
    ------
    ValueError
        As for :func:`r2`.

    Examples
    --------
    >>> from userlogfeat.evaluation.regression import squared_correlation
    >>> round(squared_correlation([1, 2, 3], [20, 40, 60]), 6)
    1.0
    >>> squared_correlation([1, 2, 3], [5, 5, 5])
    0.0
    """
    constant, (y, predicted) = _check_targets(y, predicted)
    defined = ~(constant[0] | constant[1])
    values = np.zeros(y.shape[1])
    y, predicted = (_unit(table[:, defined]) for table in (y, predicted))
    values[defined] = np.minimum((y * predicted).sum(axis=0) ** 2, 1)
    return values if per_target else float(values.mean())


def _unit(table):
    """Scale columns to mean 0 and length 1."""
    centred = table - table.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=0)


def _is_constant(table, rounding):
    """Return whether each column (n_clips, n_targets) is constant but for rounding."""
    return np.ptp(table, axis=0) <= rounding * np.abs(table).max(axis=0)


def _check_targets(y, predicted):
    """Return which columns are constant, and both as float64 (n_clips, n_targets)."""
    exact = np.asarray(y).dtype not in (np.float16, np.float32)
    y, predicted = np.asarray(y, np.float64), np.asarray(predicted, np.float64)
    if y.ndim == 1 and predicted.shape == (len(y), 1):
        predicted = predicted[:, 0]
    if y.shape != predicted.shape or y.ndim not in (1, 2) or y.size == 0:
        raise ValueError(
            f"Got y of shape {y.shape} and predictions of {predicted.shape}, expected "
            "the same (n_clips,) or (n_clips, n_targets)."
        )
    if len(y) < 2:
        raise ValueError("Got one clip, expected two or more: one has no variance.")
    if not (np.isfinite(y).all() and np.isfinite(predicted).all()):
        raise ValueError("Got NaN or infinity among targets or predictions.")
    y, predicted = y.reshape(len(y), -1), predicted.reshape(len(y), -1)
    # A network gives a constant with the rounding of float32, also when its estimates
    # were made float64 later. Targets are as exact as their type.
    with np.errstate(over="ignore"):
        single = (predicted.astype(np.float32) == predicted).all(axis=0)
    constant = (
        _is_constant(y, _DOUBLE if exact else _SINGLE),
        _is_constant(predicted, np.where(single, _SINGLE, _DOUBLE)),
    )
    return constant, (y, predicted)
