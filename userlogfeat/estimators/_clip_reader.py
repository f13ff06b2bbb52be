"""Clips as waveforms of one rate and length, in the order of X.

Files are decoded ahead, by threads of their own; waveforms are brought to the same
rate and length as files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from userlogfeat._check import Clips
from userlogfeat._threads import n_decoders
from userlogfeat.audio import decode_ahead, fit_length, read_audio
from userlogfeat.audio.resampling import resample


@dataclass(frozen=True)
class ClipFeatures:
    """Features of one clip.

    Attributes
    ----------
    index : int
        Row of X.
    clip : object
        The path as given, or the row number.
    seconds : float
        Length of the audio that was read; NaN for spectrograms and failed clips.
    layers : dict of str to ndarray, or None
        float32, one array per layer; None for a clip that failed.
    error : AudioError or None
        Why it failed.
    more : bool
        Whether further clips of the same batch follow at once.
    """

    index: int
    clip: Any
    seconds: float
    layers: dict[str, np.ndarray] | None
    error: Exception | None = None
    more: bool = False


@dataclass(frozen=True)
class ClipReader:
    """Reads files and waveforms.

    Attributes
    ----------
    sample_rate : int
        Rate of what is read, in Hz.
    duration : float or None
        Seconds of each clip; None for the whole clip.
    crop : {"start", "middle"}
        Which part of a clip that is longer.
    short : {"repeat", "pad"}
        How a clip that is shorter is filled.
    min_samples : int
        Minimum length: shorter clips are filled even if `any_length`.
    any_length : bool
        Whether `duration` bounds what is read, without filling shorter clips.
    given_rate : int or None
        Rate of waveforms in X, in Hz; None is `sample_rate`.
    n_jobs : int
        Threads that decode files, at most.
    """

    sample_rate: int
    duration: float | None
    crop: str
    short: str
    min_samples: int = 1
    any_length: bool = False
    given_rate: int | None = None
    n_jobs: int = 1

    def read(self, clips: Clips) -> Iterator[ClipFeatures]:
        """Yield the waveform of each path or waveform, as the layer "input"."""
        for index, clip, waveform in self._waveforms(clips):
            if isinstance(waveform, Exception):
                yield ClipFeatures(index, clip, float("nan"), None, waveform)
                continue
            seconds = len(waveform) / self.sample_rate
            if len(waveform) < self.min_samples:
                waveform = fit_length(waveform, self.min_samples, short=self.short)
            yield ClipFeatures(index, clip, seconds, {"input": waveform})

    def _waveforms(self, clips):
        """(row, clip, waveform or error) of each clip."""
        if clips.kind == "waveforms":
            return zip(count(), count(), map(self._fit, clips.rows))
        read = partial(
            read_audio,
            sample_rate=self.sample_rate,
            duration=self.duration,
            crop=self.crop,
            short=self._short,
        )
        return decode_ahead(clips.rows, read, n_threads=n_decoders(self.n_jobs))

    def _fit(self, waveform):
        """Bring a waveform to the rate and the length of files."""
        given_rate = self.given_rate or self.sample_rate
        waveform = resample(waveform, given_rate, self.sample_rate)
        if self.duration is None:
            return waveform
        n_samples = round(self.duration * self.sample_rate)
        return fit_length(waveform, n_samples, crop=self.crop, short=self._short)

    @property
    def _short(self):
        return "keep" if self.any_length else self.short
