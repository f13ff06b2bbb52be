"""Reader of sets that are one folder of audio for each genre, without a list."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import polars as pl

from userlogfeat._check import check_choice
from userlogfeat._typing import PathLike
from userlogfeat.audio.formats import AUDIO_SUFFIXES
from userlogfeat.datasets.folders import audio_by_name, find_root
from userlogfeat.datasets.labelled_clips import LabelledClips


def read_genre_folders(
    name: str,
    folder: PathLike,
    *,
    genres: Sequence[str] | None,
    n_clips: int,
    layout: str,
    separator: str,
    missing: Literal["error", "ignore"] = "error",
) -> LabelledClips:
    """Read a set whose folders are its genres.

    Parameters
    ----------
    name : str
        Name of the set.
    folder : str or Path
        The folder with the genres, or the one just above, or one of the genres.
    genres : sequence of str or None
        Names of the folders, whatever their case. None: every folder with audio files
        right in it is one. As any collection looks like that, the folder must be the
        one given, or be called like the set.
    n_clips : int
        Number of published clips.
    layout : str
        Content of the folder, for messages.
    separator : str
        Text between artist and title in names of files.
    missing : {"error", "ignore"}
        Reaction to fewer clips, or genres without any.

    Returns
    -------
    LabelledClips
        `item` is "genre/name of the file"; `artist` and `title`; no split. Its
        `missing` lists the genres without audio: names of clips are not published.
    """
    check_choice(missing, "missing", ("error", "ignore"))
    is_root = partial(_is_root, genres=genres, name=name, given=Path(folder))
    root = find_root(folder, is_root, name=name, layout=layout)
    folders = _genre_folders(root, genres)
    rows = []
    for genre, place in folders.items():
        for stem, path in sorted(audio_by_name([place]).items()):
            artist, title = split_name(stem, separator)
            rows.append((path, f"{genre}/{stem}", genre, artist, title))
    absent = tuple(sorted(set(genres or ()) - set(folders)))
    if missing == "error" and (absent or len(rows) < n_clips):
        lacking = f"; {', '.join(map(repr, absent))} have none" if absent else ""
        raise FileNotFoundError(
            f"{str(root)!r} holds {len(rows)} clips of {name}, of which {n_clips} are "
            f"published{lacking}. Check that all of the archive is unpacked, or pass "
            'missing="ignore" to read the clips that are there.'
        )
    names = ("clip", "item", "label", "artist", "title")
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return LabelledClips(name, frame, missing=absent)


def split_name(stem: str, separator: str) -> tuple[str | None, str | None]:
    """Split a file name into artist, or None without separator, and title.

    Underscores, which replace blanks and other characters, are read as blanks.
    """
    artist, found, title = stem.partition(separator)
    if not found:
        return None, _words(stem)
    return _words(artist) or None, _words(title) or None


def _words(text):
    return " ".join(text.replace("_", " ").split())


def _is_root(path, genres, name, given):
    """Return whether a folder at or near the one given is that of the set."""
    found = _genre_folders(path, genres)
    if len(found) < (1 if genres else 2):
        return False
    if path == given:
        return True
    if path == Path(os.path.normpath(given / "..")):  # a folder next to the set
        if given.resolve() not in [place.resolve() for place in found.values()]:
            return False
    return genres is not None or path.name.casefold() == name.casefold()


def _genre_folders(folder, genres):
    """Map genres to folders that hold audio, in the order of names."""
    known = None if genres is None else {genre.casefold(): genre for genre in genres}
    found = {}
    for place in sorted(Path(folder).iterdir()):
        if not place.is_dir() or place.name.startswith("."):
            continue
        if known is None:
            if _holds_audio(place):
                found[place.name] = place
            continue
        genre = known.get(place.name.casefold())
        if genre is not None and audio_by_name([place]):
            found[genre] = place
    return found


def _holds_audio(folder):
    """Return whether audio files are in a folder itself, not below it."""
    try:
        names = os.listdir(folder)
    except OSError:  # not ours to read
        return False
    names = [name for name in names if not name.startswith(".")]
    audio = [name for name in names if name.lower().endswith(AUDIO_SUFFIXES)]
    return any((folder / name).is_file() for name in audio)
