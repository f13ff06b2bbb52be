"""The musicnn encoder behind the protocol: patches, settings, padding."""

import pickle

import pytest
import torch

from userlogfeat.encoders import encoder_identity, get_encoder
from userlogfeat.encoders.musicnn import hop_seconds, lay_end_to_end


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


@pytest.mark.parametrize(("seconds", "frames"), [(1.0, 61), (0.5, 30), (0.01, 1)])
def test_the_hop_in_frames_is_the_packages(seconds, frames):
    assert get_encoder("MSD_musicnn", patch_hop=seconds).hop_frames == frames


def test_every_hop_in_frames_comes_back():
    for frames in range(1, 400):
        hop = hop_seconds(frames)
        assert get_encoder("MTT_vgg", patch_hop=hop).hop_frames == frames
    assert hop_seconds(61) == 1.0  # the default of saved models


def test_it_is_light_and_comparable():
    encoder = get_encoder("MSD_musicnn", patch_hop=2.0)
    assert len(pickle.dumps(encoder)) < 500
    assert pickle.loads(pickle.dumps(encoder)) == encoder != get_encoder("MSD_musicnn")
    assert encoder_identity(encoder)["settings"] == {"patch_hop": 2.0}


def test_padding_changes_nothing(musicnn):
    encoder = get_encoder("MSD_musicnn")
    generator = torch.Generator().manual_seed(0)
    clips = [0.1 * torch.randn(n, generator=generator) for n in (48000, 70000)]
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    together = encoder.encode(padded, torch.tensor([48000, 70000]), ("taggram",))
    assert together.mask.tolist() == [[True, False], [True, True]]
    for clip, found in zip(clips, together.clips("taggram"), strict=True):
        alone = encoder.encode(clip[None], torch.tensor([len(clip)]), ("taggram",))
        torch.testing.assert_close(found, alone.layers["taggram"][0])


@pytest.mark.parametrize("name", ["MSD_musicnn", "MSD_vgg"])
@pytest.mark.parametrize("shape", [(80, 400), (400, 96), (96,), (96, 0)])
def test_spectrograms_of_another_shape_are_refused(name, shape):
    with pytest.raises(ValueError, match=r"expected \(96, frames\)"):
        get_encoder(name).encode_spectrograms([torch.zeros(shape)], ("taggram",))
