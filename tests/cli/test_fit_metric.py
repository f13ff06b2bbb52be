"""`userlogfeat fit-metric`, `recommend`: tones, and who likes them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from userlogfeat import FeatureTable, MetricEmbedder, cli
from userlogfeat.factor_files import write_side
from userlogfeat.recommendation.users import USERS, read_digest, read_users

RATE = 22050
TINY = ("--set", "channels=8", "--set", "duration=3")
SMALL = (*TINY, "--batch-size", 32, "--epochs", 3)
FEW = ("--min-liked", 3, "--min-disliked", 3)


def write_tone(path, hertz, rng):
    time = np.arange(round(3.0 * RATE)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * hertz * time)
    soundfile.write(path, tone + 0.02 * rng.normal(size=len(time)), RATE)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """24 tracks, low and high by turns; people who play the one kind or the other.

    Then six new tracks, and two new people.
    """
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    for part, numbers in (("old", range(24)), ("new", range(24, 30))):
        (folder / part).mkdir()
        for i in numbers:
            hertz = rng.uniform(80, 200) * (20 if i % 2 else 1)
            write_tone(folder / part / f"{i}.wav", hertz, rng)
    clips = {"clip": [f"old/{i}.wav" for i in range(24)], "track": range(24)}
    artists = {"artist": [f"a{i // 2}" for i in range(24)]}
    pl.DataFrame(clips | artists).write_csv(folder / "tracks.csv")
    new = {"clip": [f"new/{i}.wav" for i in range(24, 30)], "track": range(24, 30)}
    pl.DataFrame(new).write_csv(folder / "new.csv")
    rows = [
        (user, 2 * item + user % 2, round(rng.uniform(0.8, 1), 2), 0)
        for user in range(40)
        for item in rng.choice(12, 6, replace=False).tolist()
    ]
    rows += [
        (user, 2 * item + 1 - user % 2, round(rng.uniform(0, 0.2), 2), 1)
        for user in range(40)
        for item in rng.choice(12, 4, replace=False).tolist()
    ]
    names = ["user", "item", "share", "skip"]
    plays = pl.DataFrame(rows, names, orient="row").with_columns(whole=1)
    plays.write_csv(folder / "plays.csv")
    plays.filter(pl.col("skip") == 0).write_csv(folder / "liked.csv")
    feedback = plays.with_columns(up=1 - pl.col("skip"), down=pl.col("skip"))
    feedback.write_csv(folder / "feedback.csv")
    newcomers = {"user": [90, 90, 91, 91, 91], "item": [0, 2, 1, 3, 5]}
    pl.DataFrame(newcomers).write_csv(folder / "newcomers.csv")
    return folder


@pytest.fixture
def work(world, tmp_path, monkeypatch):
    """The world's folder, in a copy to write to."""
    shutil.copytree(world, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")


def share_right(frame):
    """Share of users whose recommendation is of their own kind."""
    own = frame.filter(pl.col("user") % 2 == pl.col("item") % 2)
    return own.height / frame.height


def test_the_whole_way(run, work):
    """Logs -> users -> a model -> new tracks for them, and for new people."""
    run(
        "fit-users",
        "liked.csv",
        "-o",
        "users",
        "--set",
        "n_units=8",
        "--epochs",
        8,
        "-q",
    )
    command = ("fit-metric", "tracks.csv", "plays.csv", "--catalogue-item", "track")
    rule = ("--feedback", "played_ratio", "--played", "share", "--length", "whole")
    rule += ("--liked-from", 0.75, "--disliked-to", 0.25)
    command += ("--users", "users", *SMALL, *FEW, *rule)
    result = run(*command, "-o", "m")
    assert "240 liked, 160 disliked; played_ratio" in result.stdout
    assert "24 of 24 clips trained the model in m (best of 3 epochs: " in result.stdout
    text = run("info", "m").stdout
    assert "MetricEmbedder" in text
    assert "160 disliked; played_ratio: liked from 0.75, disliked up to 0.25>" in text
    known = MetricEmbedder.load("m").users_
    np.testing.assert_array_equal(read_users("m")[1], known)
    assert config()["training_data"]["users_digest"] == read_digest("users")

    names = ("--catalogue", "new.csv", "--catalogue-item", "track")
    result = run("recommend", "m", "new", "-o", "new.parquet", "-k", 1, *names)
    assert "40 recommendations, of 6 items for 40 users, in new.parquet" in (
        result.stdout
    )
    assert share_right(pl.read_parquet("new.parquet")) > 0.9

    run("extract", "new", "-o", "t", "--weights", "m")
    assert FeatureTable("t").users_digest == read_digest("users")
    run("recommend", "m", "users", "-o", "old.csv", "-k", 1)
    assert share_right(pl.read_csv("old.csv")) > 0.9
    options = ("--history", "newcomers.csv", "-k", 3, *names)
    result = run("recommend", "m", "t", "-o", "welcome.csv", *options)
    assert "Note" not in result.stderr
    frame = pl.read_csv("welcome.csv")
    assert frame["user"].to_list() == [90] * 3 + [91] * 3
    assert share_right(frame) == 1


def test_looked_up_users_and_drawn_dislikes(run, work):
    command = ("fit-metric", "tracks.csv", "liked.csv", "--catalogue-item", "track")
    quick = (*TINY, "--epochs", 1, *FEW, "--set", "n_units=4")
    result = run(*command, *quick, "-o", "m")
    assert "(240 of them sampled, not expressed)" in result.stdout
    model = MetricEmbedder.load("m")
    ids, users = read_users("m")
    assert ids.tolist() == list(range(40))
    np.testing.assert_array_equal(users, model.users_[model.drawn_users_])
    assert "sampled" in config()["training_data"]["feedback"]
    run("recommend", "m", "new", "-o", "r.csv")
    assert pl.read_csv("r.csv").height == 40 * 6
    Path("new/bad.wav").write_bytes(b"")
    result = run("recommend", "m", "new", "-o", "b.csv", code=cli.SOME_FAILED)
    assert "EmptyAudioError" in result.stderr
    assert Path("b.csv").read_text() == Path("r.csv").read_text()
    Path("new/bad.wav").unlink()
    sizes = {"embedding": 4}
    with FeatureTable("other").writer(fingerprint="x", layer_sizes=sizes) as writer:
        writer.add("a.wav", layers={"embedding": np.ones(4)})
    with pytest.warns(UserWarning, match="table other was made by another model"):
        run("recommend", "m", "other", "-o", "o.csv")
    new = ("--history", "newcomers.csv", "-o", "n.csv")
    result = run("recommend", "m", "new", *new, code=cli.USAGE)
    assert "learned one by one (a lookup table)" in result.stderr
    run(*command, *quick, "-o", "m2", "--quiet")
    np.testing.assert_array_equal(read_users("m2")[1], users)


def config(folder="m"):
    return json.loads(Path(folder, "config.json").read_text())


def test_explicit_likes_of_artists(run, work):
    """Logs of artists: verdicts go to all their clips."""
    feedback = pl.read_csv("feedback.csv").with_columns(
        item=pl.format("a{}", pl.col("item") // 2)
    )
    feedback.unique(["user", "item"], maintain_order=True).write_csv("feedback.csv")
    command = ("fit-metric", "tracks.csv", "feedback.csv", "--catalogue-item", "track")
    rule = ("--feedback", "explicit", "--liked", "up", "--disliked", "down")
    low = ("--min-liked", 1, "--min-disliked", 1)
    quick = (*TINY, "--epochs", 1, *low, "--set", "n_units=4")
    run(*command, *rule, *quick, "-o", "m", "--by", "artist", "-q")
    more = ("--by", "artist", "--min-liked", 5)
    result = run(*command, *rule, *quick, "-o", "m2", *more)
    n_kept = int(re.search(r"<Feedback: (\d+) users", result.stdout)[1])
    assert n_kept < 40
    few = f"{40 - n_kept} of 40 users were left out: fewer than 5 likes or 1 dislikes"
    assert few in result.stdout
    assert "explicit" in config()["training_data"]["feedback"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--feedback", "explicit"], "no likes or dislikes. Name their columns"),
        (["--feedback", "skips"], "without --skipped: name the column"),
        (["--feedback", "skips", "--played", "share"], "--played, which --feedback sk"),
        (["--feedback", "counts"], "every pair of the logs has the same count"),
        (["--sample-dislikes", "0"], "played knows no dislikes"),
        (["--min-liked", "99"], "--min-liked 99"),
        (["--users", "new"], "no users in new"),
        (["--users", "others"], r"None of the 40 users .* is among the 2 known"),
        (["--set", "context=2.5"], "leave nothing of less. Pass a longer context"),
        (["--clip", "path"], "Got --clip path, but the catalogue has"),
    ],
)
def test_bad_inputs_write_nothing(run, work, tmp_path, options, message):
    write_side("others", USERS, ["x", "y"], np.eye(2), made_by={})
    command = ("fit-metric", "tracks.csv", "liked.csv", "--catalogue-item", "track")
    result = run(*command, *FEW, "-o", "m", "-q", *options, code=cli.USAGE)
    assert re.search(message, " ".join(result.stderr.split())), result.stderr
    assert not (tmp_path / "w" / "m").exists()
