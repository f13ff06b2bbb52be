"""Losses against loops."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from userlogfeat.losses import (
    co_listen,
    distillation,
    draw_violators,
    harmonic,
    info_nce,
    make_loss,
    mse_cosine,
    sampled_softmax,
    softmax_of_many,
    warp,
    warp_of_ranks,
    weighted_mean,
)


def loop_mse_cosine(y, t):
    squared = sum((a - b) ** 2 for a, b in zip(y, t, strict=True)) / len(y)
    dot = sum(a * b for a, b in zip(y, t, strict=True))
    lengths = math.sqrt(sum(a * a for a in y)) * math.sqrt(sum(b * b for b in t))
    return squared - dot / lengths


def test_mse_cosine_is_the_loop():
    rng = np.random.default_rng(0)
    y, t = rng.normal(size=(2, 7, 5))
    expected = [loop_mse_cosine(a, b) for a, b in zip(y, t, strict=True)]
    found = mse_cosine(torch.from_numpy(y), torch.from_numpy(t))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_mse_cosine_known_values():
    t = torch.tensor([[3.0, 4.0]])
    assert mse_cosine(t, t).item() == pytest.approx(-1)  # equal
    assert mse_cosine(-t, t).item() == pytest.approx((36 + 64) / 2 + 1)  # opposite
    across = torch.tensor([[4.0, -3.0]])
    assert mse_cosine(across, t).item() == pytest.approx((1 + 49) / 2)  # orthogonal


def cosine_of(a, b):
    lengths = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / lengths


def loop_info_nce(y, t, temperature):
    losses = []
    for i in range(len(y)):
        total = 0.0
        for one, other in ((y, t), (t, y)):
            terms = [
                math.exp(cosine_of(one[i], other[j]) / temperature)
                for j in range(len(y))
                if i == j or list(t[i]) != list(t[j])
            ]
            total -= math.log(
                math.exp(cosine_of(one[i], other[i]) / temperature) / sum(terms)
            )
        losses.append(total / 2)
    return losses


def loop_co_listen(y, t, temperature):
    def softmax(values):
        exps = [math.exp(v / temperature) for v in values]
        return [e / sum(exps) for e in exps]

    losses = []
    for i in range(len(y)):
        total, everyone = 0.0, range(len(y))
        others = [j for j in everyone if j != i]
        for estimates, chosen in ((t, everyone), (y, others)):
            p = softmax([cosine_of(t[i], t[j]) for j in chosen])
            q = softmax([cosine_of(y[i], estimates[j]) for j in chosen])
            total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        losses.append(total / 2)
    return losses


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_contrasts_of_a_batch_are_the_loops(temperature):
    rng = np.random.default_rng(0)
    y, t = rng.normal(size=(2, 7, 5))
    t[3] = t[1]  # two clips of one artist
    for loss, loop in ((info_nce, loop_info_nce), (co_listen, loop_co_listen)):
        for anchor in (0.0, 1.5):
            given = torch.from_numpy(y), torch.from_numpy(t)
            found = loss(*given, temperature, anchor)
            expected = [
                value + anchor * loop_mse_cosine(a, b)
                for value, a, b in zip(loop(y, t, temperature), y, t, strict=True)
            ]
            np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_contrasts_known_values():
    t = torch.eye(3, dtype=torch.float64)
    assert co_listen(2 * t, t, anchor=0.0).abs().max() < 1e-12  # lengths do not matter
    # One right and two at a right angle: log(1 + 2 exp(-1 / temperature)).
    expected = math.log(1 + 2 * math.exp(-2))
    found = info_nce(t, t, temperature=0.5, anchor=0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    for loss in (info_nce, co_listen):
        assert loss(t, t.roll(1, dims=0)).min() > loss(t, t).max() + 1
        alone = torch.ones(1, 3, requires_grad=True)
        loss(alone, t[:1].float()).sum().backward()  # a batch of one
        assert torch.isfinite(alone.grad).all()
    # Clips of one artist do not push each other away.
    same = torch.ones(4, 3)
    assert info_nce(torch.randn(4, 3), same, anchor=0.0).abs().max() < 1e-6


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_distillation_is_the_task_and_the_mean_over_clips(weight):
    """L_task + weight * mean_i mse_cosine(h_i, t_i), the paper's with weight 1."""
    rng = np.random.default_rng(0)
    h, t = rng.normal(size=(2, 6, 5))
    distilled = sum(loop_mse_cosine(a, b) for a, b in zip(h, t, strict=True)) / 6
    task = torch.tensor(0.7, dtype=torch.float64)
    found = distillation(task, torch.from_numpy(h), torch.from_numpy(t), weight)
    assert found.shape == ()
    assert found.item() == pytest.approx(0.7 + weight * distilled, rel=1e-12)


