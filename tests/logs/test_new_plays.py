"""Logs as services have them: new plays of known ids, periods, aliases, many files."""

import datetime

import numpy as np
import polars as pl
import pyarrow.compute as pc
import pytest

from userlogfeat import read_logs
from userlogfeat.logs import events

WEEK = pl.DataFrame(
    {
        "user": ["bob", "eve", "bob", "ann", "eve"],
        "item": ["z", "a", "y", "a", "y"],
        "n": [1, 2, 3, 4, 5],
    }
)
KNOWN = {"user_ids": ["zoe", "bob", "ann"], "item_ids": ["y", "x", "a"]}


def test_plays_are_read_against_known_ids():
    log = read_logs(WEEK, count="n", **KNOWN)
    assert list(log.user_ids) == KNOWN["user_ids"]
    assert list(log.item_ids) == KNOWN["item_ids"]
    assert log.user_items.toarray().tolist() == [[0, 0, 0], [3, 0, 0], [0, 0, 4]]
    apart = log.unknown
    assert list(apart.user_ids) == ["zoe", "bob", "ann", "eve"]
    assert list(apart.item_ids) == ["y", "x", "a", "z"]
    assert apart.user_items.toarray().tolist() == [
        [0, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [5, 0, 2, 0],
    ]
    assert "apart: 3 pairs of unknown users or items" in repr(log)


def test_nothing_is_lost_between_known_and_unknown():
    log = read_logs(WEEK, count="n", **KNOWN)
    both = read_logs(WEEK, count="n", **KNOWN, unknown="append")
    assert both.unknown is None
    total = log.unknown.user_items.toarray()
    total[:3, :3] += log.user_items.toarray()
    assert both.user_items.toarray().tolist() == total.tolist()
    assert both.user_items.sum() == WEEK["n"].sum()


def test_new_users_against_known_items():
    """As for ``CFEmbedding.transform``; a user without a known item has no row."""
    log = read_logs(WEEK, count="n", item_ids=["x", "y"])
    assert list(log.user_ids) == ["bob", "eve"]
    assert log.user_items.toarray().tolist() == [[0, 3], [0, 5]]
    log = read_logs(WEEK, item_ids=["x", "y"], min_items_per_user=0)
    assert list(log.user_ids) == ["ann", "bob", "eve"]


def test_minimums_spare_given_ids():
    log = read_logs(WEEK, **KNOWN, unknown="append", min_users_per_item=2)
    assert list(log.item_ids) == ["y", "x", "a"]  # x has no play; z, new, has one user


def test_last_items_are_columns_of_the_known(tmp_path):
    plays = WEEK.with_columns(t=pl.Series([9, 1, 2, 3, 4]))
    log = read_logs(plays, time="t", **KNOWN)
    assert log.last_items.tolist() == [-1, 0, 2]  # bob's z, later, is not known


def test_ids_of_other_types_are_compared_as_text():
    plays = pl.DataFrame({"user": ["7", "8", "ann"], "item": [1, 2, 3]})
    log = read_logs(plays, user_ids=[8, 7], item_ids=["3", "2", "1"], unknown="append")
    assert list(log.item_ids) == ["3", "2", "1"]
    assert list(log.user_ids) == ["8", "7", "ann"]
    assert log.user_items.toarray().tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    log = read_logs(plays[:2], user_ids=[8, 7])
    assert log.user_ids.tolist() == [8, 7]


def test_ids_that_share_nothing_or_repeat():
    with pytest.raises(ValueError, match=r"None of the 3 items .* known ones"):
        read_logs(WEEK, item_ids=["p", "q"])
    with pytest.raises(ValueError, match=r"item_ids repeat"):
        read_logs(WEEK, item_ids=["a", "a"])
    with pytest.raises(ValueError, match=r"unknown='drop'"):
        read_logs(WEEK, item_ids=["a"], unknown="drop")


@pytest.mark.parametrize("text_first", [False, True])
def test_one_id_as_number_and_as_text(tmp_path, text_first):
    """Parts of a log may be written by two programs."""
    numbers = pl.DataFrame({"user": [7, 8], "item": [1, 1]})
    texts = pl.DataFrame({"user": ["7", "9"], "item": ["1", "2"]})
    parts = [texts, numbers] if text_first else [numbers, texts]
    for name, part in zip("ab", parts, strict=True):
        part.write_parquet(tmp_path / f"{name}.parquet")
    log = read_logs(tmp_path)
    assert log.user_ids.tolist() == [7, 8, 9]
    assert log.item_ids.tolist() == [1, 2]
    assert log.user_items.toarray().tolist() == [[2, 0], [1, 0], [0, 1]]
    named = texts.with_columns(user=pl.Series(["7", "x"]))
    named.write_parquet(tmp_path / ("a.parquet" if text_first else "b.parquet"))
    assert read_logs(tmp_path).user_ids.tolist() == ["7", "8", "x"]


def test_many_files_are_looked_up_together(tmp_path, monkeypatch):
    """The look-up builds an index of all ids: it was built once for each file."""
    rng = np.random.default_rng(0)
    plays = pl.DataFrame({"user": rng.integers(0, 50, 600), "item": range(600)})
    for start in range(0, 600, 10):
        plays[start : start + 10].write_parquet(tmp_path / f"{start:03}.parquet")
    calls = []
    genuine = pc.index_in
    monkeypatch.setattr(
        pc, "index_in", lambda *a, **k: calls.append(a) or genuine(*a, **k)
    )
    log = read_logs(tmp_path)
    assert len(calls) == 2  # users, items
    monkeypatch.setattr("userlogfeat.logs.sources.CHUNK_ROWS", 20)  # two files
    monkeypatch.setattr(events, "CHUNK_ROWS", 100)
    again = read_logs(tmp_path)
    assert len(calls) == 2 + 2 * 6
    expected = read_logs(plays)
    for found in (log, again):
        assert (found.user_items != expected.user_items).nnz == 0


def test_wrong_rows_are_those_of_their_file(tmp_path):
    for name, users in (("a", ["x", "y"]), ("b", ["z", None]), ("c", [None, "x"])):
        frame = pl.DataFrame({"user": users, "item": [1, 2]})
        frame.write_parquet(tmp_path / f"{name}.parquet")
    message = r"1 row of b\.parquet \(row 1, .*header\), and 1 of other files without"
    with pytest.raises(ValueError, match=message):
        read_logs(tmp_path)


DATES = [datetime.datetime(2024, 1, day, 12) for day in (1, 8, 9, 15)]
PLAYS = pl.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 2], "t": DATES})


