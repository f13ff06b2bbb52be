"""Clips a second on a GPU, compared with the limits of the GPU.

For the network of Lee et al. 2019 with 32 to 256 maps, and for
musicnn: from spectrograms that are on the GPU (the network alone), from decoded audio
in the processor's memory, and from files. The limits are measured in the same run:
products of bf16 matrices, and copies in the GPU's memory.

    python benchmarks/gpu.py [--device cuda]

Without a GPU it prints a message, and neither measures nor records anything.
``--device cpu`` runs a tiny version, prints it and records nothing.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import reporting
import soundfile
import torch
from training_speed import SHAPE, operations

from userlogfeat import CFRegressor, MusicnnEmbedder
from userlogfeat._check import check_audio
from userlogfeat.encoders import musicnn_fast
from userlogfeat.frontends import FRONTENDS
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.se_cnn import PAPER_POOLS, SECNN
from userlogfeat.networks.teacher import SpectrogramTeacher

CHANNELS = (32, 64, 128, 256)
COLUMNS = [
    "network",
    "network alone (clips/s)",
    "of the product rate",
    "of the memory rate",
    "from decoded audio (clips/s)",
    "from files (clips/s)",
    "decoding alone (clips/s)",
]
N_UNITS = 40
SEED = 0
BYTES = 2  # of a bf16 number


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurement."""

    channels: tuple = CHANNELS
    batch: int = 256  # clips
    n_clips: int = 4096  # decoded ones; of files half as many
    n_files: int = 256  # different ones
    rounds: int = 3
    square: int = 8192  # rows and columns of the matrix product
    copied: int = 1 << 31  # bytes
    precision: str = "bf16"


TINY = Sizes(
    channels=(1,),
    batch=2,
    n_clips=3,
    n_files=2,
    rounds=1,
    square=64,
    copied=1 << 16,
    precision="fp32",
)


def best(function, device, rounds):
    """The least seconds that a call takes, after one that is not counted."""
    taken = []
    for _ in range(rounds + 1):
        wait(device)
        start = time.perf_counter()
        function()
        wait(device)
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_rate(device, sizes):
    """Operations a second of a square product of bf16 matrices."""
    shape = (2, sizes.square, sizes.square)
    a, b = torch.randn(shape, device=device, dtype=torch.bfloat16)
    return 2 * sizes.square**3 / best(lambda: a @ b, device, 4 * sizes.rounds)


