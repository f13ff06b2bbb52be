"""`userlogfeat fit-cf`: two tastes that never meet."""

import json
import re

import numpy as np
import polars as pl
import pytest

from userlogfeat import cli
from userlogfeat.cli import fit_cf
from userlogfeat.factor_files import read_factors, read_plays


def test_fit_cf(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Two tastes that never meet: half of the people play tracks 0-9, half 10-19.
    rng = np.random.default_rng(0)
    plays = [(u, 10 * (u % 2) + i) for u in range(40) for i in rng.choice(10, 6, False)]
    pl.DataFrame(plays, ["who", "track"], orient="row").write_csv("plays.csv")
    columns = ("--user", "who", "--item", "track")
    result = run("fit-cf", "plays.csv", "-o", "f", *columns, "--factors", 2)
    assert "-> 2 factors each, in f" in result.stdout
    factors = read_factors("f")
    assert factors.item_ids.tolist() == list(range(20))
    assert factors.user_factors.shape == (40, 2)
    scores = factors.user_factors @ factors.item_factors.T
    own = (np.arange(40)[:, None] % 2) == (np.arange(20) >= 10)
    assert scores[own].min() > scores[~own].max()
    run("fit-cf", "plays.csv", "-o", "f2", *columns, "--factors", 2)
    np.testing.assert_array_equal(read_factors("f2").item_factors, factors.item_factors)
    run("fit-cf", "plays.csv", "-o", "f", *columns, code=cli.USAGE)
    run("fit-cf", "plays.csv", "-o", "f", *columns, "--overwrite", "--factors", 3)
    assert read_factors("f").n_factors == 3
    text = run("info", "f").stdout
    assert "users" in text
    assert "alpha           10.0\n" in text
    assert "confidence      log\n" in text


def test_tune(run, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    plays = [(u, 10 * (u % 2) + i) for u in range(40) for i in rng.choice(10, 6, False)]
    frame = pl.DataFrame(plays, ["user", "item"], orient="row")
    frame.write_csv(tmp_path / "plays.csv")
    monkeypatch.setattr(fit_cf, "GRID", {"alpha": [3.0], "n_factors": [1, 2]})
    args = ("fit-cf", tmp_path / "plays.csv", "-o", tmp_path / "f", "--tune")
    result = run(*args)
    assert (
        "tuned: alpha 3.0, n_factors 2, NDCG@10 of held-out plays 0." in result.stdout
    )
    assert "(median of the 2 tried: 0." in result.stdout
    assert "n_factors 2 is at the edge of [1, 2]" in result.stdout
    assert "alpha 3.0 is at" not in result.stdout  # nothing else was tried
    factors = read_factors(tmp_path / "f")
    assert (factors.n_factors, factors.made_by["alpha"]) == (2, 3.0)
    result = run(*args, "--overwrite", "--alpha", 3, code=cli.USAGE)
    assert "Got --alpha and --tune" in result.stderr


def test_update(run, tmp_path, monkeypatch):
    """Another track comes to the first taste: the space stays, and plays are kept."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    plays = [(u, 10 * (u % 2) + i) for u in range(40) for i in rng.choice(10, 6, False)]
    pl.DataFrame(plays, ["user", "item"], orient="row").write_csv("plays.csv")
    more = [*plays, *((u, 99) for u in range(0, 40, 2))]
    pl.DataFrame(more, ["user", "item"], orient="row").write_csv("all.csv")
    run("fit-cf", "plays.csv", "-o", "f", "--factors", 2)
    result = run("fit-cf", "all.csv", "-o", "g", "--update", "f", "--json")
    assert json.loads(result.stdout)["alignment"] > 0.9
    before, after = read_factors("f"), read_factors("g")
    assert after.item_ids.tolist() == [*range(20), 99]
    own, other = after.item_factors[20] @ after.item_factors[[0, 10]].T
    assert own > 10 * abs(other)
    assert after.made_by["users_digest"] == before.made_by["users_digest"]
    assert read_plays("g").nnz == len(more)
    assert "Note" not in result.stderr
    pl.DataFrame([(0, 3), (1, 12)], ["user", "item"], orient="row").write_csv("w.csv")
    result = run("fit-cf", "w.csv", "-o", "week", "--update", "f", "-q")
    assert re.search("LOGS lack 23[89] of the 240 pairs that f knows", result.stderr)
    for setting in (("--alpha", 3), ("--factors", 40), ("--confidence", "log")):
        wrong = ("--update", "f", *setting, "--overwrite")
        result = run("fit-cf", "all.csv", "-o", "g", *wrong, code=cli.USAGE)
        assert "they stay those of f" in result.stderr


def test_periods_ages_and_minimums(run, tmp_path, monkeypatch):
    """Each option leaves out, or lowers, what it says and nothing else."""
    monkeypatch.chdir(tmp_path)
    days = pl.DataFrame(
        [
            ("ann", "old", "2026-01-01"),
            ("ann", "both", "2026-01-01"),
            ("ann", "new", "2026-01-31"),
            ("bob", "both", "2026-01-31"),
            ("bob", "new", "2026-02-20"),
            ("eve", "new", "2026-01-31"),
        ],
        ["user", "item", "at"],
        orient="row",
    )
    days.write_csv("plays.csv")

    def plays(*options):
        arguments = ("--overwrite", "--factors", 1, "--time", "at", *options)
        run("fit-cf", "plays.csv", "-o", "f", *arguments)
        factors, kept = read_factors("f"), read_plays("f").tocoo()
        pairs = zip(factors.user_ids[kept.row], factors.item_ids[kept.col], strict=True)
        return dict(zip(pairs, kept.data.tolist(), strict=True))

    assert len(plays()) == 6
    until = plays("--until", "2026-02-01")
    assert ("bob", "new") not in until
    assert len(until) == 5
    since = plays("--since", "2026-01-31")
    assert set(since) == {
        ("ann", "new"),
        ("bob", "both"),
        ("bob", "new"),
        ("eve", "new"),
    }
    assert {i for _, i in plays("--min-users-per-item", 2)} == {"both", "new"}
    assert {u for u, _ in plays("--min-items-per-user", 2)} == {"ann", "bob"}
    aged = plays("--half-life", 30, "--until", "2026-02-01")
    assert aged["ann", "old"] / aged["ann", "new"] == pytest.approx(0.5, rel=1e-4)
    run("fit-cf", "plays.csv", "-o", "f", "--overwrite", "--regularization", 0.5)
    assert read_factors("f").made_by["regularization"] == 0.5


def test_master_is_of_spark(run, tmp_path):
    (tmp_path / "plays.csv").write_text("user,item\nann,1\n")
    args = ("fit-cf", tmp_path / "plays.csv", "-o", tmp_path / "f")
    result = run(*args, "--master", "local[2]", code=cli.USAGE)
    assert "--master local[2] is of no use without --backend spark" in result.stderr


@pytest.mark.long
def test_fit_cf_on_spark(run, tmp_path, spark):
    plays = [(f"u{u}", 10 * (u % 2) + i) for u in range(40) for i in range(u % 3, 10)]
    frame = pl.DataFrame(plays, ["who", "track"], orient="row")
    frame.write_parquet(tmp_path / "plays.parquet")
    columns = ("--user", "who", "--item", "track", "--factors", 2)
    columns += ("--set", "iterations=10")
    where = ("--backend", "spark", "--master", spark.sparkContext.master)
    url = f"file://{tmp_path}/plays.parquet"
    result = run("fit-cf", url, "-o", tmp_path / "f", *columns, *where)
    assert "<SparkInteractions: 40 users, 20 items" in result.stdout
    factors = read_factors(tmp_path / "f")
    assert factors.user_ids.tolist() == sorted(f"u{u}" for u in range(40))
    assert factors.item_ids.tolist() == list(range(20))
    assert factors.made_by["logs"] == "plays.parquet"
    scores = factors.user_factors @ factors.item_factors.T
    even = np.array([int(user[1:]) % 2 == 0 for user in factors.user_ids])
    own = even[:, None] == (np.arange(20) < 10)
    assert scores[own].min() > scores[~own].max()
    where = ("--backend", "spark", "--master", "local[1]")
    result = run("fit-cf", url, "-o", tmp_path / "g", *where, code=cli.USAGE)
    assert "a Spark session runs at" in result.stderr
