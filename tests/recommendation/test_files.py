"""Recommendations on disk: what `recommend` says, row by row."""

import numpy as np
import polars as pl
import pytest

from userlogfeat import read_logs, recommend
from userlogfeat.recommendation import files as recommendation_files
from userlogfeat.recommendation.files import write_recommendations


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    users = (np.array([f"u{i}" for i in range(7)]), rng.normal(size=(7, 3)))
    items = (np.arange(10, 15), rng.normal(size=(5, 3)))
    return users, items


def read(path):
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_csv(path, separator="\t" if path.suffix == ".tsv" else ",")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv"])
@pytest.mark.parametrize("block", [4, 1000])
def test_rows_are_those_of_recommend(world, tmp_path, monkeypatch, suffix, block):
    monkeypatch.setattr(recommendation_files, "_BLOCK_ROWS", block)
    (user_ids, users), (item_ids, items) = world
    path = tmp_path / f"r{suffix}"
    n, left_out = write_recommendations(path, *world, 2, metric="cosine")
    chosen, scores = recommend(users, items, 2, metric="cosine")
    frame = read(path)
    assert (n, left_out) == (14, [])
    assert frame.columns == ["user", "rank", "item", "score"]
    assert frame["user"].to_list() == np.repeat(user_ids, 2).tolist()
    assert frame["rank"].to_list() == [1, 2] * 7
    assert frame["item"].to_list() == item_ids[chosen.ravel()].tolist()
    np.testing.assert_allclose(frame["score"], scores.ravel(), rtol=1e-6)


def test_what_was_played_is_left_out(world, tmp_path):
    """By ids: the logs know other users and items, in another order."""
    plays = pl.DataFrame(
        {"user": ["u3", "u3", "u0", "stranger"], "item": [14, 11, 99, 10]}
    )
    path = tmp_path / "r.parquet"
    n, left_out = write_recommendations(
        path, *world, 9, metric="dot", exclude=[read_logs(plays), read_logs(plays[:1])]
    )
    frame = pl.read_parquet(path)
    assert left_out == [2, 1]
    assert n == frame.height == 7 * 5 - 2
    of_u3 = frame.filter(pl.col("user") == "u3")["item"]
    assert sorted(of_u3) == [10, 12, 13]


def test_nothing_left_is_a_file_without_rows(world, tmp_path):
    users, items = world
    one = ([users[0][0]], users[1][:1])
    plays = pl.DataFrame({"user": ["u0"] * 5, "item": items[0]})
    for suffix in (".csv", ".parquet"):
        path = tmp_path / f"r{suffix}"
        n, _ = write_recommendations(
            path, one, items, 2, metric="dot", exclude=[read_logs(plays)]
        )
        assert n == read(path).height == 0
        assert read(path).columns == ["user", "rank", "item", "score"]


def test_a_first_user_without_rows(world, tmp_path, monkeypatch):
    """Types of ids were guessed from the first block: of none."""
    monkeypatch.setattr(recommendation_files, "_BLOCK_ROWS", 1)
    plays = pl.DataFrame({"user": ["u0"] * 5, "item": world[1][0]})
    path = tmp_path / "r.parquet"
    n, _ = write_recommendations(
        path, *world, 1, metric="dot", exclude=[read_logs(plays)]
    )
    assert pl.read_parquet(path)["user"].to_list() == [f"u{i}" for i in range(1, 7)]
    assert n == 6


def test_a_failure_leaves_the_old_file(world, tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("old")
    users, (item_ids, items) = world
    items = np.where(item_ids[:, None] == 12, np.nan, items)
    with pytest.raises(ValueError, match="NaN"):
        write_recommendations(path, users, (item_ids, items), 2, metric="dot")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["r.csv"]
    with pytest.raises(ValueError, match=r"'r.txt', expected .*\.parquet, \.csv"):
        write_recommendations("r.txt", *world, 2, metric="dot")


@pytest.mark.parametrize(
    "names",
    [
        ['"Weird Al" Yankovic', 'The "5" Royales', "plain", '"'],
        ["a\tb", "plain", '"c"', 'd"'],  # a tab in .tsv: quoted throughout
        ['"a ""b"" c"', "a, b", "'s", "007"],
    ],
)
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv"])
def test_our_reader_reads_ids_with_quotes(tmp_path, names, suffix):
    """Fields of .tsv were quoted as in csv, which `read_logs` refuses."""
    users = (np.array(names), np.eye(4))
    items = (np.array([f'{name} "live"' for name in names]), np.eye(4))
    path = tmp_path / f"r{suffix}"
    write_recommendations(path, users, items, 1, metric="dot")
    logs = read_logs(path, count="score")
    assert logs.user_ids.tolist() == sorted(names)
    assert logs.item_ids.tolist() == sorted(items[0])
    places = [sorted(names).index(name) for name in names]
    found = logs.user_items.toarray()
    for place, item in zip(places, items[0], strict=True):
        assert found[place, sorted(items[0]).index(item)] == 1


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\0b"])
def test_ids_that_no_text_file_holds(tmp_path, name):
    one = (np.array([name]), np.ones((1, 1)))
    for suffix in (".csv", ".tsv"):
        with pytest.raises(ValueError, match=r"line breaks or NUL .*Write \.parquet"):
            write_recommendations(tmp_path / f"r{suffix}", one, one, 1, metric="dot")
    path = tmp_path / "r.parquet"
    assert write_recommendations(path, one, one, 1, metric="dot") == (1, [])
    assert pl.read_parquet(path)["item"].to_list() == [name]
