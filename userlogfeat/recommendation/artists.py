"""Find the artists whose listeners would like a clip, by its estimated factor.

A teacher's folder may hold a folder ``items`` with the factors of the items (artists,
tracks) of its logs. The estimate of a clip is in the same space, so the nearest items
are those that the same listeners play.
"""

import polars as pl

from userlogfeat._check import check_audio, check_positive
from userlogfeat._typing import Audio, PathLike
from userlogfeat.estimators.user_log import UserLogEmbedder
from userlogfeat.evaluation.ranking import top_items, unit_rows
from userlogfeat.factor_files import ITEMS, ITEMS_OF_TEACHER, read_side
from userlogfeat.weights import find_model


def nearest_artists(
    X: Audio, k: int = 10, *, weights: PathLike = "lastfm-mpd-musicnn"
) -> pl.DataFrame:
    """Name the artists whose listeners would like each clip.

    Parameters
    ----------
    X : array-like of n_clips
        Paths or waveforms, as :class:`~userlogfeat.UserLogEmbedder` reads them.
    k : int
        Number of artists for each clip.
    weights : str or Path
        A teacher whose folder holds the factors of its items: the bundled one, or one
        of ``userlogfeat fit-teacher``, whose items are those of the logs.

    Returns
    -------
    polars.DataFrame
        Columns ``clip`` (the path, or the row of the waveform), ``rank`` (from 1),
        ``artist``, and ``similarity``, the cosine between the estimate of the clip and
        the factor of the artist.

    Raises
    ------
    ValueError
        If the folder of the weights holds no factors of items.
    AudioError
        If a file cannot be read.

    See Also
    --------
    userlogfeat.nearest_users : The users of a new track.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat import nearest_artists
    >>> clips = np.random.default_rng(0).normal(size=(1, 48000))  # 3 s of noise
    >>> nearest_artists(clips, k=2).columns
    ['clip', 'rank', 'artist', 'similarity']
    """
    check_positive(k, "k", integer=True)
    artists, factors = _read_items(weights)
    embedder = UserLogEmbedder(weights, layer="embedding", scale=False)
    estimates = embedder.fit_transform(X)
    if estimates.shape[1] != factors.shape[1]:
        raise ValueError(
            f"The model {str(weights)!r} estimates {estimates.shape[1]} factors, but "
            f"its items have {factors.shape[1]}: they are from another training. Fit "
            "the teacher again."
        )
    k = min(k, len(artists))
    nearest, cosines = top_items(unit_rows(estimates) @ unit_rows(factors).T, k)
    audio = check_audio(X)
    is_path = audio.kind == "paths"
    clips = [str(row) for row in audio.rows] if is_path else range(len(estimates))
    return pl.DataFrame(
        {
            "clip": [clip for clip in clips for _ in range(k)],
            "rank": list(range(1, k + 1)) * len(clips),
            "artist": artists[nearest.ravel()],
            "similarity": cosines.ravel(),
        }
    )


def _read_items(weights):
    folder = find_model(weights) / ITEMS_OF_TEACHER
    if not folder.exists():
        raise ValueError(
            f"The model {str(weights)!r} does not hold the factors of its artists (it "
            f"has no folder {ITEMS_OF_TEACHER!r}), so they cannot be named. Those of "
            "`userlogfeat fit-teacher` do, as does 'lastfm-mpd-musicnn'."
        )
    artists, factors, _ = read_side(folder, ITEMS)
    return artists, factors
