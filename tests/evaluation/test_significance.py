import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from userlogfeat.evaluation.significance import (
    cohens_dz,
    holm,
    paired_ttest,
    wilcoxon,
)

TESTS = [paired_ttest, wilcoxon]


@pytest.fixture
def scores():
    """Accuracies of two models in ten folds."""
    rng = np.random.default_rng(0)
    base = rng.normal(0.6, 0.05, 10)
    return base + rng.normal(0.01, 0.02, 10), base


def test_ttest_is_that_of_scipy(scores):
    judge = stats.ttest_rel(*scores)
    found = paired_ttest(*scores)
    assert found.statistic == pytest.approx(judge.statistic)
    assert found.p_value == pytest.approx(judge.pvalue)
    assert found.mean_difference == pytest.approx(np.mean(scores[0] - scores[1]))
    assert (found.method, found.n_pairs) == ("paired t-test", 10)


def test_corrected_ttest_by_hand():
    """Differences 1, 2, 3: mean 2, var 1. t = 2 / sqrt(1/3 + 1/2) = 2.1909."""
    found = paired_ttest([1, 2, 3], [0, 0, 0], n_train=200, n_test=100)
    assert found.statistic == pytest.approx(2 / np.sqrt(5 / 6))
    # With 2 degrees of freedom P(|T| > t) = 1 - t / sqrt(2 + t^2).
    t = found.statistic
    assert found.p_value == pytest.approx(1 - t / np.sqrt(2 + t**2))
    assert found.method == "corrected resampled t-test"


def test_ten_folds_are_corrected_by_what_they_share(scores):
    """1/10 becomes 1/10 + 1/9: t is smaller by sqrt(19/9)."""
    plain = paired_ttest(*scores)
    corrected = paired_ttest(*scores, n_train=900, n_test=100)
    ratio = plain.statistic / corrected.statistic
    assert ratio == pytest.approx(np.sqrt(19 / 9))
    assert corrected.p_value > plain.p_value


def test_correction_needs_both_sizes(scores):
    with pytest.raises(ValueError, match="one of n_train and n_test"):
        paired_ttest(*scores, n_train=9)
    with pytest.raises(ValueError, match="n_test=0"):
        paired_ttest(*scores, n_train=9, n_test=0)


def test_wilcoxon_is_that_of_scipy_without_ties(scores):
    judge = stats.wilcoxon(*scores, method="exact")
    found = wilcoxon(*scores)
    assert found.statistic == judge.statistic
    assert found.p_value == pytest.approx(judge.pvalue)
    assert found.mean_difference == pytest.approx(np.mean(scores[0] - scores[1]))


def test_wilcoxon_counts_the_lowest_rank():
    """Ranks 1, 2 and 3 of 1, -2 and -3: the positive ones have the sum 1."""
    assert wilcoxon([1, 0, 0], [0, 2, 3]).statistic == 1


def test_wilcoxon_of_sixteen_ties_is_exact():
    """Of 2^16 signs of equal ranks, C(16, k) have k positive ones."""
    difference = [1] * 12 + [-1] * 4
    at_least_as_far = 2 * sum(math.comb(16, k) for k in range(5))
    assert wilcoxon(difference, np.zeros(16)).p_value == at_least_as_far / 2**16


@pytest.mark.parametrize("n", [30, 500])
def test_wilcoxon_of_many_pairs_is_that_of_scipy(n):
    rng = np.random.default_rng(2)
    first, second = rng.normal(0.1, 1, n), rng.normal(0, 1, n)
    first[:5] = second[:5]
    judge = stats.wilcoxon(first, second, zero_method="pratt")
    found = wilcoxon(first, second)
    assert (found.statistic, found.p_value) == pytest.approx(
        (judge.statistic, judge.pvalue)
    )


@pytest.mark.parametrize(
    "difference", [[1, 1, 2, -1, 3], [0, 0, 1, 2, -2, 5], [0, 1], [3, 3, 3, -3, 0, 0]]
)
def test_wilcoxon_with_ties_and_zeros_against_all_signs(difference):
    ranks = stats.rankdata(np.abs(difference))
    seen = abs(sum(np.sign(d) * r for d, r in zip(difference, ranks, strict=True)))
    ranks = [r for d, r in zip(difference, ranks, strict=True) if d]
    sums = [
        abs(sum(s * r for s, r in zip(signs, ranks, strict=True)))
        for signs in product([-1, 1], repeat=len(ranks))
    ]
    expected = np.mean([total >= seen for total in sums])
    assert wilcoxon(difference, np.zeros(len(difference))).p_value == expected


