"""Inputs of the training loop: rows of arrays, or spectrograms computed once.

Spectrograms are computed once per clip, not once per epoch. They stay in memory; if
there are too many, the rest goes to a memory-mapped file.
"""

import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from userlogfeat.networks.data_parallel import Shard
from userlogfeat.training.processes import Processes

MEMORY_LIMIT = 4 * 2**30  # bytes of spectrograms in memory


def whole_batch(n_clips: int) -> slice:
    """Slice of a batch that the only process reads: all of it."""
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
        """Return rows as a Tensor (B, ...), sliced by `cut`; nothing is random."""
        return self.array[rows[cut(len(rows))]]


class Batch(NamedTuple):
    """Inputs and targets of some rows.

    Attributes
    ----------
    x : Tensor or TripletBatch
        The clips; of several processes, those of this one.
    targets : dict of str to Tensor
        Targets of all rows.
    n_rows : int
        Number of rows, over all processes.
    shard : Shard or None
        Which of the batch's clips they are; None where they are all.
    """

    x: Any
    targets: dict[str, Tensor]
    n_rows: int
    shard: Shard | None


@dataclass(repr=False, eq=False)
class Batches:
    """Batches of some rows, each one slice: for small networks, most of the speed.

    Parameters
    ----------
    inputs : ArrayInputs, FrameStore or TripletInputs
        Inputs of all clips.
    targets : dict of str to Tensor (n_clips, ...)
        Their targets.
    rows : ndarray
        Rows to take batches from.
    batch_size : int
        Clips per batch. The last may be smaller, but in training it is never a single
        clip (batch norm has no variance there), unless there is only one.
    generator : torch.Generator, optional
        Generator that shuffles the rows and places the crops; without one, order and
        crops are fixed.
    min_batches : int
        Minimum number of batches: rows are repeated, in another order, to reach it.
    processes : Processes, optional
        Processes that share a batch: each reads its own clips, and all the targets.
    """

    inputs: Any
    targets: dict[str, Tensor]
    rows: np.ndarray
    batch_size: int
    generator: torch.Generator | None = None
    min_batches: int = 1
    processes: Processes | None = None

    def __iter__(self) -> Iterator[Batch]:
        n_batches = 0
        while n_batches < self.min_batches:
            for part in self._parts():
                n_batches += 1
                yield self._batch(part)

    def _batch(self, part):
        draw, shard = partial(self.inputs.batch, part, self.generator), None
        if self.processes is None:
            x = draw()
        else:  # the clips of this process
            x = draw(cut=lambda n: Shard(n, self.processes).place)
            shard = Shard(getattr(x, "n_clips", len(part)), self.processes)
        targets = {name: t[part] for name, t in self.targets.items()}
        return Batch(x, targets, len(part), shard)

    def _parts(self):
        """The rows of every batch of one pass through the data."""
        rows = torch.as_tensor(np.asarray(self.rows, dtype=np.int64))
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
        Frames of the windows; None is whole clips, all of one length.
    memory_limit : int
        Bytes to keep in memory. The rest goes to an unnamed file in the system's
        temporary folder, which is freed with the store.
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
        """Add the next clip.

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
            Clips.
        generator : torch.Generator, optional
            Draws where the windows start, for all `rows`; without one, windows are in
            the middle.
        cut : callable
            ``cut(len(rows))`` is the slice of the rows to return.
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
