"""`userlogfeat fit-teacher`: from logs and audio to a table of features."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from userlogfeat import CFRegressor, EncoderEmbedder, FeatureLookup, FeatureTable
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.factor_files import Factors, read_factors, write_factors
from userlogfeat.weights import find_controls

RATE = 16000


@pytest.mark.long
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


def test_features_need_no_audio(run, tmp_path, monkeypatch):
    """Factors that are a linear map of the features, in all forms of files."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 5)).astype(np.float32)
    factors = (features @ rng.normal(size=(5, 3))).astype(np.float32)
    users = np.ones((1, 3), np.float32)
    items = [f"item {i}" for i in range(60)]
    write_factors("f", Factors(["ann"], users, items, factors))
    clips = [f"gone/{i}.wav" for i in range(60)]
    pl.DataFrame({"clip": clips[:50], "item": items[:50]}).write_csv("tracks.csv")
    with FeatureTable("t").writer(fingerprint="x", layer_sizes={"mean": 5}) as writer:
        for clip, row in zip(clips, features, strict=True):
            writer.add(clip, layers={"mean": row})
    shuffled = rng.permutation(60)
    names = [clips[i] for i in shuffled]
    lists = pl.DataFrame({"clip": names, "all": features[shuffled].tolist()})
    lists.write_parquet("lists.parquet")
    columns = {f"x{i}": features[shuffled, i] for i in range(5)}
    pl.DataFrame({"clip": names} | columns).write_csv("columns.csv")
    np.save("rows.npy", features[:50])
    base = ("fit-teacher", "tracks.csv", "f", "-o", "m", "--overwrite", "--set")
    base += ("factor_norm=raw", "--features")
    for source in ("t", "lists.parquet", "columns.csv", "rows.npy"):
        found = json.loads(run(*base, source, "--json").stdout)
        assert found["clips"] == 50
        estimates = CFRegressor.load("m").predict(features[50:])
        np.testing.assert_allclose(estimates, factors[50:], atol=0.2)  # of 2
    Path("gone").mkdir()  # clips start from the folder of the catalogue
    inside = {"clip": [f"{i}.wav" for i in range(50)], "item": items[:50]}
    pl.DataFrame(inside).write_csv("gone/tracks.csv")
    elsewhere = ("fit-teacher", "gone/tracks.csv", *base[2:], "t", "--json")
    assert json.loads(run(*elsewhere).stdout)["clips"] == 50
    pl.DataFrame({"clip": names[:9], "x": names[:9]}).write_csv("few.csv")
    np.save("few.npy", features[:9])
    pl.DataFrame({"clip": names, "x": names}).write_csv("text.csv")
    pl.DataFrame({"clip": [*names, names[0]], "x": 1.0}).write_csv("twice.csv")
    for wrong, message in {
        "few.csv": "has no row for",
        "few.npy": "expected a row of numbers for each of the 50 clips",
        "text.csv": "columns that are not numbers",
        "tracks.csv": "the columns item, which are not features",  # ids became features
        "twice.csv": "several rows for 'gone/",  # the last was taken
    }.items():
        assert message in " ".join(run(*base, wrong, code=2).stderr.split())
    assert "leave one out" in run(*base, "t", "--encoder", "x", code=2).stderr
    assert "of a feature table" in run(*base, "rows.npy", "--layer", "a", code=2).stderr


