"""The shared, blocked musicnn against one plain network a patch."""

import numpy as np
import pytest
import torch

from userlogfeat.encoders import musicnn_fast as module
from userlogfeat.encoders.musicnn_checkpoint import MSD_TAGS, MTT_TAGS
from userlogfeat.encoders.musicnn_fast import Musicnn, musicnn_state
from userlogfeat.encoders.musicnn_plain import PlainMusicnn, plain_state

LAYERS = tuple(Musicnn.layer_sizes)
KERNELS = [
    *[(7, 38, 1, 204), (7, 67, 1, 204)],
    *[(128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51)],
    *[(7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64)],
]


def numbered(name, index):
    return f"{name}_{index}" if index else name


def random_variables(seed=0):
    """Variables as in a checkpoint, their scales of both signs."""
    rng = np.random.default_rng(seed)
    variables = {}

    def add(name, *shape, scale=1.0, offset=0.0):
        values = offset + scale * rng.normal(size=shape)
        variables[name] = values.astype(np.float32)

    for i, shape in enumerate(KERNELS):
        add(f"{numbered('conv2d', i)}/kernel", *shape, scale=np.prod(shape[:3]) ** -0.5)
        add(f"{numbered('conv2d', i)}/bias", shape[3])
    for i, n in enumerate([1, *(shape[3] for shape in KERNELS), 1506, 200]):
        name = numbered("batch_normalization", i)
        for key in ("gamma", "beta", "moving_mean"):
            add(f"{name}/{key}", n)
        variables[f"{name}/moving_variance"] = rng.uniform(0.5, 2, n).astype("f4")
    for name, shape in (("dense", (1506, 200)), ("dense_1", (200, 50))):
        add(f"{name}/kernel", *shape, scale=shape[0] ** -0.5)
        add(f"{name}/bias", shape[1])
    return variables


@pytest.fixture(scope="module")
def variables():
    return random_variables()


@pytest.fixture(scope="module")
def network(variables):
    return fill(Musicnn(), variables)


@pytest.fixture(scope="module")
def frames():
    return 3 * torch.rand(700, 96, generator=torch.Generator().manual_seed(0))


def fill(network, variables):
    network.load_state_dict(musicnn_state(variables))
    return network.eval()


def distance(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


# Overlapping, touching, repeated, out of order; the first frame and the last.
STARTS = torch.tensor([0, 61, 62, 248, 248, 20, 513])


def test_every_layer_equals_the_plain_network(variables, network, frames):
    heard = network(frames, STARTS, LAYERS)
    plain = PlainMusicnn().eval()
    plain.load_state_dict(plain_state(variables))
    with torch.no_grad():
        layers = plain(torch.stack([frames[s : s + 187] for s in STARTS]))
    for name in LAYERS:
        expected = layers[name]
        assert expected.shape[1] == Musicnn.layer_sizes[name]
        assert heard[name].dtype == torch.float32
        assert distance(heard[name], expected) < 1e-5, name


def test_bf16_is_close(variables, network, frames):
    half = fill(Musicnn(precision="bf16"), variables)
    assert half.timbral[0].weight.dtype == torch.bfloat16
    found, expected = (n(frames, STARTS, ("max_pool",)) for n in (half, network))
    assert 1e-5 < distance(found["max_pool"], expected["max_pool"]) < 1e-2


def test_small_blocks_change_nothing(network, frames, monkeypatch):
    starts = torch.arange(0, 514, 37)
    whole = network(frames, starts, LAYERS)
    monkeypatch.setattr(module, "SHARED_PATCHES", 6)
    monkeypatch.setattr(module, "BLOCK_PATCHES", {torch.float32: 4})
    monkeypatch.setattr(module, "BLOCK_FRAMES", 128)
    blocked = network(frames, starts, LAYERS)
    for name in LAYERS:
        assert distance(blocked[name], whole[name]) < 1e-5


def test_threads_change_nothing(network, frames, monkeypatch):
    starts = torch.arange(0, 514, 37)  # 14 patches
    alone = network(frames, starts, LAYERS)
    monkeypatch.setattr("userlogfeat.networks.threads.n_cores", lambda: 3)
    monkeypatch.setattr(module, "MIN_PATCHES", 4)
    threaded = network(frames, starts, LAYERS)
    for name in LAYERS:
        assert distance(threaded[name], alone[name]) < 1e-5


@pytest.mark.parametrize("n_patches", [8, 32, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maximum_over_bands(n_patches, dtype):
    z = torch.randn(5, 96, n_patches).to(dtype)
    assert torch.equal(module._max_over_middle(z), z.amax(1))


def test_without_onednn(network, frames, monkeypatch):
    """torch may lack the operator, whose name is private."""
    expected = network(frames, STARTS, LAYERS)
    monkeypatch.setattr(module, "_HAS_ONEDNN", False)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", None, raising=False)
    found = network(frames, STARTS, LAYERS)
    for name in LAYERS:
        assert distance(found[name], expected[name]) < 1e-5


def test_alone_as_in_company(network, frames):
    together = network(frames, STARTS, LAYERS)
    for i, start in enumerate(STARTS.tolist()):
        alone = network(frames[start : start + 187], torch.tensor([0]), LAYERS)
        for name in LAYERS:
            assert distance(alone[name][0], together[name][i]) < 1e-5


def test_neighbours_of_a_patch_do_not_matter(network, frames):
    """Only the frames of a patch: changing all others changes nothing."""
    changed = torch.full_like(frames, 1e4)
    changed[100:287] = frames[100:287]
    starts = torch.tensor([100])
    assert (
        distance(
            network(changed, starts)["taggram"], network(frames, starts)["taggram"]
        )
        < 1e-5
    )


def test_only_the_layers_asked_for(network, frames):
    heard = network(frames, STARTS, ("cnn2", "max_pool"))
    assert list(heard) == ["cnn2", "max_pool"]
    alone = network(frames, STARTS, ("max_pool",))
    assert torch.equal(alone["max_pool"], heard["max_pool"])
    every = network(frames, STARTS, LAYERS)
    for name in ("temporal", "cnn1", "cnn2"):  # the stages behind it do not run
        assert torch.equal(network(frames, STARTS, (name,))[name], every[name])


def test_each_frame_has_its_row_and_padding():
    # Two patches that overlap, in 188 frames: inner frames are shared, edges are not.
    taps, rows = module._tap_frames(torch.tensor([0, 1]), 188)
    assert taps.shape[1] % module.ROUND_FRAMES == 0
    # Frame 4 of patch 0 is frame 3 of patch 1: one output, of frames 1 to 7.
    assert rows[0, 4] == rows[1, 3]
    assert taps[:, rows[0, 4]].tolist() == [1, 2, 3, 4, 5, 6, 7]
    # Frame 3 of patch 0 is frame 2 of patch 1, whose padding begins before frame 1.
    assert rows[0, 3] != rows[1, 2]
    assert taps[:, rows[0, 3]].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert taps[:, rows[1, 2]].tolist() == [188, 1, 2, 3, 4, 5, 6]
    assert taps[:, rows[1, 186]].tolist() == [184, 185, 186, 187, 188, 188, 188]


def test_no_gradients_and_no_random_numbers(variables, frames):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    heard = fill(Musicnn(), variables)(frames.requires_grad_(), STARTS[:1])
    assert not heard["taggram"].requires_grad
    assert torch.rand(1) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-5), ("bf16", 1e-2)])
