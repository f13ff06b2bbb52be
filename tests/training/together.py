"""Fits that two processes do together, and one process alone: a script for torchrun.

    torchrun --nproc-per-node 2 together.py FOLDER

Each process writes what it got to FOLDER/{rank}.json. The tests import the same fits.
"""

import hashlib
import json
import os
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from userlogfeat import (
    FRONTENDS,
    ArtistEmbedder,
    CFRegressor,
    KDStudentClassifier,
    KDStudentRegressor,
    MetricEmbedder,
    SharedLatentEmbedder,
)
from userlogfeat.networks.data_parallel import all_gather
from userlogfeat.training import alone, checkpoints, fit_network, is_first, processes
from userlogfeat.training.batches import ArrayInputs

EAR = replace(FRONTENDS["lee2019"], sample_rate=2000, n_fft=256, hop=64, n_bands=16)
POOLS = ((2, 2), (2, 2))
RNG = np.random.default_rng(0)
WAVEFORMS = 0.1 * RNG.normal(size=(23, 3000))
SPECTROGRAMS = RNG.normal(size=(40, 16, 30)).astype(np.float32)
FACTORS = RNG.normal(size=(23, 5)).astype(np.float32)
FEATURES = RNG.normal(size=(41, 7))
WEIGHTS = RNG.uniform(size=41)
VERDICTS = RNG.choice([-1, 0, 1], size=(40, 12))
USERS = RNG.normal(size=(12, 6))
LABELS = np.arange(41) % 3
# Batches of 8 leave one of 4, 5 or 1; with two processes shares differ in size.
SHARED = {"batch_size": 8, "max_epochs": 4, "random_state": 0}


def digest(estimator):
    """Of the weights that a fit ended with."""
    module = getattr(estimator, "network_", None) or estimator.head_
    arrays = [tensor.numpy() for tensor in module.state_dict().values()]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def se_cnn():
    """Waveforms, decoded by turns; random crops; weights; the folded first block."""
    return CFRegressor(
        channels=8, pools=POOLS, frontend=EAR, duration=1.0, crop="random", **SHARED
    ).fit(WAVEFORMS, FACTORS, sample_weight=WEIGHTS[:23])


def mlp():
    """A student: two losses, one weighted."""
    student = KDStudentClassifier(network="mlp", **SHARED)
    return student.fit(FEATURES, LABELS, WEIGHTS, teacher_targets=WEIGHTS[:, None] - 1)


def student():
    """The output layer stands after the batch is whole.

    The seed is one by which rounding never decides which value of a pool is the
    largest: that changes a loss by 1e-4.
    """
    seeded = SHARED | {"random_state": 1}
    return KDStudentRegressor(
        channels=4, pools=POOLS, frontend=EAR, freq_mask=2, **seeded
    ).fit(SPECTROGRAMS, WEIGHTS[:40])


def metric():
    """Losses among the clips of a batch, each read once; a lookup table of users."""
    return MetricEmbedder(
        "lookup",
        n_negatives=2,
        frontend=EAR,
        context=0.5,
        duration=None,
        channels=8,
        pools=(2, 2, 2),
        freq_mask=2,
        **SHARED,
    ).fit(SPECTROGRAMS, VERDICTS)


def artist():
    """Batch norm, and dropout above the network."""
    return ArtistEmbedder(
        3,
        frontend=EAR,
        context=0.5,
        duration=None,
        channels=8,
        pools=(2, 2, 2),
        n_units=8,
        **SHARED,
    ).fit(SPECTROGRAMS, np.arange(40) % 5)


FITS = (se_cnn, mlp, student, metric, artist)


def head():
    """Seeds are the first process's, where nothing sets them."""
    return CFRegressor(network="mlp", head="mlp", max_epochs=2).fit(
        FEATURES, FEATURES[:, :2]
    )


def kill(folder, n_epochs):
    """A fit whose first process dies while it writes a checkpoint, or ends well."""
    regressor = KDStudentRegressor(network="mlp", checkpoint=folder, **SHARED)
    write, written = checkpoints.Checkpoint.write, []

    def write_some(self, state):
        write(self, state)
        written.append(1)
        if len(written) == n_epochs:
            raise OSError("No space left on device")

    checkpoints.Checkpoint.write = write_some
    try:
        return regressor.fit(FEATURES, WEIGHTS).history_
    except OSError as error:
        return f"{error} after {len(written)}"
    finally:
        checkpoints.Checkpoint.write = write


def message(function):
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was raised"


def differing_data():
    X = FEATURES[processes.join().rank :]
    KDStudentRegressor(network="mlp", **SHARED).fit(X, WEIGHTS[: len(X)])


def differing_values():
    y = WEIGHTS[:: 1 - 2 * processes.join().rank]
    KDStudentRegressor(network="mlp", **SHARED).fit(FEATURES, y)


def differing_rates():
    lr = 1e-3 * (1 + processes.join().rank)
    KDStudentRegressor(network="mlp", lr=lr, **SHARED).fit(FEATURES, WEIGHTS)


def unreadable_file():
    """Files are read by turns: one process alone meets the bad one."""
    files = [*Path(sys.argv[1]).glob("*.wav")] * 2
    CFRegressor(channels=4, pools=POOLS, frontend=EAR, **SHARED).fit(
        [*files, "missing.wav"], FACTORS[:3]
    )


def no_number():
    KDStudentRegressor(network="mlp", lr=1e30, **SHARED).fit(FEATURES, 1e20 * WEIGHTS)


def part_alone():
    fit_network(
        torch.nn.Linear(7, 1),
        ArrayInputs(FEATURES.astype(np.float32)),
        {},
        objective=lambda network, x, batch, epoch: {"loss": network(x).mean()},
        split=(np.arange(30), np.arange(30, 41)),
        max_epochs=1,
        batch_size=8,
        lr=1e-3,
        patience=1,
        device=torch.device("cpu"),
        seed=0,
    )


def several_losses():
    SharedLatentEmbedder(2).fit(SPECTROGRAMS, np.arange(40) % 2)


def in_a_thread():
    said = []
    thread = threading.Thread(target=lambda: said.append(message(mlp)))
    thread.start()
    thread.join()
    raise RuntimeError(said[0])


def out_of_memory():
    def pass_out(network, x, batch, epoch):
        all_gather(network(x))
        raise torch.OutOfMemoryError("no memory")

    fit_network(
        torch.nn.Linear(7, 1),
        ArrayInputs(FEATURES.astype(np.float32)),
        {},
        objective=pass_out,
        split=(np.arange(30), np.arange(0)),
        max_epochs=1,
        batch_size=8,
        lr=1e-3,
        patience=1,
        device=torch.device("cpu"),
        seed=0,
    )


ERRORS = (differing_data, differing_values, differing_rates, unreadable_file)
ERRORS += (no_number, part_alone, several_losses, in_a_thread, out_of_memory)


def main(folder):
    warnings.simplefilter("error")
    said = {"was_first": is_first()}
    for fit in FITS:
        fitted = fit()
        said[fit.__name__] = {"history": fitted.history_, "weights": digest(fitted)}
    said["head"] = digest(head())
    with alone():
        said["alone"] = digest(mlp())
    said["killed"] = [kill(folder / "two", 2), kill(folder / "one", 2)]
    said["resumed"] = kill(folder / "two", 99)
    said["errors"] = {error.__name__: message(error) for error in ERRORS}
    said["after"] = digest(mlp())
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
