"""The audio branch: shapes, contexts and relevance against loops."""

import math

import pytest
import torch

from userlogfeat.frontends import FRONTENDS
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.metric import (
    LOOKUP_RANGE,
    ContextMean,
    ListenersAndAudio,
    MetricCNN,
)
from userlogfeat.training import seeded


@pytest.fixture
def network():
    with seeded(0):
        return MetricCNN(8, channels=6, pools=(4, 2), n_units=5).eval()


def clips(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("seconds", "n_frames"), [(3, 130), (10, 431)])
def test_the_papers_contexts_fit(seconds, n_frames):
    front_end = LogMelSpectrogram(FRONTENDS["chen2021"])
    assert front_end.n_frames(seconds * 22050) == n_frames
    with seeded(0):
        network = MetricCNN(128)
    assert network.min_frames == 128 <= n_frames
    assert network.penultimate(clips(2, 128, n_frames)).shape == (2, 40)
    assert len(network.convs) + 1 == 5


def test_the_last_layer_is_not_rectified(network):
    assert (network(clips(50, 8, 8)) < 0).any()


def test_the_network_against_its_layers_one_by_one(network):
    """In the order of the paper: convolution, ReLU, max-pooling."""
    x = clips(3, 8, 19)
    network.mean.copy_(torch.arange(8.0))
    network.scale.copy_(torch.arange(1.0, 9.0))
    h = torch.stack([(x[:, f] - f) / (f + 1) for f in range(8)], dim=1)
    for conv, pool in zip(network.convs, (4, 2), strict=True):
        h = conv(h).relu()
        n = h.shape[2] // pool
        h = torch.stack(
            [h[:, :, i * pool : (i + 1) * pool].amax(2) for i in range(n)], dim=2
        )
    expected = network.last(h).amax(dim=2)
    torch.testing.assert_close(network(x), expected)


def test_least_frames(network):
    assert network(clips(1, 8, 8)).shape == (1, 5)
    with pytest.raises(ValueError, match=r"8 bands, 8 frames or more.*longer context"):
        network(clips(1, 8, 7))
    with pytest.raises(ValueError, match=r"shape \(1, 9, 8\), expected \(clips, 8"):
        network(clips(1, 9, 8))
    with pytest.raises(ValueError, match=r"shape \(8, 8\)"):
        network(clips(8, 8))


def test_contexts_against_a_loop(network):
    x = clips(3, 8, 35)  # three contexts of 10 frames, and 5 frames that are left out
    expected = []
    for clip in x:
        units = []
        for first in (0, 10, 20):
            unit = network(clip[None, :, first : first + 10])[0]
            units.append(unit / unit.norm())
        expected.append(sum(units) / 3)
    contexts = ContextMean(network, 10)
    assert contexts.min_frames == 10
    torch.testing.assert_close(contexts.penultimate(x), torch.stack(expected))
    assert (contexts.penultimate(x).norm(dim=1) <= 1 + 1e-6).all()


def test_one_context_is_of_unit_length(network):
    x = clips(4, 8, 10)
    computed = ContextMean(network, 10).penultimate(x)
    torch.testing.assert_close(computed, torch.nn.functional.normalize(network(x)))


def test_short_clips_are_repeated(network):
    x = clips(2, 8, 4)
    contexts = ContextMean(network, 10)
    filled = torch.cat([x, x, x[:, :, :2]], dim=2)
    torch.testing.assert_close(contexts.penultimate(x), contexts.penultimate(filled))


def test_relevance_against_a_loop():
    rows, users = clips(4, 3), clips(2, 3, seed=1)
    rows[3] = 0
    audio = torch.nn.Module()
    audio.penultimate = lambda x: x
    network = ListenersAndAudio(audio, users)
    chosen, places = torch.tensor([1, 0, 1]), torch.tensor([[0, 2], [1, 3], [2, 2]])
    found = network.relevance(rows, chosen, places)
    for b in range(3):
        for j in range(2):
            u, v = users[chosen[b]].tolist(), rows[places[b, j]].tolist()
            dot = sum(p * q for p, q in zip(u, v, strict=True))
            length = math.sqrt(sum(p * p for p in u) * sum(q * q for q in v))
            expected = dot / length if length else 0.0
            assert found[b, j].item() == pytest.approx(expected, abs=1e-6)


def test_users_are_learned_only_from_a_lookup_table(network):
    with seeded(0):
        lookup = ListenersAndAudio(network, 1000, 5)
    assert lookup.users.shape == (1000, 5)
    assert lookup.users.requires_grad
    assert lookup.users.abs().max() <= LOOKUP_RANGE
    given = ListenersAndAudio(network, torch.ones(7, 5))
    assert not given.users.requires_grad
    assert "users" not in given.state_dict()
