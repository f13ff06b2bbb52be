"""Split the songs of each artist into training, validation and test.

Park, Lee, Park, Ha, Nam (2018), "Representation learning of music using artist
labels": 20 songs of every artist, 15 to train, 3 to validate and 2 to test.
"""

import numpy as np


def split_songs(
    artists: np.ndarray,
    songs: np.ndarray,
    *,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split every artist's songs into three parts.

    Parameters
    ----------
    artists : ndarray (n_clips,) of int
        Artist of each clip.
    songs : ndarray (n_clips,) of int
        Clips of one song are in one part.
    validation_fraction, test_fraction : float
        Shares of each artist's songs. Of two songs or more, at least one is for
        validation; a single song is for training; every artist has one there.
    seed : int
        Seed of the split.

    Returns
    -------
    train, valid, test : ndarray of int
        Clips, sorted.

    Raises
    ------
    ValueError
        Where a song has two artists.
    """
    songs, first, song_of = np.unique(songs, return_index=True, return_inverse=True)
    artist_of = artists[first]
    two = np.flatnonzero(artist_of[song_of] != artists)
    if len(two):
        clips = [int(first[song_of[two[0]]]), int(two[0])]
        raise ValueError(
            f"Clips {clips} belong to one group (song) but to two artists. Number the "
            "songs over all artists, or give such a song to one of them."
        )
    shuffled = np.random.default_rng(seed).permutation(len(songs))
    order = shuffled[np.argsort(artist_of[shuffled], kind="stable")]
    counts = np.bincount(artist_of)
    n_songs = np.repeat(counts, counts)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    n_valid = np.where(
        n_songs > 1, np.maximum(1, np.rint(validation_fraction * n_songs)), 0
    )
    n_valid = np.minimum(n_valid, n_songs - 1)
    n_test = np.minimum(np.rint(test_fraction * n_songs), n_songs - n_valid - 1)
    part = np.empty(len(order), dtype=int)
    part[order] = np.where(place < n_valid, 1, np.where(place < n_valid + n_test, 2, 0))
    return tuple(np.flatnonzero(part[song_of] == wanted) for wanted in range(3))
