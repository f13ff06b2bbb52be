"""Unique: 3,115 excerpts of 30 s, no two by one artist, in 14 genres.

Citation: K. Seyerlehner, G. Widmer and T. Pohle, "Fusing block-level features for music
similarity estimation", DAFx 2010.

Licence: none stated; excerpts of well-known songs, collected for research.

Layout, as its authors distribute it: a folder of audio for each genre. No list of the
folders' names was at hand when this reader was written, so every folder with audio
files right in it is read as a genre of that name::

    unique/
        <genre>/   *.mp3
        ...

Splits: none. Hamel et al. (2013) use ten folds. There is one song of each artist, so
that no artist is on both sides of any split. Classes are very uneven.
"""

from typing import Literal

from userlogfeat._typing import PathLike
from userlogfeat.datasets.genre_folders import read_genre_folders
from userlogfeat.datasets.labelled_clips import LabelledClips
from userlogfeat.datasets.registry import register_dataset

N_GENRES = 14
N_CLIPS = 3115
_LAYOUT = f"{N_GENRES} folders of audio files, one a genre"


@register_dataset("Unique")
def read_unique(
    folder: PathLike, *, missing: Literal["error", "ignore"] = "error"
) -> LabelledClips:
    """Read the Unique set from the folder that its archive unpacks to.

    Parameters
    ----------
    folder : str or Path
        The folder with the genres. Any collection sorted into folders looks like it, so
        others are searched only just above or below, and only if called ``unique``.
    missing : {"error", "ignore"}
        Reaction to fewer than 3,115 clips, or not 14 genres.

    Returns
    -------
    LabelledClips
        `item` is "genre/name of the file"; `artist` is the part of the name before
        " - ", or None; no split.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If it is the folder of something else, or clips or genres are missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from userlogfeat.datasets.unique import read_unique
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "unique"
    >>> for name in ("blues/1.mp3", "jazz/2.mp3"):
    ...     (folder / name).parent.mkdir(parents=True)
    ...     (folder / name).touch()
    >>> read_unique(folder, missing="ignore").y
    array(['blues', 'jazz'], dtype='<U5')
    """
    facts = {"n_clips": N_CLIPS, "layout": _LAYOUT, "separator": " - "}
    clips = read_genre_folders("Unique", folder, genres=None, **facts, missing=missing)
    genres = sorted(set(clips.labels.tolist()))
    if missing == "error" and len(genres) != N_GENRES:
        raise ValueError(
            f"{str(folder)!r} holds folders of audio for {len(genres)} genres "
            f"({', '.join(genres)}), expected {N_GENRES}: is it the Unique set? Pass "
            'missing="ignore" to read it as it is.'
        )
    return clips
