"""The training of both maps: its steps, its turns, its bounds, and what it learns."""

import numpy as np
import pytest
import torch
from scipy import sparse

from userlogfeat.losses import warp, warp_of_ranks
from userlogfeat.training.shared_maps import LabelledFrames, SharedMaps, fit_shared_maps

DENSE = "userlogfeat.training.shared_maps.DENSE_ENTRIES"


def make_frames(n=60, n_features=6, n_labels=4, seed=0, multi=False):
    """Frames around the places of their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_labels, size=n)
    places = 3 * rng.normal(size=(n_labels, n_features))
    frames = places[labels] + rng.normal(size=(n, n_features))
    indicators = np.eye(n_labels)[labels]
    if multi:
        indicators[np.arange(n), (labels + 1) % n_labels] = 1
    return LabelledFrames(
        torch.from_numpy(frames.astype(np.float32)),
        torch.arange(n),
        sparse.csr_matrix(indicators),
    )


def nothing(data):
    return LabelledFrames(data.frames[:0], data.clips[:0], data.labels)


def make_maps(n_features=6, n_labels=(4,), seed=0, **settings):
    settings = {"max_norm": None, "margin": 1.0} | settings
    generator = torch.Generator().manual_seed(seed)
    return SharedMaps(
        n_features, 5, n_labels, generator=generator, device="cpu", **settings
    )


@pytest.mark.parametrize(("multi", "margin"), [(False, 1.0), (True, 1.0), (True, 2.5)])
def test_a_step_goes_down_the_gradient_of_warp(multi, margin):
    data, maps = make_frames(multi=multi), make_maps(margin=margin)
    for matrix in (maps.features, maps.labels[0]):
        matrix *= 6  # far enough from zero for some labels to lead by the margin
    rows = torch.arange(20)
    positives = data.draw_positives(rows, maps.generator)
    is_label = data.is_label(rows)
    V = maps.features.clone().requires_grad_()
    W = maps.labels[0].clone().requires_grad_()
    state = maps.generator.get_state()
    scores = data.frames[rows] @ V @ W.T
    draw = {"margin": margin, "generator": maps.generator}
    loss = warp(scores, positives, is_label, **draw).mean()
    loss.backward()
    maps.generator.set_state(state)
    found = maps.step(0, data.frames[rows], positives, is_label, 0.1)
    assert found.item() == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(maps.features, (V - 0.1 * V.grad).detach())
    torch.testing.assert_close(maps.labels[0], (W - 0.1 * W.grad).detach())


def test_lengths_are_kept():
    data, maps = make_frames(), make_maps(max_norm=0.5)
    fit_shared_maps(
        [data], [nothing(data)], maps, max_epochs=5, patience=5, batch_size=10, lr=0.5
    )
    for matrix in (maps.features, maps.labels[0]):
        lengths = matrix.norm(dim=1)
        assert lengths.max() <= 0.5 + 1e-5
        assert lengths.max() > 0.49


@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize("max_norm", [0.5, None])
def test_a_step_ends_with_rows_of_the_allowed_length(few, max_norm, monkeypatch):
    """A row that became too long keeps its direction; others are left as they are.

    With `few` labels, all are looked at; of many, those that the step has moved.
    """
    monkeypatch.setattr("userlogfeat.training.shared_maps.FEW_LABELS", few)
    data = make_frames(n_labels=12, seed=4)
    maps, free = make_maps(n_labels=(12,)), make_maps(n_labels=(12,))
    maps.max_norm = max_norm
    rows = torch.arange(5)
    for one in (maps, free):
        positives = data.draw_positives(rows, one.generator)
        one.step(0, data.frames[rows], positives, data.is_label(rows), 1.0)
    for found, long in (
        (maps.features, free.features),
        (maps.labels[0], free.labels[0]),
    ):
        lengths = long.norm(dim=1, keepdim=True)
        assert lengths.max() > 0.5
        assert lengths.min() < 0.5
        shortened = long if max_norm is None else long * (0.5 / lengths).clamp(max=1)
        torch.testing.assert_close(found, shortened)


@pytest.mark.parametrize("entries", [0, 1 << 26])
def test_positives_are_labels_and_all_are_known(entries, monkeypatch):
    monkeypatch.setattr(DENSE, entries)
    data = make_frames(multi=True)
    rows = torch.tensor([5, 0, 5, 59, 17] * 40)
    is_label = data.is_label(rows)
    expected = data.labels.toarray()[rows.numpy()] > 0
    np.testing.assert_array_equal(is_label, expected)
    assert is_label.dtype == torch.bool
    assert (data._dense is None) == (entries == 0)  # the table may not fit in memory
    positives = data.draw_positives(rows, torch.Generator().manual_seed(0))
    assert is_label[torch.arange(len(rows)), positives].all()
    first = positives[rows == 5]
    assert len(first.unique()) == 2  # both of its labels are drawn


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 9])
def test_the_largest_random_number_draws_the_last_label(n, monkeypatch):
    """Rounding to float32 does not make of it a label that is not there."""
    one = LabelledFrames(
        torch.zeros(1, 2), torch.zeros(1).long(), sparse.csr_matrix(np.ones((1, n)))
    )
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor([1 - 2**-24]))
    assert one.draw_positives(torch.tensor([0]), None).tolist() == [n - 1]


def test_maps_begin_at_a_tenth_of_wsabies_length():
    """Each number has deviation 0.1 / sqrt(n_components); no row is too long."""
    maps = make_maps(2000, (1500,))
    for matrix in (maps.features, maps.labels[0]):
        assert matrix.std().item() == pytest.approx(0.1 * 5**-0.5, rel=0.05)
        assert abs(matrix.mean().item()) < 0.002
    short = make_maps(2000, (1500,), max_norm=0.08)
    for matrix, free in (
        (short.features, maps.features),
        (short.labels[0], maps.labels[0]),
    ):
        lengths = free.norm(dim=1, keepdim=True)
        torch.testing.assert_close(matrix, free * (0.08 / lengths).clamp(max=1))


@pytest.mark.parametrize("most", [1000, 20])
def test_validation_is_the_mean_over_frames(most, monkeypatch):
    """In batches; of many frames, every third of 60 for at most 20."""
    monkeypatch.setattr("userlogfeat.training.shared_maps.VALIDATION_BATCH", 7)
    monkeypatch.setattr("userlogfeat.training.shared_maps.MOST_VALIDATION", most)
    data, maps = make_frames(seed=7), make_maps(n_labels=(2, 4), margin=1.7)
    rows = torch.arange(60)[:: 3 if most == 20 else 1]
    positives = torch.from_numpy(data.labels.indices[rows.numpy()].astype(np.int64))
    expected = warp_of_ranks(
        data.frames[rows] @ maps.features @ maps.labels[1].T,
        positives,
        data.is_label(rows),
        margin=1.7,
    )
    found = maps.validate(1, data)
    assert found == pytest.approx(expected.mean().item(), rel=1e-5)


def test_the_history_has_the_means_of_what_the_steps_gave():
    sets = [make_frames(60, seed=1), make_frames(20, n_labels=3, seed=2)]
    maps, losses = make_maps(n_labels=(4, 3)), []
    step = maps.step
    maps.step = lambda dataset, *others: (
        losses.append((dataset, step(dataset, *others))) or losses[-1][1]
    )
    settings = {"max_epochs": 2, "patience": 5, "batch_size": 20, "lr": 0.01}
    held = [make_frames(30, seed=3), make_frames(30, n_labels=3, seed=4)]
    maps.validate = lambda dataset, data: [3.0, 5.0][dataset]
    history = fit_shared_maps(sets, held, maps, **settings)
    assert [epoch["epoch"] for epoch in history] == [0, 1]
    for epoch, own in zip(history, (losses[:6], losses[6:]), strict=True):
        means = [np.mean([float(x) for d, x in own if d == place]) for place in (0, 1)]
        assert epoch["train_loss"] == pytest.approx(np.mean(means), rel=1e-5)
        assert epoch["valid_loss"] == 4.0


def copied(maps):
    """V' and the list of W, as they are now."""
    return maps.features.clone(), [labels.clone() for labels in maps.labels]


