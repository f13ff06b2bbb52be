import numpy as np
import pytest
from scipy import stats

from userlogfeat.evaluation.intervals import mean_interval


def width(interval):
    return interval.high - interval.low


def jackknife(table, tested):
    """Squared standard error of the mean over rows: means without each row, really."""
    rows = np.flatnonzero(tested.any(axis=1))
    means = []
    for left in rows:
        kept = np.arange(len(table)) != left
        means.append(table[kept][tested[kept]].mean())
    spread = np.square(np.array(means) - table[tested].mean()).sum()
    return (len(rows) - 1) / len(rows) * spread


def test_width_is_that_of_a_loop():
    """Clips that not every seed tested, in artists of unequal size."""
    rng = np.random.default_rng(0)
    outcomes, tested = rng.normal(size=(4, 30)), rng.random((4, 30)) < 0.8
    artists = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 15])
    by_artist = [
        np.where(tested & (artists == a), outcomes, np.nan).ravel() for a in range(6)
    ]
    by_artist = np.array(by_artist)
    variance = jackknife(by_artist, ~np.isnan(by_artist))
    sizes = np.array([(tested & (artists == a)).sum() for a in range(6)])
    df = sizes.sum() ** 2 / (sizes**2).sum() - 1
    half = [stats.t.ppf(0.975, df) * np.sqrt(variance)]
    sizes = tested.sum(axis=1)
    df = sizes.sum() ** 2 / (sizes**2).sum() - 1
    half.append(stats.t.ppf(0.975, df) * np.sqrt(jackknife(outcomes, tested)))
    found = mean_interval(outcomes, tested=tested, groups=artists)
    assert found.mean == pytest.approx(outcomes[tested].mean())
    assert width(found) == pytest.approx(2 * np.hypot(*half))


def test_few_values_have_the_t_interval():
    values = [0.3, 0.9, 0.5, 0.4, 0.2]
    judge = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values)[1:] == pytest.approx(tuple(judge))


def test_a_share_has_the_interval_of_wilson():
    """With many clips; t is then z, and 1/n is 1/(n - 1)."""
    correct = np.arange(4000) % 20 < 19
    judge = stats.binomtest(int(correct.sum()), 4000).proportion_ci(method="wilson")
    assert mean_interval(correct)[1:] == pytest.approx(tuple(judge), abs=1e-5)


def test_all_correct_is_not_certain():
    """Was: 1.0 (1.0 to 1.0) for twenty clips of a model that errs in one of twenty."""
    judge = stats.binomtest(20, 20).proportion_ci(method="exact")
    assert mean_interval([1] * 20) == pytest.approx((1, judge.low, 1))
    assert mean_interval([0] * 20) == pytest.approx((0, 0, 1 - judge.low))
    one = mean_interval([1] * 20, groups=["an artist"] * 20)
    assert one == pytest.approx((1, 0.025, 1))
    same = mean_interval([0] * 20, bounds=(-1, 1))
    assert same == pytest.approx((0, judge.low - 1, 1 - judge.low))
    assert mean_interval([0.25] * 20) == (0.25, 0.25, 0.25)
    assert mean_interval([0.25]) == (0.25, -np.inf, np.inf)


def test_bounds_are_kept():
    rng = np.random.default_rng(0)
    shares = rng.beta(9, 1, size=(3, 6))
    assert mean_interval(shares, bounds=(0, 1)).high < 1 < mean_interval(shares).high
    errors = rng.exponential(size=(3, 6)) ** 3
    assert mean_interval(errors, bounds=(0, np.inf)).low > 0 > mean_interval(errors).low
    upside_down = mean_interval(-errors, bounds=(-np.inf, 0))
    assert upside_down == pytest.approx(
        [-x for x in np.take(mean_interval(errors, bounds=(0, np.inf)), [0, 2, 1])]
    )
    first, second = [1, 1, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0]
    difference = mean_interval(np.subtract(first, second), bounds=(-1, 1))
    twice = np.subtract(first, second) * 2.0
    scaled = mean_interval(twice, bounds=(-2, 2))
    assert np.multiply(difference, 2) == pytest.approx(scaled)
    assert difference.high < 1


