"""Training of the user tower: one target per user and epoch, negatives from all items.

The loop is its own, not that of ``training.fit_network``: lookups have sparse
gradients, which need an optimiser of their own beside that of the dense layers; targets
and negatives are drawn anew in every epoch; and what a batch holds depends on them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from userlogfeat._threads import PRODUCT_RATE, limit_torch, n_threads_for
from userlogfeat.losses import sampled_softmax
from userlogfeat.training import seeded
from userlogfeat.training.epochs import Epochs
from userlogfeat.users.batches import events_of

if TYPE_CHECKING:
    from userlogfeat.networks.user_tower import UserTower
    from userlogfeat.users.batches import Targets, Users

logger = logging.getLogger(__name__)


# Fraction of training users whose history, or demographics, are hidden from an epoch,
# where there are demographics: so that the tower is trained on either alone. Not in the
# papers.
HIDDEN = 0.1
# Maximum number of users to validate on: enough to compare epochs, and the scores of
# all items for them cost no more than the epoch. Where targets are drawn and there are
# fewer users, each has several, up to this number in all.
N_VALIDATED = 2000
MIN_STEPS = 20  # an epoch of few users repeats them
BLOCK_SCORES = 1 << 22  # scores of users times items in memory at once
COUNTED = 1 << 13  # users whose events are counted at once


def fit_tower(
    network: UserTower,
    users: Users,
    targets: Targets,
    split: tuple[np.ndarray, np.ndarray],
    settings: Any,
    *,
    device: torch.device,
    seed: int,
) -> list[dict[str, Any]]:
    """Train a tower, and leave it with the weights of its best epoch.

    Parameters
    ----------
    network : UserTower
        Changed in place; on `device` afterwards, in evaluation mode.
    users : Users
        Histories with the targets in them; a target is left out where it is one.
    targets : Targets
        Targets of the same users.
    split : (ndarray, ndarray)
        Users to train on, and users to validate on. Without the latter, the best epoch
        is the one of lowest training loss.
    settings : UserEmbedding
        Its parameters of the training.
    device : torch.device
    seed : int
        Seed of the order, the targets and the negatives.

    Returns
    -------
    list of dict
        ``epoch``, ``train_loss`` and ``valid_loss`` of every epoch.
    """
    n_items, n_units = network.items.weight.shape
    n_scores = settings.batch_size * min(settings.n_negatives, n_items)  # of a step
    n_threads = n_threads_for(2 * n_units * n_scores / PRODUCT_RATE)
    facts = device, *map(len, split), n_threads
    words = (
        "training the user tower on %s: %d users, and %d for validation; threads: %d"
    )
    logger.info(words, *facts)
    with limit_torch(n_threads):
        return _fit(network, users, targets, split, settings, device, seed)


def _fit(network, users, targets, split, settings, device, seed):
    run = _Run(network.to(device), users, targets, split, settings, device, seed)
    epochs = Epochs(
        "valid_loss" if len(run.valid) else "train_loss",
        settings.max_epochs,
        settings.patience,
        desc="users",
        asked=bool(settings.verbose),
    )
    with seeded(seed):
        for epoch in epochs:
            losses = {"train_loss": run.train()}
            if len(run.valid):
                losses["valid_loss"] = run.validate()
            _refuse_divergence(losses, epoch + 1, settings.lr)
            epochs.note(losses, network.state_dict())
    network.load_state_dict(epochs.best)
    network.eval()
    return epochs.history


class _Run:
    """State of a training: network, data, optimisers, random numbers."""

    def __init__(self, network, users, targets, split, settings, device, seed):
        self.network, self.users, self.targets = network, users, targets
        self.settings, self.device = settings, device
        self.rng = np.random.default_rng(seed)
        self.codes = network.codes_0.cpu().numpy()
        self.train_rows = split[0]
        self.hides = bool(users.numbers.shape[1] or users.categories.shape[1])
        self._choose_valid(split[1])
        self._choose_negatives()
        # Adam whose moments of a row are touched only where the row is.
        self.optimizers = (
            torch.optim.SparseAdam(network.lookup_parameters, lr=settings.lr),
            torch.optim.Adam(network.dense_parameters, lr=settings.lr),
        )

    def train(self):
        """Train one epoch; return the mean loss of its users."""
        self.network.train()
        n_steps, total, n_users = 0, 0.0, 0
        while n_steps < MIN_STEPS:
            order = self.rng.permutation(self.train_rows)
            for start in range(0, len(order), self.settings.batch_size):
                rows = order[start : start + self.settings.batch_size]
                total += self._step(rows) * len(rows)
                n_users += len(rows)
                n_steps += 1
        return total / n_users

    @torch.no_grad()
    def validate(self):
        """Return the mean loss of held-out users, exact: over all items."""
        self.network.eval()
        every = self.network.items.weight  # N, D
        total = 0.0
        step = max(1, BLOCK_SCORES // len(every))
        for start in range(0, len(self.valid), step):
            rows = self.valid[start : start + step]
            targets = self.valid_targets[start : start + step]
            embedded = self.network(
                self.users.batch(rows, targets=targets).to(self.device)
            )
            scores = embedded @ every.T  # B, N
            own = torch.from_numpy(self.codes[targets]).to(self.device)
            total += torch.nn.functional.cross_entropy(
                scores, own, reduction="sum"
            ).item()
        return total / len(self.valid)

    def _step(self, rows):
        targets = self.targets.draw(rows, self.rng)
        hidden = {"kept": lambda n: self.rng.random(n) >= self.settings.dropout}
        if self.hides:
            drawn = self.rng.random(len(rows))
            hidden |= {"no_history": drawn < HIDDEN, "unknown": drawn > 1 - HIDDEN}
        batch = self.users.batch(rows, targets=targets, **hidden).to(self.device)
        own = torch.from_numpy(self.codes[targets])
        drawn, log_expected = self._draw_negatives()
        is_target = (own[:, None] == drawn[None]).to(self.device)  # B, K
        looked_up = self.network.items(torch.cat([own, drawn]).to(self.device))
        positive, negative = looked_up[: len(own)], looked_up[len(own) :]
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        embedded = self.network(batch)  # B, D
        loss = sampled_softmax(
            (embedded * positive).sum(dim=1),
            embedded @ negative.T,
            log_expected.to(self.device),
            is_target,
        ).mean()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.item()

    def _choose_valid(self, rows):
        """Draw the pairs of users and targets to validate on, once for all epochs."""
        drawn = (self.targets.last[rows] < 0).any()
        n_repeats = -(-N_VALIDATED // len(rows)) if len(rows) and drawn else 1
        rows = np.repeat(rows, n_repeats)
        targets = self.targets.draw(rows, self.rng)
        # Items that no training user played have no embedding.
        known = (targets >= 0) & (self.codes[targets] >= 0)
        self.valid, self.valid_targets = rows[known], targets[known]

    def _choose_negatives(self):
        """Set the distribution q of the draws; None where all items are taken."""
        n_items = len(self.network.items.weight)
        self.cumulated = None
        if self.settings.n_negatives >= n_items:
            return
        weights = np.ones(n_items)
        if self.settings.negatives == "popularity":
            counts = np.zeros(n_items, np.int64)
            # Some users at a time: all events at once would be the largest array.
            for rows in np.split(
                self.train_rows, range(COUNTED, len(self.train_rows), COUNTED)
            ):
                items, _ = events_of(self.targets.positives, rows)
                counts += np.bincount(self.codes[items], minlength=n_items)
            weights = np.maximum(counts, 1)  # also items without plays
        self.cumulated = np.cumsum(weights / weights.sum())
        expected = self.settings.n_negatives * weights / weights.sum()
        self.log_expected = torch.from_numpy(np.log(expected)).float()

    def _draw_negatives(self):
        """Draw negatives for one batch; return the log of their expected counts too."""
        if self.cumulated is None:
            every = torch.arange(len(self.network.items.weight))
            return every, torch.zeros(len(every))
        places = self.rng.random(self.settings.n_negatives) * self.cumulated[-1]
        drawn = np.searchsorted(self.cumulated, places, side="right")
        drawn = torch.from_numpy(np.minimum(drawn, len(self.cumulated) - 1))
        return drawn, self.log_expected[drawn]


def _refuse_divergence(losses, epoch, lr):
    for name, value in losses.items():
        if not np.isfinite(value):
            raise ValueError(
                f"The {name} became {value} in epoch {epoch}. Lower lr (now "
                f"{lr:g}), or look for huge numbers in demographics."
            )
