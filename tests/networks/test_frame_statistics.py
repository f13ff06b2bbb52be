"""Statistics over windows: against loops, on short clips, alone and in a batch."""

import numpy as np
import pytest
import torch

from userlogfeat.networks.frame_statistics import FrameTeacher, WindowStatistics

FRAMES = np.random.default_rng(0).normal(size=(3, 11)).astype(np.float32)


@pytest.mark.parametrize(
    ("window", "hop"), [(4, None), (4, 2), (11, None), (None, None)]
)
def test_statistics_are_the_loop(window, hop):
    length = window or 11
    rows = []
    for start in range(0, 11 - length + 1, hop or length):
        cut = FRAMES[:, start : start + length]
        rows.append(np.r_[cut.mean(1), cut.var(1), cut.max(1), cut.min(1)])
    found = WindowStatistics(window, hop)(torch.from_numpy(FRAMES))
    np.testing.assert_allclose(found, rows, rtol=1e-5, atol=1e-6)


def test_a_short_clip_is_repeated():
    statistics = WindowStatistics(16, statistics=("mean", "max"))
    repeated = np.tile(FRAMES, 2)[:, :16]
    found = statistics(torch.from_numpy(FRAMES))
    expected = np.r_[repeated.mean(1), repeated.max(1)][None]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def make_teacher(**settings):
    torch.manual_seed(0)
    with torch.random.fork_rng():
        teacher = FrameTeacher(
            None,
            3,
            statistics=WindowStatistics(4),
            n_components=2,
            n_labels=5,
            **settings,
        )
    return teacher.requires_grad_(False)


def test_layers():
    teacher = make_teacher()
    V, b = teacher.features.weight.numpy(), teacher.features.bias.numpy()
    embedded = V @ FRAMES + b[:, None]
    names = ("embedding", "affinity", "base")
    computed = teacher([torch.from_numpy(FRAMES)], names)
    assert list(computed) == list(names)
    windows = [embedded[:, :4], embedded[:, 4:8]]  # frames 8 to 10 are left out
    rows = [np.r_[w.mean(1), w.var(1), w.max(1), w.min(1)] for w in windows]
    np.testing.assert_allclose(computed["embedding"][0], np.mean(rows, 0), rtol=1e-5)
    affinity = teacher.labels.weight.numpy() @ embedded[:, :8].mean(1)
    np.testing.assert_allclose(computed["affinity"][0], affinity, rtol=1e-4, atol=1e-6)
    assert computed["base"][0].shape == (12,)
    assert teacher.layer_sizes == {"base": 12, "embedding": 8, "affinity": 5}


@pytest.mark.parametrize(
    ("pooling", "shape"), [("mean", (8,)), ("meanstd", (16,)), (None, (2, 8))]
)
def test_pooling(pooling, shape):
    [values] = make_teacher(pooling=pooling)([torch.from_numpy(FRAMES)])["embedding"]
    assert values.shape == shape


def test_without_front_end_it_reads_no_audio():
    with pytest.raises(ValueError, match=r"frames of your own making \(3 units\)"):
        make_teacher().sample_rate  # noqa: B018
