"""read_logs: any source, the same interactions; wrong rows named; formats known."""

import datetime
import gzip
import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from userlogfeat import Interactions, _text_lines, read_logs
from userlogfeat.logs import events
from userlogfeat.logs import sources as log_sources

# ann plays b twice (3 and 4 times), a twice in one row; bob plays a once.
PLAYS = pl.DataFrame(
    {
        "user": ["ann", "bob", "ann", "ann"],
        "item": ["b", "a", "a", "b"],
        "plays": [3, 1, 2, 4],
        "time": [10, 20, 30, 25],
    }
)
EXPECTED = [[2, 7], [1, 0]]  # ann, bob x a, b


def by_loop(rows, shape):
    """(user, item, count) rows as a dense matrix: the slow judge."""
    matrix = np.zeros(shape, np.float32)
    for user, item, count in rows:
        matrix[user, item] += count
    return matrix


@pytest.fixture(
    params=[
        "polars",
        "lazy",
        "pandas",
        "arrow",
        "csv",
        "tsv",
        "gz",
        "parquet",
        "folder",
        "days",
        "list",
    ]
)
def source(request, tmp_path):
    """The same rows in every kind of source."""
    kind = request.param
    if kind in ("polars", "lazy", "pandas", "arrow"):
        return {
            "polars": PLAYS,
            "lazy": PLAYS.lazy(),
            "pandas": PLAYS.to_pandas(),
            "arrow": PLAYS.to_arrow(),
        }[kind]
    if kind == "parquet":
        PLAYS.write_parquet(tmp_path / "plays.parquet")
        return tmp_path / "plays.parquet"
    if kind == "folder":
        (tmp_path / "logs/day=2").mkdir(parents=True)
        (tmp_path / "logs/_SUCCESS").touch()
        PLAYS[:1].write_parquet(tmp_path / "logs/a.parquet")
        PLAYS[1:].write_parquet(tmp_path / "logs/day=2/b.parquet")
        return tmp_path / "logs"
    if kind in ("days", "list"):
        (tmp_path / "days").mkdir()
        paths = [tmp_path / "days/1.csv.gz", tmp_path / "days/2.csv"]
        paths[0].write_bytes(gzip.compress(PLAYS[:1].write_csv().encode()))
        PLAYS[1:].write_csv(paths[1])
        (tmp_path / "days/3.csv").write_text(PLAYS[:0].write_csv())
        (tmp_path / "days/notes.txt").write_text("what this is")
        return paths if kind == "list" else tmp_path / "days"
    if kind == "gz":
        text = PLAYS.write_csv().encode()
        (tmp_path / "plays.csv.gz").write_bytes(gzip.compress(text))
        return str(tmp_path / "plays.csv.gz")
    separator = {"csv": ",", "tsv": "\t"}[kind]
    PLAYS.write_csv(tmp_path / f"plays.{kind}", separator=separator)
    return tmp_path / f"plays.{kind}"


def test_every_source_gives_the_same(source):
    log = read_logs(source, count="plays", time="time")
    assert log.user_ids.tolist() == ["ann", "bob"]
    assert log.item_ids.tolist() == ["a", "b"]
    assert isinstance(log.user_items, sparse.csr_matrix)
    assert log.user_items.dtype == np.float32
    np.testing.assert_array_equal(log.user_items.toarray(), EXPECTED)
    assert log.last_items.tolist() == [0, 0]  # ann's a at 30, bob's a


def test_without_count_every_row_is_one_play():
    np.testing.assert_array_equal(
        read_logs(PLAYS).user_items.toarray(), [[1, 2], [1, 0]]
    )


def test_binary_weights():
    log = read_logs(PLAYS, count="plays", weights="binary")
    np.testing.assert_array_equal(log.user_items.toarray(), [[1, 1], [1, 0]])


def test_columns_by_other_names():
    frame = PLAYS.rename({"user": "listener", "item": "track"})
    log = read_logs(frame, user="listener", item="track", count="plays")
    np.testing.assert_array_equal(log.user_items.toarray(), EXPECTED)


def test_file_without_header(tmp_path):
    path = tmp_path / "plays.txt"
    PLAYS.write_csv(path, include_header=False, separator=";")
    columns = ["user", "item", "plays", "time"]
    log = read_logs(path, count="plays", separator=";", columns=columns)
    np.testing.assert_array_equal(log.user_items.toarray(), EXPECTED)


@pytest.mark.parametrize("chunk_rows", [1, 7, 1000])
@pytest.mark.parametrize("merge_rows", [5, 10**9])
def test_chunks_and_merging_change_nothing(
    tmp_path, monkeypatch, chunk_rows, merge_rows
):
    """Counts and last items of a file and a frame, against plain loops."""
    monkeypatch.setattr(log_sources, "CHUNK_ROWS", chunk_rows)
    monkeypatch.setattr(events, "CHUNK_ROWS", 3 * chunk_rows)
    monkeypatch.setattr(_text_lines, "_BLOCK", 200)  # bytes: many blocks
    monkeypatch.setattr(events, "_MERGE_ROWS", merge_rows)
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 12, 300), rng.integers(0, 9, 300)
    counts, times = rng.integers(0, 5, 300), rng.integers(0, 40, 300)
    columns = {"user": users, "item": items, "n": counts, "t": times}
    frame = pl.DataFrame(columns)
    frame.write_csv(tmp_path / "plays.csv")
    expected = by_loop(zip(users, items, counts, strict=True), (12, 9))
    last, latest = np.full(12, -1), np.full(12, -1)
    for user, item, count, time in zip(users, items, counts, times, strict=True):
        if count and time >= latest[user]:  # of equal times, the row further down
            last[user], latest[user] = item, time
    for source in (tmp_path / "plays.csv", frame, frame.lazy(), frame.to_pandas()):
        log = read_logs(source, count="n", time="t")
        assert log.user_ids.tolist() == list(range(12))
        np.testing.assert_array_equal(log.user_items.toarray(), expected)
        np.testing.assert_array_equal(log.last_items, last)


