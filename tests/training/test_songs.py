"""Songs of each artist, in three parts: the paper's numbers, few songs, many clips."""

import numpy as np
import pytest

from userlogfeat.training.songs import split_songs

PAPER = {"validation_fraction": 0.15, "test_fraction": 0.1}


def sizes(counts, **changes):
    """Songs in the parts, (n_artists, 3), of artists of so many songs."""
    artists = np.repeat(np.arange(len(counts)), counts)
    parts = split_songs(
        artists, np.arange(len(artists)), seed=0, **(PAPER | {**changes})
    )
    assert sorted(np.concatenate(parts)) == list(range(len(artists)))
    return np.stack(
        [np.bincount(artists[part], minlength=len(counts)) for part in parts], axis=1
    ).tolist()


def test_the_papers_twenty_songs():
    assert sizes([20, 20, 20]) == [[15, 3, 2]] * 3


def test_few_songs():
    expected = [[1, 0, 0], [1, 1, 0], [2, 1, 0], [4, 1, 0], [4, 1, 1], [7, 2, 1]]
    assert sizes([1, 2, 3, 5, 6, 10]) == expected


def test_something_is_always_learned_from():
    settings = {"validation_fraction": 0.6, "test_fraction": 0.39}
    assert all(learned >= 1 for learned, *_ in sizes([1, 2, 3, 4, 9], **settings))


def test_no_test_songs():
    assert sizes([20, 2], test_fraction=0) == [[17, 3, 0], [1, 1, 0]]


def test_clips_of_a_song_stay_together():
    rng = np.random.default_rng(0)
    song_artist = rng.integers(5, size=60)
    songs = rng.integers(60, size=400)
    parts = split_songs(song_artist[songs], songs, seed=3, **PAPER)
    held = [set(songs[part]) for part in parts]
    assert sum(map(len, held)) == len(set(songs))
    assert not held[0] & held[1] | held[0] & held[2] | held[1] & held[2]


def test_seeds():
    artists = np.repeat(np.arange(4), 10)
    first, again, other = (
        split_songs(artists, np.arange(40), seed=seed, **PAPER) for seed in (0, 0, 1)
    )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[1], other[1])


def test_a_song_of_two_artists():
    with pytest.raises(ValueError, match=r"Clips \[1, 3\] belong to one group"):
        split_songs(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 1]), seed=0, **PAPER)
