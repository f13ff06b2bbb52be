"""The artists nearest to a clip, by the estimate of a teacher."""

import numpy as np
import pytest

from userlogfeat import CFRegressor, nearest_artists
from userlogfeat.factor_files import ITEMS, ITEMS_OF_TEACHER, write_side

NOTES = {"description": "planted", "licence": "none", "non_commercial": False}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A teacher whose estimate is the first four of six features."""
    folder = tmp_path_factory.mktemp("teacher")
    features = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    head = CFRegressor(network="mlp", head="ridge", factor_norm="raw", alphas=(1e-3,))
    head.fit(features, features[:, :4]).save(folder, training_data=NOTES)
    items = np.eye(4, dtype=np.float32) * [[1], [5], [2], [3]]  # lengths do not count
    names = ["Anna", "Bob", "Cleo", "Dan"]
    write_side(folder / ITEMS_OF_TEACHER, ITEMS, names, items, made_by={})
    return folder


def test_the_artists_of_the_nearest_directions(teacher):
    features = np.array([[3, 2, 1, 0, 9, 9], [0, 0, 1, 2, -9, 9]], dtype=np.float32)
    frame = nearest_artists(features, 2, weights=teacher)
    assert frame["clip"].to_list() == [0, 0, 1, 1]
    assert frame["rank"].to_list() == [1, 2, 1, 2]
    assert frame["artist"].to_list() == ["Anna", "Bob", "Dan", "Cleo"]
    expected = np.array([3, 2, 0, 0]) / np.sqrt(14)
    assert frame["similarity"][:2].to_list() == pytest.approx(expected[:2], abs=1e-3)


def test_no_more_artists_than_there_are(teacher):
    frame = nearest_artists(np.ones((1, 6), np.float32), 50, weights=teacher)
    assert sorted(frame["artist"]) == ["Anna", "Bob", "Cleo", "Dan"]


def test_a_teacher_without_items():
    with pytest.raises(ValueError, match="'lastfm2k-musicnn' does not hold the factor"):
        nearest_artists(np.zeros((1, 48000)), weights="lastfm2k-musicnn")


def test_items_of_another_training(teacher, tmp_path):
    head = CFRegressor.load(teacher)
    head.save(tmp_path, training_data=NOTES)
    items = tmp_path / ITEMS_OF_TEACHER
    write_side(items, ITEMS, ["Anna"], np.ones((1, 3)), made_by={})
    with pytest.raises(ValueError, match="estimates 4 factors, but its items have 3"):
        nearest_artists(np.ones((1, 6), np.float32), weights=tmp_path)


@pytest.mark.parametrize("k", [0, 2.5, True])
def test_k_is_a_positive_integer(teacher, k):
    with pytest.raises(ValueError, match="Got k="):
        nearest_artists(np.ones((1, 6), np.float32), k, weights=teacher)
