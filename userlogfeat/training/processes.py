"""Processes that train a network together, and their messages.

``torchrun script.py``, or Spark's ``TorchDistributor(...).run(function)``, starts the
same program several times, with a number each in the environment. A ``fit`` in it joins
the others by :func:`join` and reads its shard of every batch: see
:mod:`userlogfeat.networks.data_parallel`. The first process alone does what must be
done once, such as writing a file, and sends the outcome to the others.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from userlogfeat._typing import ArrayLike

# Maximum wait for another process, which may read files between two fits.
PATIENCE = timedelta(minutes=30)
LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets
SAMPLE = 256  # rows of the data that processes compare, to see that all have the same
NEARLY = 1e-3  # relative tolerance of that comparison
_N_TOGETHER = 16  # arrays of a process that are sent at a time

_ALONE = ContextVar("alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Fit inside the block in this process alone, whatever others do.

    For a fit on the first process only, or for searches that give every process
    candidates of its own.

    Examples
    --------
    >>> from userlogfeat.training import alone, is_first
    >>> with alone():
    ...     is_first()
    True
    """
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def is_first() -> bool:
    """Whether this process is the one to print and to save: the first, or the only.

    Before any fit as after it, so that a script can begin with it.
    """
    if _ALONE.get():
        return True
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return not _launched() or os.environ["RANK"] == "0"


def join() -> Processes | None:
    """The processes to train with, or None where this one trains alone.

    They are those of torch.distributed where the program has initialised it, and else
    those that torchrun started. Processes that joblib or others start within one of
    these train alone, as do fits inside :func:`alone`.

    Raises
    ------
    RuntimeError
        In a thread: several fits at once would take each other's messages.
    ConnectionError
        Where the others do not come.
    """
    if _ALONE.get() or not dist.is_available():
        return None
    if not dist.is_initialized():
        if not _launched() or int(os.environ["WORLD_SIZE"]) == 1:
            return None
        with _translated("they were to meet"):
            dist.init_process_group(timeout=PATIENCE)
        atexit.register(_leave)
    if dist.get_world_size() == 1:
        return None
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            f"Got fit in a thread of process {dist.get_rank()} of "
            f"{dist.get_world_size()} that train together: fits of several threads "
            "would take each other's messages. Use n_jobs=1, or fit inside "
            "userlogfeat.training.alone()."
        )
    return Processes(*_groups(dist.group.WORLD))


def refuse(name: str) -> None:
    """Raise if several processes call a fit that is for one only.

    Parameters
    ----------
    name : str
        Name of the estimator.
    """
    processes = join()
    if processes is not None:
        raise NotImplementedError(
            f"{name} trains in one process, and this is process {processes.rank} of "
            f"{processes.size} that torchrun (or torch.distributed) has brought "
            "together. Fit it in a program of its own, or inside "
            "userlogfeat.training.alone(), where every process does all of the work."
        )