@pytest.mark.parametrize("n_groups", [5, 10])
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_intervals_of_few_groups_and_seeds_cover(n_groups, n_seeds):
    """Percentiles of a bootstrap cover 84 % with 5 groups, and 75 to 90 % here."""
    rng = np.random.default_rng(n_groups)
    groups, covered = np.repeat(np.arange(n_groups), 8), 0
    for _ in range(300):
        table = rng.normal(size=(n_seeds, 1)) * (n_seeds > 1)
        table = table + np.repeat(rng.normal(size=n_groups), 8)
        table = table + rng.normal(size=(n_seeds, 8 * n_groups))
        _, low, high = mean_interval(table, groups=groups)
        covered += low <= 0 <= high
    assert covered >= 275  # 285 expected, sd 4


def test_width_over_clips_is_that_of_the_binomial():
    """0.7 of 400 clips: 2 * 1.96 * sqrt(0.7 * 0.3 / 400) = 0.0898."""
    interval = mean_interval(np.arange(400) % 10 < 7)
    assert interval.mean == pytest.approx(0.7)
    assert width(interval) == pytest.approx(0.0898, rel=0.05)


def test_width_over_seeds():
    """All clips alike: only seeds vary, sd 0.1 (over n) of 25 seeds."""
    seeds = np.tile([0.4, 0.6], 25)[:, None] * np.ones((1, 30))
    interval = mean_interval(seeds)
    assert width(interval) == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(50), rel=0.07)


def test_more_seeds_are_not_more_clips():
    """Ten seeds that agree say no more about the clips than one."""
    correct = np.random.default_rng(0).random(200) < 0.6
    one = mean_interval(correct)
    ten = mean_interval(np.tile(correct, (10, 1)))
    assert width(ten) == pytest.approx(width(one), rel=0.1)


def test_artists_vary_whole():
    """Forty clips in four artists who are all right or all wrong: wider by sqrt(10)."""
    correct = np.repeat(np.tile([0, 1], 20), 10)
    artists = np.repeat(np.arange(40), 10)
    clips = mean_interval(correct)
    groups = mean_interval(correct, groups=artists)
    assert groups.mean == clips.mean == 0.5
    assert width(groups) == pytest.approx(width(clips) * np.sqrt(10), rel=0.1)


def test_groups_of_one_clip_are_clips():
    outcomes = np.random.default_rng(0).random((3, 20))
    expected = mean_interval(outcomes)
    assert mean_interval(outcomes, groups=np.arange(20)) == pytest.approx(expected)
    assert mean_interval(outcomes, groups=[None] * 20) == pytest.approx(expected)


def test_what_was_not_tested_is_ignored():
    outcomes = np.array([[1.0, 0.0, np.nan], [np.nan, 0.0, 1.0]])
    interval = mean_interval(outcomes, tested=~np.isnan(outcomes))
    assert interval.mean == 0.5
    assert 0 <= interval.low <= interval.high <= 1


def test_a_higher_level_is_wider():
    outcomes = np.random.default_rng(0).random(30)
    widths = [width(mean_interval(outcomes, level=p)) for p in (0.5, 0.9, 0.99)]
    assert widths == sorted(widths)


def test_differences_are_paired():
    """A model that is better by 0.1 for every clip, whatever the clips."""
    base = np.random.default_rng(0).random((2, 30))
    interval = mean_interval(base + 0.1 - base)
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
        ([1, 3], {"bounds": (0, 1)}, r"bounds=\(0, 1\) and outcomes from 1 to 3"),
        ([1, 0], {"bounds": (1, 0)}, r"bounds=\(1, 0\)"),
    ],
)
def test_outcomes_without_interval(outcomes, settings, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(outcomes, **settings)