DAY = datetime.date(2009, 5, 4)


@pytest.mark.parametrize(
    "ids",
    [
        pl.Series([30, 4, 30]),
        pl.Series([30, 4, 30], dtype=pl.UInt8),
        pl.Series(["x", "", "x"]),
        pl.Series(["x", "b", "x"], dtype=pl.Categorical),
        pl.Series([2.5, -1.0, 2.5]),
        pl.Series([True, False, True]),
        pl.Series([DAY, DAY - datetime.timedelta(1), DAY]),
        pl.Series([b"\xff", b"\x00", b"\xff"]),
    ],
    ids=lambda ids: str(ids.dtype),
)
def test_ids_of_any_type_are_kept_and_sorted(ids):
    log = read_logs(pl.DataFrame({"user": ids, "item": [1, 1, 2]}))
    assert log.user_ids.tolist() == [ids[1], ids[0]]
    np.testing.assert_array_equal(log.user_items.toarray(), [[1, 0], [1, 1]])


def test_integer_ids_keep_their_width():
    frame = pl.DataFrame({"user": pl.Series([7, 9], dtype=pl.UInt32), "item": [1, 2]})
    assert read_logs(frame).user_ids.dtype == np.uint32


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["10", "9", "-1"], [-1, 9, 10]),
        (["10", "007", "9"], ["007", "10", "9"]),
        (["10", "+7", "9"], ["+7", "10", "9"]),
        (["1.0", "2", "3"], [1, 2, 3]),  # as pandas writes a column with gaps
        (["1.0", "2.5", "3"], ["1.0", "2.5", "3"]),
        (["99999999999999999999", "2", "3"], ["2", "3", "99999999999999999999"]),
    ],
)
def test_text_ids_become_integers_only_where_nothing_is_lost(
    tmp_path, written, expected
):
    lines = ["user,item", *(f"{user},x" for user in written)]
    (tmp_path / "plays.csv").write_text("\n".join(lines))
    assert read_logs(tmp_path / "plays.csv").user_ids.tolist() == expected


def test_strings_of_a_frame_stay_strings():
    assert read_logs(PLAYS.with_columns(user=pl.lit("12"))).user_ids.tolist() == ["12"]


def test_quotes(tmp_path):
    """In csv they enclose; in tsv they are part of the name."""
    (tmp_path / "a.csv").write_text('user,item\n1,"Earth, Wind & Fire"\n')
    (tmp_path / "a.tsv").write_text('user\titem\n1\t"Weird Al" Yankovic\n2\t"X\n')
    assert read_logs(tmp_path / "a.csv").item_ids.tolist() == ["Earth, Wind & Fire"]
    names = read_logs(tmp_path / "a.tsv").item_ids.tolist()
    assert names == ['"Weird Al" Yankovic', '"X']


def test_minimums_are_met_together(caplog):
    """A path u0-i0-u1-i1-u2 beside a full 3 x 3 block: ends go, one after another."""
    path = [(0, 0), (1, 0), (1, 1), (2, 1)]
    block = [(u, i) for u in (7, 8, 9) for i in (7, 8, 9)]
    users, items = zip(*path, *block, strict=True)
    frame = pl.DataFrame({"user": users, "item": items})
    with caplog.at_level("INFO", "userlogfeat"):
        log = read_logs(frame, min_users_per_item=2, min_items_per_user=2)
    assert "left out 3 of 6 users and 2 of 5 items" in caplog.text
    assert log.user_ids.tolist() == log.item_ids.tolist() == [7, 8, 9]
    np.testing.assert_array_equal(log.user_items.toarray(), np.ones((3, 3)))


def test_last_item_is_one_that_was_kept():
    frame = pl.DataFrame(
        {"user": [1, 2, 1], "item": ["a", "a", "rare"], "time": [1, 2, 3]}
    )
    log = read_logs(frame, time="time", min_users_per_item=2)
    assert log.item_ids[log.last_items].tolist() == ["a", "a"]


def test_zero_plays_are_no_interaction():
    frame = PLAYS.with_columns(plays=pl.Series([0, 1, 2, 0]))
    log = read_logs(frame, count="plays", time="time", min_users_per_item=0)
    assert log.item_ids.tolist() == ["a", "b"]
    assert log.user_items.nnz == 2
    log = read_logs(frame, count="plays")
    assert log.item_ids.tolist() == ["a"]


