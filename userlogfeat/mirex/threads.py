"""How many threads decode and compute: what organisers pass as -numThreads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sklearn.base import clone

from userlogfeat._check import check_positive

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@contextlib.contextmanager
def threads(n_threads: int | None, pipeline: Pipeline) -> Iterator[Pipeline]:
    """Hold torch and the linear algebra to a number of threads inside the block.

    Parameters
    ----------
    n_threads : int or None
        None: one for each processor that this process may use.
    pipeline : Pipeline
        Not changed.

    Yields
    ------
    Pipeline
        A copy whose embedder decodes with as many threads.
    """
    import joblib
    import torch
    from threadpoolctl import threadpool_limits

    if n_threads is None:
        n_threads = joblib.cpu_count()
    check_positive(n_threads, "n_threads", integer=True)
    pipeline = clone(pipeline)
    embedder = pipeline.steps[0][1]
    if "n_jobs" in embedder.get_params():
        embedder.set_params(n_jobs=n_threads)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(n_threads):
            yield pipeline
    finally:
        torch.set_num_threads(before)
