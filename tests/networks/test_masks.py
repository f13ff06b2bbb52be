"""SpecAugment, judged by torchaudio, a loop and thought."""

import pytest
import torch

from userlogfeat.networks.masks import SpecAugment, hide


@pytest.mark.parametrize("masks", [(20, 0), (0, 30), (20, 30), (96, 500)])
def test_masks_are_torchaudios(masks, judge):
    torchaudio = judge("torchaudio")
    freq_mask, time_mask = masks
    x = torch.randn(50, 96, 121)
    judge = torch.nn.Sequential(
        torchaudio.transforms.FrequencyMasking(freq_mask, iid_masks=True),
        torchaudio.transforms.TimeMasking(time_mask, iid_masks=True),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        expected = judge(x)
        state = torch.get_rng_state()
        torch.manual_seed(1)
        assert torch.equal(SpecAugment(freq_mask, time_mask)(x), expected)
        assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("axis", [1, 2])
def test_hidden_is_one_run_of_each_clip(axis, monkeypatch):
    """By a loop: two random numbers per clip are its length and where it begins."""
    draws = iter([torch.tensor([0.0, 0.5, 0.99]), torch.tensor([0.0, 0.5, 0.999])])
    monkeypatch.setattr(torch, "rand", lambda *size, **settings: next(draws))
    x = torch.randn(3, 12, 20)
    found, size = hide(x, 8, axis=axis), x.shape[axis]
    # Lengths 0, 4 and 7 (of 7.92); from 0, the middle of the places, and the last.
    runs = [(0, 0), (size // 2 - 2, size // 2 + 2), (size - 8, size - 1)]
    expected = x.clone()
    for clip, run in zip(expected, runs, strict=True):
        clip.transpose(0, axis - 1)[slice(*run)] = 0
    assert torch.equal(found, expected)


def test_lengths_and_places_are_uniform():
    """Each of 0 to 5 bands is as likely; the last is never hidden, as in torchaudio."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hidden = SpecAugment(freq_mask=6)(torch.ones(6000, 10, 2)) == 0
    assert torch.equal(hidden[..., 0], hidden[..., 1])
    lengths = torch.bincount(hidden[..., 0].sum(1), minlength=6)
    assert len(lengths) == 6
    torch.testing.assert_close(lengths / 1000, torch.ones(6), rtol=0, atol=0.15)
    assert hidden.any(0).all(1).tolist() == [True] * 9 + [False]


def test_nothing_hidden_draws_nothing():
    state = torch.get_rng_state()
    x = torch.randn(2, 3, 4)
    torch.set_rng_state(state)
    assert SpecAugment()(x) is x
    assert torch.equal(torch.get_rng_state(), state)
