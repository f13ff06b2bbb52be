"""The block of `SECNN`, and its first block in pieces, against plain layers."""

import pytest
import torch
import torch.nn.functional as F

from userlogfeat.networks import tiled_convolutions as tiled
from userlogfeat.networks.blocks import DoubleConv, SqueezeExcitation
from userlogfeat.networks.tiled_convolutions import Moments, PooledConvolutions


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def plain_norm(norm, x, training):
    """Batch norm of (B, C, F, T) by its formula."""
    if training:
        mean = x.mean((0, 2, 3))
        variance = x.var((0, 2, 3), correction=0)
    else:
        mean, variance = norm.running_mean, norm.running_var
    x = (x - mean[:, None, None]) / (variance + norm.eps).sqrt()[:, None, None]
    return x * norm.weight[:, None, None] + norm.bias[:, None, None]


def plain_block(block, x):
    """A block as Table 1 draws it: (B, C, F, T), before pooling."""
    for norm, conv in ((block.norm1, block.conv1), (block.norm2, block.conv2)):
        x = plain_norm(norm, x, block.training).relu()
        x = F.conv2d(x, conv.weight, conv.bias, padding=1)
    return x * block.excitation(x.mean((2, 3)))[:, :, None, None]


def a_block(n_inputs, channels, dtype):
    """A block whose batch norms are not the identity."""
    block = DoubleConv(n_inputs, channels).to(dtype)
    for norm in (block.norm1, block.norm2):
        for values in (norm.weight.data, norm.running_var):
            values.uniform_(0.5, 2)
        for values in (norm.bias.data, norm.running_mean):
            values.normal_(std=0.5)
    return block


