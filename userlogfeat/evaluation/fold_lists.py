"""The splits that others published: GTZAN's lists, and columns of FMA and EmoMusic.

GTZAN's fault-filtered split (443 train, 197 validation and 290 test tracks) is that of
Kereliuk, Sturm and Larsen (2015), "Deep learning and music adversaries"; its 3-fold
artist-filtered lists come in MIREX's format. Both name tracks such as "blues.00000";
files are matched by that name, whatever their folder, suffix or separators.
"""

import os
import re
from pathlib import Path
from typing import Literal
from warnings import warn

import numpy as np

from userlogfeat._check import check_choice
from userlogfeat._typing import ArrayLike, ClipIds, PathLike

_GENRES = "blues|classical|country|disco|hip[-_ ]?hop|jazz|metal|pop|reggae|rock"
# A genre, separators (with the folder's, for blues/00000.au), and a number.
_TRACK = re.compile(rf"({_GENRES})[\s._/-]*(\d{{1,5}})(?!\d)", re.IGNORECASE)
# In the order of train, validation, test: names of the parts in lists and columns.
_PARTS = (
    ("train", "training", "development"),
    ("valid", "validation"),
    ("test", "evaluation"),
)
_SHOWN = 5  # examples in a message


def gtzan_tracks(clips: ClipIds) -> np.ndarray:
    """GTZAN's names of clips.

    Parameters
    ----------
    clips : sequence of str or Path (n_clips,)
        Paths or ids of GTZAN's clips.

    Returns
    -------
    ndarray (n_clips,) of str
        A genre and five digits.

    Raises
    ------
    ValueError
        Where a clip has no such name.

    Examples
    --------
    >>> from userlogfeat.evaluation.folds import gtzan_tracks
    >>> names = ["genres/blues/blues.00000.au", "./hiphop_00012.wav", "rock/00003.flac"]
    >>> gtzan_tracks(names).tolist()
    ['blues.00000', 'hiphop.00012', 'rock.00003']
    """
    if isinstance(clips, str | bytes | os.PathLike):
        raise TypeError(f"Got the single clip {clips!r}, expected a list: [{clips!r}].")
    return np.array([_gtzan_track(clip) for clip in clips], dtype=str)


def _gtzan_track(clip):
    path = os.fsdecode(clip).replace("\\", "/")
    found = _TRACK.findall("/".join(path.split("/")[-2:]))
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
    """GTZAN's fault-filtered split: 443, 197 and 290 tracks without known faults.

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
        What to do where listed tracks are not among the clips. ``jazz.00054``, a train
        track, cannot be decoded in the wav copy.

    Returns
    -------
    train, valid, test : ndarray of int64
        Rows of `clips`, ascending. Clips that are in no list are in no part.

    Raises
    ------
    FileNotFoundError
        Where a list is not there.
    ValueError
        Where listed tracks are missing, or all of a part are.
    """
    check_choice(missing, "missing", ("error", "warn", "ignore"))
    parts = [_find_list(lists, part[0]) for part in _PARTS]
    return tuple(_match(gtzan_tracks(clips), parts, missing))


