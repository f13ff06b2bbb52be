"""bf16 is fp32 but for rounding, on every processor, or stays fp32."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from userlogfeat.estimators._devices import resolve_precision
from userlogfeat.networks import bf16
from userlogfeat.networks.bf16 import autocast_bf16, keep_right

CPU = torch.device("cpu")


@pytest.mark.parametrize("n_taps", [3, 8, 16, 32])
@pytest.mark.parametrize(("n_channels", "groups"), [(2, 1), (8, 1), (16, 2), (32, 4)])
def test_convolutions_that_some_processors_get_wrong(n_channels, groups, n_taps):
    """oneDNN with AMX: 104 % away with 8 channels in a group and 16 taps."""
    torch.manual_seed(0)
    one = nn.Conv1d(n_channels, 16, n_taps, groups=groups, padding=n_taps // 2)
    two = nn.Conv2d(n_channels, 16, (1, n_taps), groups=groups)
    network, x = nn.Sequential(one), torch.randn(2, n_channels, 100)
    other, image = nn.Sequential(two), x[:, :, None]
    with torch.inference_mode():
        for module, data in ((network, x), (other, image)):
            exact = module(data)
            with autocast_bf16(module, CPU, True):
                found = module(data).float()
            assert (found - exact).norm() <= 0.01 * exact.norm()


@pytest.fixture
def all_wrong(monkeypatch):
    monkeypatch.setattr(bf16, "_is_right", lambda *shape: False)


def test_what_is_wrong_stays_in_fp32(all_wrong):
    """With its weights, its gradients, and its copies; all else is in bf16."""
    network = nn.Sequential(nn.Conv1d(4, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    x = torch.randn(5, 4, 3)
    exact = network[0](x)
    with autocast_bf16(network, CPU, True):
        assert torch.equal(network[0](x), exact)
        assert network(x).dtype == torch.bfloat16
        network(x).float().sum().backward()
    assert network[0].weight.grad.dtype == torch.float32
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert list(other.state_dict()) == list(network.state_dict())
        with autocast_bf16(other, CPU, True):
            assert torch.equal(other[0](x), exact)
    assert torch.equal(network[0](x), exact)  # without autocast, too


def test_a_convolution_with_weight_norm(all_wrong):
    convolution = weight_norm(nn.Conv1d(4, 4, 3))
    x = torch.randn(5, 4, 3)
    exact = convolution(x)
    with autocast_bf16(convolution, CPU, True):
        assert torch.equal(convolution(x), exact)
    assert keep_right(convolution)


def test_nothing_is_changed_where_bf16_is_right_or_not_asked_for(monkeypatch):
    network = nn.Conv1d(4, 4, 3)
    monkeypatch.setattr(bf16, "_is_right", lambda *shape: pytest.fail("tried"))
    with autocast_bf16(network, CPU, False):
        assert network(torch.randn(5, 4, 3)).dtype == torch.float32
    autocast_bf16(lambda x: x, CPU, True)  # no module: nothing to check
    monkeypatch.setattr(bf16, "_is_right", lambda *shape: True)
    with autocast_bf16(network, CPU, True):
        assert network(torch.randn(5, 4, 3)).dtype == torch.bfloat16
    assert type(network) is nn.Conv1d


def test_the_check_leaves_random_numbers_alone():
    before = torch.get_rng_state()
    bf16._is_right.cache_clear()
    bf16._is_right(nn.Conv1d, 3, 5, 1, (7,), (1,), (1,))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("times", "expected"), [(5.0, 1), (0.25, 0)])
def test_a_processor_without_bf16_is_named_once(monkeypatch, times, expected):
    """bf16 takes five times as long there, and nothing else would say so."""
    monkeypatch.setattr(bf16, "_times_of_fp32", lambda: times)
    monkeypatch.setattr(bf16, "_WARNED", [])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for precision in ("auto", "fp32", "bf16", "bf16"):
            wanted = "fp32" if precision == "auto" else precision
            assert resolve_precision(precision, "cpu") == wanted
    assert len(caught) == expected
    assert all("5.0 times as long" in str(w.message) for w in caught)


def test_the_time_of_a_product_is_measured():
    assert 0.01 < bf16._times_of_fp32() < 100
