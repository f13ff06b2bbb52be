"""Fits that are killed and go on: bit for bit what they would have been.

Run as a script it is a fit that kills itself: ``test_checkpoints.py KIND FOLDER STEP``.
"""

import contextlib
import errno
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from userlogfeat import CFRegressor, KDStudentClassifier
from userlogfeat.training import fit_network, seeded
from userlogfeat.training.batches import FrameStore
from userlogfeat.training.checkpoints import Checkpoint
from userlogfeat.training.loop import TrainingRun

POOLS = ((4, 2), (3, 2), (2, 2), (2, 2))
N_STEPS = {"teacher": 3 * 4, "student": 12 * 8}  # of an uninterrupted fit
INTERRUPTIONS = {"teacher": (0, 4, 1, 3, 2), "student": (13, 5, 0, 30, 12, 25)}


class Interruption(Exception):
    """What ends a fit in the process of a test."""


def stop():
    raise Interruption


@contextlib.contextmanager
def at_step(step, action=stop):
    """Call `action` before the given step (from 0) of all training in the block."""
    original, remaining = TrainingRun.train_step, [step]

    def train_step(run, *args):
        remaining[0] -= 1
        if remaining[0] < 0:
            action()
        return original(run, *args)

    TrainingRun.train_step = train_step
    try:
        yield
    finally:
        TrainingRun.train_step = original


def make_teacher(folder=None, **changes):
    """A fit with random crops, batch norm and SpecAugment."""
    rng = np.random.default_rng(0)
    waveforms = 0.1 * rng.normal(size=(12, 20000)).astype(np.float32)
    settings = {"channels": 4, "pools": POOLS, "duration": 1.0, "crop": "random"}
    settings |= {"max_epochs": 4, "batch_size": 4, "time_mask": 4, "device": "cpu"}
    settings |= {"checkpoint": folder, "random_state": 3, "factor_norm": "raw"}
    return CFRegressor(**settings | changes), (waveforms, rng.normal(size=(12, 3))), {}


def make_student(folder=None, **changes):
    """A fit with shuffled batches, that distils."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8))
    y = np.where(X[:, 0] + X[:, 1] > 0, "loud", "calm")
    settings = {"network": "mlp", "hidden": (16,), "max_epochs": 8, "lr": 0.01}
    settings |= {"batch_size": 4, "patience": 100}
    settings |= {"checkpoint": folder, "random_state": 3, "device": "cpu"}
    targets = np.tanh(X @ rng.normal(size=(8, 5)))
    return (
        KDStudentClassifier(**settings | changes),
        (X, y),
        {"teacher_targets": targets},
    )


MAKERS = {"teacher": make_teacher, "student": make_student}


def fit(made):
    estimator, data, keywords = made
    return estimator.fit(*data, **keywords)


def same(one, other):
    """Whether two fitted estimators have bit-equal weights and histories."""
    weights, others = one.network_.state_dict(), other.network_.state_dict()
    return one.history_ == other.history_ and all(
        torch.equal(tensor, others[name]) for name, tensor in weights.items()
    )


@pytest.fixture(scope="module")
def whole():
    """The fits that nobody interrupts."""
    return {kind: fit(make()) for kind, make in MAKERS.items()}


@pytest.mark.parametrize("kind", ["teacher", "student"])
def test_a_checkpoint_changes_nothing(kind, whole, tmp_path):
    assert same(fit(MAKERS[kind](tmp_path / "new" / "folder")), whole[kind])
    assert os.listdir(tmp_path / "new" / "folder") == []


@pytest.mark.long
@pytest.mark.parametrize(("kind", "seed"), [("teacher", 0), ("student", 1)])
def test_killed_and_started_again(kind, seed, whole, tmp_path):
    """SIGKILL at a random step after the first epoch, in another process."""
    n_steps = N_STEPS[kind]
    step = int(np.random.default_rng(seed).integers(n_steps // 4, n_steps))
    command = [sys.executable, __file__, kind, tmp_path, str(step)]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(tmp_path.glob("*.checkpoint"))) == 1
    epochs = CountedEpochs(lambda: fit(MAKERS[kind](tmp_path)))
    assert 0 < epochs.number < len(whole[kind].history_)
    assert same(epochs.result, whole[kind])
    assert os.listdir(tmp_path) == []


class CountedEpochs:
    """`number` of epochs that `function` trains, and its `result`."""

    def __init__(self, function):
        original, self.number = TrainingRun.end_epoch, 0

        def end_epoch(run, losses):
            self.number += 1
            return original(run, losses)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainingRun, "end_epoch", end_epoch)
            self.result = function()


@pytest.mark.parametrize("kind", ["teacher", "student"])
def test_interrupted_again_and_again(kind, whole, tmp_path):
    """Each time some steps further, in the middle of epochs and between them."""
    interruptions = 0
    for step in INTERRUPTIONS[kind]:
        try:
            with at_step(step):
                fit(MAKERS[kind](tmp_path))
        except Interruption:
            interruptions += 1
    assert interruptions == len(INTERRUPTIONS[kind])
    assert same(fit(MAKERS[kind](tmp_path)), whole[kind])
    assert os.listdir(tmp_path) == []


class Dropping(nn.Module):
    """A network with dropout and batch norm."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(20, 8), nn.BatchNorm1d(8)
        )
        self.last = nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, x):
        return self.last(self.layers(x))


