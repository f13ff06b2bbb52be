"""Checked input of a user tower: histories, targets, attributes of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from userlogfeat._labels import is_null, to_python
from userlogfeat._typing import ArrayLike, Frame, Labels, Matrix
from userlogfeat.users.batches import Targets
from userlogfeat.users.demographics import as_frame

if TYPE_CHECKING:
    import polars as pl


def stored_pairs(matrix: Matrix) -> sparse.csr_matrix:
    """Return a csr matrix of pairs stored once, none of them 0, as a copy."""
    matrix = sparse.csr_matrix(matrix)
    if not matrix.data.all() or not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix


def make_targets(
    histories: dict[str, sparse.csr_matrix], last_items: ArrayLike | None = None
) -> Targets:
    """Find the items that may be targets, and the targets.

    Parameters
    ----------
    histories : dict of str to csr_matrix, shape (n_users, n_items)
        "user_items" and, if given, "liked" and "disliked".
    last_items : array-like of int, shape (n_users,), optional
        -1 where unknown.

    Returns
    -------
    Targets
        Positives are items that were played or liked, and not disliked. A last item
        that is disliked is not a target.

    Raises
    ------
    ValueError
        Where nothing is positive, or a last item is in no history.
    """
    positives = histories["user_items"]
    if "liked" in histories:
        positives = (positives + histories["liked"]).tocsr()
    if "disliked" in histories:
        disliked = positives.multiply(histories["disliked"] != 0)
        positives = stored_pairs(positives - disliked)
    if positives.nnz == 0:
        raise ValueError(
            f"user_items of shape {positives.shape} holds no play that could be a "
            "target: there is nothing to learn from."
        )
    n_users = positives.shape[0]
    if last_items is None:
        return Targets(positives, np.full(n_users, -1))
    last = check_last_items(last_items, positives.shape)
    in_history = sum(_has(matrix, last) for matrix in histories.values()) > 0
    stray = (last >= 0) & ~in_history
    if stray.any():
        user = int(stray.argmax())
        raise ValueError(
            f"last_items of user {user} is item {last[user]}, which is not in the "
            f"user's history ({stray.sum()} such users). Columns must be those of "
            "user_items; where an item was held out of it, pass -1, or the last that "
            "is left."
        )
    return Targets(positives, np.where(_has(positives, last), last, -1))


def check_last_items(last_items: ArrayLike, shape: tuple[int, int]) -> np.ndarray:
    """Check an item for each user, or -1; return int64 (n_users,)."""
    last = np.asarray(last_items)
    if last.shape != shape[:1]:
        raise ValueError(
            f"Got last_items of shape {last.shape}, expected ({shape[0]},): a column "
            "of user_items for each user."
        )
    if last.dtype.kind not in "iu":
        raise TypeError(
            f"Got last_items of dtype {last.dtype}, expected whole numbers, the "
            "columns of user_items; -1 where unknown."
        )
    outside = (last < -1) | (last >= shape[1])
    if outside.any():
        user = int(outside.argmax())
        raise ValueError(
            f"last_items of user {user} is {last[user]}, expected a column of "
            f"user_items, 0 to {shape[1] - 1}, or -1."
        )
    return last.astype(np.int64)


def merge_attributes(
    n_items: int,
    item_artists: Labels | None,
    item_albums: Labels | None,
    item_attributes: dict[str, Labels] | None,
) -> dict[str, np.ndarray]:
    """Collect all attributes of items by name, as object arrays (n_items,)."""
    if not isinstance(item_attributes, dict | None):
        raise TypeError(
            f"Got item_attributes of type {type(item_attributes).__name__}, expected a "
            'dict of name to column, such as {"genre": genres}: attributes have names.'
        )
    attributes = dict(item_attributes or {})
    for name, values in (("artist", item_artists), ("album", item_albums)):
        if values is None:
            continue
        if name in attributes:
            raise ValueError(
                f"Got item_{name}s and item_attributes[{name!r}]: pass one of them."
            )
        attributes[name] = values
    return {
        name: _check_attribute(values, f"attribute {name!r}", n_items)
        for name, values in attributes.items()
    }


def make_codes(
    histories: Sequence[sparse.csr_matrix],
    users: np.ndarray,
    attributes: dict[str, np.ndarray],
) -> list[np.ndarray]:
    """Number items and attributes, for lookups in ``networks.user_tower.UserTower``.

    Parameters
    ----------
    histories : sequence of csr_matrix, shape (n_users, n_items)
    users : ndarray of int
        Users to train on: items in none of their histories are not known.
    attributes : dict of str to ndarray of object, shape (n_items,)

    Returns
    -------
    list of ndarray of int64, shape (n_items,)
        Codes of the items themselves, then of every attribute; -1 where not known.

    Raises
    ------
    ValueError
        Where an attribute is missing for all known items.
    """
    learned = np.zeros(histories[0].shape[0], bool)
    learned[users] = True
    n_users = sum(matrix.T @ learned.astype(np.float32) for matrix in histories)
    known = n_users > 0
    codes = [np.where(known, np.cumsum(known) - 1, -1)]
    for name, values in attributes.items():
        number_of = {}
        numbers = [
            number_of.setdefault(value, len(number_of))
            if there and value is not None
            else -1
            for value, there in zip(values.tolist(), known.tolist(), strict=True)
        ]
        if not number_of:
            raise ValueError(
                f"The attribute {name!r} is missing for all {known.sum()} items that "
                "were played. Leave it out."
            )
        codes.append(np.array(numbers))
    return [values.astype(np.int64) for values in codes]


def check_frame(demographics: Frame, n_users: int) -> pl.DataFrame:
    """Convert demographics to a frame of polars with a row per user."""
    frame = as_frame(demographics)
    if frame.height != n_users or frame.width == 0:
        raise ValueError(
            f"Got demographics of shape {frame.shape}, expected {n_users} rows, those "
            "of user_items, and at least one column."
        )
    return frame


def _has(matrix, items):
    """Whether each user's row stores the user's item."""
    rows = np.arange(len(items))
    found = np.asarray(matrix[rows, np.maximum(items, 0)]).ravel() != 0
    return found & (items >= 0)


def _check_attribute(values, name, n_items):
    if isinstance(values, str | bytes) or not np.iterable(values):
        raise TypeError(f"Got {values!r} as {name}, expected an id for each item.")
    values = list(values.to_list() if hasattr(values, "to_list") else values)
    if len(values) != n_items:
        raise ValueError(
            f"Got {len(values)} values of the {name}, expected {n_items}: one for each "
            "column of user_items, None where missing."
        )
    array = np.empty(n_items, dtype=object)
    array[:] = [None if is_null(value) else to_python(value) for value in values]
    lists = [v for v in array if isinstance(v, list | dict | set | np.ndarray)]
    if lists:
        raise TypeError(
            f"The {name} holds {lists[0]!r}, expected one id per item, text or a "
            "number."
        )
    return array
