"""Reading logs and ALS on a Spark cluster of one machine, by the number of events.

A standalone cluster in small: two executors, each a Java process with Python workers of
its own. Every size runs in a fresh process with a fresh cluster. Peak memory is the
largest resident size, looked up twice a second, of the driver (Python and Java) and of
an executor (Java and its Python workers). The line
through two sizes gives a projection.

    python benchmarks/spark_logs.py [--sizes 1000000 10000000] [--memory 2]
    python benchmarks/spark_logs.py --sizes 1000000 10000000 100000000 --memory 5

The second takes hours, and 20 GB of disk. `spark_logs.fits` keeps what a size took:
a killed run goes on where it ended; remove that folder to measure anew.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from reporting import HERE, record

SEED = 0
SIZES = (1_000_000, 10_000_000)
EVENTS_PER_USER, EVENTS_PER_ITEM = 100, 500
N_FACTORS, ITERATIONS = 40, 5
PROJECTED = 1_000_000_000
PHASES = ("read", "fit")
KEPT = HERE / "spark_logs.fits"
TESTS = Path(__file__).resolve().parents[1] / "tests"


def write_events(folder, n_events):
    """Parquet parts of up to ten million events, users and items by power laws."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(SEED)
    n_users, n_items = n_events // EVENTS_PER_USER, n_events // EVENTS_PER_ITEM
    for part, start in enumerate(range(0, n_events, 10_000_000)):
        n = min(10_000_000, n_events - start)
        users = (n_users * rng.random(n) ** 2).astype(np.int64)
        items = (n_items * rng.random(n) ** 3).astype(np.int64)
        table = pa.table({"user": users, "item": items})
        pq.write_table(table, folder / f"part-{part:03d}.parquet", row_group_size=2**20)


