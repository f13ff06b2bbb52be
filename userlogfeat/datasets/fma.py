"""FMA: clips of 30 s from the Free Music Archive, 8,000 (small) or 25,000 (medium).

Citation: M. Defferrard, K. Benzi, P. Vandergheynst and X. Bresson, "FMA: a dataset for
music analysis", ISMIR, 2017, arXiv:1612.01840.

Licence: metadata CC BY 4.0; each clip is under the licence that its artist chose, most
often one of Creative Commons.

Layout, of the archives named on github.com/mdeff/fma::

    fma/
        fma_metadata/  tracks.csv ...
        fma_small/     000/000002.mp3 ... 155/155066.mp3
        fma_medium/    000/000002.mp3 ...

``tracks.csv`` has three header rows: group (album, artist, set, track), column, and
``track_id``. Notes on tracks, albums and artists have line breaks. Small is a part of
medium, and ``set/subset`` names the smallest subset of a track.

Splits: ``set/split`` is training, validation or test: 6,400, 800 and 800 clips of
small, in equal parts of its 8 genres; 19,922, 2,505 and 2,573 of medium, whose 16
genres are uneven. No artist is on two sides.

Known faults: the authors' wiki ("Excerpts shorter than 30s and erroneous audio length
metadata") and their list of 18 November 2017 in issue 8 name 21 clips of medium, six
of them in small, that were cut at or beyond the end of their track: ``SHORT_CLIPS``.
Issue 23 reports files that are there twice under two ids.
"""

from pathlib import Path
from typing import Literal

import polars as pl

from userlogfeat._check import check_choice
from userlogfeat._text_tables import TextTable
from userlogfeat._typing import PathLike
from userlogfeat.datasets.folders import (
    add_audio,
    audio_by_name,
    check_listed_once,
    find_root,
    read_columns,
)
from userlogfeat.datasets.labelled_clips import LabelledClips
from userlogfeat.datasets.registry import register_dataset

# Seconds of sound in clips that should have 30 (wiki of github.com/mdeff/fma).
SHORT_CLIPS = {
    **dict.fromkeys((1486, 5574, 65753, 80391, 98558, 98559, 98560), 0.0),
    **dict.fromkeys(
        (98571, 99134, 105247, 108925, 126981, 127336, 133297, 143992), 0.0
    ),
    98565: 1.6,
    98566: 6.2,
    98567: 0.5,
    98568: 6.6,
    98569: 1.5,
    108924: 27.4,
}
SUBSETS = {"small": ("small",), "medium": ("small", "medium")}
SPLIT_NAMES = {"training": "train", "validation": "validation", "test": "test"}
# Columns of tracks.csv -> columns of LabelledClips.
_COLUMNS = {
    "track_id": "item",
    "track/genre_top": "label",
    "artist/name": "artist",
    "album/id": "album",
    "set/split": "split",
    "set/subset": "subset",
    "artist/id": "artist_id",
    "track/title": "title",
}
_HEADER_ROWS = 3
_NO_ALBUM = -1
_METADATA = ("fma_metadata/tracks.csv", "tracks.csv")


