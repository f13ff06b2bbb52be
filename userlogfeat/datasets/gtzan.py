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

Splits: "fault_filtered" (443, 197 and 290 clips) and "artist_filtered" (three folds),
both from published lists; none by the authors. Lee et al. (2019) use ten stratified
folds.

The fault-filtered split is that of C. Kereliuk, B. L. Sturm and J. Larsen, "Deep
learning and music adversaries", 2015; the artist-filtered lists come in MIREX's format.
Both name tracks such as "blues.00000": clips are matched by that name, whatever their
folder, suffix or separators.

Known faults: B. L. Sturm, "The GTZAN dataset: its contents, its faults, their effects
on evaluation, and its future use", arXiv:1306.1461, 2013, counts repeated excerpts,
wrong labels, distortions, and few artists in some genres: without groups by artist,
cross-validation scores are too high. ``jazz.00054`` cannot be decoded in the wav copy.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from warnings import warn

import numpy as np
import polars as pl

from userlogfeat._check import check_choice
from userlogfeat._ids import examples
from userlogfeat._typing import ClipIds, PathLike
from userlogfeat.datasets.folders import add_audio, audio_by_name, find_root, read_lines
from userlogfeat.datasets.labelled_clips import LabelledClips
from userlogfeat.datasets.registry import register_dataset

GENRES = tuple(
    ("blues classical country disco hiphop jazz metal pop reggae rock").split()
)
TRACKS_PER_GENRE = 100
UNREADABLE = ("jazz.00054",)
_LAYOUT = "folders of audio named blues, classical, ... rock"
_TRACK = re.compile(rf"({'|'.join(GENRES)})\.\d{{5}}")
_UNKNOWN = {"", "?", "unknown"}  # entries of an index that are not artists
# A genre, separators (with the folder's, for blues/00000.au), and a number.
_SPELLED = "|".join(GENRES).replace("hiphop", "hip[-_ ]?hop")
_NAME = re.compile(rf"({_SPELLED})[\s._/-]*(\d{{1,5}})(?!\d)", re.IGNORECASE)


@register_dataset("GTZAN")
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
        Artists: Sturm's ``GTZANindex.txt`` (lines ``blues.00000.wav ::: artist :::
        title``), or a mapping from track ("blues.00000") to artist.
    keep_bad : bool
        Whether to keep ``UNREADABLE``, which some copies have intact.
    missing : {"error", "ignore"}
        Reaction to clips of the 1,000 that are not there.

    Returns
    -------
    LabelledClips
        `item` is the track, such as "blues.00000"; ``cv("fault_filtered", lists)`` and
        ``cv("artist_filtered", lists)`` split the clips by published lists.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If it is the folder of something else, clips are missing, or the index is none.

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
    numbers = range(TRACKS_PER_GENRE)
    tracks = [f"{genre}.{number:05d}" for genre in GENRES for number in numbers]
    left_out = () if keep_bad else UNREADABLE
    tracks = [track for track in tracks if track not in left_out]
    columns = {"item": tracks, "label": [track.split(".")[0] for track in tracks]}
    if artists is not None:
        known = _artists(artists)
        columns["artist"] = [known.get(track) for track in tracks]
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    audio = audio_by_name([root / genre for genre in GENRES])
    facts = {"left_out": left_out, "published_splits": SPLITS}
    clips = LabelledClips("GTZAN", frame, **facts)
    return add_audio(clips, root, tracks, audio, listed="its paper", missing=missing)


def _has_genres(folder):
    return any(
        _TRACK.fullmatch(name)
        for genre in GENRES
        for name in audio_by_name([folder / genre])
    )


def _artists(source):
    """Return the artist of each track in the index."""
    if isinstance(source, Mapping):
        pairs = list(source.items())
    else:
        lines = [line.split(":::") for _, line in read_lines(source)]
        pairs = [(line[0].strip(), line[1].strip()) for line in lines if len(line) > 1]
    known = {}
    for name, artist in pairs:
        track = _TRACK.match(Path(str(name)).name)
        if track and artist is not None and artist.strip().lower() not in _UNKNOWN:
            known[track.group()] = artist.strip()
    if not known:
        name = "The mapping" if isinstance(source, Mapping) else f"{str(source)!r}"
        raise ValueError(
            f"{name} names no artist of a GTZAN track. Expected lines such as "
            "'blues.00000.wav ::: John Lee Hooker ::: One Bourbon, One Scotch, One "
            "Beer' (GTZANindex.txt), or a mapping {'blues.00000': 'John Lee Hooker'}."
        )
    return known


def gtzan_tracks(clips: ClipIds) -> np.ndarray:
    """Return the GTZAN track of each clip.

    Parameters
    ----------
    clips : sequence of str or Path (n_clips,)
        Paths or ids of GTZAN's clips.

    Returns
    -------
    ndarray (n_clips,) of str
        Genre and five digits.

    Raises
    ------
    ValueError
        If a clip has no such name.

    Examples
    --------
    >>> from userlogfeat.datasets.gtzan import gtzan_tracks
    >>> names = ["genres/blues/blues.00000.au", "./hiphop_00012.wav", "rock/00003.flac"]
    >>> gtzan_tracks(names).tolist()
    ['blues.00000', 'hiphop.00012', 'rock.00003']
    """
    if isinstance(clips, str | bytes | os.PathLike):
        raise TypeError(f"Got the single clip {clips!r}, expected a list: [{clips!r}].")
    return np.array([_gtzan_track(clip) for clip in clips], dtype=str)


