import numpy as np
import pytest

from userlogfeat.evaluation import bootstrap
from userlogfeat.evaluation.significance import (
    bootstrap_difference,
    bootstrap_interval,
)


def width(interval):
    return interval.high - interval.low


def test_draws_are_those_of_a_loop(monkeypatch):
    """The means of drawn tables, against tables that are really made."""
    rng = np.random.default_rng(0)
    outcomes, tested = rng.random((3, 7)), rng.random((3, 7)) < 0.8
    made = []

    def counts(n_draws, n, rng):
        drawn = rng.integers(n, size=(n_draws, n))
        made.append(drawn)
        return np.array([np.bincount(row, minlength=n) for row in drawn], float)

    monkeypatch.setattr(bootstrap, "_draw_counts", counts)
    means = bootstrap._draw_means(np.where(tested, outcomes, 0), tested * 1.0, 50, rng)
    seeds, clips = made
    for mean, i, j in zip(means, seeds, clips, strict=True):
        table, mask = outcomes[np.ix_(i, j)], tested[np.ix_(i, j)]
        assert mean == pytest.approx(table[mask].mean())


def test_counts_are_draws_with_replacement():
    counts = bootstrap._draw_counts(20000, 4, np.random.default_rng(0))
    assert (counts.sum(axis=1) == 4).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(counts.var(axis=0), 0.75, atol=0.03)  # n p (1 - p)


def test_width_over_clips_is_that_of_the_binomial():
    """0.7 of 400 clips: 2 * 1.96 * sqrt(0.7 * 0.3 / 400) = 0.0898."""
    interval = bootstrap_interval(np.arange(400) % 10 < 7, n_bootstrap=20000)
    assert interval.mean == pytest.approx(0.7)
    assert width(interval) == pytest.approx(0.0898, rel=0.05)


def test_width_over_seeds():
    """All clips alike: only seeds vary, sd 0.1 (over n) of 25 seeds."""
    seeds = np.tile([0.4, 0.6], 25)[:, None] * np.ones((1, 30))
    interval = bootstrap_interval(seeds, n_bootstrap=20000)
    assert width(interval) == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(50), rel=0.07)


def test_more_seeds_are_not_more_clips():
    """Ten seeds that agree say no more about the clips than one."""
    correct = np.random.default_rng(0).random(200) < 0.6
    one = bootstrap_interval(correct, n_bootstrap=5000)
    ten = bootstrap_interval(np.tile(correct, (10, 1)), n_bootstrap=5000)
    assert width(ten) == pytest.approx(width(one), rel=0.1)


def test_intervals_cover_the_truth():
    """Clips and seeds both vary: 95 % of intervals, or some more, have the mean 0."""
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        table = rng.normal(size=(15, 1)) + rng.normal(size=(1, 40))
        table = table + rng.normal(size=(15, 40))
        _, low, high = bootstrap_interval(table, n_bootstrap=400, seed=seed)
        covered += low <= 0 <= high
    assert 180 <= covered <= 200  # 190 expected, sd 3; 15 seeds narrow it a little


def test_artists_are_drawn_whole():
    """Forty clips in four artists who are all right or all wrong: wider by sqrt(10)."""
    correct = np.repeat(np.tile([0, 1], 20), 10)
    artists = np.repeat(np.arange(40), 10)
    clips = bootstrap_interval(correct, n_bootstrap=5000)
    groups = bootstrap_interval(correct, groups=artists, n_bootstrap=5000)
    assert groups.mean == clips.mean == 0.5
    assert width(groups) == pytest.approx(width(clips) * np.sqrt(10), rel=0.1)


def test_groups_of_one_clip_are_clips():
    outcomes = np.random.default_rng(0).random((3, 20))
    expected = bootstrap_interval(outcomes)
    assert bootstrap_interval(outcomes, groups=np.arange(20)) == pytest.approx(expected)
    assert bootstrap_interval(outcomes, groups=[None] * 20) == pytest.approx(expected)


def test_what_was_not_tested_is_ignored():
    outcomes = np.array([[1.0, 0.0, np.nan], [np.nan, 0.0, 1.0]])
    interval = bootstrap_interval(outcomes, tested=~np.isnan(outcomes))
    assert interval.mean == 0.5
    assert 0 <= interval.low <= interval.high <= 1


def test_blocks_change_nothing_that_matters(monkeypatch):
    outcomes = np.random.default_rng(0).random((3, 50))
    whole = bootstrap_interval(outcomes, n_bootstrap=4000)
    monkeypatch.setattr(bootstrap, "_BLOCK", 1000)
    assert bootstrap_interval(outcomes, n_bootstrap=4000) == pytest.approx(
        whole, abs=0.01
    )


def test_the_seed_decides():
    outcomes = np.random.default_rng(0).random(30)
    assert bootstrap_interval(outcomes, seed=3) == bootstrap_interval(outcomes, seed=3)
    assert bootstrap_interval(outcomes, seed=3) != bootstrap_interval(outcomes, seed=4)


def test_a_higher_level_is_wider():
    outcomes = np.random.default_rng(0).random(30)
    widths = [width(bootstrap_interval(outcomes, level=p)) for p in (0.5, 0.9, 0.99)]
    assert widths == sorted(widths)


def test_differences_are_paired():
    """A model that is better by 0.1 for every clip, whatever the clips."""
    base = np.random.default_rng(0).random((2, 30))
    interval = bootstrap_difference(base + 0.1, base)
    assert interval == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize(
    ("outcomes", "settings", "message"),
    [
        ([1, np.nan], {}, r"tested=~numpy.isnan"),
        ([], {}, r"shape \(0,\)"),
        (np.ones((2, 2, 2)), {}, r"shape \(2, 2, 2\)"),
        ([1, 0], {"tested": [True]}, r"tested of shape \(1,\) for outcomes of \(2,\)"),
        ([1, 0], {"tested": [False, False]}, "without any True"),
        ([1, 0], {"groups": [1]}, "1 groups for 2 clips"),
        ([1, 0], {"level": 95}, "level=95"),
        ([1, 0], {"n_bootstrap": 0}, "n_bootstrap=0"),
    ],
)
def test_outcomes_without_interval(outcomes, settings, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(outcomes, **settings)


def test_differences_of_other_clips():
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\), expected the same clips"):
        bootstrap_difference([1, 2], [1, 2, 3])
