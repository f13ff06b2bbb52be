"""Losses against loops."""

import math

import numpy as np
import pytest
import torch

from userlogfeat.losses import mse_cosine, sampled_softmax, weighted_mean


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


def test_weighted_mean():
    losses = torch.tensor([1.0, 2.0, 6.0])
    assert weighted_mean(losses).item() == 3
    assert weighted_mean(losses, torch.tensor([1.0, 1.0, 0.0])).item() == 1.5
    assert weighted_mean(losses, torch.zeros(3)).item() == 0


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
def test_the_correction_makes_every_way_of_drawing_tell_the_same(power):
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