@pytest.mark.parametrize("later", [4.0, 6.0])
def test_patience_counts_from_the_best_epoch(later, capsys):
    """The second of equal epochs is not better; the maps are those of the best."""
    data, maps, seen = make_frames(), make_maps(), []
    losses = iter([5.0, 4.0, later, later, later, later])
    maps.validate = lambda dataset, held: seen.append(copied(maps)) or next(losses)
    settings = {"max_epochs": 6, "patience": 2, "batch_size": 20, "lr": 0.1}
    history = fit_shared_maps([data], [data], maps, **settings)
    assert [epoch["valid_loss"] for epoch in history] == [5, 4, later, later]
    torch.testing.assert_close(maps.features, seen[1][0])
    torch.testing.assert_close(maps.labels, seen[1][1])
    assert not torch.equal(seen[1][0], seen[2][0])
    assert capsys.readouterr().err == ""  # no bar of progress unless asked for


def test_a_seed_gives_the_same_maps_whatever_else_is_drawn():
    data, found = make_frames(multi=True), []
    for _ in range(2):
        torch.rand(3)
        maps = make_maps()
        settings = {"max_epochs": 2, "patience": 5, "batch_size": 20, "lr": 0.1}
        fit_shared_maps([data], [nothing(data)], maps, **settings)
        found.append(maps.features)
    assert torch.equal(*found)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr("userlogfeat.training.shared_maps.MIN_ROUNDS", 1)