def test_a_gpu_hears_the_same(variables, network, frames, precision, limit):
    there = fill(Musicnn(precision=precision), variables).cuda()
    heard = there(frames.cuda(), STARTS, ("max_pool", "mean_pool"))
    here = network(frames, STARTS, ("max_pool", "mean_pool"))
    for name, expected in here.items():
        assert distance(heard[name].cpu(), expected) < limit


REFERENCE = "musicnn_reference"
CLIPS = (
    "classical.00005",
    "metal.00003",
    "joram-moments_of_clarity-08-solipsism-59-88",
)


@pytest.mark.real
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("model", ["MSD_musicnn", "MTT_musicnn"])
@pytest.mark.parametrize(
    ("precision", "limit", "n_patches"),
    # Without instructions for bf16 a processor needs minutes for the whole clips.
    [
        ("fp32", 1e-5, None),
        ("bf16", 1e-2, 6),
        pytest.param("bf16", 1e-2, None, marks=pytest.mark.long),
    ],
)
def test_parity_from_the_stored_log_mel(
    data, musicnn, model, clip, precision, limit, n_patches
):
    from userlogfeat.encoders.musicnn import load_network

    log_mel = np.load(data / REFERENCE / f"MSD_musicnn__{clip}.npz")["log_mel"]
    stored = np.load(data / REFERENCE / f"{model}__{clip}.npz")
    starts = torch.arange(0, len(log_mel) - 186, 61)[:n_patches]
    names = ("max_pool", "mean_pool", "penultimate", "taggram")
    heard = load_network(model, precision=precision)(
        torch.from_numpy(log_mel), starts, names
    )
    for name, times in (("max_pool", 1), ("mean_pool", 1), ("taggram", 2)):
        assert distance(heard[name], stored[name][:n_patches]) < times * limit
    # The original repeats the penultimate layer of the first patch for all others
    # (extractor.py concatenates `penultimate_`, set once, not the new `backend_`).
    assert np.ptp(stored["penultimate"], axis=0).max() == 0
    assert distance(heard["penultimate"][0], stored["penultimate"][0]) < 5 * limit


@pytest.mark.real
def test_tags_name_the_columns(data, musicnn):
    assert len(MSD_TAGS) == len(MTT_TAGS) == 50
    for model, tags, clip, expected in (
        ("MSD_musicnn", MSD_TAGS, "metal.00003", "metal"),
        ("MTT_musicnn", MTT_TAGS, "classical.00005", "classical"),
    ):
        taggram = np.load(data / REFERENCE / f"{model}__{clip}.npz")["taggram"]
        assert expected in [tags[i] for i in np.argsort(-taggram.mean(0))[:5]]
