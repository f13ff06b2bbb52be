"""read_logs on a cluster: what it gives is what the local reader gives."""

import numpy as np
import polars as pl
import pytest

from userlogfeat import read_logs
from userlogfeat._spark import frame_of
from userlogfeat.logs.on_spark import codes
from userlogfeat.logs.on_spark.interactions import read_plays


def plays(n_rows=2000, seed=0):
    """Plays with everything logs may have; counts of 0 and equal times among them."""
    rng = np.random.default_rng(seed)
    up = rng.random(n_rows) < 0.1
    return pl.DataFrame(
        {
            "who": [f"u{i}" for i in (60 * rng.random(n_rows) ** 2).astype(int)],
            "what": (80 * rng.random(n_rows) ** 2).astype(int),
            "plays": rng.integers(0, 4, n_rows),
            "t": rng.integers(0, 50, n_rows),
            "up": up,
            "down": ~up & (rng.random(n_rows) < 0.1),
        }
    )


COLUMNS = {"user": "who", "item": "what", "count": "plays", "time": "t"}
COLUMNS |= {"liked": "up", "disliked": "down"}


def assert_same(found, expected):
    for name in ("user_ids", "item_ids", "last_items"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
    for name in ("user_items", "liked", "disliked"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.dtype == theirs.dtype == np.float32
            np.testing.assert_array_equal(ours.toarray(), theirs.toarray())


@pytest.mark.long
def test_a_frame_on_the_cluster_gives_what_it_gives_here(spark):
    logs = plays()
    frame = frame_of(spark, logs.to_arrow())
    settings = {"weights": "binary", "min_users_per_item": 8, "min_items_per_user": 10}
    found = read_logs(frame, **COLUMNS, **settings)
    expected = read_logs(logs, **COLUMNS, **settings)
    assert len(expected.user_ids) == 46  # of 60: leaving out has rounds to go
    assert repr(found) == repr(expected).replace("Inter", "SparkInter")
    assert_same(found.collect(), expected)
    assert found.user_items.count() == found.n_pairs == expected.user_items.nnz
    found.unpersist()


@pytest.mark.long
def test_text_files_and_users_without_plays(spark, tmp_path):
    """Identifiers of digits are numbers; of equal times the row further down holds."""
    (tmp_path / "logs.tsv").mkdir()
    lines = {
        "b": '3\t"Weird" Al\t2\t2009-05-04T23:08:57\n3\t007\t1.5\t2009-05-04T23:08:57',
        "a": "12\t007\t1\t2009-05-04T23:08:57\n12\tnothing\t0\t2009-05-04T23:09:00",
    }
    for name, text in lines.items():
        path = tmp_path / "logs.tsv" / f"{name}.tsv"
        path.write_text(f"user\titem\tn\tt\n{text}\n")
    columns = {"count": "n", "time": "t", "min_users_per_item": 0}
    found = read_logs(tmp_path / "logs.tsv", backend="spark", **columns).collect()
    assert found.user_ids.tolist() == [3, 12]
    assert found.item_ids.tolist() == ['"Weird" Al', "007", "nothing"]
    assert found.user_items.toarray().tolist() == [[2, 1.5, 0], [0, 1, 0]]
    assert found.last_items.tolist() == [1, 1]
    frame = pl.concat(
        pl.read_csv(path, separator="\t", infer_schema=False, quote_char=None)
        for path in sorted((tmp_path / "logs.tsv").iterdir())
    )
    frame.write_csv(tmp_path / "one.tsv", separator="\t", quote_style="never")
    assert_same(found, read_logs(tmp_path / "one.tsv", **columns))


def test_parquet_folders_and_columns_with_dots(spark, tmp_path):
    for name, rows in (("a.parquet", slice(0, 2)), ("day=2/b.parquet", slice(2, 4))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        frame = pl.DataFrame(
            {"user.id": ["ann", "bob", "ann", "ann"], "item": [7, 9, 9, 7]}
        )
        frame[rows].write_parquet(tmp_path / name)
    logs = read_logs(str(tmp_path), user="user.id", backend="spark")
    assert repr(logs) == "<SparkInteractions: 2 users, 2 items, 3 pairs>"
    assert logs.collect().user_items.toarray().tolist() == [[2, 1], [0, 1]]


def test_days_of_text_are_no_parquet(spark, tmp_path):
    """A folder was taken for Parquet, whatever files it held."""
    for day, rows in (("2026.11.01", slice(0, 2)), ("2026.11.02", slice(2, 4))):
        (tmp_path / "plays" / day).mkdir(parents=True)
        frame = pl.DataFrame({"user": [3, 4, 3, 3], "item": ["x", "y", "y", "x"]})
        frame[rows].write_csv(tmp_path / "plays" / day / "part-0.csv")
    (tmp_path / "plays" / "_SUCCESS").touch()
    for path in (tmp_path / "plays", tmp_path / "plays" / "2026.11.*"):
        logs = read_logs(str(path), backend="spark")
        assert_same(logs.collect(), read_logs(tmp_path / "plays"))
        logs.unpersist()


@pytest.mark.long
def test_columns_may_be_in_the_names_of_folders(spark, tmp_path):
    for day in (1, 2):
        path = tmp_path / f"day={day}" / "part.parquet"
        path.parent.mkdir()
        pl.DataFrame({"user": [1], "item": [10 * day], "count": [day]}).write_parquet(
            path
        )
    with pytest.raises(ValueError, match=r"Found no column 'week' \(time=\)"):
        read_logs(tmp_path, time="week", backend="spark")
    logs = read_logs(tmp_path, time="day", backend="spark")
    assert logs.last_items.collect()[0].asDict() == {"user": 0, "item": 1}


@pytest.mark.long
def test_a_file_that_was_written_anew_is_read_anew(spark, tmp_path):
    """Rows that were cached for the first reading were taken for the second."""
    path = tmp_path / "plays.csv"
    path.write_text("user,item\nann,7\n")
    first = read_logs(path, backend="spark")
    path.write_text("user,item\nann,7\nbob,8\n")
    second = read_logs(path, backend="spark")
    assert (first.n_users, second.n_users) == (1, 2)
    assert second.collect().user_ids.tolist() == ["ann", "bob"]
    for logs in (first, second):
        logs.unpersist()


@pytest.mark.long
def test_plays_have_counts_where_there_is_such_a_column(spark):
    frame = frame_of(spark, pl.DataFrame({"user": [1], "item": [2]}).to_arrow())
    assert read_plays(frame).user_items.first()["count"] == 1
    frame = frame.selectExpr("user", "item", "5 as count")
    assert read_plays(frame).user_items.first()["count"] == 5


def test_backends_are_checked(spark):
    frame = spark.range(3).selectExpr("id as user", "id as item")
    with pytest.raises(TypeError, match=r'Spark frame with backend="local".*toArrow'):
        read_logs(frame, backend="local")
    with pytest.raises(ValueError, match="Got backend='hadoop', expected"):
        read_logs(frame, backend="hadoop")
    with pytest.raises(TypeError, match="Got logs of type int, expected a Spark frame"):
        read_logs(3, backend="spark")


def test_more_than_can_be_numbered_is_refused(spark, monkeypatch):
    monkeypatch.setattr(codes, "MAX_CODES", 3)
    four, three = (spark.range(n).selectExpr("'n' || id as name") for n in (4, 3))
    with pytest.raises(ValueError, match=r"4 different values of name.* in 32 bits"):
        codes.numbered(four, "name", "code")
    numbered, n_codes, kept = codes.numbered(three, "name", "code")
    rows = [(row["code"], row["name"]) for row in numbered.sort("code").collect()]
    assert rows == [(0, "n0"), (1, "n1"), (2, "n2")]
    assert n_codes == 3
    kept.unpersist()
