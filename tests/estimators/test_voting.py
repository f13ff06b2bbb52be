"""Majority votes of patches."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, SVR

from userlogfeat import PatchVotingClassifier


class Sign(ClassifierMixin, BaseEstimator):
    """Predicts "b" where the first feature is positive; its score is that feature."""

    scores = "decision_function"

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[(X[:, 0] > 0).astype(int)]

    def decision_function(self, X):
        return X[:, 0]


CLIPS = [np.array([[-1.0]]), np.array([[1.0]])]
LABELS = ["a", "b"]


def test_the_majority_wins_whatever_the_scores():
    voting = PatchVotingClassifier(Sign()).fit(CLIPS, LABELS)
    clip = np.array([[-0.1], [-0.1], [9.0]])  # two small votes for a, a big one for b
    assert voting.predict([clip]).tolist() == ["a"]
    np.testing.assert_allclose(voting.predict_proba([clip]), [[2 / 3, 1 / 3]])


def test_a_tie_goes_to_the_higher_mean_score():
    voting = PatchVotingClassifier(Sign()).fit(CLIPS, LABELS)
    ties = [np.array([[-0.1], [3.0]]), np.array([[-3.0], [0.1]])]
    assert voting.predict(ties).tolist() == ["b", "a"]


def test_clips_are_the_loop_over_clips():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=40)
    clips = [rng.normal(size=(rng.integers(1, 6), 4)) + label for label in y]
    voting = PatchVotingClassifier(KNeighborsClassifier(5)).fit(clips, y)
    plain = KNeighborsClassifier(5).fit(
        np.concatenate(clips), np.repeat(y, [len(c) for c in clips])
    )
    for clip, found in zip(clips, voting.predict(clips), strict=True):
        votes = np.bincount(plain.predict(clip), minlength=3)
        best = np.flatnonzero(votes == votes.max())
        scores = plain.predict_proba(clip).mean(axis=0)
        assert found == best[np.argmax(scores[best])]


def test_scores_of_pairs_break_no_ties():
    """The columns of one-vs-one scores are pairs of classes, which for three classes
    are as many as the classes: they were once read as scores of classes."""
    rng = np.random.default_rng(1)
    y = np.arange(300) % 3
    clips = [rng.normal(size=(2, 3)) + np.eye(3)[label] for label in y]
    svc = SVC(decision_function_shape="ovo")
    pairs = PatchVotingClassifier(make_pipeline(PCA(3), svc)).fit(clips, y)
    votes = pairs.predict_proba(clips)
    np.testing.assert_array_equal(pairs.predict(clips), votes.argmax(axis=1))


def test_arrays_of_arrays_and_regressors():
    clips = np.empty(2, dtype=object)
    clips[:] = CLIPS
    assert PatchVotingClassifier(Sign()).fit(clips, LABELS).predict(clips)[1] == "b"
    with pytest.raises(ValueError, match="expected a classifier"):
        PatchVotingClassifier(SVR()).fit(CLIPS, LABELS)


def test_the_papers_pipeline_learns():
    rng = np.random.default_rng(0)
    y = np.repeat(["jazz", "metal", "pop"], 20)
    centres = {"jazz": -2.0, "metal": 0.0, "pop": 2.0}
    clips = [centres[label] + rng.normal(size=(5, 30)) for label in y]
    voting = PatchVotingClassifier(make_pipeline(PCA(8, whiten=True), SVC()))
    assert voting.fit(clips[::2], y[::2]).score(clips[1::2], y[1::2]) > 0.9


def test_sample_weight_reaches_the_patches():
    X = np.array([[0.0], [0.1], [1.0]])
    y = ["a", "b", "b"]
    heavy = PatchVotingClassifier(SVC(C=1.0)).fit(X, y, sample_weight=[1, 1e-6, 1])
    assert heavy.predict([[0.05]]).tolist() == ["a"]


def test_one_array_is_a_clip_of_one_patch_a_row():
    voting = PatchVotingClassifier(Sign()).fit(np.array([[-1.0], [1.0]]), LABELS)
    assert voting.predict(np.array([[2.0]])).tolist() == ["b"]
    assert voting.predict(np.array([[[2.0], [-1.0], [-1.0]]])).tolist() == ["a"]


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ([], "X is empty"),
        ([np.ones((2, 1)), np.ones((2, 3))], r"\[1, 3\] features"),
        ([np.ones((2, 1)), np.ones((0, 1))], "Clip 1 of X"),
        ([np.ones((2, 1)), np.full((2, 1), np.nan)], "Clip 1 of X.*NaN"),
        ([np.ones((2, 2)), np.ones((2, 2))], "expecting 1 features"),
    ],
    ids=range(5),
)
def test_bad_clips(X, words):
    voting = PatchVotingClassifier(Sign()).fit(CLIPS, LABELS)
    with pytest.raises(ValueError, match=words):
        voting.predict(X)
