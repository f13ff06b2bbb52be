"""Interfaces of HEAR and X-ARES: their published checks, and features as ours."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from userlogfeat import CFRegressor, UserLogEmbedder
from userlogfeat.export import hear
from userlogfeat.export.xares import UserLogEncoder
from userlogfeat.frontends import FrontEnd

DATA = {"description": "planted", "licence": "CC0", "non_commercial": False}
RATE = 16000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model of 16 kHz."""
    folder = tmp_path_factory.mktemp("small")
    front_end = FrontEnd(sample_rate=RATE, n_fft=512, hop=400, n_bands=12)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, RATE)).astype(np.float32)
    CFRegressor(
        channels=4,
        pools=((2, 2), (2, 3)),
        frontend=front_end,
        duration=1.0,
        max_epochs=1,
        random_state=0,
    ).fit(X, rng.normal(size=(6, 3))).save(folder, training_data=DATA)
    return str(folder)


def test_scenes_are_our_features(folder):
    model = hear.load_model(folder)
    assert model.sample_rate == RATE
    assert model.scene_embedding_size == 3
    noise = torch.rand(4, int(2.74 * RATE), generator=torch.manual_seed(0)) * 2 - 1
    found = hear.get_scene_embeddings(noise, model)
    assert (found.dtype, found.shape) == (torch.float32, (4, 3))
    expected = UserLogEmbedder(folder, layer="embedding", duration=2.74)
    np.testing.assert_allclose(found, expected.transform(noise.numpy()), rtol=1e-5)


@pytest.mark.parametrize("seconds", [1.07, 1.98, 4.0])
def test_timestamps_are_regular(seconds, folder):
    model = hear.load_model(folder)
    noise = torch.rand(2, int(seconds * RATE)) * 2 - 1
    found, times = hear.get_timestamp_embeddings(noise, model)
    assert found.shape == (2, times.shape[1], model.timestamp_embedding_size)
    np.testing.assert_allclose(np.diff(times), 50, atol=1e-3)
    assert times[0, 0] == 0
    assert 1000 * seconds - 50 <= times[0, -1] <= 1000 * seconds + 1e-3


def test_a_timestamp_is_the_window_around_it(folder):
    model = hear.load_model(folder)
    noise = torch.rand(1, 2 * RATE) - 0.5
    found, _ = hear.get_timestamp_embeddings(noise, model)
    length = model.network.min_samples
    start = 20 * 800 - length // 2  # 20 times 50 ms
    window = noise[:, start : start + length]
    torch.testing.assert_close(found[:, 20], model.embed(window))


def test_hear_s_own_checks(folder, judge, monkeypatch):
    if "tensorflow" not in sys.modules:  # its checks of torch models do without
        stand_in = ModuleType("tensorflow")
        stand_in.Module = type("Module", (), {})
        monkeypatch.setitem(sys.modules, "tensorflow", stand_in)
    validate = judge("hearvalidator.validate")
    monkeypatch.setattr("warnings.warn", lambda *args, **kwargs: None)
    validate.ValidateModel("userlogfeat.export.hear", folder, "cpu")()


def test_x_ares_gets_frames(folder):
    encoder = UserLogEncoder(folder)
    assert isinstance(encoder, torch.nn.Module)
    assert type(encoder).__name__.endswith("Encoder")
    assert encoder.sampling_rate == RATE
    noise = torch.randn(2, 50000)
    frames = encoder(noise)
    assert frames.shape == (2, 7, encoder.output_dim)  # 3.125 s, every 0.5 s
    assert encoder(noise[0]).shape == (1, 7, encoder.output_dim)


def test_x_ares_s_own_checks(folder, judge):
    checker = judge("xares.audio_encoder_checker")
    assert checker.check_audio_encoder(UserLogEncoder(folder))


def test_a_model_on_an_encoder_of_waveforms(tiny_models, tmp_path):
    """It was refused as one of arrays. A time has a second of audio around it."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(8, RATE)) * np.linspace(0.01, 0.3, 8)[:, None]).astype("f4")
    CFRegressor(encoder=tiny_models.names["hubert"], alphas=(1.0,)).fit(
        X, rng.normal(size=(8, 3))
    ).save(tmp_path, training_data=DATA)
    model, clips = hear.load_model(str(tmp_path)), torch.from_numpy(X[:2])
    expected = UserLogEmbedder(tmp_path, layer="embedding").transform(X[:2])
    np.testing.assert_allclose(
        hear.get_scene_embeddings(clips, model), expected, rtol=1e-5
    )
    found, _ = hear.get_timestamp_embeddings(clips, model)
    assert found.shape == (2, 21, 3)
    torch.testing.assert_close(found[:, 10], model.embed(clips))  # 0.5 s: the middle
    assert UserLogEncoder(tmp_path, hop=0.5)(clips).shape == (2, 3, 3)
    with pytest.raises(ValueError, match=r"Got hop=1e-09 s, expected a sample"):
        UserLogEncoder(tmp_path, hop=1e-9)


def test_what_is_refused(tmp_path, folder):
    rng = np.random.default_rng(0)
    teacher = CFRegressor("mlp", random_state=0)
    teacher.fit(rng.normal(size=(20, 5)), rng.normal(size=(20, 3)))
    teacher.save(tmp_path, training_data=DATA)
    with pytest.raises(ValueError, match="no audio, so benchmarks of audio"):
        hear.load_model(str(tmp_path))
    with pytest.raises(ValueError, match="expected some of"):
        UserLogEncoder(folder, layer="nothing")
