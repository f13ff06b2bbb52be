"""Friedman's test and its pairs, against scipy and published critical values."""

import numpy as np
import pytest
from scipy import stats

from userlogfeat.evaluation.friedman import friedman_test


@pytest.mark.parametrize("ties", [False, True])
def test_as_scipy(ties):
    scores = np.random.default_rng(0).standard_normal((15, 4))
    scores = np.round(scores) if ties else scores
    test, expected = friedman_test(scores), stats.friedmanchisquare(*scores.T)
    assert test.statistic == pytest.approx(expected.statistic)
    assert test.p_value == pytest.approx(expected.pvalue)


def test_all_alike():
    test = friedman_test(np.ones((5, 3)))
    assert (test.statistic, test.p_value) == (0, 1)
    np.testing.assert_array_equal(test.mean_ranks, [2, 2, 2])
    np.testing.assert_array_equal(test.p_values, np.ones((3, 3)))


def test_critical_difference_of_demsar():
    """Table 5a: q of 4 classifiers is 2.569 at 0.05, so CD = 1.25 on 14 data sets."""
    n, k = 14, 4
    difference = 2.569 * np.sqrt(k * (k + 1) / (6 * n))
    assert difference == pytest.approx(1.25, abs=0.005)
    unit = np.sqrt(k * (k + 1) / (12 * n))
    p = stats.studentized_range.sf(difference / unit, k, np.inf)
    assert p == pytest.approx(0.05, abs=1e-3)
    scores = np.tile([1.0, 2.0, 3.0, 4.0], (n, 1))  # mean ranks 1, 2, 3, 4
    p_values = friedman_test(scores).p_values
    assert p_values[0, 1] > 0.05 > p_values[0, 2]
    np.testing.assert_allclose(p_values, p_values.T)


def test_two_models():
    """As the sign test without continuity: 8 of 8 give chi-squared 8."""
    test = friedman_test([[0, 1]] * 8)
    assert test.statistic == pytest.approx(8)
    assert test.p_values[0, 1] == pytest.approx(test.p_value, rel=1e-6)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (0, 2)])
def test_faulty_scores(shape):
    with pytest.raises(ValueError, match=r"expected .n_cases, n_models."):
        friedman_test(np.zeros(shape))
    with pytest.raises(ValueError, match="NaN or infinity"):
        friedman_test([[0, np.nan]])
