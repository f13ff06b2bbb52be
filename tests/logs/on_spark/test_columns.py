"""Wrong rows on a cluster: counted, shown, refused as the local reader does."""

import re

import polars as pl
import pytest

from userlogfeat import read_logs
from userlogfeat._spark import frame_of

pytestmark = pytest.mark.long

NAN = float("nan")
GOOD = {"user": ["ann", "bob", "eve"], "item": [1, 2, 3]}
WRONG = {
    "no user": (
        {"user": ["ann", None, None]},
        {},
        "2 rows of the frame with no user identifier .*(user=None, item=2; user=None",
    ),
    "NaN item": ({"item": [1.0, NAN, 3.0]}, {}, "1 row .* with no item identifier"),
    "list": (
        {"item": [[1], [2], [3]]},
        {},
        "item= of the frame holds lists",
    ),
    "negative": (
        {"n": [1.0, -2.0, 3.0]},
        {"count": "n"},
        "1 row of the frame with a negative count (user='bob', item=2, count=-2.0)",
    ),
    "NaN": ({"n": [1.0, NAN, 3.0]}, {"count": "n"}, "a missing or NaN count"),
    "null": ({"n": [1, None, 3]}, {"count": "n"}, "a missing or NaN count"),
    "infinite": ({"n": [1.0, 1e39, 3.0]}, {"count": "n"}, "an infinite count"),
    "text": (
        {"n": ["1", "2,5", "3"]},
        {"count": "n"},
        "a count that is not a number (user='bob', item=2, count='2,5')",
    ),
    "Java's number": (
        {"n": ["1", "2f", " 3"]},
        {"count": "n"},
        "2 rows of the frame with",
    ),
    "yes": (
        {"up": ["1", "", "y"]},
        {"liked": "up"},
        "neither true nor false (user='eve'",
    ),
    "no time": ({"t": [1, None, 3]}, {"time": "t"}, "1 row of the frame with no time"),
    "strange time": (
        {"t": ["1", "noon", "3"]},
        {"time": "t"},
        "The column time= of the frame is of type string and starts with '1'",
    ),
    "rating": ({"up": [1, 5, 0]}, {"liked": "up"}, "a number in liked= other than 1"),
    "both": (
        {"up": [True] * 3, "down": [True, False, False]},
        {"liked": "up", "disliked": "down"},
        "1 row of the frame with both liked and disliked",
    ),
    "no column": ({}, {"count": "n"}, "Found no column 'n' (count=) in the frame"),
    "no play": ({"n": [0, 0, 0]}, {"count": "n"}, "The logs hold 3 rows, no play"),
    "too few": ({}, {"min_users_per_item": 2}, "none of 3 items has as many users"),
    "too few items": ({}, {"min_items_per_user": 9}, "none of 3 users has as many"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rows_are_refused(spark, name):
    columns, settings, message = WRONG[name]
    frame = frame_of(spark, pl.DataFrame(GOOD | columns).to_arrow())
    match = re.escape(message).replace(r"\ \.\*", ".*").replace(r"\.\*", ".*")
    with pytest.raises(ValueError, match=match):
        read_logs(frame, **settings)


def test_files_that_cannot_be_read_are_named(spark, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file or folder /.*none\.parquet"):
        read_logs(tmp_path / "none.parquet", backend="spark")
    with pytest.raises(FileNotFoundError, match=r"no file or folder /.*none\.xlsx"):
        read_logs(tmp_path / "none.xlsx", backend="spark")
    (tmp_path / "plays.xlsx").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"does not say how it is laid.*separator="):
        read_logs(tmp_path / "plays.xlsx", backend="spark")
    short = tmp_path / "short.csv"
    short.write_text("user,item,n\nann,7,2\nbob,8\n")
    with pytest.raises(ValueError, match=r"short\.csv could not be read: .*MALFORMED"):
        read_logs(short, backend="spark")
    several = tmp_path / "several.csv"
    several.write_text('user,item\nann,"song\n2"\n')
    with pytest.raises(ValueError, match=r"no field that goes on over several lines"):
        read_logs(several, backend="spark")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty could not .* Does it hold any such"):
        read_logs(tmp_path / "empty", backend="spark")
    with pytest.raises(ValueError, match="Got '' as path of the logs"):
        read_logs("", backend="spark")
    with pytest.raises(FileNotFoundError, match=r"are a pattern: write a \\ before"):
        read_logs(tmp_path / "plays[1].csv", backend="spark")
    listed = tmp_path / "list.json"
    listed.write_text('[\n{"user": 1, "item": 2}\n]\n')
    with pytest.raises(ValueError, match=r"list\.json could .* one object per line"):
        read_logs(listed, backend="spark")
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1" * 10)
    with pytest.raises(ValueError, match=r"damaged\.parquet could not be read"):
        read_logs(damaged, backend="spark")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"user,item\n", "1 row of t.csv with the names of the columns again"),
        (b'ann,"12\\" mix"\n', "1 row of t.csv with an identifier that begins with"),
        (b"ann,a\0b\n", "1 row of t.csv with NUL bytes"),
    ],
)
def test_lines_that_break_the_rules_of_text(spark, tmp_path, line, message):
    path = tmp_path / "t.csv"
    path.write_bytes(b"user,item\nann,7\n" + line + b"bob,8\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        read_logs(path, backend="spark")


def test_text_that_is_no_utf8_is_reported(spark, tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("user,item\nann,caf\xe9\nbob,b\n".encode("latin1"))
    with pytest.warns(UserWarning, match=r"of 1 rows of latin\.csv hold .*iconv"):
        read_logs(path, backend="spark").unpersist()
