"""Fully connected networks."""

import torch

from userlogfeat.networks.mlp import FeatureTeacher, mlp, standardise_input


def test_shapes_and_parameters():
    network = mlp((7, 5, 3))
    assert network(torch.zeros(2, 7)).shape == (2, 3)
    assert sum(p.numel() for p in network.parameters()) == 7 * 5 + 5 + 5 * 3 + 3
    assert FeatureTeacher(network).layer_sizes == {"embedding": 3}


def test_standardise_input_is_the_same_map():
    torch.manual_seed(0)
    mean, scale = 100 + torch.randn(7), 0.1 + torch.rand(7)
    raw = mean + scale * torch.randn(4, 7)
    network = mlp((7, 5, 3))
    expected = network((raw - mean) / scale)
    standardise_input(network, mean, scale)
    torch.testing.assert_close(network(raw), expected, rtol=1e-3, atol=1e-4)
