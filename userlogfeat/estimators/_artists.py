"""Artists of clips, for `ArtistEmbedder`: numbers, splits, mean embeddings."""

import warnings

import numpy as np
from sklearn.utils.validation import check_consistent_length

from userlogfeat._check import require_y
from userlogfeat._groups import is_missing
from userlogfeat._labels import as_labels, is_null, is_number
from userlogfeat._pages import see
from userlogfeat.estimators._training import check_groups
from userlogfeat.training.songs import split_songs

BLOCK = 1 << 22  # distances between clips and artists in memory at a time


def number_artists(y, inputs):
    """Return the names of the artists, sorted, and the number of each clip's artist."""
    require_y(y, "ArtistEmbedder", "it learns to name the artist of each clip")
    advice = "Leave these clips out." + see("guide/teachers")
    y = as_labels(y, name="y", of="artists", is_missing=_is_nobody, advice=advice)
    check_consistent_length(inputs, y)
    if y.dtype.kind == "f" and (y != np.rint(y)).any():
        raise ValueError(
            "Unknown label type: y holds fractions, expected artists as names or "
            "whole numbers."
        )
    names, artists = np.unique(y, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"Got one class, the artist {names.tolist()[0]!r}, expected "
            "two or more artists, to be distinguished." + see("guide/teachers")
        )
    return names, artists


def _is_nobody(name):
    """Whether an artist is missing; as a class, -1 is a name like any other."""
    return (is_missing(name) and not is_number(name)) or is_null(name)


def split_clips(names, artists, groups, *, validation_fraction, test_fraction, seed):
    """Split clips into training, validation and test, by songs."""
    groups = check_groups(groups, artists)
    songs = np.arange(len(artists)) if groups is None else groups
    parts = split_songs(
        artists,
        songs,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
    )
    first = np.unique(songs, return_index=True)[1]
    n_songs = np.bincount(artists[first], minlength=len(names))
    single = names[n_songs == 1].tolist()
    if len(single) == len(n_songs):
        raise ValueError(
            f"Each of the {len(n_songs)} artists (class labels in y) has one song: "
            "nothing says how an artist's songs differ from each other. Pass "
            "artists of two songs or more; ten or more are better."
            + see("guide/teachers")
        )
    if single:
        warnings.warn(
            f"{len(single)} of {len(n_songs)} artists have one song (such as "
            f"{single[0]!r}): they are trained on, but neither validated nor "
            "tested. Leave them out to be rid of this warning.",
            stacklevel=3,
        )
    return parts


def mean_of_artists(rows, artists):
    """Return the mean row of each artist, float32."""
    counts = np.bincount(artists)
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, artists, rows)
    return (sums / counts[:, None]).astype(np.float32)


def nearest_artists(embeddings, artist_embeddings):
    """Return the number of the artist whose mean is nearest to each embedding."""
    artists = artist_embeddings.astype(np.float64)
    # About their mean: squares of a common offset would leave rounding alone.
    centre = artists.mean(axis=0)
    artists = artists - centre
    halves = np.square(artists).sum(axis=1) / 2
    nearest = np.empty(len(embeddings), dtype=int)
    size = max(1, BLOCK // len(artists))
    for first in range(0, len(embeddings), size):
        # |x - a|^2 = |x|^2 - 2 (x a - |a|^2 / 2), of which the first is the same.
        closeness = (embeddings[first : first + size] - centre) @ artists.T - halves
        nearest[first : first + size] = closeness.argmax(axis=1)
    return nearest
