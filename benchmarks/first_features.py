"""From import to features in a fresh process, and what decoding costs the network.

    python benchmarks/first_features.py [--only start cost] [--starts 3]

Planted clips are written into a temporary folder. A start is a process of its own that
imports torch, which is timed apart, then the library, and embeds 300 short clips with
the defaults; afterwards it gives the network alone the same clips as spectrograms. The
cost of decoding is that of whole extractions beside the network alone, in one process.
Both are given by the clock and by processor time, which other programs disturb less.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEED = 0
SHORT, N_SHORT = 3.0, 300  # seconds, clips
LONG, N_LONG = 30.0, 16
ROUNDS = 3  # of the network alone, and of all that is compared
STARTS = 3  # processes
FORMATS = {"wav, 16 kHz": 16000, "flac, 44.1 kHz": 44100}


def plant(folder, seconds, n_clips, form):
    """Write clips of three tones in noise; their paths."""
    import numpy as np
    import soundfile

    rng, rate = np.random.default_rng(SEED), FORMATS[form]
    suffix, paths = form.partition(",")[0], []
    at = np.arange(round(seconds * rate)) / rate
    for i in range(n_clips):
        tones = np.sin(2 * np.pi * rng.uniform(80, 4000, (3, 1)) * at).sum(axis=0)
        paths.append(str(folder / f"{i:03d}.{suffix}"))
        noise = rng.normal(size=len(at))
        soundfile.write(paths[-1], 0.1 * tones + 0.02 * noise, rate, subtype="PCM_16")
    return paths


def both():
    """The clock, and the time of all threads of this process."""
    return time.perf_counter(), time.process_time()


def since(start):
    return [b - a for a, b in zip(start, both(), strict=True)]


def start(paths):
    """Run in a process of its own: times of its steps."""
    begin = [time.perf_counter(), 0.0]  # processor time of the interpreter's start, too
    import torch

    found = {"torch": since(begin)}
    begin = both()
    from userlogfeat import UserLogEmbedder

    found["import"] = since(begin)
    embedder = UserLogEmbedder(device="cpu")
    embedder.transform(paths[:1])
    found["first"], found["ready"] = since(begin), time.time()
    if len(paths) > 1:
        embedder.transform(paths[1:])
        found["all"] = since(begin)
        found["network"] = network_alone(embedder, paths)
    found["threads"] = torch.get_num_threads()
    print(json.dumps(found))


def network_alone(embedder, paths):
    """Clock and processor time of the network on the spectrograms of clips."""
    network, log_mels = as_spectrograms(embedder, paths)
    return median_of([time_network(embedder, network, log_mels) for _ in range(ROUNDS)])


def as_spectrograms(embedder, paths):
    from functools import partial

    import torch

    from userlogfeat.audio import decode_ahead, read_audio

    network = embedder._load_network()
    read = partial(read_audio, sample_rate=network.sample_rate)
    waveforms = [torch.from_numpy(x) for _, _, x in decode_ahead(paths, read)]
    return network, [x.numpy() for x in network.front_end.clips(waveforms)]


def time_network(embedder, network, log_mels):
    begin, size = both(), embedder.batch_size
    for i in range(0, len(log_mels), size):
        embedder._embed_inputs(network, embedder._layer_names(), log_mels[i : i + size])
    return since(begin)


def decode_plainly(paths, sample_rate):
    import soundfile
    import soxr

    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32")
        if rate != sample_rate:
            soxr.resample(samples, rate, sample_rate)


def median_of(times):
    return [statistics.median(values) for values in zip(*times, strict=True)]


def run_start(paths, environment):
    """Times of one fresh process, with those from its start to the first feature."""
    command = [sys.executable, __file__, "--child"]
    begin = time.time()
    found = subprocess.run(
        command,
        input=json.dumps(paths),
        env=environment,
        text=True,
        check=True,
        capture_output=True,
    )
    found = json.loads(found.stdout)
    return found | {"ready": found["ready"] - begin}


def starts(folder, n_starts):
    from reporting import installed_environment, record

    rows, environment = [], installed_environment(folder)
    for form in FORMATS:
        place = folder / form
        place.mkdir()
        paths = plant(place, SHORT, N_SHORT, form)
        run_start(paths[:1], environment)  # all is compiled and in memory from here on
        firsts, many = [], []
        for _ in range(n_starts):
            found = run_start(paths[:1], environment)
            firsts.append([found["ready"], found["torch"][1], found["first"][1]])
            many.append(run_start(paths, environment))
        ready, torch_alone, rest = median_of(firsts)
        ratios = [
            [a / n for a, n in zip(x["all"], x["network"], strict=True)] for x in many
        ]
        alone = statistics.median(x["network"][0] for x in many)
        clock, by_processor = median_of(ratios)
        rows.append(
            [
                form,
                f"{ready:.1f}",
                f"{torch_alone:.1f}",
                f"{rest:.1f}",
                f"{alone:.1f}",
                f"{clock:.2f}",
                f"{by_processor:.2f}",
            ]
        )
    record(
        "first_features/start",
        f"From import to the first feature, and to {N_SHORT} clips of {SHORT:g} s",
        [
            "files",
            "from the start of the process to the first feature, s",
            "torch: processor, s",
            "the library, weights, one clip: processor, s",
            f"network alone, {N_SHORT} clips, s",
            "from import to result, times that",
            "by processor time",
        ],
        rows,
        [
            "UserLogEmbedder with its defaults on planted clips, a fresh process each, "
            f"{n_starts} of them, medians; {many[-1]['threads']} threads. Importing "
            "torch is left out of the last two columns.",
            "Wanted: a first feature within 3 s, and 1.5 times the network or less.",
            "Modules are compiled, as they are from the second start on.",
        ],
        seed=SEED,
    )


def cost(folder, _):
    from reporting import record

    from userlogfeat import UserLogEmbedder

    embedder, rows = UserLogEmbedder(device="cpu"), []
    for form in FORMATS:
        place = folder / f"long {form}"
        place.mkdir()
        paths = plant(place, LONG, N_LONG, form)
        network, log_mels = as_spectrograms(embedder, paths)
        times = {"network": [], "files": [], "decoders": []}
        for _ in range(ROUNDS + 1):
            times["network"].append(time_network(embedder, network, log_mels))
            begin = both()
            embedder.transform(paths)
            times["files"].append(since(begin))
            begin = both()
            decode_plainly(paths, network.sample_rate)
            times["decoders"].append(since(begin))
        alone, files, decoders = (median_of(x[1:]) for x in times.values())
        extra = [
            f"{100 * (f / n - 1):+.1f} %" for f, n in zip(files, alone, strict=True)
        ]
        rate = N_LONG * LONG / alone[0]
        row = [form, f"{rate:.0f}", f"{N_LONG * LONG / files[0]:.0f}", *extra]
        rows.append([*row, f"{100 * decoders[1] / alone[1]:.1f} %"])
    record(
        "first_features/cost",
        "What decoding and spectrograms cost the network",
        [
            "files",
            "network alone, x real time",
            "from files, x real time",
            "more time",
            "more processor time",
            "soundfile and soxr alone",
        ],
        rows,
        [
            f"{N_LONG} planted clips of {LONG:g} s, {ROUNDS} rounds side by side, "
            "medians, after one that is not counted.",
            "Wanted: 4 % or less on two cores, where both belong to the network. The "
            "last column is processor time of soundfile.read and soxr.resample called "
            "directly, against that of the network alone.",
        ],
        seed=SEED,
    )


PARTS = {"start": starts, "cost": cost}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--starts", type=int, default=STARTS, help="processes")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        start(json.load(sys.stdin))
        return
    with tempfile.TemporaryDirectory() as folder:
        for part in arguments.only:
            PARTS[part](Path(folder), arguments.starts)


if __name__ == "__main__":
    main()