def test_distillation_known_values():
    """Of two clips one agrees with its teacher, -1, and one says the opposite, 51."""
    h, t = torch.tensor([[3.0, 4.0], [-3.0, -4.0]]), torch.tensor([[3.0, 4.0]] * 2)
    assert distillation(torch.tensor(0.5), h, t, 1.0).item() == pytest.approx(25.5)


def test_weighted_mean():
    losses = torch.tensor([1.0, 2.0, 6.0])
    assert weighted_mean(losses).item() == 3
    assert weighted_mean(losses, torch.tensor([1.0, 1.0, 0.0])).item() == 1.5
    assert weighted_mean(losses, torch.zeros(3)).item() == 0
    small = torch.tensor([0.1, 0.1, 0.0])  # weights count among each other
    assert weighted_mean(losses, small).item() == pytest.approx(1.5)


def loop_sampled_softmax(positive, negatives, log_expected, is_target):
    total = math.exp(positive)
    for score, expected, hit in zip(negatives, log_expected, is_target, strict=True):
        if not hit:
            total += math.exp(score) / math.exp(expected)
    return math.log(total) - positive


def test_sampled_softmax_is_the_loop():
    rng = np.random.default_rng(1)
    positive, negatives = rng.normal(size=6), rng.normal(size=(6, 9))
    log_expected, is_target = rng.normal(size=9), rng.random((6, 9)) < 0.3
    expected = [
        loop_sampled_softmax(s, row, log_expected, hits)
        for s, row, hits in zip(positive, negatives, is_target, strict=True)
    ]
    arrays = (positive, negatives, log_expected, is_target)
    found = sampled_softmax(*map(torch.from_numpy, arrays))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_sampled_softmax_of_all_items_is_the_cross_entropy():
    rng = np.random.default_rng(2)
    scores = torch.from_numpy(rng.normal(size=(5, 8)))
    targets = torch.tensor([3, 0, 7, 3, 1])
    found = sampled_softmax(
        scores[torch.arange(5), targets],
        scores,
        torch.zeros(8),
        torch.arange(8)[None] == targets[:, None],
    )
    expected = torch.nn.functional.cross_entropy(scores, targets, reduction="none")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("power", [0, 1, 2])
def test_the_correction_makes_every_way_of_drawing_agree(power):
    """Where each item is drawn just as often as expected, the loss is exact."""
    scores, target = np.random.default_rng(3).normal(size=6), 2
    counts = np.arange(1, 7) ** power  # k q_j
    drawn = np.repeat(np.arange(6), counts)
    positive = torch.tensor([scores[target]])
    negatives = torch.from_numpy(scores[drawn])[None]
    is_target = torch.from_numpy(drawn == target)[None]
    log_expected = torch.from_numpy(np.log(counts[drawn]))
    corrected = sampled_softmax(positive, negatives, log_expected, is_target)
    exact = math.log(np.exp(scores).sum()) - scores[target]
    assert corrected.item() == pytest.approx(exact)
    as_if_uniform = torch.full((len(drawn),), math.log(len(drawn) / 6))
    raw = sampled_softmax(positive, negatives, as_if_uniform, is_target)
    assert (raw.item() == pytest.approx(exact)) == (power == 0)


