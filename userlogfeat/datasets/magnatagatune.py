"""Magnatagatune: 25,863 clips of 29 s with 188 tags that players of a game agreed on.

Citation: E. Law, K. West, M. Mandel, M. Bay and J. S. Downie, "Evaluation of algorithms
using games: the case of music tagging", ISMIR 2009.

Licence: audio of Magnatune, CC BY-NC-SA; annotations for research.

Layout, as mirg.city.ac.uk gives it; the tables are separated by tabs, and the audio
unpacks into sixteen folders::

    magnatagatune/
        annotations_final.csv   clip_id, 188 tags as 0 or 1, mp3_path
        clip_info_final.csv     clip_id, track_number, title, artist, album, url,
                                segmentStart, segmentEnd, original_url, mp3_path
        0/ 1/ ... 9/ a/ ... f/  or below mp3/ or audio/
            american_bach_soloists-j_s__bach_solo_cantatas-01-bwv54__i_aria-30-59.mp3

Splits: none by the authors; as in most papers, folders 0 to b are for training, c for
validation, d to f for testing. It does not keep artists apart:
``groups=clips.artists`` does, in folds of your own.

Known faults: three files hold no audio (``EMPTY``) and are left out. Many tags mean the
same ("no vocals", "no voice"), and many clips have none. A tag that a clip lacks may
still be true of it: players did not tick lists.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from userlogfeat._check import check_positive
from userlogfeat._text_tables import TextTable
from userlogfeat._typing import PathLike
from userlogfeat.datasets.folders import (
    add_audio,
    audio_by_name,
    check_listed_once,
    find_root,
    read_columns,
)
from userlogfeat.datasets.labelled_clips import LabelledClips
from userlogfeat.datasets.registry import register_dataset

EMPTY = (
    "6/norine_braun-now_and_zen-08-gently-117-146",
    "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233",
    "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-"
    "le_petit_rien_xiveme_ordre_couperin-88-117",
)
ANNOTATIONS, INFO = "annotations_final.csv", "clip_info_final.csv"
PARTS = {"c": "validation", "d": "test", "e": "test", "f": "test"}  # others: train
_LAYOUT = f"{ANNOTATIONS} and folders of audio named 0, 1, ... f"
_SEGMENT = re.compile(r"-\d+-\d+$")  # seconds at which a clip starts and ends


@dataclass(frozen=True, repr=False, eq=False)
class TaggedClips(LabelledClips):
    """Clips that may have several tags each.

    Attributes
    ----------
    tag_names : tuple of str
        Columns of `y`.
    """

    tag_names: tuple[str, ...] = ()

    def _kinds(self):
        return f"{len(self.tag_names)} tags"

    @property
    def y(self) -> np.ndarray:
        """Indicator of tags: ndarray (n, n_tags) of int8, 0 or 1."""
        return self.frame.select(self.tag_names).to_numpy().astype(np.int8)

    @property
    def labels(self) -> np.ndarray:
        """Tags of each clip: ndarray (n,) of object, tuples of str."""
        names, found = np.array(self.tag_names), np.empty(len(self), dtype=object)
        for clip, row in enumerate(self.y):
            found[clip] = tuple(names[row > 0].tolist())
        return found


@register_dataset("Magnatagatune")
def read_magnatagatune(
    folder: PathLike,
    *,
    n_tags: int | None = None,
    missing: Literal["error", "ignore"] = "error",
) -> TaggedClips:
    r"""Read Magnatagatune from the folder with its tables and its audio.

    Parameters
    ----------
    folder : str or Path
        The folder with annotations_final.csv, or the one just above or below it.
    n_tags : int, optional
        Number of tags to keep, the most frequent ones; 50 is usual. None keeps all 188.
    missing : {"error", "ignore"}
        Reaction to clips that the annotations list but that are not there.

    Returns
    -------
    TaggedClips
        `y` is the indicator matrix (n_clips, n_tags) and `tag_names` its columns;
        `item` is the song, `artist`, and `split`; `album` and `title` where
        clip_info_final.csv is there.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If the folder or the tables are of something else, or clips are missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from userlogfeat.datasets.magnatagatune import read_magnatagatune
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "annotations_final.csv").write_text(
    ...     '"clip_id"\t"loud"\t"slow"\t"mp3_path"\n'
    ...     '"2"\t"1"\t"0"\t"f/a_band-an_album-01-a_song-30-59.mp3"\n')
    >>> (folder / "f").mkdir()
    >>> (folder / "f" / "a_band-an_album-01-a_song-30-59.mp3").touch()
    >>> clips = read_magnatagatune(folder)
    >>> clips.y, clips.tag_names, clips.split
    (array([[1, 0]], dtype=int8), ('loud', 'slow'), array(['test'], dtype=object))
    """
    root = find_root(
        folder,
        lambda path: (path / ANNOTATIONS).is_file(),
        name="Magnatagatune",
        layout=_LAYOUT,
    )
    table, tags = _read_annotations(root / ANNOTATIONS)
    if n_tags is not None:
        tags = _most_frequent(table, tags, n_tags)
    frame = _describe(table, root / INFO, tags)
    keys = [_key(path) for path in table["mp3_path"]]
    left_out = tuple(key for key in keys if key in EMPTY)
    frame = frame.filter(~pl.Series(keys, dtype=pl.String).is_in(EMPTY))
    wanted = [key for key in keys if key not in EMPTY]
    clips = TaggedClips("Magnatagatune", frame, left_out=left_out, tag_names=tags)
    audio = audio_by_name([root], key=_key)
    return add_audio(clips, root, wanted, audio, listed=ANNOTATIONS, missing=missing)


def _read_annotations(path):
    """Read the table, all columns as text, and the names of the tags."""
    table = _read_table(path, ("clip_id", "mp3_path"))
    tags = tuple(name for name in table.columns if name not in ("clip_id", "mp3_path"))
    is_tag = pl.col(tags).is_in(["0", "1"]).fill_null(False)
    strange = table.filter(~pl.all_horizontal(is_tag)) if tags else table
    if strange.height or not tags:
        raise ValueError(
            f"{str(path)!r} has {strange.height} rows with other tags than 0 or 1, in "
            f"{len(tags)} columns, expected the table of Magnatagatune."
        )
    return table, tags


def _read_table(path, keys, columns=None):
    """Read columns, by default all; keys must be in every row."""
    table = TextTable(path, separator="\t", quoted=True)
    if columns is None:
        columns = [name for name in table.names if name not in keys]
    expected = "Expected the table of Magnatagatune, separated by tabs."
    frame = read_columns(table, [*keys, *columns], expected)
    for name in keys:
        if frame[name].null_count():
            raise ValueError(f"{str(path)!r} has a row without {name}.")
    check_listed_once(frame["clip_id"], path, kind="clip")
    return frame


def _read_info(path):
    try:
        return _read_table(path, ("clip_id",), ("artist", "album", "title"))
    except ValueError as error:
        raise ValueError(
            f"{error} Without {path.name}, artists are read from the names of files: "
            "move it elsewhere to read the set so."
        ) from error


def _most_frequent(table, tags, n_tags):
    """Return the tags of the most clips; of equally frequent ones the first."""
    check_positive(n_tags, "n_tags", integer=True)
    counts = table.select(pl.col(tags).cast(pl.Int64).sum()).row(0)
    order = np.argsort(-np.array(counts), kind="stable")[:n_tags]
    return tuple(tags[i] for i in order)


def _describe(table, info, tags):
    """Return one row per clip: item, artist, split, tags; album and title if known."""
    keys = [_key(path) for path in table["mp3_path"]]
    songs = [_SEGMENT.sub("", key.split("/")[-1]) for key in keys]
    columns = {
        "item": songs,
        "artist": [song.split("-")[0].replace("_", " ") for song in songs],
        "split": [PARTS.get(key[0], "train") for key in keys],
    }
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    if info.is_file():
        known = table.select("clip_id").join(
            _read_info(info), on="clip_id", how="left", maintain_order="left"
        )
        frame = frame.with_columns(
            pl.coalesce(known["artist"], frame["artist"]).alias("artist"),
            known["album"],
            known["title"],
        )
    return frame.with_columns(table.select(pl.col(tags).cast(pl.Int8)))


def _key(path):
    """Return folder and name without suffix: "f/a_band-an_album-01-a_song-30-59"."""
    path = Path(path)
    return f"{path.parent.name}/{path.stem}"
