"""The README of a submission: what organisers ask for, and what was measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from userlogfeat._typing import PathLike
from userlogfeat.audio.formats import describe_formats
from userlogfeat.mirex.black_box import mib_text
from userlogfeat.mirex.package_files import USAGES, direct_requirements

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from userlogfeat.mirex.measure import Measured


_MIB = 2**20


def write_readme(
    path: PathLike,
    *,
    name: str,
    contact: str,
    pipeline: Pipeline,
    tags: bool,
    measured: Measured | None,
) -> None:
    """Write it.

    Parameters
    ----------
    path : str or Path
    name, contact : str
    pipeline : Pipeline
    tags : bool
    measured : Measured or None
    """
    task = "audio tag classification" if tags else "train/test classification"
    text = "\n".join(
        [
            f"# {name}: a MIREX train/test submission",
            "",
            f"Contact: {contact}",
            "",
            "## What it does",
            "",
            f"Task: {task}.",
            "Features of every clip, then a classifier on them:",
            "",
            *(f"    {_one_line(step)}" for _, step in pipeline.steps),
            "",
            *_calling(tags),
            *_environment(),
            *_cost(measured),
            *_notices(pipeline, Path(path).parent / "lib" / "musicnn"),
        ]
    )
    Path(path).write_text(text, encoding="utf-8")


def _calling(tags):
    outputs = " ".join(f"/out/f1_{n}.txt" for n in ("affinity", "binary"))
    outputs = outputs if tags else "/out/f1_output.txt"
    label = "tag" if tags else "class"
    return [
        "## Calling formats",
        "",
        *(f"    {usage}" for usage in USAGES[tags]),
        "",
        "For example, first the features of all clips, then each fold:",
        "",
        "    ./extractFeatures.sh -numThreads 4 /scratch /lists/all.txt",
        "    ./TrainAndClassify.sh -numThreads 4 /scratch /lists/f1_train.txt \\",
        f"        /lists/f1_test.txt {outputs}",
        "",
        "or in two steps:",
        "",
        "    ./Train.sh /scratch /lists/f1_train.txt",
        f"    ./Classify.sh /scratch /lists/f1_test.txt {outputs}",
        "",
        f"Lists: one path a line; training lists path TAB {label}. Output: "
        + (
            "path TAB tag TAB affinity (0 to 1), and path TAB tag TAB 0|1."
            if tags
            else "path TAB class."
        ),
        "Paths and order are those of the test list. A clip that cannot be read gets",
        ("the shares of the tags" if tags else "the commonest class")
        + " of the training list, and a warning on stderr and in",
        "SCRATCH/userlogfeat.log. Features that SCRATCH lacks are extracted by any",
        "script; an extraction that was stopped goes on when it is called again. Folds",
        "may share SCRATCH and run at once. Classify.sh takes the model that",
        "learned from no clip of its test list.",
        "",
    ]


def _environment():
    return [
        "## Environment",
        "",
        "- Linux or macOS, `sh`, Python 3.11 or newer. No root, no GPU (one is used",
        "  where there is one), no Matlab, no Java.",
        "- Once, with network: `./setup.sh`, which makes `env/` beside the scripts. Or",
        "  install requirements.txt into any Python and export USERLOGFEAT_PYTHON, its",
        "  path. After that no network is used.",
        "- Made with Python "
        f"{platform.python_version()}: {', '.join(direct_requirements())};",
        "  requirements.txt has the versions of all that these need in turn.",
        "- Threads: `-numThreads N`, first or anywhere among the arguments; without it",
        "  one for each processor that the process may use.",
        f"- Audio: {describe_formats()},",
        "  of any sample rate, mono or not.",
        "",
    ]


def _cost(measured):
    lines = ["## Run time, memory and scratch space", ""]
    if measured is None:
        return [*lines, "Not measured.", ""]
    minutes = measured.audio_seconds / 60
    audio = f" ({minutes:.1f} min of audio)" if np.isfinite(minutes) else ""
    threads = (
        "without -numThreads"
        if measured.n_threads is None
        else f"with -numThreads {measured.n_threads}"
    )
    lines += [
        f"Measured with these scripts on {measured.n_clips} {measured.clips}{audio},",
        f"{threads}, on {_machine()}.",
        "Each includes the start of Python. What else ran then lengthened the wall",
        "time, the processor time hardly.",
        "",
        "| script | clips | wall time | processor time | peak memory |",
        "|---|---|---|---|---|",
    ]
    half = f"about {measured.n_clips // 2}"
    counts = {
        "extractFeatures.sh": str(measured.n_clips),
        "TrainAndClassify.sh": f"{half} each",
    }
    for script, run in measured.runs.items():
        n = counts.get(script, half)
        cells = [script, n, f"{run.seconds:.1f} s", f"{run.cpu_seconds:.1f} s"]
        lines.append(f"| {' | '.join(cells)} | {mib_text(run.peak_mib)} |")
    extract = measured.runs["extractFeatures.sh"].cpu_seconds
    return [
        *lines,
        "",
        f"- Extraction: {extract / measured.n_clips:.2f} s of processor time a clip; "
        "it grows with the length of the audio.",
        "  The other scripts grow with the number of training clips.",
        f"- Scratch space: {measured.scratch_bytes / _MIB:.1f} MiB, "
        f"{measured.scratch_bytes / measured.n_clips / 1024:.0f} KiB a clip.",
        "",
    ]


def _notices(pipeline, musicnn):
    notices = ["- `lib/userlogfeat`: BSD 3-clause."]
    if musicnn.is_dir():
        notices += [
            "- `lib/musicnn`: weights of musicnn 0.1.0, ISC (Pons and Serra 2019),",
            "  licence beside them.",
        ]
    if type(pipeline.steps[0][1]).__name__ == "UserLogEmbedder":
        from userlogfeat.weights import find_model, read_config

        data = read_config(find_model(pipeline.steps[0][1].weights))["training_data"]
        notices.append(f"- The model learned from: {data['description']}.")
        notices.append(f"  Licence: {data['licence']}.")
        if data["non_commercial"]:
            notices.append("  **For non-commercial use only.**")
    return ["## Licences", "", *notices, ""]


def _machine():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    name = names[0] if names else platform.machine()
    return f"{name}, {os.cpu_count()} processors"


def _one_line(step):
    return " ".join(repr(step).split())