def test_little_data_comes_again(monkeypatch):
    monkeypatch.setattr("userlogfeat.training.shared_maps.MIN_ROUNDS", 7)
    data, maps, sizes = make_frames(45), make_maps(), []
    step = maps.step
    maps.step = lambda dataset, x, *others: (
        sizes.append(len(x)) or step(dataset, x, *others)
    )
    settings = {"max_epochs": 1, "patience": 1, "batch_size": 20, "lr": 0.01}
    fit_shared_maps([data], [nothing(data)], maps, **settings)
    assert sizes == [20, 20, 5, 20, 20, 5, 20]


def test_data_sets_take_turns_and_share_only_the_map_of_frames():
    large, small = make_frames(60, seed=1), make_frames(20, n_labels=3, seed=2)
    maps, turns = make_maps(n_labels=(4, 3)), []
    step = maps.step

    def note(dataset, x, *others):
        before = [labels.clone() for labels in maps.labels]
        turns.append((dataset, len(x)))
        loss = step(dataset, x, *others)
        other = 1 - dataset
        assert torch.equal(maps.labels[other], before[other])
        return loss

    maps.step = note
    sets = [large, small]
    fit_shared_maps(
        sets,
        [nothing(d) for d in sets],
        maps,
        max_epochs=1,
        patience=1,
        batch_size=20,
        lr=0.01,
    )
    assert turns == [(0, 20), (1, 20)] * 3  # the small set begins again


def test_it_learns_and_keeps_the_best_epoch():
    data, held = make_frames(400, seed=3), make_frames(400, seed=3)
    train = LabelledFrames(data.frames[:300], data.clips[:300], data.labels)
    valid = LabelledFrames(held.frames[300:], held.clips[300:], held.labels)
    maps = make_maps(max_norm=1.0)
    history = fit_shared_maps(
        [train], [valid], maps, max_epochs=30, patience=5, batch_size=50, lr=0.1
    )
    scores = valid.frames @ maps.features @ maps.labels[0].T
    truth = torch.from_numpy(valid.labels[300:].toarray().argmax(1))
    assert (scores.argmax(1) == truth).float().mean() > 0.95
    best = min(entry["valid_loss"] for entry in history)
    assert maps.validate(0, valid) == pytest.approx(best)
    assert history[0]["valid_loss"] > 2 * best


def test_steps_that_are_too_long_are_reported():
    data, maps = make_frames(), make_maps()
    with pytest.raises(ValueError, match="the steps are too long"):
        fit_shared_maps(
            [data],
            [nothing(data)],
            maps,
            max_epochs=3,
            patience=3,
            batch_size=10,
            lr=1e30,
        )


def test_many_labels_are_kept_short_where_they_were_touched(monkeypatch):
    monkeypatch.setattr("userlogfeat.training.shared_maps.FEW_LABELS", 2)
    data = make_frames()
    few, many = make_maps(max_norm=1.0), make_maps(max_norm=1.0)
    for maps in (few, many):
        settings = {"max_epochs": 2, "patience": 2, "batch_size": 10, "lr": 0.1}
        fit_shared_maps([data], [nothing(data)], maps, **settings)
        monkeypatch.setattr("userlogfeat.training.shared_maps.FEW_LABELS", 1000)
    torch.testing.assert_close(few.labels[0], many.labels[0])
