"""A pretrained encoder from outside: one class, one registration, and all works."""

import json

import numpy as np
import pytest
import torch

from userlogfeat import CFRegressor, UserLogEmbedder, extract
from userlogfeat.encoders import Encoding, get_encoder, register_encoder
from userlogfeat.encoders.registry import FACTORIES
from userlogfeat.tables import FeatureTable
from userlogfeat.weights import ModelError, load_model

DATA = {"description": "planted", "licence": "none", "non_commercial": False}
RATE, SAMPLES = 8000, 400  # of a frame: 20 frames per second


class RandomEncoder:
    """One random linear map of each frame of a waveform, as a pretrained network."""

    revision, license, frame_rate = "1", "none", RATE / SAMPLES
    sample_rate, min_samples = RATE, SAMPLES
    layer_sizes = {"hidden": 6, "last": 4}

    def __init__(self, name="random", *, seed=0):
        self.name, self.settings = name, {"seed": seed}
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(SAMPLES, 6, generator=generator) / SAMPLES**0.5
        self.weights_hash = f"seed {seed}"

    def encode(self, waveforms, lengths, layers, precision="fp32"):
        frames = waveforms.unfold(1, SAMPLES, SAMPLES) @ self.weight
        hidden = frames.abs()
        layers = {"hidden": hidden, "last": hidden[..., :4].square()}
        mask = torch.arange(frames.shape[1]) < (lengths // SAMPLES)[:, None]
        return Encoding(layers, mask)


@pytest.fixture(autouse=True)
def registered():
    register_encoder("random", RandomEncoder)
    yield
    FACTORIES.pop("random")


@pytest.fixture
def clips():
    """Twenty noises of two seconds, whose loudness decides the factors."""
    rng = np.random.default_rng(0)
    level = np.linspace(0.05, 0.5, 20)
    X = level[:, None] * rng.normal(size=(20, 2 * RATE))
    return X.astype(np.float32), np.column_stack([level, 1 - level])


@pytest.fixture
def teacher(clips):
    regressor = CFRegressor(
        encoder="random", head_layer="hidden", alphas=(1.0,), random_state=0
    )
    return regressor.fit(*clips)


def test_a_head_learns_on_it(teacher, clips):
    assert teacher.score(*clips) > 0.9
    assert teacher.set_params(layer=("last", "embedding")).transform(
        clips[0]
    ).shape == (
        20,
        6,
    )


def test_an_object_needs_no_name(clips):
    settings = {"head_layer": "last", "alphas": (1.0,), "random_state": 0}
    by_name = CFRegressor(encoder="random", **settings).fit(*clips)
    by_object = CFRegressor(encoder=RandomEncoder(), **settings).fit(*clips)
    np.testing.assert_array_equal(
        by_name.predict(clips[0]), by_object.predict(clips[0])
    )


def test_saved_loaded_and_embedded(teacher, clips, tmp_path):
    teacher.save(tmp_path, training_data=DATA)
    tensors = load_model(tmp_path).network.state_dict()
    assert set(tensors) == {"head.0.weight", "head.0.bias"}  # none of the encoder's
    expected = teacher.predict(clips[0])
    again = CFRegressor.load(tmp_path)
    assert again.encoder == "random"
    np.testing.assert_allclose(again.predict(clips[0]), expected, rtol=1e-6)
    embedder = UserLogEmbedder(tmp_path, layer=("hidden", "embedding"), scale=False)
    found = embedder.fit_transform(clips[0])
    np.testing.assert_allclose(found[:, 6:], expected, rtol=1e-6)


def test_other_weights_are_refused(teacher, tmp_path):
    teacher.save(tmp_path, training_data=DATA)
    spec = json.loads((tmp_path / "config.json").read_text())["network"]
    assert spec["encoder"]["weights_hash"] == "seed 0"
    register_encoder("random", lambda name, seed: RandomEncoder(name, seed=seed + 1))
    load_model.__globals__["_load"].cache_clear()
    with pytest.raises(ModelError, match=r"encoder .*'seed 0'.*'seed 1'"):
        load_model(tmp_path)


def test_an_encoder_that_is_not_registered_is_named(teacher, tmp_path):
    teacher.save(tmp_path, training_data=DATA)
    load_model.__globals__["_load"].cache_clear()
    maker = FACTORIES.pop("random")
    with pytest.raises(ModelError, match=r"an encoder that is not here.*'random'"):
        load_model(tmp_path)
    register_encoder("random", maker)


def test_files_are_extracted(teacher, clips, tmp_path):
    import soundfile

    teacher.save(tmp_path / "model", training_data=DATA)
    paths = [tmp_path / f"{row}.wav" for row in range(3)]
    for path, clip in zip(paths, clips[0], strict=False):
        soundfile.write(path, clip, RATE, subtype="FLOAT")
    embedder = UserLogEmbedder(tmp_path / "model", layer="embedding", scale=False)
    extract(paths, tmp_path / "table", embedder=embedder)
    rows = FeatureTable(tmp_path / "table").lookup(
        [str(p) for p in paths], ["embedding"]
    )
    np.testing.assert_allclose(
        rows.layers["embedding"], teacher.predict(clips[0][:3]), rtol=1e-5
    )


def test_a_package_may_declare_it(monkeypatch):
    """An entry point is found by name; a prefix stands for all names after it."""
    from importlib.metadata import EntryPoint

    point = EntryPoint(
        "outside:", "userlogfeat.encoders.musicnn:hop_seconds", "userlogfeat.encoders"
    )
    monkeypatch.setattr(
        "userlogfeat.encoders.registry.entry_points", lambda group: [point]
    )
    register_encoder("random:", RandomEncoder)
    assert get_encoder("random:large", seed=3).weights_hash == "seed 3"
    FACTORIES.pop("random:")
    with pytest.raises(TypeError):  # found, though it makes no encoder
        get_encoder("outside:name")


def test_what_is_missing_is_named():
    with pytest.raises(TypeError, match="has no revision, weights_hash, license"):
        get_encoder(type("Half", (), {"name": "half"})())
    with pytest.raises(ValueError, match="Got encoder='nothing', expected one of MSD_"):
        get_encoder("nothing")
