"""Displays: known numbers reach the artists of the plots; wrong input is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

from userlogfeat import (
    CFDisplay,
    CFEmbedding,
    ClipDisplay,
    ColdStartDisplay,
    ScoreDisplay,
    TransferDisplay,
)
from userlogfeat.evaluation.learning_curves import LearningCurve
from userlogfeat.report.embedding_map import MARKS, OTHERS


@pytest.fixture
def ax():
    return Figure().subplots()


def test_map_of_two_circles_has_two_ends(ax):
    cf = CFEmbedding(4, random_state=0).fit(np.kron(np.eye(2), np.ones((3, 5))))
    labels = ["folk"] * 5 + ["rock"] * 5
    display = CFDisplay.from_estimator(cf, labels=labels, ax=ax)
    folk, rock = (display.points_[name].get_xdata() for name in ("folk", "rock"))
    assert max(folk) < min(rock) or max(rock) < min(folk)
    assert max(np.ptp(folk), np.ptp(rock)) < 0.01
    assert display.explained == pytest.approx(1, abs=1e-3)
    assert display.ax_ is ax


def test_rare_labels_share_a_mark_and_marks_differ_without_colour(ax):
    labels = [f"label {i}" for i in range(len(MARKS) + 3)] * 2 + ["label 0"]
    rows = np.random.default_rng(0).normal(size=(len(labels), 3))
    display = CFDisplay.from_predictions(rows, labels=labels, ax=ax)
    assert len(display.points_) == len(MARKS) + 1
    assert "label 0" in display.points_
    assert len(display.points_[OTHERS].get_xdata()) == 6
    assert len({line.get_marker() for line in display.points_.values()}) == 8


def test_items_nobody_played_are_left_out(ax):
    rows = [[1, 0], [0, 1], [1, 1], [0, 0]]
    display = CFDisplay.from_predictions(rows, ax=ax)
    assert display.positions.shape == (3, 2)


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (np.ones((4, 2)), ["a"] * 3, "Got 3 labels for 4 items"),
        (np.zeros((4, 2)), None, "Got 0 items with an embedding"),
        (np.full((4, 2), np.nan), None, "expected finite numbers"),
        (np.ones(4), None, r"shape \(4,\)"),
    ],
)
def test_wrong_embeddings(rows, labels, message):
    with pytest.raises(ValueError, match=message):
        CFDisplay.from_predictions(rows, labels=labels)


def test_a_map_needs_factors_or_clips():
    with pytest.raises(TypeError, match="KNeighborsClassifier without item_factors_"):
        CFDisplay.from_estimator(KNeighborsClassifier())


def test_scores_are_means_best_first(ax):
    scores = {"chance": [0.5, np.nan, 0.5], "audio": [0.6, 0.8], "one": [0.65]}
    display = ScoreDisplay.from_predictions(scores, baselines=["chance"], ax=ax)
    assert display.names == ["audio", "one", "chance"]
    widths = [bar.get_width() for bar in display.bars_.values()]
    assert widths == pytest.approx([0.7, 0.65, 0.5])
    assert display.low[0] < 0.6  # two repeats say little
    assert display.high[0] > 0.8
    assert display.low[1] == display.high[1] == 0.65
    assert [bar.get_hatch() for bar in display.bars_.values()] == [None, None, "///"]


def test_scores_of_a_search_take_the_best_candidate_of_each_value(ax):
    X, y = np.arange(20.0)[:, None], np.tile([0, 1], 10)
    grid = {"n_neighbors": [1, 9], "weights": ["uniform", "distance"]}
    search = GridSearchCV(KNeighborsClassifier(), grid, cv=2).fit(X, y)
    display = ScoreDisplay.from_estimator(search, "n_neighbors", ax=ax)
    tables = search.cv_results_["mean_test_score"], search.cv_results_["params"]
    for name, mean in zip(display.names, display.mean, strict=True):
        of_value = [
            s for s, p in zip(*tables, strict=True) if f"{p['n_neighbors']}" == name
        ]
        assert mean == pytest.approx(max(of_value))
    assert set(display.names) == {"1", "9"}
    with pytest.raises(ValueError, match="searched were n_neighbors, weights"):
        ScoreDisplay.from_estimator(search, "alpha")


def test_wrong_scores():
    with pytest.raises(
        ValueError, match=r"Got baselines \['b'\], but the methods are a"
    ):
        ScoreDisplay.from_predictions({"a": [1]}, baselines=["b"])
    with pytest.raises(ValueError, match="Got no scores"):
        ScoreDisplay.from_predictions({})
    with pytest.raises(ValueError, match="'a' has no score that is a number"):
        ScoreDisplay.from_predictions({"a": [np.nan]})


def test_intervals_of_two_folds_do_not_leave_room_for_scores_that_cannot_be():
    scores = {"a": [0.2, 0.36], "b": [0.1, 0.3]}  # intervals from -1 to 1.5
    display = ScoreDisplay.from_predictions(scores)
    assert display.high[0] > 1
    assert display.low[0] < 0
    assert display.ax_.get_xlim() == (0, 1)
    assert [text.xy[0] for text in display.ax_.texts] == [1, 1]
    errors = {"a": [2.0, 3.6], "b": [-1.0, 3.0]}  # no fractions
    assert ScoreDisplay.from_predictions(errors).ax_.get_xlim()[0] < -10


def test_calibration_of_cold_start_is_drawn(ax):
    losses = {"factor": [0.6, 0.2], "estimate": [0.4, 0.4], "blend": [0.3, 0.2]}
    calibration = {name: np.array(values) for name, values in losses.items()}
    calibration["n_users"] = np.array([1, 8])
    items = SimpleNamespace(calibration_=calibration, k0_=3.0, k0="auto")
    display = ColdStartDisplay.from_estimator(items, ax=ax)
    for name, values in losses.items():
        assert display.lines_[name].get_ydata() == pytest.approx(values)
    assert display.ax_.get_title("left") == "An estimate is worth 3 listeners"
    given = SimpleNamespace(calibration_=None, k0=2.0)
    with pytest.raises(ValueError, match=r"k0=2.0 was given.*k0=\"auto\""):
        ColdStartDisplay.from_estimator(given)


def test_nearest_artists_are_those_of_the_direction():
    axes = Figure().subplots(1, 2)
    embeddings = [[0, 1], [2, 0], [1, 0], [-1, 0]]
    names = ["Can", "Nico", "Nico", "Neu!"]
    display = ClipDisplay.from_predictions(
        np.zeros((4, 6)), [3, 0], embeddings, names, k=2, seconds=2.0, ax=axes
    )
    assert display.names == ["Nico", "Can"]
    assert display.similarities == pytest.approx([1, 0])
    assert display.image_.get_extent() == [0, 2.0, 0, 4]


def test_a_clip_is_embedded_by_the_estimator():
    double = SimpleNamespace(transform=lambda X: np.asarray(X, float) * 2)
    display = ClipDisplay.from_estimator(
        double,
        [1, 0],
        [[1, 0], [0, 1]],
        ["a", "b"],
        log_mel=np.zeros((2, 2)),
        ax=Figure().subplots(1, 2),
    )
    assert display.names == ["a", "b"]
    with pytest.raises(ValueError, match=r"log_mel of shape \(1, 2, 2\)"):
        ClipDisplay.from_predictions(np.zeros((1, 2, 2)), [1], [[1]], ["a"])
    with pytest.raises(ValueError, match="and 2 names"):
        ClipDisplay.from_predictions(np.zeros((2, 2)), [1], [[1]], ["a", "b"])


def test_learning_curves_by_labels(ax):
    def curve(sizes, *accuracies):
        outcomes = np.array(
            [[1] * round(20 * a) + [0] * (20 - round(20 * a)) for a in accuracies]
        )
        return LearningCurve(
            sizes, np.array(accuracies)[:, None], outcomes.astype(float)
        )

    curves = {"mel": curve((5, None), 0.5, 0.6), "audio": curve((5, None), 0.7, 0.9)}
    display = TransferDisplay.from_curves(curves, ax=ax)
    assert display.lines_["audio"].get_ydata() == pytest.approx([0.7, 0.9])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["5", "all"]
    curves["audio"] = curve((10,), 0.5)
    with pytest.raises(ValueError, match="2 different lists of sizes"):
        TransferDisplay.from_curves(curves)
