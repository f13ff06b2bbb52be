"""The user tower: mean lookups of a history, demographics, a fully connected layer.

Chen, Liang, Ma, Gu (2021), *Learning audio embeddings with user listening data for
content-based music recommendation*, section 2.1, after the candidate generation of
Covington, Adams, Sargin (2016). The tracks, artists and albums of a user's history are
looked up and averaged, apart for explicit and implicit feedback; beside demographics
they go through fully connected layers with leaky ReLU to the user's embedding, whose
scalar products with the items' embeddings are scores.

Where the paper is silent: all groups of feedback share the table of tracks (and that of
artists, ...), so memory does not grow with groups; items have embeddings of their own
as targets, as in Covington et al.; the last layer is linear. (With a leaky ReLU after
it, users fill a corner of the space: of HetRec's listeners, hit rate@200 was 0.66
instead of 0.68 without a hidden layer.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from userlogfeat._typing import Device

N_UNITS = 40  # Chen et al. 2021, section 2.1: of all lookups and of the embedding
N_HIDDEN = 80  # units of the layer with the leaky ReLU: not stated
LEAK = 0.01  # slope of the leaky ReLU below 0: not stated
SPREAD = 0.01  # standard deviation of fresh tables: not stated


@dataclass(frozen=True)
class UserBatch:
    """Histories and demographics of some users, as the tower reads them.

    Attributes
    ----------
    items : tuple of Tensor (n_events,), int64
        A tensor each group of feedback: the items of all histories, user after user.
    rows : tuple of Tensor (n_events,), int64
        To which user of the batch each belongs, ascending.
    numbers : Tensor (n_users, n_numbers), float32
        Demographics that are numbers, without NaN.
    categories : Tensor (n_users, n_columns), int64
        Demographics that are categories; 0 where unknown.
    """

    items: tuple
    rows: tuple
    numbers: torch.Tensor
    categories: torch.Tensor

    def to(self, device: Device) -> UserBatch:
        """The same on another device."""
        return UserBatch(
            tuple(items.to(device) for items in self.items),
            tuple(rows.to(device) for rows in self.rows),
            self.numbers.to(device),
            self.categories.to(device),
        )


class UserTower(nn.Module):
    """From histories and demographics to embeddings of users.

    Parameters
    ----------
    codes : sequence of Tensor (n_items,), int64
        Rows to look up for each item: its own number first, then those of its artist,
        album, ... Counted from 0; -1 is left out of the mean (an item that is not
        known, a missing artist).
    n_groups : int
        Groups of feedback, each with lookups of its own place in the concatenation.
    n_numbers : int
        Demographics that are numbers.
    n_categories : sequence of int
        Values of each demographic that is a category, besides "unknown".
    n_units : int
        Size of every lookup and of the embedding.
    hidden : sequence of int
        Units of the fully connected layers with leaky ReLU; a linear one follows.
    """

    def __init__(
        self,
        codes: Sequence[Tensor],
        *,
        n_groups: int = 1,
        n_numbers: int = 0,
        n_categories: Sequence[int] = (),
        n_units: int = N_UNITS,
        hidden: Sequence[int] = (N_HIDDEN,),
    ) -> None:
        super().__init__()
        self.n_groups = n_groups
        self.n_units = n_units
        for index, values in enumerate(codes):
            self.register_buffer(f"codes_{index}", values)
        sizes = [int(values.max()) + 1 for values in codes]
        self.tables = nn.ModuleList(_table(size, n_units) for size in sizes)
        self.categories = nn.ModuleList(
            nn.Embedding(size + 1, n_units, padding_idx=0) for size in n_categories
        )
        # Sparse gradients everywhere items are looked up: a step costs what the batch
        # holds, not what the catalogue holds.
        self.items = _table(sizes[0], n_units)
        n_lookups = n_groups * len(sizes) + len(n_categories)
        layers = []
        sizes = [n_lookups * n_units + n_numbers, *hidden, n_units]
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(LEAK)]
        self.layers = nn.Sequential(*layers[:-1])

    @property
    def lookup_parameters(self) -> list[nn.Parameter]:
        """The tables whose gradients are sparse."""
        return [*self.tables.parameters(), *self.items.parameters()]

    @property
    def dense_parameters(self) -> list[nn.Parameter]:
        """All other parameters."""
        return [*self.categories.parameters(), *self.layers.parameters()]

    def forward(self, batch: UserBatch) -> Tensor:
        """Embeddings (n_users, n_units) of a :class:`UserBatch`."""
        # B: users, D: units
        n_users = len(batch.numbers)
        parts = []
        for items, rows in zip(batch.items, batch.rows, strict=True):
            for index, table in enumerate(self.tables):
                codes = getattr(self, f"codes_{index}")[items]
                parts.append(_mean_lookup(table, codes, rows, n_users))  # B, D
        parts.append(batch.numbers)
        for column, table in enumerate(self.categories):
            parts.append(table(batch.categories[:, column]))
        return self.layers(torch.cat(parts, dim=1))


def _table(n_values, n_units):
    table = nn.Embedding(n_values, n_units, sparse=True)
    nn.init.normal_(table.weight, std=SPREAD)
    return table


def _mean_lookup(table, codes, rows, n_users):
    """Mean of the rows of a table in each bag (n_users, n_units); empty bags are 0."""
    known = codes >= 0
    if not known.all():
        codes, rows = codes[known], rows[known]
    sizes = torch.bincount(rows, minlength=n_users)
    starts = sizes.cumsum(0) - sizes
    return nn.functional.embedding_bag(
        codes, table.weight, starts, mode="mean", sparse=True
    )
