"""Homburg: 1,886 excerpts of 10 s in nine genres.

Citation: H. Homburg, I. Mierswa, B. Moeller, K. Morik and M. Wurst, "A benchmark
dataset for audio classification and clustering", ISMIR 2005.

Licence: none stated; excerpts of songs from garageband.com, collected for research at
the University of Dortmund.

Layout, as its authors distribute it: names are artist and title, joined by a hyphen,
with underscores for all that is not a letter or digit::

    homburg/
        alternative/   50_Minutes-Colours.mp3 ...
        blues/ electronic/ folkcountry/ funksoulrnb/ jazz/ pop/ raphiphop/ rock/

Splits: none. Hamel et al. (2013) use ten folds. Many artists have several songs, most
of them in one genre: keep them together (``groups=clips.artists``). Classes are uneven,
from 47 (funksoulrnb) to 504 clips (rock).
"""

from typing import Literal

from userlogfeat._typing import PathLike
from userlogfeat.datasets.genre_folders import read_genre_folders
from userlogfeat.datasets.labelled_clips import LabelledClips
from userlogfeat.datasets.registry import register_dataset

GENRES = tuple(
    (
        "alternative blues electronic folkcountry funksoulrnb jazz pop raphiphop rock"
    ).split()
)
N_CLIPS = 1886
_LAYOUT = "folders of audio named alternative, blues, ... rock"


@register_dataset("Homburg")
def read_homburg(
    folder: PathLike, *, missing: Literal["error", "ignore"] = "error"
) -> LabelledClips:
    """Read the Homburg set from the folder that its archive unpacks to.

    Parameters
    ----------
    folder : str or Path
        The folder with the genres, or the one just above it, or one of the genres.
    missing : {"error", "ignore"}
        Reaction to fewer than 1,886 clips, or genres without any.

    Returns
    -------
    LabelledClips
        `item` is "genre/name of the file"; `artist` and `title` from the file's name;
        no split.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If it is the folder of something else, or clips are missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from userlogfeat.datasets.homburg import read_homburg
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "homburg"
    >>> (folder / "blues").mkdir(parents=True)
    >>> (folder / "blues" / "Los_Blancos-Shakin__That_Thing.mp3").touch()
    >>> clips = read_homburg(folder, missing="ignore")
    >>> clips.artists, clips.frame["title"].to_list()
    (array(['Los Blancos'], dtype=object), ['Shakin That Thing'])
    """
    facts = {"n_clips": N_CLIPS, "layout": _LAYOUT, "separator": "-"}
    return read_genre_folders(
        "Homburg", folder, genres=GENRES, **facts, missing=missing
    )