@pytest.mark.parametrize("kind", ["dates", "text", "seconds", "milliseconds", "zone"])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_period_in_any_kind_of_times(tmp_path, kind, as_text):
    seconds = pl.col("t").dt.epoch("s")
    column = {
        "dates": pl.col("t"),
        "text": pl.col("t").dt.strftime("%Y-%m-%dT%H:%M:%S"),
        "seconds": seconds,
        "milliseconds": seconds * 1000,
        "zone": pl.col("t").dt.replace_time_zone("UTC"),
    }[kind]
    since, until = datetime.date(2024, 1, 8), datetime.datetime(2024, 1, 15, 12)
    if as_text:
        since, until = since.isoformat(), until.isoformat() + "+00:00"
    frame = PLAYS.with_columns(column)
    log = read_logs(frame, time="t", since=since, until=until)
    assert log.user_items.toarray().tolist() == [[0, 1], [1, 0]]
    log = read_logs(frame, time="t", half_life=datetime.timedelta(days=7))
    left = [[0.25, 0.5], [0.5 ** (6 / 7), 1]]  # counted from the latest play
    np.testing.assert_allclose(log.user_items.toarray(), left, rtol=1e-6)


def test_decay_does_not_depend_on_merging(monkeypatch):
    rng = np.random.default_rng(0)
    columns = {"user": rng.integers(0, 5, 200), "item": rng.integers(0, 4, 200)}
    columns |= {"n": rng.integers(1, 4, 200), "t": rng.integers(0, 100, 200)}
    frame = pl.DataFrame(columns)
    expected = np.zeros((5, 4))
    for user, item, n, t in frame.iter_rows():
        expected[user, item] += n * 0.5 ** ((120 - t) / 10)
    settings = {"count": "n", "time": "t", "until": 120, "half_life": 10}
    monkeypatch.setattr(events, "CHUNK_ROWS", 20)
    monkeypatch.setattr(events, "_MERGE_ROWS", 30)
    monkeypatch.setattr("userlogfeat.logs.sources.CHUNK_ROWS", 10)
    log = read_logs(frame, **settings)
    np.testing.assert_allclose(log.user_items.toarray(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"since": "2024-01-01"}, r"need times\. Name the column"),
        ({"time": "t", "since": 5}, r"since=5.*holds dates. Pass a date"),
        ({"time": "t", "since": "monday"}, r"since='monday', expected a number"),
        ({"time": "t", "since": [1]}, r"since of type list"),
        ({"time": "t", "half_life": 5}, r"half_life=5.*timedelta"),
        ({"time": "t", "half_life": "5"}, r"half_life='5', expected a timedelta"),
        ({"time": "t", "half_life": datetime.timedelta(0)}, r"expected more than 0"),
        ({"time": "n", "since": "2024-01-01"}, r"do not look like seconds"),
        (
            {"time": "t", "until": "2023-01-01"},
            r"no rows in the period until=2023-01-01 \(4 rows outside\): there",
        ),
        (
            {"time": "t", "since": "2024-05-01", "until": "2023-01-01"},
            r"\(4 rows outside\), which ends before it begins: there is nothing",
        ),
        (
            {"time": "t", "half_life": datetime.timedelta(1), "weights": "binary"},
            r"Leave one of them out",
        ),
        ({"listened_above": 0.5}, r"not say what fraction was played"),
        ({"played": "n", "listened_above": 50}, r"Divide percentages by 100"),
        ({"length": "n"}, r"length= without played="),
    ],
)
def test_wrong_periods(settings, message):
    frame = PLAYS.with_columns(n=pl.Series([0.1, 0.2, 0.3, 0.4]))
    with pytest.raises((ValueError, TypeError), match=message):
        read_logs(frame, **settings)


