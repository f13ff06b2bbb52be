"""The paper's classifier: least squares by hand, averages over clips, penalties."""

import numpy as np
import pytest

from userlogfeat import WindowRegressionClassifier


def make_clips(n=40, n_features=5, seed=0):
    """Clips of one to four windows around the places of three classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    places = 2 * np.random.default_rng(9).normal(size=(3, n_features))
    clips = [
        places[label] + rng.normal(size=(rng.integers(1, 5), n_features))
        for label in labels
    ]
    return clips, np.array(["folk", "jazz", "rock"])[labels]


def test_it_is_least_squares_on_windows_averaged_over_the_clip():
    clips, y = make_clips()
    classifier = WindowRegressionClassifier().fit(clips, y)
    windows = np.concatenate(clips)
    labels = np.repeat(y, [len(clip) for clip in clips])
    design = np.c_[windows, np.ones(len(windows))]
    targets = (labels[:, None] == classifier.classes_).astype(float)
    solution = np.linalg.lstsq(design, targets, rcond=None)[0]
    expected = [(np.c_[c, np.ones(len(c))] @ solution).mean(0) for c in clips]
    np.testing.assert_allclose(classifier.decision_function(clips), expected, atol=1e-8)
    predicted = classifier.classes_[np.argmax(expected, axis=1)]
    np.testing.assert_array_equal(classifier.predict(clips), predicted)


def test_the_mean_of_outputs_decides_not_the_majority():
    """Two windows lean to "low" a little, one to "high" by far."""
    classifier = WindowRegressionClassifier().fit([[[0.0]], [[1.0]]], ["low", "high"])
    assert classifier.predict([np.array([[0.4], [0.4], [2.0]])]).tolist() == ["high"]


def test_fewer_windows_than_features():
    rng = np.random.default_rng(1)
    clips, y = rng.normal(size=(6, 50)), ["a", "b"] * 3
    classifier = WindowRegressionClassifier().fit(clips, y)
    assert classifier.predict(clips).tolist() == y  # they can all be met


@pytest.mark.parametrize("alpha", [0.0, 10.0, "cv"])
def test_it_learns(alpha):
    clips, y = make_clips(200)
    classifier = WindowRegressionClassifier(alpha).fit(clips[:150], y[:150])
    assert classifier.score(clips[150:], y[150:]) > 0.85
    assert classifier.alpha_ == (alpha if alpha != "cv" else classifier.alpha_)
    assert classifier.alpha_ >= 0


def test_penalty_is_ridge_on_standardised_windows():
    clips, y = make_clips()
    windows = np.concatenate(clips)
    labels = np.repeat(y, [len(clip) for clip in clips])
    classifier = WindowRegressionClassifier(7.0).fit(clips, y)
    z = (windows - windows.mean(0)) / windows.std(0)
    t = (labels[:, None] == classifier.classes_).astype(float)
    coef = np.linalg.solve(z.T @ z + 7 * np.eye(5), z.T @ (t - t.mean(0)))
    np.testing.assert_allclose(classifier.coef_, coef / windows.std(0)[:, None])


def test_scaled_features_change_nothing():
    clips, y = make_clips()
    scaled = [clip * [1e4, 1e-4, 1, 1, 1] + [0, 0, 1e3, 0, 0] for clip in clips]
    a = WindowRegressionClassifier("cv").fit(clips, y).decision_function(clips)
    b = WindowRegressionClassifier("cv").fit(scaled, y).decision_function(scaled)
    np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("alpha", [-1, True, "ridge", None, [1, 2]])
def test_bad_alpha(alpha):
    with pytest.raises(ValueError, match="Got alpha="):
        WindowRegressionClassifier(alpha).fit(*make_clips())


def test_bad_clips():
    clips, _ = make_clips(4)
    with pytest.raises(ValueError, match="expecting one number of features"):
        WindowRegressionClassifier().fit([np.ones((1, 2)), np.ones((1, 3))], [0, 1])
    with pytest.raises(ValueError, match="one class"):
        WindowRegressionClassifier().fit(clips, ["a"] * 4)
    classifier = WindowRegressionClassifier().fit(*make_clips())
    with pytest.raises(ValueError, match="expecting 5 features"):
        classifier.predict(np.ones((3, 2)))