def test_a_teacher_that_learned_nothing(run, tmp_path, monkeypatch):
    """Features that are noise: all estimates are alike, and that is said."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    items = [f"item {i}" for i in range(60)]
    factors = rng.normal(size=(60, 3)).astype(np.float32)
    write_factors("f", Factors(["ann"], np.ones((1, 3), np.float32), items, factors))
    pl.DataFrame({"clip": items, "item": items}).write_csv("tracks.csv")
    np.save("noise.npy", rng.normal(size=(60, 5)))
    base = ("fit-teacher", "tracks.csv", "f", "-o", "m", "--features", "noise.npy")
    result = run(*base, "--set", "alphas=[1.0, 1e6]", "--controls", "1")
    assert list(map(len, find_controls("m").values())) == [1, 1]
    wrong = ("fit-teacher", "tracks.csv", "f", "-o", "n", "--network", "se_cnn")
    assert "no head apart" in run(*wrong, "--controls", "1", code=2).stderr
    assert "tracks.csv has no column of artists" in result.stderr
    assert "(the strongest tried: estimates are near the mean of all" in result.stdout


def test_a_teacher_is_refitted(run, tmp_path, monkeypatch):
    """Ridges of moved factors: the refitted one has the regularisation of the first."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 5)).astype(np.float32)
    map = rng.normal(size=(5, 3))
    users, items = np.ones((1, 3), np.float32), [f"item {i}" for i in range(60)]
    clips = [f"gone/{i}.wav" for i in range(60)]
    pl.DataFrame({"clip": clips, "item": items}).write_csv("tracks.csv")
    np.save("rows.npy", features)
    moved = map + 0.1 * rng.normal(size=map.shape)
    for folder, part in {"f": map, "later": moved}.items():
        factors = (features @ part).astype(np.float32)
        write_factors(folder, Factors(["ann"], users, items, factors))
    base = ("fit-teacher", "tracks.csv")
    rows = ("--features", "rows.npy")
    raw = ("--set", "factor_norm=raw")
    first = json.loads(run(*base, "f", "-o", "m", *rows, *raw, "--json").stdout)
    again = (*base, "later", "-o", "m", "--overwrite", "--refit", "m")
    found = json.loads(run(*again, *rows, "--json").stdout)
    assert found["regularization"] == first["regularization"]
    assert 0.9 < found["alignment"] < 1
    estimates = CFRegressor.load("m").predict(features)
    np.testing.assert_allclose(estimates, features @ moved, atol=0.3)  # of 9
    for wrong, message in {
        (): "reads features, not audio: pass --features",
        (*rows, "--set", "head=mlp"): "settings stay those of the teacher",
        (*rows, "--cache", "c"): "--cache, which belongs to --refit",
    }.items():
        assert message in " ".join(run(*again, *wrong, code=2).stderr.split())


@pytest.mark.long
def test_a_refit_reads_new_clips_alone(run, tmp_path, monkeypatch, musicnn):
    """The first fills the cache; afterwards the encoder is not asked again."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    factors = (1 + 0.1 * rng.normal(size=(5, 2))).astype(np.float32)
    items = [f"item {i}" for i in range(5)]
    write_factors("f", Factors(["ann"], factors[:1], items, factors))
    clips = [f"{i}.wav" for i in range(5)]
    for i, clip in enumerate(clips):
        soundfile.write(clip, 0.1 * i * rng.normal(size=RATE), RATE)
    catalogue = pl.DataFrame({"clip": clips, "item": items})
    catalogue.write_csv("all.csv")
    catalogue.head(4).write_csv("four.csv")
    run("fit-teacher", "four.csv", "f", "-o", "old", "--set", "alphas=[1.0]")
    again = ("f", "-o", "new", "--overwrite", "--cache", "kept", "--refit", "old")
    run("fit-teacher", "four.csv", *again)
    read = []
    find = EncoderEmbedder.iter_features
    monkeypatch.setattr(
        EncoderEmbedder,
        "iter_features",
        lambda self, X, **kw: read.extend(X) or find(self, X, **kw),
    )
    run("fit-teacher", "all.csv", *again)
    assert [Path(clip).name for clip in read] == ["4.wav"]
    teacher = CFRegressor.load("old")
    teacher.refit(teacher.head_inputs(clips), factors)
    found = CFRegressor.load("new").predict(clips)
    np.testing.assert_allclose(found, teacher.predict(clips), atol=1e-4)
