"""What a network hears while it trains: rows of arrays, or spectrograms kept once.

Spectrograms are computed once a clip, never once an epoch. They stay in memory, and go
to a file that is mapped into it when they are many.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from userlogfeat.networks.shares import Share

if TYPE_CHECKING:
    from torch import Tensor

    from userlogfeat.training.processes import Processes


MEMORY_LIMIT = 4 * 2**30  # bytes of spectrograms that are kept in memory


def whole_batch(n_clips: int) -> slice:
    """The slice of a batch that a process hears where it is the only one."""
    return slice(n_clips)


class ArrayInputs:
    """Inputs of which each clip is one row of an array.

    Parameters
    ----------
    array : ndarray (n_clips, ...), float32
        Features, spectrograms or waveforms of one length.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = torch.from_numpy(np.require(array, np.float32, ["C", "W"]))

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, row: int) -> np.ndarray:
        """The array of a clip."""
        return self.array[row].numpy()

    def batch(
        self,
        rows: Tensor,
        generator: torch.Generator | None = None,
        cut: Callable[[int], slice] = whole_batch,
    ) -> Tensor:
        """Tensor (B, ...) of some rows, what `cut` leaves; nothing is random."""
        return self.array[rows[cut(len(rows))]]


class Rows(torch.utils.data.Dataset):
    """Some rows of inputs and targets."""

    def __init__(
        self, inputs: Any, targets: dict[str, Tensor], rows: np.ndarray
    ) -> None:
        self.inputs, self.targets = inputs, targets
        self.rows = torch.as_tensor(np.asarray(rows, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> tuple[Any, dict[str, Tensor]]:
        rows = self.rows[index]
        return self.inputs.batch(rows), {k: t[rows] for k, t in self.targets.items()}


class SharedBatch:
    """What one of several processes hears of a batch; its length is the batch's.

    Attributes
    ----------
    x : Tensor or TripletBatch
        The clips of this process.
    n_rows : int
        Of the batch, over all processes.
    share : Share
        Which of the batch's clips they are.
    """

    def __init__(self, x: Any, n_rows: int, share: Any) -> None:
        self.x, self.n_rows, self.share = x, n_rows, share

    def __len__(self) -> int:
        return self.n_rows


class Batches:
    """Batches of `Rows`: cut out whole, which for small networks is most of the speed.

    Parameters
    ----------
    dataset : Rows
        Where the batches are from.
    batch_size : int
        Clips a batch; the last may be smaller, but is never a single clip (batch norm
        has no variance there) while it is trained on, unless there is only one.
    generator : torch.Generator, optional
        Shuffles the rows and places the crops; without, order and crops are fixed.
    min_batches : int
        The rows come again, in another order, until there are so many batches.
    processes : Processes, optional
        Those that hear a batch together: each gets its own clips, all the targets.
    """

    def __init__(
        self,
        dataset: Rows,
        batch_size: int,
        generator: torch.Generator | None = None,
        min_batches: int = 1,
        processes: Processes | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.generator = generator
        self.min_batches = min_batches
        self.processes = processes

    def __iter__(self) -> Iterator[tuple[Any, dict[str, Tensor]]]:
        n_batches = 0
        while n_batches < self.min_batches:
            for part in self._parts():
                n_batches += 1
                targets = {k: t[part] for k, t in self.dataset.targets.items()}
                yield self._heard(part), targets

    def _heard(self, part):
        """The clips of a batch, or of it what this process hears."""
        inputs = self.dataset.inputs
        if self.processes is None:
            return inputs.batch(part, self.generator)
        x = inputs.batch(
            part, self.generator, cut=lambda n: Share(n, self.processes).place
        )
        n_clips = getattr(x, "n_clips", len(part))
        return SharedBatch(x, len(part), Share(n_clips, self.processes))

    def _parts(self):
        """The rows of every batch, once through the data."""
        rows = self.dataset.rows
        if self.generator is None:
            return rows.split(self.batch_size)
        rows = rows[torch.randperm(len(rows), generator=self.generator)]
        parts = list(rows.split(self.batch_size))
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts[-2:] = [torch.cat(parts[-2:])]
        return parts


class FrameStore:
    """Log-mel spectrograms of clips, and windows of them as batches.

    Parameters
    ----------
    n_frames : int or None
        Frames of the windows; None takes clips whole, all of one length.
    memory_limit : int
        Bytes to keep in memory. What is beyond goes to a file without a name in the
        system's temporary folder, whose space is free again when the store is.
    """

    def __init__(
        self, n_frames: int | None = None, *, memory_limit: int = MEMORY_LIMIT
    ) -> None:
        self.n_frames = n_frames
        self.memory_limit = memory_limit
        self.log_mels = []
        self._n_bytes, self._file, self._map = 0, None, None

    def __len__(self) -> int:
        return len(self.log_mels)

    def append(self, log_mel: np.ndarray) -> None:
        """Keep the next clip.

        Parameters
        ----------
        log_mel : ndarray (bands, frames), float32
            At least as long as the windows.
        """
        self._n_bytes += log_mel.nbytes
        if self._n_bytes > self.memory_limit:
            log_mel = self._to_file(log_mel)
        self.log_mels.append(log_mel)

    def batch(
        self,
        rows: Tensor,
        generator: torch.Generator | None = None,
        cut: Callable[..., Any] = whole_batch,
    ) -> Tensor:
        """Windows (B, bands, frames) of some clips.

        Parameters
        ----------
        rows : Tensor (B,)
            Which clips.
        generator : torch.Generator, optional
            Draws where the windows start, for all `rows`; without, they are in the
            middle.
        cut : callable
            ``cut(len(rows))`` is the slice of the rows that is wanted.
        """
        starts = [self._start(row, generator) for row in rows.tolist()]
        own = cut(len(rows))
        windows = []
        for row, start in zip(rows[own].tolist(), starts[own], strict=True):
            log_mel = self[row]
            windows.append(log_mel[:, start : start + self._width(log_mel.shape[1])])
        return torch.from_numpy(np.stack(windows))

    def _start(self, row, generator):
        """The first frame of a clip's window."""
        log_mel = self.log_mels[row]
        _, shape = log_mel if isinstance(log_mel, tuple) else (0, log_mel.shape)
        spare = shape[1] - self._width(shape[1])
        if spare and generator is not None:
            return torch.randint(spare + 1, (), generator=generator).item()
        return spare // 2

    def _width(self, n_frames):
        return self.n_frames or n_frames

    def __getitem__(self, row: int) -> np.ndarray:
        """The spectrogram (bands, frames) of a clip."""
        log_mel = self.log_mels[row]
        if isinstance(log_mel, np.ndarray):
            return log_mel
        first, shape = log_mel
        if self._map is None:  # one for all: a process may have few open files
            self._file.flush()
            self._map = np.memmap(self._file, np.float32, mode="r")
        return self._map[first : first + shape[0] * shape[1]].reshape(shape)

    def _to_file(self, log_mel):
        """Write a clip; where it is in the file (in values), and its shape."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="userlogfeat-")
            weakref.finalize(self, self._file.close)
        self._map = None
        first = self._file.seek(0, 2) // log_mel.itemsize
        self._file.write(np.ascontiguousarray(log_mel, np.float32).data)
        return first, log_mel.shape
