"""`userlogfeat recommend`: files of it, and what it refuses."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from userlogfeat import FeatureTable, cli
from userlogfeat.factor_files import read_factors, read_plays
from userlogfeat.recommendation import mean_histories
from userlogfeat.recommendation.users import read_digest
from userlogfeat.tables import rename_clips


@pytest.fixture
def work(run, tmp_path, monkeypatch):
    """Plays of two circles, their factors, and a table of clips of the same length."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        (user, 10 * (user % 2) + item)
        for user in range(40)
        for item in rng.choice(10, 6, replace=False).tolist()
    ]
    pl.DataFrame(rows, ["who", "track"], orient="row").write_csv("plays.csv")
    columns = ("--user", "who", "--item", "track")
    run("fit-cf", "plays.csv", "-o", "f", *columns, "--factors", 2, "-q")
    sizes = {"embedding": 2}
    notes = {"fingerprint": "x", "users_digest": read_digest("f")}
    with FeatureTable("t").writer(layer_sizes=sizes, **notes) as writer:
        for clip, row in {"a.wav": [1.0, 0.0], "b.wav": [0.0, 1.0]}.items():
            writer.add(clip, layers={"embedding": np.array(row)})
    return columns


def test_items_of_the_own_circle_that_are_new_to_the_user(run, work):
    command = ("recommend", "f", "f", "-k", 4, *work)
    result = run(*command, "-o", "r.csv", "--exclude", "plays.csv")
    assert "160 recommendations, of 20 items for 40 users, in r.csv" in result.stdout
    assert "240 pairs are not recommended: played, by plays.csv" in result.stdout
    frame = pl.read_csv("r.csv")
    plays = set(pl.read_csv("plays.csv").rows())
    assert not plays & set(frame.select("user", "item").rows())
    own = (frame["user"] % 2) == (frame["item"] >= 10).cast(pl.Int64)
    assert own.all()
    assert frame["rank"].to_list() == [1, 2, 3, 4] * 40
    again = run(*command, "-o", "again.csv")  # fit-cf kept what they played
    assert "240 pairs are not recommended: played, by f" in again.stdout
    assert pl.read_csv("again.csv").equals(frame)
    assert frame["basis"].unique().to_list() == ["known"]
    command += ("--include-played",)
    assert run(*command, "-o", "all.csv", "--quiet").output == ""
    assert set(plays) & set(pl.read_csv("all.csv").select("user", "item").rows())


def test_clips_by_their_own_names_leave_nothing_out(run, work):
    """0 pairs, and the tracks that a user knows were recommended without a word."""
    command = ("recommend", "f", "t", *work)
    name = "(its items are no clips: --catalogue says which was played)"
    assert f"0 pairs are not recommended: played, by f {name}" in (
        run(*command, "-o", "r.csv").stdout
    )
    pl.DataFrame({"clip": ["a.wav", "b.wav"], "item": [0, 99]}).write_csv("c.csv")
    named = run(*command, "-o", "n.csv", "--catalogue", "c.csv").stdout
    assert name not in named


def test_a_catalogue_elsewhere_of_files_that_are_gone(run, work):
    """The features are in the table: one file that was gone ended the command."""
    Path("music").mkdir()
    names = {"clip": ["a.wav", "b.wav", "c.wav"], "item": [0, 1, 2]}
    pl.DataFrame(names).write_csv("music/tracks.csv")
    command = ("recommend", "f", "t", *work, "--catalogue", "music/tracks.csv")
    refused = run(*command, "-o", "r.csv", code=cli.USAGE).stderr
    assert "None of the 2 clips (['a.wav', 'b.wav']) has an item" in refused
    assert "userlogfeat table rename TABLE --base FOLDER" in refused
    rename_clips("t", base="music")
    run(*command, "-o", "r.csv", "--include-played")
    assert set(pl.read_csv("r.csv")["item"]) == {0, 1}


