"""Bring the factors of one training into the space of another.

All scores stay as they are if users and items are rotated together, so each training
ends in directions of its own. The rotation that brings the items closest to those of
another training is the solution of the orthogonal Procrustes problem (Schönemann 1966,
*A generalized solution of the orthogonal Procrustes problem*): with A and B the rows of
the items that both know, at unit length, and A'B = U S V', it is UV'.
"""

import warnings

import numpy as np

from userlogfeat._ids import nothing_shared, positions
from userlogfeat._spaces import in_space, space_of
from userlogfeat._typing import ArrayLike

# Below this mean cosine, what was trained on the old space should not be trusted.
CLOSE = 0.7


def align_factors(
    user_factors: ArrayLike,
    item_factors: ArrayLike,
    onto: ArrayLike,
    *,
    item_ids: ArrayLike | None = None,
    onto_ids: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rotate users and items of one training onto the items of another.

    Scalar products, cosines and lengths within the training do not change.

    Parameters
    ----------
    user_factors : array-like, shape (n_users, n_factors)
    item_factors : array-like, shape (n_items, n_factors)
        From the same training. Items of zeros, which nobody played, are left out.
    onto : array-like, shape (n_old_items, n_factors)
        Item factors of the other training.
    item_ids, onto_ids : array-like, shapes (n_items,) and (n_old_items,), optional
        Which item each row is. By default the rows of both are the same items, as far
        as both go.

    Returns
    -------
    user_factors, item_factors : ndarray of float32
        In the space of `onto`: :func:`userlogfeat.recommend` accepts them beside it.

    Raises
    ------
    ValueError
        Where numbers of factors differ, or fewer items than factors are in both.

    Warns
    -----
    UserWarning
        Where the mean cosine of the common items stays below 0.7.

    Examples
    --------
    The same factors, turned by a right angle:

    >>> import numpy as np
    >>> from userlogfeat.factorization import align_factors
    >>> items = np.array([[1.0, 0.1], [0.2, 1.0], [0.9, 0.8]])
    >>> turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    >>> users, again = align_factors([[1, 0]] @ turn, items @ turn, onto=items)
    >>> np.allclose(again, items)
    True
    >>> users.round(2) + 0
    array([[1., 0.]], dtype=float32)
    """
    users, items, old = (
        _check(factors, name)
        for factors, name in (
            (user_factors, "user_factors"),
            (item_factors, "item_factors"),
            (onto, "onto"),
        )
    )
    if len({side.shape[1] for side in (users, items, old)}) > 1:
        raise ValueError(
            f"Got user_factors of {users.shape[1]}, item_factors of {items.shape[1]} "
            f"and onto of {old.shape[1]} columns, expected the same number of factors."
        )
    start = rows_of(old, len(items), item_ids, onto_ids)
    rotation, cosine = rotation_onto(items, start)
    if cosine < CLOSE:
        warn_of_distance(cosine)
    space = space_of(onto)
    users, items = ((side @ rotation).astype(np.float32) for side in (users, items))
    return in_space(users, space), in_space(items, space)


def rows_of(
    old: np.ndarray,
    n_items: int,
    item_ids: ArrayLike | None,
    old_ids: ArrayLike | None,
) -> np.ndarray:
    """Reorder old factors to new items; zeros for items that are new.

    Parameters
    ----------
    old : ndarray, shape (n_old_items, n_factors)
    n_items : int
    item_ids, old_ids : array-like, optional
        As in :func:`align_factors`.

    Returns
    -------
    ndarray, shape (n_items, n_factors)
    """
    if (item_ids is None) != (old_ids is None):
        raise ValueError(
            "Got the ids of one side only, expected those of both, or of neither."
        )
    found = np.zeros((n_items, old.shape[1]), old.dtype)
    if item_ids is None:
        common = min(n_items, len(old))
        found[:common] = old[:common]
        return found
    for ids, n in ((item_ids, n_items), (old_ids, len(old))):
        if len(ids) != n:
            raise ValueError(f"Got {len(ids)} ids for {n} items, expected one each.")
    places = positions(item_ids, old_ids)
    if (places < 0).all():
        raise ValueError(nothing_shared("items", item_ids, old_ids))
    found[places >= 0] = old[places[places >= 0]]
    return found


def rotation_onto(items: np.ndarray, old: np.ndarray) -> tuple[np.ndarray, float]:
    """Find the rotation of items onto old ones; rows of zeros in either play no part.

    Parameters
    ----------
    items, old : ndarray, shape (n_items, n_factors)

    Returns
    -------
    rotation : ndarray of float64, shape (n_factors, n_factors)
        ``items @ rotation`` is near `old`. Reflections are among the rotations.
    cosine : float
        Mean cosine of the items after it.
    """
    from scipy.linalg import orthogonal_procrustes

    common = items.any(axis=1) & old.any(axis=1)
    n_common, n_factors = int(common.sum()), items.shape[1]
    if n_common < n_factors:
        raise ValueError(
            f"Only {n_common} items have factors on both sides, expected {n_factors} "
            "or more, the number of factors: fewer do not determine a rotation. Are "
            "these the same items, in the same order? Pass their ids."
        )
    first, second = (_unit(side[common].astype(np.float64)) for side in (items, old))
    rotation, _ = orthogonal_procrustes(first, second)
    return rotation, float(((first @ rotation) * second).sum(axis=1).mean())


def warn_of_distance(cosine: float) -> None:
    """Warn that spaces are too far apart for what was trained on the old one."""
    warnings.warn(
        f"The items' factors have a mean cosine of only {cosine:.2f} with the old "
        f"ones, below {CLOSE}, even after rotation: the logs have changed much, or are "
        "few. "
        "Train what estimates the factors (teachers, heads) again, and extract its "
        "features again.",
        stacklevel=4,
    )


def _check(factors, name):
    factors = np.asarray(factors)
    if factors.ndim != 2 or not np.isfinite(factors).all():
        raise ValueError(
            f"Got {name} of shape {factors.shape}, expected finite numbers of shape "
            "(n_rows, n_factors)."
        )
    return factors


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
