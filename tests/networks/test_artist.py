"""The network of artists: the paper's sizes, layers one by one, contexts."""

import numpy as np
import pytest
import torch
from torch import nn

from userlogfeat.frontends import FRONTENDS
from userlogfeat.networks import conv1d
from userlogfeat.networks.artist import (
    PAPER_DROPOUT,
    ArtistCNN,
    ArtistSoftmax,
    DiscriminantContexts,
)
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.training import seeded


@pytest.fixture
def network():
    with seeded(0):
        return ArtistCNN(8, channels=6, pools=(4, 2), n_units=5).eval()


def clips(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_table_1():
    """From (128, 129) to 256, row by row, and the weights of each convolution."""
    assert LogMelSpectrogram(FRONTENDS["park2017"]).n_frames(3 * 22050) == 129
    with seeded(0):
        network = ArtistCNN(128).eval()
    shapes = [tuple(maps.shape) for maps in network.stages(clips(2, 128, 129))]
    assert shapes == [(2, 128, 32), (2, 128, 8), (2, 128, 2), (2, 128, 1), (2, 256, 1)]
    assert [tuple(conv.weight.shape) for conv in network.convs] == [
        (128, 128, 4),
        (128, 128, 4),
        (128, 128, 4),
        (128, 128, 2),
        (256, 128, 1),
    ]
    assert len(network.norms) == 5
    assert network.penultimate(clips(2, 128, 129)).shape == (2, 256)
    assert PAPER_DROPOUT == 0.5


def test_the_network_against_its_layers_one_by_one(network):
    """In the order of the paper: convolution, batch norm, ReLU, max-pooling."""
    x = clips(3, 8, 19)
    rng = np.random.default_rng(0)
    network.mean.copy_(torch.arange(8.0))
    network.scale.copy_(torch.arange(1.0, 9.0))
    for norm in network.norms:  # as after training, signs included
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.data.copy_(torch.from_numpy(rng.normal(size=tensor.shape)))
        norm.running_var.copy_(torch.from_numpy(rng.uniform(1, 2, norm.bias.shape)))
    h = torch.stack([(x[:, f] - f) / (f + 1) for f in range(8)], dim=1)
    for conv, norm, width in zip(network.convs, network.norms, (4, 2, 1), strict=True):
        before, n_frames = (width - 1) // 2, h.shape[2]
        padded = torch.zeros(3, h.shape[1], n_frames + width - 1)
        padded[:, :, before : before + n_frames] = h
        columns = [
            torch.einsum("bfk,ofk->bo", padded[:, :, t : t + width], conv.weight)
            for t in range(n_frames)
        ]
        h = torch.stack(columns, dim=2)
        h = (h - norm.running_mean[:, None]) / (norm.running_var + norm.eps).sqrt()[
            :, None
        ]
        h = (h * norm.weight[:, None] + norm.bias[:, None]).relu()
        n = h.shape[2] // width
        h = torch.stack(
            [h[:, :, i * width : (i + 1) * width].amax(2) for i in range(n)], dim=2
        )
    torch.testing.assert_close(network(x), h.amax(dim=2), rtol=1e-4, atol=1e-5)


def test_bad_input(network):
    assert network(clips(1, 8, 8)).shape == (1, 5)
    with pytest.raises(ValueError, match=r"8 bands, 8 frames or more.*longer context"):
        network(clips(1, 8, 7))
    with pytest.raises(ValueError, match=r"shape \(1, 9, 8\), expected \(clips, 8"):
        network(clips(1, 9, 8))


def test_dropout_is_on_the_units_and_in_training_only(network):
    with seeded(0):
        softmax = ArtistSoftmax(network, 5, 3, dropout=0.5)
    x = clips(400, 8, 8)
    plain = softmax.eval().units(x)
    torch.testing.assert_close(plain, network.penultimate(x))
    torch.testing.assert_close(softmax(x), softmax.softmax(plain))
    softmax.dropout.train()
    with seeded(1):
        left = softmax.units(x)
    kept = left != 0
    torch.testing.assert_close(left[kept], 2 * plain[kept])
    share = kept[plain > 0].float().mean().item()
    assert share == pytest.approx(0.5, abs=0.05)


def test_clips_are_means_of_contexts_then_projected(network):
    with seeded(0):
        whole = DiscriminantContexts(network, 10, n_inner=5, n_units=2)
    x = clips(3, 8, 35)  # three contexts, and 5 frames that are left out
    means = []
    for clip in x:
        parts = [network(clip[None, :, first : first + 10])[0] for first in (0, 10, 20)]
        means.append(sum(parts) / 3)
    means = torch.stack(means)
    computed = whole.layers(x, ("context_mean", "embedding"))
    assert list(computed) == ["context_mean", "embedding"]
    torch.testing.assert_close(computed["context_mean"], means)
    torch.testing.assert_close(computed["embedding"], whole.discriminant(means))
    torch.testing.assert_close(whole.penultimate(x), computed["embedding"])
    assert whole.layer_sizes == {"context_mean": 5, "embedding": 2}
    assert whole.min_frames == 10
    short = clips(2, 8, 4)
    filled = torch.cat([short, short, short[:, :, :2]], dim=2)
    torch.testing.assert_close(whole.penultimate(short), whole.penultimate(filled))


def test_long_clips_are_processed_in_parts(network, monkeypatch):
    x, sizes = clips(2, 8, 64), []
    expected = conv1d.encode_contexts(network, x, 8)

    class Noting(nn.Module):
        def penultimate(self, x):
            sizes.append(len(x))
            return network.penultimate(x)

    monkeypatch.setattr(conv1d, "MOST_CONTEXTS", 6)
    torch.testing.assert_close(conv1d.encode_contexts(Noting().eval(), x, 8), expected)
    assert sizes == [6, 6, 4]
    sizes.clear()
    conv1d.encode_contexts(Noting(), x, 8)
    assert sizes == [16]  # while it trains, batch norm needs all
