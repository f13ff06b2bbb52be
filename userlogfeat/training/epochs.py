"""The epochs of a training: the best one is kept, and early stopping ends them."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from userlogfeat._progress import progress_bar
from userlogfeat.training.processes import is_first


@dataclass(eq=False)
class Epochs:
    """Iterate over the numbers of epochs, from 0, until the loss falls no more.

    The body of the loop trains, and notes its losses::

        for epoch in epochs:
            losses = ...
            epochs.note(losses, network.state_dict())

    Parameters
    ----------
    monitor : str
        Loss that decides which epoch is best, such as ``"valid_loss"``.
    max_epochs, patience : int
        Maximum number of epochs, and the number without a lower loss after which
        training stops.
    min_epochs : int
        Number of epochs that are not counted towards `patience`.
    desc : str
        Name of the progress bar.
    asked : bool
        Whether the bar was asked for.

    Attributes
    ----------
    history : list of dict
        ``epoch``, from 1, and the losses of every epoch.
    best : object
        Weights of the best epoch; None where no loss was a number.
    lowest : float
        Its loss.
    waited : int
        Number of epochs since then.
    """

    monitor: str
    max_epochs: int
    patience: int
    min_epochs: int = 0
    desc: str = "training"
    asked: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    best: Any = None
    lowest: float = float("inf")
    waited: int = 0

    def __iter__(self) -> Iterator[int]:
        bar = progress_bar(
            total=self.max_epochs,
            initial=len(self.history),
            desc=self.desc,
            unit="epoch",
            asked=self.asked,
            hidden=not is_first(),
        )
        with bar:
            while len(self.history) < self.max_epochs and self.waited < self.patience:
                yield len(self.history)
                losses = self.history[-1].items()
                shown = {k: f"{v:.4g}" for k, v in losses if k.endswith("_loss")}
                bar.set_postfix(shown, refresh=False)
                bar.update()

    def note(self, losses: dict[str, float], weights: Any) -> None:
        """Note the losses of an epoch, and a copy of the weights if it is the best."""
        self.history.append({"epoch": len(self.history) + 1, **losses})
        self.waited += len(self.history) > self.min_epochs
        if losses[self.monitor] < self.lowest:
            self.lowest, self.waited = losses[self.monitor], 0
            self.best = copy.deepcopy(weights)
