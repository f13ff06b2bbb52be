"""What steps are taught: numbers of classes, weights of classes, and tags."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from userlogfeat.mirex.classifier import ArrayClassifier
from userlogfeat.mirex.fitting import fit_classes, fit_steps, fit_tags

TOY = Path(__file__).with_name("toy.py")
_spec = importlib.util.spec_from_file_location("toy", TOY)
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


def test_fewer_components_where_there_are_fewer_clips():
    X = np.random.default_rng(0).standard_normal((20, 9))
    y = np.arange(20) % 2
    steps = make_pipeline(toy.ToyEmbedder(), PCA(128), PCA(7), SVC())
    assert fit_steps(steps, X, y)[0].n_components_ == 9
    few = fit_steps(steps, X[:5], y[:5])
    assert (few[0].n_components_, few[1].n_components_) == (5, 5)
    assert steps[1].n_components == 128  # as it was


TAGGERS = [
    SVC(),
    OneVsRestClassifier(SVC()),
    GridSearchCV(SVC(), {"C": [1, 2]}, cv=2),
    GridSearchCV(KNeighborsClassifier(1), {"p": [1, 2]}, cv=2),
    KNeighborsClassifier(1),
    DecisionTreeClassifier(random_state=0),
    LogisticRegression(),
    OneVsRestClassifier(LogisticRegression()),
    MultiOutputClassifier(LogisticRegression()),
    ClassifierChain(LogisticRegression()),
    LinearDiscriminantAnalysis(),
    RidgeClassifier(),
    LinearSVC(),
    GaussianNB(),
]


@pytest.mark.parametrize("last", TAGGERS, ids=str)
def test_tags_that_some_all_or_one_clip_in_two_have(last):
    """One tag alone, tags of all clips, and both beside others; none was learned."""
    rng = np.random.default_rng(0)
    tags = np.arange(24)[:, None] % [2, 3, 1] == 0  # of each second clip, third, all
    X = 4.0 * tags + 0.1 * rng.standard_normal((24, 3))
    pipeline = make_pipeline(toy.ToyEmbedder(), StandardScaler(), last)
    for columns in ([0], [2], [2, 2], [0, 1], [2, 0], [0, 2, 1]):
        y = tags[:, columns].astype(int)
        affinities = fit_tags(pipeline, X, y).affinities(X)
        assert affinities.shape == y.shape
        assert affinities.min() >= 0
        assert affinities.max() <= 1
        np.testing.assert_array_equal(affinities >= 0.5, y)
        assert (
            affinities[:, np.equal(columns, 2)].tolist()
            == [[1] * columns.count(2)] * 24
        )


def test_one_tag_is_kept_as_arrays():
    X = np.array([[0.0, 1], [0, 1.1], [5, 0], [5, 0.1]])
    y = np.array([[0], [0], [1], [1]])
    for last in (SVC(), OneVsRestClassifier(SVC())):
        fitted = fit_tags(make_pipeline(toy.ToyEmbedder(), PCA(1), last), X, y)
        assert isinstance(fitted, ArrayClassifier)
        kept = ArrayClassifier.from_state(*fitted.state())
        kept.check(n_tags=1)
        np.testing.assert_array_equal(kept.affinities(X) >= 0.5, y)


def fit(last, names, *, listed=()):
    """Of one class three times as many clips in the same place."""
    X = np.zeros((8, 1))
    y = np.array([0] * 6 + [1] * 2)
    pipeline = make_pipeline(toy.ToyEmbedder(), last)
    return fit_classes(pipeline, X, y, names, listed=listed).predict(X[:1])[0]


def weighted(weights):
    return LogisticRegression(class_weight=weights)


def test_weights_of_classes_by_name():
    """The smaller class wins where it weighs more; ids that look like numbers too."""
    assert fit(weighted(None), ["blues", "rock"]) == 0
    assert fit(weighted({"rock": 9}), ["blues", "rock"]) == 1
    assert fit(weighted({"blues": 9}), ["blues", "rock"]) == 0
    assert fit(weighted({"gone": 9, "rock": 9}), ["a", "rock"], listed=["gone"]) == 1
    assert fit(weighted({7: 9}), ["1", "7"]) == 1
    search = GridSearchCV(weighted({"rock": 9}), {"C": [1, 2]}, cv=2)
    assert fit(search, ["blues", "rock"]) == 1
    for grid in ({"class_weight": [{"rock": 9}]}, [{"class_weight": [{"rock": 9}]}]):
        search = GridSearchCV(LogisticRegression(), grid, cv=2)
        assert fit(search, ["blues", "rock"]) == 1
    assert fit(OneVsRestClassifier(weighted({0: 1, 1: 9})), ["blues", "rock"]) == 1


def test_weights_of_classes_that_there_are_not():
    with pytest.raises(ValueError, match="has no class 'jazz': it has blues, rock"):
        fit(weighted({"jazz": 3}), ["blues", "rock"])
    inner = OneVsRestClassifier(weighted({"rock": 3}))
    with pytest.raises(ValueError, match="Name classes in the last step of the pipel"):
        fit(inner, ["blues", "rock"])
