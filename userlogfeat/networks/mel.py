"""Log-mel spectrograms of waveforms, as one torch module.

The filters are those of librosa and torchaudio, triangles on slaney's or HTK's mel
scale; neither library is imported (torchaudio would tie users to one release of torch).
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from userlogfeat.frontends import FrontEnd
from userlogfeat.networks.threads import map_threads

# Samples in the frames that are transformed at a time. Memory is bounded for clips of
# any length, and on a CPU blocks that stay in its cache go four times as fast. A GPU
# is given many clips at once, or it would wait for the processor to name the next.
CPU_BLOCK, GPU_BLOCK = 1 << 17, 1 << 24
LARGEST_HALF = 65504.0  # the largest finite number in half precision

# Slaney's scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998).
_SLANEY_BREAK = 1000.0  # Hz
_SLANEY_LINEAR = 200.0 / 3.0  # Hz a mel, below
_SLANEY_STEP = math.log(6.4) / 27.0  # of the logarithm a mel, above
_HTK_BREAK, _HTK_FACTOR = 700.0, 2595.0  # mel = 2595 log10(1 + f / 700 Hz)


class LogMelSpectrogram(nn.Module):
    """From waveforms to log-mel spectrograms.

    Frames are centred: frame t is around sample t * hop, and samples before and after
    the waveform count as zeros, so that zeros put at its end change none of its frames.
    A clip gives the same numbers alone and in a batch; on a GPU, but for rounding.

    Parameters
    ----------
    front_end : FrontEnd
        The settings.

    Examples
    --------
    >>> import torch
    >>> from userlogfeat.frontends import FRONTENDS
    >>> from userlogfeat.networks.mel import LogMelSpectrogram
    >>> to_log_mel = LogMelSpectrogram(FRONTENDS["musicnn"])
    >>> to_log_mel(torch.zeros(2, 16000)).shape
    torch.Size([2, 96, 63])
    """

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        self.front_end = front_end
        window = torch.hann_window(front_end.n_fft, dtype=torch.float64)
        self.register_buffer("window", window.float(), persistent=False)
        filters = mel_filters(front_end).float()
        self.register_buffer("filters", filters, persistent=False)

    def n_frames(self, n_samples: int) -> int:
        """Frames of a waveform of `n_samples`; at least one."""
        settings = self.front_end
        half = settings.n_fft // 2
        n_frames = 1 + (n_samples + 2 * half - settings.n_fft) // settings.hop
        return max(1, n_frames - settings.drop_last)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Transform waveforms of one length.

        Parameters
        ----------
        waveforms : Tensor (B, n_samples)
            Full scale is 1.

        Returns
        -------
        Tensor (B, n_bands, n_frames), float32
        """
        if waveforms.ndim != 2 or waveforms.shape[1] == 0:
            raise ValueError(
                f"Got waveforms of shape {tuple(waveforms.shape)}, expected (clips, "
                "samples) and at least one sample."
            )
        n_frames = self.n_frames(waveforms.shape[1])
        n_clips, n_block = self._at_once(waveforms.device, n_frames)
        log_mels = waveforms.new_empty(
            (len(waveforms), self.front_end.n_bands, n_frames), dtype=torch.float32
        )
        with torch.autocast(waveforms.device.type, enabled=False):
            for clip in range(0, len(waveforms), n_clips):
                clips = clip if n_clips == 1 else slice(clip, clip + n_clips)
                for first in range(0, n_frames, n_block):
                    last = min(first + n_block, n_frames)
                    block = self._block(waveforms[clips], first, last)
                    log_mels[clips, :, first:last] = block.mT
        return log_mels

    def clips(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Transform clips (n_samples,) of any lengths into (n_bands, n_frames) each.

        A CPU has a clip in each thread; a GPU those of one length together.
        """
        device = waveforms[0].device
        if device.type == "cpu":
            return map_threads(lambda x: self(x[None])[0], waveforms, device=device)
        log_mels: list[Any] = [None] * len(waveforms)
        for rows in rows_of_one_length(waveforms):
            together = self(torch.stack([waveforms[row] for row in rows]))
            for row, log_mel in zip(rows, together, strict=True):
                log_mels[row] = log_mel
        return log_mels

    def _at_once(self, device, n_frames):
        """Clips, and frames of each, that are transformed at a time."""
        if device.type == "cpu":  # one clip: libraries below sum differently in a batch
            return 1, max(1, CPU_BLOCK // self.front_end.n_fft)
        n_block = max(1, GPU_BLOCK // self.front_end.n_fft)
        return max(1, n_block // n_frames), n_block

    def _block(self, waveforms, first, last):
        """Frames `first` to before `last`: (..., T, F), with T frames and F bands."""
        settings = self.front_end
        start = first * settings.hop - settings.n_fft // 2
        stop = start + (last - 1 - first) * settings.hop + settings.n_fft
        block = waveforms[..., max(0, start) : max(0, stop)].float()
        before = max(0, -start)
        block = pad(block, (before, stop - start - before - block.shape[-1]))
        frames = block.unfold(-1, settings.n_fft, settings.hop) * self.window
        spectrum = torch.fft.rfft(frames)  # ..., T, n_fft // 2 + 1
        if settings.power == 2:
            spectrum = spectrum.real.square() + spectrum.imag.square()
        else:
            spectrum = spectrum.abs()
        return compress(spectrum @ self.filters, settings)


def rows_of_one_length(clips: Sequence[Tensor]) -> list[list[int]]:
    """Group clips by the length of their last axis: lists of their places."""
    places: dict[int, list[int]] = {}
    for place, clip in enumerate(clips):
        places.setdefault(clip.shape[-1], []).append(place)
    return list(places.values())


def compress(mel: Tensor, front_end: FrontEnd) -> Tensor:
    """Mel values to their logarithm: ``log(1 + gain * mel)``.

    Parameters
    ----------
    mel : Tensor
        Not negative.
    front_end : FrontEnd
        Its `gain`, `base` and `half` are used.
    """
    if front_end.half:
        mel = mel.clamp(max=LARGEST_HALF).half().float()
    logarithm = torch.log1p(mel * front_end.gain)
    if front_end.base == "e":
        return logarithm
    return logarithm / math.log(front_end.base)


def mel_filters(front_end: FrontEnd) -> Tensor:
    """Triangular filters, evenly spaced and half overlapping on a mel scale.

    With e_0 ... e_{F+1} the F bands' edges in Hz, band k at frequency f is
    max(0, min((f - e_k) / (e_{k+1} - e_k), (e_{k+2} - f) / (e_{k+2} - e_{k+1}))),
    and ``norm="slaney"`` multiplies it by 2 / (e_{k+2} - e_k).

    Returns
    -------
    Tensor (n_fft // 2 + 1, n_bands), float64

    Warns
    -----
    UserWarning
        Where a band is so narrow that no bin of the transform falls into it.
    """
    low, high = (
        hz_to_mel(torch.tensor(f, dtype=torch.float64), front_end.mel_scale)
        for f in (front_end.f_min, front_end.highest)
    )
    steps = torch.arange(front_end.n_bands + 2, dtype=torch.float64)
    mels = low + (high - low) * steps / (front_end.n_bands + 1)
    edges = mel_to_hz(mels, front_end.mel_scale)
    bins = torch.arange(front_end.n_fft // 2 + 1, dtype=torch.float64)
    frequencies = bins[:, None] * (front_end.sample_rate / front_end.n_fft)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies - lower) / (centre - lower)
    falling = (upper - frequencies) / (upper - centre)
    filters = torch.minimum(rising, falling).clamp(min=0)
    empty = (filters == 0).all(dim=0).sum().item()
    if empty:
        warnings.warn(
            f"{empty} of {front_end.n_bands} mel bands are empty: narrower than the "
            f"{front_end.sample_rate / front_end.n_fft:.1f} Hz between two bins of the "
            "transform. Take fewer bands, a longer n_fft or a higher f_min.",
            UserWarning,
            stacklevel=3,
        )
    if front_end.norm == "slaney":
        filters = filters * (2 / (upper - lower))
    return filters


def hz_to_mel(frequency: Tensor, scale: Literal["slaney", "htk"]) -> Tensor:
    """Frequencies in Hz to mel; `scale` is "slaney" or "htk"."""
    if scale == "htk":
        return _HTK_FACTOR * torch.log10(1 + frequency / _HTK_BREAK)
    above = torch.log((frequency / _SLANEY_BREAK).clamp(min=1)) / _SLANEY_STEP
    return frequency.clamp(max=_SLANEY_BREAK) / _SLANEY_LINEAR + above


def mel_to_hz(mel: Tensor, scale: Literal["slaney", "htk"]) -> Tensor:
    """Mel to frequencies in Hz; `scale` is "slaney" or "htk"."""
    if scale == "htk":
        return _HTK_BREAK * (10 ** (mel / _HTK_FACTOR) - 1)
    turn = _SLANEY_BREAK / _SLANEY_LINEAR
    above = torch.exp((mel - turn).clamp(min=0) * _SLANEY_STEP)
    return mel.clamp(max=turn) * _SLANEY_LINEAR * above