def memory_rate(device, sizes):
    """Bytes a second, read and written, of a copy in the device's memory."""
    source = torch.ones(sizes.copied, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    copy = best(lambda: target.copy_(source), device, 4 * sizes.rounds)
    return 2 * sizes.copied / copy


def least_bytes(channels):
    """Bytes that a clip moves where every convolution reads and writes its maps once.

    And pooling reads them; weights, and what libraries move besides, are not counted.
    """
    (bands, frames), n_inputs, total = SHAPE, 1, 0
    for pool in (*PAPER_POOLS, None):
        # Into the first, out of it and into the second, out of that, and into the pool.
        total += bands * frames * (n_inputs + 4 * channels)
        if pool is not None:
            bands, frames = bands // pool[0], frames // pool[1]
            total += bands * frames * channels
        n_inputs = channels
    return BYTES * total


def se_cnn(channels, device, sizes):
    """An estimator with the network of a teacher, its weights as they begin."""
    torch.manual_seed(SEED)
    front_end = FRONTENDS["lee2019"]
    network = SECNN(channels=channels, n_units=N_UNITS).eval().requires_grad_(False)
    estimator = CFRegressor(
        channels=channels,
        batch_size=sizes.batch,
        device=str(device),
        precision=sizes.precision,
        n_jobs=torch.get_num_threads(),
    )
    estimator.network_ = SpectrogramTeacher(
        network,
        front_end=LogMelSpectrogram(front_end),
        n_bands=front_end.n_bands,
        n_frames=SHAPE[1],
        n_units=N_UNITS,
    )
    return estimator


def run_network(estimator, clips):
    for _ in estimator.iter_features(clips):
        pass


def decode(estimator, paths):
    network = estimator._load_network()
    clips = check_audio(list(paths))
    for _ in estimator._inputs(clips, network):
        pass


def clip_rates(estimator, waveforms, paths, device, sizes):
    """Clips a second: of the network alone, from audio, from files, of decoding."""
    network = estimator._load_network()
    layers = estimator._layer_names()
    first = [torch.from_numpy(w).to(device) for w in waveforms[: sizes.batch]]
    with torch.inference_mode():
        log_mels = network.front_end.clips(first)
        alone = best(lambda: network(log_mels, layers=layers), device, sizes.rounds)
    n_files = sizes.n_clips // 2
    files = list(islice(cycle(paths), n_files))
    return (
        len(first) / alone,
        len(waveforms)
        / best(lambda: run_network(estimator, waveforms), device, sizes.rounds),
        n_files / best(lambda: run_network(estimator, files), device, sizes.rounds),
        n_files / best(lambda: decode(estimator, files), device, sizes.rounds),
    )


def count_musicnn(estimator):
    """Operations of the matrix products of musicnn for one clip of 30 s."""
    product, counted = musicnn_fast._product, []

    def counting(a, b):
        counted.append(2 * a.shape[0] * a.shape[1] * b.shape[1])
        return product(a, b)

    musicnn_fast._product = counting
    try:
        run_network(estimator, np.zeros((1, 480_000), np.float32))
    finally:
        musicnn_fast._product = product
    return sum(counted)


def row(name, rates, n_operations, n_bytes, limits):
    """A row of the table."""
    alone, audio, files, decoding = rates
    products, memory = limits
    share = "not counted" if n_bytes is None else f"{alone * n_bytes / memory:.2f}"
    return [
        name,
        f"{alone:.0f}",
        f"{alone * n_operations / products:.2f}",
        share,
        f"{audio:.0f}",
        f"{files:.0f}",
        f"{decoding:.0f}",
    ]


def measure(device, sizes, folder):
    """All rows, and the limits: operations and bytes a second."""
    rng = np.random.default_rng(SEED)
    clip = (0.1 * rng.normal(size=480_000)).astype(np.float32)
    paths = [folder / f"{i}.wav" for i in range(sizes.n_files)]
    for path in paths:
        soundfile.write(path, np.roll(clip, rng.integers(480_000)), 16_000)
    waveforms = [np.roll(clip, i) for i in range(sizes.n_clips)]
    limits = product_rate(device, sizes), memory_rate(device, sizes)
    rows = []
    for channels in sizes.channels:
        estimator = se_cnn(channels, device, sizes)
        rates = clip_rates(estimator, waveforms, paths, device, sizes)
        counts = operations(channels), least_bytes(channels)
        rows.append(row(f"SE-CNN {channels}", rates, *counts, limits))
    rows += measure_musicnn(waveforms, paths, device, sizes, limits)
    return rows, limits


def measure_musicnn(waveforms, paths, device, sizes, limits):
    """Return the row of musicnn, or none if its weights are not installed."""
    settings = {"batch_size": sizes.batch, "n_jobs": torch.get_num_threads()}
    embedder = MusicnnEmbedder(
        device=str(device), precision=sizes.precision, **settings
    )
    try:
        n_operations = count_musicnn(MusicnnEmbedder(device="cpu"))
    except ImportError as error:
        print(f"musicnn is left out: {error}")
        return []
    rates = clip_rates(embedder, waveforms, paths, device, sizes)
    return [row("musicnn", rates, n_operations, None, limits)]


def notes(limits, device):
    """Return the notes below the table."""
    products, memory = limits
    return [
        f"{torch.cuda.get_device_name(device)}; limits measured in this run: "
        f"{products / 1e12:.0f} TFLOP/s for products of bf16 matrices, "
        f"{memory / 1e12:.2f} TB/s for copies.",
        "Clips of 30 s at 16 kHz, bf16; files are wav. Best of three passes, after "
        "one that is not counted.",
        "Share of the memory rate: of what moves where every convolution reads and "
        "writes its maps once and pooling reads them once. In reality more bytes move.",
    ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    device = torch.device(parser.parse_args(arguments).device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("No GPU is at hand: nothing was measured, and nothing is recorded.")
        return
    on_gpu = device.type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        rows, limits = measure(device, Sizes() if on_gpu else TINY, Path(folder))
    if on_gpu:
        title = "Features on a GPU: clips a second, and fractions of its limits"
        reporting.record("gpu", title, COLUMNS, rows, notes(limits, device), seed=SEED)
        return
    for cells in [COLUMNS, *rows]:
        print(" | ".join(cells))
    print("Tiny, on a CPU: not recorded.")


if __name__ == "__main__":
    main()
