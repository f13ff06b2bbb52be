"""Log-mel spectrograms, judged by librosa, torchaudio, plain loops and thought."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from userlogfeat.audio import read_audio
from userlogfeat.frontends import FRONTENDS, FrontEnd
from userlogfeat.networks import mel as mel_module
from userlogfeat.networks.mel import (
    LogMelSpectrogram,
    compress,
    hz_to_mel,
    mel_filters,
    mel_to_hz,
    rows_of_one_length,
)

MUSICNN = FRONTENDS["musicnn"]
SETTINGS = [
    *FRONTENDS.values(),
    replace(MUSICNN, mel_scale="htk", norm=None, n_bands=40),
    replace(MUSICNN, mel_scale="htk", n_bands=40, f_min=30.0, f_max=7000.0),
    replace(MUSICNN, norm=None, f_min=125.0, f_max=7500.0, n_bands=64),
]


def noise(*shape):
    return 0.2 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.long
@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
def test_filters_are_librosas(settings, judge):
    librosa = judge("librosa")
    expected = librosa.filters.mel(
        sr=settings.sample_rate,
        n_fft=settings.n_fft,
        n_mels=settings.n_bands,
        fmin=settings.f_min,
        fmax=settings.highest,
        htk=settings.mel_scale == "htk",
        norm=settings.norm,
    )
    np.testing.assert_allclose(
        mel_filters(settings).T.numpy(), expected, rtol=1e-6, atol=1e-6 * expected.max()
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
def test_filters_are_torchaudios(settings, judge):
    expected = judge("torchaudio.functional").melscale_fbanks(
        settings.n_fft // 2 + 1,
        settings.f_min,
        settings.highest,
        settings.n_bands,
        settings.sample_rate,
        norm=settings.norm,
        mel_scale=settings.mel_scale,
    )
    # torchaudio computes its filters in single precision.
    torch.testing.assert_close(
        mel_filters(settings).float(), expected, rtol=0, atol=2e-5 * expected.max()
    )


@pytest.mark.parametrize("power", [1, 2])
def test_spectrograms_are_torchaudios(power, judge):
    transforms = judge("torchaudio.transforms")
    settings = replace(MUSICNN, power=power, half=False)
    expected = transforms.MelSpectrogram(
        sample_rate=settings.sample_rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop,
        n_mels=settings.n_bands,
        power=float(power),
        norm="slaney",
        mel_scale="slaney",
        pad_mode="constant",
    )(noise(2, 16000))
    found = LogMelSpectrogram(settings)(noise(2, 16000))
    expected = torch.log10(1 + 10000 * expected)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FRONTENDS)
def test_against_a_plain_loop(name):
    """The definition, frame by frame: window, sum of cosines and sines, triangles."""
    settings = replace(FRONTENDS[name], half=False)
    waveform = noise(3000)
    n, hop = settings.n_fft, settings.hop
    padded = np.concatenate([np.zeros(n // 2), waveform.numpy(), np.zeros(n)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    angles = 2 * np.pi * np.outer(np.arange(n // 2 + 1), np.arange(n)) / n
    columns = []
    for start in range(0, 3000 - settings.drop_last * hop + 1, hop):
        frame = window * padded[start : start + n]
        magnitude = np.hypot(np.cos(angles) @ frame, np.sin(angles) @ frame)
        bands = magnitude**settings.power @ mel_filters(settings).numpy()
        base = math.e if settings.base == "e" else settings.base
        columns.append(np.log(1 + settings.gain * bands) / math.log(base))
    found = LogMelSpectrogram(settings)(waveform[None])[0]
    np.testing.assert_allclose(found, np.transpose(columns), rtol=1e-4, atol=1e-5)


@pytest.mark.real
@pytest.mark.parametrize(
    ("clip", "path"),
    [
        ("classical.00005", "gtzan_clips/classical.00005.flac"),
        ("metal.00003", "gtzan_clips/metal.00003.flac"),
        (
            "joram-moments_of_clarity-08-solipsism-59-88",
            "musicnn_reference/joram-moments_of_clarity-08-solipsism-59-88.mp3",
        ),
    ],
)
def test_from_file_to_the_spectrogram_of_musicnn(data, clip, path):
    """Stored outputs of the original, from decoding to the logarithm."""
    reference = data / "musicnn_reference" / f"MSD_musicnn__{clip}.npz"
    expected = np.load(reference)["log_mel"]
    waveform = torch.from_numpy(read_audio(data / path, sample_rate=16000))
    found = LogMelSpectrogram(MUSICNN)(waveform[None])[0].T.numpy()
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5
    # Half precision has steps of 2 ** -11: where rounding falls to the other side, the
    # logarithm differs by one step.
    assert np.abs(found - expected).max() < 1.01 * math.log10(1 + 2**-10)


@pytest.mark.parametrize("name", FRONTENDS)
def test_silence_is_zero(name):
    assert not LogMelSpectrogram(FRONTENDS[name])(torch.zeros(1, 4000)).any()


@pytest.mark.parametrize("name", FRONTENDS)
@pytest.mark.parametrize("level", [1.0, 1000.0, 32768.0])
def test_loud_tones_stay_finite(name, level):
    """Full scale, and files whose samples were never divided by 32,768."""
    settings = FRONTENDS[name]
    time = torch.arange(20000) / settings.sample_rate
    tones = [torch.sin(2 * torch.pi * pitch * time) for pitch in (60.0, 440.0, 3000.0)]
    square = torch.sign(tones[1])
    constant = torch.ones(20000)
    loud = level * torch.stack([*tones, square, constant])
    assert torch.isfinite(LogMelSpectrogram(settings)(loud)).all()


def test_half_precision_is_clamped():
    """65,504 is the largest number; 1e6 is no infinity but that, and 1e-9 is 0."""
    found = compress(torch.tensor([1e6, 1e-9, 1 + 2**-12]), MUSICNN)
    expected = [math.log10(1 + 65504e4), 0.0, math.log10(10001)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_tone_sounds_in_its_band():
    settings = replace(MUSICNN, n_bands=40)
    centres = mel_to_hz(
        torch.linspace(0, hz_to_mel(torch.tensor(8000.0), "slaney").item(), 42),
        "slaney",
    )[1:-1]
    time = torch.arange(16000) / 16000
    for band in (10, 20, 39):
        tone = torch.sin(2 * torch.pi * centres[band] * time)
        middle = LogMelSpectrogram(settings)(tone[None])[0, :, 30]
        assert middle.argmax() == band


def test_twice_as_loud_is_four_times_the_power():
    """With a gain that makes the 1 of log(1 + x) vanish: log10(4) higher."""
    settings = replace(MUSICNN, gain=1e12, half=False)
    to_log_mel = LogMelSpectrogram(settings)
    louder = to_log_mel(2 * noise(1, 16000)) - to_log_mel(noise(1, 16000))
    expected = torch.full_like(louder, math.log10(4))
    torch.testing.assert_close(louder, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("n_fft", [512, 511])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n_samples", [1, 100, 255, 256, 257, 5120])
def test_number_of_frames(n_fft, drop_last, n_samples):
    settings = replace(MUSICNN, n_fft=n_fft, drop_last=drop_last, n_bands=20)
    to_log_mel = LogMelSpectrogram(settings)
    found = to_log_mel(noise(1, n_samples)).shape
    assert found == (1, 20, to_log_mel.n_frames(n_samples))
    if n_fft == 512:
        assert found[2] == max(1, n_samples // 256 + 1 - drop_last)


@pytest.mark.parametrize("name", FRONTENDS)
def test_alone_as_in_a_batch(name):
    to_log_mel = LogMelSpectrogram(FRONTENDS[name])
    batch = to_log_mel(noise(5, 9000))
    for waveform, expected in zip(noise(5, 9000), batch, strict=True):
        torch.testing.assert_close(
            to_log_mel(waveform[None])[0], expected, rtol=0, atol=0
        )


@pytest.mark.parametrize("at_once", [(2, 1000), (5, 7), (3, 1)])
def test_several_clips_at_once_as_on_a_gpu(monkeypatch, at_once):
    """Blocks of clips and of frames, with the last of both not full."""
    network = LogMelSpectrogram(FRONTENDS["lee2019"])
    waveforms = torch.randn(5, 6000, generator=torch.Generator().manual_seed(0))
    expected = network(waveforms)
    monkeypatch.setattr(network, "_at_once", lambda device, n_frames: at_once)
    torch.testing.assert_close(network(waveforms), expected, rtol=1e-5, atol=1e-6)


def test_a_gpu_is_given_many_clips():
    network = LogMelSpectrogram(FRONTENDS["lee2019"])
    assert network._at_once(torch.device("cuda"), 1280) == (25, 32768)
    assert network._at_once(torch.device("cuda"), 100_000) == (1, 32768)
    assert network._at_once(torch.device("cpu"), 1280) == (1, 256)


def test_zeros_at_the_end_change_no_frame():
    to_log_mel = LogMelSpectrogram(MUSICNN)
    waveform = noise(1, 10000)
    longer = torch.nn.functional.pad(waveform, (0, 7000))
    found = to_log_mel(longer)[:, :, : to_log_mel.n_frames(10000)]
    torch.testing.assert_close(found, to_log_mel(waveform), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("block", [512, 3 * 512, 1 << 20])
def test_blocks_leave_no_seams(monkeypatch, block):
    """One frame, three frames or all at a time: the same spectrogram."""
    expected = LogMelSpectrogram(MUSICNN)(noise(2, 20000))
    monkeypatch.setattr(mel_module, "CPU_BLOCK", block)
    found = LogMelSpectrogram(MUSICNN)(noise(2, 20000))
    difference = torch.linalg.norm(found - expected) / torch.linalg.norm(expected)
    assert difference < 1e-5


def test_long_clips_are_transformed_in_blocks(monkeypatch):
    """Ten minutes: never more frames at once than a block holds."""
    sizes = []
    rfft = torch.fft.rfft
    monkeypatch.setattr(
        torch.fft,
        "rfft",
        lambda frames: (sizes.append(frames.numel()), rfft(frames))[1],
    )
    log_mel = LogMelSpectrogram(MUSICNN)(torch.zeros(1, 600 * 16000))
    assert log_mel.shape == (1, 96, 37501)
    assert max(sizes) <= mel_module.CPU_BLOCK
    assert sum(sizes) == 37501 * 512


def test_other_inputs():
    to_log_mel = LogMelSpectrogram(MUSICNN)
    double = to_log_mel(noise(1, 4000).double())
    assert double.dtype == torch.float32
    torch.testing.assert_close(double, to_log_mel(noise(1, 4000)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(to_log_mel(noise(1, 4000)), double)
    assert to_log_mel(noise(0, 4000)).shape == (0, 96, 16)
    with pytest.raises(ValueError, match=r"shape \(4000,\), expected \(clips, samples"):
        to_log_mel(noise(4000))
    with pytest.raises(ValueError, match="at least one sample"):
        to_log_mel(noise(2, 0))


def test_gradients_reach_the_waveform():
    waveform = noise(1, 4000).requires_grad_()
    LogMelSpectrogram(FRONTENDS["chen2021"])(waveform).sum().backward()
    assert torch.isfinite(waveform.grad).all()
    assert waveform.grad.abs().max() > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_gpu_agrees():
    expected = LogMelSpectrogram(MUSICNN)(noise(3, 50000))
    found = LogMelSpectrogram(MUSICNN).cuda()(noise(3, 50000).cuda()).cpu()
    assert torch.linalg.norm(found - expected) < 1e-4 * torch.linalg.norm(expected)


def test_the_module_saves_nothing():
    """Its filters follow from the settings, which models keep in their config."""
    assert LogMelSpectrogram(MUSICNN).state_dict() == {}


def test_mel_scales_by_hand():
    """Slaney: 15 mel are 1 kHz, 27 more are 6.4 kHz. HTK: 1 kHz is about 1000 mel."""
    hertz = torch.tensor([0.0, 500.0, 1000.0, 6400.0])
    slaney = torch.tensor([0.0, 7.5, 15.0, 42.0])
    torch.testing.assert_close(hz_to_mel(hertz, "slaney"), slaney)
    torch.testing.assert_close(mel_to_hz(slaney, "slaney"), hertz)
    htk = hz_to_mel(hertz, "htk")
    torch.testing.assert_close(htk[2].item(), 999.9855, rtol=1e-6, atol=0)
    torch.testing.assert_close(mel_to_hz(htk, "htk"), hertz, rtol=1e-4, atol=1e-3)


def test_slaney_bands_have_unit_area():
    """Sums over bins times their distance: 1 Hz / Hz, as finely as the bins allow."""
    fine = FrontEnd(sample_rate=16000, n_fft=1 << 15, hop=256, n_bands=40)
    area = mel_filters(fine).sum(dim=0) * 16000 / (1 << 15)
    np.testing.assert_allclose(area, np.ones(40), rtol=1e-3)
    peaks = mel_filters(replace(fine, norm=None)).max(dim=0).values
    np.testing.assert_allclose(peaks, np.ones(40), rtol=1e-2)


def test_bands_too_narrow_are_reported():
    with pytest.warns(UserWarning, match="mel bands are empty.*fewer bands"):
        mel_filters(replace(MUSICNN, n_bands=400))


def test_clips_of_several_lengths():
    front_end = LogMelSpectrogram(MUSICNN)
    waveforms = [torch.randn(n) for n in (900, 2000, 900, 700)]
    assert rows_of_one_length(waveforms) == [[0, 2], [1], [3]]
    for log_mel, waveform in zip(front_end.clips(waveforms), waveforms, strict=True):
        torch.testing.assert_close(log_mel, front_end(waveform[None])[0])