@pytest.mark.parametrize(
    "times",
    [
        ["2009-05-04T23:08:57", "2009-05-04T23:08:58", "2009-05-05T00:00:00"],
        ["2009-05-04T23:08:57Z", "2009-05-04T23:08:58Z", "2009-05-05T00:00:00Z"],
        ["9", "10", "11"],
        [0.25, 0.5, 0.75],
        [DAY, DAY + datetime.timedelta(1), DAY + datetime.timedelta(2)],
        [datetime.datetime(2009, 5, day, tzinfo=datetime.UTC) for day in (1, 2, 3)],
    ],
    ids=["iso", "iso zone", "digits", "float", "date", "datetime"],
)
def test_times_of_any_kind(tmp_path, times):
    frame = pl.DataFrame({"user": [1, 1, 2], "item": ["b", "a", "b"], "time": times})
    assert read_logs(frame, time="time").last_items.tolist() == [0, 1]
    frame.write_csv(tmp_path / "plays.csv")
    if not isinstance(times[0], datetime.datetime):
        log = read_logs(tmp_path / "plays.csv", time="time")
        assert log.last_items.tolist() == [0, 1]


def test_liked_and_disliked_the_latest_holds():
    frame = pl.DataFrame(
        {
            "user": [1, 1, 1, 2, 2],
            "item": ["a", "a", "b", "a", "a"],
            "like": [True, False, True, None, True],
            "dislike": [0, 1, 0, 1, 0],
            "time": [5, 4, 3, 2, 1],
        }
    )
    log = read_logs(frame, liked="like", disliked="dislike")
    np.testing.assert_array_equal(log.liked.toarray(), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(log.disliked.toarray(), [[1, 0], [0, 0]])
    log = read_logs(frame, liked="like", disliked="dislike", time="time")
    np.testing.assert_array_equal(log.liked.toarray(), [[1, 1], [0, 0]])
    np.testing.assert_array_equal(log.disliked.toarray(), [[0, 0], [1, 0]])
    log = read_logs(frame, liked="like")
    np.testing.assert_array_equal(log.liked.toarray(), [[1, 1], [1, 0]])
    assert "liked" in repr(log)


# What is wrong, and how it is said.


def test_missing_column_says_which_there_are(source):
    with pytest.raises(
        ValueError, match=r"no column 'n' \(count=\) in .*'user', 'item'"
    ):
        read_logs(source, count="n")


@pytest.mark.parametrize("name", ["plays.csv", "plays.csv.gz"])
def test_a_matrix_is_no_log(tmp_path, name):
    line = "user,item," + ",".join(f"c{i}" for i in range(9998))
    opened = gzip.open if name.endswith("gz") else open
    with opened(tmp_path / name, "wt") as file:
        file.write(f"{line}\n" + ",".join(["1"] * 10_000) + "\n")
    assert read_logs(tmp_path / name).user_items.shape == (1, 1)
    with opened(tmp_path / name, "wt") as file:
        file.write(f"{line},more\n")
    with pytest.raises(ValueError, match=r"10,001 columns .*at most 10,000"):
        read_logs(tmp_path / name)


def test_wrong_separator_is_guessed(tmp_path):
    PLAYS.write_csv(tmp_path / "plays.csv", separator=";")
    with pytest.raises(ValueError, match=r"separated by ';'\? .* separator="):
        read_logs(tmp_path / "plays.csv")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, -2, 3, -4], r"2 rows .*\(rows 1, 3, counted from 0.*negative count"),
        ([1, None, 3, 4], r"1 row .*\(row 1, .*missing or NaN count"),
        ([1.0, 2.0, float("nan"), 4.0], r"\(row 2, .*missing or NaN"),
        ([1.0, float("inf"), 3.0, 1e300], r"rows 1, 3, .*infinite count"),
        (["1", "2", "many", "4"], r"\(row 2, .*not a number, such as 'many'"),
        (["1", "2", "1,5", "4"], r"\(row 2, .*not a number, such as '1,5'"),
    ],
)
def test_wrong_counts_are_named(tmp_path, counts, message):
    frame = PLAYS.with_columns(plays=pl.Series(counts))
    frame.write_csv(tmp_path / "plays.csv")
    frame.write_parquet(tmp_path / "plays.parquet")
    for source in (frame, tmp_path / "plays.csv", tmp_path / "plays.parquet"):
        with pytest.raises(ValueError, match=message):
            read_logs(source, count="plays")


def test_rows_are_counted_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(log_sources, "CHUNK_ROWS", 10)
    counts = np.ones(100, int)
    counts[[37, 99]] = -1
    frame = pl.DataFrame({"user": np.arange(100), "item": 1, "n": counts})
    for name, rows in (("a", slice(0, 50)), ("b", slice(50, 100))):
        (tmp_path / name).mkdir()
        frame[rows].write_parquet(tmp_path / name / f"{name}.parquet")
        frame[rows].write_csv(tmp_path / f"{name}.csv")
    with pytest.raises(ValueError, match=r"the frame \(row 37, "):
        read_logs(frame, count="n")
    for source in (tmp_path / "b", tmp_path / "b.csv"):
        with pytest.raises(ValueError, match=r"b\.(parquet|csv) \(row 49, "):
            read_logs(source, count="n")


def test_counts_of_a_strange_type():
    with pytest.raises(ValueError, match="count= of the frame is of type large_list"):
        read_logs(PLAYS.with_columns(plays=pl.Series([[1]] * 4)), count="plays")


