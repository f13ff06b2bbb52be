"""Published logs on a cluster: the same rows as the local readers find."""

import json

import polars as pl
import pyarrow as pa
import pytest

from userlogfeat import read_logs
from userlogfeat._spark import arrow_table
from userlogfeat.logs.formats import READERS
from userlogfeat.logs.on_spark.formats import read_format

pytestmark = pytest.mark.long


def hetrec(folder):
    (folder / "user_artists.dat").write_text(
        "userID\tartistID\tweight\n2\t51\t13883\n2\t52\t11690\n4\t51\t228\n"
    )


def lastfm_360k(folder):
    (folder / "usersha1-artmbid-artname-plays.tsv").write_text(
        'a1\tm1\tBjörk\t2\na1\t\t"Weird Al" Yankovic\t3\nb2\tm1\tBjörk\t1\nb2\t\t\t9\n'
    )


def taste_profile(folder):
    (folder / "train_triplets.txt").write_text("u1\tSOA\t1\nu1\tSOB\t2\nu2\tSOA\t5\n")


def mpd(folder):
    for start in (0, 1000):
        tracks = [{"pos": i, "track_uri": f"t{i + start}"} for i in range(3)]
        playlists = [{"pid": start, "name": "mine", "tracks": tracks}]
        path = folder / "data" / f"mpd.slice.{start}-{start + 999}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"info": {}, "playlists": playlists}, indent=1))


def yambda(folder):
    listens = {"timestamp": [5, 6, 7], "uid": [1, 2, 1], "item_id": [10, 20, 20]}
    listens |= {"played_ratio_pct": [90, 51, 50]}  # the last is too short
    pl.DataFrame(listens).write_parquet(folder / "listens.parquet")
    for event, time in (("like", 7), ("unlike", 8), ("dislike", 9)):
        frame = pl.DataFrame({"timestamp": [time], "uid": [1], "item_id": [10]})
        frame.write_parquet(folder / f"{event}s.parquet")


def yambda_events(folder):
    columns = {"uid": [1, 1, 2], "item_id": [10, 10, 20], "timestamp": [5, 6, 7]}
    kinds = ["listen", "like", "undislike"]
    columns |= {"played_ratio_pct": [60, None, None]}
    frame = pl.DataFrame(columns | {"event_type": kinds})
    frame.write_parquet(folder / "multi_event.parquet")


MAKERS = {
    "hetrec-lastfm-2k": hetrec,
    "lastfm-360k": lastfm_360k,
    "taste-profile": taste_profile,
    "mpd": mpd,
    "yambda": yambda,
}


def rows_of(table):
    """The rows of a table as sorted tuples, numbers as such."""
    roles = sorted({"user", "item", "count", "time", "verdict"} & {*table.column_names})
    columns = [table[role].to_pylist() for role in roles]
    plain = [
        tuple(float(v) if str(v).replace(".", "").isdigit() else v for v in row)
        for row in zip(*columns, strict=True)
    ]
    return roles, sorted(plain, key=repr)


@pytest.mark.parametrize("name", MAKERS)
def test_rows_are_those_of_the_local_reader(spark, tmp_path, name):
    MAKERS[name](tmp_path)
    source = read_format(spark, tmp_path, name)
    found = arrow_table(source.frame.drop("place"))
    chunks = [chunk.table for chunk in READERS[name](tmp_path)]
    expected = pa.concat_tables(chunks, promote_options="permissive")
    roles, rows = rows_of(found)
    their_roles, theirs = rows_of(expected)
    assert roles == their_roles
    assert rows == theirs


def test_rows_without_artist_are_counted(spark, tmp_path, caplog):
    lastfm_360k(tmp_path)
    read_format(spark, tmp_path, "lastfm-360k")
    assert "Left out 1 rows of usersha1-artmbid-artname-plays.tsv" in caplog.text


def test_verdicts_are_the_latest(spark, tmp_path):
    yambda(tmp_path)
    found = read_logs(tmp_path, "yambda", backend="spark").collect()
    expected = read_logs(tmp_path, "yambda")
    assert expected.disliked.toarray().tolist() == [[1, 0], [0, 0]]
    for name in ("user_items", "liked", "disliked"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.toarray().tolist() == theirs.toarray().tolist()


def test_events_of_strange_kinds_are_refused(spark, tmp_path):
    yambda_events(tmp_path)
    path = tmp_path / "multi_event.parquet"
    assert read_format(spark, path, "yambda").origin == "multi_event.parquet"
    strange = pl.read_parquet(path).with_columns(event_type=pl.lit("skip"))
    strange.write_parquet(path)
    with pytest.raises(ValueError, match=r"3 rows of multi_.* none of listen, like"):
        read_logs(tmp_path, "yambda", backend="spark")


def test_what_is_not_there_is_named(spark, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*/train_trip"):
        read_logs(tmp_path, "taste-profile", backend="spark")
    with pytest.raises(FileNotFoundError, match=r"no multi_event\.parquet or listens"):
        read_logs(tmp_path, "yambda", backend="spark")