def test_new_people_are_folded_in(run, work):
    new = {"who": ["ann", "ann", "bob", "bob"], "track": [0, 1, 10, 11]}
    pl.DataFrame(new).write_csv("new.csv")
    command = ("recommend", "f", "f", *work, "--history", "new.csv", "-k", 8)
    result = run(*command, "-o", "r.parquet")
    assert "4 pairs are not recommended: played, by new.csv" in result.stdout
    frame = pl.read_parquet("r.parquet")
    assert sorted(frame.filter(user="ann")["item"]) == list(range(2, 10))
    assert sorted(frame.filter(user="bob")["item"]) == list(range(12, 20))
    result = run(*command, "-o", "p.parquet", "--include-played")
    assert "left out" not in result.stdout
    frame = pl.read_parquet("p.parquet")
    assert {0, 1} & set(frame.filter(user="ann")["item"])


def test_users_are_their_histories_where_audio_is_ranked(run, work):
    """The mean of what they played by default; factors where these are asked for."""
    scores = {}
    for by in ("auto", "history", "factors"):
        run("recommend", "f", "t", "-o", f"{by}.csv", "--users-by", by)
        scores[by] = pl.read_csv(f"{by}.csv").sort("user", "item")["score"].to_numpy()
    factors = read_factors("f")
    means = mean_histories(read_plays("f"), factors.item_factors)
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(scores["history"], expected.ravel(), rtol=1e-5)
    np.testing.assert_array_equal(scores["auto"], scores["history"])
    users = factors.user_factors
    users = users / np.linalg.norm(users, axis=1, keepdims=True)
    np.testing.assert_allclose(scores["factors"], users.ravel(), rtol=1e-5)


def test_a_folder_that_keeps_no_plays(run, work):
    """As Spark writes it: nothing is left out, and that is said."""
    Path("f/plays.parquet").unlink()
    result = run("recommend", "f", "f", "-o", "r.csv")
    assert "Note: f does not keep what its users played" in result.stderr
    result = run("recommend", "f", "f", "-o", "p.csv", "--include-played")
    assert "Note" not in result.stderr
    arguments = ("recommend", "f", "t", "-o", "h.csv", "--users-by", "history")
    assert "f does not keep that" in run(*arguments, code=2).stderr


def frame_share(item):
    """Share of the users of more.csv who played an item."""
    plays = pl.read_csv("more.csv")
    return plays.filter(track=item)["who"].n_unique() / plays["who"].n_unique()


def test_new_people_of_whom_no_item_is_known(run, work):
    """They got the first items in order, with score 0."""
    extra = {"who": list(range(100, 130)), "track": [17] * 30}  # the popular one
    plays = pl.concat([pl.read_csv("plays.csv"), pl.DataFrame(extra)])
    plays.write_csv("more.csv")
    run("fit-cf", "more.csv", "-o", "g", *work, "--factors", 2, "-q")
    new = {"who": ["ann", "ann", "bob", "cleo"], "track": [0, 1, 999, 998]}
    pl.DataFrame(new).write_csv("new.csv")
    command = ("recommend", "g", "g", "-o", "r.csv", *work, "--history", "new.csv")
    result = run(*command, "-k", 3, "-q")
    text = " ".join(result.stderr.split())
    assert "Note: Nothing is known of 2 of 3 users: no item of theirs is among" in text
    frame = pl.read_csv("r.csv")
    assert frame["user"].to_list() == ["ann"] * 3 + ["bob"] * 3 + ["cleo"] * 3
    bob = frame.filter(user="bob")
    assert bob["item"][0] == 17
    assert bob["score"][0] == pytest.approx(frame_share(17), rel=1e-6)
    assert bob["item"].to_list() == frame.filter(user="cleo")["item"].to_list()
    assert (frame.filter(user="ann")["item"] < 10).all()
    assert frame["basis"].to_list() == ["history"] * 3 + ["popularity"] * 6


def test_logs_that_exclude_nothing(run, work):
    """Logs of clips by other names left everything in, without a word."""
    command = ("recommend", "f", "t", *work, "--exclude", "plays.csv", "-q")
    result = run(*command, "-o", "r.csv")
    text = " ".join(result.stderr.split())
    assert "Note: plays.csv has none of these users with any" in text
    assert "None of the 20 items of the logs ([0, 1, 2]) is among the 2 kno" in text


