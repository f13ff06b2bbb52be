"""Measure whether decoding overlaps with the network, and memory by number of files.

Decoding alone, the network alone, the whole extraction, and the loop that one writes
with librosa alternate in one process, each with the settings of `MusicnnEmbedder`. Peak
memory is that of a fresh process.

    python benchmarks/extraction_speed.py [--only speed memory]
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

import numpy as np
from machine_rates import matrix_rate
from musicnn_speed import LAYER, count_operations
from reporting import data_folder, record

ROUNDS = 5
N_FILES = (200, 2000, 20_000)
PATCH_FRAMES, HOP_FRAMES = 187, 62  # of musicnn: 3 s, every second
MEMORY_SECONDS = 3.0  # read of each file when memory is measured: one patch


def main(parts):
    warnings.simplefilter("ignore")
    clips = sorted(str(path) for path in (data_folder() / "gtzan_clips").glob("*.flac"))
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            PARTS[part](clips, Path(folder))


def librosa_loop(clips, network):
    """Run the usual loop: load, mel spectrogram, and a batch of patches for each file.

    The layers are ours; the patches overlap, and each is computed anew.
    """
    import librosa
    import torch

    features = []
    for path in clips:
        y, rate = librosa.load(path, sr=16000)
        mel = librosa.feature.melspectrogram(
            y=y, sr=rate, n_fft=512, hop_length=256, n_mels=96
        )
        log_mel = torch.from_numpy(np.log10(10000 * mel + 1).astype(np.float32))
        starts = range(0, log_mel.shape[1] - PATCH_FRAMES + 1, HOP_FRAMES)
        patches = [log_mel[:, start : start + PATCH_FRAMES] for start in starts]
        with torch.inference_mode():
            layers = network(patches, layers=(LAYER,))[LAYER]
            features.append(torch.cat(list(layers)).mean(0))
    return features


def overlap(clips, folder):
    import torch

    from userlogfeat import MusicnnEmbedder, extract
    from userlogfeat._check import check_audio

    embedder = MusicnnEmbedder()
    network = embedder._load_network()

    def decode():
        return embedder._inputs(check_audio(clips), network)

    waveforms = [clip.layers["input"] for clip in decode()]
    audio_seconds = sum(map(len, waveforms)) / network.sample_rate
    steps = {
        "decode alone": lambda _: list(map(id, decode())),
        "network alone": lambda _: list(map(id, embedder.iter_features(waveforms))),
        "extract, end to end": lambda i: extract(
            clips, folder / f"table{i}", embedder=embedder, progress=False
        ),
        "librosa and the network, a loop": lambda _: librosa_loop(clips, network),
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
    decode, encode, end_to_end, loop = rates.values()
    shares = [w / min(d, h) for d, h, w in zip(decode, encode, end_to_end, strict=True)]
    with torch.inference_mode():
        log_mels = network.front_end.clips([torch.from_numpy(w) for w in waveforms])
    operations = count_operations(network, log_mels) / audio_seconds
    peak = matrix_rate("fp32")
    rows = []
    for name, found in rates.items():
        middle = statistics.median(found)
        share = "-" if name == "decode alone" else f"{middle * operations / peak:.0%}"
        rows.append(
            [name, f"{middle:.0f}", f"{min(found):.0f} to {max(found):.0f}", share]
        )
    times_loop = statistics.median(
        w / lo for w, lo in zip(end_to_end, loop, strict=True)
    )
    share = statistics.median(shares)
    record(
        "extraction_speed/overlap",
        f"Extraction of {len(clips)} GTZAN clips ({audio_seconds / 60:.0f} min)",
        ["", "x real time, median", f"{ROUNDS} rounds", "of the machine"],
        rows,
        [
            f"End to end runs at {share:.2f} of the slower of the two alone (median of "
            f"the rounds, {min(shares):.2f} to {max(shares):.2f}; required: 0.95), and "
            f"at {times_loop:.1f} times the loop.",
            "Decoding and the network share the same cores here: time spent on "
            "decoding is not available to the network.",
            "The loop is librosa's load and mel spectrogram, then the patches of a "
            "file as one batch through our layers, a file at a time. The original "
            "musicnn is in another table.",
            f"Of the machine: the network's {operations / 1e9:.2f} GFLOP per second of "
            f"audio against the {peak / 1e9:.0f} GFLOP/s of its fastest square product "
            "in fp32.",
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
    growth = rows[-1][1] / rows[0][1] - 1
    record(
        "extraction_speed/memory",
        "Peak memory of an extraction by number of files",
        ["files", "peak memory, MiB", "s, process start included"],
        [[n, f"{mib:.0f}", f"{elapsed:.0f}"] for n, mib, elapsed in rows],
        [
            f"{N_FILES[-1] // N_FILES[0]} times the files: {100 * growth:+.1f} % "
            "(required: within 5 %).",
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


PARTS = {"speed": overlap, "memory": memory}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
    else:
        main(arguments.only)
