"""List the audio files in folders."""

import os
import warnings
from collections.abc import Iterable
from typing import Any

from userlogfeat._typing import ClipId
from userlogfeat.audio.formats import AUDIO_SUFFIXES


def find_audio(sources: ClipId | Iterable[ClipId]) -> list[Any]:
    """List the audio files in folders, and keep files as they are given.

    Folders are searched to any depth, in the order of names, for the suffixes of
    `userlogfeat.audio.formats`; hidden files and folders are left out, and a folder
    that links lead to twice is searched once.

    Parameters
    ----------
    sources : path or iterable of paths
        Files and folders. Names that are not folders are kept, even of missing files:
        reading those reports it.

    Returns
    -------
    list
        Files given, as given; files found, as str (bytes for a folder in bytes).

    Warns
    -----
    UserWarning
        Where a folder cannot be listed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from userlogfeat.audio import find_audio
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("b.wav", "a.mp3", "cover.jpg"):
    ...     (folder / name).touch()
    >>> [pathlib.Path(path).name for path in find_audio([folder, "c.flac"])]
    ['a.mp3', 'b.wav', 'c.flac']
    """
    if isinstance(sources, str | bytes | os.PathLike):
        sources = [sources]
    seen, found = set(), []
    for source in sources:
        if os.path.isdir(source):
            found += _walk(os.fspath(source), seen)
        else:
            found.append(source)
    return found


def _walk(folder, seen):
    suffixes = AUDIO_SUFFIXES
    hidden = "."
    if isinstance(folder, bytes):
        suffixes, hidden = tuple(map(os.fsencode, suffixes)), b"."
    found = []
    for place, folders, names in os.walk(folder, onerror=_warn, followlinks=True):
        folder_id = _identity(place)
        if folder_id in seen:
            folders.clear()
            continue
        seen.add(folder_id)
        folders[:] = sorted(name for name in folders if not name.startswith(hidden))
        found += [
            os.path.join(place, name)
            for name in sorted(names)
            if name.lower().endswith(suffixes) and not name.startswith(hidden)
        ]
    return found


def _identity(folder):
    """The same for one folder by several paths; some disks number no files."""
    status = os.stat(folder)
    if status.st_ino == 0:
        return os.path.realpath(folder)
    return status.st_dev, status.st_ino


def _warn(error):
    warnings.warn(
        f"The folder {error.filename!r} cannot be listed ({error.strerror}); its files "
        "are left out. Allow it (chmod u+rx), or leave the folder out.",
        UserWarning,
        stacklevel=4,
    )
