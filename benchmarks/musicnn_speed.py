"""Speed of MusicnnEmbedder and of the original musicnn in the same run.

The original needs an environment of its own, since its dependencies do not mix with
ours. One way to make it, with Python 3.11:

    python3.11 -m venv original
    original/bin/pip install tensorflow==2.15.1 librosa==0.11.0 setuptools
    original/bin/pip install --no-deps musicnn==0.1.0
    .venv/bin/python benchmarks/musicnn_speed.py --original original/bin/python

Without ``--original`` its row is left out.
"""

import argparse
import json
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
import reporting
import torch
from machine_rates import SQUARE, matrix_rate, timed

from userlogfeat import MusicnnEmbedder
from userlogfeat.audio import decode_ahead, read_audio
from userlogfeat.encoders import get_encoder, musicnn_fast
from userlogfeat.networks.teacher import EncoderTeacher

MODEL, PATCH_HOP, LAYER = "MSD_musicnn", 1, "max_pool"
ROUNDS = 4  # the original's clips are cut into so many parts, ours run between them
BATCH = 16  # clips, of MusicnnEmbedder
PRECISIONS = ("fp32", "bf16")

# Runs in the original's environment: one path per line in, one line of seconds out. It
# rounds mel values to half precision and multiplies them by 10,000 there, which gives
# infinity for loud clips under today's numpy; here they are brought back to float32
# after rounding, as numpy did when the networks were trained.
WORKER = """
import contextlib, json, sys, time
import librosa, numpy as np
from musicnn import extractor

class Rounded(np.ndarray):
    def astype(self, dtype):
        half = np.minimum(np.asarray(self), 65504).astype(dtype)
        return half.astype(np.float32)

mel = librosa.feature.melspectrogram
librosa.feature.melspectrogram = lambda **kwargs: mel(**kwargs).view(Rounded)
for line in sys.stdin:
    job = json.loads(line)
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        _, _, features = extractor.extractor(
            job["path"], model=job["model"], input_overlap=job["hop"]
        )
    seconds = time.perf_counter() - start
    np.save(job["out"], features[job["layer"]].mean(0))
    print(seconds, flush=True)
"""