def drop_out(folder=None, *, fail_at=None, patience=100, precision="fp32"):
    """Weights and history of a fit whose objective fails in an epoch."""
    rng = np.random.default_rng(0)
    store = FrameStore(5)
    for length in rng.integers(5, 12, size=30):
        store.append(rng.normal(size=(4, length)).astype(np.float32))
    targets = torch.from_numpy(rng.normal(size=(30, 1)).astype(np.float32))

    def objective(network, x, batch, epoch):
        if epoch == fail_at and not network.training:
            raise Interruption
        task = (network(x).float() - batch["y"]).square().mean()
        return {"loss": task * (1 + epoch), "task_loss": task}

    with seeded(0):
        network = Dropping()
    checkpoint = folder and Checkpoint(folder, {"patience": patience}, [])
    history = fit_network(
        network,
        store,
        {"y": targets},
        objective=objective,
        split=(np.arange(25), np.arange(25, 30)),
        max_epochs=12,
        batch_size=8,
        lr=0.05,
        patience=patience,
        device=torch.device("cpu"),
        seed=1,
        monitor="task_loss",
        precision=precision,
        checkpoint=checkpoint,
    )
    return network.state_dict(), history


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("patience", [3, 100])
def test_an_objective_that_fails_later(patience, precision, tmp_path):
    """Dropout, crops, order, Adam, batch norm, epoch and patience all go on."""
    settings = {"patience": patience, "precision": precision}
    weights, history = drop_out(**settings)
    assert (len(history) < 12) == (patience == 3)
    for epoch in (0, 1, len(history) // 2, len(history) - 1):
        with pytest.raises(Interruption):
            drop_out(tmp_path, fail_at=epoch, **settings)
    again, history_again = drop_out(tmp_path, **settings)
    assert history_again == history
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("patience", [3, 100])
def test_interrupted_after_the_last_epoch(patience, tmp_path, monkeypatch):
    """Nothing is trained again where only the best weights had to be brought back."""
    weights, history = drop_out(patience=patience)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "finish", lambda run: stop())
        with pytest.raises(Interruption):
            drop_out(tmp_path, patience=patience)
    with at_step(0):
        again, history_again = drop_out(tmp_path, patience=patience)
    assert history_again == history
    assert all(torch.equal(again[name], weights[name]) for name in weights)


def test_fits_that_share_a_folder_keep_apart(whole, tmp_path):
    """Two interrupted fits, two files: each goes on from its own."""
    for kind, step in (("teacher", 7), ("student", 40)):
        with at_step(step), pytest.raises(Interruption):
            fit(MAKERS[kind](tmp_path))
    assert len(os.listdir(tmp_path)) == 2
    assert same(fit(make_teacher(tmp_path)), whole["teacher"])
    assert len(os.listdir(tmp_path)) == 1
    assert same(fit(make_student(tmp_path)), whole["student"])
    assert os.listdir(tmp_path) == []


def changed(name):
    """The student's fit with one thing changed."""

    def make(folder):
        settings = {
            "lr": {"lr": 0.02},
            "max_epochs": {"max_epochs": 9},
            "kd_weight": {"kd_weight": 2.0},
            "random_state": {"random_state": 4},
            "precision": {"precision": "bf16"},
        }
        made = make_student(folder, **settings.get(name, {}))
        student, (X, y), keywords = made
        if name == "X":
            X[7, 3] += 1e-3
        if name == "y":
            y[0] = {"loud": "calm", "calm": "loud"}[y[0]]
        if name == "sample_weight":
            keywords["sample_weight"] = np.linspace(0.5, 1, 60)
        if name == "groups":
            keywords["groups"] = np.arange(60) // 2
        if name == "teacher_targets":
            keywords["teacher_targets"][3, 2] += 0.1
        return student, (X, y), keywords

    return make


