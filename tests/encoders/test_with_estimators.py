"""Encoders in everything that uses them: heads, saved models, students, commands."""

import json

import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from userlogfeat import (
    CFRegressor,
    EncoderEmbedder,
    FeatureTable,
    KDStudentClassifier,
    UserLogEmbedder,
)
from userlogfeat.encoders import encoder_identity, get_encoder
from userlogfeat.weights import ModelError, load_model

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


def test_a_command_extracts(name, clips, tmp_path):
    from typer.testing import CliRunner

    from userlogfeat.cli.application import app

    paths = [tmp_path / f"{row}.wav" for row in range(2)]
    for path, clip in zip(paths, clips[0], strict=False):
        soundfile.write(path, clip, RATE, subtype="FLOAT")
    command = ["extract", *map(str, paths), "-o", str(tmp_path / "table"), "-q"]
    done = CliRunner().invoke(app, [*command, "--encoder", name, "--layer", "all"])
    assert done.exit_code == 0, done.output
    embedder = EncoderEmbedder(name, layer="all")
    layers = list(embedder.layer_sizes)
    rows = FeatureTable(tmp_path / "table").lookup([str(p) for p in paths], layers)
    found = np.concatenate([rows.layers[layer] for layer in layers], axis=1)
    np.testing.assert_allclose(found, embedder.transform(paths), rtol=1e-5, atol=1e-6)


def test_a_submission_brings_the_encoder(tiny_models, clips, tmp_path):
    from userlogfeat.mirex import load_pipeline
    from userlogfeat.mirex.package import _write_pipeline

    name = tiny_models.names["hubert"]
    pipeline = make_pipeline(EncoderEmbedder(name, layer=1), LogisticRegression())
    _write_pipeline(tmp_path, None, pipeline)
    handed_in = load_pipeline(tmp_path / "pipeline.json")
    assert handed_in[0].encoder == f"hf:{tmp_path / 'weights'}"
    np.testing.assert_array_equal(
        handed_in[0].transform(clips[0]), pipeline[0].transform(clips[0])
    )
