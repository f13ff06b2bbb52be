"""Patches of clips laid end to end, pooled and led through a head."""

import pytest
import torch
from torch import nn

from userlogfeat.frontends import FRONTENDS
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.mlp import mlp
from userlogfeat.networks.teacher import (
    PatchTeacher,
    hear_together,
    lay_end_to_end,
    pool_patches,
    rows_of_one_length,
)


def test_lay_end_to_end_known_starts():
    # Patches of 4 frames, hop 3: a clip of 10 frames has them at 0, 3 and 6.
    clips = [torch.arange(10.0)[None], torch.arange(100.0, 104.0)[None]]
    starts, n_patches, frames = lay_end_to_end(clips, 4, 3)
    assert starts.tolist() == [0, 3, 6, 10]
    assert n_patches == [3, 1]
    assert frames[:, 0].tolist() == [*range(10), *range(100, 104)]


def test_a_short_clip_is_repeated():
    _, n_patches, frames = lay_end_to_end([torch.tensor([[1.0, 2.0, 3.0]])], 7, 3)
    assert n_patches == [1]
    assert frames[:, 0].tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_pool_patches_known_values():
    patches = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    assert pool_patches(patches, "mean").tolist() == [2, 2]
    assert pool_patches(patches, "max").tolist() == [3, 4]
    assert pool_patches(patches, "meanstd").tolist() == [2, 2, 1, 2]
    assert pool_patches(patches, None) is patches


class MeanTrunk(nn.Module):
    """One layer: the mean of each patch over its frames."""

    n_frames, n_bands, layer_sizes = 4, 2, {"mean": 2}

    def forward(self, frames, starts, layers=("mean",)):
        return {
            "mean": torch.stack([frames[s : s + self.n_frames].mean(0) for s in starts])
        }


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    head = mlp((4, 3))
    return PatchTeacher(
        nn.Identity(), MeanTrunk(), patch_hop=2, head=head, head_layer="mean"
    )


def test_layers_alone_and_in_a_batch(teacher):
    clips = [torch.randn(2, n) for n in (4, 9, 3)]
    together = teacher(clips, layers=("mean", "embedding", "head_input"))
    for i, clip in enumerate(clips):
        alone = teacher([clip], layers=("mean", "embedding", "head_input"))
        for name in together:
            torch.testing.assert_close(alone[name][0], together[name][i])
    head_input = torch.stack(together["head_input"])
    torch.testing.assert_close(
        torch.stack(together["embedding"]), teacher.head(head_input)
    )
    torch.testing.assert_close(head_input[:, :2], torch.stack(together["mean"]))
    assert teacher.layer_sizes == {"mean": 2, "embedding": 3}


def test_patches_kept_apart(teacher):
    clip = torch.arange(18.0).reshape(2, 9)
    (patches,) = teacher([clip], layers=("mean",), pooling=None)["mean"]
    # starts 0, 2, 4 of 9 frames; the first band counts 0..8: means 1.5, 3.5, 5.5
    assert patches[:, 0].tolist() == [1.5, 3.5, 5.5]


def test_waveforms_of_several_lengths_are_heard_together():
    front_end = LogMelSpectrogram(FRONTENDS["musicnn"])
    waveforms = [torch.randn(n) for n in (900, 2000, 900, 700)]
    assert rows_of_one_length(waveforms) == [[0, 2], [1], [3]]
    for heard, waveform in zip(
        hear_together(front_end, waveforms), waveforms, strict=True
    ):
        torch.testing.assert_close(heard, front_end(waveform[None])[0])