class Processes:
    """Two or more processes, of which this is one.

    Parameters
    ----------
    tensors, words : ProcessGroup
        Groups of torch.distributed: for tensors on their device, and for Python
        objects.

    Attributes
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        Number of processes.
    """

    def __init__(self, tensors: ProcessGroup, words: ProcessGroup) -> None:
        self._tensors, self._words = tensors, words
        self.rank, self.size = dist.get_rank(tensors), dist.get_world_size(tensors)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, of one shape, in a list."""
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        with _translated("a batch was gathered"):
            dist.all_gather(parts, tensor, group=self._tensors)
        return parts

    def sum(self, tensor: Tensor) -> Tensor:
        """Add up the tensors of all processes, in place; return the tensor."""
        with _translated("gradients or moments were added up"):
            dist.all_reduce(tensor, group=self._tensors)
        return tensor

    def all_gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, anything that pickle holds, in a list."""
        values = [None] * self.size
        with _translated("all said what they have"):
            dist.all_gather_object(values, value, group=self._words)
        return values

    def broadcast(self, value: Any) -> Any:
        """Return the value of the first process."""
        values = [value if self.rank == 0 else None]
        with _translated("the first was to say what it decided"):
            dist.broadcast_object_list(values, src=0, group=self._words)
        return values[0]

    def agree(self, things: dict[str, Any]) -> None:
        """Raise in all processes unless all have the same.

        Parameters
        ----------
        things : dict of str to object
            Name of each in the message, and a value whose repr shows all of it.
        """
        said = self.all_gather({name: repr(value) for name, value in things.items()})
        for rank, other in enumerate(said):
            names = [name for name in things if other.get(name) != said[0].get(name)]
            if names:
                raise ValueError(
                    f"Processes 0 and {rank} of {self.size} train together, but differ "
                    f"in {', '.join(names)} ({said[0].get(names[0])} and "
                    f"{other.get(names[0])}). Every process must call the same fit "
                    "with all of the same data, which fit itself splits up: pass no "
                    "parts of it, and shuffle nothing by the number of the process."
                )

    def agree_nearly(self, things: dict[str, np.ndarray]) -> None:
        """Raise in all processes unless all have the same, up to rounding.

        Machines of different kinds differ in the last digits of the same features.

        Parameters
        ----------
        things : dict of str to ndarray
            Name of each in the message, and numbers of it.
        """
        first = self.broadcast(things)
        said = {}
        for name, values in things.items():
            near = NEARLY * np.abs(first[name]).max(initial=0)
            same = values.shape == first[name].shape
            same = same and np.allclose(values, first[name], rtol=NEARLY, atol=near)
            said[name] = same or f"others, in {self.rank}"
        self.agree(said)

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the first process."""
        for tensor in tensors:
            with torch.no_grad(), _translated("weights were handed out"):
                sent = tensor.detach().contiguous()
                dist.broadcast(sent, src=0, group=self._tensors)
                tensor.copy_(sent)


def on_first(
    processes: Processes | None, function: Callable[..., Any], *args: Any
) -> Any:
    """Call a function in the first process; return or raise its outcome in all.

    Parameters
    ----------
    processes : Processes or None
        None: this process calls it.
    function : callable
        Its result, or its error, is sent to all.
    *args
        Arguments of the function.
    """
    if processes is None:
        return function(*args)
    return _unpack(
        processes.broadcast(_try(function, *args) if processes.rank == 0 else None)
    )


def share_rows(rows: ArrayLike, function: Callable[..., Any]) -> np.ndarray:
    """Apply a function to rows, each process to some of them; return all results.

    Parameters
    ----------
    rows : sequence or ndarray (n, ...)
        The same in all processes.
    function : callable
        Function of some of the rows that returns an array (rows, ...).

    Returns
    -------
    ndarray (n, ...)
        In the order of the rows.
    """
    processes = join()
    if processes is None or len(rows) < processes.size:
        return function(rows)
    said = processes.all_gather(_try(function, rows[processes.rank :: processes.size]))
    parts = [_unpack(outcome) for outcome in said]
    array = np.empty((len(rows), *parts[0].shape[1:]), dtype=parts[0].dtype)
    for rank, part in enumerate(parts):
        array[rank :: processes.size] = part
    return array


def share_each(rows: ArrayLike, function: Callable[..., Any]) -> Iterator[Any]:
    """Apply a generator function to rows, each process to some of them; yield all.

    Parameters
    ----------
    rows : sequence or ndarray (n, ...)
        The same in all processes.
    function : callable
        Function of some of the rows that yields an array for each.
    """
    processes = join()
    if processes is None or len(rows) < processes.size:
        yield from function(rows)
        return
    processes.agree({"the number of clips": len(rows)})
    own = iter(function(rows[processes.rank :: processes.size]))
    n_left = len(rows)
    while n_left:
        n = min(_N_TOGETHER, -(-n_left // processes.size))
        said = processes.all_gather([_try(next, own, None) for _ in range(n)])
        for outcomes in zip(*said, strict=True):
            for outcome in outcomes[:n_left]:
                yield _unpack(outcome)
            n_left -= min(processes.size, n_left)


def means_of_some(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return the means of some of the rows, spread evenly: ndarray (at most 256,).

    Parameters
    ----------
    rows : sequence of ndarray
        Arrays of any shapes.
    """
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int))
    return np.array([np.mean(rows[row], dtype=np.float64) for row in some])


def _launched():
    """Whether torchrun started this process, and not only one of its ancestors."""
    launched = all(name in os.environ for name in LAUNCHED)
    return launched and multiprocessing.parent_process() is None


@lru_cache(maxsize=1)
def _groups(world):
    """Groups for tensors and for objects: all processes, nccl carrying no objects."""
    if "gloo" in str(dist.get_backend_config(world)):
        return world, world
    return world, dist.new_group(backend="gloo", timeout=PATIENCE)


def _leave():
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def _translated(occasion):
    """Re-raise a broken connection as ConnectionError, with its meaning."""
    try:
        yield
    except RuntimeError as error:
        rank = os.environ.get("RANK", "?")
        if dist.is_initialized():
            rank = dist.get_rank()
        raise ConnectionError(
            f"Process {rank} lost another that trains with it, when {occasion}: it has "
            "ended, or did not answer in time, because it does something else or has "
            f"raised an error of its own. Look at what the others printed. ({error})"
        ) from error


def _try(function, *args):
    """(result, None), or (None, error)."""
    try:
        return function(*args), None
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))  # ours
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return None, error


def _unpack(outcome):
    result, error = outcome
    if error is not None:
        raise error
    return result
