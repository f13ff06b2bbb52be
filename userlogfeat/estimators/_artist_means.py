"""The mean factor of each artist's tracks, and of an artist's other tracks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from userlogfeat._typing import ArrayLike

Means = dict[Hashable, tuple[np.ndarray, int]]


def check_artists(artists: ArrayLike, n_items: int) -> list[Hashable]:
    """Return artists as a list, None where one is unknown (None, NaN or "").

    Parameters
    ----------
    artists : array-like, shape (n_items,)
    n_items : int

    Raises
    ------
    ValueError
        Where their number is another.
    """
    names = artists.tolist() if hasattr(artists, "tolist") else list(artists)
    if len(names) != n_items:
        raise ValueError(
            f"Got {len(names)} artists for {n_items} items, expected one for each: "
            "None where it is unknown."
        )
    unknown = (None, "")
    return [None if name in unknown or name != name else name for name in names]


def artist_means(rows: np.ndarray, artists: Sequence[Hashable]) -> Means:
    """Average the rows of each artist; rows of zeros and unknown artists are left out.

    Parameters
    ----------
    rows : ndarray, shape (n_items, n_factors)
    artists : sequence, of length n_items

    Returns
    -------
    dict of artist to (ndarray of shape (n_factors,), int)
        The mean and the number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    >>> artist_means(rows, ["a", "a", "a", None])
    {'a': (array([0.5, 0.5]), 2)}
    """
    places: dict[Hashable, list[int]] = {}
    known = rows.any(axis=1)
    for place, artist in enumerate(artists):
        if artist is not None and known[place]:
            places.setdefault(artist, []).append(place)
    return {artist: (rows[at].mean(axis=0), len(at)) for artist, at in places.items()}


def means_of(
    means: Means,
    artists: Sequence[Hashable],
    n_factors: int,
    *,
    without: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Look up the mean of each item's artist.

    Parameters
    ----------
    means : dict
        Result of :func:`artist_means`.
    artists : sequence, of length n_items
    n_factors : int
    without : ndarray, shape (n_items, n_factors), optional
        The item's own row, to be taken out of the mean.

    Returns
    -------
    found : ndarray of float32, shape (n_items, n_factors)
        Zeros where the artist is unknown, or has no other track.
    n_tracks : ndarray of int, shape (n_items,)
        Number of tracks of each mean.
    """
    found = np.zeros((len(artists), n_factors), np.float32)
    n_tracks = np.zeros(len(artists), int)
    for place, artist in enumerate(artists):
        mean, count = means.get(artist, (0.0, 0))
        if without is not None and without[place].any() and count:
            mean = (mean * count - without[place]) / max(count - 1, 1)
            count -= 1
        if count:
            found[place], n_tracks[place] = mean, count
    return found, n_tracks
