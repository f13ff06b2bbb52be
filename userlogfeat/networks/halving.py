"""If a batch does not fit into the memory of a GPU, it is processed in halves, once."""

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any


class Halving:
    """Process batches of clips, in halves once memory has run out.

    Parameters
    ----------
    batch_size : int
        Clips of a batch at most.

    Attributes
    ----------
    batch_size : int
        The same, until memory has run out; half of it after that.
    halved : bool
        Whether it has.

    Examples
    --------
    >>> Halving(4).run(len, ["a", "b", "c"])
    [3]
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.halved = False

    def run(self, function: Callable[..., Any], clips: Sequence[Any]) -> list[Any]:
        """Apply a function to a batch.

        Parameters
        ----------
        function : callable
            Applied to some clips.
        clips : sequence
            No more than `batch_size`.

        Returns
        -------
        list
            What the function returned: of all clips at once, or of either half.

        Raises
        ------
        torch.OutOfMemoryError
            Where memory runs out of a single clip, or a second time.
        """
        try:
            return [function(clips)]
        except _out_of_memory() as error:
            if self.halved or len(clips) < 2:
                raise type(error)(self._say_no_more(len(clips))) from error
        # Out of the except block: the error holds on to what the pass had made so far.
        self.halved = True
        self.batch_size = max(1, self.batch_size // 2)
        warn_of_halving(len(clips), "clips go through the network")
        middle = -(-len(clips) // 2)
        try:
            return [function(clips[:middle]), function(clips[middle:])]
        except _out_of_memory() as error:
            raise type(error)(self._say_no_more(middle)) from error

    def _say_no_more(self, n_clips):
        was = "after the batches were halved" if self.halved else "at once"
        return (
            f"The device has not the memory for {n_clips} clip(s), {was}. Pass a "
            f"smaller batch_size than {self.batch_size}, shorter clips (duration=), or "
            'device="cpu".'
        )


def _out_of_memory():
    """Return torch's error of memory, or none where torch is not in use."""
    torch = sys.modules.get("torch")
    return torch.OutOfMemoryError if torch else ()


def warn_of_halving(n_clips: int, what: str) -> None:
    """Free what can be freed, and say that batches are half as large from now on.

    Parameters
    ----------
    n_clips : int
        Clips of the batch that was too large.
    what : str
        Work that continues with half of them, for the message.
    """
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    warnings.warn(
        f"The device's memory does not suffice for {n_clips} clips at once: {what} "
        f"{max(1, n_clips // 2)} at a time. Pass a smaller batch_size to avoid this.",
        UserWarning,
        stacklevel=2,
    )
