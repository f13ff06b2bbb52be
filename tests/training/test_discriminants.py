"""Discriminant analysis: known directions, scikit-learn as judge, few songs each."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from userlogfeat.training.discriminants import (
    _contrasts,
    check_shrinkage,
    fit_discriminants,
)


def make_classes(n_classes=6, n_rows=20, n_features=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes), rng.integers(2, n_rows, n_classes))
    means = rng.normal(size=(n_classes, n_features))
    mixing = rng.normal(size=(n_features, n_features))
    noise = rng.normal(size=(len(labels), n_features)) @ mixing
    order = rng.permutation(len(labels))
    return (means[labels] + noise)[order], labels[order]


def within(rows, labels):
    """Pooled covariance within classes, by a loop."""
    total, dof = 0.0, 0
    for label in np.unique(labels):
        own = rows[labels == label]
        total = total + (own - own.mean(axis=0)).T @ (own - own.mean(axis=0))
        dof += len(own) - 1
    return total / dof


def test_contrasts_have_the_covariance_within_classes():
    X, y = make_classes()
    rows = _contrasts(X, y)
    assert len(rows) == len(X) - 6
    np.testing.assert_allclose(rows.T @ rows / len(rows), within(X, y))


def test_against_scikit_learn():
    """Without shrinkage: the same components.

    Whose covariance within classes is one: scikit-learn 1.9.0 divided that by another
    number than 1.9.1, so the judge is scaled by its own.
    """
    X, y = make_classes()
    weight, bias, used = fit_discriminants(X, y, 5, shrinkage=0)
    assert used == 0
    found = X @ weight.T + bias
    judge = LinearDiscriminantAnalysis(solver="svd").fit_transform(X, y)
    judge /= np.sqrt(np.diag(within(judge, y)))
    np.testing.assert_allclose(np.abs(found), np.abs(judge), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(within(found, y), np.eye(5), atol=1e-10)


def test_the_direction_is_known():
    """Classes apart along (1, 1), noise along (1, -1): the weights are alike."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 2000)
    along = rng.normal(size=4000) + 3 * labels
    across = 30 * rng.normal(size=4000)
    X = np.stack([along + across, along - across], axis=1)
    weight, bias, _ = fit_discriminants(X, labels, 1, 0.0)
    assert weight[0, 0] / weight[0, 1] == pytest.approx(1, abs=0.05)
    assert (weight[0] > 0).all()
    np.testing.assert_allclose((X @ weight.T + bias).std(), np.sqrt(3.25), rtol=0.05)


def test_full_shrinkage_knows_no_correlation():
    X, y = make_classes()
    weight, _, used = fit_discriminants(X, y, 2, shrinkage=1.0)
    assert used == 1
    spread = np.sqrt(np.diag(within(X, y)))
    counts = np.bincount(y)
    centred = [X[y == c].mean(axis=0) - X.mean(axis=0) for c in range(6)]
    between = np.sqrt(counts / len(X))[:, None] * np.array(centred) / spread
    _, _, directions = np.linalg.svd(between)
    np.testing.assert_allclose(np.abs(weight), np.abs(directions[:2] / spread))


def test_shrinkage_is_ledoit_and_wolfs_and_falls_with_rows():
    shares = []
    for n_rows in (3, 300):
        X, y = make_classes(n_rows=n_rows, seed=1)
        rows = _contrasts(X, y)
        rows = rows / np.sqrt(np.square(rows).mean(axis=0))
        expected = ledoit_wolf_shrinkage(rows, assume_centered=True)
        shares.append(fit_discriminants(X, y, 2)[2])
        assert shares[-1] == pytest.approx(expected)
    assert shares[0] > 5 * shares[1]


def test_few_songs_of_many_artists():
    """40 artists of two songs, 100 features: shrunk, new songs are named better."""
    rng = np.random.default_rng(0)
    means = 4 * rng.normal(size=(40, 100)) * (np.arange(100) < 10)
    mixing = rng.normal(size=(100, 100)) / 10

    def songs(n):
        labels = np.repeat(np.arange(40), n)
        return means[labels] + rng.normal(size=(len(labels), 100)) @ mixing, labels

    X, y = songs(2)
    new, names = songs(5)

    def named(shrinkage):
        weight, *_ = fit_discriminants(X, y, 39, shrinkage)
        places = np.stack([(X @ weight.T)[y == c].mean(axis=0) for c in range(40)])
        distances = np.linalg.norm((new @ weight.T)[:, None] - places, axis=2)
        return (distances.argmin(axis=1) == names).mean()

    assert named("auto") > named(0.0) + 0.2


