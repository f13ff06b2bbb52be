"""Process clips and blocks of patches side by side, a thread each.

When all threads of a processor work at one matrix product after the other, each waits
for the slowest at the end of every product, thousands of times a second. Where other
programs, or our own decoding, use the processor too, that stalls: with four programs
on two cores a network ran six times faster with a block of patches per thread.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from userlogfeat._threads import n_cores, set_torch


def map_blocks(
    function: Callable[..., Any], rows: Tensor, *, smallest: int, largest: int
) -> list[Any]:
    """Apply a function to blocks of rows, in as many threads as there are cores for.

    Parameters
    ----------
    function : callable
        Applied to one block. Settings of the calling thread, such as ``torch.no_grad``,
        do not hold in it.
    rows : Tensor (n, ...)
        Split along its first axis.
    smallest, largest : int
        Rows of a block: no thread is used for fewer, no block has more.

    Returns
    -------
    list
        What the function returned, in the order of the rows.
    """
    n_workers = max(1, min(_n_threads(rows.device), len(rows) // smallest))
    n_blocks = n_workers * -(-len(rows) // (largest * n_workers))
    blocks = rows.split(-(-len(rows) // n_blocks))
    return map_threads(function, blocks, device=rows.device)


def map_threads(
    function: Callable[..., Any], items: Sequence[Any] | Tensor, *, device: torch.device
) -> list[Any]:
    """Apply a function to items, in as many threads as there are cores for.

    Parameters
    ----------
    function : callable
        Applied to one item; see :func:`map_blocks`.
    items : sequence
        Items to apply it to.
    device : torch.device
        Where the work is done: other devices than a CPU are fed by one thread.

    Returns
    -------
    list
        What the function returned, in the order of the items.
    """
    if torch.compiler.is_compiling():  # no graph goes through threads
        return [function(item) for item in items]
    n_threads = _n_threads(device)
    n_workers = min(n_threads, len(items))
    if n_workers <= 1:
        return [function(item) for item in items]
    pool = _pool(n_workers, n_threads // n_workers)
    futures = deque(pool.submit(function, item) for item in items)
    results = []
    try:
        while futures:  # without a name: through one, an error would hold on to itself
            results.append(futures.popleft().result())
        return results
    finally:  # where one fails, none is left behind at work
        for future in futures:
            future.cancel()
        wait(futures)


def _n_threads(device):
    return n_cores() if device.type == "cpu" else 1


@lru_cache(maxsize=1)
def _pool(n_workers, n_threads):
    """Workers that are kept from batch to batch, each with so many threads of its own.

    New ones would each time begin in another part of the memory that the C library
    hands out, and all parts would grow to the size of the largest batch.
    """
    return ThreadPoolExecutor(n_workers, "compute", set_torch, (n_threads,))


if hasattr(os, "register_at_fork"):  # a forked process has the pool, not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
