"""The vgg tagger against plain convolutions, and against the original's output."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from userlogfeat.encoders.musicnn_vgg import Vgg, vgg_state

CLIPS = (
    "classical.00005",
    "metal.00003",
    "joram-moments_of_clarity-08-solipsism-59-88",
)


def random_variables():
    rng = np.random.default_rng(0)
    variables = {}
    for i in range(6):
        n = 128 if i else 1
        name = f"batch_normalization_{i}" if i else "batch_normalization"
        for key in ("gamma", "beta", "moving_mean"):
            variables[f"{name}/{key}"] = rng.normal(size=n)
        variables[f"{name}/moving_variance"] = rng.uniform(0.5, 2, size=n)
    for i in range(1, 6):
        n_inputs = 1 if i == 1 else 128
        shape = (3, 3, n_inputs, 128)
        variables[f"{i}CNN/kernel"] = rng.normal(size=shape) / (9 * n_inputs) ** 0.5
        variables[f"{i}CNN/bias"] = rng.normal(size=128)
    variables["dense/kernel"] = rng.normal(size=(256, 50)) / 16
    variables["dense/bias"] = rng.normal(size=50)
    return {name: value.astype(np.float32) for name, value in variables.items()}


def plain_vgg(variables, patch):
    """One patch (187, 96) through the network as its authors wrote it."""
    v = {name: torch.tensor(value) for name, value in variables.items()}

    def norm(x, i):  # channels first
        name = f"batch_normalization_{i}" if i else "batch_normalization"
        keys = ("moving_mean", "moving_variance", "gamma", "beta")
        return F.batch_norm(x, *(v[f"{name}/{key}"] for key in keys), eps=1e-3)

    x, computed = norm(patch[None, None], 0), {}
    pools = (((4, 1), 2), (2, 2), (2, 2), (2, 2), (4, 4))
    for i, pool in enumerate(pools, start=1):
        kernel = v[f"{i}CNN/kernel"].permute(3, 2, 0, 1)
        x = F.relu(F.conv2d(x, kernel, v[f"{i}CNN/bias"], padding=1))
        x = F.max_pool2d(norm(x, i), *pool)
        computed[f"pool{i}"] = x.mean((0, 2, 3))
    assert x.shape == (1, 128, 2, 1)
    computed["pool5"] = x[0].permute(1, 2, 0).flatten()
    logits = computed["pool5"] @ v["dense/kernel"] + v["dense/bias"]
    return computed | {"taggram": logits.sigmoid()}


def distance(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_every_layer_equals_the_plain_network():
    variables = random_variables()
    torch.manual_seed(3)
    network = Vgg()
    network.load_state_dict(vgg_state(variables))
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.rand(1) == drawn  # making the network draws no random numbers
    frames = 3 * torch.rand(400, 96)
    starts = torch.tensor([0, 61, 7, 150, 213])  # more than one block
    computed = network(frames, starts, tuple(Vgg.layer_sizes))
    plain = [plain_vgg(variables, frames[s : s + 187]) for s in starts.tolist()]
    for name, size in Vgg.layer_sizes.items():
        expected = torch.stack([patch[name] for patch in plain])
        assert expected.shape[1] == size
        assert distance(computed[name], expected) < 1e-5, name
    behind = network.cnn[3].register_forward_hook(lambda *_: pytest.fail("it ran"))
    lower = network(frames, starts, ("pool1", "pool3"))
    behind.remove()
    assert all(torch.equal(computed[name], x) for name, x in lower.items())


@pytest.mark.real
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("model", ["MSD_vgg", "MTT_vgg"])
def test_parity_from_the_stored_log_mel(data, musicnn, model, clip):
    from userlogfeat.encoders.musicnn import load_network

    folder = data / "musicnn_reference"
    log_mel = np.load(folder / f"MSD_musicnn__{clip}.npz")["log_mel"]
    stored = np.load(folder / f"{model}__{clip}.npz")
    starts = torch.arange(0, len(log_mel) - 186, 61)
    frames = torch.from_numpy(log_mel)
    computed = load_network(model)(frames, starts, ("taggram", "pool5"))
    assert distance(computed["taggram"], stored["taggram"]) < 1e-5
    # The original squeezes (patches, 2, 1, 128) and joins patches along the frames.
    assert distance(computed["pool5"].reshape(-1, 128), stored["pool5"]) < 1e-5
    half = load_network(model, precision="bf16")(frames, starts)
    assert distance(half["taggram"], stored["taggram"]) < 2e-2
