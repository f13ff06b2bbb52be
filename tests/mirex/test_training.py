"""Steps are fitted to classes by name, with their weights, and to tags."""

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

from userlogfeat.mirex.training import fit_classes, fit_steps, fit_tags

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
    GridSearchCV(MultiOutputClassifier(LogisticRegression()), {}, cv=2),
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


def test_affinities_of_svms_are_their_decisions():
    """The logistic function of the decision: 0.5 is the border of the two answers."""
    rng = np.random.default_rng(0)
    X, unseen = rng.standard_normal((90, 7)), rng.standard_normal((500, 7))
    y = (X[:, :3] > 0.4).astype(int)
    last = OneVsRestClassifier(SVC())
    affinities = fit_tags(make_pipeline(toy.ToyEmbedder(), PCA(6), last), X, y)
    affinities = affinities.affinities(unseen)
    pipeline = make_pipeline(PCA(6), last).fit(X, y)
    decisions = pipeline.decision_function(unseen)
    np.testing.assert_allclose(affinities, 1 / (1 + np.exp(-decisions)), atol=1e-9)
    np.testing.assert_array_equal(affinities > 0.5, pipeline.predict(unseen) == 1)


def fit(last, names, *, listed=()):
    """Of the first class three times as many clips in the same place."""
    X, labels = np.zeros((8, 1)), [names[0]] * 6 + [names[1]] * 2
    pipeline = make_pipeline(toy.ToyEmbedder(), last)
    return fit_classes(pipeline, X, labels, listed=listed).predict(X[:1])[0]


def weighted(weights):
    return LogisticRegression(class_weight=weights)


def test_weights_of_classes_by_name():
    """The smaller class wins where it weighs more; ids that look like numbers too."""
    assert fit(weighted(None), ["blues", "rock"]) == "blues"
    assert fit(weighted({"rock": 9}), ["blues", "rock"]) == "rock"
    assert fit(weighted({"blues": 9}), ["blues", "rock"]) == "blues"
    weights = {"gone": 9, "rock": 9}  # no clip of one class could be read
    assert fit(weighted(weights), ["a", "rock"], listed=["gone"]) == "rock"
    assert fit(weighted({7: 9}), ["1", "7"]) == "7"
    search = GridSearchCV(weighted({"rock": 9}), {"C": [1, 2]}, cv=2)
    assert fit(search, ["blues", "rock"]) == "rock"
    for grid in ({"class_weight": [{"rock": 9}]}, [{"class_weight": [{"rock": 9}]}]):
        search = GridSearchCV(LogisticRegression(), grid, cv=2)
        assert fit(search, ["blues", "rock"]) == "rock"
    last = OneVsRestClassifier(weighted({0: 1, 1: 9}))
    assert fit(last, ["blues", "rock"]) == "rock"


def test_weights_of_classes_that_there_are_not():
    with pytest.raises(ValueError, match="has no class 'jazz': it has blues, rock"):
        fit(weighted({"jazz": 3}), ["blues", "rock"])
    inner = OneVsRestClassifier(weighted({"rock": 3}))
    with pytest.raises(ValueError, match="Name classes in the last step of the pipel"):
        fit(inner, ["blues", "rock"])
