"""The training loop: against a plain loop, the best epoch, early stopping, splits."""

import time
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from userlogfeat.losses import weighted_mean
from userlogfeat.networks.mlp import mlp
from userlogfeat.networks.se_cnn import SECNN
from userlogfeat.training import fit_network, seeded, validation_split
from userlogfeat.training.batches import ArrayInputs

ROWS = np.arange(40)


def squares(network, x, batch, epoch):
    """The objective of a regression; `weight` where there is one."""
    losses = (network(x) - batch["y"]).square().mean(dim=1)
    return {"loss": weighted_mean(losses, batch.get("weight"))}


def planted(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    y = X @ rng.normal(size=(6, 2)) + 0.1 * rng.normal(size=(n, 2))
    return X, {"y": torch.from_numpy(y.astype(np.float32))}


def make_mlp(sizes=(6, 5, 2), seed=0):
    with seeded(seed):
        return mlp(sizes)


def train(network, X, targets, *, split=(ROWS[:30], ROWS[30:]), **changes):
    settings = {
        "objective": squares,
        "split": split,
        "max_epochs": 5,
        "batch_size": 8,
        "lr": 1e-2,
        "patience": 100,
        "device": torch.device("cpu"),
        "seed": 0,
    }
    return fit_network(network, ArrayInputs(X), targets, **(settings | changes))


class Scripted(nn.Module):
    """A network whose one weight grows by about lr a step; it outputs that weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.weight


def scripted(values, names=("loss",)):
    """An objective that has `values[epoch]` as validation losses, by name.

    Its gradient is always -1, so the weight after epoch i is (i + 1) lr with Adam.
    """

    def objective(network, x, batch, epoch):
        climb = -network(x).sum()
        if network.training:
            return {name: climb for name in names}
        value = torch.as_tensor(values[epoch], dtype=torch.float32)
        return dict(zip(names, value.reshape(-1), strict=True))

    return objective


def follow(values, names=("loss",), **settings):
    """The weight that remains of a scripted fit, in steps, and its history."""
    network = Scripted()
    settings = {"max_epochs": len(values), "lr": 0.5, "batch_size": 100} | settings
    objective = scripted(values, names)
    history = train(network, *planted(), objective=objective, **settings)
    return round(network.weight.item() / 0.5), history


def test_the_loop_is_the_plain_one():
    """Weights and losses of a loop of ten lines, with its batches and Adam."""
    X, targets = planted()
    targets["weight"] = torch.linspace(0, 1, 40)
    network, judge = make_mlp(), make_mlp()
    history = train(network, X, targets, seed=7)
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(7)
    x, best = torch.from_numpy(X), float("inf")
    for epoch in range(5):
        shuffled = torch.randperm(30, generator=generator)
        total = 0.0
        for rows in shuffled.split(8):
            batch = {name: values[rows] for name, values in targets.items()}
            loss = squares(judge, x[rows], batch, epoch)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        held = {name: values[30:] for name, values in targets.items()}
        with torch.no_grad():
            parts = [slice(0, 8), slice(8, 10)]
            losses = [
                squares(judge, x[30:][p], {k: v[p] for k, v in held.items()}, epoch)
                for p in parts
            ]
        valid = (8 * losses[0]["loss"] + 2 * losses[1]["loss"]).item() / 10
        assert history[epoch]["epoch"] == epoch + 1
        assert history[epoch]["train_loss"] == pytest.approx(total / 30, rel=1e-5)
        assert history[epoch]["valid_loss"] == pytest.approx(valid, rel=1e-5)
        assert valid < best  # so the last epoch is the best
        best = valid
    for mine, plain in zip(network.parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-6, rtol=0)
    assert not network.training


def test_the_epoch_of_least_validation_loss_is_kept():
    steps, history = follow([3.0, 1.0, 2.0, 5.0])
    assert steps == 2
    assert [epoch["valid_loss"] for epoch in history] == [3.0, 1.0, 2.0, 5.0]


def test_the_first_of_equal_epochs_is_kept():
    assert follow([3.0, 1.0, 1.0])[0] == 2


def test_the_monitor_says_what_is_best():
    """The task is at its best in epoch 2, the sum with the distillation in epoch 3."""
    values = [(9.0, 4.0), (8.0, 1.0), (3.0, 2.0), (7.0, 3.0)]
    names = ("loss", "task_loss")
    steps, history = follow(values, names, monitor="task_loss")
    assert steps == 2
    assert [epoch["valid_task_loss"] for epoch in history] == [4.0, 1.0, 2.0, 3.0]
    assert [epoch["valid_loss"] for epoch in history] == [9.0, 8.0, 3.0, 7.0]
    assert {"epoch", "train_loss", "train_task_loss"} < set(history[0])
    assert follow(values, names)[0] == 3


def test_monitored_losses_are_means_over_clips():
    """Batches of 8 and 2 clips: a mean over batches would weigh the small one more."""

    def of_clips(network, x, batch, epoch):
        loss = network(x).sum() * 0 + batch["y"][:, 0].mean()
        return {"loss": loss, "task_loss": 2 * loss}

    X, targets = planted()
    (epoch,) = train(
        Scripted(), X, targets, objective=of_clips, monitor="task_loss", max_epochs=1
    )
    expected = targets["y"][30:, 0].mean().item()
    assert epoch["valid_loss"] == pytest.approx(expected, rel=1e-5)
    assert epoch["valid_task_loss"] == pytest.approx(2 * expected, rel=1e-5)


@pytest.mark.parametrize(("patience", "n_epochs"), [(1, 3), (2, 6), (3, 7), (9, 8)])
def test_patience(patience, n_epochs):
    """Who waits one epoch misses the lower one after it."""
    values = [3.0, 1.0, 2.0, 0.5, 1.0, 1.0, 1.0, 1.0]
    steps, history = follow(values, patience=patience)
    assert len(history) == n_epochs
    assert steps == (2 if patience == 1 else 4)


def test_without_validation_rows_the_training_loss_decides():
    def sinking_then_rising(network, x, batch, epoch):
        value = abs(epoch - 2.0)
        return {"loss": value - network(x).sum() + network(x).sum().detach()}

    network = Scripted()
    history = train(
        network,
        *planted(),
        objective=sinking_then_rising,
        split=(ROWS, ROWS[:0]),
        lr=0.5,
        batch_size=100,
        patience=2,
        max_epochs=20,
    )
    assert [epoch["train_loss"] for epoch in history] == [2.0, 1.0, 0.0, 1.0, 2.0]
    assert "valid_loss" not in history[0]
    assert network.weight.item() == pytest.approx(3 * 0.5)


def test_validation_is_in_evaluation_mode_without_gradient():
    seen = []

    def objective(network, x, batch, epoch):
        seen.append((network.training, torch.is_grad_enabled(), epoch, len(x)))
        return squares(network, x, batch, epoch)

    train(make_mlp(), *planted(), objective=objective, max_epochs=2, batch_size=16)
    once = [(True, True, 16), (True, True, 14), (False, False, 10)]
    expected = [(*flags, e, n) for e in (0, 1) for *flags, n in once]
    assert seen == expected


class Silence(nn.Module):
    """Zeros, as an augmentation."""

    def forward(self, x):
        return 0 * x


@pytest.mark.parametrize("augment", [Silence(), lambda x: 0 * x])
def test_augmentation_is_for_training_alone(augment):
    """A module was refused, taken for what is trained."""
    seen = []

    def objective(network, x, batch, epoch):
        seen.append((network.training, x.abs().sum().item() == 0))
        return squares(network, x, batch, epoch)

    settings = {"objective": objective, "augment": augment, "max_epochs": 1}
    train(make_mlp(), *planted(), **settings)
    assert set(seen) == {(True, True), (False, False)}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_that_is_not_finite(precision):
    X, targets = planted()
    targets["y"][3] = float("inf")
    words = r"train_loss became inf in epoch 1\. Lower lr \(now 0\.01\)"
    with pytest.raises(ValueError, match=words) as caught:
        train(make_mlp(), X, targets, precision=precision)
    assert ('try precision="fp32"' in str(caught.value)) == (precision == "bf16")


def test_a_validation_loss_that_is_not_finite():
    with pytest.raises(ValueError, match="valid_loss became nan in epoch 3"):
        follow([1.0, 0.5, float("nan"), 0.1])


def test_the_task_loss_may_be_what_is_not_finite():
    with pytest.raises(ValueError, match="valid_task_loss became inf in epoch 2"):
        follow([(1, 1), (1, float("inf"))], ("loss", "task_loss"), monitor="task_loss")


def test_bf16_is_used_and_learns():
    dtypes = set()

    def objective(network, x, batch, epoch):
        out = network(x)
        dtypes.add(out.dtype)
        return {"loss": F.mse_loss(out.float(), batch["y"])}

    network = make_mlp()
    history = train(
        network, *planted(), objective=objective, precision="bf16", max_epochs=40
    )
    assert dtypes == {torch.bfloat16}
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert history[-1]["valid_loss"] < 0.5 * history[0]["valid_loss"]


def test_random_numbers_of_the_caller_are_left_alone():
    network = nn.Sequential(nn.Linear(6, 4), nn.Dropout(), nn.Linear(4, 2))
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    train(network, *planted())
    validation_split(10, 0.2, seed=0, y=np.arange(10) % 2, groups=np.arange(10))
    validation_split(10, 0.2, seed=0)
    torch.testing.assert_close(torch.get_rng_state(), torch_state)
    after = np.random.get_state()[1]  # noqa: NPY002
    np.testing.assert_array_equal(after, numpy_state)
    with pytest.raises(ZeroDivisionError):
        train(make_mlp(), *planted(), objective=lambda *args: 1 / 0)
    torch.testing.assert_close(torch.get_rng_state(), torch_state)


def test_the_callers_random_numbers_do_not_matter():
    """Dropout draws from the seed, wherever the global generator is."""
    weights = []
    for _ in range(2):
        torch.rand(3)
        network = nn.Sequential(make_mlp((6, 4)), nn.Dropout(), make_mlp((4, 2)))
        train(network, *planted())
        weights.append(torch.cat([p.flatten() for p in network.parameters()]))
    assert torch.equal(*weights)
    train(network := make_mlp(), *planted(), seed=0)
    train(other := make_mlp(), *planted(), seed=1)
    assert not torch.equal(network[0].weight, other[0].weight)


@pytest.mark.parametrize(("n", "batches"), [(9, [9]), (17, [8, 9]), (10, [8, 2])])
def test_batch_norm_meets_no_single_clip(n, batches):
    """Nine clips in batches of eight are one batch; validation may have single ones."""
    sizes = {True: [], False: []}

    def objective(network, x, batch, epoch):
        sizes[network.training].append(len(x))
        return squares(network, x, batch, epoch)

    network = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    split = ROWS[:n], ROWS[n : n + 9]
    train(network, *planted(), split=split, objective=objective, max_epochs=1)
    assert sizes == {True: batches, False: [8, 1]}


@pytest.mark.parametrize(("batch_size", "split"), [(8, (0, 1)), (1, (0, 5))])
def test_single_clips_on_the_paper_network(batch_size, split):
    """Its batch norms have frames and bands to take moments over."""
    X = np.random.default_rng(0).normal(size=(40, 8, 8)).astype(np.float32)
    network = SECNN(2, channels=4, pools=((2, 2), (2, 2)), n_units=3)
    rows = slice(*split)
    history = train(
        network,
        X,
        planted()[1],
        split=(ROWS[rows], ROWS[:0]),
        batch_size=batch_size,
        max_epochs=2,
    )
    assert np.isfinite(history[-1]["train_loss"])


def slowly(network, x, batch, epoch):
    """Epochs that are long enough for the bar to be drawn after each."""
    time.sleep(0.06)
    return {"loss": squares(network, x, batch, epoch)["loss"] * 0 + epoch}


def test_the_bar(capsys):
    settings = {"verbose": 1, "max_epochs": 4, "patience": 2, "batch_size": 100}
    train(make_mlp(), *planted(), objective=slowly, **settings)
    out, err = capsys.readouterr()
    assert out == ""
    assert "0/4" in err  # no terminal: a line at the start, one in 10 s, and the last
    assert "3/4" in err
    assert "train_loss=2" in err
    assert "valid_loss=2" in err
    assert "4/4" not in err


def test_no_bar_unless_asked_for(capsys):
    train(make_mlp(), *planted())
    assert capsys.readouterr() == ("", "")


def check_split(train_rows, valid, n):
    """A partition of the rows, sorted, with something to learn from."""
    assert len(train_rows) > 0
    assert sorted([*train_rows, *valid]) == list(range(n))
    assert list(train_rows) == sorted(train_rows)
    assert list(valid) == sorted(valid)
    assert np.asarray(valid).dtype.kind == "i"


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 101])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.34, 0.5, 0.9, 0.99])
def test_a_plain_split(n, fraction):
    train_rows, valid = validation_split(n, fraction, seed=0)
    check_split(train_rows, valid, n)
    assert abs(len(valid) - fraction * n) <= 1
    assert len(valid) > 0 or n == 1


def test_a_split_depends_on_its_seed_alone():
    draws = [validation_split(50, 0.2, seed=seed)[1].tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.9])
def test_a_stratified_split(fraction):
    y = np.repeat(["a", "b", "c", "d"], [40, 10, 2, 1])
    y = np.random.default_rng(0).permutation(y)
    train_rows, valid = validation_split(len(y), fraction, seed=3, y=y)
    check_split(train_rows, valid, len(y))
    held, learned = Counter(y[valid]), Counter(y[train_rows])
    for label, n in Counter(y).items():  # the judge: one class after the other
        expected = 0 if n == 1 else min(n - 1, max(1, round(fraction * n)))
        assert held[label] == expected
        assert learned[label] == n - expected


def test_classes_of_one_clip_are_learned_from():
    train_rows, valid = validation_split(4, 0.5, seed=0, y=np.arange(4))
    assert train_rows.tolist() == [0, 1, 2, 3]
    assert len(valid) == 0


@pytest.mark.parametrize("n_groups", [1, 2, 3, 20])
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.6, 0.95])
def test_groups_stay_together(n_groups, fraction):
    groups = np.random.default_rng(0).permutation(np.arange(60) % n_groups)
    train_rows, valid = validation_split(60, fraction, seed=1, groups=groups)
    check_split(train_rows, valid, 60)
    assert not set(groups[valid]) & set(groups[train_rows])
    assert abs(len(set(groups[valid])) - fraction * n_groups) <= 1
    assert len(valid) > 0 or n_groups == 1


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(5))
def test_groups_and_classes(fraction, seed):
    """Artists of one to five clips, some with two genres."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(80), rng.integers(1, 6, size=80))
    y = (groups + (rng.random(len(groups)) < 0.1)) % 4
    train_rows, valid = validation_split(
        len(y), fraction, seed=seed, y=y, groups=groups
    )
    check_split(train_rows, valid, len(y))
    assert not set(groups[valid]) & set(groups[train_rows])
    assert set(y[train_rows]) == set(y)
    for label in range(4):
        share = np.mean(y[valid] == label) - np.mean(y == label)
        assert abs(share) < 0.15
    assert abs(len(valid) - fraction * len(y)) <= 5 * 2


def test_the_only_artist_of_a_class_is_learned_from():
    """Class 2 has one artist, and class 3 one clip."""
    y = np.array([0] * 10 + [1] * 10 + [2] * 5 + [3])
    groups = np.array([*(np.arange(20) // 2), *[77] * 5, 78])
    for seed in range(10):
        train_rows, valid = validation_split(26, 0.2, seed=seed, y=y, groups=groups)
        check_split(train_rows, valid, 26)
        assert set(y[train_rows]) == {0, 1, 2, 3}
        assert 0 < len(valid)
        assert set(y[valid]) <= {0, 1}


def test_groups_that_are_too_large_to_validate_on():
    """Two artists of 25 clips in each class: to hold one is further from a tenth."""
    y, groups = np.repeat([0, 1], 50), np.repeat([0, 1, 2, 3], 25)
    assert len(validation_split(100, 0.1, seed=0, y=y, groups=groups)[1]) == 0
    train_rows, valid = validation_split(100, 0.4, seed=0, y=y, groups=groups)
    assert sorted(y[valid]) == sorted(y[train_rows]) == [0] * 25 + [1] * 25


def test_one_artist_a_class_leaves_nothing_to_validate_on():
    y = np.repeat([0, 1], 5)
    train_rows, valid = validation_split(10, 0.2, seed=0, y=y, groups=y)
    assert (len(train_rows), len(valid)) == (10, 0)


def test_batch_norm_of_a_single_value_says_what_to_change():
    """The least input of these pools, as the only clip, leaves one value a map."""
    X = np.zeros((40, 4, 4), dtype=np.float32)
    network = SECNN(2, channels=4, pools=((2, 2), (2, 2)), n_units=3)
    with pytest.raises(ValueError, match=r"batch of 1 clip of shape \(4, 4\) .* pools"):
        train(network, X, planted()[1], split=(ROWS[:1], ROWS[:0]))
    train(network, X, planted()[1], split=(ROWS[:3], ROWS[:0]), batch_size=2)


class Memory:
    """An objective on a device that has memory for `most` clips, or rows of x."""

    def __init__(self, most, from_epoch=0):
        self.most, self.from_epoch = most, from_epoch

    def __call__(self, network, x, batch, epoch):
        if len(x) > self.most and epoch >= self.from_epoch:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return squares(network, x, batch, epoch)


@pytest.mark.parametrize("from_epoch", [0, 2])
def test_without_memory_training_begins_again_with_half(from_epoch):
    """It is the fit of that batch size: nothing remains of the first attempt."""
    judge, network = make_mlp(), make_mlp()
    expected = train(judge, *planted(), batch_size=4)
    with pytest.warns(UserWarning, match="for 8 clips at once: training begins .* 4"):
        history = train(network, *planted(), objective=Memory(7, from_epoch))
    assert history == expected
    for mine, theirs in zip(network.parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_without_memory_for_half_training_is_over():
    message = "batch_size=4 does not fit into the device"
    with (
        pytest.warns(UserWarning, match="for 8 clips at once"),
        pytest.raises(torch.OutOfMemoryError, match=message),
    ):
        train(make_mlp(), *planted(), objective=Memory(3))
    with pytest.raises(torch.OutOfMemoryError, match="with batch_size=1 does not fit"):
        train(make_mlp(), *planted(), objective=Memory(0), batch_size=1)
