import numpy as np
import pytest
from sklearn.metrics import r2_score

from userlogfeat.evaluation.regression import r2, squared_correlation


@pytest.fixture
def emotions():
    """Valence and arousal of 50 clips, and estimates of them."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 2))
    return y, 0.6 * y + 0.3 * rng.normal(size=(50, 2)) + [0.5, -2]


def test_r2_is_that_of_scikit_learn(emotions):
    y, predicted = emotions
    judge = r2_score(y, predicted, multioutput="raw_values")
    np.testing.assert_allclose(r2(y, predicted, per_target=True), judge)
    assert r2(y, predicted) == pytest.approx(judge.mean())
    assert r2(y[:, 0], predicted[:, 0]) == pytest.approx(judge[0])


def test_squared_correlation_is_that_of_numpy(emotions):
    y, predicted = emotions
    judge = [np.corrcoef(y[:, k], predicted[:, k])[0, 1] ** 2 for k in range(2)]
    np.testing.assert_allclose(
        squared_correlation(y, predicted, per_target=True), judge
    )
    assert squared_correlation(y, predicted) == pytest.approx(np.mean(judge))


def test_r2_is_never_above_the_squared_correlation(emotions):
    y, predicted = emotions
    for scale in (-1, 0.1, 1, 3):
        both = (
            f(y, scale * predicted, per_target=True) for f in (r2, squared_correlation)
        )
        assert np.less(*both).all()


def test_the_mean_explains_nothing():
    y = np.array([1.0, 2.0, 6.0])
    assert r2(y, np.full(3, 3.0)) == 0
    assert r2(y, y) == 1
    assert r2(y, y[::-1]) < 0


def test_squared_correlation_does_not_see_scale_or_sign():
    y = np.array([0.1, 0.5, 0.7, 0.2])
    assert squared_correlation(y, 3 - 10 * y) == pytest.approx(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_estimates_have_no_correlation(dtype):
    """Rounding of a constant must not be taken for a course."""
    y = np.linspace(0, 1, 100)
    constant = np.full(100, 0.3, dtype)
    constant += np.finfo(dtype).eps * 0.3 * (np.arange(100) > 50).astype(dtype)
    assert squared_correlation(y, constant) == 0
    assert squared_correlation(constant, y) == 0
    two = squared_correlation(np.c_[y, y], np.c_[constant, y], per_target=True)
    np.testing.assert_allclose(two, [0, 1])


def test_constant_targets():
    assert r2([2, 2, 2], [2, 2, 2]) == 1
    assert r2([2, 2, 2], [2, 2, 1]) == 0
    assert squared_correlation([0, 0], [1, 2]) == 0


def test_a_column_of_estimates_is_one_target():
    assert r2([1, 2, 3], np.array([[1], [2], [2]])) == 0.5


@pytest.mark.parametrize("metric", [r2, squared_correlation])
@pytest.mark.parametrize(
    ("y", "predicted", "message"),
    [
        ([1, 2], [1, 2, 3], r"shape \(2,\) and predictions of \(3,\)"),
        (np.ones((3, 2)), np.ones((3, 1)), r"\(3, 2\) and predictions of \(3, 1\)"),
        ([], [], r"shape \(0,\)"),
        ([1], [1], "one clip"),
        ([1, np.nan], [1, 2], "NaN"),
        ([1, 2], [1, np.inf], "infinity"),
    ],
)
def test_what_cannot_be_scored(metric, y, predicted, message):
    with pytest.raises(ValueError, match=message):
        metric(y, predicted)


@pytest.mark.parametrize("offset", [1e7, 1e9])
def test_targets_far_from_zero_are_no_constants(offset):
    """Was: 0 of both, where the spread is small beside the mean."""
    y = offset + np.array([1.0, 2.0, 3.5])
    expected = np.corrcoef([1, 2, 3.5], [1, 2, 3])[0, 1] ** 2
    assert squared_correlation(y, [1, 2, 3]) == pytest.approx(expected)
    assert squared_correlation([1, 2, 3], y) == pytest.approx(expected)
    assert r2(y, y + 0.5) == pytest.approx(r2(y - offset, y - offset + 0.5))


def test_rounding_of_float32_is_known_as_float64():
    constant = np.float32(0.3) + np.spacing(np.float32(0.3)) * (np.arange(9) > 5)
    estimates = constant.astype(np.float32).astype(np.float64)
    assert squared_correlation(np.arange(9), estimates) == 0


def test_columns_of_other_sizes_are_not_constant():
    """Each target is measured by itself: one of thousandths beside one of millions."""
    y = np.array([[0.001, 1e9], [0.002, 2e9], [0.003, 3e9]])
    assert r2(y, y[::-1], per_target=True).tolist() == pytest.approx([-3, -3])
    found = squared_correlation(y, y[::-1], per_target=True)
    assert found.tolist() == pytest.approx([1, 1])
