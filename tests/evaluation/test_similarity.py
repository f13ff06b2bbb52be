"""Precision at k against loops: three metrics, artist filter, ties, blocks."""

import numpy as np
import pytest

from userlogfeat.evaluation import ranking
from userlogfeat.evaluation.similarity import nearest_clips, precision_at_k

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(23, 4))
LABELS = RNG.choice(["jazz", "rock", "folk"], size=23)
ARTISTS = RNG.choice(["a", "b", "c", "d", "e"], size=23)

DISTANCES = {
    "l1": lambda a, b: np.abs(a - b).sum(),
    "l2": lambda a, b: np.sqrt(np.square(a - b).sum()),
    "cosine": lambda a, b: 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b),
}


def loop_nearest(query, k, metric, artists):
    others = [
        other
        for other in range(len(FEATURES))
        if other != query and (artists is None or artists[other] != artists[query])
    ]
    far = {i: DISTANCES[metric](FEATURES[query], FEATURES[i]) for i in others}
    return sorted(others, key=lambda i: (far[i], i))[:k]


@pytest.mark.parametrize("metric", DISTANCES)
@pytest.mark.parametrize("artists", [None, ARTISTS])
def test_against_the_loop(metric, artists):
    precision = precision_at_k(FEATURES, LABELS, 5, metric=metric, artists=artists)
    nearest = nearest_clips(FEATURES, 5, metric=metric, artists=artists)
    for query in range(len(FEATURES)):
        near = loop_nearest(query, 5, metric, artists)
        assert nearest[query].tolist() == near
        assert precision.clips[query] == (LABELS[near] == LABELS[query]).mean()
    assert precision.mean == pytest.approx(precision.clips.mean())
    for label in np.unique(LABELS):
        own = precision.clips[LABELS == label].mean()
        assert precision.per_class[label] == pytest.approx(own)


@pytest.mark.parametrize("metric", DISTANCES)
def test_blocks_change_nothing(metric, monkeypatch):
    whole = nearest_clips(FEATURES, 5, metric=metric, artists=ARTISTS)
    monkeypatch.setattr(ranking, "BLOCK_ENTRIES", 50)  # two rows at a time
    blocks = nearest_clips(FEATURES, 5, metric=metric, artists=ARTISTS)
    np.testing.assert_array_equal(blocks, whole)


def test_equal_distances_go_to_the_lower_row():
    nearest = nearest_clips(np.zeros((4, 2)), 2)
    assert nearest.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_perfect_and_worst():
    places = np.repeat(np.eye(3), 4, axis=0)
    labels = np.repeat(["a", "b", "c"], 4)
    assert precision_at_k(places, labels, 3).mean == 1
    scattered = np.tile(["a", "b", "c", "d"], 3)
    assert precision_at_k(places, scattered, 3).mean == 0


def test_fewer_candidates_than_k():
    features, labels = [[0], [1], [2]], ["x", "x", "y"]
    precision = precision_at_k(features, labels, 10)
    assert precision.clips.tolist() == [0.5, 0.5, 0.0]
    assert nearest_clips(features, 4)[0].tolist() == [1, 2, -1, -1]


def test_the_artist_filter_can_leave_a_clip_without_candidates():
    features, labels = [[0], [1], [2], [3]], ["x", "x", "x", "x"]
    precision = precision_at_k(features, labels, artists=["a", "a", "a", None])
    assert precision.clips.tolist() == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="No clip has a candidate"):
        precision_at_k(features, labels, artists=["a"] * 4)
    far = precision_at_k(features[:3], labels[:3], artists=["a", "a", "b"])
    assert far.clips.tolist() == [1, 1, 1]


def test_a_missing_artist_is_nobodys():
    nearest = nearest_clips([[0], [1], [5]], 2, artists=[None, None, "a"])
    assert nearest.tolist() == [[1, 2], [0, 2], [1, 0]]


def test_one_neighbour():
    found = precision_at_k([[0], [1], [5]], ["a", "a", "b"], k=1)
    assert found.clips.tolist() == [1, 1, 0]


@pytest.mark.parametrize("metric", ["l1", "l2", "cosine"])
def test_small_integers_do_not_overflow(metric):
    features = np.array([[100, 100], [-100, 90], [100, 90], [-100, 100]], dtype=np.int8)
    assert nearest_clips(features, 1, metric=metric)[:, 0].tolist() == [2, 3, 0, 1]


def test_zeros_have_no_direction():
    nearest = nearest_clips([[0, 0], [1, 0], [2, 0.1]], 2, metric="cosine")
    assert nearest[1].tolist() == [2, 0]
    assert nearest[0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "l3"}, "Got metric='l3'"),
        ({"k": 0}, "Got k=0"),
        ({"k": 1.5}, "Got k=1.5"),
        ({"artists": ["a"]}, "inconsistent"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        precision_at_k(FEATURES, LABELS, **settings)


def test_bad_features():
    with pytest.raises(ValueError, match="NaN"):
        precision_at_k([[np.nan], [1]], ["a", "b"])
    with pytest.raises(ValueError, match="inconsistent"):
        precision_at_k(FEATURES, LABELS[:5])


def test_bad_labels():
    with pytest.raises(ValueError, match=r"classes of 1 clips are missing.*row 1\)"):
        precision_at_k([[0], [1], [2]], ["a", float("nan"), "b"])
    with pytest.raises(TypeError, match="classes in labels cannot be compared"):
        precision_at_k([[0], [1], [2]], ["a", 1, "b"])


@pytest.mark.parametrize(
    "features",
    [
        FEATURES * 1e-3 + 1e6,
        FEATURES + 1e9 * RNG.integers(2, size=(len(FEATURES), 1)),  # two places
    ],
    ids=["offset", "far apart"],
)
def test_l2_is_exact_far_from_zero(features):
    """Was: squares less products left rounding, and neighbours by chance."""
    far = np.sqrt(np.square(features[:, None] - features[None]).sum(axis=2))
    np.fill_diagonal(far, np.inf)
    expected = np.argsort(far, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(nearest_clips(features, 3, metric="l2"), expected)
    assert nearest_clips(features[:1], 2, metric="l2").tolist() == [[-1, -1]]


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_cosines_of_tiny_and_huge_features(scale):
    expected = nearest_clips(FEATURES, 5, metric="cosine")
    found = nearest_clips(FEATURES * scale, 5, metric="cosine")
    np.testing.assert_array_equal(found, expected)