def _gtzan_track(clip):
    path = os.fsdecode(clip).replace("\\", "/")
    found = _NAME.findall("/".join(path.split("/")[-2:]))
    if not found:
        raise ValueError(
            f"Got the clip {clip!r}, expected a name of GTZAN such as 'blues.00000': a "
            "genre and a number. Leave clips of other sets out first."
        )
    genre, number = found[-1]  # the file's own name, where the folder matches as well
    return f"{re.sub('[-_ ]', '', genre).lower()}.{int(number):05d}"


def fault_filtered(
    clips: ClipIds,
    lists: PathLike,
    *,
    missing: Literal["error", "warn", "ignore"] = "error",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the fault-filtered split: 443, 197 and 290 tracks without known faults.

    It leaves out repeated and distorted excerpts. Few artists are in two parts: see
    :func:`~userlogfeat.evaluation.leaks.leak_report`.

    Parameters
    ----------
    clips : sequence of str or Path (n_clips,)
        Paths or ids, as for :func:`gtzan_tracks`. Several clips of one track stay
        together.
    lists : str or Path
        Folder with the published lists, ``fault_filtered_train.txt`` or
        ``train_filtered.txt``, and so on for ``valid`` and ``test``.
    missing : {"error", "warn", "ignore"}
        Reaction to listed tracks that are not among the clips. ``jazz.00054``, a train
        track, cannot be decoded in the wav copy.

    Returns
    -------
    train, valid, test : ndarray of int64
        Rows of `clips`, ascending. Clips that are in no list are in no part.

    Raises
    ------
    FileNotFoundError
        If a list is missing.
    ValueError
        If listed tracks are missing, or all tracks of a part.
    """
    check_choice(missing, "missing", ("error", "warn", "ignore"))
    parts = [_find_list(lists, part) for part in ("train", "valid", "test")]
    return tuple(_match(gtzan_tracks(clips), parts, missing))


def artist_filtered(
    clips: ClipIds,
    lists: PathLike,
    *,
    missing: Literal["error", "warn", "ignore"] = "error",
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the artist-filtered folds, from lists in MIREX's format.

    Parameters
    ----------
    clips : sequence of str or Path (n_clips,)
        Paths or ids, as for :func:`gtzan_tracks`.
    lists : str or Path
        Folder with ``f1_train.txt`` (a track and its genre a line), ``f1_test.txt`` (a
        track per line), and so on for each fold.
    missing : {"error", "warn", "ignore"}
        Reaction to listed tracks that are not among the clips.

    Returns
    -------
    list of (train, test)
        Rows of `clips` (int64, ascending) for each fold, as scikit-learn takes for
        ``cv``. Clips that are in no list are in no fold.

    Raises
    ------
    FileNotFoundError, ValueError
        As for :func:`fault_filtered`.
    """
    check_choice(missing, "missing", ("error", "warn", "ignore"))
    tracks = gtzan_tracks(clips)
    names = [path.name for path in Path(lists).glob("f*_train.txt")]
    folds = sorted(int(n) for n in re.findall(r"\bf(\d+)_train\.txt", " ".join(names)))
    if not folds:
        raise FileNotFoundError(
            f"Got the folder {lists}, expected f1_train.txt, f1_test.txt, ... in it."
        )
    return [
        tuple(
            _match(
                tracks,
                [Path(lists) / f"f{k}_{part}.txt" for part in ("train", "test")],
                missing,
            )
        )
        for k in folds
    ]


def _find_list(lists, part):
    """Return the published list of a part, under either of its names."""
    paths = [
        Path(lists) / name
        for name in (f"fault_filtered_{part}.txt", f"{part}_filtered.txt")
    ]
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(f"There is no {paths[0]}, and no {paths[1].name} there.")


def _match(tracks, paths, missing):
    """Return the rows of the tracks of each list; lists must not overlap."""
    wanted = [set(_read_tracks(path).tolist()) for path in paths]
    counts = Counter(track for tracks_of_list in wanted for track in tracks_of_list)
    repeated = [track for track, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            f"{examples(sorted(repeated), write=str)} are in several of "
            f"{', '.join(map(str, paths))}."
        )
    rows = [np.flatnonzero(np.isin(tracks, list(names))) for names in wanted]
    for path, part in zip(paths, rows, strict=True):
        if len(part) == 0:
            raise ValueError(
                f"None of the {len(tracks)} clips is a track of {path}: are these "
                "clips of GTZAN, and all of them?"
            )
    absent = set.union(*wanted) - set(tracks.tolist())
    if absent and missing != "ignore":
        message = (
            f"{len(absent)} of {len(set.union(*wanted))} listed tracks are missing: "
            f'{examples(sorted(absent), write=str)}. Pass missing="ignore" to split '
            "the others; results on fewer tracks do not compare to published ones."
        )
        if missing == "error":
            raise ValueError(message)
        warn(message, stacklevel=3)
    return rows


def _read_tracks(path):
    """Read the tracks of a list: the first column of each line."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no list {path}.")
    return gtzan_tracks([line.split("\t")[0].strip() for _, line in read_lines(path)])


def _fault_filtered(clips, lists, test):
    train, valid, tested = fault_filtered(clips, lists, missing="ignore")
    if test == "validation":
        return [(train, valid)]
    return [(np.union1d(train, valid), tested)]


def _artist_filtered(clips, lists, test):
    return artist_filtered(clips, lists, missing="ignore")


SPLITS = {"fault_filtered": _fault_filtered, "artist_filtered": _artist_filtered}
