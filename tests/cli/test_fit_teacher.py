"""`userlogfeat fit-teacher`: from logs and audio to a table of features."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from userlogfeat import FeatureLookup
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.factor_files import Factors, read_factors, write_factors


@pytest.mark.slow
def test_the_whole_way(run, tmp_path, monkeypatch, musicnn):
    """Logs and audio of a planted corpus -> factors -> a saved teacher -> a table.

    The estimates of held-out tracks must be near the factors that the logs
    give them: nearer than those of other tracks.
    """
    corpus = make_listening_corpus(
        500, 300, duration=3.0, folder=tmp_path / "corpus", random_state=0
    )
    monkeypatch.chdir(tmp_path)
    run(
        "fit-cf", "corpus/logs.csv", "--count", "count", "--alpha", "5", "-o", "factors"
    )
    frame = pl.read_csv("corpus/catalogue.csv")
    frame.head(260).write_csv("corpus/train.csv")
    run("fit-teacher", "corpus/train.csv", "factors", "-o", "teacher")
    held_out = corpus.audio[260:]
    run("extract", *held_out, "-o", "t", "--weights", "teacher", "--layer", "embedding")
    assert "CFRegressor" in run("info", "teacher").stdout
    near = run("nearest-artists", held_out[0], "--weights", "teacher", "-k", "3").stdout
    assert near.splitlines()[0] == held_out[0]
    ids = set(read_factors("factors").item_ids.astype(str))
    assert len({line.split()[-1] for line in near.splitlines()[1:]} & ids) == 3
    assert "40 ok" in run("info", "t").stdout.replace("ok: 40", "40 ok")
    estimates = FeatureLookup("t", scale=False).transform(held_out)
    factors = read_factors("factors")
    rows, Y = corpus.catalogue.align(factors.item_factors, factors.item_ids)
    truth = Y[np.isin(rows, np.arange(260, 300))]

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    cosines = unit(estimates) @ unit(truth).T
    ranks = (cosines < np.diag(cosines)[:, None]).mean(axis=1)
    assert ranks.mean() > 0.65


def test_a_network_is_trained_on_spectrograms(run, tmp_path, monkeypatch):
    make_listening_corpus(60, 24, folder=tmp_path / "corpus", random_state=0)
    monkeypatch.chdir(tmp_path)
    run("fit-cf", "corpus/logs.csv", "--count", "count", "--factors", "4", "-o", "f")
    options = ["--network", "se_cnn", "--set", "channels=8", "--epochs", "1"]
    options += ["--set", "duration=7.6", "--checkpoint", "kept", "--quiet"]
    run("fit-teacher", "corpus/catalogue.csv", "f", "-o", "teacher", *options)
    shown = run("info", "teacher").stdout
    assert "se_cnn" in shown
    assert "block5" in shown
    assert list((tmp_path / "kept").iterdir()) == []  # the training has ended


def test_by_artist_needs_no_items(run, clips):
    """The catalogue had to have a column of items, of which no use was made."""
    factors = np.ones((1, 2), np.float32)
    write_factors("f", Factors(["u"], factors, ["Nico"], factors))
    Path("tracks.csv").write_text("clip,artist\nclips/0.wav,Can\n")
    arguments = ("fit-teacher", "tracks.csv", "f", "-o", "teacher")
    assert "--item item" in run(*arguments, code=2).stderr
    message = run(*arguments, "--by", "artist", code=2).stderr
    assert "is of an artist that the logs know" in message  # read, and aligned
