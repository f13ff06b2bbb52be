import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from userlogfeat import CFRegressor
from userlogfeat.evaluation.factors import (
    cosine_scorer,
    mean_cosine,
    own_artist_percentile,
    own_artist_scorer,
)


@pytest.fixture(scope="module")
def planted():
    """Features (120, 6) of 30 artists, and factors whose lengths say nothing."""
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(30), 4)
    sound = rng.normal(size=(30, 6))
    factors = sound[:, :3] * rng.uniform(0.01, 100, size=(30, 1))
    X = sound[artists] + 0.1 * rng.normal(size=(120, 6))
    return X, factors[artists], artists


def test_percentile_is_that_of_a_loop(planted):
    _, factors, artists = planted
    rng = np.random.default_rng(1)
    estimates = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    estimates = estimates + rng.normal(size=factors.shape)
    estimates[0] = 0  # as far from all
    shares = {artist: [] for artist in artists}
    for estimate, artist in zip(estimates, artists, strict=True):
        near = [
            factors[artists == a][0]
            @ estimate
            / np.linalg.norm(factors[artists == a][0])
            for a in np.unique(artists)
        ]
        others = np.delete(near, artist)
        farther = (others < near[artist]).sum() + (others == near[artist]).sum() / 2
        shares[artist].append(farther / 29)
    expected = np.mean([np.mean(values) for values in shares.values()])
    assert own_artist_percentile(factors, estimates) == pytest.approx(expected)
    found = own_artist_percentile(factors, estimates, artists=artists)
    assert found == pytest.approx(expected)
    assert own_artist_percentile(factors, np.ones_like(factors)) == pytest.approx(0.5)


def test_lengths_do_not_count(planted):
    _, factors, _ = planted
    assert mean_cosine(factors, factors * 1e-200) == pytest.approx(1)
    assert mean_cosine(factors * 1e200, -factors) == pytest.approx(-1)
    assert own_artist_percentile(factors, factors * 1e200) == 1


def test_score_is_of_what_is_learned(planted):
    """Was: estimates of unit factors against raw ones, about 0 for a good teacher."""
    X, factors, _ = planted
    teacher = CFRegressor("mlp", random_state=0).fit(X[:80], factors[:80])
    unit = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    assert teacher.score(X[80:], factors[80:]) > 0.6
    assert teacher.score(X[80:], factors[80:]) == pytest.approx(
        teacher.score(X[80:], unit[80:]), abs=1e-6
    )
    raw = CFRegressor("mlp", factor_norm="raw", random_state=0)
    assert raw.fit(X, unit).score(X, 100 * unit) < 0.1
    with pytest.raises(ValueError, match=r"1 rows of y are all zeros \(first: row 0\)"):
        teacher.score(X, np.concatenate([np.zeros((1, 3)), factors[1:]]))


@pytest.mark.parametrize("scorer", [cosine_scorer, own_artist_scorer, None])
def test_searches_choose_by_them(planted, scorer):
    X, factors, _ = planted
    teacher = CFRegressor("mlp", random_state=0)
    grid = GridSearchCV(teacher, {"alphas": [[1.0], [1e7]]}, scoring=scorer, cv=2)
    assert grid.fit(X, factors).best_params_["alphas"] == [1.0]
    assert grid.best_score_ > 0.6


@pytest.mark.parametrize(
    ("factors", "estimates", "message"),
    [
        ([[1, 2], [0, 0]], [[1, 2], [3, 4]], r"1 rows of factors are all zeros"),
        ([[1, 2]], [[1, 2, 3]], r"\(1, 2\) and estimates of \(1, 3\)"),
        ([[1], [2]], [[1], [2]], "two factors or more"),
        ([[1, 2], [1, 2]], [[1, 2], [3, 4]], "of one artist, expected two or more"),
        ([[1, np.nan], [1, 2]], [[1, 2], [3, 4]], "factors contains NaN"),
    ],
)
def test_factors_that_cannot_be_ranked(factors, estimates, message):
    with pytest.raises(ValueError, match=message):
        own_artist_percentile(factors, estimates)
