"""EmoMusic: 744 clips of 45 s with eight genres, valence and arousal.

Citation: M. Soleymani, M. N. Caro, E. M. Schmidt, C.-Y. Sha and Y.-H. Yang, "1000 songs
for emotional analysis of music", ACM Workshop on Crowdsourcing for Multimedia, 2013.

Licence: the songs are of the Free Music Archive, under Creative Commons licences of
their artists; the annotations are given on request, for research.

Layout, as cvml.unige.ch/databases/emoMusic gives it; the archive of the annotations
unpacks into its folder or flat, according to the version::

    emoMusic/
        annotations/
            songs_info.csv          song_id, file_name, Artist, Song title, ... Genre,
                                    Mediaeval 2013 set
            static_annotations.csv  song_id, mean_arousal, std_arousal,
                                    mean_valence, std_valence
        clips_45sec/
            clips_45seconds/        2.mp3, 3.mp3, 4.mp3, 5.mp3, 7.mp3, ... 1000.mp3

Splits: "Mediaeval 2013 set" is development (619 clips, here "train") or evaluation
(125, here "test"). Lee et al. (2019) use it. Ratings of the whole clip are means over
ten or more listeners, from 1 to 9; Choi et al. (2017) divide them by 9.

Known faults: 256 of the 1,000 songs repeated others and are no longer listed; clips
that are not listed are not read. Fields have tabs and spaces around them, and the
spelling of artists varies. The split is not said to keep artists apart.
"""

from pathlib import Path
from typing import Literal

import polars as pl

from userlogfeat._check import check_choice
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

Y_COLUMNS = {
    "genre": ("label",),
    "valence": ("valence",),
    "arousal": ("arousal",),
    "both": ("valence", "arousal"),
}
SPLIT_NAMES = {"development": "train", "evaluation": "test"}
RATINGS = (1.0, 9.0)  # the scale of the listeners
_ANNOTATIONS = ("annotations", ".")
_CLIPS = ("clips_45sec", "clips_45seconds", "clips")
_LAYOUT = "annotations/songs_info.csv and clips_45sec/clips_45seconds/"
_INFO = ("song_id", "artist", "song title", "genre", "mediaeval 2013 set")
_STATIC = ("song_id", "mean_arousal", "mean_valence")


_EXPECTED = (
    "Expected the table of EmoMusic (not of DEAM, whose songs and columns are others)."
)


@register_dataset("EmoMusic")
def read_emomusic(
    folder: PathLike,
    *,
    target: Literal["genre", "valence", "arousal", "both"] = "genre",
    missing: Literal["error", "ignore"] = "error",
) -> LabelledClips:
    r"""Read EmoMusic from the folder that its archives unpack to.

    Parameters
    ----------
    folder : str or Path
        The folder with the annotations and the clips, or the one just below or above.
    target : {"genre", "valence", "arousal", "both"}
        Content of ``y``: the genre; a mean rating, from 1 to 9; or valence and arousal
        in two columns. ``labels`` and ``targets`` have all of them in any case.
    missing : {"error", "ignore"}
        Reaction to clips that songs_info.csv lists but that are not there.

    Returns
    -------
    LabelledClips
        `item` is the song's number; `artist`, `title`, the targets `valence` and
        `arousal`, and `split`.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If the folder or the tables are of something else, or clips are missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from userlogfeat.datasets.emomusic import read_emomusic
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> (folder / "clips_45seconds").mkdir()
    >>> (folder / "clips_45seconds" / "2.mp3").touch()
    >>> _ = (folder / "songs_info.csv").write_text(
    ...     "song_id,Artist,Song title,Genre,Mediaeval 2013 set\n"
    ...     "2,\tNico\t,\tA\t,\tRock\t,development\n")
    >>> _ = (folder / "static_annotations.csv").write_text(
    ...     "song_id,mean_arousal,std_arousal,mean_valence,std_valence\n"
    ...     "2,3.1,0.9,3.0,0.6\n")
    >>> clips = read_emomusic(folder, target="arousal")
    >>> clips.y, clips.labels, clips.split
    (array([3.1]), array(['Rock'], dtype='<U4'), array(['train'], dtype=object))
    """
    check_choice(target, "target", tuple(Y_COLUMNS))
    root = find_root(folder, _has_set, name="EmoMusic", layout=_LAYOUT)
    info = _annotations(root) / "songs_info.csv"
    frame = _join(info, info.with_name("static_annotations.csv"))
    audio = audio_by_name([root / name for name in _CLIPS])
    songs = [str(song) for song in frame["item"]]
    targets = {"y_columns": Y_COLUMNS[target], "target_names": ("valence", "arousal")}
    clips = LabelledClips("EmoMusic", frame, **targets)
    return add_audio(clips, root, songs, audio, listed=info, missing=missing)


def _has_set(folder):
    clips = any((folder / name).is_dir() for name in _CLIPS)
    return clips and _annotations(folder) is not None


def _annotations(folder):
    for name in _ANNOTATIONS:
        if (folder / name / "songs_info.csv").is_file():
            return folder / name
    return None


def _join(info, static):
    """Join the tables: one row per song, in the order of songs_info.csv."""
    ratings = {
        song: [_rating(row, name, static) for name in ("mean_valence", "mean_arousal")]
        for song, row in _songs(static, _STATIC)
    }
    rows = []
    for song, row in _songs(info, _INFO):
        part = row["mediaeval 2013 set"].lower()
        if part not in SPLIT_NAMES:
            raise ValueError(
                f"{str(info)!r} puts song {song} into the set {part!r}, expected "
                f"{' or '.join(SPLIT_NAMES)}."
            )
        if song not in ratings:
            raise ValueError(
                f"{str(static)!r} has no row for song {song}, which {info.name} lists. "
                "Take both files from one version of the annotations."
            )
        artist, title = row["artist"] or None, row["song title"] or None
        part = SPLIT_NAMES[part]
        rows.append((song, row["genre"], artist, title, *ratings[song], part))
    names = ("item", "label", "artist", "title", "valence", "arousal", "split")
    types = (pl.Int64, *[pl.String] * 3, pl.Float64, pl.Float64, pl.String)
    schema = dict(zip(names, types, strict=True))
    return pl.DataFrame(rows, schema=schema, orient="row")


def _songs(path, needed):
    """Return pairs of a song and its row, a dict: text without blanks around it."""
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"There is no file {str(path)!r}; songs_info.csv and "
            "static_annotations.csv of EmoMusic belong into one folder."
        )
    table = TextTable(path)
    table.names = [" ".join(name.split()).lower() for name in table.names]
    frame = read_columns(table, needed, _EXPECTED)
    frame = frame.select(pl.all().fill_null("").str.strip_chars())
    rows = [row for row in frame.iter_rows(named=True) if any(row.values())]
    songs = [_song(row, path) for row in rows]
    check_listed_once(pl.Series(songs, dtype=pl.Int64), Path(path), kind="song")
    return zip(songs, rows, strict=True)


def _song(row, path):
    try:
        return int(row["song_id"])
    except ValueError:
        raise ValueError(
            f"{str(path)!r} has the song_id {row['song_id']!r}, expected a number."
        ) from None


def _rating(row, name, path):
    low, high = RATINGS
    try:
        value = float(row[name])
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ValueError(
            f"{str(path)!r} has {name} {row[name]!r} for song {row['song_id']}, "
            f"expected a mean rating from {low:g} to {high:g}."
        )
    return value
