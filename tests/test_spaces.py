"""Arrays that know the training they came from."""

import copy
import pickle

import joblib
import numpy as np
import pytest

from userlogfeat._spaces import check_same_space, in_space, space_of


@pytest.fixture
def factors():
    return in_space(np.arange(12, dtype=np.float32).reshape(4, 3), "monday")


@pytest.mark.parametrize(
    "same",
    [
        lambda a: a[[2, 0]],
        lambda a: a[1:],
        lambda a: a[a[:, 0] > 3],
        lambda a: a.copy(),
        copy.deepcopy,
        lambda a: pickle.loads(pickle.dumps(a)),
        lambda a: a.astype(np.float64),
    ],
)
def test_rows_and_copies_know_it(factors, same):
    assert space_of(same(factors)) == "monday"


def test_joblib_keeps_it(factors, tmp_path):
    joblib.dump(factors, tmp_path / "f")
    again = joblib.load(tmp_path / "f")
    assert space_of(again) == "monday"
    np.testing.assert_array_equal(again, factors)


@pytest.mark.parametrize(
    "make",
    [lambda a: 2 * a, lambda a: a @ np.eye(3), lambda a: a.sum(axis=0), np.asarray],
)
def test_arithmetic_gives_plain_arrays(factors, make):
    assert type(make(factors)) is np.ndarray


def test_it_is_shown_as_an_array_and_sums_are_numbers(factors):
    assert repr(factors) == repr(np.asarray(factors))
    assert isinstance(factors.sum(), np.float32)
    assert isinstance(factors[0, 0], np.float32)


def test_only_known_differences_are_refused(factors):
    other = in_space(np.ones((2, 3)), "tuesday")
    names = ("user_embeddings", "item_embeddings")
    check_same_space(factors, factors[:1], names)
    check_same_space(factors, np.asarray(other), names)
    check_same_space(in_space(other, None), factors, names)
    check_same_space([[1.0]], factors, names)
    with pytest.raises(ValueError, match=r"training monday and item_.*CFEmbedding.upd"):
        check_same_space(factors, other, names)