def loop_warp(scores, positive, labels, rng):
    """Wsabie's search, one draw at a time: (violator or None, weight)."""
    wrong = [j for j in range(len(scores)) if j not in labels]
    for n_draws in range(1, len(wrong) + 1):
        j = wrong[rng.integers(len(wrong))]
        if scores[j] > scores[positive] - 1:
            return j, sum(1 / i for i in range(1, len(wrong) // n_draws + 1))
    return None, 0.0


# Affinities of six labels; 0 is right, or 0 and 5. Violators beside 0: 1 and 3, and 5.
ROW = [1.0, 0.5, -0.5, 2.0, -1.0, 0.7]


@pytest.mark.parametrize("labels", [(0,), (0, 5)])
def test_warp_has_the_distribution_of_the_loop(labels):
    rng, n = np.random.default_rng(4), 20000
    looped = [loop_warp(ROW, 0, labels, rng) for _ in range(n)]
    scores = torch.tensor(ROW, dtype=torch.float64).repeat(n, 1)
    is_label = torch.zeros(n, 6, dtype=torch.bool)
    is_label[:, labels] = True
    violators, weights = draw_violators(
        scores,
        torch.zeros(n, dtype=torch.int64),
        is_label,
        generator=torch.Generator().manual_seed(0),
    )
    drawn = zip(violators.tolist(), weights.tolist(), strict=True)
    expected = Counter((j, round(w, 6)) for j, w in looped if w > 0)
    found = Counter((j, round(w, 6)) for j, w in drawn if w > 0)
    assert found.keys() == expected.keys()
    for outcome, count in expected.items():  # within five standard errors of each other
        assert abs(found[outcome] - count) < 5 * math.sqrt(2 * count)


def test_warp_is_the_loop_where_there_is_one_way_to_go():
    """All wrong labels violate: the first draw does, so the rank is their number."""
    scores = torch.tensor([[0.0, 0.25, 0.25, 0.25]], requires_grad=True)
    is_label = torch.tensor([[True, False, False, False]])
    loss = warp(scores, torch.tensor([0]), is_label)
    weight = 1 + 1 / 2 + 1 / 3
    assert loss.item() == pytest.approx(weight * 1.25)
    loss.sum().backward()
    assert scores.grad[0, 0].item() == pytest.approx(-weight)
    assert sorted(scores.grad[0, 1:].tolist()) == pytest.approx([0, 0, weight])


def test_warp_is_zero_where_nothing_violates():
    scores = torch.tensor([[2.0, 0.9, -3.0], [2.0, 5.0, 4.0]], requires_grad=True)
    is_label = torch.tensor([[True, False, False], [True, True, True]])
    loss = warp(scores, torch.tensor([0, 0]), is_label)
    assert loss.tolist() == [0, 0]
    loss.sum().backward()
    assert not scores.grad.any()


def test_warp_of_one_wrong_label_needs_one_draw():
    """Whatever chance says; its margin decides whether it is too near."""
    scores = torch.tensor([[0.0, -1.5]], dtype=torch.float64).repeat(200, 1)
    rows, is_label = torch.zeros(200, dtype=torch.int64), torch.eye(2)[:1] > 0
    is_label = is_label.repeat(200, 1)
    found = warp(scores, rows, is_label, margin=2.0)
    np.testing.assert_allclose(found, 0.5)  # L(1) = 1
    assert (warp(scores, rows, is_label, margin=1.0) == 0).all()
    # A label that trails by just the margin violates nothing.
    assert (warp_of_ranks(scores, rows, is_label, margin=1.5) == 0).all()
    _, weights = draw_violators(scores, rows, is_label, margin=1.5)
    assert (weights == 0).all()


def test_warp_of_ranks_known_values():
    """One label too near by 1.5, or that and two by 0.5."""
    scores = torch.tensor([[0.0, 0.5, -3.0, -3.0], [0.0, 0.5, -0.5, -0.5]])
    is_label = (torch.eye(4)[:1] > 0).repeat(2, 1)
    found = warp_of_ranks(scores, torch.tensor([0, 0]), is_label)
    assert found.tolist() == pytest.approx([1.5, (1 + 1 / 2 + 1 / 3) * 2.5 / 3])


def test_warp_gradient_is_the_loops():
    """Of embeddings: c (w_j - w_y) for the frame, -c h and c h for the two labels."""
    rng = np.random.default_rng(5)
    h, W = rng.normal(size=(7, 4)), rng.normal(size=(9, 4))
    positives, is_label = torch.arange(7), torch.zeros(7, 9, dtype=torch.bool)
    is_label[torch.arange(7), positives] = True
    is_label[2, 8] = True
    draw = {"generator": torch.Generator().manual_seed(3)}
    violators, weights = draw_violators(
        torch.from_numpy(h @ W.T), positives, is_label, **draw
    )
    dh, dW, total = np.zeros_like(h), np.zeros_like(W), 0.0
    for i, (j, c) in enumerate(zip(violators.tolist(), weights.tolist(), strict=True)):
        if c > 0:
            total += c * (1 - h[i] @ W[i] + h[i] @ W[j])
            dh[i] += c * (W[j] - W[i])
            dW[i] -= c * h[i]
            dW[j] += c * h[i]
    h, W = (torch.tensor(a, requires_grad=True) for a in (h, W))
    draw["generator"].manual_seed(3)
    loss = warp(h @ W.T, positives, is_label, **draw).sum()
    loss.backward()
    assert loss.item() == pytest.approx(total)
    np.testing.assert_allclose(h.grad, dh, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(W.grad, dW, rtol=1e-10, atol=1e-12)


def test_warp_of_ranks_is_the_loop():
    rng = np.random.default_rng(6)
    scores, is_label = rng.normal(size=(8, 10)), rng.random((8, 10)) < 0.2
    positives = rng.integers(10, size=8)
    is_label[np.arange(8), positives] = True
    expected = []
    for s, y, own in zip(scores, positives, is_label, strict=True):
        gaps = [
            1 - s[y] + s[j] for j in range(10) if not own[j] and 1 - s[y] + s[j] > 0
        ]
        cost = sum(1 / i for i in range(1, len(gaps) + 1))
        expected.append(cost * sum(gaps) / max(1, len(gaps)))
    arrays = (scores, positives, is_label)
    found = warp_of_ranks(*map(torch.from_numpy, arrays))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_harmonic():
    n = torch.tensor([0.0, 1.0, 2.0, 4.0], dtype=torch.float64)
    np.testing.assert_allclose(harmonic(n), [0, 1, 1.5, 25 / 12], atol=1e-12)


@pytest.mark.parametrize("block", [1, 25, 40, 1000])
def test_a_softmax_in_blocks_is_the_plain_one(block):
    """Values and all gradients, whether the blocks divide the 11 classes or not."""
    rng = np.random.default_rng(0)
    shapes = (5, 3), (11, 3), (11,)
    arrays = [torch.from_numpy(rng.normal(size=shape)) for shape in shapes]
    arrays = [array.requires_grad_() for array in arrays]
    target = torch.tensor([0, 10, 4, 4, 7])
    units, weight, bias = arrays
    logits = (units @ weight.T + bias).detach().numpy()
    expected = [
        math.log(sum(math.exp(z) for z in row)) - row[y]
        for row, y in zip(logits, target.tolist(), strict=True)
    ]
    found = softmax_of_many(units, weight, bias, target, block=block)
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-5)
    gradients = torch.autograd.grad(found.sum(), arrays)
    plain = torch.nn.functional.cross_entropy(
        units @ weight.T + bias, target, reduction="sum"
    )
    for a, b in zip(gradients, torch.autograd.grad(plain, arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_softmax_over_many_classes_makes_few_logits(monkeypatch):
    """50,000 classes, 8 rows: no more logits at a time than asked for."""
    sizes = []
    linear = torch.nn.functional.linear

    def note(*arguments):
        logits = linear(*arguments)
        sizes.append(logits.numel())
        return logits

    monkeypatch.setattr(torch.nn.functional, "linear", note)
    units = torch.zeros(8, 2, requires_grad=True)
    weight, bias = torch.zeros(50_000, 2, requires_grad=True), torch.zeros(50_000)
    losses = softmax_of_many(units, weight, bias, torch.arange(8), block=80_000)
    losses.sum().backward()
    np.testing.assert_allclose(losses.detach(), math.log(50_000), rtol=1e-6)
    assert len(sizes) == 10  # five blocks, forward and again backward
    assert max(sizes) == 80_000


def test_losses_by_name():
    """mse and cosine are the two parts of mse_cosine."""
    rng = np.random.default_rng(0)
    y, t = torch.from_numpy(rng.normal(size=(2, 6, 5)))
    parts = [make_loss(name)(predicted=y, target=t) for name in ("mse", "cosine")]
    torch.testing.assert_close(sum(parts), mse_cosine(y, t))


def test_losses_that_do_not_fit():
    with pytest.raises(ValueError, match="loss='mae', expected one of 'mse', 'cosine'"):
        make_loss("mae")
    with pytest.raises(
        ValueError, match=r"'mse', a loss of predicted, target, but .*x"
    ):
        make_loss("mse", given=("x",))
    with pytest.raises(ValueError, match=r"'alpha' for kd_loss='mse'.* are: none"):
        make_loss("mse", {"alpha": 1}, option="kd_loss")
