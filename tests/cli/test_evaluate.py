"""`userlogfeat split` and `evaluate`: two tastes, with known places of the held-out."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from userlogfeat import cli, read_logs
from userlogfeat.factor_files import DIGEST, Factors, write_factors, write_plays


@pytest.fixture
def factors(tmp_path, monkeypatch):
    """Users 0 to 3, items 0 to 5; every user's best items are 0, 1, 2, ... in order."""
    monkeypatch.chdir(tmp_path)
    items = np.arange(6, 0, -1, dtype=np.float32)[:, None]
    users = np.ones((4, 1), np.float32)
    made_by = {DIGEST: "of-this-test"}
    factors = Factors(np.arange(4), users, np.arange(6), items, made_by=made_by)
    write_factors("f", factors)
    return tmp_path


def logs(name, pairs):
    pl.DataFrame(pairs, ["user", "item"], orient="row").write_csv(name)
    return name


def test_places_are_known(run, factors):
    """User 0: items 0 and 5 of 6; user 1: item 0 was played, so item 1 is first."""
    logs("test.csv", [(0, 0), (0, 5), (1, 1), (1, 0), (9, 1), (2, 77)])
    logs("before.csv", [(1, 0), (3, 0), (0, 3)])
    options = ("--exclude", "before.csv", "-k", "1", "-k", "2", "--json")
    done = run("evaluate", "f", "test.csv", *options, "-o", "users.csv")
    rows = {row["metric"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["precision@1"]["mean"] == 1.0
    assert rows["recall@2"]["mean"] == (1 / 2 + 1) / 2
    assert rows["recall@2"]["users"] == 2
    assert rows["auc"]["mean"] == ((3 + 0) / 6 + 1) / 2
    assert rows["auc"]["low"] <= rows["auc"]["mean"] <= rows["auc"]["high"]
    assert "Note: 3 of 6 held-out pairs are ranked; 2 are of" in done.stderr
    assert "1 were played before" in done.stderr
    assert pl.read_csv("users.csv")["recall@2"].to_list() == [0.5, 1.0]
    text = run("evaluate", "f", "test.csv").stdout
    assert text.split()[:6] == ["metric", "mean", "low", "high", "popular", "users"]


def test_a_low_score_has_an_exit_code(run, factors):
    logs("test.csv", [(0, 5), (1, 0)])
    good = ("--at-least", "recall@1=0.5")
    run("evaluate", "f", "test.csv", "-k", "1", *good)
    bad = run("evaluate", "f", "test.csv", "--at-least", "auc=0.9", code=cli.TOO_LOW)
    assert "auc is 0.5000, below 0.9" in bad.stderr
    for wrong, message in (("auk=1", "expected one of auc,"), ("auc", "METRIC=VALUE")):
        refused = run("evaluate", "f", "test.csv", "--at-least", wrong, code=cli.USAGE)
        assert message in refused.stderr
    logs("test.csv", [(0, 77), (9, 0), (1, 1)])
    logs("before.csv", [(1, 1)])
    options = ("--exclude", "before.csv")
    nothing = run("evaluate", "f", "test.csv", *options, code=cli.USAGE)
    assert "None of 3 held-out pairs can be ranked: 2 are of" in nothing.stderr


@pytest.mark.parametrize("name", ["users.csv", "users.parquet"])
def test_a_full_disk(run, factors, monkeypatch, name):
    """Polars' errors have no errno: the exit code was 2, and half a file was left."""
    logs("test.csv", [(0, 5), (1, 0)])

    def fail(_frame, path, **_settings):
        Path(path).write_text("user,au")
        raise pl.exceptions.ComputeError("IO: No space left on device (os error 28)")

    for method in ("write_csv", "write_parquet"):
        monkeypatch.setattr(pl.DataFrame, method, fail)
    done = run("evaluate", "f", "test.csv", "-o", name, code=cli.STOPPED)
    message = "Error: No space left on device: the output could not be written.\n"
    assert done.stderr == message
    assert not Path(name).exists()


def test_what_was_played_is_popular_and_not_ranked(run, factors):
    """Item 5 is the most popular: a baseline that finds it at once."""
    plays = sparse.csr_matrix(([1.0] * 3, ([1, 2, 3], [5, 5, 0])), shape=(4, 6))
    write_plays("f", plays, "of-this-test")
    logs("test.csv", [(0, 5)])
    done = run("evaluate", "f", "test.csv", "-k", "1", "--json")
    rows = {row["metric"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert (rows["auc"]["mean"], rows["auc"]["popular"]) == (0.0, 1.0)
    assert rows["popularity@1"]["mean"] == 1.0  # user, of the recommended item 0


def test_splits(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plays = [(u, 100 + i, 10 * u + i) for u in range(10) for i in range(10)]
    frame = pl.DataFrame(plays, ["who", "item", "at"], orient="row")
    frame = pl.concat(
        [frame, frame.with_columns(at=pl.col("at") + 500)]
    )  # again, later
    frame.write_parquet("plays.parquet")

    def parts(*options):
        settings = ("--user", "who", "--json", "--overwrite", *options)
        found = json.loads(run("split", "plays.parquet", "-o", "s", *settings).stdout)
        names = [name for name in found if name != "output"]
        read = {name: pl.read_parquet(f"s/{name}.parquet") for name in names}
        assert pl.concat(read.values()).n_unique(["user", "item"]) == 100
        assert sum(found[name] for name in names) == 100
        return read

    found = parts("--validation-size", "0.1")
    assert {name: len(part) for name, part in found.items()} == {
        "train": 70,
        "validation": 10,
        "test": 20,
    }
    assert set(found["train"]["count"]) == {2.0}
    for by in (("latest",), ("time",), ("time", "--since", "50")):
        found = parts("--by", *by, "--time", "at")
        # What is played again later is unknown when training ends.
        assert set(found["train"]["count"]) == {1.0}
        assert set(found["test"]["count"]) == {2.0}
        if by == ("latest",):
            assert set(found["test"]["item"]) == {108, 109}
    assert set(found["test"]["user"]) == set(range(5, 10))
    apart = parts("--by", "users")
    assert not set(apart["train"]["user"]) & set(apart["test"]["user"])
    assert set(apart["test"]["user"]) == set(apart["test_history"]["user"])
    assert len(apart["test"]) == len(apart["test_history"]) == 10
    rows = [(f"{i}.wav", 100 + i, "can" if i < 5 else f"artist {i}") for i in range(10)]
    pl.DataFrame(rows, ["clip", "item", "artist"], orient="row").write_csv("c.csv")
    items = parts("--by", "items", "--catalogue", "c.csv")
    assert not set(items["train"]["item"]) & set(items["test"]["item"])
    assert len(set(range(100, 105)) & set(items["test"]["item"])) in (0, 5)
    run("split", "plays.parquet", "-o", "s", "--overwrite", "--user", "who")
    assert read_logs("s/train.parquet", count="count").user_items.nnz == 80


def test_a_split_without_times_is_refused(run, tmp_path):
    logs(tmp_path / "p.csv", [(0, 1)])
    base = ("split", tmp_path / "p.csv", "-o", tmp_path / "s")
    assert "needs --time" in run(*base, "--by", "time", code=cli.USAGE).stderr
    assert "of no use" in run(*base, "--since", "3", code=cli.USAGE).stderr
    cut = ("--by", "time", "--time", "at", "--since", "3", "--validation-size", "0.1")
    assert "Leave one out" in run(*base, *cut, code=cli.USAGE).stderr
    assert "Nothing is left" in run(*base, "--test-size", "1", code=cli.USAGE).stderr


def test_split_of_numbers_in_a_csv(run, tmp_path, monkeypatch):
    """Numbers are text in a csv: no play was found again, and numpy's error came."""
    monkeypatch.chdir(tmp_path)
    plays = [(user, item, day) for user in (7, 8) for item, day in ((1, 1), (2, 2))]
    table = pl.DataFrame(plays, ["user", "item", "at"], orient="row")
    table.write_csv("plays.csv")
    run(
        "split",
        "plays.csv",
        "-o",
        "parts",
        "--by",
        "time",
        "--time",
        "at",
        "--since",
        2,
    )
    test = pl.read_parquet("parts/test.parquet")
    assert sorted(test.select("user", "item").rows()) == [(7, 2), (8, 2)]