def test_a_table_is_compared_by_cosine(run, work):
    run("recommend", "f", "t", "-o", "r.csv")
    assert pl.read_csv("r.csv")["score"].abs().max() <= 1 + 1e-6
    run("recommend", "f", "t", "-o", "r2.csv", "--metric", "dot")
    dot, cosine = pl.read_csv("r2.csv"), pl.read_csv("r.csv")
    assert dot["item"].to_list() == cosine["item"].to_list()
    assert dot["score"].to_list() != cosine["score"].to_list()


def test_faiss_writes_the_same(run, work, judge):
    judge("faiss")
    command = ("recommend", "f", "f", "-k", 4, *work, "--exclude", "plays.csv")
    run(*command, "-o", "exact.csv")
    run(*command, "-o", "faiss.csv", "--search", "approximate")
    exact, found = pl.read_csv("exact.csv"), pl.read_csv("faiss.csv")
    assert exact.drop("score").equals(found.drop("score"))
    np.testing.assert_allclose(exact["score"], found["score"], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["f", "f", "-o", "r.txt"], "'r.txt', expected a name that ends in .parquet"),
        (["f", "f", "-o", "no/r.csv"], "There is no folder no for r.csv"),
        (["f", "f", "-o", "f"], "Got the output 'f', expected a name"),
        (["f", "f", "-o", "plays.csv"], "plays.csv exists. Pass another name, or --ov"),
        (["t", "f", "-o", "r.csv"], "no users in t.*fit-users"),
        (["f", "gone.wav", "-o", "r.csv"], "no model that could embed .* --weights"),
        (["f", "f", "-o", "r.csv", "-k", "0"], "'-k'"),
        (["f", "f", "-o", "r.csv", "--history", "gone.csv"], "no file or folder gone"),
        (["f", "f", "-o", "r.csv", "--exclude", "plays.csv"], "no column 'user'"),
        (["f", "f", "-o", "r.csv", "--demographics", "gone.csv"], "gone.csv is not"),
        (["f", "t", "-o", "r.csv", "--weights", "./none"], "no model './none'"),
        (["f", "f", "-o", "r.csv", "--search", "annoy"], "'--search'"),
        (["f", "f", "t", "-o", "r.csv"], "f is a folder of .* which is ranked alone"),
    ],
)
def test_wrong_use(run, work, arguments, message):
    result = run("recommend", *arguments, code=cli.USAGE)
    assert re.search(message, " ".join(result.stderr.split())), result.stderr
    assert not Path("r.csv").exists()


@pytest.mark.parametrize("factors", [2, 3])
def test_users_of_another_training(run, work, factors):
    """Of one width, they were mixed without a word."""
    more = ("--factors", factors, "--seed", 1, "-q")
    run("fit-cf", "plays.csv", "-o", "g", *work, *more)
    for items in ("f", "t"):
        result = run("recommend", "g", items, "-o", "r.csv", "-q", code=cli.USAGE)
        assert "users in g are of different trainings" in result.stderr
    assert not Path("r.csv").exists()


def test_artists_are_recommended_by_their_clips(run, work):
    """Of a catalogue with tracks of artists: one row per artist, not one per clip."""
    catalogue = {"clip": ["a.wav", "b.wav"], "item": [1, 2], "artist": ["Nico"] * 2}
    pl.DataFrame(catalogue).write_csv("c.csv")
    Path("a.wav").touch()
    Path("b.wav").touch()
    command = ("recommend", "f", "t", "--catalogue", "c.csv", "-k", 2, *work[:2])
    result = run(*command, "--by", "artist", "-o", "artists.csv")
    assert "40 recommendations, of 1 items for 40 users" in result.stdout
    assert set(pl.read_csv("artists.csv")["item"]) == {"Nico"}
    result = run(*command, "-o", "items.csv", "--include-played")
    assert "80 recommendations, of 2 items for 40 users" in result.stdout
    assert set(pl.read_csv("items.csv")["item"]) == {1, 2}
