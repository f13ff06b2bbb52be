"""1517-Artists: 3,180 songs of 1,517 artists in 19 genres.

Citation: K. Seyerlehner, G. Widmer and T. Pohle, "Fusing block-level features for music
similarity estimation", DAFx 2010.

Licence: none stated; songs that their artists gave away on a download portal, collected
for research.

Layout, as its authors distribute it::

    1517-Artists/
        Alternative & Punk/   *.mp3
        Blues/ Childrens/ ... World/

Splits: none. Hamel et al. (2013) use ten folds. The set was made so that songs of an
artist can be kept together, but no list of artists was at hand when this reader was
written: `artist` is the part of a file's name before " - ", or None.
"""

from typing import Literal

from userlogfeat._typing import PathLike
from userlogfeat.datasets.genre_folders import read_genre_folders
from userlogfeat.datasets.labelled_clips import LabelledClips
from userlogfeat.datasets.registry import register_dataset

GENRES = tuple(
    (
        "Alternative & Punk, Blues, Childrens, Classical, Comedy & Spoken Word, "
        "Country, Easy Listening & Vocals, Electronic & Dance, Folk, Hip-Hop, Jazz, "
        "Latin, New Age, R&B & Soul, Reggae, Religious, Rock & Pop, "
        "Soundtracks & More, World"
    ).split(", ")
)
N_CLIPS = 3180
_LAYOUT = "folders of audio named Alternative & Punk, Blues, ... World"


@register_dataset("1517-Artists")
def read_artists1517(
    folder: PathLike, *, missing: Literal["error", "ignore"] = "error"
) -> LabelledClips:
    """Read 1517-Artists from the folder that its archive unpacks to.

    Parameters
    ----------
    folder : str or Path
        ``1517-Artists``, or the folder just above it, or one of its genres.
    missing : {"error", "ignore"}
        Reaction to fewer than 3,180 songs, or genres without any.

    Returns
    -------
    LabelledClips
        `item` is "genre/name of the file"; `artist` and `title` from the file's name,
        where it has them; no split. These are full songs: estimators have `duration`.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If it is the folder of something else, or songs are missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from userlogfeat.datasets.artists1517 import read_artists1517
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "1517-Artists"
    >>> for name in ("Blues/A Band - A Song.mp3", "World/untitled.mp3"):
    ...     (folder / name).parent.mkdir(parents=True)
    ...     (folder / name).touch()
    >>> clips = read_artists1517(folder, missing="ignore")
    >>> clips.y, clips.artists
    (array(['Blues', 'World'], dtype='<U5'), array(['A Band', None], dtype=object))
    """
    facts = {"n_clips": N_CLIPS, "layout": _LAYOUT, "separator": " - "}
    return read_genre_folders(
        "1517-Artists", folder, genres=GENRES, **facts, missing=missing
    )
