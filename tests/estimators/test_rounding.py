"""Sums that a large common offset would round away, against the same without it."""

import numpy as np
import pytest

from userlogfeat.estimators._artists import nearest_artists
from userlogfeat.estimators._training import moments_of_bands
from userlogfeat.training.discriminants import _contrasts

RNG = np.random.default_rng(0)


def test_the_nearest_artist():
    artists, clips = RNG.normal(size=(8, 3)), RNG.normal(size=(50, 3))
    far = np.linalg.norm(clips[:, None] - artists[None], axis=2)
    expected = far.argmin(axis=1)
    np.testing.assert_array_equal(nearest_artists(clips, artists), expected)
    moved = nearest_artists(clips + 1e9, artists + 1e9)
    np.testing.assert_array_equal(moved, expected)


def testmoments_of_bands():
    store = [RNG.normal(size=(3, n)) * [[1], [1e-2], [0]] for n in (5, 40)]
    everything = np.concatenate(store, axis=1)
    for offset in (0, 1e4):
        mean, deviation = moments_of_bands([clip + offset for clip in store])
        np.testing.assert_allclose(mean - offset, everything.mean(axis=1), atol=1e-8)
        expected = [*everything.std(axis=1)[:2], 1]
        assert deviation == pytest.approx(expected, rel=1e-5)


def test_contrasts_within_classes():
    X, y = RNG.normal(size=(200, 3)), np.arange(200) % 4
    found = _contrasts(X + 1e12, y)
    np.testing.assert_allclose(found, _contrasts(X, y), atol=2e-3)
