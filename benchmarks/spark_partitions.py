"""Spark with small logs: shuffle partitions by the data, Spark's 200, and no Spark.

`userlogfeat fit-cf` as a process of its own, start of Python and Java included.

    python benchmarks/spark_partitions.py [--sizes 240_000 1_000_000] [--rounds 15]
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil
from reporting import record

SEED = 0
LOOK_EVERY = 0.5  # seconds
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
    """Seconds of a run, by the clock and of all its processors, Java's too."""
    command = [sys.executable, "-m", "userlogfeat", "fit-cf", path, "-o", folder]
    command += ["--overwrite", *options]
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        root, seconds = psutil.Process(process.pid), {}
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):  # some end meanwhile
                for each in [root, *root.children(recursive=True)]:
                    times = each.cpu_times()
                    seconds[each.pid, each.create_time()] = times.user + times.system
            time.sleep(LOOK_EVERY)
    if process.returncode:
        raise SystemExit(f"Failed: {' '.join(command)}")
    return time.perf_counter() - start, sum(seconds.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n_events in args.sizes:
            path = str(Path(folder) / "plays.parquet")
            write_logs(path, n_events)
            for name, options in ARMS.items():
                if n_events > SIZES[0] and "200" in name:
                    continue
                options = [*options, "--set", f"iterations={args.rounds}"]
                seconds = measure(path, str(Path(folder) / "factors"), options)
                rows.append([f"{n_events:,}", name, *(f"{s:.0f}" for s in seconds)])
                print(*rows[-1], flush=True)
    record(
        "spark_partitions",
        "Spark with small logs: shuffle partitions, and no Spark",
        ["events", "fit-cf", "clock (s)", "processors (s)"],
        rows,
        [
            f"Two cores of one machine, 40 factors, {args.rounds} rounds, with the "
            f"start of Python and Java. The machine had other work (load {load:.0f} on "
            f"{os.cpu_count()} cores): compare the seconds of processors.",
            "Of processors: the processes of the run and Java's, looked up every "
            f"{LOOK_EVERY} s.",
            "Both Sparks have two threads and the same rounds; the number of tasks of "
            "a stage is what differs.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