@pytest.mark.parametrize("column", ["user", "item"])
def test_missing_ids_are_named(tmp_path, column):
    frame = PLAYS.with_columns(pl.Series(column, ["a", None, "b", None]))
    frame.write_csv(tmp_path / "plays.csv")
    message = rf"2 rows .*\(rows 1, 3, .*without {column} identifier"
    for source in (frame, frame.to_pandas(), tmp_path / "plays.csv"):
        with pytest.raises(ValueError, match=message):
            read_logs(source)
    numbers = pd.DataFrame({"user": [1, None], "item": [1, 2]})
    with pytest.raises(ValueError, match=r"\(row 1, .*without user identifier"):
        read_logs(numbers)


def test_ids_of_mixed_types():
    frame = pd.DataFrame({"user": [1, "ann", None], "item": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"'user' of the frame mixes .* int, str"):
        read_logs(frame)
    objects = pl.Series("user", [1, "ann"], dtype=pl.Object)
    with pytest.raises(ValueError, match=r"'user' of the frame mixes .* int, str"):
        read_logs(pl.DataFrame([objects, pl.Series("item", [1, 2])]))


def test_ids_that_are_lists():
    frame = pl.DataFrame({"user": [1], "item": [[1, 2]]})
    with pytest.raises(ValueError, match=r"lists or structs .*Explode"):
        read_logs(frame)


def test_parts_of_different_types(tmp_path):
    pl.DataFrame({"user": [1], "item": [2]}).write_parquet(tmp_path / "a.parquet")
    frame = pl.DataFrame({"user": [2.5], "item": [2]})
    frame.write_parquet(tmp_path / "b.parquet")
    with pytest.raises(
        ValueError, match=r"of b\.parquet are of type .*before .* int64"
    ):
        read_logs(tmp_path)


def test_wrong_times():
    with pytest.raises(ValueError, match=r"starts with 'noon'.*ISO 8601"):
        read_logs(PLAYS.with_columns(time=pl.lit("noon")), time="time")
    with pytest.raises(ValueError, match=r"\(row 1, .*no time"):
        read_logs(PLAYS.with_columns(time=pl.Series([1, None, 2, 3])), time="time")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        # As text, "nan" was a time: every user's last item was -1, the last column.
        (["1", "nan", "2", "3"], r"\(row 1, .*a time that is NaN or infinite"),
        (["1", "2", "1e999", "3"], r"\(row 2, .*a time that is NaN or infinite"),
        (["1", " ", "2", "3"], r"\(row 1, .*no time"),
        (["1", "2", "3", "noon"], r"\(row 3, .*unlike the others, such as 'noon'"),
        (
            ["2009-05-04T23:08:57", "5", "2009-05-04T23:08:57", "2009-05-04T23:08:57"],
            r"\(row 1, .*unlike the others, such as '5'",
        ),
        (
            ["1500000000", "0", "1500000001", "1500000002000"],
            r"several units: seconds \(first in row 0 of .*\), milliseconds .*row 3",
        ),
    ],
)
def test_wrong_times_in_text(tmp_path, times, message):
    path = tmp_path / "plays.csv"
    PLAYS.with_columns(time=pl.Series(times)).write_csv(path)
    with pytest.raises(ValueError, match=message):
        read_logs(path, time="time")


def test_times_in_several_units_have_no_period():
    """They were told that they look like no times at all."""
    times = [1500000000, 1500000001, 1500000001, 1500000002000]
    frame = PLAYS.with_columns(time=pl.Series(times))
    with pytest.raises(ValueError, match=r"several units: .*milliseconds .*row 3"):
        read_logs(frame, time="time", since="2017-01-01")


def test_times_of_another_kind_further_down(tmp_path, monkeypatch):
    """Chunks are read one by one: numbers and dates were mixed without a word."""
    monkeypatch.setattr(log_sources, "CHUNK_ROWS", 2)
    monkeypatch.setattr(_text_lines, "_BLOCK", 20)
    path = tmp_path / "plays.csv"
    times = pl.Series(["1", "2", "2009-05-04T23:08:57", "2009-05-04T23:08:58"])
    PLAYS.with_columns(time=times).write_csv(path)
    with pytest.raises(ValueError, match=r"row \d of plays\.csv on are dates without"):
        read_logs(path, time="time")


def test_times_of_small_numbers_have_no_unit():
    """Hours since the first play may be any numbers; nanoseconds are cut."""
    log = read_logs(
        PLAYS.with_columns(time=pl.Series([5.0, 2e9, 3.0, 1e12])), time="time"
    )
    assert log.last_items.tolist() == [1, 0]
    frame = PLAYS.with_columns(time=pl.Series([9, 1, 8, 7]).cast(pl.Datetime("ns")))
    assert read_logs(frame, time="time").last_items.tolist() == [1, 0]


def test_blanks_around_values_of_text(tmp_path):
    """ "b" and " b" were two items; numbers with blanks were refused."""
    path = tmp_path / "plays.csv"
    path.write_text("user, item, plays, time\nann, b, 3, 7\nann,b, 4, 9\nbob , c,1,1\n")
    log = read_logs(path, count="plays", time="time")
    assert log.user_ids.tolist() == ["ann", "bob"]
    np.testing.assert_array_equal(log.user_items.toarray(), [[7, 0], [0, 1]])
    path.write_text("user,item\nann,b\n ,c\n")
    with pytest.raises(ValueError, match=r"row 1, .*without user identifier"):
        read_logs(path)


