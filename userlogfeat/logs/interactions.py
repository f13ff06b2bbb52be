"""``Interactions``: who played what, as a sparse matrix of users x items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True, repr=False, eq=False)
class Interactions:
    """Users, items, and how often each user played each item.

    Parameters
    ----------
    user_items : csr_matrix of float32, shape (n_users, n_items)
        Numbers of plays, or ones where ``weights="binary"``.
    user_ids : ndarray, shape (n_users,)
        The identifier of each row: those that were given, then others, sorted.
    item_ids : ndarray, shape (n_items,)
        The identifier of each column, in the same way.
    last_items : ndarray of int64, shape (n_users,), optional
        The column of the item each user played last; -1 for a user without plays.
    liked, disliked : csr_matrix of float32, shape (n_users, n_items), optional
        Ones where the user liked, or disliked, the item.
    unknown : Interactions, optional
        Plays of users or items that are not among the given ones. Its ids are the
        given ones, then the unknown ones, sorted.
    """

    user_items: sparse.csr_matrix
    user_ids: np.ndarray
    item_ids: np.ndarray
    last_items: np.ndarray | None = None
    liked: sparse.csr_matrix | None = None
    disliked: sparse.csr_matrix | None = None
    unknown: Interactions | None = None

    def __post_init__(self) -> None:
        expected = (len(self.user_ids), len(self.item_ids))
        for name in ("user_items", "liked", "disliked"):
            matrix = getattr(self, name)
            if matrix is not None and matrix.shape != expected:
                raise ValueError(
                    f"Got {name} of shape {matrix.shape}, but {expected[0]} user_ids "
                    f"and {expected[1]} item_ids. Rows are users, columns items."
                )
        if self.last_items is not None and len(self.last_items) != expected[0]:
            raise ValueError(
                f"Got {len(self.last_items)} last_items for {expected[0]} users."
            )
        if self.last_items is not None and len(self.last_items):
            low, high = np.min(self.last_items), np.max(self.last_items)
            if low < -1 or high >= expected[1]:
                raise ValueError(
                    f"Got last_items from {low} to {high}, expected columns of "
                    f"user_items, 0 to {expected[1] - 1}, or -1 for none."
                )

    def __repr__(self) -> str:
        parts = [
            f"{len(self.user_ids)} users, {len(self.item_ids)} items, "
            f"{self.user_items.nnz} pairs"
        ]
        extra = ("last_items", "liked", "disliked")
        parts += [name for name in extra if getattr(self, name) is not None]
        text = ", ".join(parts)
        if self.unknown is not None:
            n_pairs = self.unknown.user_items.nnz
            text += f"; apart: {n_pairs} pairs of unknown users or items"
        return f"<Interactions: {text}>"
