"""Five published listening logs on a Spark cluster.

The same files, users, items and plays as in :mod:`userlogfeat.logs.formats`, which
cites them; paths may be of any file system that Spark reads.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from userlogfeat._typing import PathLike
from userlogfeat.logs.formats import (
    LASTFM_360K,
    TAB_SEPARATED,
    YAMBDA,
    YAMBDA_FILES,
    YAMBDA_VERDICTS,
)
from userlogfeat.logs.on_spark.sources import (
    Source,
    by_role,
    name_of,
    read_binary,
    read_source,
    read_text,
    reading,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_log = logging.getLogger(__name__)

_MPD_SCHEMA = (
    "playlists array<struct<pid: bigint, "
    "tracks: array<struct<pos: bigint, track_uri: string>>>>"
)


def read_format(session: SparkSession, source: PathLike, format: str) -> Source:
    """Read the named data set as a `Source`.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
    source : str or Path
        The data set's folder, or its file.
    format : str
        As in :func:`userlogfeat.read_logs`.

    Returns
    -------
    Source
    """
    path = os.fspath(source)
    if format not in TAB_SEPARATED:
        return _READERS[format](session, path)
    name, roles, columns = TAB_SEPARATED[format]
    path = _inside(path, name)
    return read_source(session, path, roles, separator="\t", columns=columns)


def _lastfm_360k(session, path):
    from pyspark.sql import functions as F

    path = _inside(path, "usersha1-artmbid-artname-plays.tsv")
    frame = read_text(session, path, "\t", LASTFM_360K)
    named = [F.nullif(F.col(name), F.lit("")) for name in ("mbid", "name")]
    frame = frame.withColumn("item", F.coalesce(*named))
    n_nameless = frame.filter(F.col("item").isNull()).count()
    if n_nameless:
        _log.warning(
            "Left out %d rows of %s without artist.", n_nameless, name_of(path)
        )
    frame = frame.filter(F.col("item").isNotNull())
    roles = {"user": "user", "item": "item", "count": "count"}
    return Source(by_role(frame, roles, of_files=True), name_of(path), is_text=True)


def _mpd(session, path):
    from pyspark.sql import functions as F

    reader = session.read.schema(_MPD_SCHEMA)
    reader = reader.options(multiLine=True, mode="FAILFAST")
    if path.endswith(".json"):
        slices = _first_found([path], reader.json)
    else:
        folders = (path, _inside(path, "data"))
        patterns = [_inside(folder, "mpd.slice.*.json") for folder in folders]
        slices = _first_found(patterns, reader.json)
    playlists = slices.select(
        "_metadata", F.explode("playlists").alias("playlist")
    ).select("_metadata", "playlist.pid", F.posexplode("playlist.tracks"))
    tracks = playlists.select(
        "_metadata",
        F.col("pid").alias("user"),
        F.col("col.track_uri").alias("item"),
        F.coalesce("col.pos", F.col("pos").cast("bigint")).alias("time"),
    )
    roles = {name: name for name in ("user", "item", "time")}
    return Source(by_role(tracks, roles, of_files=True), name_of(path))


def _yambda(session, path):
    from pyspark.sql import functions as F

    if path.endswith(".parquet"):
        frame = read_binary(session, path, "parquet", YAMBDA)
        several = name_of(path).startswith("multi_event")
        return _yambda_events(frame, name_of(path)) if several else _listens(frame)

    def load(path):
        return read_binary(session, path, "parquet", YAMBDA)

    events, listens = (_inside(path, name) for name in YAMBDA_FILES)
    found = _first_found([events, listens], load)
    if "event_type" in found.columns:
        return _yambda_events(found, name_of(events))
    source = _listens(found)
    frame = source.frame.withColumns({"count": F.lit(1.0), "verdict": F.lit(None)})
    for event, verdict in YAMBDA_VERDICTS.items():
        try:
            verdicts = load(_inside(path, f"{event}s.parquet"))
        except FileNotFoundError:
            continue
        verdicts = by_role(verdicts, YAMBDA, of_files=True)
        given = {"count": F.lit(0.0), "verdict": F.lit(verdict)}
        frame = frame.unionByName(verdicts.withColumns(given))
    return source._replace(frame=frame)


def _listens(frame):
    return Source(by_role(frame, YAMBDA, of_files=True), "listens.parquet")


def _yambda_events(frame, origin):
    from pyspark.sql import functions as F

    frame = by_role(frame, {**YAMBDA, "event": "event_type"}, of_files=True)
    verdict = F.lit(None).cast("int")
    for event, value in YAMBDA_VERDICTS.items():
        verdict = F.when(F.col("event") == event, value).otherwise(verdict)
    listened = F.col("event") == "listen"
    kinds = ["listen", *YAMBDA_VERDICTS]
    known = F.coalesce(F.col("event").isin(kinds), F.lit(False))
    what = f"an event that is none of {', '.join(kinds)}"
    checks = ((~known, what, "Is it the flat layout of Yambda?"),)
    count = F.when(listened, 1.0).otherwise(0.0)
    frame = frame.withColumns({"count": count, "verdict": verdict})
    return Source(frame, origin, checks=checks)


def _inside(path, name):
    """Return the file called `name` in a folder, or the file that was given."""
    suffix = os.path.splitext(name)[1]
    return path if suffix and path.endswith(suffix) else f"{path.rstrip('/')}/{name}"


def _first_found(paths, load):
    """Load the first of several places that exists."""
    for path in paths:
        try:
            with reading(path):
                return load(path)
        except FileNotFoundError:
            continue
    names, folder = map(name_of, paths), paths[0].rpartition("/")[0]
    raise FileNotFoundError(f"There is no {' or '.join(names)} in {folder}.")


_READERS = {
    "lastfm-360k": _lastfm_360k,
    "mpd": _mpd,
    "yambda": _yambda,
}