def test_one_id_written_in_two_ways(tmp_path):
    path = tmp_path / "plays.csv"
    path.write_text("user,item\n7,a\n7.0,a\n8.0,b\n")
    log = read_logs(path)
    assert log.user_ids.tolist() == [7, 8]
    np.testing.assert_array_equal(log.user_items.toarray(), [[2, 0], [0, 1]])


def test_liked_and_disliked_at_once():
    frame = PLAYS.with_columns(like=True, dislike=pl.Series([0, 0, 1, 0]))
    with pytest.raises(ValueError, match=r"\(row 2, .*both liked and disliked"):
        read_logs(frame, liked="like", disliked="dislike")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"min_users_per_item": 3},
            r"min_users_per_item=3 .*none of 2 items.*most is 2",
        ),
        (
            {"min_items_per_user": 3},
            r"min_items_per_user=3 .*none of 2 users.*most is 2",
        ),
        (
            {"min_users_per_item": 2, "min_items_per_user": 2},
            r"min_items_per_user=2 .*none of 2 users.*most is 1",
        ),
    ],
)
def test_the_filter_that_leaves_nothing_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        read_logs(PLAYS, **settings)


def test_no_rows_and_no_plays(tmp_path):
    (tmp_path / "plays.csv").write_text("user,item\n")
    for source in (PLAYS[:0], PLAYS[:0].lazy(), tmp_path / "plays.csv"):
        with pytest.raises(ValueError, match="no rows: there is nothing"):
            read_logs(source)
    with pytest.raises(ValueError, match="4 rows, no play"):
        read_logs(PLAYS.with_columns(plays=0), count="plays")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*gone\.csv"):
        read_logs(tmp_path / "gone.csv")
    files = {
        "corrupt.parquet": b"PAR1 this is not parquet PAR1",
        "empty.csv": b"",
        "ragged.csv": b"user,item\n1,2\n1,2,3\n",
        "latin.csv": b"user,item\n1,Bj\xf6rk\n",
        "cut.csv.gz": gzip.compress(b"user,item\n" + b"1,2\n" * 10_000)[:50],
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} could not be read: "):
            read_logs(tmp_path / name)
    with pytest.raises(ValueError, match="iconv"):
        read_logs(tmp_path / "latin.csv")
    (tmp_path / "plays.xlsx").touch()
    with pytest.raises(ValueError, match=r"known suffixes are \.csv, .*\.parquet"):
        read_logs(tmp_path / "plays.xlsx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no file of logs: no \.parquet"):
        read_logs(tmp_path / "empty")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_folders_whose_names_end_as_files_do(tmp_path, suffix):
    """Spark writes day.parquet as a folder of parts; it was taken for a file."""
    for day in ("mon", "tue"):
        (tmp_path / f"{day}.{suffix}").mkdir()
        (tmp_path / f"{day}.{suffix}" / "_SUCCESS").touch()
        plays = pl.DataFrame({"user": ["a", "b"], "item": [day, "x"]})
        getattr(plays, f"write_{suffix}")(tmp_path / f"{day}.{suffix}/part-0.{suffix}")
    assert read_logs(tmp_path).item_ids.tolist() == ["mon", "tue", "x"]


def test_a_day_that_is_unlike_the_others(tmp_path):
    """Its name is in the message: partitions of a day may all be part-0.csv."""
    for day in "123":
        (tmp_path / f"day={day}").mkdir()
    faults = {
        "": "day=2/part-0.csv could not be read: it is empty",
        "user,track\n1,2\n": r"no column 'item' .* in day=2/part-0.csv",
        "user,item\n1,2\n3": r"day=2/part-0.csv could not .*Was the file cut\?",
        "user,item\n1,2\n,5\n": r"1 row of day=2/part-0.csv \(row 1,.* without user",
    }
    for day in "13":
        (tmp_path / f"day={day}/part-0.csv").write_text(f"user,item\n1,{day}\n")
    for text, message in faults.items():
        (tmp_path / "day=2/part-0.csv").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_logs(tmp_path)


@pytest.mark.filterwarnings("default")
def test_copies_and_mixtures_are_not_counted_unseen(tmp_path):
    for name in ("a.csv", "b.csv"):
        PLAYS.write_csv(tmp_path / name)
    with pytest.warns(UserWarning, match=r"a\.csv and b\.csv hold the same bytes"):
        twice = read_logs(tmp_path)
    assert twice.user_items.sum() == 2 * len(PLAYS)
    PLAYS.write_parquet(tmp_path / "c.parquet")
    with pytest.raises(ValueError, match=r"Parquet \(c.parquet\) and text \(a.csv\)"):
        read_logs(tmp_path)
    with pytest.raises(ValueError, match="come twice"):
        read_logs([tmp_path / "a.csv", tmp_path / "a.csv"])
    with pytest.raises(FileNotFoundError, match="A list of logs is one of files"):
        read_logs([tmp_path])
    with pytest.raises(ValueError, match="no paths"):
        read_logs([])


def test_one_day_plain_and_compressed(tmp_path):
    """`gzip --keep` leaves both: the plays of the day counted twice."""
    PLAYS.write_csv(tmp_path / "mon.csv")
    PLAYS.write_csv(tmp_path / "tue.csv")
    (tmp_path / "mon.csv.gz").write_bytes(
        gzip.compress((tmp_path / "mon.csv").read_bytes())
    )
    with pytest.raises(ValueError, match=r"holds mon\.csv and mon\.csv\.gz, which"):
        read_logs(tmp_path)
    read_logs([tmp_path / "mon.csv.gz", tmp_path / "tue.csv"])
    (tmp_path / "mon.csv.gz").rename(tmp_path / "MON.CSV.GZ")
    (tmp_path / "mon.csv").rename(tmp_path / "MON.TSV")  # another file of Monday
    with pytest.raises(ValueError, match="Found no column 'user'"):
        read_logs(tmp_path)


