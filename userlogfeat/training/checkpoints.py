"""Training that can be killed: the best epoch, and the state to continue from.

skorch's own checkpoints hold weights, optimiser and history. To continue exactly, a fit
also needs the random generators (of torch, and of the batches) and the state of early
stopping. One file has it all; it is replaced after every epoch.
"""

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skorch
import torch
from skorch.history import History

from userlogfeat._digests import array_digest
from userlogfeat._files import replace_file
from userlogfeat._progress import progress_bar
from userlogfeat._typing import PathLike
from userlogfeat.training.processes import Processes, on_first

NO_CHECKPOINT = (
    "Nothing of the training is kept: pass checkpoint=FOLDER to go on next time."
)
_DIGEST_SIZE = 16  # bytes, at the beginning of a checkpoint


class Checkpoint:
    """File that keeps the state of an unfinished fit.

    Several fits may share a folder, as the candidates of a grid search do: the name of
    the file is a digest of settings and data, so each finds only its own.

    Parameters
    ----------
    folder : str or Path
        Created if missing.
    settings : dict
        Everything that decides the result, as JSON.
    arrays : iterable of ndarray
        The data.
    """

    def __init__(
        self, folder: PathLike, settings: dict[str, Any], arrays: Iterable[np.ndarray]
    ) -> None:
        text = json.dumps(settings, sort_keys=True, default=str)
        name = array_digest(arrays, text=text, n_bytes=12)
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(
                f"Got checkpoint={str(folder)!r}, which is a file, expected a folder: "
                "each fit keeps a file of its own in it."
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.checkpoint"

    def read(self) -> dict[str, Any] | None:
        """Read the state; None if there is no file."""
        if not self.path.is_file():
            return None
        data = self.path.read_bytes()
        if _checksum(data[_DIGEST_SIZE:]) != data[:_DIGEST_SIZE]:
            raise ValueError(
                f"The checkpoint {self.path} is damaged: its digest is not that of "
                "what it holds. Delete it to start that fit again."
            )
        state = io.BytesIO(data[_DIGEST_SIZE:])
        return torch.load(state, map_location="cpu", weights_only=True)

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file by one with `state`: tensors and plain values."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with replace_file(self.path) as temporary:
            data = buffer.getvalue()
            temporary.write_bytes(_checksum(data) + data)

    def remove(self) -> None:
        """Delete the file when the fit has ended."""
        self.path.unlink(missing_ok=True)


def _checksum(data):
    return hashlib.blake2b(data, digest_size=_DIGEST_SIZE).digest()


class PatienceOver(Exception):
    """Signal that early stopping ends the training."""


@dataclass(repr=False, eq=False)
class BestEpoch(skorch.callbacks.Callback):
    """Keep the weights of the best epoch, stop early, write checkpoints.

    Parameters
    ----------
    monitor : str
        Loss that decides which epoch is best, such as ``"valid_loss"``.
    patience : int
        Number of epochs without a lower loss after which training stops.
    min_epochs : int
        Number of epochs that are not counted towards `patience`.
    checkpoint : Checkpoint or None
        File to write after each epoch.
    processes : Processes or None
        Processes that train together. The first one writes, and its losses decide for
        all which epoch is best: a last digit could differ between machines.
    """

    monitor: str
    patience: int
    min_epochs: int = 0
    checkpoint: Checkpoint | None = None
    processes: Processes | None = None

    def start(self, net: Any, generator: torch.Generator) -> None:
        """Begin anew, or from the checkpoint."""
        self.generator = generator
        self.lowest, self.waited, self.weights = float("inf"), 0, None
        state = self.checkpoint and on_first(self.processes, self.checkpoint.read)
        if not state:
            return
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history = History(json.loads(state["history"]))
        self.lowest, self.waited = state["lowest"], state["waited"]
        self.weights = state["weights"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] and self.processes is not None:  # each has its own device
            torch.cuda.set_rng_state(state["cuda"][0], net.device)
        elif state["cuda"]:
            torch.cuda.set_rng_state_all(state["cuda"])

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        return self.waited >= self.patience

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Record this epoch; stop on NaN, or when patience has run out."""
        epoch = net.history[-1]
        if self.processes is not None:
            self._follow_first(epoch)
        for name in ("train_loss", self.monitor):
            if not np.isfinite(epoch[name]):
                raise ValueError(_not_finite(net, name, epoch[name]))
        self.waited += len(net.history) > self.min_epochs
        if epoch[self.monitor] < self.lowest:
            self.lowest, self.waited = epoch[self.monitor], 0
            state = net.module_.state_dict()
            self.weights = {name: tensor.clone() for name, tensor in state.items()}
        if self.checkpoint is not None:
            on_first(self.processes, lambda: self.checkpoint.write(self._state(net)))
        if self.stopped:
            raise PatienceOver

    def finish(self, net: Any) -> None:
        """Load the best weights."""
        net.module_.load_state_dict(self.weights)
        if self.processes is not None:
            self.processes.copy_first(net.module_.state_dict().values())
        if self.checkpoint is not None:
            on_first(self.processes, self.checkpoint.remove)

    def _follow_first(self, epoch):
        """Take the losses of the first process, and its random state."""
        losses = {k: float(v) for k, v in epoch.items() if k.endswith("_loss")}
        losses, state = self.processes.broadcast((losses, torch.get_rng_state()))
        epoch.update(losses)
        torch.set_rng_state(state)

    def _state(self, net):
        cuda = torch.cuda.is_available()
        return {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": json.dumps(list(net.history), default=float),
            "lowest": float(self.lowest),
            "waited": self.waited,
            "weights": self.weights,
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if cuda else [],
        }


class EpochBar(skorch.callbacks.Callback):
    """A progress bar over the epochs, with their losses."""

    def __init__(self, max_epochs: int, asked: bool = False) -> None:
        self.max_epochs, self.asked = max_epochs, asked

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Show the bar."""
        self.bar = progress_bar(
            total=self.max_epochs,
            initial=len(net.history),
            desc="training",
            unit="epoch",
            asked=self.asked,
        )

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Advance the bar by one epoch."""
        losses = {
            name: f"{value:.4g}"
            for name, value in net.history[-1].items()
            if name in ("train_loss", "valid_loss", "valid_task_loss")
        }
        self.bar.set_postfix(losses, refresh=False)
        self.bar.update()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar.close()


def _not_finite(net, name, value):
    advice = f"Lower lr (now {net.lr:g})"
    if net.precision == "bf16":
        advice += ', try precision="fp32"'
    return (
        f"The {name} became {value} in epoch {len(net.history)}. {advice}, or look for "
        "huge values in X and y."
    )