class Watch(threading.Thread):
    """The largest resident sizes of this process' Spark, in MB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peaks = {"driver": 0.0, "executor": 0.0}
        self.going = True

    def run(self):
        """Look twice a second."""
        while self.going:
            for name, size, _ in groups():
                self.peaks[name] = max(self.peaks[name], size)
            time.sleep(0.5)


def groups():
    """Driver and executors, each with its children: name, resident MB, processor s."""
    parents, sizes, seconds, found = {}, {}, {}, {os.getpid(): "driver"}
    ticks = os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text().rpartition(")")[2].split()
            line = (path / "cmdline").read_text()
        except OSError:  # it has ended
            continue
        process = int(path.name)
        parents[process] = int(stat[1])
        sizes[process] = int(stat[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        seconds[process] = sum(map(int, stat[11:13])) / ticks
        if "CoarseGrainedExecutorBackend" in line:
            found[process] = "executor"
    totals = {process: [0.0, 0.0] for process in found}
    for process in sizes:
        ancestor = process
        while ancestor and ancestor not in found:
            ancestor = parents.get(ancestor, 0)
        if ancestor and is_ours(ancestor, parents):
            totals[ancestor][0] += sizes[process]
            totals[ancestor][1] += seconds[process]
    return [(found[process], *total) for process, total in totals.items()]


def is_ours(process, parents):
    """Whether a process comes from this one: others may run Spark too."""
    while process and process != os.getpid():
        process = parents.get(process, 0)
    return bool(process)


def measured(name, function, results):
    """Add the seconds of a function, by the clock and of all processors."""
    start, cpu = time.perf_counter(), sum(group[2] for group in groups())
    value = function()
    results[name] = time.perf_counter() - start
    results[f"{name}_cpu"] = sum(group[2] for group in groups()) - cpu
    return value


def measure(folder, memory):
    """Read and factorise, and print what it took, as the fresh process."""
    sys.path.insert(0, str(TESTS))
    from spark_cluster import cluster

    from userlogfeat import CFEmbedding, read_logs

    settings = {
        "spark__driver__memory": f"{memory}g",
        "spark__executor__memory": f"{memory}g",
        "spark__sql__codegen__wholeStage": "true",
        "spark__sql__codegen__factoryMode": "FALLBACK",
        "spark__driver__extraJavaOptions": "-XX:+UseParallelGC",
        "spark__executor__extraJavaOptions": "-XX:+UseParallelGC",
        "spark__sql__shuffle__partitions": None,  # chosen from the data
    }
    master = f"local-cluster[2,1,{1024 * memory + 512}]"
    cf = CFEmbedding(N_FACTORS, iterations=ITERATIONS, backend="spark", random_state=0)
    results = {}
    with (
        tempfile.TemporaryDirectory() as scratch,
        cluster(Path(scratch), master=master, **settings) as spark,
    ):
        spark.range(1000).selectExpr("sum(id)").collect()  # executors are there
        watch = Watch()
        watch.start()
        frame = spark.read.parquet(str(folder))
        logs = measured("read", lambda: read_logs(frame), results)
        measured("fit", lambda: cf.fit(logs), results)
        watch.going = False
        watch.join()
    print(json.dumps(results | watch.peaks | {"pairs": logs.n_pairs}))


def in_fresh_process(n_events, memory):
    """Return the measurements of one size, from now or from an earlier run."""
    kept = KEPT / f"{n_events}_{memory}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    with tempfile.TemporaryDirectory() as folder:
        write_events(Path(folder), n_events)
        command = [sys.executable, __file__, "--measure", folder]
        command += ["--memory", str(memory)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    KEPT.mkdir(exist_ok=True)
    found = json.loads(done.stdout.splitlines()[-1])
    kept.write_text(json.dumps(found))
    return found


def line(sizes, seconds):
    """Processor seconds that Spark takes anyway, and those a million events add."""
    added = (seconds[-1] - seconds[-2]) / (sizes[-1] - sizes[-2])
    return seconds[-1] - added * sizes[-1], added * 1e6


def write_table(sizes, found, memory, load):
    """Record what was measured, and what it says of a billion events."""
    columns = {
        "pairs": "pairs",
        "read": "read_logs (s)",
        "read_cpu": "its processors (s)",
        "fit": "fit (s)",
        "fit_cpu": "its processors (s)",
        "driver": "driver (MB)",
        "executor": "executor (MB)",
    }
    rows = [
        [f"{size:,}", *(f"{result[name]:,.0f}" for name in columns)]
        for size, result in zip(sizes, found, strict=True)
    ]
    lines = {
        name: line(sizes, [result[f"{name}_cpu"] for result in found])
        for name in PHASES
    }
    hours = {
        name: per_million * PROJECTED / 3.6e9
        for name, (_, per_million) in lines.items()
    }
    costs = " and ".join(
        f"{fixed:.0f} s and {per_million:.1f} s a million events to {name}"
        for name, (fixed, per_million) in lines.items()
    )
    record(
        f"spark_logs/{sizes[-1]}",
        f"Spark: reading listening logs, and ALS, up to {sizes[-1]:,} events",
        ["events", *columns.values()],
        rows,
        [
            f"Two executors of one core and {memory} GB of heap each on one machine, "
            f"Parquet with whole-number identifiers, {EVENTS_PER_USER} events a user "
            f"and {EVENTS_PER_ITEM} an item, {N_FACTORS} factors, {ITERATIONS} rounds "
            "and the fold-in. Memory is resident, of Java and Python together.",
            f"The machine had other work (load {load:.0f} on {os.cpu_count()} cores): "
            "seconds by the clock mean little; seconds of the processors are reliable.",
            f"The line through the last two sizes, of processors: {costs}. What does "
            "not grow is Java starting and compiling.",
            f"Projection to {PROJECTED:,} events, on paper: {hours['read']:.0f} core "
            f"hours to read and {hours['fit']:.0f} to fit, so {3 * hours['fit']:.0f} "
            "at most with 15 rounds. It assumes that the line goes on, as many events "
            "a user, cores like these, and that neither network nor disk holds them "
            f"up; it is an extrapolation by {PROJECTED // sizes[-1]:,} times.",
        ],
        seed=SEED,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(SIZES), help="two or more"
    )
    parser.add_argument("--memory", type=int, default=2, help="GB of each process")
    parser.add_argument("--measure", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(Path(args.measure), args.memory)
        return
    if len(args.sizes) < 2:
        parser.error("a line needs two sizes: --sizes 1000000 10000000")
    found = [in_fresh_process(size, args.memory) for size in args.sizes]
    write_table(args.sizes, found, args.memory, os.getloadavg()[0])


if __name__ == "__main__":
    main()