@pytest.mark.filterwarnings("default")
def test_a_day_that_is_cut_within_its_last_identifier(tmp_path):
    """Its number of fields is right, so that it is read; it was without a word."""
    for day in "123":
        (tmp_path / f"{day}.csv").write_text(f"user,item\n{day},track 10\n")
    (tmp_path / "2.csv").write_text("user,item\n2,track 1")
    with pytest.warns(UserWarning, match=r"^2\.csv ends without a line end, unlike"):
        logs = read_logs(tmp_path)
    assert logs.item_ids.tolist() == ["track 1", "track 10"]
    for day in "123":  # a writer that ends no file so
        (tmp_path / f"{day}.csv").write_text(f"user,item\n{day},track 10")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_logs(tmp_path)


def test_times_with_a_zone_and_without_are_not_one(tmp_path):
    """Partitions of two types were read as one kind of dates, hours apart."""
    for name, zone in (("a", None), ("b", "Europe/Vienna")):
        at = pl.Series("at", [datetime.datetime(2026, 3, 1)])
        row = pl.DataFrame(
            {"user": [1], "item": [2], "at": at.dt.replace_time_zone(zone)}
        )
        row.write_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(
        ValueError, match=r"dates with time zone, but before .* without"
    ):
        read_logs(tmp_path, time="at")


def test_wrong_settings():
    with pytest.raises(
        ValueError, match="weights='log', expected one of 'count', 'binary'"
    ):
        read_logs(PLAYS, weights="log")
    with pytest.raises(
        ValueError, match=r"min_users_per_item=-1, expected an integer in \[0, inf\)"
    ):
        read_logs(PLAYS, min_users_per_item=-1)
    with pytest.raises(
        ValueError, match=r"min_items_per_user=2\.5, expected an integer"
    ):
        read_logs(PLAYS, min_items_per_user=2.5)
    with pytest.raises(TypeError, match="logs of type dict, expected the path"):
        read_logs({"user": [1], "item": [2]})
    with pytest.raises(ValueError, match="they describe text files only"):
        read_logs(PLAYS, separator=",")
    with pytest.raises(ValueError, match="format='lastfm', expected one of \"hetrec"):
        read_logs("folder", "lastfm")
    with pytest.raises(ValueError, match="knows its own columns"):
        read_logs("folder", "mpd", count="plays")
    with pytest.raises(TypeError, match="expected the data set's folder or file"):
        read_logs(PLAYS, "mpd")


def test_interactions_check_their_shapes():
    user_items = sparse.csr_matrix(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"shape \(2, 3\), but 3 user_ids and 2"):
        Interactions(user_items, np.arange(3), np.arange(2))
    with pytest.raises(ValueError, match="1 last_items for 2 users"):
        Interactions(user_items, np.arange(2), np.arange(3), np.zeros(1, int))
    for last in (-2, 3):
        with pytest.raises(ValueError, match="columns of user_items, 0 to 2, or -1"):
            Interactions(user_items, np.arange(2), np.arange(3), np.array([0, last]))


# The named formats.


def test_hetrec(tmp_path):
    lines = ["userID\tartistID\tweight", "2\t51\t13883", "2\t52\t11690", "10\t51\t3"]
    (tmp_path / "user_artists.dat").write_text("\r\n".join(lines))
    for source in (tmp_path, tmp_path / "user_artists.dat"):
        log = read_logs(source, "hetrec-lastfm-2k")
        assert log.user_ids.tolist() == [2, 10]
        np.testing.assert_array_equal(
            log.user_items.toarray(), [[13883, 11690], [3, 0]]
        )


def test_lastfm_360k_falls_back_to_the_name(tmp_path, caplog):
    path = tmp_path / "usersha1-artmbid-artname-plays.tsv"
    lines = ["u1\tmbid-1\tMassive Attack\t4", 'u1\t\t"Weird Al" Yankovic\t2']
    lines += ["u2\t\t\t9", "u2\tmbid-1\tmassive attack\t1"]
    path.write_text("\n".join(lines))
    log = read_logs(tmp_path, "lastfm-360k")
    assert log.item_ids.tolist() == ['"Weird Al" Yankovic', "mbid-1"]
    np.testing.assert_array_equal(log.user_items.toarray(), [[2, 4], [0, 1]])
    assert "Left out 1 rows" in caplog.text
    path.write_text("\n".join([*lines, "u2\tmbid-1\tmassive attack\t-1"]))
    with pytest.raises(ValueError, match=r"\(row 4, .*negative"):  # of the whole file
        read_logs(tmp_path, "lastfm-360k")


def test_taste_profile(tmp_path):
    (tmp_path / "train_triplets.txt").write_text("b80\tSOAKIMP\t1\nb80\tSOBBMDR\t2\n")
    log = read_logs(tmp_path, "taste-profile")
    assert log.item_ids.tolist() == ["SOAKIMP", "SOBBMDR"]
    np.testing.assert_array_equal(log.user_items.toarray(), [[1, 2]])