def test_the_same_whatever_the_units_and_the_order():
    X, y = make_classes()
    weight, bias, _ = fit_discriminants(X, y, 3)
    expected = X @ weight.T + bias
    units = np.array([1e-3, 1.0, 1e3, 7.0, 0.2])
    weight, bias, _ = fit_discriminants(X * units, y, 3)
    np.testing.assert_allclose(np.abs(X * units @ weight.T + bias), np.abs(expected))


def test_constant_columns_and_too_few_dimensions():
    """Dead units get no weight; components beyond what classes span are zeros."""
    X, y = make_classes(n_classes=3)
    X = np.concatenate([X, np.zeros((len(X), 2))], axis=1)
    for shrinkage in (0.0, "auto"):
        weight, *_ = fit_discriminants(X, y, 2, shrinkage)
        assert np.isfinite(weight).all()
        assert np.abs(weight[:, 5:]).max() < 1e-12
    flat = np.zeros((len(X), 3))
    flat[:, 0] = X[:, 0]
    weight, *_ = fit_discriminants(flat, y, 2, 0.0)
    assert weight[0].any()
    assert not weight[1].any()


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 1.0, "auto"])
@pytest.mark.parametrize("noise", [0, 1e-7])
def test_rows_that_are_copies(shrinkage, noise):
    """They gave weights of 1e14: copies say nothing of the spread within classes."""
    rng = np.random.default_rng(0)
    X = np.repeat(1 + rng.normal(size=(12, 5)), 4, axis=0)
    X = (X + noise * rng.normal(size=X.shape)).astype(np.float32)
    with pytest.raises(ValueError, match=r"\(songs\) of each class .* are the same"):
        fit_discriminants(X, np.repeat(np.arange(12), 4), 3, shrinkage)


def test_copies_in_some_classes_only():
    """The others say how much rows differ: three songs among eleven times four."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(12), 4)
    X = np.repeat(3 * rng.normal(size=(12, 5)), 4, axis=0)
    X[:4] += rng.normal(size=(4, 5))
    weight, bias, _ = fit_discriminants(X, y, 5)
    assert np.abs(X @ weight.T + bias).max() < 100


def test_a_feature_without_spread_within_classes():
    """In whatever unit, it counts as far as shrinkage lets it; without, not at all."""
    X, y = make_classes()
    signal = np.random.default_rng(1).normal(size=6)[y]
    found = []
    for unit in (1.0, 1e6):
        both = np.column_stack([X, unit * signal])
        weight, bias, _ = fit_discriminants(both, y, 5, shrinkage=0.1)
        found.append(both @ weight.T + bias)
        weight, *_ = fit_discriminants(both, y, 5, shrinkage=0.0)
        assert not weight[:, 5].any()
    np.testing.assert_allclose(*np.abs(found), atol=1e-8)
    assert np.corrcoef(found[0][:, 0], signal)[0, 1] ** 2 > 0.5
    assert np.abs(found[0]).max() < 30


def test_one_difference_has_no_correlations():
    """Two songs and one: the fewest there can be, for which shrinkage was 0."""
    X = np.random.default_rng(0).normal(size=(3, 4))
    weight, bias, used = fit_discriminants(X, np.array([0, 0, 1]), 1)
    assert used == 1.0
    assert np.abs(X @ weight.T + bias).max() < 10


@pytest.mark.parametrize("shrinkage", [0.0, "auto"])
def test_rows_that_are_all_the_same(shrinkage):
    """A network that has died: nothing is made of it."""
    weight, bias, _ = fit_discriminants(
        np.ones((6, 3)), np.arange(6) // 2, 2, shrinkage
    )
    assert not weight.any()
    assert not bias.any()


def test_no_class_has_two_rows():
    with pytest.raises(ValueError, match="No class has two rows"):
        fit_discriminants(np.eye(4), np.arange(4), 2)


@pytest.mark.parametrize("value", [-0.1, 1.1, "much", None, True, float("nan")])
def test_bad_shrinkage(value):
    with pytest.raises(ValueError, match="Got shrinkage="):
        check_shrinkage(value)


@pytest.mark.parametrize("value", ["auto", 0, 0.5, 1.0])
def test_good_shrinkage(value):
    check_shrinkage(value)
