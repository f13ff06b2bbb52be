"""Overhead of Spark in an extraction, by number of files.

The same files by one process with all cores, and by a Spark cluster of two executors
with one core each on this machine; both run once before they are timed. Then the
overhead of a task, and the driver's cost for each clip: both decide the cost of ten
million tracks. Seconds of a core are the processor's own account of all processes,
which other programs beside them hardly change; clips a second they do.

    python benchmarks/spark_extraction.py [--files 100 1000 10000] [--only PART ...]
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from reporting import HERE, data_folder, record

N_FILES = (100, 1000, 10_000)
READ_SECONDS = 3.0  # of each file
N_TASKS = (8, 400)  # of the same clips, where the cost of a task is measured
N_LISTED = (100_000, 1_000_000)  # clips, where the driver's cost is measured
LAYERS = {"max_pool": 753, "embedding": 40}  # of the bundled model, for sizes


class Silent:
    """An embedder that does no work: only the cost of everything else remains."""

    fingerprint = "silent"
    layer_sizes = {"mean": 8}

    def iter_features(self, X, *, on_error="raise"):
        """Zeros for every clip."""
        for index, clip in enumerate(X):
            yield SimpleNamespace(
                index=index,
                clip=clip,
                seconds=1.0,
                layers={"mean": np.zeros(8, np.float32)},
                error=None,
            )


def rates(folder, n_files):
    """One process against the cluster, on links to the same clips."""
    clips = sorted((data_folder() / "gtzan_clips").glob("*.flac"))
    rows = []
    for n in n_files:
        many = link(clips, folder / str(n), n)
        found = {name: child(name, many, folder / f"{name}{n}") for name in CHILDREN}
        local, spark = found["local"], found["spark"]
        rows.append(
            [
                n,
                f"{n / local['seconds']:.0f}",
                f"{n / spark['seconds']:.0f}",
                *(f"{1000 * run['cores'] / n:.1f}" for run in (local, spark)),
                spark["n_tasks"],
                *(f"{spark[name]:.0f}" for name in ("driver", "java", "worker")),
                f"{local['driver']:.0f}",
            ]
        )
    record(
        "spark_extraction/rates",
        "Extraction by a Spark cluster of two processes on this machine, by number of "
        "files",
        [
            "files",
            "one process, clips/s",
            "Spark, clips/s",
            "one process, s of a core per 1,000",
            "Spark, s of a core per 1,000",
            "tasks",
            "driver, MiB",
            "an executor's Java, MiB",
            "a Python worker, MiB",
            "one process, MiB",
        ],
        rows,
        [
            f"musicnn's max_pool of {READ_SECONDS:g} s of each of the GTZAN clips, "
            "linked under new names. Both share the same cores of one machine, so "
            "Spark can be no faster here.",
            "MiB are peaks of resident memory, of the largest process of its kind; the "
            "driver's Java needs about as much as an executor's.",
            f"Starting Spark and its workers ({spark['started']:.0f} s) is not in the "
            "rates.",
            f"Programs that wanted to run beside it, on {os.cpu_count()} cores: "
            f"{os.getloadavg()[2]:.0f} (load of the last 15 minutes).",
        ],
    )


def tasks(folder, _):
    """The same clips in few and in many tasks, none of which encodes anything."""
    from spark_cluster import cluster

    from userlogfeat import extract

    n_clips = N_TASKS[1]
    clips = [f"{i}.wav" for i in range(n_clips)]
    taken = {n: [] for n in N_TASKS}
    used = {n: [] for n in N_TASKS}
    with cluster(folder / "tasks") as session:
        for attempt in range(3):
            for n in N_TASKS:
                before = core_seconds()
                summary = extract(
                    clips,
                    folder / f"tasks{n}-{attempt}",
                    embedder=Silent(),
                    backend="spark",
                    session=session,
                    clips_per_task=n_clips // n,
                    progress=False,
                )
                assert summary.n_done == n_clips, summary
                taken[n].append(summary.elapsed_seconds)
                used[n].append(core_seconds() - before)
    # The first warms up.
    best = {n: (min(taken[n][1:]), min(used[n][1:])) for n in N_TASKS}
    few, many = N_TASKS
    cost = (best[many][1] - best[few][1]) / (many - few)
    record(
        "spark_extraction/tasks",
        "What a task costs beside its work",
        ["tasks", "s, best of 2", "s of a core, best of 2"],
        [[n, *(f"{value:.2f}" for value in values)] for n, values in best.items()],
        [
            f"{n_clips} clips by an embedder that does no work, two executors of one "
            f"core: {1000 * cost:.0f} ms of a core a task, including writing, syncing "
            "and collecting its part.",
        ],
    )


def driver(folder, _):
    """Time and memory of the driver for clips, half of which are in the table."""
    rows = [[n, *child("listed", n, folder / f"listed{n}").values()] for n in N_LISTED]
    slopes = [
        (rows[1][i] - rows[0][i]) / (N_LISTED[1] - N_LISTED[0]) for i in (1, 2, 3)
    ]
    record(
        "spark_extraction/driver",
        "What clips cost the driver",
        ["clips", "find what is missing, MiB", "the same, s of a core", "list it, s"],
        [[n, *(f"{value:.1f}" for value in values)] for n, *values in rows],
        [
            f"A clip more: {slopes[0] * 2**20:.0f} bytes of memory, "
            f"{1e6 * slopes[1]:.1f} us to find whether it is in the table (a look at "
            f"its file on a local disk included), {1e6 * slopes[2]:.1f} us to list it "
            "for the workers.",
            "Half of the clips are in the table. Features do not pass through the "
            "driver.",
        ],
    )


def link(clips, folder, n):
    folder.mkdir()
    for i in range(n):
        os.symlink(os.path.abspath(clips[i % len(clips)]), folder / f"{i:05d}.flac")
    return folder


def child(name, *arguments):
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--child", name, *map(str, arguments)]
    settings = dict(os.environ)
    settings.pop("OMP_NUM_THREADS", None)  # one process has all cores
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=settings
    )
    return json.loads(done.stdout.splitlines()[-1])


def child_local(many, table):
    return timed(many, table, {}) | {"driver": peak("self")}


def child_spark(many, table):
    from spark_cluster import cluster

    from userlogfeat.extraction.spark import chunk_size

    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(Path(folder) / "spark") as session,
    ):
        settings = {"backend": "spark", "session": session}
        started = time.perf_counter() - start
        taken = timed(many, table, settings)
        below = descendants(os.getpid())
        workers = [
            pid for pid, command in below.items() if b"pyspark.worker" in command
        ]
        java = [p for p, command in below.items() if b"CoarseGrainedExec" in command]
        n_files = len(os.listdir(many))
        return taken | {
            "started": started,
            "n_tasks": -(-n_files // chunk_size(n_files)),
            "driver": peak("self"),
            "java": max(map(peak, java)),
            "worker": max(map(peak, workers)),
        }


def timed(many, table, settings):
    """Seconds of an extraction, and of cores, after one of a few files."""
    from userlogfeat import MusicnnEmbedder, extract

    embedder = MusicnnEmbedder(duration=READ_SECONDS)
    few = sorted(map(str, Path(many).iterdir()))[:64]  # some for each worker
    for clips, folder in ((few, f"{table}-warm"), (many, table)):
        before = core_seconds()
        summary = extract(clips, folder, embedder=embedder, progress=False, **settings)
        assert summary.n_failed == 0, summary
    cores = core_seconds() - before
    return {"seconds": summary.elapsed_seconds, "cores": cores}


def child_listed(n_clips, table):
    from userlogfeat.extraction.chunks import write_chunks
    from userlogfeat.extraction.run import _missing
    from userlogfeat.tables import FeatureTable

    n_clips = int(n_clips)
    names = [f"/shared/music/{i // 1000:05d}/{i:08d}.flac" for i in range(n_clips)]
    table = FeatureTable(table)
    layers = {"mean": np.zeros(8, np.float32)}
    with table.writer(fingerprint="f", layer_sizes={"mean": 8}) as writer:
        for name in names[::2]:
            writer.add(name, layers=layers, seconds=30.0)
    table = FeatureTable(table.folder)
    before, start = resident(), time.process_time()
    todo, _ = _missing(names, table, True)
    listed = time.process_time() - start
    grown = resident() - before
    start = time.process_time()
    write_chunks(table.folder, todo, 64)
    return {"MiB": grown, "s": listed, "handing": time.process_time() - start}


CHILDREN = {"local": child_local, "spark": child_spark}
ALL_CHILDREN = CHILDREN | {"listed": child_listed}
PARTS = {"rates": rates, "tasks": tasks, "driver": driver}


def peak(pid):
    """Peak resident memory of a process, in MiB."""
    return _status(pid, "VmHWM:")


def resident():
    """Resident memory of this process, in MiB."""
    return _status("self", "VmRSS:")


def _status(pid, name):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(name)[2].split()[0]) / 1024


def core_seconds():
    """Processor time of this process and all that it has started, in s."""
    ticks = 0
    for pid in (os.getpid(), *descendants(os.getpid())):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, stat[11:15]))  # with children that have ended
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid):
    """Processes that a process has started, and these: their commands, by id."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            commands[int(folder.name)] = (folder / "cmdline").read_bytes()
            parents[int(folder.name)] = int(stat[1])
        except OSError:
            continue
    found = {}
    for child in parents:
        above = child
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and child != pid:
            found[child] = commands[child]
    return found


def main(parts, n_files):
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            PARTS[part](Path(folder), n_files)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--files", nargs="+", type=int, default=N_FILES)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sys.path.insert(0, str(HERE.parent / "tests"))  # spark_cluster
    if arguments.child:
        warnings.simplefilter("ignore")
        name, *rest = arguments.child
        print(json.dumps(ALL_CHILDREN[name](*rest)))
    else:
        main(arguments.only, arguments.files)