def test_mpd(tmp_path):
    tracks = [["x", "y", "x"], ["y"]]
    for pid, uris in enumerate(tracks):
        songs = [{"pos": i, "track_uri": uri} for i, uri in enumerate(uris)]
        slice_ = {"info": {}, "playlists": [{"pid": pid, "tracks": songs[::-1]}]}
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / f"data/mpd.slice.{pid}-{pid}.json").write_text(json.dumps(slice_))
    log = read_logs(tmp_path, "mpd")
    np.testing.assert_array_equal(log.user_items.toarray(), [[2, 1], [0, 1]])
    assert log.item_ids[log.last_items].tolist() == ["x", "y"]
    log = read_logs(tmp_path / "data/mpd.slice.1-1.json", "mpd")
    assert log.user_ids.tolist() == [1]
    raw = (tmp_path / "data/mpd.slice.1-1.json").read_bytes()
    (tmp_path / "data/mpd.slice.1-1.json").write_bytes(b"\xef\xbb\xbf" + raw)
    assert read_logs(tmp_path / "data/mpd.slice.1-1.json", "mpd").user_ids.tolist() == [
        1
    ]
    (tmp_path / "data/mpd.slice.2-2.json").write_text('{"playlists": [{"pid": 1}]}')
    with pytest.raises(ValueError, match=r"not a slice .*KeyError: 'tracks'"):
        read_logs(tmp_path, "mpd")


# uid, item_id, timestamp, event, percentage played: 1 unlikes b; 2 likes c, which
# nobody listened to; the last two listens are too short.
YAMBDA = [
    (1, 10, 0, "listen", 51),
    (1, 10, 5, "listen", 100),
    (1, 11, 9, "listen", 70),
    (2, 10, 3, "listen", 60),
    (1, 10, 6, "like", None),
    (1, 11, 7, "like", None),
    (1, 11, 8, "unlike", None),
    (2, 12, 4, "like", None),
    (2, 10, 5, "dislike", None),
    (2, 11, 8, "listen", 50),
    (1, 10, 10, "listen", 0),
]


@pytest.fixture(params=["multi_event", "files"])
def yambda(request, tmp_path):
    schema = {"uid": pl.UInt32, "item_id": pl.UInt32, "timestamp": pl.UInt32}
    schema |= {"event_type": pl.Categorical, "played_ratio_pct": pl.UInt8}
    frame = pl.DataFrame(YAMBDA, schema=schema, orient="row")
    if request.param == "multi_event":
        frame.write_parquet(tmp_path / "multi_event.parquet")
    else:
        for kind in ("listen", "like", "unlike", "dislike"):
            part = frame.filter(pl.col("event_type").cast(pl.String) == kind)
            part.drop("event_type").write_parquet(tmp_path / f"{kind}s.parquet")
    return tmp_path


def test_yambda(yambda):
    log = read_logs(yambda, "yambda")
    assert log.user_ids.tolist() == [1, 2]
    assert log.item_ids.tolist() == [10, 11]
    np.testing.assert_array_equal(log.user_items.toarray(), [[2, 1], [1, 0]])
    np.testing.assert_array_equal(log.liked.toarray(), [[1, 0], [0, 0]])
    np.testing.assert_array_equal(log.disliked.toarray(), [[0, 0], [1, 0]])
    assert log.item_ids[log.last_items].tolist() == [11, 10]  # among the plays
    log = read_logs(yambda, "yambda", min_users_per_item=0)
    assert log.liked.toarray().tolist() == [[1, 0, 0], [0, 0, 1]]
    log = read_logs(yambda, "yambda", listened_above=0)
    np.testing.assert_array_equal(log.user_items.toarray(), [[3, 1], [1, 1]])
    log = read_logs(yambda, "yambda", since=5, until=9, listened_above=0.4)
    assert log.user_items.toarray().tolist() == [[1, 0], [0, 1]]


def test_yambda_of_a_strange_kind(tmp_path):
    events = {"uid": [1], "item_id": [2], "timestamp": [3], "event_type": ["skip"]}
    events |= {"played_ratio_pct": [None]}
    pl.DataFrame(events).write_parquet(tmp_path / "multi_event.parquet")
    with pytest.raises(ValueError, match=r"events of the types \['skip'\]"):
        read_logs(tmp_path, "yambda")


@pytest.mark.parametrize(
    ("format", "looked_for"),
    [
        ("hetrec-lastfm-2k", "user_artists.dat"),
        ("lastfm-360k", "usersha1-artmbid-artname-plays.tsv"),
        ("taste-profile", "train_triplets.txt"),
        ("mpd", r"mpd\.slice"),
        ("yambda", r"multi_event\.parquet or listens\.parquet"),
    ],
)
def test_wrong_folder_says_what_was_looked_for(tmp_path, format, looked_for):
    (tmp_path / "readme.txt").touch()
    with pytest.raises(FileNotFoundError, match=rf"looked for {looked_for}.*readme"):
        read_logs(tmp_path, format)
    with pytest.raises(FileNotFoundError, match=rf"There is no .*{looked_for}"):
        read_logs(tmp_path / "gone", format)


@pytest.mark.real
def test_hetrec_in_full(data):
    log = read_logs(data / "hetrec2011-lastfm-2k", "hetrec-lastfm-2k")
    assert log.user_items.shape == (1892, 17632)
    assert log.user_items.nnz == 92834
    assert log.user_items[0, log.item_ids.tolist().index(51)] == 13883
    popular = read_logs(
        data / "hetrec2011-lastfm-2k", "hetrec-lastfm-2k", min_users_per_item=3
    )
    assert (popular.user_items != 0).sum(axis=0).min() == 3


