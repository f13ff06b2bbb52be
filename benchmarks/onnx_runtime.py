"""The bundled model in torch and in onnxruntime: speed, memory, import, size, loss.

    python benchmarks/onnx_runtime.py FOLDER [--size]

FOLDER has audio files, of which the first `N_CLIPS` are read. Processor time is
compared as well as the clock's, since other programs may use the machine. ``--size``
also makes an environment without torch with pip, which needs the network, and weighs
it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import reporting

from userlogfeat import OnnxEmbedder, UserLogEmbedder, export_onnx
from userlogfeat.audio import find_audio, read_audio

MODEL, N_CLIPS, ROUNDS, RATE = "lastfm-mpd-musicnn", 3, 3, 16000
SECONDS = 10.0  # of each clip
# All that the embedder and `extract` import.
PACKAGES = "numpy scipy scikit-learn soundfile soxr pyarrow polars filelock joblib "
PACKAGES += "threadpoolctl psutil typer tqdm onnxruntime"

CHILD = """
import re, sys, time
from pathlib import Path
start = time.process_time()
import numpy as np
from userlogfeat import {name}
embedder = {name}({weights!r}, layer=("max_pool", "embedding"))
loaded = time.process_time()
embedder.transform(np.ones((1, 160000)) * 0.1 * np.sin(np.arange(160000)))
# The process's own: what getrusage says includes the parent's at the fork.
status = Path("/proc/self/status").read_text()
peak = int(re.search("VmHWM:\\s+(\\d+)", status)[1]) / 1024
print(loaded - start, time.process_time() - start, peak, "torch" in sys.modules)
"""


def fresh(name, weights, environment):
    """Processor seconds of import and of import with a first clip, and peak MiB."""
    script = CHILD.format(name=name, weights=str(weights))
    command = [sys.executable, "-W", "ignore", "-c", script]
    settings = {"env": environment, "check": True, "text": True}
    subprocess.run(command, capture_output=True, **settings)  # compiles modules
    answer = subprocess.run(command, capture_output=True, **settings)
    return [float(part) for part in answer.stdout.split()[:3]]


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def folder_size(folder):
    return sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--size", action="store_true")
    arguments = parser.parse_args()
    paths = list(find_audio([arguments.folder]))[:N_CLIPS]
    clips = [read_audio(p, sample_rate=RATE, duration=SECONDS) for p in paths]
    with tempfile.TemporaryDirectory() as folder:
        files = {
            precision: export_onnx(
                MODEL, Path(folder) / f"{precision}.onnx", precision=precision
            )
            for precision in ("fp32", "fp16", "int8")
        }
        layers = ("max_pool", "embedding")
        embedders = {"torch fp32": UserLogEmbedder(MODEL, layer=layers, device="cpu")}
        for precision, file in files.items():
            name = f"onnxruntime {precision}"
            embedders[name] = OnnxEmbedder(file, layer=layers, device="cpu")
        features = {name: e.transform(clips) for name, e in embedders.items()}
        taken = {name: [] for name in embedders}
        for _ in range(ROUNDS):  # side by side
            for name, embedder in embedders.items():
                wall, cpu = time.perf_counter(), time.process_time()
                embedder.transform(clips)
                spent = (time.perf_counter() - wall, time.process_time() - cpu)
                taken[name].append(spent)
        environment = reporting.installed_environment(folder)
        first = {"torch fp32": fresh("UserLogEmbedder", MODEL, environment)}
        for precision, file in files.items():
            first[f"onnxruntime {precision}"] = fresh("OnnxEmbedder", file, environment)
        sizes = {f"onnxruntime {p}": f.stat().st_size / 1e6 for p, f in files.items()}
    medians = {
        name: [median(values) for values in zip(*spent, strict=True)]
        for name, spent in taken.items()
    }
    audio, (wall, cpu) = sum(map(len, clips)) / RATE, medians["torch fp32"]
    rows = []
    for name, found in features.items():
        imported, to_first, peak = first[name]
        split = [found[:, :-40], found[:, -40:]]
        exact = [features["torch fp32"][:, :-40], features["torch fp32"][:, -40:]]
        away = [relative(a, b) for a, b in zip(split, exact, strict=True)]
        rows.append(
            [
                name,
                f"{audio / medians[name][0]:.0f}",
                f"{wall / medians[name][0]:.2f}",
                f"{cpu / medians[name][1]:.2f}",
                f"{imported:.1f}",
                f"{to_first:.1f}",
                f"{peak:.0f}",
                f"{sizes[name]:.1f}" if name in sizes else "-",
                " / ".join(f"{value:.1e}" for value in away),
            ]
        )
    notes = [
        f"{len(clips)} clips of {SECONDS:g} s in memory, {ROUNDS} rounds side by side; "
        "memory is that of a fresh process with one clip of 10 s.",
        "The torch side is the fast form of musicnn (work shared between patches). The "
        "ONNX graph shares the timbral filters' outputs, and has banded products in "
        "the place of its loops.",
    ]
    if arguments.size:
        with tempfile.TemporaryDirectory() as target:
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", target]
            subprocess.run([*command, *PACKAGES.split()], check=True)
            notes.append(
                f"An environment without torch ({PACKAGES}): "
                f"{folder_size(target) / 1e6:.0f} MB."
            )
    reporting.record(
        "onnx_runtime",
        f"{MODEL} in torch and in onnxruntime",
        [
            "",
            "x real time",
            "speed, of torch",
            "the same by processor time",
            "import, s",
            "to the first clip, s",
            "peak MiB",
            "file, MB",
            "difference: max_pool / embedding",
        ],
        rows,
        notes,
    )


if __name__ == "__main__":
    main()
