"""What is kept as arrays predicts as scikit-learn does."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat.mirex.classifier import ArrayClassifier


def planted(n_classes, n_clips=90, n_features=7, seed=0):
    """Overlapping classes, so that votes and ties matter."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_clips) % n_classes
    X = (
        rng.standard_normal((n_clips, n_features))
        + rng.standard_normal((n_classes, 1))[y]
    )
    return X, y, 2 * rng.standard_normal((500, n_features))


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize(
    "steps",
    [
        [SVC()],
        [SVC(kernel="linear", C=0.1)],
        [PCA(3), SVC(gamma="auto")],
        [
            StandardScaler(),
            PCA(4, whiten=True),
            SVC(gamma=0.3, class_weight="balanced"),
        ],
        [StandardScaler(with_mean=False), SVC()],
        [StandardScaler(with_std=False), SVC()],
    ],
    ids=str,
)
def test_as_scikit_learn(steps, n_classes):
    X, y, unseen = planted(n_classes)
    pipeline = make_pipeline(*steps).fit(X, y)
    arrays = ArrayClassifier.of(pipeline, X)
    np.testing.assert_array_equal(arrays.predict(unseen), pipeline.predict(unseen))
    kept = ArrayClassifier.from_state(*arrays.state())
    np.testing.assert_array_equal(kept.predict(unseen), pipeline.predict(unseen))


def test_decisions_of_pairs():
    X, y, unseen = planted(4)
    svc = SVC(decision_function_shape="ovo").fit(X, y)
    machine = ArrayClassifier.of(make_pipeline(svc), X).machines[0]
    np.testing.assert_allclose(
        machine.decide(unseen), svc.decision_function(unseen), atol=1e-9
    )


def test_tags_as_scikit_learn():
    X, _, unseen = planted(3)
    y = (X[:, :3] > 0.4).astype(int)
    pipeline = make_pipeline(PCA(6), OneVsRestClassifier(SVC())).fit(X, y)
    arrays = ArrayClassifier.from_state(*ArrayClassifier.of(pipeline, X).state())
    affinities = arrays.affinities(unseen)
    decisions = pipeline.decision_function(unseen)
    np.testing.assert_allclose(affinities, 1 / (1 + np.exp(-decisions)), atol=1e-9)
    np.testing.assert_array_equal(affinities > 0.5, pipeline.predict(unseen) == 1)


@pytest.mark.filterwarnings("ignore:Label .* is present in all training")
def test_tags_that_all_clips_have_or_none():
    X, _, unseen = planted(3)
    y = np.stack([np.ones(len(X)), np.zeros(len(X)), X[:, 0] > 0], axis=1).astype(int)
    pipeline = make_pipeline(OneVsRestClassifier(SVC())).fit(X, y)
    affinities = ArrayClassifier.of(pipeline, X).affinities(unseen)
    assert (affinities[:, 0] > 0.5).all()
    assert (affinities[:, 1] < 0.5).all()


@pytest.mark.parametrize(
    "steps",
    [
        [KNeighborsClassifier()],
        [SVC(kernel="poly")],
        [SVC(break_ties=True)],
        [OneVsRestClassifier(SVC())],
    ],
    ids=str,
)
def test_other_steps_are_not_kept_as_arrays(steps):
    """One SVM a class is not one a tag: its answers are compared, not voted."""
    X, y, _ = planted(3)
    pipeline = make_pipeline(*steps).fit(X, y)
    assert ArrayClassifier.of(pipeline, X) is None


def test_many_clips_in_blocks(monkeypatch):
    X, y, unseen = planted(3)
    pipeline = make_pipeline(SVC()).fit(X, y)
    monkeypatch.setattr("userlogfeat.mirex.classifier._BLOCK", 7)
    arrays = ArrayClassifier.of(pipeline, X)
    np.testing.assert_array_equal(arrays.predict(unseen), pipeline.predict(unseen))
