"""The loop that the vectorised WARP is timed against learns as it does."""

import sys
from pathlib import Path

import numpy as np
import pytest

from userlogfeat.training.shared_maps import LabelledFrames, fit_shared_maps

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def speed(monkeypatch):
    """The script as a module, on little data."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import shared_latent_speed

    monkeypatch.setattr(shared_latent_speed, "N_FRAMES", 1000)
    monkeypatch.setattr(shared_latent_speed, "N_BANDS", 30)
    monkeypatch.setattr(shared_latent_speed, "N_LABELS", 12)
    monkeypatch.setattr(shared_latent_speed, "LR", 0.1)
    monkeypatch.setattr("userlogfeat.training.shared_maps.MIN_ROUNDS", 1)
    yield shared_latent_speed
    sys.modules.pop("shared_latent_speed")


def test_both_learn_alike(speed):
    data, maps, first = speed.make_data(), speed.make_maps(), speed.make_maps()
    V, W = first.features.numpy().copy(), first.labels[0].numpy().copy()
    labels_of = [
        data.labels.indices[data.labels.indptr[c] : data.labels.indptr[c + 1]].tolist()
        for c in data.clips.tolist()
    ]
    nothing = LabelledFrames(data.frames[:0], data.clips[:0], data.labels)
    rng = np.random.default_rng(0)
    losses = [
        speed.loop_epoch(V, W, data.frames.numpy(), labels_of, rng) for _ in range(6)
    ]
    settings = {"max_epochs": 6, "patience": 6, "batch_size": 100, "lr": 0.1}
    history = fit_shared_maps([data], [nothing], maps, **settings)
    ours = [entry["train_loss"] for entry in history]
    np.testing.assert_allclose(ours, losses, rtol=0.3)  # the draws differ
    assert ours[-1] < 0.7 * ours[0]
