"""GTZAN: 1,000 clips of 30 s, 100 from each of ten genres.

Citation: G. Tzanetakis and P. Cook, "Musical genre classification of audio signals",
IEEE Transactions on Speech and Audio Processing 10(5), 2002.

Licence: none. The music was collected from private discs, radio and microphones without
clearance: for research only, and not to be passed on.

Layout, of the archive ``genres.tar.gz`` of the Marsyas site (22,050 Hz, mono)::

    genres/
        blues/  blues.00000.au ... blues.00099.au
        classical/ country/ disco/ hiphop/ jazz/ metal/ pop/ reggae/ rock/

The copy on Kaggle has the same folders as ``Data/genres_original/`` with wav files; the
images in ``Data/images_original/`` are not read.

Splits: none by the authors. Lee et al. (2019) use ten stratified folds. The
fault-filtered split (443, 197 and 290 clips) is a published list, for
``userlogfeat.evaluation``; ``items`` has the names that it speaks of.

Known faults: B. L. Sturm, "The GTZAN dataset: its contents, its faults, their effects
on evaluation, and its future use", arXiv:1306.1461, 2013, counts repeated excerpts,
wrong labels, distortions, and few artists in some genres: without groups by artist,
cross-validation flatters. ``jazz.00054`` cannot be decoded in the wav copy.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import polars as pl

from userlogfeat._typing import PathLike
from userlogfeat.datasets.folders import (
    add_clips,
    audio_by_name,
    find_root,
    read_text,
)
from userlogfeat.datasets.labelled_clips import LabelledClips

GENRES = (
    "blues",
    "classical",
    "country",
    "disco",
    "hiphop",
    "jazz",
    "metal",
    "pop",
    "reggae",
    "rock",
)
TRACKS_PER_GENRE = 100
UNREADABLE = ("jazz.00054",)
_LAYOUT = "folders of audio named blues, classical, ... rock"
_TRACK = re.compile(rf"({'|'.join(GENRES)})\.\d{{5}}")
_UNKNOWN = {"", "?", "unknown"}  # artists of an index that are none


def read_gtzan(
    folder: PathLike,
    *,
    artists: PathLike | Mapping[str, str] | None = None,
    keep_bad: bool = False,
    missing: Literal["error", "ignore"] = "error",
) -> LabelledClips:
    """Read GTZAN from the folder that its archive unpacks to.

    Parameters
    ----------
    folder : str or Path
        ``genres``, or the folder just above or below it.
    artists : str, Path or mapping, optional
        Who plays: Sturm's ``GTZANindex.txt`` (lines ``blues.00000.wav ::: artist :::
        title``), or a mapping from track ("blues.00000") to artist.
    keep_bad : bool
        Keep ``UNREADABLE``, in copies where it can be decoded.
    missing : {"error", "ignore"}
        What to do where some of the 1,000 clips are not there.

    Returns
    -------
    LabelledClips
        `item` is the track, such as "blues.00000"; no split.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        Where the folder is another, clips are missing, or the index is none.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from userlogfeat.datasets.gtzan import read_gtzan
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "genres"
    >>> for track in ("blues.00000", "blues.00001", "jazz.00054", "rock.00099"):
    ...     (folder / track[:-6]).mkdir(parents=True, exist_ok=True)
    ...     (folder / track[:-6] / f"{track}.wav").touch()
    >>> clips = read_gtzan(folder, missing="ignore")
    >>> clips
    LabelledClips(GTZAN: 3 clips, 2 labels, 1 known to be bad left out, 996 missing)
    >>> clips.items, clips.y
    (array(['blues.00000', 'blues.00001', 'rock.00099'], dtype=object),
     array(['blues', 'blues', 'rock'], dtype='<U5'))
    """
    root = find_root(folder, _has_genres, name="GTZAN", layout=_LAYOUT)
    tracks = [
        f"{genre}.{number:05d}"
        for genre in GENRES
        for number in range(TRACKS_PER_GENRE)
    ]
    left_out = () if keep_bad else UNREADABLE
    tracks = [track for track in tracks if track not in left_out]
    columns = {"item": tracks, "label": [track.split(".")[0] for track in tracks]}
    if artists is not None:
        known = _artists(artists)
        columns["artist"] = [known.get(track) for track in tracks]
    frame, absent = add_clips(
        pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)),
        tracks,
        audio_by_name([root / genre for genre in GENRES]),
        missing=missing,
        name="GTZAN",
        listed="its paper",
        folder=root,
    )
    return LabelledClips("GTZAN", frame, left_out=left_out, missing=absent)


def _has_genres(folder):
    return any(
        _TRACK.fullmatch(name)
        for genre in GENRES
        for name in audio_by_name([folder / genre])
    )


def _artists(source):
    """Artist of each track, None where the index does not know."""
    if isinstance(source, Mapping):
        pairs = list(source.items())
    else:
        lines = [line.split(":::") for line in read_text(source).splitlines()]
        pairs = [(line[0].strip(), line[1].strip()) for line in lines if len(line) > 1]
    known = {}
    for name, artist in pairs:
        track = _TRACK.match(Path(str(name)).name)
        if track and artist is not None and artist.strip().lower() not in _UNKNOWN:
            known[track.group()] = artist.strip()
    if not known:
        what = "The mapping" if isinstance(source, Mapping) else f"{str(source)!r}"
        raise ValueError(
            f"{what} names no artist of a GTZAN track. Expected lines such as "
            "'blues.00000.wav ::: John Lee Hooker ::: One Bourbon, One Scotch, One "
            "Beer' (GTZANindex.txt), or a mapping {'blues.00000': 'John Lee Hooker'}."
        )
    return known
