"""Encoders in everything that uses them: heads, saved models, students, commands."""

import json
import shutil
from importlib import metadata

import numpy as np
import pytest
import soundfile
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from userlogfeat import (
    ArtistEmbedder,
    CFRegressor,
    EncoderEmbedder,
    FeatureTable,
    KDStudentClassifier,
    MetricEmbedder,
    SharedLatentEmbedder,
    UserLogEmbedder,
)
from userlogfeat.encoders import encoder_identity, get_encoder
from userlogfeat.weights import ModelError, find_model, load_model, set_encoder

RATE, KINDS = 16000, ("wav2vec2", "hubert", "ast", "whisper", "clap")
DATA = {"description": "planted", "licence": "none", "non_commercial": False}


@pytest.fixture(scope="module")
def clips():
    """Sixteen noises, whose loudness decides the factors."""
    rng = np.random.default_rng(0)
    level = np.linspace(0.02, 0.5, 16)
    X = level[:, None] * rng.normal(size=(16, RATE // 2))
    X[::2] = np.cumsum(X[::2], axis=1) / 20  # darker
    return X.astype(np.float32), np.column_stack([level, 1 - level])


def write(X, folder):
    paths = [folder / f"{row}.wav" for row in range(len(X))]
    for path, clip in zip(paths, X, strict=True):
        soundfile.write(path, clip, RATE, subtype="FLOAT")
    return paths


@pytest.fixture(params=KINDS)
def name(request, tiny_models):
    return tiny_models.names[request.param]


def test_a_head_is_trained_saved_and_loaded(name, clips, tmp_path):
    X, y = clips
    teacher = CFRegressor(encoder=name, alphas=(1.0,), random_state=0).fit(X, y)
    expected = teacher.predict(X)
    teacher.save(tmp_path, training_data=DATA)
    spec = json.loads((tmp_path / "config.json").read_text())["network"]
    assert spec["encoder"] == encoder_identity(get_encoder(name))
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 20_000  # head alone
    again = CFRegressor.load(tmp_path)
    assert again.encoder == name
    np.testing.assert_allclose(again.predict(X), expected, rtol=1e-5)
    found = UserLogEmbedder(tmp_path, layer="embedding", scale=False).transform(X)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_model_that_was_changed_is_refused(tiny_models, clips, tmp_path):
    X, y = clips
    encoder = tiny_models.save_model("hubert", tmp_path / "encoder")
    CFRegressor(encoder=encoder, alphas=(1.0,), random_state=0).fit(X, y).save(
        tmp_path / "model", training_data=DATA
    )
    tiny_models.save_model("hubert", tmp_path / "encoder", seed=7)
    with pytest.raises(ModelError, match=r"was trained on the encoder"):
        load_model(tmp_path / "model")


def test_an_encoder_may_move(tiny_models, clips, tmp_path, monkeypatch):
    """Tables and models know it by what it holds; models are told where it is."""
    X, y = clips
    old = tiny_models.save_model("hubert", tmp_path / "old")
    paths = write(X[:3], tmp_path)
    cache = tmp_path / "cache"
    features = EncoderEmbedder(old, cache=cache).transform(paths)
    teacher = CFRegressor(encoder=old, alphas=(1.0,), random_state=0).fit(X, y)
    teacher.save(tmp_path / "model", training_data=DATA)
    fingerprint, expected = (
        load_model(tmp_path / "model").fingerprint,
        teacher.predict(X),
    )
    new = f"hf:{(tmp_path / 'old').rename(tmp_path / 'new')}"
    moved = EncoderEmbedder(new, cache=cache)
    monkeypatch.setattr(moved, "iter_features", None)  # nothing is decoded again
    np.testing.assert_array_equal(moved.transform(paths), features)
    other = shutil.copytree(tmp_path / "model", tmp_path / "other")  # not in memory yet
    with pytest.raises(ModelError, match=r"set_encoder\(MODEL_FOLDER, 'hf:NEW_PLACE'"):
        load_model(other)
    set_encoder(other, new)
    assert load_model(other).fingerprint == fingerprint
    again = CFRegressor.load(other)
    assert again.encoder == new
    np.testing.assert_allclose(again.predict(X), expected, rtol=1e-5)
    stranger = tiny_models.save_model("hubert", tmp_path / "stranger", seed=7)
    with pytest.raises(ModelError, match=r"was trained on the encoder"):
        set_encoder(other, stranger)
    with pytest.raises(ModelError, match=r"names no encoder"):
        set_encoder(find_model("lastfm2k-musicnn"), new)


def test_a_student_learns_from_it(tiny_models, clips, tmp_path):
    X, y = clips
    CFRegressor(encoder=tiny_models.names["hubert"], alphas=(1.0,), random_state=0).fit(
        X, y
    ).save(tmp_path, training_data=DATA)
    student = KDStudentClassifier(
        tmp_path,
        channels=4,
        pools=((4, 2), (3, 2), (2, 2), (2, 2)),
        duration=0.5,
        max_epochs=1,
        random_state=0,
    )
    assert student.fit(X, y[:, 0] > 0.2).predict(X).shape == (16,)


LIKES = csr_array(np.where(np.arange(16)[:, None] % 4 < [1, 2, 3], 1, -1))
ON_FEATURES = {
    "metric": (MetricEmbedder("lookup", n_units=4, network="mlp", max_epochs=1), LIKES),
    "artist": (
        ArtistEmbedder(n_components=2, n_units=6, network="mlp", max_epochs=1),
        np.arange(16) % 4,
    ),
    "shared": (
        SharedLatentEmbedder(4, network="mlp", max_epochs=1),
        np.array(["quiet", "loud"]).repeat(8),
    ),
    "student": (
        KDStudentClassifier(network="mlp", max_epochs=1),
        np.array(["quiet", "loud"]).repeat(8),
    ),
}


@pytest.mark.parametrize("kind", ON_FEATURES)
def test_others_learn_from_its_features(tiny_models, clips, tmp_path, kind):
    """In a pipeline; saved, `UserLogEmbedder` is the step behind the encoder."""
    estimator, y = ON_FEATURES[kind]
    encoder = EncoderEmbedder(tiny_models.names["hubert"], layer=("layer_1", "mean"))
    estimator = clone(estimator).set_params(random_state=0)
    pipeline = make_pipeline(encoder, estimator).fit(clips[0], y)
    embedded = pipeline[:-1].transform(clips[0])
    assert embedded.shape == (16, 16)
    assert pipeline[-1].n_features_in_ == 16
    expected = pipeline[-1].transform(embedded)
    np.testing.assert_allclose(pipeline.transform(clips[0]), expected)
    pipeline[-1].save(tmp_path, training_data=DATA)
    saved = UserLogEmbedder(tmp_path, layer="embedding", scale=False)
    found = make_pipeline(encoder, saved).fit_transform(clips[0])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_command_extracts(name, clips, tmp_path):
    from typer.testing import CliRunner

    from userlogfeat.cli.application import app

    paths = write(clips[0][:2], tmp_path)
    command = ["extract", *map(str, paths), "-o", str(tmp_path / "table"), "-q"]
    done = CliRunner().invoke(app, [*command, "--encoder", name, "--layer", "all"])
    assert done.exit_code == 0, done.output
    embedder = EncoderEmbedder(name, layer="all")
    layers = list(embedder.layer_sizes)
    rows = FeatureTable(tmp_path / "table").lookup([str(p) for p in paths], layers)
    found = np.concatenate([rows.layers[layer] for layer in layers], axis=1)
    np.testing.assert_allclose(found, embedder.transform(paths), rtol=1e-5, atol=1e-6)


def test_a_submission_brings_the_encoder(tiny_models, clips, tmp_path):
    """Its files, and the pins of what it needs beside this library's own."""
    from userlogfeat.mirex import load_pipeline
    from userlogfeat.mirex.package import write_package

    name = tiny_models.names["hubert"]
    pipeline = make_pipeline(EncoderEmbedder(name, layer=1), LogisticRegression())
    folder = write_package(tmp_path / "to hand in", pipeline=pipeline, measure=None)
    pins = (folder / "requirements.txt").read_text().splitlines()
    assert f"transformers=={metadata.version('transformers')}" in pins
    assert f"tokenizers=={metadata.version('tokenizers')}" in pins  # in turn
    assert "transformers" in (folder / "README.md").read_text()
    assert "transformers" in (folder / "lib" / "environment.sh").read_text()
    handed_in = load_pipeline(folder / "pipeline" / "pipeline.json")
    assert handed_in[0].encoder == f"hf:{folder / 'pipeline' / 'weights'}"
    np.testing.assert_array_equal(
        handed_in[0].transform(clips[0]), pipeline[0].transform(clips[0])
    )
