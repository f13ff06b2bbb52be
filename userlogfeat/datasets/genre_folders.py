"""Sets that are published as one folder of audio for each genre, without a list."""

from pathlib import Path

import polars as pl

from userlogfeat._check import check_choice
from userlogfeat.datasets.folders import audio_by_name, find_root
from userlogfeat.datasets.labelled_clips import LabelledClips


def read_genre_folders(
    folder, *, name, genres, n_clips, layout, artist_of, missing="error"
):
    """Read a set whose folders are its genres.

    Parameters
    ----------
    folder : str or Path
        The folder with the genres, or the one just below or above.
    name, layout : str
        Of the set, for messages.
    genres : sequence of str or None
        Names of the folders, whatever their case; None: every folder with audio is one.
    n_clips : int
        How many are published.
    artist_of : callable
        From the name of a file without suffix to (artist or None, title).
    missing : {"error", "ignore"}
        What to do where there are fewer clips, or genres without any.

    Returns
    -------
    LabelledClips
        `item` is "genre/name of the file"; `artist` and `title`; no split. Its
        `missing` lists the genres without audio: which clips lack is not published.
    """
    check_choice(missing, "missing", ("error", "ignore"))
    root = find_root(
        folder, lambda path: _is_root(path, genres), name=name, layout=layout
    )
    folders = _genre_folders(root, genres)
    rows = []
    for genre, place in folders.items():
        for stem, path in sorted(audio_by_name([place]).items()):
            artist, title = artist_of(stem)
            rows.append((path, f"{genre}/{stem}", genre, artist, title))
    absent = tuple(sorted(set(genres or ()) - set(folders)))
    if missing == "error" and (absent or len(rows) < n_clips):
        lacking = f"; {', '.join(map(repr, absent))} have none" if absent else ""
        raise FileNotFoundError(
            f"{str(root)!r} holds {len(rows)} clips of {name}, of which {n_clips} are "
            f"published{lacking}. Check that the archive is unpacked whole, or pass "
            'missing="ignore" to do with what is there.'
        )
    names = ("clip", "item", "label", "artist", "title")
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    return LabelledClips(name, frame, missing=absent)


def split_name(stem, separator):
    """Artist and title of a file name; the artist is None where there is no separator.

    Underscores, which stand for blanks and other characters, are read as blanks.
    """
    artist, found, title = stem.partition(separator)
    if not found:
        return None, _words(stem)
    return _words(artist) or None, _words(title) or None


def _words(text):
    return " ".join(text.replace("_", " ").split())


def _is_root(folder, genres):
    """Whether it holds two genres or more; with known names, one."""
    return len(_genre_folders(folder, genres)) >= (1 if genres else 2)


def _genre_folders(folder, genres):
    """Genre -> its folder, of those with audio in them, in the order of names."""
    known = None if genres is None else {genre.casefold(): genre for genre in genres}
    found = {}
    for place in sorted(Path(folder).iterdir()):
        if not place.is_dir() or place.name.startswith("."):
            continue
        genre = place.name if known is None else known.get(place.name.casefold())
        if genre is not None and audio_by_name([place]):
            found[genre] = place
    return found