@register_dataset("FMA")
def read_fma(
    folder: PathLike,
    subset: Literal["small", "medium"] = "small",
    *,
    metadata: PathLike | None = None,
    keep_bad: bool = False,
    missing: Literal["error", "ignore"] = "error",
) -> LabelledClips:
    r"""Read the small or the medium FMA from the folder its archives unpack to.

    Parameters
    ----------
    folder : str or Path
        The folder that holds ``fma_small`` or ``fma_medium``, and ``fma_metadata``; or
        the one just below or above it.
    subset : {"small", "medium"}
        Clips of small are also taken from ``fma_medium``, where there is no
        ``fma_small``.
    metadata : str or Path, optional
        Path of ``tracks.csv``, if it is elsewhere.
    keep_bad : bool
        Whether to keep ``SHORT_CLIPS``; most of them cannot be decoded.
    missing : {"error", "ignore"}
        Reaction to clips that tracks.csv lists but that are not there.

    Returns
    -------
    LabelledClips
        `item` is the track's id (int), `label` its top genre, `artist` a name, `album`
        an id; `split`, and the columns `artist_id` and `title`.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If folder or tracks.csv are of something else, or clips are missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from userlogfeat.datasets.fma import read_fma
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> (folder / "fma_small" / "000").mkdir(parents=True)
    >>> (folder / "fma_small" / "000" / "000002.mp3").touch()
    >>> _ = (folder / "tracks.csv").write_text(
    ...     ",album,artist,artist,set,set,track,track\n"
    ...     ",id,id,name,split,subset,genre_top,title\n"
    ...     "track_id,,,,,,,\n"
    ...     "2,1,1,AWOL,training,small,Hip-Hop,Food\n")
    >>> clips = read_fma(folder)
    >>> clips.items, clips.y, clips.split
    (array([2]), array(['Hip-Hop'], dtype='<U7'), array(['train'], dtype=object))
    """
    check_choice(subset, "subset", tuple(SUBSETS))
    folders = ["fma_small", "fma_medium"] if subset == "small" else ["fma_medium"]

    def is_root(place):
        known = metadata is not None or _tracks_file(place) is not None
        return known and any((place / name).is_dir() for name in folders)

    wanted = [] if metadata is not None else ["fma_metadata/tracks.csv"]
    layout = " and ".join([*wanted, " or ".join(f"{name}/" for name in folders)])
    root = find_root(folder, is_root, name=f"FMA {subset}", layout=layout)
    tracks = _tracks_file(root) if metadata is None else Path(metadata)
    frame = _choose(_read_tracks(tracks), subset, tracks)
    left_out = ()
    if not keep_bad:
        bad = frame["item"].is_in(list(SHORT_CLIPS))
        left_out, frame = tuple(frame["item"].filter(bad)), frame.filter(~bad)
    place = next(root / name for name in folders if (root / name).is_dir())
    names = [f"{track:06d}" for track in frame["item"]]
    clips = LabelledClips(f"FMA {subset}", frame, left_out=left_out)
    audio = audio_by_name([place])
    return add_audio(clips, place, names, audio, listed=tracks, missing=missing)


def _tracks_file(folder):
    return next((folder / n for n in _METADATA if (folder / n).is_file()), None)


def _read_tracks(path):
    """Read the columns that are used, as text, one row per track of any subset."""
    table = TextTable(path, separator=",", header_lines=_HEADER_ROWS, line_breaks=True)
    if table.names[0] != "track_id":
        raise ValueError(
            f"{str(path)!r} does not begin with the three header rows of FMA's "
            "tracks.csv (the third is 'track_id'). raw_tracks.csv is another table, "
            "and a file of 130 bytes is a pointer to one that was not fetched."
        )
    expected = "Expected FMA's tracks.csv of May 2017."
    return read_columns(table, _COLUMNS, expected).rename(_COLUMNS)


def _choose(frame, subset, path):
    """Select the tracks of a subset, and convert types and names of splits."""
    frame = frame.filter(pl.col("subset").is_in(SUBSETS[subset])).drop("subset")
    faults = frame.filter(
        pl.col("label").is_null() | ~pl.col("split").is_in(list(SPLIT_NAMES))
    )
    if faults.height or not frame.height:
        fact = (
            f"track {faults['item'][0]} has no top genre or an unknown split"
            if faults.height
            else f"no track is of the subset {subset}"
        )
        raise ValueError(f"In {str(path)!r} {fact}. Expected FMA's tracks.csv.")
    check_listed_once(frame["item"], path, kind="track")
    ids = pl.col("item", "album", "artist_id")
    numbers = frame.select(ids.str.strip_suffix(".0").cast(pl.Int64, strict=False))
    for name in numbers.columns:
        odd = frame[name].filter(numbers[name].is_null())
        if (name == "item" and len(odd)) or odd.null_count() < len(odd):
            raise ValueError(
                f"In {str(path)!r} a track has {name} {odd.sort(nulls_last=True)[0]!r},"
                " expected a number. Expected FMA's tracks.csv."
            )
    splits = pl.col("split").replace(SPLIT_NAMES)
    frame = frame.with_columns(*numbers.get_columns(), splits)
    return frame.with_columns(
        pl.when(pl.col("album") != _NO_ALBUM).then(pl.col("album")).alias("album")
    )
