"""The base features of Hamel et al. 2013: statistics of frames over windows of time.

Hamel, Davies, Yoshii, Goto (2013), "Transfer learning in MIR": mean, variance, maximum
and minimum over windows of 64 frames, of 200 mel bands, without any labels.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from userlogfeat._digests import json_digest
from userlogfeat.estimators._parameters import estimator
from userlogfeat.estimators._windows import WindowParameters, WindowTransformer
from userlogfeat.frontends import resolve_front_end

if TYPE_CHECKING:
    from userlogfeat.frontends import FrontEnd


@estimator
class MelStatistics(WindowParameters, WindowTransformer):
    """Mean, variance, maximum and minimum of mel bands over windows of time.

    There is nothing to learn. Given frames of any other making, such as activations of
    a network, it takes the statistics of those.

    Parameters
    ----------
    batch_size : int
        Clips transformed before the next are asked for.

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

    frontend: str | FrontEnd = "hamel2013"

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
            self._read_duration(),
            self.crop,
            self.short,
        ]
        return json_digest(settings, sort_keys=False)[:16]
