"""Seconds of each example of the gallery, beside a neighbour that keeps a core busy.

    python benchmarks/gallery_speed.py [NAME ...] [--figures FOLDER]

Each example is a process of its own on two cores, one after the other, and another
process spins meanwhile. Other programs disturb the clock; processor time, of all
threads and child processes, they disturb less: an example of less than a minute of it
ends within a minute also if one core is all that it gets. `--figures` keeps the
figures, to be looked at.
"""

import argparse
import os
import subprocess
import sys
import time

from reporting import HERE, record

EXAMPLES = sorted(
    path.stem for path in (HERE.parent / "examples").glob("*.py") if path.stem != "demo"
)
N_CORES = 2
LIMIT = 60  # seconds
# Runs an example and writes its figures, if it is given a folder.
RUN = """
import runpy, sys
import matplotlib
matplotlib.use("Agg")
path, folder = sys.argv.pop(1), sys.argv.pop(1)
sys.argv[0] = path
runpy.run_path(path, run_name="__main__")
import matplotlib.pyplot as plt
for n in plt.get_fignums() if folder else ():
    plt.figure(n).savefig(f"{folder}/{path.split('/')[-1][:-3]}_{n}.png", dpi=100)
"""


def measure(name, folder):
    """Return seconds by the clock, and of processors."""
    path = HERE.parent / "examples" / f"{name}.py"
    begin = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, str(path), folder], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{name} failed.")
    return time.perf_counter() - begin, used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *EXAMPLES], metavar="NAME")
    parser.add_argument("--figures", default="", metavar="FOLDER")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:N_CORES])
    load = os.getloadavg()[0]
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    rows = []
    try:
        for name in arguments.names or EXAMPLES:
            clock, processor = measure(name, arguments.figures)
            rows.append([name, f"{clock:.0f}", f"{processor:.0f}"])
            print(*rows[-1], flush=True)
    finally:
        neighbour.kill()
        neighbour.wait()
    if arguments.names:
        return
    slow = [row[0] for row in rows if float(row[2]) >= LIMIT]
    record(
        "gallery_speed",
        "Examples of the gallery, beside a busy neighbour",
        ["example", "clock, s", "processor, s"],
        rows,
        [
            f"A process each, on {N_CORES} cores, while another process spins. Other "
            f"programs were running, too: the load was {load:.1f} before, so the clock "
            "is an upper bound.",
            f"{LIMIT} s of processor or more: {', '.join(slow) or 'none'}.",
        ],
    )


if __name__ == "__main__":
    main()
