"""A saved model exported from outside: its plain form goes through torch.export."""

import numpy as np
import pytest
import torch

from userlogfeat import CFRegressor, UserLogEmbedder, load_model
from userlogfeat.encoders import get_encoder

DATA = {"description": "planted", "licence": "none", "non_commercial": False}


def exported(plain, *example):
    """The program that an exporter would write to a file of its format."""
    return torch.export.export(plain, example).module()


def test_the_bundled_model(musicnn):
    model = load_model("lastfm-mpd-musicnn")
    log_mel = 3 * torch.rand(96, 250, generator=torch.Generator().manual_seed(0))
    program = exported(model.plain(), log_mel)
    embedder = UserLogEmbedder(layer="embedding", scale=False)
    expected = embedder.transform(log_mel.numpy()[None])[0]
    np.testing.assert_allclose(program(log_mel), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["MTT_musicnn", "MSD_vgg"])
def test_every_layer_of_an_encoder(name, musicnn):
    encoder = get_encoder(name)
    log_mel = 3 * torch.rand(96, 250, generator=torch.Generator().manual_seed(1))
    layers = tuple(encoder.layer_sizes)
    expected = encoder.encode_spectrograms([log_mel], layers)
    found = encoder.plain()(log_mel)
    assert set(found) == set(layers)
    for layer in layers:
        torch.testing.assert_close(
            found[layer], expected.layers[layer][0], rtol=1e-3, atol=1e-4
        )


def test_a_trained_network(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 16, 40)).astype(np.float32)  # clips, bands, frames
    teacher = CFRegressor(
        channels=4, pools=((2, 2), (2, 2)), max_epochs=1, random_state=0
    )
    teacher.fit(X, rng.normal(size=(6, 3))).save(tmp_path, training_data=DATA)
    program = exported(load_model(tmp_path).plain(), torch.from_numpy(X[0]))
    expected = teacher.predict(X)
    for clip, row in zip(X, expected, strict=True):
        np.testing.assert_allclose(program(torch.from_numpy(clip)), row, atol=1e-5)


def test_a_head_on_features(tmp_path):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(20, 5)).astype(np.float32), rng.normal(size=(20, 3))
    teacher = CFRegressor("mlp", random_state=0).fit(X, Y)
    teacher.save(tmp_path, training_data=DATA)
    program = exported(load_model(tmp_path).plain(), torch.from_numpy(X[0]))
    np.testing.assert_allclose(
        program(torch.from_numpy(X[1])), teacher.predict(X)[1], atol=1e-5
    )
