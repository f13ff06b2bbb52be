"""Train a map of frames and maps of labels together, by stochastic gradient descent.

Hamel, Davies, Yoshii, Goto (2013), "Transfer learning in MIR": a frame x and a label j
meet in one space, s_j(x) = w_j' V x. Every data set has labels W of its own; all share
V. Batches are from one data set, and the data sets take turns. The loss is WARP, of
Weston, Bengio, Usunier (2011), "Wsabie", whose constraints on the lengths of the
columns of V and the rows of W are kept too.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from userlogfeat._threads import PRODUCT_RATE, limit_torch, n_threads_for
from userlogfeat.losses import draw_violators, warp_of_ranks
from userlogfeat.training.epochs import Epochs

logger = logging.getLogger(__name__)

# Both maps begin at a tenth of Wsabie's length. At that length, the random directions
# that they begin with outweigh what is learned: no label is near another of its kind,
# and on inner halves of GTZAN's images accuracy is 0.44 instead of 0.49.
START = 0.1
DENSE_ENTRIES = 1 << 26  # clips x labels that are kept as a table of bytes
FEW_LABELS = 1000  # up to so many labels, all rows are checked for their length
MIN_ROUNDS = 200  # of an epoch, so that training on little data does not stop too early
VALIDATION_BATCH = 1000  # frames at once
MOST_VALIDATION = 20000  # frames of a data set that an epoch is validated on


@dataclass(eq=False)
class LabelledFrames:
    """The frames of one data set, and the labels of the clips they are from.

    Attributes
    ----------
    frames : Tensor (n_frames, n_features), float32
    clips : Tensor (n_frames,), int64
        Row of `labels` of each frame.
    labels : csr matrix (n_clips, n_labels)
        Indicators, each stored once: a clip has one label or several.
    """

    frames: torch.Tensor
    clips: torch.Tensor
    labels: sparse.csr_matrix

    def __post_init__(self) -> None:
        device, labels = self.frames.device, self.labels
        self._first, self._columns = (
            torch.from_numpy(array.astype(np.int64)).to(device)
            for array in (labels.indptr, labels.indices)
        )
        small = np.prod(labels.shape) <= DENSE_ENTRIES
        dense = torch.from_numpy(labels.toarray() > 0).to(device) if small else None
        self._dense = dense

    def __len__(self) -> int:
        return len(self.frames)

    def draw_positives(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """One of the labels of each of some frames, drawn: Tensor (B,), int64."""
        clips = self.clips[rows]
        first = self._first[clips]
        n = self._first[clips + 1] - first
        u = torch.rand(len(rows), device=n.device, generator=generator)
        return self._columns[first + (u * n).long()]  # u <= 1 - 2^-24: u n is below n

    def is_label(self, rows: Tensor) -> Tensor:
        """All labels of some frames: Tensor (B, n_labels) of bool."""
        clips = self.clips[rows]
        if self._dense is not None:
            return self._dense[clips]
        n = self._first[clips + 1] - self._first[clips]
        row = torch.repeat_interleave(torch.arange(len(rows), device=n.device), n)
        place = torch.arange(len(row), device=n.device) - (n.cumsum(0) - n)[row]
        mask = torch.zeros(
            len(rows), self.labels.shape[1], dtype=torch.bool, device=n.device
        )
        mask[row, self._columns[self._first[clips][row] + place]] = True
        return mask


class SharedMaps:
    """V' of all frames, (n_features, n_components), and W of every data set's labels.

    Parameters
    ----------
    n_features, n_components : int
        Size of a frame, and of its embedding.
    n_labels : sequence of int
        Number of labels of each data set.
    max_norm : float or None
        Maximum length of a row of V' or W; None for no limit.
    margin : float
        Margin of the loss.
    generator : torch.Generator
        Source of the initial values and all draws.
    device : torch.device
        Device of the maps.
    """

    def __init__(
        self,
        n_features: int,
        n_components: int,
        n_labels: Sequence[int],
        *,
        max_norm: float | None,
        margin: float,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        self.max_norm, self.margin, self.generator = max_norm, margin, generator
        draw = {"generator": generator, "device": device}
        scale = START * n_components**-0.5
        self.features = scale * torch.randn(n_features, n_components, **draw)
        self.labels = [scale * torch.randn(n, n_components, **draw) for n in n_labels]
        if max_norm is not None:
            for matrix in (self.features, *self.labels):
                matrix.renorm_(2, 0, max_norm)

    def step(
        self, dataset: int, x: Tensor, positives: Tensor, is_label: Tensor, lr: float
    ) -> Tensor:
        """One step down the gradient of the mean loss of a batch; the loss.

        With c_i the weight of row i over the batch's size, and j its violator, the loss
        c (margin - w_y' V x + w_j' V x) has the gradients c x (w_j - w_y)' for V', and
        -c V x and c V x for w_y and w_j: no others are touched.
        """
        labels = self.labels[dataset]
        embedded = x @ self.features  # B, D
        scores = embedded @ labels.T
        violators, weights = draw_violators(
            scores, positives, is_label, margin=self.margin, generator=self.generator
        )
        gaps = scores.gather(1, torch.stack([positives, violators], dim=1))
        losses = weights * (self.margin - gaps[:, 0] + gaps[:, 1])
        weights = (weights * (lr / len(x)))[:, None]
        apart = (labels[violators] - labels[positives]) * weights  # before they move
        embedded *= weights
        labels.index_add_(0, positives, embedded)
        labels.index_add_(0, violators, embedded, alpha=-1)
        self.features.addmm_(x.T, apart, alpha=-1)
        self._shorten(labels, torch.cat([positives, violators]))
        return losses.mean()

    def validate(self, dataset: int, data: LabelledFrames) -> float:
        """Mean loss of frames, its ranks counted instead of estimated."""
        rows = torch.arange(len(data), device=data.frames.device)
        if len(rows) > MOST_VALIDATION:
            rows = rows[:: -(-len(rows) // MOST_VALIDATION)]
        total, labels = 0.0, self.labels[dataset]
        generator = torch.Generator(rows.device).manual_seed(0)  # the same every time
        for part in rows.split(VALIDATION_BATCH):
            positives = data.draw_positives(part, generator)
            scores = data.frames[part] @ self.features @ labels.T
            losses = warp_of_ranks(
                scores, positives, data.is_label(part), margin=self.margin
            )
            total += losses.sum().item()
        return total / len(rows)

    def _shorten(self, labels, touched):
        """Scale rows that are too long to the maximum length."""
        if self.max_norm is None:
            return
        self.features.renorm_(2, 0, self.max_norm)
        if len(labels) <= FEW_LABELS:
            labels.renorm_(2, 0, self.max_norm)
        else:
            labels[touched] = labels[touched].renorm(2, 0, self.max_norm)


def fit_shared_maps(
    train: list[LabelledFrames],
    valid: list[LabelledFrames],
    maps: SharedMaps,
    *,
    max_epochs: int,
    patience: int,
    batch_size: int,
    lr: float,
    verbose: int = 0,
) -> list[dict[str, Any]]:
    """Learn V and all W, and keep those of the best epoch.

    An epoch ends when the largest data set has been gone through, and every set has had
    200 batches at least; the smaller ones, which take turns with it, begin again in
    another order.

    Parameters
    ----------
    train, valid : list of LabelledFrames
        Each data set's. Where one has nothing to validate on, its training loss counts.
    maps : SharedMaps
        Changed in place.
    max_epochs, patience, batch_size, lr, verbose
        As the estimators' parameters of these names.

    Returns
    -------
    list of dict
        ``epoch``, ``train_loss`` and ``valid_loss`` of every epoch, means over the
        data sets.
    """
    n_features, n_components = maps.features.shape
    width = max(n_features, *(len(labels) for labels in maps.labels))
    n_threads = n_threads_for(2 * batch_size * n_components * width / PRODUCT_RATE)
    frames = (sum(len(part) for part in parts) for parts in (train, valid))
    facts = maps.features.device, len(train), *frames, n_threads
    words = "training shared maps on %s: %d data sets, %d frames, and %d for validation"
    logger.info(f"{words}; threads: %d", *facts)
    with limit_torch(n_threads):
        return _fit(train, valid, maps, max_epochs, patience, batch_size, lr, verbose)


def _fit(train, valid, maps, max_epochs, patience, batch_size, lr, verbose):
    n_rounds = max(MIN_ROUNDS, *(-(-len(data) // batch_size) for data in train))
    epochs = Epochs(
        "valid_loss", max_epochs, patience, desc="shared maps", asked=bool(verbose)
    )
    for _ in epochs:
        losses = torch.zeros(len(train), device=maps.features.device)
        turns = [_batches(data, batch_size, maps.generator) for data in train]
        for _ in range(n_rounds):
            for dataset, turn in enumerate(turns):
                losses[dataset] += maps.step(dataset, *next(turn), lr)
        losses = (losses / n_rounds).tolist()
        held = [
            maps.validate(i, data) if len(data) else losses[i]
            for i, data in enumerate(valid)
        ]
        means = {"train_loss": np.mean(losses), "valid_loss": np.mean(held)}
        means = {name: float(mean) for name, mean in means.items()}
        epochs.note(means, (maps.features, maps.labels))
    if epochs.best is None:
        raise ValueError(
            f"The loss is not a number from the first epoch on, with lr={lr!r}: the "
            "steps are too long. Pass a smaller lr, or max_norm=1.0."
        )
    maps.features, maps.labels = epochs.best
    # Epochs count from 0 here, as they always have.
    return [losses | {"epoch": n} for n, losses in enumerate(epochs.history)]


def _batches(data, batch_size, generator):
    """Yield frames, one label of each, and all; without end, each time shuffled."""
    while True:
        device = data.frames.device
        order = torch.randperm(len(data), generator=generator, device=device)
        positives = data.draw_positives(order, generator)
        parts = (rows.split(batch_size) for rows in (order, positives))
        for rows, right in zip(*parts, strict=True):
            yield data.frames[rows], right, data.is_label(rows)
