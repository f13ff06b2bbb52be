"""read_logs on the same rows in one file and in many: seconds of fresh processes.

    python benchmarks/logs_many_files.py [--rows 519_521] [--repeats 3]

Services write a file an hour, or a file a partition and task. Playlists are in slices,
as the Million Playlist Dataset has them, with 12 tracks each.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from reporting import record

SEED = 0
N_ROWS = 519_521
N_USERS, N_ITEMS = 40_000, 60_000
FILES = (1, 100, 400, 1600)
MOST = 2.0  # times that of one file
PLAYLIST_TRACKS = 12


def rows_of_service(n_rows):
    """Users and items as text identifiers, with counts."""
    import polars as pl

    rng = np.random.default_rng(SEED)
    users = rng.integers(0, N_USERS, n_rows)
    items = (N_ITEMS * rng.random(n_rows) ** 2).astype(int)
    frame = pl.DataFrame({"user": users, "item": items})
    text = pl.format("spotify:user:{}", "user"), pl.format("spotify:track:{}", "item")
    return frame.select(text[0].alias("user"), text[1].alias("item"), n=pl.lit(1))


def write_files(frame, folder, n_files):
    """The rows in so many Parquet files."""
    folder.mkdir()
    bounds = np.linspace(0, len(frame), n_files + 1).astype(int)
    for number in range(n_files):
        part = frame[bounds[number] : bounds[number + 1]]
        part.write_parquet(folder / f"{number:05}.parquet")


def write_slices(frame, folder, n_files):
    """The tracks as playlists, in so many slices of the Million Playlist Dataset."""
    folder.mkdir()
    items = frame["item"].to_list()
    lists = [items[i : i + PLAYLIST_TRACKS] for i in range(0, len(items), 12)]
    bounds = np.linspace(0, len(lists), n_files + 1).astype(int)
    for first, last in itertools.pairwise(bounds):
        playlists = [
            {"pid": pid, "tracks": [{"track_uri": uri} for uri in lists[pid]]}
            for pid in range(int(first), int(last))
        ]
        path = folder / f"mpd.slice.{first}-{last - 1}.json"
        path.write_text(json.dumps({"playlists": playlists}))


def measure(folder, format):
    """Print elapsed and processor seconds of two calls and of pyarrow; and pairs."""
    start, cpu = time.perf_counter(), time.process_time()

    from userlogfeat import read_logs

    read = {"count": "n"} if format is None else {"format": format}
    found = []
    for _ in range(2):
        log = read_logs(folder, **read)
        found += [time.perf_counter() - start, time.process_time() - cpu]
        start, cpu = time.perf_counter(), time.process_time()
    if format is None:
        read_with_pyarrow(folder)
    found.append(time.process_time() - cpu)
    print(json.dumps([*found, log.user_items.nnz]))


def read_with_pyarrow(folder):
    """Open and read each file, and forget it: less is not possible with pyarrow."""
    import pyarrow.parquet as pq

    for path in sorted(Path(folder).iterdir()):
        with pq.ParquetFile(path, read_dictionary=["user", "item"]) as file:
            file.read(use_threads=False)


def in_fresh_process(folder, format, n_repeats):
    """Medians of the seconds, and the pairs, which are the same every time."""
    command = [sys.executable, __file__, "--measure", str(folder), "--format", format]
    found = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for _ in range(n_repeats)
    ]
    return np.median(found, axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--format", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.format or None)
        return
    frame, rows = rows_of_service(args.rows), []
    kinds = (("Parquet", "", write_files), ("slices of playlists", "mpd", write_slices))
    with tempfile.TemporaryDirectory() as folder:
        for kind, format, write in kinds:
            one = None
            for n_files in FILES:
                place = Path(folder) / f"{format}{n_files}"
                write(frame, place, n_files)
                found = in_fresh_process(place, format, args.repeats)
                one = found if one is None else one
                assert found[-1] == one[-1]
                pairs = zip(found, one, strict=True)
                times = [f"{time:.2f} ({time / of_one:.2f})" for time, of_one in pairs]
                if format:
                    times[-2] = ""
                rows.append([kind, n_files, *times[:-1], MOST])
    record(
        "logs_many_files",
        f"Reading {args.rows:,} rows of listening logs from one file and from many",
        [
            *("kind", "files", "first call (s)", "processor (s)"),
            *("second call (s)", "processor (s)", "pyarrow alone, processor (s)"),
            "allowed, first call (times)",
        ],
        rows,
        [
            f"{N_USERS:,} users, {N_ITEMS:,} items, text identifiers; medians of "
            f"{args.repeats} fresh processes, which read twice; the first call imports "
            "what it needs. In brackets: times that of one file.",
            "pyarrow alone opens and reads each file, one after another, and keeps "
            "nothing: a file costs that whatever it holds, so that a second call, "
            "which imports nothing, cannot be near that of one file.",
        ],
        seed=SEED,
    )


if __name__ == "__main__":
    main()
