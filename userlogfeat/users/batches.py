"""Users as batches for a tower: their events, demographics and targets.

Histories stay sparse matrices; a batch takes out the events of its users.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from userlogfeat.networks.user_tower import UserBatch


@dataclass(frozen=True)
class Users:
    """Histories and demographics of users.

    Attributes
    ----------
    histories : tuple of csr_matrix, shape (n_users, n_items)
        One for each group of feedback; stored entries are in the history.
    numbers : ndarray of float32, shape (n_users, n_numbers)
    categories : ndarray of int64, shape (n_users, n_columns)
        Encoded by ``Demographics.encode``.
    """

    histories: tuple
    numbers: np.ndarray
    categories: np.ndarray

    def __len__(self) -> int:
        return self.histories[0].shape[0]

    def batch(
        self,
        rows: np.ndarray,
        *,
        targets: np.ndarray | None = None,
        no_history: np.ndarray | None = None,
        unknown: np.ndarray | None = None,
        kept: Callable[..., Any] | None = None,
    ) -> UserBatch:
        """Make the tower's input for some users.

        Parameters
        ----------
        rows : ndarray of int, shape (n_rows,)
            Row numbers of the users.
        targets : ndarray of int, shape (n_rows,), optional
            The item that is left out of each history.
        no_history : ndarray of bool, shape (n_rows,), optional
            Users whose histories are hidden.
        unknown : ndarray of bool, shape (n_rows,), optional
            Users whose demographics are hidden.
        kept : callable, optional
            From a number of events to a mask (n_events,) of those that stay.

        Returns
        -------
        UserBatch
        """
        groups = []
        for matrix in self.histories:
            items, places = events_of(matrix, rows)
            keep = np.ones(len(items), bool)
            if targets is not None:
                keep &= items != targets[places]
            if no_history is not None:
                keep &= ~no_history[places]
            if kept is not None:
                keep &= kept(len(items))
            groups.append((_tensor(items[keep]), _tensor(places[keep])))
        numbers, categories = self.numbers[rows], self.categories[rows]
        if unknown is not None:
            numbers[unknown] = np.arange(numbers.shape[1]) % 2  # 0 and "is missing"
            categories[unknown] = 0
        items, places = zip(*groups, strict=True)
        numbers, categories = torch.from_numpy(numbers), torch.from_numpy(categories)
        return UserBatch(items, places, numbers, categories)


@dataclass(frozen=True)
class Targets:
    """Target items of users.

    Attributes
    ----------
    positives : csr_matrix, shape (n_users, n_items)
        Stored entries may be targets.
    last : ndarray of int64, shape (n_users,)
        The target; -1 where one is drawn anew in every epoch.
    """

    positives: sparse.csr_matrix
    last: np.ndarray

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw targets of some users; -1 for those who have no positive."""
        starts = self.positives.indptr[rows]
        sizes = self.positives.indptr[rows + 1] - starts
        drawn = starts + (rng.random(len(rows)) * sizes).astype(np.int64)
        drawn = self.positives.indices[np.where(sizes > 0, drawn, 0)]
        drawn = np.where(sizes > 0, drawn, -1)
        return np.where(self.last[rows] >= 0, self.last[rows], drawn).astype(np.int64)


def events_of(
    matrix: sparse.csr_matrix, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """List the stored columns of some rows, row after row, and their rows.

    Parameters
    ----------
    matrix : csr_matrix
    rows : ndarray of int, shape (n_rows,)

    Returns
    -------
    columns : ndarray of int, shape (n_events,)
    places : ndarray of int, shape (n_events,)
        Positions in `rows`, ascending.
    """
    starts = matrix.indptr[rows].astype(np.int64)
    sizes = matrix.indptr[rows + 1] - starts
    places = np.repeat(np.arange(len(rows)), sizes)
    # The n-th event of all is the (n - first)-th of its row.
    first = np.cumsum(sizes) - sizes
    events = np.arange(len(places)) + (starts - first)[places]
    return matrix.indices[events], places


def _tensor(array):
    return torch.from_numpy(array.astype(np.int64))
