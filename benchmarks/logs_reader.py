"""read_logs on 10 and 100 million rows: seconds and peak memory in fresh processes.

    python benchmarks/logs_reader.py [--rows 10_000_000] [--repeats 3]
    python benchmarks/logs_reader.py --rows 100_000_000 --repeats 1

The second needs 14 GB of disk while it runs.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
from machine_rates import memory_rate
from reporting import record

SEED = 0
# As many users and artists as Last.fm 360K, about.
N_USERS, N_ITEMS = 350_000, 250_000
# Rows -> identifiers -> (seconds, MB): what must be kept.
LIMITS = {
    10_000_000: {"integer": (20, 1500), "string": (20, 3000)},
    100_000_000: {"integer": ("-", 12_000), "string": ("-", 12_000)},
}


def write_logs(folder, n_rows):
    """The same rows with integer and string identifiers, as csv and parquet."""
    import polars as pl

    rng = np.random.default_rng(SEED)
    users = rng.integers(0, N_USERS, n_rows)
    items = (N_ITEMS * rng.random(n_rows) ** 3).astype(int)
    plays = rng.geometric(0.05, n_rows)
    sha1 = [hashlib.sha1(b"%d" % i).hexdigest() for i in range(N_USERS)]
    mbid = [str(uuid.UUID(int=i * (2**128 // N_ITEMS))) for i in range(N_ITEMS)]
    kinds = {
        "integer": (users, items),
        "string": (pl.Series(sha1).gather(users), pl.Series(mbid).gather(items)),
    }
    for name, (user, item) in kinds.items():
        frame = pl.DataFrame({"user": user, "item": item, "plays": plays, "t": plays})
        frame.write_csv(folder / f"{name}.csv")
        frame.write_parquet(folder / f"{name}.parquet")


def measure(path, time_column):
    """Read a file and print what it took, as the fresh process."""
    from userlogfeat import read_logs

    start, cpu = time.perf_counter(), time.process_time()
    log = read_logs(path, count="plays", time=time_column)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps([seconds, cpu, peak_memory(), log.user_items.nnz]))


def peak_memory():
    """Largest resident size of this process, in MB.

    Not ru_maxrss: a process starts with that of the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def in_fresh_process(path, time_column, n_repeats):
    """Medians over repeats of seconds, processor seconds and peak MB."""
    command = [sys.executable, __file__, "--measure", str(path)]
    command += ["--time", time_column] if time_column else []
    found = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(n_repeats)
    ]
    return np.median(found, axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, choices=LIMITS, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--time", metavar="COLUMN", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.time)
        return
    rows, fastest = [], memory_rate()
    with tempfile.TemporaryDirectory() as folder:
        write_logs(Path(folder), args.rows)
        for ids, (most_seconds, most_memory) in LIMITS[args.rows].items():
            for kind, time_column in (("csv", None), ("csv", "t"), ("parquet", None)):
                path = Path(folder) / f"{ids}.{kind}"
                found = in_fresh_process(path, time_column, args.repeats)
                seconds, cpu, peak, _ = found
                what = kind + (" with time" if time_column else "")
                size = path.stat().st_size
                figures = [f"{size / 1e6:.0f}", f"{seconds:.1f}", f"{cpu:.1f}"]
                figures += [f"{args.rows / seconds / 1e6:.1f}"]
                figures += [f"{size / seconds / fastest:.1%}", f"{peak:.0f}"]
                rows.append([ids, what, *figures, most_seconds, most_memory])
    record(
        "logs_reader" if args.rows == min(LIMITS) else f"logs_reader/{args.rows}",
        f"Reading {args.rows:,} rows of listening logs",
        "identifiers,file,file (MB),time (s),processor (s),million rows/s,"
        "of memory's rate,peak (MB),allowed (s),allowed (MB)".split(","),
        rows,
        [
            f"{N_USERS:,} users, {N_ITEMS:,} items; string identifiers are SHA-1 (40 "
            "characters) and MusicBrainz identifiers (36), as in Last.fm 360K.",
            f"Medians of {args.repeats} fresh process(es); peak is the largest "
            "resident size, with Python and all libraries (about 90 MB).",
            f"Of memory's rate: bytes of the file a second against {fastest / 1e9:.1f} "
            "GB/s, read and written, of copies in memory.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
