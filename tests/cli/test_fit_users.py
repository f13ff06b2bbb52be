"""`userlogfeat fit-users`: two circles of listeners, from logs to files."""

import numpy as np
import polars as pl
import pytest

from userlogfeat import UserEmbedding, cli
from userlogfeat.factor_files import read_factors

COLUMNS = ("--user", "who", "--item", "track")


@pytest.fixture
def plays(tmp_path, monkeypatch):
    """Half of 40 people play tracks 0-9, half 10-19; track 20 is in the catalogue."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", 10 * (user % 2) + item, day, int(item == 3), int(item == 4))
        for user in range(40)
        for day, item in enumerate(rng.choice(10, 6, replace=False).tolist())
    ]
    names = ["who", "track", "day", "up", "down"]
    pl.DataFrame(rows, names, orient="row").write_csv("plays.csv")
    tracks = {
        "id": range(21),
        "artist": [f"a{i // 5}" for i in range(21)],
        "year": [1990 + i % 2 for i in range(21)],
    }
    pl.DataFrame(tracks).write_csv("tracks.csv")
    people = {
        "person": [f"u{i}" for i in range(39)],
        "age": [20 + i % 3 for i in range(39)],
        "zip": [f"0{i % 2}" for i in range(39)],
    }
    pl.DataFrame(people).write_csv("people.csv")


def test_logs_become_a_tower_and_its_embeddings(run, plays):
    quick = ("--set", "n_units=8", "--epochs", 8)
    result = run("fit-users", "plays.csv", "-o", "u", *COLUMNS, *quick)
    assert "40 users, 20 items, 240 pairs" in result.stdout
    assert "-> 8 numbers each, in u (best of 8 epochs: " in result.stdout
    factors = read_factors("u")
    assert factors.user_ids[:2].tolist() == ["u0", "u1"]
    scores = factors.user_factors @ factors.item_factors.T
    second = np.array([int(user[1:]) % 2 for user in factors.user_ids])
    own = second[:, None] == (np.arange(20) >= 10)
    assert scores[own].mean() > scores[~own].mean() + 1
    assert UserEmbedding.load("u").n_features_in_ == 20
    text = run("info", "u").stdout
    assert "UserEmbedding" in text
    assert "learned from" in text
    again = ("fit-users", "plays.csv", *COLUMNS, *quick, "--quiet")
    assert run(*again, "-o", "u2").output == ""
    np.testing.assert_array_equal(read_factors("u2").user_factors, factors.user_factors)
    other = run(*again, "-o", "u", code=cli.USAGE)
    assert "u is not empty" in other.stderr
    run(*again, "-o", "u", "--overwrite", "--seed", 1)
    assert (read_factors("u").user_factors != factors.user_factors).any()


def test_everything_that_is_known(run, plays):
    run(
        *("fit-users", "plays.csv", "-o", "u", *COLUMNS, "--quiet"),
        *("--time", "day", "--liked", "up", "--disliked", "down"),
        *("--catalogue", "tracks.csv", "--catalogue-item", "id"),
        *("--attribute", "artist", "--attribute", "year"),
        *("--demographics", "people.csv", "--demographics-user", "person"),
        *(
            "--category",
            "zip",
            "--set",
            "n_units=4",
            "--epochs",
            1,
            "--licence",
            "mine",
        ),
    )
    tower = UserEmbedding.load("u")
    assert tower.groups_ == ["user_items", "liked", "disliked"]
    assert tower.attributes_ == ["artist", "year"]
    assert [c["name"] for c in tower.demographics_.columns] == ["age", "zip"]
    assert tower.demographics_.columns[1]["values"] == ["00", "01"]
    text = run("info", "u").stdout
    assert "licence         mine\n" in text
    assert "demographics    age, zip\n" in text
    assert "groups          user_items, liked, disliked\n" in text


@pytest.mark.filterwarnings(
    "ignore::userlogfeat.estimators.user_tower.EmptyHistoryWarning"
)
def test_new_people_of_whom_only_demographics_are_known(run, plays):
    """The table's postcodes were read as numbers, and refused."""
    about = ("--demographics", "people.csv", "--demographics-user", "person")
    options = (*about, "--category", "zip", "--set", "n_units=4", "--epochs", 2, "-q")
    run("fit-users", "plays.csv", "-o", "u", *COLUMNS, *options)
    new = {"person": ["x", "y"], "age": [20, None], "zip": ["00", "01"]}
    pl.DataFrame(new).write_csv("new.csv")
    about = ("--demographics", "new.csv", "--demographics-user", "person")
    result = run("recommend", "u", "u", "-o", "r.csv", "-k", 2, *about)
    assert "4 recommendations, of 20 items for 2 users, in r.csv" in result.stdout
    assert pl.read_csv("r.csv")["user"].to_list() == ["x", "x", "y", "y"]
    pl.DataFrame({"who": ["y"], "track": [3]}).write_csv("history.csv")
    history = ("--history", "history.csv", *COLUMNS)
    run("recommend", "u", "u", "-o", "h.csv", "-k", 2, *about, *history)
    assert pl.read_csv("h.csv")["user"].to_list() == ["y", "y"]  # x was there too
    about = ("--demographics", "people.csv", "--demographics-user", "person")
    result = run("recommend", "u", "u", "-o", "n.csv", *about, code=cli.USAGE)
    assert "histories would be forgotten" in result.stderr


def test_artist_and_album_are_the_default(run, plays):
    options = ("--catalogue", "tracks.csv", "--catalogue-item", "id", "--epochs", 1)
    run("fit-users", "plays.csv", "-o", "u", *COLUMNS, *options)
    assert UserEmbedding.load("u").attributes_ == ["artist"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--catalogue", "tracks.csv"], "no column 'item' in tracks.csv"),
        (["--catalogue", "people.csv"], "no column artist or album. Name with --attr"),
        (["--catalogue", "gone.csv"], "gone.csv is not there"),
        (["--demographics", "people.csv"], "no column 'user' in people.csv"),
        (["--category", "zip"], "--category without --demographics"),
        (["--time", "hour"], "no column 'hour'"),
        (["--set", "n_units=0"], "Got --set n_units=0"),
        (
            ["--set", "units=8"],
            "Got --set 'units=8', expected PARAMETER=VALUE",
        ),
        (["--min-users-per-item", "41"], "leaves nothing of the logs"),
    ],
)
def test_bad_inputs_write_nothing(run, plays, tmp_path, options, message):
    command = ("fit-users", "plays.csv", "-o", "u", *COLUMNS, *options)
    result = run(*command, code=cli.USAGE)
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "u").exists()
