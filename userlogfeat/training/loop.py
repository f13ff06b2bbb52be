"""The loop that trains networks.

A validation split (stratified, by groups where there are any), the best epoch kept,
early stopping, bf16, and fits that continue after they were killed. For that the random
generators are kept, too (of torch, and of the batches). The caller's random state is
left as found.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from torch import Tensor, nn

from userlogfeat._digests import array_digest
from userlogfeat._progress import resumable
from userlogfeat._threads import PRODUCT_RATE, limit_torch, n_threads_for
from userlogfeat.networks.bf16 import autocast_bf16
from userlogfeat.networks.data_parallel import average_gradients, on_shard, synchronised
from userlogfeat.networks.halving import warn_of_halving
from userlogfeat.training.batches import ArrayInputs, Batch, Batches, FrameStore
from userlogfeat.training.checkpoints import NO_CHECKPOINT, Checkpoint
from userlogfeat.training.epochs import Epochs
from userlogfeat.training.processes import Processes, join, means_of_some, on_first

logger = logging.getLogger(__name__)


def fit_network(
    network: nn.Module,
    inputs: ArrayInputs | FrameStore,
    targets: dict[str, Tensor],
    *,
    objective: Callable[..., Any],
    split: tuple[np.ndarray, np.ndarray],
    max_epochs: int,
    batch_size: int,
    lr: float,
    patience: int,
    device: torch.device,
    seed: int,
    monitor: str = "loss",
    min_steps: int = 1,
    min_epochs: int = 0,
    precision: Literal["fp32", "bf16"] = "fp32",
    augment: Callable[..., Any] | None = None,
    checkpoint: Checkpoint | None = None,
    optimizer: Callable[..., Any] = torch.optim.Adam,
    verbose: int = 0,
) -> list[dict[str, Any]]:
    """Train a network, and leave it with the weights of its best epoch.

    Parameters
    ----------
    network : Module
        Changed in place; on `device` afterwards, in evaluation mode.
    inputs : ArrayInputs or FrameStore
        Inputs of the network: ``inputs.batch(rows, generator)`` gives a tensor.
    targets : dict of str to Tensor (n_clips, ...)
        Tensors that the objective needs for each clip.
    objective : callable
        ``objective(network, x, batch, epoch)`` -> dict of scalars; "loss" is minimised.
        `batch` has the rows of `targets`; epochs count from 0.
    split : (ndarray, ndarray)
        Rows to train on, and rows to validate on. Without validation rows, the best
        epoch is the one of lowest training loss.
    max_epochs, batch_size, lr, patience
        As the estimators' parameters of these names.
    device : torch.device
        Device to train on.
    seed : int
        Seed of batches, crops, and all that is random in the network.
    monitor : str
        Entry of the objective that decides which epoch is best.
    min_steps : int
        Minimum number of steps of an epoch, which goes through the clips again to reach
        it: training on few clips would else stop before they are learned.
    min_epochs : int
        Number of epochs before which training does not stop early.
    precision : {"fp32", "bf16"}
        Precision of convolutions and matrix products.
    augment : callable, optional
        Applied to the inputs in training, as ``augment(x)``.
    checkpoint : Checkpoint, optional
        Written after every epoch; a fit that finds one continues from it, and ends with
        the same weights as without the interruption.
    optimizer : callable
        ``optimizer(parameters, lr=lr)``, as the classes of :mod:`torch.optim`.
    verbose : int
        1 shows a progress bar.

    Returns
    -------
    history : list of dict
        The losses of every epoch, as ``train_loss``, ``valid_loss`` and so on.

    Notes
    -----
    If a batch does not fit into memory, training begins again with half of
    `batch_size`, once.

    If several processes train together (:mod:`userlogfeat.training.processes`), all
    call this with the same arguments. Each reads a shard of every batch, and all end
    with the same weights and history: up to rounding, those of one process.
    """
    watched = ("valid_" if len(split[1]) else "train_") + monitor
    processes = join()
    if processes is not None:
        settings = {"max_epochs": max_epochs, "batch_size": batch_size, "lr": lr}
        settings |= {"patience": patience, "random_state": seed, "monitor": monitor}
        settings |= {"precision": precision, "min_epochs": min_epochs}
        _check_same(processes, network, inputs, targets, split, settings)

    def fit(batch_size):
        torch.manual_seed(seed)
        network.to(device)
        run = TrainingRun(
            network,
            optimizer(network.parameters(), lr=lr),
            objective,
            Epochs(watched, max_epochs, patience, min_epochs, asked=bool(verbose)),
            torch.Generator().manual_seed(seed),
            device=device,
            precision=precision,
            augment=augment,
            checkpoint=checkpoint,
            processes=processes,
        )
        batches = partial(Batches, inputs, targets, batch_size=batch_size)
        train, valid = (partial(batches, rows, processes=processes) for rows in split)
        train = train(generator=run.generator, min_batches=min_steps)
        return run.fit(train, valid() if len(split[1]) else None)

    kept = resumable(
        NO_CHECKPOINT
        if checkpoint is None
        else "Finished epochs are kept in the checkpoint: the same fit goes on."
    )
    with kept, seeded(seed), _together(processes, network, device):
        with limit_torch(1):  # more in steps of large operations
            history = _halve_once(fit, batch_size, network, processes)
    network.eval()
    return history


@contextlib.contextmanager
def _counting(network):
    """Yield a list that collects the operations of each forward product in the block.

    Counted are linear and convolutional layers, unless the network has threads of its
    own (:mod:`userlogfeat.networks.threads`) and does not call its layers.
    """
    counts = []

    def count(layer, inputs, output):
        weight = getattr(layer, "weight", None)
        looks_up = isinstance(layer, torch.nn.Embedding | torch.nn.EmbeddingBag)
        if weight is not None and weight.ndim > 1 and not looks_up:
            counts.append(2 * output.numel() * weight[0].numel())

    layers = [layer for layer in network.modules() if not any(layer.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def _halve_once(fit, batch_size, network, processes):
    """Call `fit(batch_size)`; if memory runs out, begin again with half of it.

    From the beginning, so that the result is that of the smaller batch; or from the
    last epoch of the checkpoint.
    """
    start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    try:
        return fit(batch_size)
    except torch.OutOfMemoryError as error:
        if batch_size < 2 or processes is not None:
            raise torch.OutOfMemoryError(_no_memory(batch_size)) from error
    # Out of the except block: the error holds on to what the step had made so far.
    network.zero_grad(set_to_none=True)
    network.load_state_dict(start)
    warn_of_halving(batch_size, "training begins again with")
    try:
        return fit(batch_size // 2)
    except torch.OutOfMemoryError as error:
        raise torch.OutOfMemoryError(_no_memory(batch_size // 2)) from error


def _no_memory(batch_size):
    return (
        f"Training with batch_size={batch_size} does not fit into the device's memory. "
        "Pass a smaller one, fewer channels or shorter clips (duration=)."
    )


@dataclass(eq=False)
class TrainingRun:
    """A network in training, and all that decides how it goes on.

    Parameters
    ----------
    network : Module
        On `device`.
    optimizer : torch.optim.Optimizer
        Optimiser of its parameters.
    objective : callable
        See :func:`fit_network`.
    epochs : Epochs
        The losses so far.
    generator : torch.Generator
        That of the batches.
    device, precision, augment, checkpoint
        As of :func:`fit_network`.
    processes : Processes or None
        Processes that train together. The first one writes, and its losses decide for
        all which epoch is best: a last digit could differ between machines.
    n_threads : int or None
        Threads of a step on a CPU; None before the first.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    objective: Callable[..., Any]
    epochs: Epochs
    generator: torch.Generator
    device: torch.device
    precision: Literal["fp32", "bf16"]
    augment: Callable[..., Any] | None
    checkpoint: Checkpoint | None
    processes: Processes | None
    n_threads: int | None = None

    def fit(self, train: Batches, valid: Batches | None) -> list[dict[str, Any]]:
        """Train, from the checkpoint on; return the losses of every epoch."""
        state = self.checkpoint and on_first(self.processes, self.checkpoint.read)
        if state:
            self._continue_from(state)
        for epoch in self.epochs:
            losses = self._mean_losses("train", self.train_step, train, epoch)
            if valid is not None:
                losses |= self._mean_losses("valid", self.validate, valid, epoch)
            self.end_epoch(losses)
        self.finish()
        return self.epochs.history

    def train_step(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Take a step, and return the losses of its batch."""
        self.network.train()
        self.optimizer.zero_grad()
        with self._threads():
            losses = self._losses(batch, epoch)
            losses["loss"].backward()
        if self.processes is not None:
            average_gradients(self.network.parameters(), self.processes)
        self.optimizer.step()
        return losses

    def validate(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the losses of a batch."""
        self.network.eval()
        with torch.no_grad(), self._threads():
            return self._losses(batch, epoch)

    def end_epoch(self, losses: dict[str, float]) -> None:
        """Note the losses of an epoch, and write the checkpoint."""
        if self.processes is not None:
            found = self.processes.broadcast((losses, torch.get_rng_state()))
            losses, random_state = found
            torch.set_rng_state(random_state)
        for name in ("train_loss", self.epochs.monitor):
            if not np.isfinite(losses[name]):
                raise ValueError(self._not_finite(name, losses[name]))
        self.epochs.note(losses, self.network.state_dict())
        if self.checkpoint is not None:
            on_first(self.processes, lambda: self.checkpoint.write(self._state()))

    def finish(self) -> None:
        """Load the weights of the best epoch."""
        self.network.load_state_dict(self.epochs.best)
        if self.processes is not None:
            self.processes.copy_first(self.network.state_dict().values())
        if self.checkpoint is not None:
            on_first(self.processes, self.checkpoint.remove)

    def _state(self):
        """All that decides how the training goes on."""
        cuda = torch.cuda.is_available()
        return {
            "module": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": json.dumps(self.epochs.history),
            "lowest": self.epochs.lowest,
            "waited": self.epochs.waited,
            "weights": self.epochs.best,
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if cuda else [],
            "n_threads": self.n_threads,
        }

    def _continue_from(self, state):
        self.network.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        history = json.loads(state["history"])
        # Earlier versions kept the number of threads, and more, in the history.
        self.n_threads = state.get("n_threads", history[0].get("n_threads"))
        self.epochs.history = [
            {k: v for k, v in epoch.items() if k == "epoch" or k.endswith("_loss")}
            for epoch in history
        ]
        self.epochs.lowest, self.epochs.waited = state["lowest"], state["waited"]
        self.epochs.best = state["weights"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] and self.processes is not None:  # each has its own device
            torch.cuda.set_rng_state(state["cuda"][0], self.device)
        elif state["cuda"]:
            torch.cuda.set_rng_state_all(state["cuda"])

    def _mean_losses(self, part, step, batches, epoch):
        """Losses of an epoch, each batch weighted by its rows."""
        losses, n_rows = [], []
        for batch in batches:
            losses.append({k: v.item() for k, v in step(batch, epoch).items()})
            n_rows.append(batch.n_rows)
        return {
            f"{part}_{name}": float(
                np.average([of[name] for of in losses], weights=n_rows)
            )
            for name in losses[0]
        }

    @contextlib.contextmanager
    def _threads(self):
        """Set the number of threads by the size of the operations of the first step.

        That step has one thread. The number is in the checkpoint, so that a fit that
        continues after it was killed has the same.
        """
        if self.device.type != "cpu":
            yield
        elif self.n_threads is not None:
            with limit_torch(self.n_threads):
                yield
        else:
            with _counting(self.network) as counts:
                yield
            mean = sum(counts) / max(1, len(counts))
            self.n_threads = n_threads_for(mean / PRODUCT_RATE)
            logger.info("threads of a step: %d", self.n_threads)

    def _losses(self, batch, epoch):
        x, device = batch.x, self.device
        if device.type == "cuda":  # so that the processor need not wait for the copy
            x = x.pin_memory()
        x = x.to(device, non_blocking=True)
        targets = {name: t.to(device) for name, t in batch.targets.items()}
        if self.network.training and self.augment is not None:
            x = self._augmented(x, batch.shard)
        bf16 = self.precision == "bf16"
        with on_shard(batch.shard), autocast_bf16(self.network, device, bf16):
            try:
                return self.objective(self.network, x, targets, epoch)
            except ValueError as error:
                if "more than 1 value per channel" in str(error):
                    raise ValueError(_single_value(x)) from error
                raise

    def _augmented(self, x, shard):
        """Inputs, or the clips of triplets, augmented as those of the whole batch."""
        triplets = not isinstance(x, Tensor)
        clips = x.clips if triplets else x
        if shard is None:
            clips = self.augment(clips)
        else:
            clips = shard.augment(self.augment, clips)
        return x.with_clips(clips) if triplets else clips

    def _not_finite(self, name, value):
        advice = f"Lower lr (now {self.optimizer.defaults['lr']:g})"
        if self.precision == "bf16":
            advice += ', try precision="fp32"'
        return (
            f"The {name} became {value} in epoch {len(self.epochs.history) + 1}. "
            f"{advice}, or look for huge values in X and y."
        )


def _check_same(processes, network, inputs, targets, split, settings):
    """Raise in all processes unless all train the same network on the same data."""
    state = network.state_dict()
    shapes = array_digest(np.array(tensor.shape) for tensor in state.values())
    processes.agree(
        {
            "the network": f"{type(network).__name__} {shapes}",
            "the number of clips": len(inputs),
            "the split, which is drawn from y and groups": array_digest(split),
            **settings,
        }
    )
    clips = getattr(inputs, "inputs", inputs)  # those of triplets
    values = {"the clips": clips}
    values |= {f"the targets ({k})": t.numpy() for k, t in targets.items()}
    values |= {f"y ({k})": a for k, a in enumerate(getattr(inputs, "arrays", ()))}
    processes.agree_nearly({k: means_of_some(v) for k, v in values.items()})


@contextlib.contextmanager
def _together(processes, network, device):
    """Let several processes train a network; all begin with the first one's weights.

    Parameters
    ----------
    processes : Processes or None
        None: there is nothing to do.
    """
    if processes is None:
        yield
        return
    network.to(device)
    processes.copy_first([*network.parameters(), *network.buffers()])
    with synchronised(network):
        yield


def _single_value(x):
    return (
        f"Got a batch of {len(x)} clip of shape {tuple(x.shape[1:])} to train on, and "
        "a batch norm that it leaves a single value a map: there is no variance. Pass "
        "more clips, a larger batch_size, or, for spectrograms, longer clips or "
        "smaller pools."
    )


class DecayingSGD(torch.optim.SGD):
    """Stochastic gradient descent with the learning rate lr / (1 + decay * step).

    Parameters
    ----------
    parameters : iterable of Tensor
        Parameters to train.
    lr : float
        Learning rate of the first step.
    decay : float
        Decay per step, counted from 0: after 1 / `decay` steps, lr has halved.
    momentum, nesterov
        As of :class:`torch.optim.SGD`.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        decay: float,
        momentum: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters, lr=lr, momentum=momentum, nesterov=nesterov)
        for group in self.param_groups:  # kept, with lr, in checkpoints
            group.update(first_lr=lr, decay=decay, n_steps=0)

    def step(self, closure: Any = None) -> Any:
        """Take a step with the decayed learning rate."""
        for group in self.param_groups:
            group["lr"] = group["first_lr"] / (1 + group["decay"] * group["n_steps"])
            group["n_steps"] += 1
        return super().step(closure)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside the block; restore the caller's random state after it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def validation_split(
    n_clips: int,
    fraction: float,
    *,
    seed: int,
    y: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into training and validation.

    Parameters
    ----------
    n_clips : int
        Number of clips.
    fraction : float
        Share of the clips (or groups) to validate on.
    seed : int
        Seed of the split.
    y : ndarray (n_clips,), optional
        Classes: each gives its share, and at least one clip where it has two. A class
        of one clip is for training.
    groups : ndarray (n_clips,), optional
        Clips of one group are on one side; classes are then kept in proportion as far
        as whole groups can, and every class is in training.

    Returns
    -------
    train, valid : ndarray of int
        Sorted. `valid` is empty where no clip can be spared.
    """
    if groups is not None and y is not None:
        return _stratified_groups(y, groups, fraction, seed)
    if y is not None:
        rng = np.random.default_rng(seed)
        chosen = [np.arange(0)]
        for label in np.unique(y):
            rows = rng.permutation(np.flatnonzero(y == label))
            n_valid = max(1, round(fraction * len(rows))) if len(rows) > 1 else 0
            chosen.append(rows[: min(n_valid, len(rows) - 1)])
        valid = np.sort(np.concatenate(chosen))
        return np.setdiff1d(np.arange(n_clips), valid), valid
    n = n_clips if groups is None else len(np.unique(groups))
    if n < 2:
        return np.arange(n_clips), np.arange(0)
    n_held = min(ceil(fraction * n), n - 1)  # at least one, and never all
    splitter = ShuffleSplit if groups is None else GroupShuffleSplit
    split = splitter(1, test_size=n_held, random_state=seed)
    train, valid = next(split.split(np.zeros(n_clips), groups=groups))
    return np.sort(train), np.sort(valid)


def _stratified_groups(y, groups, fraction, seed):
    """Take whole groups, in random order, while a class has clips to spare.

    A group is for validation if it brings the classes nearer to their shares, and
    leaves clips of each of its classes to train on.
    """
    classes, y = np.unique(y, return_inverse=True)
    names, groups = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (groups, y), 1)
    wanted = fraction * counts.sum(axis=0)
    left, taken = counts.sum(axis=0), np.zeros(len(classes))
    chosen = []
    for group in np.random.default_rng(seed).permutation(len(names)):
        clips = counts[group]
        nearer = np.abs(taken + clips - wanted).sum() < np.abs(taken - wanted).sum()
        if nearer and ((left - clips)[clips > 0] > 0).all():
            chosen.append(group)
            left, taken = left - clips, taken + clips
    held = np.isin(groups, chosen)
    return np.flatnonzero(~held), np.flatnonzero(held)
