"""Random targets: the control with information on the input, and none on listeners.

A student that learns to estimate a random linear map of its input is regularised like
one that learns to estimate factors. A gain that both have is not knowledge.
"""

from typing import Any

import numpy as np

from userlogfeat._typing import Audio

_PROJECTION = 2  # stream of random numbers, in addition to a fit's seed


def random_projection(
    features: np.ndarray,
    train: np.ndarray,
    *,
    n_factors: int,
    length: float | None,
    seed: int,
) -> np.ndarray:
    """Map standardised features by a random matrix.

    Parameters
    ----------
    features : ndarray (n_clips, n_features)
        Features, as `input_statistics` returns them.
    train : ndarray of int
        Rows whose mean and deviation standardise the columns.
    n_factors : int
    length : float or None
        Root mean square length of the targets of `train`. None brings every row to
        unit length.
    seed : int
        Seed of the matrix.

    Returns
    -------
    ndarray (n_clips, n_factors), float64
    """
    scale = features[train].std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    standard = (features - features[train].mean(axis=0)) / scale
    rng = np.random.default_rng([seed, _PROJECTION])
    targets = standard @ rng.standard_normal((standard.shape[1], n_factors))
    lengths = np.linalg.norm(targets, axis=1, keepdims=True)
    if length is None:
        return targets / np.maximum(lengths, 1e-12)
    return targets * (length / np.sqrt(np.square(lengths[train]).mean()))


def input_statistics(X: Audio, student: Any) -> np.ndarray:
    """Return the input of a random projection for each clip.

    Features as they are; for audio, the mean and the standard deviation over time of
    each band of the student's log-mel spectrogram.

    Parameters
    ----------
    X : array-like of n_clips
        Features (n_clips, n_features) if the student has ``network="mlp"`` or no
        `frontend`; else paths, waveforms or log-mel spectrograms.
    student : estimator

    Returns
    -------
    ndarray (n_clips, n_features) or (n_clips, 2 * n_bands)
    """
    settings = student.get_params(deep=False)
    is_audio = "frontend" in settings and settings.get("network") != "mlp"
    if not is_audio:
        features = np.asarray(X, dtype=np.float64)
        return features.reshape(len(features), -1)
    if getattr(X, "ndim", 1) == 3:
        return np.stack([_band_statistics(log_mel) for log_mel in X])
    from userlogfeat.estimators.log_mel import LogMel

    names = ("duration", "short", "sample_rate", "device")
    kept = {name: settings[name] for name in names if name in settings}
    log_mel = LogMel(settings["frontend"], **kept)
    return np.stack(
        [_band_statistics(clip.layers["log_mel"]) for clip in log_mel.iter_features(X)]
    )


def _band_statistics(log_mel):
    """Mean and standard deviation over the frames of (bands, frames)."""
    log_mel = np.asarray(log_mel, dtype=np.float64)
    return np.concatenate([log_mel.mean(axis=1), log_mel.std(axis=1)])
