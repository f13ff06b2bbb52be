"""Readers of five published listening logs.

Each reader turns a file, or the folder it was unpacked into, into chunks with the
columns `user` and `item` and, where the data set has them, `count`, `time` and
`verdict` (+1 liked, -1 disliked, 0 withdrawn, null neither). None of the sets is
downloaded or bundled here, and each has a licence of its own.

==================  =================================================================
hetrec-lastfm-2k    Cantador, Brusilovsky, Kuflik 2011, HetRec. ``user_artists.dat``:
                    tab-separated with a header. Items are artists. Non-commercial.
lastfm-360k         Celma 2010, *Music recommendation and discovery in the long
                    tail*. ``usersha1-artmbid-artname-plays.tsv``, no header. Items
                    are artists: the MusicBrainz identifier or, for the 107,373
                    artists without one, the artist's name. Non-commercial.
taste-profile       Bertin-Mahieux et al. 2011, *The Million Song Dataset*, Echo Nest
                    Taste Profile. ``train_triplets.txt``, no header. Items are
                    songs (SO...).
mpd                 Chen, Lamere, Schedl, Zamani 2018, RecSys challenge, the Million
                    Playlist Dataset. ``mpd.slice.*.json``. Users are playlists,
                    items are track URIs; the last item is the one at the playlist's
                    end.
yambda              Ploshkin et al. 2025, *Yambda-5B* (flat layout). A folder with
                    ``multi_event.parquet`` or with ``listens.parquet`` (and, if
                    there, ``likes``, ``unlikes``, ``dislikes``, ``undislikes``), or
                    one of the first two files. A listen of more than 50 % of the
                    track is a play, as in its authors' protocol; the latest of a
                    like, a dislike or its withdrawal holds.
==================  =================================================================

The others note no fraction of the item that was played. Their plays are what their
services counted: scrobbles of Last.fm (half of a track, or four minutes), plays of the
Echo Nest's partners, and a track's place in a playlist, which is not a play at all.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from userlogfeat._typing import PathLike
from userlogfeat._untrusted import parse_json, read_whole
from userlogfeat.logs.sources import Chunk, gathered, iter_chunks

_MAX_SLICE = 1 << 28  # bytes of a slice of playlists; the published ones have 35 MB
_log = logging.getLogger(__name__)

LASTFM_360K = ["user", "mbid", "name", "count"]
# Data sets that are one tab-separated file: its name, roles, columns without header.
TAB_SEPARATED = {
    "hetrec-lastfm-2k": (
        "user_artists.dat",
        {"user": "userID", "item": "artistID", "count": "weight"},
        None,
    ),
    "taste-profile": (
        "train_triplets.txt",
        {"user": "user", "item": "item", "count": "count"},
        ["user", "item", "count"],
    ),
}
YAMBDA = {"user": "uid", "item": "item_id", "time": "timestamp"}
YAMBDA_PLAYED = "played_ratio_pct"
YAMBDA_LISTENED = 0.5  # "Listen+": played by more than half
YAMBDA_FILES = ("multi_event.parquet", "listens.parquet")
YAMBDA_VERDICTS = {"like": 1, "dislike": -1, "unlike": 0, "undislike": 0}


def lastfm_360k(source: PathLike) -> Iterator[Chunk]:
    """Read the Last.fm 360K play counts; rows that name no artist are left out."""
    name = "usersha1-artmbid-artname-plays.tsv"
    path = _find(source, name, "lastfm-360k")
    roles = {name: name for name in LASTFM_360K}
    n_nameless = 0
    for chunk in iter_chunks(path, roles, separator="\t", columns=LASTFM_360K):
        item = pc.coalesce(chunk.table["mbid"], chunk.table["name"])
        table = chunk.table.drop_columns(["mbid", "name"]).append_column("item", item)
        rows = None
        if item.null_count:
            n_nameless += item.null_count
            named = pc.is_valid(item).to_numpy()
            rows = chunk.first_row + np.flatnonzero(named)
            table = table.take(rows - chunk.first_row)
        yield chunk._replace(table=table, rows=rows)
    if n_nameless:
        _log.warning("Left out %d rows of %s without artist.", n_nameless, path.name)


def mpd(source: PathLike) -> Iterator[Chunk]:
    """Read the Million Playlist Dataset, a chunk for each slice of 1,000 playlists."""
    pattern = "mpd.slice.*.json"
    folder = Path(source)
    files = [folder] if folder.is_file() else []
    for place in (folder, folder / "data"):
        files = files or sorted(place.glob(pattern), key=_slice_start)
    if not files:
        raise _not_found(folder, f"{pattern} (there or in data/)", "mpd")
    yield from gathered(Chunk(_playlists(file), file.name, 0) for file in files)


def yambda(
    source: PathLike, *, listened_above: float = YAMBDA_LISTENED
) -> Iterator[Chunk]:
    """Read Yambda's flat layout: listens, then likes and dislikes."""
    path = Path(source)
    if not path.is_dir():
        path = _find(path, " or ".join(YAMBDA_FILES), "yambda")
        several = path.name.startswith("multi_event")
        read = _yambda_events if several else _yambda_listens
        yield from read(path, listened_above)
        return
    events, listens = (path / name for name in YAMBDA_FILES)
    if events.exists():
        yield from _yambda_events(events, listened_above)
    elif listens.exists():
        yield from _yambda_listens(listens, listened_above)
        yield from _yambda_verdicts(path)
    else:
        raise _not_found(path, " or ".join(YAMBDA_FILES), "yambda")


