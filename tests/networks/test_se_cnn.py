"""The network of Lee et al. 2019 against a plain one, and its shapes by hand."""

import pytest
import torch
import torch.nn.functional as F

from userlogfeat.networks.se_cnn import PAPER_POOLS, SECNN

SMALL = ((2, 2), (1, 2), (2, 1), (1, 1))  # pools for quick tests


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def plain_averages(network, x):
    """Global averages of all blocks, with torch's own layers in the paper's order."""
    y, averages = x[:, None], []
    for block, pool in zip(
        network.blocks.values(), (*network.pools, (1, 1)), strict=True
    ):
        for norm, conv in ((block.norm1, block.conv1), (block.norm2, block.conv2)):
            mean, variance = norm.running_mean.clone(), norm.running_var.clone()
            y = F.batch_norm(
                y, mean, variance, norm.weight, norm.bias, training=network.training
            )
            y = F.conv2d(y.relu(), conv.weight, conv.bias, padding=1)
        y = y * block.excitation(y.mean((2, 3)))[:, :, None, None]
        averages.append(y.mean((2, 3)))
        y = F.max_pool2d(y, pool)
    return averages


def randomised(network):
    """With batch norms that are not the identity."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
            module.running_mean.normal_(std=0.3)
    return network


def distance(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("size", [(96, 1280), (49, 333)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_plain_network(size, training):
    network = randomised(SECNN(10, channels=16)).train(training)
    x = 2 + torch.randn(3, *size)
    expected = plain_averages(network, x)
    h = network.embedding(expected[-1])
    assert distance(network(x), network.output(h)) < 1e-4
    computed = network.layers(x, tuple(network.layer_sizes))
    assert distance(computed.pop("embedding"), h) < 1e-4
    for name, values in zip(computed, expected, strict=True):
        assert distance(computed[name], values) < 1e-4, name


@pytest.mark.parametrize("training", [True, False])
def test_gradients_equal_those_of_the_plain_network(training):
    network = randomised(SECNN(3, channels=8, pools=SMALL)).double().train(training)
    x = torch.randn(2, 9, 21, dtype=torch.float64, requires_grad=True)
    wanted = [x, *network.parameters()]
    last = plain_averages(network, x)[-1]
    expected = torch.autograd.grad(
        network.output(network.embedding(last)).square().sum(), wanted
    )
    found = torch.autograd.grad(network(x).square().sum(), wanted)
    largest = max(gradient.abs().max() for gradient in expected).item()
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10 * largest)


def test_shapes_from_96_bands_and_1280_frames_to_40_units():
    network = SECNN(channels=32)
    shapes = [(96, 1280), (24, 256), (8, 64), (4, 16), (2, 4)]
    maps = torch.randn(2, 1, 96, 1280)
    for block, shape, pool in zip(
        network.blocks.values(), shapes, (*PAPER_POOLS, (2, 4)), strict=True
    ):
        assert tuple(maps.shape[2:]) == shape
        maps, averages = block(maps, pool)
        assert averages.shape == (2, 32)
    assert network.embedding(averages).shape == (2, 40)
    assert network(torch.randn(2, 96, 1280)).shape == (2, 40)
    assert SECNN(7, channels=32)(torch.randn(2, 96, 1280)).shape == (2, 7)
    assert network.output is None


@pytest.mark.parametrize("channels", [32, 64, 128, 256])
def test_number_of_parameters(channels):
    c, squeezed = channels, channels // 8
    conv2 = 9 * c * c + c
    excitation = (c * squeezed + squeezed) + (squeezed * c + c)
    first = 2 * 1 + 9 * 1 * c + 2 * c + conv2 + excitation
    other = 2 * c + 9 * c * c + 2 * c + conv2 + excitation
    expected = first + 4 * other + (c * 40 + 40) + (40 * 10 + 10)
    network = SECNN(10, channels=channels)
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("size", [(47, 320), (48, 319), (2, 5)])
def test_too_small_an_input_is_refused(size):
    network = SECNN(channels=8)
    assert (network.min_bands, network.min_frames) == (48, 320)
    message = (
        rf"{size[0]} bands and {size[1]} frames, expected at least 48 bands and 320 "
        r"frames: pools=.*pools=\(\(4, 2\), \(3, 2\), \(2, 2\), \(2, 2\)\)"
    )
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(1, *size))
    assert network.eval()(torch.zeros(1, 48, 320)).shape == (1, 40)
    short = SECNN(channels=8, pools=((4, 2), (3, 2), (2, 2), (2, 2))).eval()
    assert short(torch.zeros(1, 48, 16)).shape == (1, 40)


def test_input_without_three_axes_is_refused():
    with pytest.raises(ValueError, match=r"\(96, 1280\), expected \(clips, bands"):
        SECNN(channels=8)(torch.zeros(96, 1280))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"channels": 0}, "Got channels=0, expected a positive"),
        ({"channels": 8.0}, "Got channels=8.0"),
        ({"n_units": True}, "Got n_units=True"),
        ({"n_outputs": -1}, "Got n_outputs=-1"),
        ({"pools": (4, 5)}, r"Got pools=\(4, 5\), expected pairs"),
        ({"pools": ()}, r"Got pools=\(\), expected pairs"),
        ({"pools": ((4, 0),)}, r"Got pools=\(\(4, 0\),\), expected pairs"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        SECNN(**parameters)


def test_a_clip_gives_the_same_alone_as_in_a_batch():
    network = randomised(SECNN(channels=16)).eval()
    x = torch.randn(5, 96, 400) * torch.tensor([1, 1e3, 1e-3, 10, 1])[:, None, None]
    batch = network(x)
    for i in range(5):
        assert distance(network(x[i : i + 1])[0], batch[i]) < 1e-5
    assert torch.equal(network(x), batch)


@pytest.mark.parametrize("channels", [1, 4, 12, 20])
def test_channels_need_not_be_a_multiple_of_the_ratio(channels):
    network = SECNN(channels=channels, pools=SMALL)
    width = network.blocks["block1"].excitation.squeeze.out_features
    assert width == {1: 1, 4: 1, 12: 1, 20: 2}[channels]
    assert network(torch.randn(2, 8, 8)).shape == (2, 40)


def test_names_of_the_state():
    names = list(SECNN(2, channels=8).state_dict())
    assert "blocks.block1.conv1.weight" in names
    assert "blocks.block5.excitation.squeeze.bias" in names
    assert names[-4:] == [
        "embedding.weight",
        "embedding.bias",
        "output.weight",
        "output.bias",
    ]
    state = SECNN(2, channels=8).state_dict()
    assert all(tensor.is_contiguous() for tensor in state.values())  # safetensors


def test_layers():
    network = SECNN(channels=8, pools=SMALL).eval()
    assert network.layer_sizes == {
        **{f"block{i}": 8 for i in range(1, 6)},
        "embedding": 40,
    }
    x = torch.randn(2, 8, 8)
    computed = network.layers(x, ("embedding", "block2"))
    assert list(computed) == ["embedding", "block2"]
    torch.testing.assert_close(computed["embedding"], network.penultimate(x))
    with pytest.raises(
        ValueError, match=r"Got names=\['block6'\], expected some of bl"
    ):
        network.layers(x, ["block6"])


@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_reach_every_parameter(autocast):
    network = SECNN(3, channels=32, pools=SMALL)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        outputs = network(torch.randn(4, 16, 32))
    outputs.float().square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("training", [True, False])
def test_bf16_is_close_to_fp32(training):
    network = randomised(SECNN(channels=32)).train(training)
    x = torch.randn(2, 48, 320)
    expected = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert distance(network(x).float(), expected) < 2e-2


def test_learns_in_bf16_to_distinguish_low_from_high():
    network = SECNN(2, channels=8, pools=SMALL)
    labels = torch.arange(16) % 2
    x = torch.rand(16, 8, 32)
    x[labels == 0, :4] += 1
    x[labels == 1, 4:] += 1
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(network(x).float(), labels)
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        assert (network.eval()(x).argmax(1) == labels).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("training", [True, False])
def test_gpu_equals_cpu(training):
    network = randomised(SECNN(channels=16)).double().train(training)
    x = torch.randn(2, 96, 400, dtype=torch.float64)
    expected = network(x)
    assert distance(network.cuda()(x.cuda()).cpu(), expected) < 1e-6
