"""Threads as chosen by the size of the work, beside every fixed number of them.

Each piece of work is done with the default and with 1, 2, ... threads throughout (for
single operations, and for clips side by side), in turning order in one process: once
alone, and once while a program that never rests keeps one core busy.

    .venv/bin/python benchmarks/threads.py [--quick] [--repeats 5]

``--quick`` takes smaller pieces and two repeats, prints the table and records nothing.
"""

import argparse
import contextlib
import subprocess
import sys
import time
from contextlib import nullcontext

import joblib
import numpy as np
import reporting
import torch
from scipy import sparse
from threadpoolctl import threadpool_limits

from userlogfeat import (
    CFEmbedding,
    CFRegressor,
    KDStudentClassifier,
    MusicnnEmbedder,
    _threads,
    read_logs,
)

SEED = 0
WANTED = 1.3  # times the best fixed number
RNG = np.random.default_rng(SEED)


def train_mlp(quick):
    """The student of ``examples/compare_transfer.py``."""
    X = RNG.standard_normal((200, 192), dtype=np.float32)
    y = np.arange(200) % 4
    student = KDStudentClassifier(
        network="mlp",
        hidden=(128,),
        batch_size=16,
        max_epochs=3 if quick else 30,
        patience=100,
        device="cpu",
        random_state=SEED,
    )
    return lambda: student.fit(X, y)


def log_mels(n_clips):
    return RNG.standard_normal((n_clips, 96, 1280), dtype=np.float32)


def train_se_cnn(quick):
    """The smallest network of the paper, on spectrograms of 30 s."""
    n_clips = 9 if quick else 72
    X, y = log_mels(n_clips), RNG.standard_normal((n_clips, 40), dtype=np.float32)
    teacher = CFRegressor(
        network="se_cnn",
        channels=32,
        batch_size=8 if quick else 32,
        max_epochs=1,
        device="cpu",
        random_state=SEED,
    )
    return lambda: teacher.fit(X, y)


def read_se_cnn(quick):
    """Embeddings by that network."""
    X, y = log_mels(8), RNG.standard_normal((8, 40), dtype=np.float32)
    teacher = CFRegressor(
        network="se_cnn", channels=32, max_epochs=1, device="cpu", random_state=SEED
    ).fit(X, y)
    X = log_mels(8 if quick else 64)
    return lambda: teacher.predict(X)


def read_musicnn(quick):
    """Waveforms of 30 s."""
    X = 0.1 * RNG.standard_normal((4 if quick else 32, 30 * 16000))
    embedder = MusicnnEmbedder(device="cpu")
    return lambda: embedder.fit_transform(X.astype(np.float32))


def fit_ridge(quick):
    """A ridge head on features of the width of musicnn's."""
    n_clips, n_features = (300, 200) if quick else (2000, 753)
    X = RNG.standard_normal((n_clips, n_features), dtype=np.float32)
    y = RNG.standard_normal((n_clips, 40), dtype=np.float32)
    teacher = CFRegressor(network="mlp", head="ridge", device="cpu", random_state=SEED)
    return lambda: teacher.fit(X, y)


def fit_als(quick):
    """Factors of HetRec Last.fm 2K; with ``--quick``, of a quarter of its pairs."""
    if quick:
        plays = sparse.random(900, 9000, 0.003, "csr", np.float32, RNG)
    else:
        folder = reporting.data_folder() / "hetrec2011-lastfm-2k"
        plays = read_logs(folder, "hetrec-lastfm-2k").user_items
    return lambda: CFEmbedding(random_state=SEED).fit(plays)


WORK = {
    "train mlp": train_mlp,
    "train se_cnn, 32 channels": train_se_cnn,
    "se_cnn, 32 channels": read_se_cnn,
    "musicnn": read_musicnn,
    "ridge head": fit_ridge,
    "ALS": fit_als,
}


@contextlib.contextmanager
def fixed(n_threads):
    """The same number of threads for all work; None: as the library chooses."""
    if n_threads is None:
        yield
        return
    before, least = torch.get_num_threads(), _threads.LEAST_SECONDS
    ours = [m for name, m in sys.modules.items() if name.startswith("userlogfeat.")]
    limits = [(m, m.limit_torch) for m in ours if hasattr(m, "limit_torch")]
    torch.set_num_threads(n_threads)
    _threads.LEAST_SECONDS = 0.0
    from userlogfeat.training import heads

    hold, heads.one_blas_thread = heads.one_blas_thread, nullcontext
    for module, _ in limits:
        module.limit_torch = lambda n: nullcontext()
    try:
        with threadpool_limits(n_threads, "blas"):
            yield
    finally:
        torch.set_num_threads(before)
        _threads.LEAST_SECONDS, heads.one_blas_thread = least, hold
        for module, limit in limits:
            module.limit_torch = limit


@contextlib.contextmanager
def neighbour(busy):
    """A program that keeps one core busy, if `busy`."""
    if not busy:
        yield
        return
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.5)
        yield
    finally:
        program.kill()
        program.wait()


def seconds(work, n_threads):
    with fixed(n_threads):
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


def compare(work, numbers, n_repeats):
    """Seconds (n_repeats, numbers), in turning order."""
    times = np.empty((n_repeats, len(numbers)))
    for n_threads in numbers:
        seconds(work, n_threads)
    for repeat in range(n_repeats):
        for which in np.roll(range(len(numbers)), repeat):
            times[repeat, which] = seconds(work, numbers[which])
    return times


def table_row(name, busy, times, numbers):
    """A row of the table."""
    default, *others = np.median(times, axis=0)
    best = int(np.argmin(others))
    ratio = np.median(times[:, 0] / times[:, best + 1])
    cells = [f"{value:.3g}" for value in (default, *others)]
    row = [name, "one busy core" if busy else "alone", *cells]
    return [*row, numbers[best + 1], f"{ratio:.2f}"]


def main(arguments=None):
    """Measure, and record; return the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--only", nargs="+", choices=list(WORK), default=list(WORK))
    options = parser.parse_args(arguments)
    n_repeats = options.repeats or (2 if options.quick else 5)
    n_cores = joblib.cpu_count()
    powers = [2**i for i in range(n_cores.bit_length())]
    numbers = [None, *powers, *([n_cores] if n_cores not in powers else [])]
    columns = ["work", "beside", "default (s)"]
    columns += [f"{n} thread{'s' * (n > 1)} (s)" for n in numbers[1:]]
    columns += ["best number", "default to best"]
    rows = []
    for name in options.only:
        work = WORK[name](options.quick)
        for busy in (False, True):
            with neighbour(busy):
                times = compare(work, numbers, n_repeats)
            rows.append(table_row(name, busy, times, numbers))
            print(*rows[-1], sep=" | ", flush=True)
    if options.quick or options.only != list(WORK):
        return rows
    reporting.record(
        "threads",
        "Threads: as chosen, beside fixed numbers, alone and beside a busy program",
        columns,
        rows,
        [
            f"Medians of {n_repeats} repeats in turning order; the last column is the "
            "median of ratios within a repeat, to the fixed number of the least "
            f"median. Wanted is at most {WANTED}.",
            "A fixed number holds for operations and for clips side by side. mlp: 200 "
            "rows of 192 features, 128 units, batches of 16, 30 epochs. se_cnn: 96 "
            "bands, 1,280 frames; 72 clips to train on, 64 to read. musicnn: 32 clips "
            "of 30 s. Ridge: 2,000 rows of 753 features. ALS: HetRec Last.fm 2K.",
        ],
        seed=SEED,
    )
    return rows


if __name__ == "__main__":
    main()