def test_a_format_without_times(tmp_path):
    with pytest.raises(ValueError, match='format="mpd" has no times of plays'):
        read_logs(tmp_path, "mpd", since=3)


def test_a_play_is_more_than_half_of_a_track():
    plays = pl.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1]})
    plays = plays.with_columns(part=pl.Series([0.5, 0.51, 1.0]))
    log = read_logs(plays, played="part")
    assert log.user_items.toarray().tolist() == [[0, 1], [1, 0]]
    log = read_logs(plays, played="part", listened_above=0.4)
    assert log.user_items.toarray().tolist() == [[1, 1], [1, 0]]
    seconds = plays.with_columns(played=pl.col("part") * 200, length=pl.lit(200))
    log = read_logs(seconds, played="played", length="length")
    assert log.user_items.toarray().tolist() == [[0, 1], [1, 0]]
    assert read_logs(plays).user_items.sum() == 3


@pytest.mark.parametrize("as_table", [False, True])
def test_renamed_and_merged_items_are_one(tmp_path, as_table):
    aliases = {"a": "b", "b": "c", "y": "x"}
    if as_table:
        columns = {"old": list(aliases), "new": list(aliases.values())}
        pl.DataFrame(columns).write_csv(tmp_path / "aliases.csv")
        aliases = tmp_path / "aliases.csv"
    log = read_logs(WEEK, count="n", aliases=aliases)
    assert log.item_ids.tolist() == ["c", "x", "z"]
    assert log.user_items.toarray().tolist() == [[4, 0, 0], [0, 3, 1], [2, 5, 0]]
    known = ["a", "x", "y"]  # knows a by its old name, and both names of x
    log = read_logs(WEEK, count="n", aliases=aliases, item_ids=known)
    assert log.user_items.toarray().tolist() == [[4, 0, 0], [0, 3, 0], [2, 5, 0]]
    assert log.item_ids.tolist() == known


def test_aliases_of_numbers_and_faults():
    plays = pl.DataFrame({"user": [1, 2], "item": [5, 6]})
    log = read_logs(plays, aliases={"5": "6"})
    assert log.item_ids.tolist() == [6]
    assert log.user_items.toarray().tolist() == [[1], [1]]
    with pytest.raises(ValueError, match="go in a circle"):
        read_logs(plays, aliases={5: 6, 6: 5})
    two = pl.DataFrame({"old": [5, 5], "new": [6, 7]})
    with pytest.raises(ValueError, match="two new ids for 5"):
        read_logs(plays, aliases=two)


def test_users_can_be_left_out():
    log = read_logs(WEEK, count="n", without_users=["bob", "nobody"])
    assert log.user_ids.tolist() == ["ann", "eve"]
    assert log.user_items.sum() == 11
    with pytest.raises(ValueError, match="without_users= leaves nothing"):
        read_logs(WEEK, without_users=["ann", "bob", "eve"])


def test_a_cluster_says_what_it_cannot():
    with pytest.raises(ValueError, match="work on this machine only"):
        read_logs(WEEK, backend="spark", item_ids=["a"])


def test_one_id_is_no_list_of_ids():
    """The letters of "ann" were ids, so that nobody was left out."""
    plays = pl.DataFrame({"user": ["ann", "bob"], "item": ["x", "y"]})
    for name in ("user_ids", "item_ids", "without_users"):
        with pytest.raises(TypeError, match=r"Got ids 'ann', .* such as \['ann'\]"):
            read_logs(plays, **{name: "ann"})
    assert read_logs(plays, without_users={"ann"}).user_ids.tolist() == ["bob"]
    with pytest.raises(ValueError, match="expected two columns"):
        read_logs(plays, user="item")


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"user_ids": []}, r"Got user_ids=\[\], expected the ids .* one or more"),
        ({"item_ids": np.array([])}, r"Got item_ids=\[\], expected the ids"),
        ({"user_ids": ["zoe"]}, r"None of the 2 users of the logs .* the 1 known ones"),
    ],
)
def test_no_user_is_known(known, message):
    """The message was of min_users_per_item, which nobody had set."""
    plays = pl.DataFrame({"user": ["ann", "bob"], "item": ["x", "y"]})
    with pytest.raises(ValueError, match=message):
        read_logs(plays, **known)
