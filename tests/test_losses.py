"""Losses against loops."""

import math

import numpy as np
import pytest
import torch

from userlogfeat.losses import mse_cosine, weighted_mean


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
