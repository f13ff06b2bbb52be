"""Learning curves: nested examples, folds, outcomes and standard errors."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import KNeighborsClassifier

from userlogfeat.evaluation.learning_curves import learning_curve, standard_error

SEEN = []


class Memory(ClassifierMixin, BaseEstimator):
    """Notes what it learns from; says the first class."""

    def fit(self, X, y):
        SEEN.append((np.ravel(X).tolist(), list(y)))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


def test_standard_error():
    # Deviations -1, 0, 1 of the mean 2: variance 1 with n - 1, and sqrt(3) folds.
    assert standard_error([1, 2, 3]) == pytest.approx(1 / np.sqrt(3))
    assert np.isnan(standard_error([1.0]))
    with pytest.raises(ValueError, match="expected \\(n_folds,\\)"):
        standard_error([])


def test_examples_are_nested_and_of_the_training_part():
    SEEN.clear()
    X, y = np.arange(24)[:, None], np.repeat(["a", "b"], 12)
    folds = [(np.arange(0, 24, 2), np.arange(1, 24, 2))]
    curve = learning_curve(Memory(), X, y, sizes=(2, 4, None), cv=folds)
    few, more, every = (set(rows) for rows, _ in SEEN)
    assert few < more < every == set(folds[0][0].tolist())
    assert [len(rows) for rows, _ in SEEN] == [4, 8, 12]
    for _, labels in SEEN:
        assert labels.count("a") == labels.count("b")
    assert curve.scores.tolist() == [[0.5]] * 3
    outcomes = curve.outcomes[0]
    assert np.isnan(outcomes[::2]).all()
    assert outcomes[1::2].tolist() == [1] * 6 + [0] * 6


def test_lists_of_windows_and_ten_folds():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 30)
    X = [np.full(1, label) + 0.1 * rng.normal(size=1) for label in y]
    curve = learning_curve(KNeighborsClassifier(1), X, y, sizes=(1, None))
    assert curve.scores.shape == (2, 10)
    assert curve.mean.tolist() == [1, 1]
    assert curve.standard_error.tolist() == [0, 0]
    assert curve.outcomes.tolist() == [[1] * 60] * 2


def test_artists_are_on_one_side_and_share_the_examples():
    SEEN.clear()
    y, artists = np.repeat(["x", "y"], 20), np.arange(40) // 4
    X = np.arange(40)[:, None]
    learning_curve(Memory(), X, y, sizes=(3, None), groups=artists)
    for (few, _), (every, _) in zip(SEEN[::2], SEEN[1::2], strict=True):
        held = set(range(40)) - set(every)
        assert not {artists[i] for i in held} & {artists[i] for i in every}
        assert len({artists[i] for i in few}) == 6  # three of each class


@pytest.mark.parametrize("given", [True, False])
def test_the_seed_decides_folds_and_draws(given):
    X, y = np.arange(40)[:, None], np.repeat(["a", "b"], 20)
    artists = [f"artist {i // 2}" for i in range(40)]
    cv = [(np.arange(0, 40, 2), np.arange(1, 40, 2))] if given else None
    size, found = 2 if given else None, []  # draws of folds that are given, or folds
    for seed in (0, 0, 1):
        SEEN.clear()
        settings = {"cv": cv, "groups": artists, "seed": seed}
        learning_curve(Memory(), X, y, sizes=(size,), **settings)
        found.append(list(SEEN))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_classes_with_fewer_examples_give_all_and_clips_tested_twice_their_mean():
    SEEN.clear()
    X, y = np.arange(6)[:, None], np.array(["a", "a", "b", "b", "b", "b"])
    folds = [(np.array([0, 2, 3, 4]), np.array([1, 5])), (np.arange(2, 6), [1, 0])]
    curve = learning_curve(Memory(), X, y, sizes=(3,), cv=folds)
    assert [rows for rows, _ in SEEN] == [[0, 2, 3, 4], SEEN[1][0]]
    assert len(SEEN[1][0]) == 3
    # Memory says "a", then "b": clip 1 is right once of twice, 0 never, 5 never.
    np.testing.assert_array_equal(curve.outcomes[0], [0, 0.5, *[np.nan] * 3, 0])
