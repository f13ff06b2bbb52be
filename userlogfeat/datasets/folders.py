"""Finding a data set in a folder: its root, its audio, and missing clips."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import polars as pl

from userlogfeat._check import check_choice
from userlogfeat._text_lines import list_lines
from userlogfeat._text_tables import TextTable
from userlogfeat._typing import PathLike
from userlogfeat.audio import find_audio
from userlogfeat.datasets.labelled_clips import LabelledClips

_ClipsT = TypeVar("_ClipsT", bound=LabelledClips)
_SHOWN = 8  # entries of a folder in a message
_DEPTH = 3  # levels below a wrong folder that are searched for the right one
_SEARCHED = 500  # folders of one level that are looked into for that


def find_root(
    folder: PathLike, is_root: Callable[..., Any], *, name: str, layout: str
) -> Path:
    """Return the folder of a data set: `folder`, or the one just below or above.

    Parameters
    ----------
    folder : str or Path
        Folder given by the user.
    is_root : callable
        Function from the Path of a folder to bool.
    name, layout : str
        Name of the set and content of its folder, for messages.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If it is missing, no folder, or several folders below qualify.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(
            f"There is no folder {str(folder)!r}. {name} is not downloaded by this "
            f"library: get it from its authors and pass the folder with {layout}."
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{str(folder)!r} is a file, expected the folder of {name} with {layout}. "
            "If it is an archive, unpack it first."
        )
    if is_root(folder):
        return folder
    below = [child for child in _folders(folder) if is_root(child)]
    if len(below) == 1:
        return below[0]
    if below:
        listed = ", ".join(repr(str(child)) for child in below)
        raise ValueError(
            f"{str(folder)!r} holds {name} {len(below)} times: {listed}. Pass one of "
            "them."
        )
    above = Path(os.path.normpath(folder / ".."))
    if is_root(above):
        return above
    raise FileNotFoundError(_wrong_folder(folder, is_root, name, layout))


def audio_by_name(
    folders: list[Path], key: Callable[..., Any] = lambda path: path.stem
) -> dict[Any, Path]:
    """Map each audio file below some folders from its name to its path.

    Parameters
    ----------
    folders : list of Path
        Folders, searched to any depth; hidden files (such as the ``._`` files that
        macOS puts into archives) are ignored.
    key : callable
        Function from a Path to its name, by default the file name without suffix, so
        that a set converted to another format is found too.

    Returns
    -------
    dict
        Paths by name; of two files of one name, the first in the order of names.
    """
    found = {}
    for path in find_audio([folder for folder in folders if folder.is_dir()]):
        found.setdefault(key(Path(path)), str(path))
    return found


def add_audio(
    clips: _ClipsT,
    folder: Path,
    wanted: list[Any],
    audio: dict[Any, Path],
    *,
    listed: str | Path,
    missing: Literal["error", "ignore"],
) -> _ClipsT:
    """Add the file of each clip as the column `clip`.

    Parameters
    ----------
    clips : LabelledClips
        Clips without files.
    folder : Path
        Folder of the set, for messages.
    wanted : list
        Key in `audio` of each clip.
    audio : dict
        From keys to paths.
    listed : str or Path
        List of clips, for messages.
    missing : {"error", "ignore"}
        "ignore": clips without a file are left out.

    Returns
    -------
    LabelledClips
        `missing` is the keys without a file.

    Raises
    ------
    FileNotFoundError
        If files are missing and are not to be ignored, or all are missing.
    """
    check_choice(missing, "missing", ("error", "ignore"))
    paths = [audio.get(key) for key in wanted]
    absent = tuple(str(key) for key in wanted if audio.get(key) is None)
    if absent and (missing == "error" or len(absent) == len(wanted)):
        everything = len(absent) == len(wanted)
        listed = repr(str(listed)) if isinstance(listed, Path) else listed
        advice = 'Get the others, or pass missing="ignore" to do without them.'
        if everything:
            advice = "Check that the audio is unpacked there."
        raise FileNotFoundError(
            f"{'All' if everything else len(absent)} of {len(wanted)} clips of "
            f"{clips.name} that {listed} lists have no audio file below "
            f"{str(folder)!r}; the first is {absent[0]!r}. {advice}"
        )
    clip = pl.Series("clip", paths, dtype=pl.String)
    frame = clips.frame.select(clip, pl.all()).filter(pl.col("clip").is_not_null())
    return replace(clips, frame=frame, missing=absent)


def read_columns(table: TextTable, names: Iterable[str], advice: str) -> pl.DataFrame:
    """Read columns of all rows as text, null where a value is missing.

    Parameters
    ----------
    table : TextTable
    names : iterable of str
    advice : str
        Sentence on the table that was expected, for the message about a missing column.
    """
    lacking = [name for name in names if name not in table.names]
    if lacking:
        raise ValueError(
            f"{str(table.path)!r} has no column {lacking[0]!r}; it has "
            f"{', '.join(table.names[:_SHOWN]) or 'none'}. {advice}"
        )
    return pl.DataFrame(pl.from_arrow(table.read_all(list(names))))


def read_lines(path: PathLike) -> list[tuple[int, str]]:
    """Read the lines of a list that are not blank, with their numbers from 1.

    Each is UTF-8, or else Latin-1. Files that are not text are refused.
    """
    numbered = enumerate(list_lines(Path(path).read_bytes(), path), 1)
    return [(number, _text(line)) for number, line in numbered if line.strip()]


def check_listed_once(ids: pl.Series, path: Path, *, kind: str) -> None:
    """Raise a ValueError where a table lists a clip, track or song twice."""
    twice = ids.filter(ids.is_duplicated())
    if len(twice):
        raise ValueError(
            f"In {str(path)!r} {kind} {twice[0]} is listed twice, expected once. Were "
            f"two copies of {path.name} put together?"
        )


def _text(line):
    raw = line.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _folders(folder):
    """Return the folders in a folder, by name; none if it cannot be listed."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [e for e in entries if e.is_dir() and not e.name.startswith(".")]


def _wrong_folder(folder, is_root, name, layout):
    entries = sorted(entry.name for entry in folder.iterdir())
    held = ", ".join(entries[:_SHOWN]) + (", ..." if len(entries) > _SHOWN else "")
    message = (
        f"{str(folder)!r} does not hold {name} as its authors distribute it. Looked "
        f"for {layout}: in it, one level below and one level above. It holds "
        f"{held or 'nothing'}."
    )
    place = _elsewhere(folder, is_root)
    if place is not None:
        return f"{message} The set seems to be in {str(place)!r}: pass that folder."
    return f"{message} Pass the folder that the authors' archive unpacks to."


def _elsewhere(folder, is_root):
    """Return the folder that was probably meant, two levels up or some levels down."""
    above = Path(os.path.normpath(folder / ".." / ".."))
    if is_root(above):
        return above
    level = _folders(folder)
    for _ in range(_DEPTH - 1):
        level = list(islice((f for top in level for f in _folders(top)), _SEARCHED))
        for place in level:
            if is_root(place):
                return place
    return None