def gradients(parameters, *outputs):
    """Of a sum in which every output has a weight of its own."""
    loss = sum((y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum() for y in outputs)
    return torch.autograd.grad(loss, parameters)


@pytest.mark.parametrize("channels", [3, 8, 17, 64])
def test_squeeze_excitation_is_its_formula(channels):
    module = SqueezeExcitation(channels)
    width = max(1, channels // 8)
    assert module.squeeze.weight.shape == (width, channels)
    averages = torch.randn(2, channels)
    u, v = module.squeeze, module.expand
    for row, factors in zip(averages, module(averages), strict=True):
        hidden = [
            max(0.0, sum(u.weight[j, i] * row[i] for i in range(channels)) + u.bias[j])
            for j in range(width)
        ]
        for i in range(channels):
            z = sum(v.weight[i, j] * hidden[j] for j in range(width)) + v.bias[i]
            torch.testing.assert_close(factors[i], 1 / (1 + torch.exp(-z)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("n_inputs", [1, 4])
@pytest.mark.parametrize("size", [(12, 40), (13, 43)])
def test_block_equals_plain_layers(monkeypatch, n_inputs, training, size):
    monkeypatch.setattr(tiled, "PIECE_BYTES", 12 * 8 * 4 * 16)  # of 16 frames
    block = a_block(n_inputs, 8, torch.float64).train(training)
    x = torch.randn(3, n_inputs, *size, dtype=torch.float64, requires_grad=True)
    maps, averages = block(x, (4, 5))
    y = plain_block(block, x)
    expected = F.max_pool2d(y, (4, 5)), y.mean((2, 3))
    torch.testing.assert_close((maps, averages), expected)
    wanted = [x, *block.parameters()]
    torch.testing.assert_close(
        gradients(wanted, maps, averages), gradients(wanted, *expected)
    )
    maps, averages = block(x)
    assert maps is None
    torch.testing.assert_close(averages, expected[1])


@pytest.mark.parametrize("n_inputs", [1, 4])
def test_running_statistics_are_those_of_batch_norm(n_inputs):
    block = a_block(n_inputs, 8, torch.float64)
    norms = [torch.nn.BatchNorm2d(n).double() for n in (n_inputs, 8)]
    for norm, own in zip(norms, (block.norm1, block.norm2), strict=True):
        norm.load_state_dict(own.state_dict())
    for _ in range(3):
        x = 2 + torch.randn(2, n_inputs, 12, 20, dtype=torch.float64)
        norms[1](block.conv1(norms[0](x).relu()))
        block(x, (4, 5))
    for norm, own in zip(norms, (block.norm1, block.norm2), strict=True):
        torch.testing.assert_close(own.state_dict(), norm.state_dict())


def test_moments_are_those_of_the_neighbourhoods(monkeypatch):
    monkeypatch.setattr(tiled, "PIECE_BYTES", 10 * 5 * 8 * 3)  # of 3 frames
    x = torch.randn(2, 5, 7, dtype=torch.float64, requires_grad=True)
    moments = Moments.apply(x)
    padded = F.pad(x.detach(), (1, 1, 1, 1))
    expected = torch.zeros(10, 10, dtype=torch.float64)
    for clip in padded:
        for band in range(5):
            for frame in range(7):
                window = clip[band : band + 3, frame : frame + 3].flatten()
                p = torch.cat([window, torch.ones(1)])
                expected += torch.outer(p, p) / x.numel()
    torch.testing.assert_close(moments, expected)
    assert torch.autograd.gradcheck(Moments.apply, x)


def test_pooled_convolutions_have_true_gradients():
    def pooled(x, first, second):
        return PooledConvolutions.apply(x, first, second, (2, 2), torch.float64)

    shapes = (2, 4, 5), (2, 10), (2, 2, 3, 3)
    inputs = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(pooled, inputs)


@pytest.mark.parametrize("autocast", [False, True])
def test_threads_change_no_number(monkeypatch, autocast):
    block, x = a_block(1, 8, torch.float32), torch.randn(5, 1, 12, 40)

    def learn():
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            outputs = block(x, (4, 5))
        return *outputs, *gradients(list(block.parameters()), *outputs)

    alone = learn()
    monkeypatch.setattr("userlogfeat.networks.threads.n_cores", lambda: 2)
    for found, expected in zip(learn(), alone, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_bf16_is_close_and_in_its_dtype():
    block = a_block(1, 16, torch.float32)
    x = torch.randn(2, 1, 24, 60)
    expected, _ = block(x, (4, 5))
    with torch.autocast("cpu", torch.bfloat16):
        maps, _ = block(x, (4, 5))
    assert maps.dtype == torch.bfloat16
    assert (maps - expected).norm() / expected.norm() < 1e-2


@pytest.mark.parametrize("size", [(12, 40), (13, 43), (4, 5), (97, 9)])
def test_pieces_cover_every_frame_and_column_once(monkeypatch, size):
    monkeypatch.setattr(tiled, "PIECE_BYTES", 5000)
    first = torch.zeros(8, 10)
    pieces = list(tiled._pieces(size, (4, 5), first))
    frames = [t for piece, _ in pieces for t in range(size[1])[piece]]
    columns = [t for _, piece in pieces for t in range(size[1] // 5)[piece]]
    assert frames == [*range(size[1])]
    assert columns == [*range(size[1] // 5)]


@pytest.mark.parametrize("training", [True, False])
def test_convolutions_are_channels_last_on_every_device(training):
    """One map in: its layout would be a guess, which cuDNN takes for planes."""
    block, layouts = DoubleConv(1, 4).train(training), []
    block.conv2.register_forward_pre_hook(
        lambda _, inputs: layouts.append(
            inputs[0].is_contiguous(memory_format=torch.channels_last)
        )
    )
    block(torch.randn(2, 1, 5, 7))
    assert layouts == [True]


def test_a_norm_that_only_scales_is_in_the_convolution():
    block = DoubleConv(3, 4).eval()
    for norm in (block.norm1, block.norm2):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
        torch.nn.init.normal_(norm.bias)
    x = torch.randn(2, 3, 5, 7)
    expected = block.norm2(block.conv1(x)).relu()
    torch.testing.assert_close(block._convolve_first(x), expected, rtol=1e-4, atol=1e-5)