def test_arrow_table_of_string_views():
    """Such as newer writers make."""
    table = pa.table({"user": pa.array(["a", "b"], pa.string_view()), "item": [1, 2]})
    assert read_logs(table).user_ids.tolist() == ["a", "b"]


@pytest.mark.parametrize("column", ["time", "count"])
def test_numbers_of_64_bits(column):
    """Arrow's own errors came through."""
    numbers = pa.array([2**64 - 1, 2], pa.uint64())
    frame = pa.table({"user": ["u", "u"], "item": ["a", "b"], column: numbers})
    logs = read_logs(frame, **{column: column})
    if column == "time":
        assert logs.last_items.tolist() == [0]
    else:
        assert logs.user_items.toarray().tolist() == [[2.0**64, 2.0]]


def test_dates_with_nanoseconds(tmp_path):
    """As pandas writes them; Arrow reads no more than microseconds as such."""
    path = tmp_path / "plays.csv"
    times = ["2024-01-01 00:00:00.100000001", "2024-01-01", "2023-05-05 10:00:00"]
    rows = "".join(
        f"u,{item},{time}\n" for item, time in zip("abc", times, strict=True)
    )
    path.write_text("user,item,time\n" + rows)
    logs = read_logs(path, time="time", since="2024-01-01")
    assert logs.item_ids.tolist() == ["a", "b"]
    assert logs.last_items.tolist() == [0]


def test_two_columns_of_a_name():
    frame = pd.DataFrame([["u", "v", "a"]], columns=["user", "user", "item"])
    table = pa.table([["u"], ["v"], ["a"]], names=["user", "user", "item"])
    for source in (frame, table):
        with pytest.raises(
            ValueError, match=r"2 columns 'user' \(user=\) in the frame"
        ):
            read_logs(source)


def test_words_for_missing_ids_give_a_warning():
    """A user called "nan" is all the unknown ones, as one."""
    frame = pl.DataFrame({"user": ["nan", "ann", "nan"], "item": ["a", "NULL", "b"]})
    with pytest.warns(UserWarning, match="(user 'nan'|item 'NULL') may .* rows out"):
        logs = read_logs(frame)
    assert logs.user_items.shape == (2, 3)
    assert (
        read_logs(frame, without_users=["nan"], aliases={"NULL": "c"}).item_ids == "c"
    )


@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64])
def test_a_flag_is_one_or_zero(kind):
    """Ratings of 1 to 5 were all likes."""
    like = pl.Series([1, 0, None], dtype=kind)
    frame = pl.DataFrame({"user": ["a", "a", "b"], "item": ["x", "y", "x"]})
    frame = frame.with_columns(like=like)
    liked = read_logs(frame, liked="like").liked
    assert liked.toarray().tolist() == [[1, 0], [0, 0]]
    rated = frame.with_columns(like=pl.Series([1, 4, 0]).cast(kind))
    with pytest.raises(ValueError, match=r"\(row 1, .*a number in liked= other than 1"):
        read_logs(rated, liked="like")


def test_single_plays_beyond_what_float32_counts():
    """From 2 ** 24 on, float32 plus one is the same: such plays were lost."""
    rows = {"user": ["a"] * 11, "item": ["x"] * 11, "n": [2**24] + [1] * 10}
    logs = read_logs(pl.DataFrame(rows), count="n")
    assert logs.user_items.data.tolist() == [2**24 + 10]
    assert logs.user_items.dtype == np.float32


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"playlists": [{"pid": 1, "tracks": ["x"]}]}',
        '{"playlists": [{"pid": "1", "tracks": [{"track_uri": "a"}]}]}',
        '{"playlists": [{"pid": 1e999, "tracks": [{"track_uri": "a"}]}]}',
        '{"playlists": [{"pid": 1, "tracks": [{"track_uri": 7}]}]}',
        '{"playlists": 7}',
        '{"playlists": [{"pid": 1%s, "tracks": [{"track_uri": "a"}]}]}' % (20 * "0"),
    ],
)
def test_a_damaged_slice_of_playlists(tmp_path, text):
    """Deep nesting, and values of other types, came out as they arose."""
    path = tmp_path / "mpd.slice.0-999.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="not a slice of the Million Playlist Dataset"):
        read_logs(path, "mpd")


def test_a_header_that_is_no_utf8(tmp_path):
    path = tmp_path / "plays.csv"
    path.write_bytes(b"\xffuser,item\na,b\n")
    with pytest.raises(ValueError, match=r"plays\.csv could not be read.*iconv"):
        read_logs(path)


def test_parquet_of_one_long_word_is_refused(tmp_path, monkeypatch):
    """A word of a few kB, a million times in a file of 5 kB, took 5 GB."""
    monkeypatch.setattr(log_sources, "_MAX_TEXT", 1_000_000)
    word = pa.DictionaryArray.from_arrays(pa.array([0] * 3000, pa.int32()), ["x" * 999])
    path = tmp_path / "plays.parquet"
    pq.write_table(pa.table({"user": word, "item": word}), path)
    with pytest.raises(ValueError, match="'user' is longer than 1000000 bytes"):
        read_logs(path)
