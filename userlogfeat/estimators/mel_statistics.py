"""The base features of Hamel et al. 2013: statistics of frames over windows of time.

Hamel, Davies, Yoshii, Goto (2013), "Transfer learning in MIR": mean, variance, maximum
and minimum over windows of 64 frames, of 200 mel bands; what no label has touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from userlogfeat._digests import json_digest
from userlogfeat._typing import Device
from userlogfeat.estimators._windows import WindowTransformer
from userlogfeat.frontends import resolve_front_end
from userlogfeat.networks.frame_statistics import STATISTICS, WINDOW

if TYPE_CHECKING:
    from userlogfeat.frontends import FrontEnd


class MelStatistics(WindowTransformer):
    """Mean, variance, maximum and minimum of mel bands over windows of time.

    There is nothing to learn. Given frames of any other making, such as activations of
    a network, it takes the statistics of those.

    Parameters
    ----------
    frontend : str or FrontEnd
        Spectrograms of paths and waveforms: see :class:`LogMel`.
    window : int or None
        Frames of a window: 64, 1.5 s, in the paper. None takes a clip as one window.
    window_hop : int or None
        Frames between the starts of windows; None is `window`, so that they do not
        overlap.
    statistics : sequence of {"mean", "var", "max", "min"}
        Which, side by side in this order.
    pooling : {"mean", "max", "meanstd", None}
        How the windows of a clip become one row; ``"meanstd"`` is the mean and the
        standard deviation. None gives a list with one (n_windows, n_features) array a
        clip, as :class:`WindowRegressionClassifier` takes them.
    duration : float or None
        Seconds that are read of each clip at most; None is that of the front end's
        paper: 30 for ``"hamel2013"``. A shorter clip is read whole. To read whole
        songs pass the length of the longest, or more.
    crop : {"start", "middle"}
        Which part, where a clip is longer; the paper takes the start.
    short : {"repeat", "pad"}
        How a clip shorter than one window is filled: with itself again, or with zeros
        at its end. Frames are always repeated.
    sample_rate : int or None
        Rate of waveforms in X, in Hz, from which they are resampled. None takes it
        for that of `frontend`. Files know theirs.
    batch_size : int
        Clips transformed before the next are asked for.
    n_jobs : int
        Threads that decode files.
    device : str or torch.device
        ``"auto"`` is the GPU where there is one.

    Attributes
    ----------
    n_features_in_ : int
        Length of a row of X, where X is a 2-D array; units of a frame, where it is 3-D.
    layer_sizes : dict of str to int
        Columns of ``"base"``, the only layer, of files and waveforms.

    Notes
    -----
    Frames after the last whole window are left out. How the paper's windows are placed
    and what becomes of the rest is not stated.

    References
    ----------
    .. [1] P. Hamel, M. E. P. Davies, K. Yoshii, M. Goto, "Transfer learning in MIR:
       sharing learned latent representations for music audio classification and
       similarity", ISMIR 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat import MelStatistics
    >>> clips = np.random.default_rng(0).normal(size=(2, 66150))  # 3 s at 22,050 Hz
    >>> MelStatistics().fit_transform(clips).shape  # 4 statistics of 200 bands
    (2, 800)
    >>> windows = MelStatistics(pooling=None).fit_transform(clips)
    >>> [clip.shape for clip in windows]  # 130 frames are two windows of 64
    [(2, 800), (2, 800)]

    Statistics of any frames, here of one clip with two units over four frames:

    >>> frames = [np.array([[0, 0, 1, 1], [1, 2, 3, 4]])]
    >>> MelStatistics(window=4, statistics=("mean", "max")).fit_transform(frames)
    array([[0.5, 2.5, 1. , 4. ]], dtype=float32)
    """

    layer = "base"

    def __init__(
        self,
        frontend: str | FrontEnd = "hamel2013",
        *,
        window: int | None = WINDOW,
        window_hop: int | None = None,
        statistics: Sequence[Literal["mean", "var", "max", "min"]] = STATISTICS,
        pooling: Literal["mean", "max", "meanstd"] | None = "mean",
        duration: float | None = None,
        crop: Literal["middle", "start"] = "start",
        short: Literal["repeat", "pad"] = "repeat",
        sample_rate: int | None = None,
        batch_size: int = 16,
        n_jobs: int = 2,
        device: Device = "auto",
    ) -> None:
        self.frontend = frontend
        self.window = window
        self.window_hop = window_hop
        self.statistics = statistics
        self.pooling = pooling
        self.duration = duration
        self.crop = crop
        self.short = short
        self.sample_rate = sample_rate
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.device = device

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Columns of the layer that files and waveforms give, by name."""
        self._check_parameters()
        if self.pooling is None:
            raise ValueError(
                "With pooling=None a clip has as many rows as windows, so its layer "
                'has no one size. Pass pooling="mean", "max" or "meanstd".'
            )
        n_bands = resolve_front_end(self.frontend).n_bands
        factor = 2 if self.pooling == "meanstd" else 1
        return {self.layer: factor * len(self.statistics) * n_bands}

    @property
    def fingerprint(self) -> str:
        """Identifies the settings: equal strings, equal features."""
        settings = [
            asdict(resolve_front_end(self.frontend)),
            self.window,
            self.window_hop,
            list(self.statistics),
            self.pooling,
            self._heard_duration(),
            self.crop,
            self.short,
        ]
        return json_digest(settings, sort_keys=False)[:16]
