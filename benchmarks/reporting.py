"""Record the figures of benchmarks in results.json, and render README.md from it."""

import argparse
import datetime
import json
import os
import platform
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
LIBRARIES = ("userlogfeat", "torch", "numpy", "scipy", "scikit-learn", "implicit")

INTRODUCTION = """\
# Benchmarks

Every figure that this project quotes, made by the script named beside it (`make bench`
measures all of them again, `python benchmarks/NAME.py` one). Timings vary from run to
run: what is compared was run side by side in one process or one session.
"""


def data_folder():
    """The folder with the real data sets: USERLOGFEAT_DATA, or ../shared/data."""
    default = HERE.parents[1] / "shared" / "data"
    folder = Path(os.environ.get("USERLOGFEAT_DATA", default))
    if not folder.is_dir():
        raise SystemExit(
            f"No data in {folder}. Set USERLOGFEAT_DATA to the folder that holds them."
        )
    return folder


def installed_environment(folder):
    """Variables of processes whose start is measured, for ``subprocess.run(env=)``.

    They keep compiled files in a folder, as an installed library does. Some machines
    that build software forbid Python to write them: then importing torch and
    scikit-learn takes 12 s in place of 4 s, in each process. Start one before the
    first that counts.
    """
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": str(Path(folder) / "pycache")}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def record(stem, title, columns, rows, notes=(), *, seed=None):
    """Print a table, keep it in results.json and make README.md again.

    Parameters
    ----------
    stem : str
        Name of the script, without ``.py``. A script with several tables appends
        ``"/part"``.
    title : str
        Measured quantity and data.
    columns : list of str
        Heads of the columns.
    rows : list of list
        Cells; numbers are rounded by the caller.
    notes : list of str
        Conditions of the measurement, and its result in plain words.
    seed : int, optional
        Seed of the random numbers.
    """
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[stem] = {
        "title": title,
        "columns": list(columns),
        "rows": [[str(cell) for cell in row] for row in rows],
        "notes": list(notes),
        "seed": seed,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": {library: metadata.version(library) for library in LIBRARIES},
    }
    results = dict(sorted(results.items()))
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (HERE / "README.md").write_text(render(results))
    print(_section(stem, results[stem]))


def render(results):
    """README.md as text."""
    sections = [_section(stem, result) for stem, result in results.items()]
    return "\n".join([INTRODUCTION, *sections])


def machine():
    """Processor, cores and memory of this machine, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = [line.split(":")[1].strip() for line in lines if "model name" in line]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{named[0] if named else platform.machine()}, {os.cpu_count()} cores, "
        f"{memory:.0f} GiB, Python {platform.python_version()}"
    )


def _section(stem, result):
    table = [
        "| " + " | ".join(result["columns"]) + " |",
        "|" + " --- |" * len(result["columns"]),
        *("| " + " | ".join(map(str, row)) + " |" for row in result["rows"]),
    ]
    versions = ", ".join(f"{name} {v}" for name, v in result["versions"].items())
    seed = "" if result["seed"] is None else f"; seed {result['seed']}"
    origin = (
        f"`benchmarks/{stem.split('/')[0]}.py`, {result['date']}, {result['machine']}; "
        f"{versions}{seed}."
    )
    notes = [f"- {note}" for note in result["notes"]]
    return "\n".join(
        [
            f"## {result['title']}",
            "",
            *table,
            "",
            *notes,
            "",
            f"<sub>{origin}</sub>",
            "",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make README.md from results.json.")
    parser.parse_args()
    (HERE / "README.md").write_text(render(json.loads(RESULTS.read_text())))
