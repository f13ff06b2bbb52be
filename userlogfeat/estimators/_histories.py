"""Histories of users as `UserEmbedding` takes them: checks and warnings."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array, validate_data

from userlogfeat._check import PLAYS
from userlogfeat._typing import Matrix
from userlogfeat.users.batches import Users
from userlogfeat.users.inputs import stored_pairs

_SILENCE = (
    "To silence this: warnings.filterwarnings('ignore', "
    "category=userlogfeat.estimators.user_tower.EmptyHistoryWarning)"
)


class EmptyHistoryWarning(UserWarning):
    """Users without a known history are embedded, or not trained on."""


def check_plays(
    estimator: Any, user_items: Matrix, *, reset: bool
) -> sparse.csr_matrix:
    """Check the plays of users; `reset` in ``fit``."""
    if hasattr(user_items, "user_items"):
        raise TypeError(
            f"Got {user_items!r}, expected its matrix: pass logs.user_items."
        )
    user_items = validate_data(estimator, user_items, reset=reset, **PLAYS)
    return stored_pairs(user_items)


def check_feedback(
    groups: dict[str, Matrix], shape: tuple[int, int]
) -> Iterator[sparse.csr_matrix]:
    """Yield the likes and dislikes of users, checked."""
    for name, matrix in groups.items():
        matrix = check_array(matrix, input_name=name, **PLAYS)
        if matrix.shape != shape:
            raise ValueError(
                f"Got {name} of shape {matrix.shape}, expected {shape}, that of "
                "user_items: rows are users and columns items."
            )
        yield stored_pairs(matrix)


def without_demographics(users: Users) -> np.ndarray:
    """Whether all demographics of each user are missing."""
    unknown = users.numbers[:, 1::2].all(axis=1)
    return unknown & (users.categories == 0).all(axis=1)


def warn_of_no_targets(sizes: np.ndarray) -> None:
    """Warn of users whose history, of these sizes, has no target."""
    warnings.warn(
        f"{(sizes == 0).sum()} of {len(sizes)} users have nothing in their history "
        f"that could be a target, and are not trained on (first: row "
        f"{(sizes == 0).argmax()}). {_SILENCE}",
        EmptyHistoryWarning,
        stacklevel=4,
    )


def warn_of_empty(empty: np.ndarray, unknown: np.ndarray) -> None:
    """Warn of users without a known history, some without demographics as well."""
    by = "demographics alone"
    if unknown.any():
        by = "the mean of all users"
        if not unknown[empty].all():
            by = f"demographics alone, or ({unknown.sum()}) {by}"
    warnings.warn(
        f"{empty.sum()} of {len(empty)} users (first: row {empty.argmax()}) have "
        "no history of items known from fit: they are embedded by "
        f"{by}. {_SILENCE}",
        EmptyHistoryWarning,
        stacklevel=4,
    )
