"""`userlogfeat fit-artists`: tones of artists, low to high."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from userlogfeat import ArtistEmbedder, UserLogEmbedder, cli

RATE = 22050
SMALL = ("--set", "channels=8", "--set", "n_units=8", "--epochs", 3)
COLUMNS = ("--clip", "file", "--item", "file", "--artist", "by")
N_SONGS = 7


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Seven songs of each of three artists, one of a fourth, one of nobody."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    rows = []
    for number, hertz in enumerate((150, 700, 3000)):
        rows += [(f"a{number}", hertz * rng.uniform(0.8, 1.2)) for _ in range(N_SONGS)]
    rows += [("one-hit wonder", 9000), (None, 500)]
    time = np.arange(3 * RATE) / RATE
    for i, (_, hertz) in enumerate(rows):
        tone = 0.3 * np.sin(2 * np.pi * hertz * time)
        tone += 0.02 * rng.normal(size=len(time))
        soundfile.write(folder / f"{i}.wav", tone, RATE)
    table = {"file": [f"{i}.wav" for i in range(len(rows))]}
    table |= {"by": [artist for artist, _ in rows]}
    pl.DataFrame(table).write_csv(folder / "tracks.csv")
    return folder


@pytest.fixture
def work(world, tmp_path, monkeypatch):
    """The world's folder, in a copy to write to."""
    shutil.copytree(world, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")


def test_the_whole_way(run, work):
    command = ("fit-artists", "tracks.csv", *COLUMNS, *SMALL)
    result = run(*command, "-o", "m", "--licence", "mine")
    assert "21 of 23 clips, of 3 artists, trained the model in m" in result.stdout
    assert re.search(r"the artist of \d+% of 3 clips of test songs", result.stdout)
    model = ArtistEmbedder.load("m")
    assert model.classes_.tolist() == ["a0", "a1", "a2"]
    clips = [f"{i}.wav" for i in range(21)]
    assert model.score(clips, np.repeat(["a0", "a1", "a2"], N_SONGS)) > 0.9
    config = json.loads(Path("m/config.json").read_text())
    data = config["training_data"]
    assert data["description"] == "21 clips of 3 artists of tracks.csv"
    assert data["licence"] == "mine"
    assert "ArtistEmbedder" in run("info", "m").stdout
    run("extract", "0.wav", "1.wav", "-o", "t", "--weights", "m", "-q")
    embedder = UserLogEmbedder("m", layer="embedding")
    assert embedder.transform(clips[:2]).shape == (2, 2)
    again = run(*command, "-o", "m", "-q", code=cli.USAGE)
    assert "not empty" in again.stderr


def test_songs_of_several_clips(run, work):
    """Two clips a song: what is tested on are whole songs."""
    table = pl.read_csv("tracks.csv").head(21)
    song = pl.int_range(21) // 2 * 100
    table = table.with_columns(song=song, by=pl.format("b{}", song // 600))
    table.write_csv("songs.csv")
    columns = ("--clip", "file", "--artist", "by", "--item", "song")
    result = run("fit-artists", "songs.csv", *columns, *SMALL, "-o", "m")
    assert "21 of 21 clips, of 2 artists" in result.stdout
    assert "of 2 clips of test songs (chance: 50.0%)" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min-songs", "8"], "No artist has 8 songs or more: 4 artists have 22"),
        (["--set", "context=0.5"], "Pass a longer context"),
        (["--artist", "who"], "Got --artist who, but the catalogue has"),
        (["--set", "duration=1"], "shorter than --set context=3.0"),
    ],
)
def test_bad_inputs_write_nothing(run, work, options, message):
    result = run(
        "fit-artists", "tracks.csv", *COLUMNS, "-o", "m", "-q", *options, code=cli.USAGE
    )
    assert re.search(message, " ".join(result.stderr.split())), result.stderr
    assert not Path("m").exists()