class Original:
    """The original extractor in a process of its own, one clip at a time."""

    def __init__(self, python):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [python, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, path):
        """Seconds that one clip took, and its features, the mean over patches."""
        out = Path(self.folder.name) / "features.npy"
        job = {"path": str(path), "model": MODEL, "hop": PATCH_HOP, "layer": LAYER}
        self.process.stdin.write(json.dumps(job | {"out": str(out)}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(
                "The original stopped. Try: PYTHON -c 'from musicnn import extractor'"
            )
        return float(answer), np.load(out)

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()
        self.folder.cleanup()


def embedder(precision):
    return MusicnnEmbedder(
        MODEL,
        layer=LAYER,
        patch_hop=PATCH_HOP,
        batch_size=BATCH,
        precision=precision,
        device="cpu",
    )


def decode(paths):
    read = partial(read_audio, sample_rate=16000)
    return [waveform for _, _, waveform in decode_ahead(paths, read, n_threads=2)]


def run_network(network, log_mels):
    with torch.inference_mode():
        for i in range(0, len(log_mels), BATCH):
            network(log_mels[i : i + BATCH], layers=(LAYER,))


def count_operations(network, log_mels):
    """Multiplications and additions of all matrix products in one pass, and dtypes."""
    product, counted = musicnn_fast._product, []

    def counting(a, b):
        counted.append(2 * a.shape[0] * a.shape[1] * b.shape[1])
        return product(a, b)

    musicnn_fast._product = counting
    try:
        run_network(network, log_mels)
    finally:
        musicnn_fast._product = product
    return sum(counted)


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def measure(paths, python):
    """Seconds of every stage for all clips, and features."""
    seconds = {}
    features = {}
    networks = {
        p: EncoderTeacher(get_encoder(MODEL, patch_hop=PATCH_HOP), precision=p)
        for p in PRECISIONS
    }
    waveforms = decode(paths)
    with torch.inference_mode():
        tensors = [torch.from_numpy(waveform) for waveform in waveforms]
        log_mels = networks["fp32"].front_end.clips(tensors)
    for precision in PRECISIONS:  # warm up
        embedder(precision).transform(paths[:BATCH])
    original, original_rows = (Original(python), []) if python else (None, [])
    if original:
        original.run(paths[0])
    for part in range(ROUNDS):
        if original:
            for path in paths[part::ROUNDS]:
                taken, row = original.run(path)
                seconds.setdefault("original", []).append(taken)
                original_rows.append((path, row))
        for precision in PRECISIONS:
            taken, features[precision] = timed(embedder(precision).transform, paths)
            seconds.setdefault(precision, []).append(taken)
            taken, _ = timed(run_network, networks[precision], log_mels)
            seconds.setdefault(f"network {precision}", []).append(taken)
        seconds.setdefault("decode", []).append(timed(decode, paths)[0])
        with torch.inference_mode():
            taken, _ = timed(networks["fp32"].log_mel, tensors)
        seconds.setdefault("log-mel", []).append(taken)
    if original:
        original.close()
        rows = dict(original_rows)
        features["original"] = np.stack([rows[path] for path in paths])
    operations = {p: count_operations(networks[p], log_mels) for p in PRECISIONS}
    length = sum(len(waveform) for waveform in waveforms) / 16000
    return seconds, features, operations, length


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--original", help="python of an environment with musicnn")
    parser.add_argument("--clips", type=int, default=100, help="number of clips")
    arguments = parser.parse_args()
    folder = reporting.data_folder() / "gtzan_clips"
    names = pl.read_csv(folder / "clips.csv")["file"].to_list()[: arguments.clips]
    paths = [folder / name for name in names]
    seconds, features, operations, length = measure(paths, arguments.original)
    total = {name: median(taken) for name, taken in seconds.items()}
    if "original" in seconds:
        total["original"] = sum(seconds["original"])
    speed = {name: length / taken for name, taken in total.items()}

    def line(what, name, difference="-"):
        ratio = f"{speed[name] / speed['original']:.1f}" if "original" in speed else "-"
        return [what, f"{speed[name]:.0f}", ratio, difference]

    rows = []
    if "original" in speed:
        rows.append(line("original musicnn 0.1.0 (TensorFlow), files", "original"))
        away = relative(features["fp32"], features["original"])
        rows.append(line("fp32, files", "fp32", f"{away:.1e} (original)"))
    else:
        rows.append(line("fp32, files", "fp32"))
    away = relative(features["bf16"], features["fp32"])
    rows.append(line("bf16, files", "bf16", f"{away:.1e} (fp32)"))
    rows += [line(f"{p}, network only", f"network {p}") for p in PRECISIONS]
    rows += [line(f"{name} only", name) for name in ("decode", "log-mel")]
    notes = [
        f"{len(paths)} GTZAN clips, {length:.0f} s of audio; {MODEL}, {LAYER}, a "
        f"patch every {PATCH_HOP} s, mean over patches. Ours: median of {ROUNDS} "
        "passes over all clips; between two passes the original processes a part of "
        "the clips.",
    ]
    for p in PRECISIONS:
        rate, achieved = matrix_rate(p), operations[p] / total[f"network {p}"]
        notes.append(
            f"{p}: the network's matrix products come to "
            f"{operations[p] / length / 1e9:.2f} GFLOP per second of audio; at the "
            f"speed above that is {achieved / 1e9:.0f} GFLOP/s, {achieved / rate:.0%} "
            f"of the {rate / 1e9:.0f} GFLOP/s of this machine's fastest square product "
            f"({SQUARE} x {SQUARE})."
        )
    if "original" not in speed:
        notes.append("Without --original: the original was not run.")
    reporting.record(
        "musicnn_speed",
        "musicnn: seconds of audio processed per second, two cores",
        ["what", "x real time", "x original", "relative difference from"],
        rows,
        notes,
    )


if __name__ == "__main__":
    main()
