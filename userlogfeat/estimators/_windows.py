"""Statistics of frames over windows of time, for the estimators after Hamel et al."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array

from userlogfeat._check import (
    Clips,
    are_channels,
    check_choice,
    check_positive,
)
from userlogfeat._typing import ArrayLike
from userlogfeat.audio.scale import MAX_PEAK
from userlogfeat.audio.waveforms import MANY, MAX_CHANNELS
from userlogfeat.estimators._audio_transformer import (
    POOLINGS,
    AudioTransformer,
    gives_rows,
)
from userlogfeat.estimators._devices import resolve_device
from userlogfeat.estimators._parameters import ClipParameters, estimator
from userlogfeat.frontends import resolve_front_end
from userlogfeat.networks.frame_statistics import (
    STATISTICS,
    WINDOW,
    FrameTeacher,
    WindowStatistics,
)
from userlogfeat.networks.mel import LogMelSpectrogram

_SAMPLES = 16_000  # frames of few units that are samples: minutes, or a second

if TYPE_CHECKING:
    from userlogfeat.frontends import FrontEnd


@estimator
class WindowParameters(ClipParameters):
    """Windows of frames, and the statistics over each.

    Parameters
    ----------
    frontend : str or FrontEnd
        Settings of the spectrograms of paths and waveforms: see :class:`LogMel`.
    window : int or None
        Frames of a window: 64, 1.5 s, in the paper. None takes a clip as one window.
    window_hop : int or None
        Frames between the starts of windows; None is `window`, so that they do not
        overlap.
    statistics : sequence of {"mean", "var", "max", "min"}
        Statistics over the frames of a window, side by side in this order.
    pooling : {"mean", "max", "meanstd", None}
        How the windows of a clip become one row; ``"meanstd"`` is the mean and the
        standard deviation. None gives a list with one (n_windows, n_features) array a
        clip, as :class:`WindowRegressionClassifier` takes them.
    duration : float or None
        Maximum number of seconds to read of each clip; None is that of the front end's
        paper: 30 for ``"hamel2013"``. A shorter clip is read whole. To read whole songs
        pass the length of the longest, or more.
    crop : {"start", "middle"}
        Which part of a clip that is longer; the paper takes the start.
    short : {"repeat", "pad"}
        How a clip shorter than one window is filled: with itself again, or with zeros
        at its end. Frames are always repeated.
    """

    _: KW_ONLY
    frontend: str | FrontEnd = "hamel2013"
    window: int | None = WINDOW
    window_hop: int | None = None
    statistics: Sequence[Literal["mean", "var", "max", "min"]] = STATISTICS
    pooling: Literal["mean", "max", "meanstd"] | None = "mean"
    crop: Literal["start", "middle"] = "start"


class WindowTransformer(AudioTransformer):
    """Base of the estimators whose features are statistics over windows of frames.

    A subclass has the parameters of :class:`WindowParameters`.
    """

    precision = "fp32"  # there is little to multiply
    _instead = (
        "there is nothing to sum up over time, use them as they are; FeatureLookup "
        "looks up what `extract` wrote. Frames of your own go in as a list of (units, "
        "frames) arrays."
    )

    @available_if(gives_rows)
    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns, by layer, statistic and unit: ``base_mean_0``, ...

        With ``pooling="meanstd"`` ``base_mean_mean_0``, ..., ``base_std_min_199``: the
        means and the standard deviations over windows. Absent with ``pooling=None``.
        """
        sizes = self._load_network().layer_sizes
        poolings = ("mean_", "std_") if self.pooling == "meanstd" else ("",)
        names = []
        for layer in self._layer_names():
            n_units = sizes[layer] // (len(poolings) * len(self.statistics))
            names += [
                f"{layer}_{pooling}{statistic}_{unit}"
                for pooling in poolings
                for statistic in self.statistics
                for unit in range(n_units)
            ]
        return np.array(names, dtype=object)

    def _check_clips(self, X, *, reset=False):
        """X as clips; lists of 2-D arrays of any lengths are frames too."""
        if _is_list_of_frames(X):
            clips = Clips("log_mel", _check_frames(X))
        else:
            _refuse_channels(X)
            clips = super()._check_clips(X, reset=reset)
        if reset:
            log_mel = clips.kind == "log_mel"
            self._n_units_in = clips.rows[0].shape[0] if log_mel else None
        return clips

    def _make_teacher(self, **maps):
        """The torch module, for frames of the number of units that `fit` saw."""
        settings = resolve_front_end(self.frontend)
        n_bands = getattr(self, "_n_units_in", None) or settings.n_bands
        foreign = n_bands != settings.n_bands
        return FrameTeacher(
            None if foreign else LogMelSpectrogram(settings),
            n_bands,
            statistics=WindowStatistics(self.window, self.window_hop, self.statistics),
            pooling=self.pooling,
            **maps,
        )

    def _load_network(self):
        return self._make_teacher().to(resolve_device(self.device))

    def _read_duration(self):
        settings = self._front_end()
        return settings.duration if self.duration is None else float(self.duration)

    def _check_parameters(self):
        super()._check_parameters()
        resolve_front_end(self.frontend)
        for name in ("window", "window_hop"):
            if getattr(self, name) is not None:
                check_positive(getattr(self, name), name, integer=True)
        if self.window is None and self.window_hop is not None:
            raise ValueError(
                f"Got window_hop={self.window_hop!r} and window=None, which takes each "
                "clip as one window. Pass window= as well, or window_hop=None."
            )
        check_choice(self.pooling, "pooling", POOLINGS)
        names = self.statistics
        known = isinstance(names, list | tuple) and set(names) <= set(STATISTICS)
        if not known or len(names) == 0 or len(set(names)) < len(names):
            raise ValueError(
                f"Got statistics={names!r}, expected one or several different ones of "
                f"{STATISTICS}."
            )


