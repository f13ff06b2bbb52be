"""Spark with small logs: shuffle partitions by the data, Spark's 200, and no Spark.

`userlogfeat fit-cf` as a process of its own, start of Python and Java included.

    python benchmarks/spark_partitions.py
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from reporting import record

SEED = 0
SIZES = (240_000, 1_000_000)
EVENTS_PER_USER, EVENTS_PER_ITEM = 40, 80
SPARK = ["--backend", "spark", "--master", "local[2]"]
ARMS = {
    "one machine, no Spark": [],
    "Spark, partitions by the data": SPARK,
    "Spark, 200 partitions": [*SPARK, "--conf", "spark.sql.shuffle.partitions=200"],
}


def write_logs(path, n_events):
    """Events of users and items whose popularity is uneven."""
    rng = np.random.default_rng(SEED)
    sizes = n_events // EVENTS_PER_USER, n_events // EVENTS_PER_ITEM
    user, item = ((size * rng.random(n_events) ** 2).astype(np.int64) for size in sizes)
    pl.DataFrame({"user": user, "item": item}).write_parquet(path)


def measure(path, folder, options):
    """Seconds of a run, by the clock and of its processors."""
    command = [sys.executable, "-m", "userlogfeat", "fit-cf", path, "-o", folder]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([*command, "--overwrite", *options], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, processor


def main():
    load = os.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n_events in SIZES:
            path = str(Path(folder) / "plays.parquet")
            write_logs(path, n_events)
            for name, options in ARMS.items():
                if n_events > SIZES[0] and "200" in name:
                    continue
                seconds = measure(path, str(Path(folder) / "factors"), options)
                rows.append([f"{n_events:,}", name, *(f"{s:.0f}" for s in seconds)])
                print(*rows[-1], flush=True)
    record(
        "spark_partitions",
        "Spark with small logs: shuffle partitions, and no Spark",
        ["events", "fit-cf", "clock (s)", "processors (s)"],
        rows,
        [
            "Two cores of one machine, 40 factors, 15 rounds, with the start of Python "
            f"and Java. The machine had other work (load {load:.0f} on "
            f"{os.cpu_count()} cores): compare the seconds of processors.",
            "Both Sparks have two threads and the same rounds; the number of tasks of "
            "a stage is what differs.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
