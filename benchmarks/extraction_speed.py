"""Does decoding hide behind the network, and does memory grow with the files?

Decoding alone, the network alone and the whole extraction alternate in one process,
each with the settings of `MusicnnEmbedder`. Peak memory is that of a fresh process.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from reporting import data_folder, record

ROUNDS = 5
N_FILES = (200, 2000)
MEMORY_SECONDS = 3.0  # heard of each file where memory is measured: one patch


def main():
    warnings.simplefilter("ignore")
    clips = sorted(str(path) for path in (data_folder() / "gtzan_clips").glob("*.flac"))
    with tempfile.TemporaryDirectory() as folder:
        overlap(clips, Path(folder))
        memory(clips, Path(folder))


def overlap(clips, folder):
    from userlogfeat import MusicnnEmbedder, extract
    from userlogfeat._check import check_audio

    embedder = MusicnnEmbedder()
    network = embedder._load_network()
    waveforms = [
        clip.layers["input"] for clip in embedder._decode(check_audio(clips), network)
    ]
    audio_seconds = sum(map(len, waveforms)) / network.sample_rate
    steps = {
        "decode alone": lambda _: list(
            map(id, embedder._decode(check_audio(clips), network))
        ),
        "network alone": lambda _: list(map(id, embedder.iter_features(waveforms))),
        "extract, end to end": lambda i: extract(
            clips, folder / f"table{i}", embedder=embedder, progress=False
        ),
    }
    times = {name: [] for name in steps}
    for i in range(ROUNDS + 1):  # the first round warms up
        for name, step in steps.items():
            start = time.perf_counter()
            step(i)
            times[name].append(time.perf_counter() - start)
    rates = {
        name: [audio_seconds / t for t in taken[1:]] for name, taken in times.items()
    }
    decode, hear, whole = rates.values()
    shares = [w / min(d, h) for d, h, w in zip(decode, hear, whole, strict=True)]
    rows = [
        [name, f"{statistics.median(r):.0f}", f"{min(r):.0f} to {max(r):.0f}"]
        for name, r in rates.items()
    ]
    share = statistics.median(shares)
    record(
        "extraction_speed/overlap",
        f"Extraction of {len(clips)} GTZAN clips ({audio_seconds / 60:.0f} min)",
        ["", "x real time, median", f"{ROUNDS} rounds"],
        rows,
        [
            f"End to end runs at {share:.2f} of the slower of the two alone (median of "
            f"the rounds, {min(shares):.2f} to {max(shares):.2f}; required: 0.85).",
            "Decoding and the network share the same cores here: what decoding costs, "
            "the network cannot have.",
        ],
    )


def memory(clips, folder):
    rows = []
    for n_files in N_FILES:
        many = folder / str(n_files)
        many.mkdir()
        for i in range(n_files):
            os.symlink(os.path.abspath(clips[i % len(clips)]), many / f"{i:05d}.flac")
        start = time.perf_counter()
        arguments = [sys.executable, __file__, "--child", many, folder / f"t{n_files}"]
        peak = int(subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout)
        rows.append([n_files, peak / 1024, time.perf_counter() - start])
    growth = rows[1][1] / rows[0][1] - 1
    record(
        "extraction_speed/memory",
        "Peak memory of an extraction by number of files",
        ["files", "peak memory, MiB", "s, process start included"],
        [[n, f"{mib:.0f}", f"{elapsed:.0f}"] for n, mib, elapsed in rows],
        [
            f"Ten times the files: {100 * growth:+.1f} % (required: within 10 %).",
            f"{MEMORY_SECONDS:g} s of each of the GTZAN clips, linked under new names.",
        ],
    )


def child(folder, table):
    from userlogfeat import MusicnnEmbedder, extract

    warnings.simplefilter("ignore")
    embedder = MusicnnEmbedder(duration=MEMORY_SECONDS)
    summary = extract(folder, table, embedder=embedder, flush_seconds=2.0)
    assert summary.n_failed == 0, summary
    # Not ru_maxrss: after a fork that still counts the memory of the parent.
    status = Path("/proc/self/status").read_text()
    print(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
    else:
        main()