def _is_list_of_frames(X):
    """Whether X is a list of 2-D arrays: frames of clips, of any lengths."""
    return (
        isinstance(X, list | tuple)
        and len(X) > 0
        and all(isinstance(row, np.ndarray | torch.Tensor) for row in X)
        and all(row.ndim == 2 for row in X)
    )


def _refuse_channels(X):
    """Raise for 3-D arrays that may be waveforms of several channels, or frames."""
    shape = getattr(X, "shape", ())
    if len(shape) == 3 and are_channels(shape):
        raise ValueError(
            f"Got an array of shape {shape}: waveforms of several channels, or (units, "
            "frames) of each clip? For one or two units or frames pass a list of 2-D "
            "arrays, list(X). Of waveforms pass the mean over the channels."
        )


def _is_sound(rows):
    """Whether the rows of an array go to and fro about 0, within full scale."""
    return (rows.min(axis=1) < 0).all() and 0 < np.abs(rows).max() <= MAX_PEAK


def _check_frames(X):
    rows = []
    for index, row in enumerate(X):
        try:
            rows.append(check_array(row, dtype=np.float32, input_name=f"X[{index}]"))
        except ValueError as error:
            raise ValueError(f"Clip {index} of X: {error}") from error
        n_units, n_frames = rows[-1].shape
        if n_frames <= MAX_CHANNELS and n_units > MANY:
            raise ValueError(
                f"Clip {index} of X has the shape {rows[-1].shape}: {n_frames} frames "
                f"of {n_units} units. Is it a waveform (samples, channels)? Pass the "
                "mean over its channels, a 1-D array."
            )
        if n_units <= MAX_CHANNELS and n_frames >= _SAMPLES and _is_sound(rows[-1]):
            raise ValueError(
                f"Clip {index} of X has the shape {rows[-1].shape}: {n_frames} frames "
                f"of {n_units} units. Is it a waveform (channels, samples)? Pass the "
                "mean over its channels, X.mean(axis=0), a 1-D array. If it is frames, "
                "pass parts of fewer frames."
            )
    sizes = sorted({len(row) for row in rows})
    if len(sizes) > 1:
        raise ValueError(
            f"Got clips of {sizes} units per frame, expected one number: each entry of "
            "X is (units, frames), all clips with the same units. Were some transposed?"
        )
    return rows
