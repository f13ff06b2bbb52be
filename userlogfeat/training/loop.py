"""The loop that trains every network here: skorch, and what it lacks.

A validation split (stratified, by groups where there are any), the best epoch kept,
early stopping, bf16, and fits that continue after they were killed. The caller's random
state is left as found.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import ceil
from typing import Any, Literal

import numpy as np
import skorch
import torch
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from skorch.callbacks import PassthroughScoring
from skorch.helper import predefined_split
from torch import Tensor, nn

from userlogfeat._digests import array_digest
from userlogfeat._progress import resumable
from userlogfeat._threads import PRODUCT_RATE, limit_torch, n_threads_for
from userlogfeat.networks.bf16 import autocast_bf16
from userlogfeat.networks.data_parallel import average_gradients, on_shard, synchronised
from userlogfeat.networks.halving import warn_of_halving
from userlogfeat.training.batches import (
    ArrayInputs,
    Batches,
    FrameStore,
    Rows,
    SharedBatch,
)
from userlogfeat.training.checkpoints import (
    NO_CHECKPOINT,
    BestEpoch,
    Checkpoint,
    EpochBar,
    PatienceOver,
)
from userlogfeat.training.processes import Processes, is_first, join, means_of_some

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
    train, valid = (Rows(inputs, targets, rows) for rows in split)
    watched = ("valid_" if len(valid) else "train_") + monitor
    processes = join()
    if processes is not None:
        settings = {"max_epochs": max_epochs, "batch_size": batch_size, "lr": lr}
        settings |= {"patience": patience, "random_state": seed, "monitor": monitor}
        settings |= {"precision": precision, "min_epochs": min_epochs}
        _check_same(processes, network, inputs, targets, split, settings)

    def fit(batch_size):
        torch.manual_seed(seed)
        best = BestEpoch(watched, patience, min_epochs, checkpoint, processes)
        generator = torch.Generator().manual_seed(seed)
        batches = partial(Batches, processes=processes)
        net = TransferNet(
            network.to(device),
            criterion=torch.nn.Module,  # the loss is in the objective
            objective=objective,
            precision=precision,
            processes=processes,
            # Modules are what skorch trains, so it refuses this one as an attribute.
            augment=augment and augment.__call__,
            optimizer=optimizer,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            iterator_train=partial(batches, generator=generator, min_batches=min_steps),
            iterator_valid=batches,
            train_split=predefined_split(valid) if len(valid) else None,
            callbacks=_callbacks(best, monitor, verbose, max_epochs),
            callbacks__print_log=None,
            device=str(device),
            verbose=0,
        ).initialize()
        best.start(net, generator)
        remaining = max_epochs - len(net.history)
        if remaining > 0 and not best.stopped:
            net.notify("on_train_begin", X=train, y=None)
            with contextlib.suppress(PatienceOver):
                net.fit_loop(train, epochs=remaining)
            net.notify("on_train_end", X=train, y=None)
        best.finish(net)
        return net

    kept = resumable(
        NO_CHECKPOINT
        if checkpoint is None
        else "Finished epochs are kept in the checkpoint: the same fit goes on."
    )
    with kept, seeded(seed), _together(processes, network, device):
        with limit_torch(1):  # more in steps of large operations
            net = _halve_once(fit, batch_size, network, processes)
    network.eval()
    return [_losses_of(epoch) for epoch in net.history]


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


def _losses_of(epoch):
    """The losses in an epoch's record, as plain numbers."""
    losses = {k: float(v) for k, v in epoch.items() if k.endswith("_loss")}
    return {"epoch": epoch["epoch"], **losses}


def _callbacks(best, monitor, verbose, max_epochs):
    callbacks = []
    if monitor != "loss":
        callbacks += [
            (f"{part}_{monitor}", PassthroughScoring(f"{part}_{monitor}", on_train=on))
            for part, on in (("train", True), ("valid", False))
        ]
    if is_first():
        callbacks.append(("bar", EpochBar(max_epochs, asked=bool(verbose))))
    return [*callbacks, ("best", best)]


class TransferNet(skorch.NeuralNet):
    """A skorch net whose loss is an objective of network, inputs and targets.

    Parameters
    ----------
    objective : callable
        See :func:`fit_network`.
    precision : {"fp32", "bf16"}
        Precision of convolutions and matrix products.
    augment : callable or None
        Applied to the inputs in training.
    processes : Processes or None
        Processes that share a batch.
    """

    def __init__(
        self,
        *args: Any,
        objective: Callable[..., Any],
        precision: Literal["fp32", "bf16"] = "fp32",
        augment: Callable[..., Any] | None = None,
        processes: Processes | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.objective = objective
        self.precision = precision
        self.augment = augment
        self.processes = processes

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute losses of a batch, and their gradients."""
        self._set_training(True)
        with self._threads():
            step = self._losses(batch, "train")
            step["loss"].backward()
        if self.processes is not None:
            average_gradients(self.module_.parameters(), self.processes)
        return step

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute losses of a batch."""
        self._set_training(False)
        with torch.no_grad(), self._threads():
            return self._losses(batch, "valid")

    @contextlib.contextmanager
    def _threads(self):
        """Set the number of threads by the size of the operations of the first step.

        That step has one thread. The number is in the history of the first epoch, so
        that a fit that continues after it was killed has the same.
        """
        first = self.history[0]
        if torch.device(self.device).type != "cpu":
            yield
        elif "n_threads" in first:
            with limit_torch(first["n_threads"]):
                yield
        else:
            with _counting(self.module_) as counts:
                yield
            mean = sum(counts) / max(1, len(counts))
            first["n_threads"] = n_threads_for(mean / PRODUCT_RATE)
            logger.info("threads of a step: %d", first["n_threads"])

    def _losses(self, batch, part):
        x, targets = batch
        share = None
        if isinstance(x, SharedBatch):
            x, share = x.x, x.share
        device = torch.device(self.device)
        if device.type == "cuda":  # so that the processor need not wait for the copy
            x = x.pin_memory()
        x = x.to(device, non_blocking=True)
        targets = {name: t.to(device) for name, t in targets.items()}
        if part == "train" and self.augment is not None:
            x = self._augmented(x, share)
        bf16 = self.precision == "bf16"
        with on_shard(share), autocast_bf16(self.module_, device, bf16):
            try:
                losses = self.objective(self.module_, x, targets, len(self.history) - 1)
            except ValueError as error:
                if "more than 1 value per channel" in str(error):
                    raise ValueError(_single_value(x)) from error
                raise
        for name, value in losses.items():
            if name != "loss":  # skorch records that one
                self.history.record_batch(f"{part}_{name}", value.item())
        return {"loss": losses["loss"], "y_pred": None}

    def _augmented(self, x, share):
        """Inputs, or the clips of triplets, augmented as those of the whole batch."""
        triplets = not isinstance(x, torch.Tensor)
        clips = x.clips if triplets else x
        if share is None:
            clips = self.augment(clips)
        else:
            clips = share.augment(self.augment, clips)
        return x.with_clips(clips) if triplets else clips


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
