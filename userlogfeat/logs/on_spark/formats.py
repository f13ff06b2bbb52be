"""Five published listening logs on a Spark cluster.

The same files, users, items and plays as in :mod:`userlogfeat.logs.formats`, which
cites them; paths may be of any file system that Spark reads.
"""

from __future__ import annotations

import logging
import os

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from userlogfeat._typing import PathLike
from userlogfeat.logs import formats as local
from userlogfeat.logs.on_spark.sources import (
    Source,
    by_role,
    name_of,
    read_binary,
    read_source,
    read_text,
    reading,
)

_log = logging.getLogger(__name__)

_MPD_SCHEMA = (
    "playlists array<struct<pid: bigint, "
    "tracks: array<struct<pos: bigint, track_uri: string>>>>"
)


def read_format(
    session: SparkSession,
    source: PathLike,
    format: str,
    *,
    listened_above: float = local.YAMBDA_LISTENED,
) -> Source:
    """Read the named data set as a `Source`.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
    source : str or Path
        The data set's folder, or its file.
    format : str
        As in :func:`userlogfeat.read_logs`.
    listened_above : float
        For "yambda": a listen of more than this fraction is a play; 0 counts all.

    Returns
    -------
    Source
    """
    path = os.fspath(source)
    if format == "yambda":
        return _yambda(session, path, listened_above)
    if format not in local.TAB_SEPARATED:
        return _READERS[format](session, path)
    name, roles, columns = local.TAB_SEPARATED[format]
    path = _inside(path, name)
    return read_source(session, path, roles, separator="\t", columns=columns)


def _lastfm_360k(session, path):
    path = _inside(path, "usersha1-artmbid-artname-plays.tsv")
    frame = read_text(session, path, "\t", local.LASTFM_360K)
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


def _yambda(session, path, above):
    roles = local.YAMBDA | ({"played": local.YAMBDA_PLAYED} if above > 0 else {})
    if path.endswith(".parquet"):
        frame = read_binary(session, path, "parquet", roles)
        several = name_of(path).startswith("multi_event")
        read = _yambda_events if several else _listens
        return read(frame, name_of(path), roles, above)

    def load(path, roles=local.YAMBDA):
        return read_binary(session, path, "parquet", roles)

    events, listens = (_inside(path, name) for name in local.YAMBDA_FILES)
    found = _first_found([events, listens], lambda path: load(path, roles))
    if "event_type" in found.columns:
        return _yambda_events(found, name_of(events), roles, above)
    source = _listens(found, name_of(listens), roles, above)
    frame = source.frame.withColumn("verdict", F.lit(None))
    for event, verdict in local.YAMBDA_VERDICTS.items():
        try:
            verdicts = load(_inside(path, f"{event}s.parquet"))
        except FileNotFoundError:
            continue
        verdicts = by_role(verdicts, local.YAMBDA, of_files=True)
        given = {"count": F.lit(0.0), "verdict": F.lit(verdict)}
        given |= {"played": F.lit(0.0)} if above > 0 else {}
        frame = frame.unionByName(verdicts.withColumns(given))
    return source._replace(frame=frame)


def _listens(frame, origin, roles, above):
    frame = by_role(frame, roles, of_files=True)
    return _counted(frame, origin, F.lit(True), above)


def _counted(frame, origin, listened, above, checks=()):
    """Count listens that are long enough; see the local reader."""
    count = F.when(listened, 1.0).otherwise(0.0)
    if above > 0:
        played = F.col("played").cast("double")
        what = (f"a listen without {local.YAMBDA_PLAYED}", "Or pass listened_above=0.")
        checks = (*checks, (listened & played.isNull(), *what))
        is_long = F.coalesce(played > 100 * above, F.lit(False))
        count = F.when(listened & is_long, 1.0).otherwise(0.0)
    return Source(frame.withColumn("count", count), origin, checks=checks)


def _yambda_events(frame, origin, roles, above):
    frame = by_role(frame, {**roles, "event": "event_type"}, of_files=True)
    verdict = F.lit(None).cast("int")
    for event, value in local.YAMBDA_VERDICTS.items():
        verdict = F.when(F.col("event") == event, value).otherwise(verdict)
    listened = F.col("event") == "listen"
    kinds = ["listen", *local.YAMBDA_VERDICTS]
    known = F.coalesce(F.col("event").isin(kinds), F.lit(False))
    what = f"an event that is none of {', '.join(kinds)}"
    checks = ((~known, what, "Is it the flat layout of Yambda?"),)
    frame = frame.withColumn("verdict", verdict)
    return _counted(frame, origin, listened, above, checks)


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


_READERS = {"lastfm-360k": _lastfm_360k, "mpd": _mpd}
