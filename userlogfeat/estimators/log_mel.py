"""LogMel: log-mel spectrograms, with the settings of a paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from userlogfeat._typing import Audio
from userlogfeat.estimators._audio_transformer import AudioTransformer
from userlogfeat.estimators._devices import resolve_device
from userlogfeat.estimators._parameters import ClipParameters, estimator
from userlogfeat.frontends import resolve_front_end
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.teacher import to_log_mels

if TYPE_CHECKING:
    from userlogfeat.frontends import FrontEnd


@estimator
class LogMel(ClipParameters, AudioTransformer):
    """Log-mel spectrograms of clips.

    There is nothing to learn. All clips of one call must give the same number of
    frames: pass `duration` where neither the front end nor the files have one length.

    Parameters
    ----------
    frontend : str or FrontEnd
        A name in ``userlogfeat.FRONTENDS`` (``"lee2019"``, ``"chen2021"``,
        ``"hamel2013"``, ``"park2017"``, ``"musicnn"``), or settings of your own.
    duration : float or None
        Seconds of each clip. None means the paper's context (30 s for ``"lee2019"``
        and ``"hamel2013"``, 3 s for ``"chen2021"``), and whole clips where the paper
        reads them whole.
    crop : {"middle", "start"}
        Which part of a clip that is longer.
    batch_size : int
        Clips transformed before the next are asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat import LogMel
    >>> second = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    >>> LogMel("musicnn").fit_transform([second, 0.5 * second]).shape
    (2, 96, 63)
    >>> LogMel("lee2019").fit_transform([second]).shape
    (1, 96, 1280)
    """

    # What the base class asks for, and there is no choice of here.
    layer = "log_mel"
    precision = "fp32"

    frontend: str | FrontEnd = "musicnn"

    def transform(self, X: Audio) -> np.ndarray:
        """Spectrograms of clips.

        Parameters
        ----------
        X : array-like of n_clips
            Paths, waveforms at the front end's sample rate, or log-mel spectrograms,
            which are returned as they are.

        Returns
        -------
        ndarray (n_clips, n_bands, n_frames), float32
            C-contiguous.

        Raises
        ------
        AudioError
            Where a file cannot be read.
        ValueError
            Where the clips differ in their number of frames.
        """
        X = X if hasattr(X, "__len__") else np.asarray(X)
        log_mels = None
        for features in self.iter_features(X):
            log_mel = features.layers["log_mel"]
            if log_mels is None:
                log_mels = np.empty((len(X), *log_mel.shape), dtype=np.float32)
            if log_mel.shape != log_mels.shape[1:]:
                raise ValueError(
                    f"Clip {features.clip!r} has {log_mel.shape[1]} frames, but the "
                    f"first has {log_mels.shape[2]}: they do not fit into one array. "
                    "Pass duration= (in seconds), to crop or fill them to one length."
                )
            log_mels[features.index] = log_mel
        return log_mels

    def _load_network(self):
        front_end = LogMelSpectrogram(self._front_end())
        return _Spectrograms(front_end.to(resolve_device(self.device)))

    def _forward(self, network, clips, layers):
        return {"log_mel": to_log_mels(network.front_end, clips)}

    def _read_duration(self):
        return self._front_end().duration if self.duration is None else self.duration

    def _front_end(self):
        return resolve_front_end(self.frontend)

    def _check_parameters(self):
        super()._check_parameters()
        self._front_end()


@dataclass(frozen=True)
class _Spectrograms:
    """A front end, as the base class expects networks to be."""

    front_end: LogMelSpectrogram
    min_samples: int = 1

    @property
    def sample_rate(self):
        return self.front_end.front_end.sample_rate

    @property
    def n_bands(self):
        return self.front_end.front_end.n_bands