def artist_filtered(
    clips: ClipIds,
    folder: PathLike,
    *,
    missing: Literal["error", "warn", "ignore"] = "error",
) -> list[tuple[np.ndarray, np.ndarray]]:
    """GTZAN's artist-filtered folds, from lists in MIREX's format.

    Parameters
    ----------
    clips : sequence of str or Path (n_clips,)
        Paths or ids, as for :func:`gtzan_tracks`.
    folder : str or Path
        With ``f1_train.txt`` (a track and its genre a line), ``f1_test.txt`` (a track a
        line), and so on for each fold.
    missing : {"error", "warn", "ignore"}
        What to do where listed tracks are not among the clips.

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
    names = [path.name for path in Path(folder).glob("f*_train.txt")]
    folds = sorted(int(n) for n in re.findall(r"\bf(\d+)_train\.txt", " ".join(names)))
    if not folds:
        raise FileNotFoundError(
            f"Got the folder {folder}, expected f1_train.txt, f1_test.txt, ... in it."
        )
    return [
        tuple(
            _match(
                tracks,
                [Path(folder) / f"f{k}_{part}.txt" for part in ("train", "test")],
                missing,
            )
        )
        for k in folds
    ]


def _find_list(folder, part):
    """The published list of a part, under either of its names."""
    paths = [
        Path(folder) / name
        for name in (f"fault_filtered_{part}.txt", f"{part}_filtered.txt")
    ]
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(f"There is no {paths[0]}, and no {paths[1].name} there.")


def _match(tracks, paths, missing):
    """Rows of the tracks that each list names; the lists must not share tracks."""
    wanted = [set(_read_tracks(path).tolist()) for path in paths]
    shared = _shared(wanted)
    if shared:
        raise ValueError(
            f"{_some(shared)} are in several of {', '.join(str(p) for p in paths)}."
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
            f'{_some(absent)}. Pass missing="ignore" to split the others; results on '
            "fewer tracks do not compare to published ones."
        )
        if missing == "error":
            raise ValueError(message)
        warn(message, stacklevel=3)
    return rows


def _shared(sets):
    """What is in two sets or more."""
    seen, twice = set(), set()
    for names in sets:
        twice |= seen & names
        seen |= names
    return twice


def _read_tracks(path):
    """Tracks of a list: the first column of each line."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no list {path}.")
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    return gtzan_tracks([line.split("\t")[0].strip() for line in lines if line.strip()])


def _some(names):
    names = sorted(names)
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def fma_split(split: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The official split of FMA (Defferrard et al. 2017), 8:1:1 and artist-filtered.

    Parameters
    ----------
    split : array-like (n_clips,) of str
        Its column ``("set", "split")``: "training", "validation" or "test". "train"
        and "valid" are understood as well.

    Returns
    -------
    train, valid, test : ndarray of int64
        Rows, ascending.

    Examples
    --------
    >>> from userlogfeat.evaluation.folds import fma_split
    >>> train, valid, test = fma_split(["training", "test", "training", "validation"])
    >>> train.tolist(), valid.tolist(), test.tolist()
    ([0, 2], [3], [1])
    """
    return _parts_of(split, (0, 1, 2))


def emomusic_split(split: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """EmoMusic's split (Soleymani et al. 2013): 619 development, 125 evaluation clips.

    Parameters
    ----------
    split : array-like (n_clips,) of str or bool
        The column "Mediaeval 2013 set" of its ``songs_info.csv``: "development" or
        "evaluation" ("train" and "test" are understood as well); or booleans, True for
        evaluation.

    Returns
    -------
    train, test : ndarray of int64
        Rows, ascending.

    Examples
    --------
    >>> from userlogfeat.evaluation.folds import emomusic_split
    >>> train, test = emomusic_split(["development", "evaluation", "development"])
    >>> train.tolist(), test.tolist()
    ([0, 2], [1])
    """
    split = np.asarray(split)
    if split.dtype == bool:
        split = np.where(split, "evaluation", "development")
    return _parts_of(split, (0, 2))


def _parts_of(split, wanted):
    """Rows of each wanted part (an index into _PARTS) of a column."""
    split = np.asarray(split)
    if split.ndim != 1 or len(split) == 0:
        raise ValueError(f"Got a split of shape {split.shape}, expected (n_clips,).")
    column = [str(value).strip().lower() for value in split.tolist()]
    number = {name: part for part in wanted for name in _PARTS[part]}
    unknown = sorted({value for value in column if value not in number})
    if unknown:
        raise ValueError(
            f"Got a split with {', '.join(map(repr, unknown[:_SHOWN]))}, expected "
            f"{', '.join(map(repr, number))} in every row. Leave the other rows out."
        )
    parts = np.array([number[value] for value in column])
    rows = tuple(np.flatnonzero(parts == part) for part in wanted)
    for part, found in zip(wanted, rows, strict=True):
        if len(found) == 0:
            raise ValueError(
                f"Got a split without rows of {' or '.join(map(repr, _PARTS[part]))}."
            )
    return rows