def _yambda_listens(path, listened_above):
    for chunk in iter_chunks(path, _yambda_roles(listened_above)):
        counts = pa.array(np.ones(chunk.table.num_rows))
        yield _with_counts(chunk, counts, listened_above)


def _yambda_roles(listened_above):
    return YAMBDA | ({"played": YAMBDA_PLAYED} if listened_above > 0 else {})


def _with_counts(chunk, counts, listened_above):
    """Set the counts of listens that are too short to 0."""
    table = chunk.table
    if listened_above > 0:
        is_listen = pc.greater(counts, 0)
        played = pc.cast(table["played"], pa.float64())
        if pc.any(pc.and_(is_listen, pc.is_null(played))).as_py():
            raise ValueError(
                f"{chunk.origin} has listens without {YAMBDA_PLAYED}. Remove them, or "
                "pass listened_above=0 to count all listens."
            )
        is_long = pc.greater(played, 100 * listened_above)
        counts = pc.if_else(pc.fill_null(is_long, False), counts, 0.0)
        table = table.drop_columns(["played"])
    return chunk._replace(table=table.append_column("count", counts))


def _yambda_verdicts(folder):
    for event, verdict in YAMBDA_VERDICTS.items():
        file = folder / f"{event}s.parquet"
        if not file.exists():
            continue
        for chunk in iter_chunks(file, YAMBDA):
            n = chunk.table.num_rows
            table = chunk.table.append_column("count", pa.repeat(pa.scalar(0.0), n))
            verdicts = pa.repeat(pa.scalar(verdict, pa.int8()), n)
            yield chunk._replace(table=table.append_column("verdict", verdicts))


def _yambda_events(path, listened_above):
    kinds = pa.array(["listen", *YAMBDA_VERDICTS], pa.string())
    verdicts = pa.array([None, *YAMBDA_VERDICTS.values()], pa.int8())
    counts = pa.array([1.0] + [0.0] * len(YAMBDA_VERDICTS))
    roles = _yambda_roles(listened_above) | {"event": "event_type"}
    for chunk in iter_chunks(path, roles):
        event = pc.cast(chunk.table["event"], pa.string())
        kind = pc.index_in(event, value_set=kinds)
        if kind.null_count:
            strange = pc.unique(event.filter(pc.is_null(kind))).to_pylist()
            raise ValueError(
                f"{path.name} holds events of the types {strange[:5]}, expected "
                f"{kinds.to_pylist()}. Is it the flat layout of Yambda?"
            )
        table = chunk.table.drop_columns(["event"])
        table = table.append_column("verdict", verdicts.take(kind.combine_chunks()))
        chunk = chunk._replace(table=table)
        yield _with_counts(chunk, counts.take(kind.combine_chunks()), listened_above)


def _playlists(file):
    """Read one slice as a table: a row per track of a playlist, its place as time."""
    users, items, places = [], [], []
    try:
        text = read_whole(file, max_bytes=_MAX_SLICE).decode("utf-8-sig")
        playlists = parse_json(text)["playlists"]
        for playlist in playlists:
            for place, track in enumerate(playlist["tracks"]):
                users.append(playlist["pid"])
                items.append(track["track_uri"])
                places.append(track.get("pos", place))
        columns = {
            "user": pa.array(users, pa.int64()),
            "item": pa.array(items, pa.string()),
            "time": pa.array(places, pa.int64()),
        }
    except (
        *(ValueError, LookupError, TypeError, AttributeError),
        *(OverflowError, pa.ArrowException),
    ) as error:
        raise ValueError(
            f"{file} is not a slice of the Million Playlist Dataset "
            f"({type(error).__name__}: {error}). Expected a JSON object with "
            "'playlists', each with 'pid' and 'tracks', each with 'track_uri'."
        ) from error
    return pa.table(columns)


def _slice_start(file):
    """Return the first playlist of ``mpd.slice.0-999.json``, to sort slices."""
    start = file.name.split(".")[2].partition("-")[0]
    return (int(start) if start.isdigit() else 0, file.name)


def _find(source, name, format):
    """Return the file called `name` in a folder, or the file that was given."""
    path = Path(source)
    found = path / name if path.is_dir() else path
    if not found.exists():
        raise _not_found(path, name, format)
    return found


def _not_found(path, looked_for, format):
    if not path.exists():
        return FileNotFoundError(
            f'There is no {path}. With format="{format}" give the folder with '
            f"{looked_for}, or that file."
        )
    names = sorted(child.name for child in path.iterdir())[:8]
    return FileNotFoundError(
        f'With format="{format}" looked for {looked_for} in {path}, which holds '
        f"{', '.join(names) or 'nothing'}."
    )


def _tab_separated(format):
    name, roles, columns = TAB_SEPARATED[format]

    def read(source):
        path = _find(source, name, format)
        yield from iter_chunks(path, roles, separator="\t", columns=columns)

    return read


READERS = {
    **{format: _tab_separated(format) for format in TAB_SEPARATED},
    "lastfm-360k": lastfm_360k,
    "mpd": mpd,
    "yambda": yambda,
}
