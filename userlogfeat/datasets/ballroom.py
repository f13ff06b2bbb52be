"""Extended Ballroom: 4,180 excerpts of 30 s in 13 dances.

Citation: U. Marchand and G. Peeters, "Scale and shift invariant time/frequency
representation using auditory statistics: application to rhythm description", IEEE
MLSP, 2016; "The Extended Ballroom dataset", ISMIR late-breaking session, 2016.

Licence: none stated. The authors give metadata and a script that fetches the previews
of a shop for ballroom music; the recordings belong to others.

Layout, as the script ``getExtendedBallroomDataset.py`` makes it::

    extendedballroom_v1.1/
        extendedballroom_v1.1.xml    <ballroom><Waltz><song id= artist= ... /></Waltz>
        Chacha/  100701.mp3 ...
        Foxtrot/ Jive/ ... Waltz/ Wcswing/

Each ``song`` of the xml has album, artist, title, bpm, id and hash, and elements
``exact``, ``version``, ``time`` or ``karaoke`` with the id of a song that it repeats.

Splits: none by the authors. Lee et al. (2019) use ten stratified folds.

Known faults: many songs repeat others, note for note or as another version, often
in the same dance. ``items`` gives all songs that repeat each other the id of the first,
so that ``StratifiedGroupKFold`` can keep them together. Classes are uneven, from 23
(Wcswing) to 529 clips (Waltz), and Slowwaltz (65) is a Waltz to many. "Various" is no
artist, and `artist` is often the composer. Previews may be gone from the shop.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from userlogfeat._typing import PathLike
from userlogfeat.datasets.folders import add_audio, audio_by_name, find_root
from userlogfeat.datasets.labelled_clips import LabelledClips
from userlogfeat.datasets.registry import register_dataset

DANCES = tuple(
    (
        "Chacha Foxtrot Jive Pasodoble Quickstep Rumba Salsa Samba Slowwaltz Tango "
        "Viennesewaltz Waltz Wcswing"
    ).split()
)
METADATA = "extendedballroom*.xml"
_NO_ARTIST = {"", "various", "various artists"}
_LAYOUT = "folders of audio named Chacha, Foxtrot, ... Wcswing"


@register_dataset("Extended Ballroom")
def read_ballroom(
    folder: PathLike,
    *,
    metadata: PathLike | None = None,
    missing: Literal["error", "ignore"] = "error",
) -> LabelledClips:
    """Read Extended Ballroom from the folder that its script fills.

    Parameters
    ----------
    folder : str or Path
        The folder with one folder per dance, or the one just below or above it.
    metadata : str or Path, optional
        The xml file; by default it is looked for in the folder and in the one above.
        Without it the audio that is there is the set, and only labels are known.
    missing : {"error", "ignore"}
        Reaction to clips that the xml lists but that are not there.

    Returns
    -------
    LabelledClips
        `item` is the id of the first song among all that repeat each other; with the
        xml also `artist`, `album`, and the columns `song`, `title` and `bpm` (beats
        per minute, null where unknown). No split.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If folder or xml are of something else, or clips are missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from userlogfeat.datasets.ballroom import read_ballroom
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for song in ("Waltz/100601.mp3", "Tango/100901.mp3"):
    ...     (folder / song).parent.mkdir()
    ...     (folder / song).touch()
    >>> clips = read_ballroom(folder)
    >>> clips, clips.y
    (LabelledClips(Extended Ballroom: 2 clips, 2 labels),
     array(['Tango', 'Waltz'], dtype='<U5'))
    """
    root = find_root(folder, _has_dances, name="Extended Ballroom", layout=_LAYOUT)
    audio = audio_by_name([root / dance for dance in DANCES], key=_dance_and_song)
    metadata = _find_metadata(root) if metadata is None else Path(metadata)
    if metadata is None:
        frame, listed = _without_metadata(audio), "its folders"
    else:
        frame, listed = _read_metadata(metadata), metadata
    wanted = [f"{dance}/{song}" for dance, song in frame["label", "song"].iter_rows()]
    clips = LabelledClips("Extended Ballroom", frame)
    return add_audio(clips, root, wanted, audio, listed=listed, missing=missing)


def _has_dances(folder):
    return bool(audio_by_name([folder / dance for dance in DANCES]))


def _dance_and_song(path):
    return f"{path.parent.name}/{path.stem}"


def _find_metadata(root):
    """Return the newest xml next to the dances or above them, or None."""
    for place in (root, root.resolve().parent):
        found = sorted(place.glob(METADATA))
        if found:
            return found[-1]
    return None


def _without_metadata(audio):
    pairs = [key.split("/") for key in audio]
    dances, songs = zip(*pairs, strict=True)
    return pl.DataFrame({"item": songs, "label": dances, "song": songs})


def _read_metadata(path):
    """Read one row per song, in the order of the xml."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(
            f"{str(path)!r} is not an xml file ({error}). Expected the "
            "extendedballroom_v1.1.xml of Extended Ballroom."
        ) from error
    songs = [(dance.tag, song) for dance in root for song in dance.iter("song")]
    strange = sorted({dance for dance, _ in songs} - set(DANCES))
    if strange or not songs:
        raise ValueError(
            f"{str(path)!r} lists {len(songs)} songs"
            + (f" with the unknown dances {', '.join(strange)}" if strange else "")
            + f". Expected songs of the dances {', '.join(DANCES)}."
        )
    first = _first_of_repeats([song for _, song in songs])
    rows = [
        {
            "item": first[song.get("id")],
            "label": dance,
            "artist": _artist(song.get("artist")),
            "album": song.get("album"),
            "song": song.get("id"),
            "title": song.get("title"),
            "bpm": _number(song.get("bpm")),
        }
        for dance, song in songs
    ]
    schema = {name: pl.Float64 if name == "bpm" else pl.String for name in rows[0]}
    return pl.DataFrame(rows, schema=schema)


def _first_of_repeats(songs):
    """Return the first id among all songs that repeat a song, directly or not."""
    row = {song.get("id"): number for number, song in enumerate(songs)}
    pairs = [
        (row[song.get("id")], row[repeat.get("id")])
        for song in songs
        for repeat in song
        if repeat.get("id") in row
    ]
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), tuple(edges)), shape=(len(row), len(row)))
    _, group = connected_components(graph, directed=False)
    first = {}
    return {id: first.setdefault(group[number], id) for id, number in row.items()}


def _artist(name):
    return None if (name or "").strip().lower() in _NO_ARTIST else name.strip()


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