@pytest.mark.parametrize(
    "name",
    [
        *("lr", "max_epochs", "kd_weight", "random_state", "precision"),
        *("X", "y", "sample_weight", "groups", "teacher_targets"),
    ],
)
def test_another_fit_starts_anew(name, tmp_path):
    with at_step(40), pytest.raises(Interruption):
        fit(make_student(tmp_path))
    (kept,) = tmp_path.iterdir()
    before = kept.read_bytes()
    make = changed(name)
    assert same(fit(make(tmp_path)), fit(make(None)))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_all_of_a_clip_counts_where_crops_are_random(tmp_path):
    """Only the middle of the clips was once in the name of the file."""
    with at_step(7), pytest.raises(Interruption):
        fit(make_teacher(tmp_path))
    (kept,) = tmp_path.iterdir()
    results = []
    for folder in (tmp_path, None):
        teacher, (waveforms, factors), _ = make_teacher(folder)
        waveforms[3, :800] = 0
        results.append(teacher.fit(waveforms, factors))
    assert same(*results)
    assert list(tmp_path.iterdir()) == [kept]


def test_a_generator_of_random_numbers_goes_on(tmp_path):
    def make(folder):
        return make_student(folder, random_state=np.random.RandomState(5))

    with at_step(40), pytest.raises(Interruption):
        fit(make(tmp_path))
    again = CountedEpochs(lambda: fit(make(tmp_path)))
    assert again.number < 8
    assert same(again.result, fit(make(None)))


def test_what_does_not_change_the_result_goes_on(whole, tmp_path):
    with at_step(40), pytest.raises(Interruption):
        fit(make_student(tmp_path))
    again = CountedEpochs(lambda: fit(make_student(str(tmp_path), n_jobs=1, verbose=1)))
    assert again.number < 8
    assert same(again.result, whole["student"])


def test_the_bar_goes_on(capsys, tmp_path):
    with at_step(40), pytest.raises(Interruption):
        fit(make_student(tmp_path))
    fit(make_student(tmp_path, verbose=1))
    assert " 3/8 " in capsys.readouterr().err.splitlines()[0]


def test_a_checkpoint_needs_a_seed(tmp_path):
    for kind, make in MAKERS.items():
        estimator, data, keywords = make(tmp_path / kind, random_state=None)
        with pytest.raises(ValueError, match="checkpoint and random_state=None"):
            estimator.fit(*data, **keywords)


def damage(kind, path):
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "empty": b"",
            "cut": whole[:-100],
            "one bit": whole[:middle]
            + bytes([whole[middle] ^ 4])
            + whole[middle + 1 :],
            "text": b"hello world\n" * 10,
            "pickle": pickle.dumps({"module": 1}),
        }[kind]
    )


@pytest.mark.parametrize("kind", ["empty", "cut", "one bit", "text", "pickle"])
def test_a_damaged_checkpoint(kind, whole, tmp_path):
    with at_step(40), pytest.raises(Interruption):
        fit(make_student(tmp_path))
    (kept,) = tmp_path.iterdir()
    damage(kind, kept)
    with pytest.raises(ValueError, match=r"is damaged: .*Delete it") as caught:
        fit(make_student(tmp_path))
    assert str(kept) in str(caught.value)
    kept.unlink()
    assert same(fit(make_student(tmp_path)), whole["student"])


def test_a_full_disk_leaves_the_old_checkpoint(whole, tmp_path, monkeypatch):
    """The fit fails, and goes on once there is space again."""
    with at_step(40), pytest.raises(Interruption):
        fit(make_student(tmp_path))
    (kept,) = tmp_path.iterdir()
    before = kept.read_bytes()

    def full(path, data):
        with open(path, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            fit(make_student(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    assert kept.read_bytes() == before
    assert same(fit(make_student(tmp_path)), whole["student"])


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="which is a file, expected a folder"):
        fit(make_student(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        fit(make_student(tmp_path / "file" / "below"))


def test_the_file_is_named_by_settings_and_data(tmp_path):
    def name(settings, *arrays):
        return Checkpoint(tmp_path, settings, arrays).path.name

    one, two = np.arange(6.0), np.arange(6.0).reshape(2, 3)
    empty = np.arange(0)
    names = {
        name({"a": 1}, one),
        name({"a": 2}, one),
        name({"a": 1}, two),
        name({"a": 1}, two.T),
        name({"a": 1}, one, one),
        name({"a": 1}, one.astype(np.float32)),
        name({"a": 1}, empty, one),
        name({"a": 1}, one, empty),
        name({"a": 1}),
    }
    assert len(names) == 9
    assert name({"a": 1, "b": 2}, two) == name({"b": 2, "a": 1}, np.asfortranarray(two))
    assert Checkpoint(tmp_path, {}, []).read() is None


def main(kind, folder, step):
    with at_step(int(step), lambda: os.kill(os.getpid(), signal.SIGKILL)):
        fit(MAKERS[kind](folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
