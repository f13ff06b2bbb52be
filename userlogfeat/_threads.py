"""Choose how many threads compute, by the size of the work and the cores at hand.

Threads that share one operation wait for each other at its end. On cores of their own
that takes microseconds. Where another program holds one of the cores, they wait until
it is that thread's turn again: a time slice of the scheduler, 3 to 4 ms on Linux, at
each operation. A small network has thousands of operations a second, so that one busy
neighbour made training 13 times as long as in one thread. Hence two rules:

* Work that falls into parts that need not wait for each other (clips, blocks of
  patches, rows of a matrix) goes to threads that take the next part when they are free
  (:mod:`userlogfeat.networks.threads`; implicit): a thread that has to wait for its
  core does less of it.
* A single operation is divided only where it takes `LEAST_SECONDS` in one thread. Let T
  be that time. Of two threads on two cores, one of which a neighbour uses half of the
  time, the slower takes T / 2 at half the speed, which is T, and a slice s at most to
  begin: (T + s) / T is at most 1.3 from T = s / 0.3 on, about 10 ms.

What is chosen depends on sizes and cores alone, never on the clock: the same fit on the
same machine adds up in the same order. Settings of the caller (``OMP_NUM_THREADS``,
``torch.set_num_threads``, threadpoolctl, affinity, a container's share of the
processor, joblib's ``n_jobs``) are the most that is used, and are left as they were.
"""

import ctypes
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

LEAST_SECONDS = 0.01  # of one operation in one thread, to divide it
PRODUCT_RATE = 1e11  # operations a second of a large product in one thread, about

_OF_THREAD = threading.local()  # n_cores: what a thread found before it was limited
_BLAS = {"lock": threading.Lock(), "n_holders": 0, "limits": None}


def n_cores() -> int:
    """Return the number of threads that the calling thread may compute in.

    Returns
    -------
    int
        The least of the cores that the process may use and the caller's own settings;
        1 inside of joblib's threads and of processes of a :mod:`multiprocessing` pool,
        where the threads would come n_jobs times. (joblib gives its own processes
        their part in ``OMP_NUM_THREADS``.)
    """
    known = getattr(_OF_THREAD, "n_cores", None)
    if known is not None:
        return known
    if multiprocessing.current_process().daemon or _in_thread_of_joblib():
        return 1
    import joblib

    return max(1, min(joblib.cpu_count(), _as_set()))


def n_threads_for(seconds: float) -> int:
    """Return the number of threads for operations that wait for all their threads.

    Parameters
    ----------
    seconds : float
        One thread's time for such an operation, estimated from its size.

    Returns
    -------
    int
        :func:`n_cores` from `LEAST_SECONDS` on, 1 below.
    """
    return n_cores() if seconds >= LEAST_SECONDS else 1


def n_decoders(n_jobs: int) -> int:
    """Return the number of threads that decode files where a user asked for `n_jobs`.

    Returns
    -------
    int
        `n_jobs`, but no more than the cores of this process inside of joblib.
    """
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend()
    return min(n_jobs, n_cores()) if backend.nesting_level else n_jobs


@contextmanager
def limit_torch(n_threads: int) -> Iterator[None]:
    """Let torch's operations in the calling thread use so many threads in the block.

    Other threads, and what :func:`n_cores` says, stay as they are.

    Parameters
    ----------
    n_threads : int
        No more than :func:`n_cores` are used.
    """
    before = getattr(_OF_THREAD, "n_cores", None)
    _OF_THREAD.n_cores = n_cores()
    n_threads = min(n_threads, n_cores())
    try:
        if n_threads == _as_set():
            yield
            return
        with _openmp().limit(limits=n_threads, user_api="openmp"):
            limit_mkl = _limit_mkl()
            n_of_mkl = limit_mkl(n_threads) if limit_mkl else 0
            try:
                yield
            finally:
                if limit_mkl:
                    limit_mkl(n_of_mkl)
    finally:
        _OF_THREAD.n_cores = before


def set_torch(n_threads: int) -> None:
    """Let torch's operations in the calling thread, for good, use `n_threads`."""
    import torch

    torch.get_num_threads()  # torch sets up a new thread here, so this comes first
    _openmp().limit(limits=n_threads, user_api="openmp")
    limit_mkl = _limit_mkl()
    if limit_mkl:  # torch.set_num_threads raises it in new threads
        limit_mkl(n_threads)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold NumPy's and SciPy's linear algebra to one thread inside the block.

    The number is the process's: of several threads in such blocks, the first sets it,
    and the last gives it back as the first found it.
    """
    from threadpoolctl import threadpool_limits

    before = getattr(_OF_THREAD, "n_cores", None)
    _OF_THREAD.n_cores = n_cores()
    with _BLAS["lock"]:
        if not _BLAS["n_holders"]:
            _BLAS["limits"] = threadpool_limits(1, "blas")
        _BLAS["n_holders"] += 1
    try:
        yield
    finally:
        _OF_THREAD.n_cores = before
        with _BLAS["lock"]:
            _BLAS["n_holders"] -= 1
            if not _BLAS["n_holders"]:
                _BLAS.pop("limits").restore_original_limits()


def _as_set():
    """Threads as the caller set them: torch's where it is loaded, or else the least."""
    if "torch" in sys.modules:
        return sys.modules["torch"].get_num_threads()
    from threadpoolctl import threadpool_info

    pools = [pool["num_threads"] for pool in threadpool_info()]
    return min(pools, default=os.cpu_count() or 1)


def _in_thread_of_joblib():
    if threading.current_thread() is threading.main_thread():
        return False
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend()
    return backend.nesting_level > 0


@lru_cache(maxsize=1)
def _openmp():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@lru_cache(maxsize=1)
def _limit_mkl():
    """Return what limits the calling thread in the MKL inside of torch, or None.

    torch offers a number for the whole process only (``set_num_threads``), which MKL
    then prefers to OpenMP's, and threadpoolctl does not see an MKL that is linked into
    another library. Without (no MKL, or no such function), OpenMP's limit holds alone.
    """
    import torch

    try:
        library = ctypes.CDLL(torch._C.__file__)
    except (AttributeError, OSError):
        return None
    return getattr(library, "MKL_Set_Num_Threads_Local", None)


def _after_fork():
    """Let go of what threads of the parent held, which a forked process has not."""
    _BLAS["lock"] = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