def test_wilcoxon_of_correct_and_wrong_clips():
    """Of 1,000 clips one model gains 40 and loses 20: the sign test's normal value."""
    base = np.zeros(1000)
    base[:20] = 1
    other = np.zeros(1000)
    other[20:60] = 1
    z = (40 - 20) / np.sqrt(60)
    expected = 2 * stats.norm.sf(z)
    assert wilcoxon(other, base).p_value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("test", TESTS)
def test_equal_models(test):
    found = test([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert (found.statistic, found.p_value, found.mean_difference) == (0, 1, 0)


@pytest.mark.parametrize("test", TESTS)
def test_one_pair_refutes_nothing(test):
    assert test([0.9], [0.1]).p_value == 1
    assert test([0.9], [0.9]).p_value == 1


def test_rounding_is_no_difference():
    first, second = [0.1 + 0.2, 0.7 + 0.1, 0.3], [0.3, 0.8, 0.1 * 3]
    assert any(a != b for a, b in zip(first, second, strict=True))
    for test in TESTS:
        assert test(first, second).p_value == 1
    assert cohens_dz(first, second) == 0


def test_the_same_difference_everywhere():
    first, second = np.array([0.55, 0.65, 0.75]) + 0.01, np.array([0.55, 0.65, 0.75])
    found = paired_ttest(first, second)
    assert (found.statistic, found.p_value) == (np.inf, 0)
    assert paired_ttest(second, first).statistic == -np.inf
    assert cohens_dz(second, first) == -np.inf
    assert wilcoxon(first, second).p_value == 0.25  # 2 of 2^3


@pytest.mark.parametrize("function", TESTS)
def test_sides_are_symmetric(function, scores):
    there, back = function(*scores), function(*scores[::-1])
    assert there.p_value == pytest.approx(back.p_value)
    assert there.mean_difference == -back.mean_difference


@pytest.mark.parametrize("function", TESTS)
def test_false_alarms_are_as_many_as_said(function):
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(1000, 2, 12))
    alarms = sum(function(*pair).p_value <= 0.05 for pair in pairs)
    assert 25 <= alarms <= 75  # 50 expected, sd 7


@pytest.mark.parametrize("function", [*TESTS, cohens_dz])
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([0.1, np.nan], [0.1, 0.2], "NaN or infinity.*which run failed"),
        ([0.1, 0.2], [0.1, np.inf], "NaN or infinity"),
        ([], [], r"shapes \(0,\)"),
        ([0.1], [0.1, 0.2], r"shapes \(1,\) and \(2,\)"),
        (np.ones((2, 2)), np.ones((2, 2)), r"shapes \(2, 2\)"),
    ],
)
def test_scores_that_cannot_be_compared(function, first, second, message):
    with pytest.raises(ValueError, match=message):
        function(first, second)


def test_holm_by_hand():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04."""
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(adjusted, [0.03, 0.06, 0.06, 0.02])


def test_holm_at_the_edges():
    assert holm([]).tolist() == []
    assert holm([0.2]).tolist() == [0.2]
    assert holm([0.6, 0.7, 1]).tolist() == [1, 1, 1]
    np.testing.assert_allclose(holm([0.01, 0.01, 0.5]), [0.03, 0.03, 0.5])


def test_holm_rejects_what_the_steps_reject():
    """Holm's own words: go up from the least, stop at the first p > 0.05 / left."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        p_values = rng.random(6) ** 4
        rejected = set()
        for step, k in enumerate(np.argsort(p_values)):
            if p_values[k] > 0.05 / (6 - step):
                break
            rejected.add(int(k))
        assert set(np.flatnonzero(holm(p_values) <= 0.05).tolist()) == rejected


@pytest.mark.parametrize("bad", [[0.1, np.nan], [1.1], [-0.1]])
def test_holm_refuses_what_is_no_p_value(bad):
    with pytest.raises(ValueError, match=r"NaN or outside \[0, 1\]"):
        holm(bad)
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        holm([[0.1, 0.2]])


def test_dz_is_t_over_root_n(scores):
    t = paired_ttest(*scores).statistic
    assert cohens_dz(*scores) == pytest.approx(t / np.sqrt(10))
    assert np.isnan(cohens_dz([0.9], [0.1]))
