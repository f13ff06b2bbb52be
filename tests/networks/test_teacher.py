"""Frames of an encoder, pooled over the clip and led through a head."""

import pytest
import torch

from userlogfeat.encoders import Encoding
from userlogfeat.frontends import FRONTENDS
from userlogfeat.networks.mlp import mlp
from userlogfeat.networks.teacher import (
    EncoderTeacher,
    pool_frames,
    rows_of_similar_length,
)


def test_pool_frames_known_values():
    patches = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    assert pool_frames(patches, "mean").tolist() == [2, 2]
    assert pool_frames(patches, "max").tolist() == [3, 4]
    assert pool_frames(patches, "meanstd").tolist() == [2, 2, 1, 2]
    assert pool_frames(patches, None) is patches


class MeanEncoder:
    """Of spectrograms: the mean of each patch of 4 frames, every 2 frames."""

    name, sample_rate, min_samples = "means", 16000, 768
    layer_sizes = {"mean": 2}
    front_end = FRONTENDS["musicnn"]

    def encode_spectrograms(self, log_mels, layers, precision):
        clips = []
        for clip in log_mels:
            clip = clip.repeat(1, -(-4 // clip.shape[1]))[:, : max(4, clip.shape[1])]
            clips.append(clip.unfold(1, 4, 2).mean(2).T)
        return Encoding.of_clips({"mean": clips})


class LevelEncoder:
    """Of waveforms: the mean of every 100 samples."""

    name, sample_rate, min_samples = "levels", 1000, 100
    layer_sizes = {"level": 1}

    def encode(self, waveforms, lengths, layers, precision):
        frames = waveforms.unfold(1, 100, 100).mean(2)[..., None]
        mask = torch.arange(frames.shape[1]) < (lengths // 100)[:, None]
        return Encoding({"level": frames}, mask)


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    return EncoderTeacher(MeanEncoder(), head=mlp((4, 3)), head_layer="mean")


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


def test_a_head_reads_several_layers_side_by_side(teacher):
    class TwoLayers(MeanEncoder):
        layer_sizes = {"mean": 2, "last": 2}

        def encode_spectrograms(self, clips, layers, precision):
            encoding = super().encode_spectrograms(clips, ("mean",), precision)
            frames = encoding.layers["mean"]
            return Encoding({"mean": frames, "last": -frames}, encoding.mask)

    both = EncoderTeacher(TwoLayers(), head_layer=("last", "mean"))
    clip = torch.randn(2, 9)
    (one,) = teacher([clip], layers=("head_input",))["head_input"]  # mean, deviation
    (two,) = both([clip], layers=("head_input",))["head_input"]
    torch.testing.assert_close(two, torch.cat([-one[:2], one[2:], one]))


def test_patches_kept_apart(teacher):
    clip = torch.arange(18.0).reshape(2, 9)
    (patches,) = teacher([clip], layers=("mean",), pooling=None)["mean"]
    # starts 0, 2, 4 of 9 frames; the first band counts 0..8: means 1.5, 3.5, 5.5
    assert patches[:, 0].tolist() == [1.5, 3.5, 5.5]


def test_waveforms_are_padded_without_a_trace():
    teacher = EncoderTeacher(LevelEncoder(), head_layer="level")
    # 250 and 300 samples are encoded together, 1000 alone.
    clips = [torch.full((n,), float(v)) for n, v in ((300, 1), (1000, 2), (250, 3))]
    frames = teacher(clips, layers=("level",), pooling=None)["level"]
    assert [x[:, 0].tolist() for x in frames] == [[1] * 3, [2] * 10, [3] * 2]
    means = teacher(clips, layers=("level",))["level"]
    assert torch.stack(means)[:, 0].tolist() == [1, 2, 3]


def test_a_waveform_encoder_has_no_bands():
    with pytest.raises(ValueError, match="'levels' reads waveforms, not spectrograms"):
        EncoderTeacher(LevelEncoder()).n_bands  # noqa: B018


def test_clips_of_similar_length_are_encoded_together():
    clips = [torch.zeros(n) for n in (100, 1000, 126, 120, 1250)]
    assert rows_of_similar_length(clips) == [[0, 3], [2], [1, 4]]
