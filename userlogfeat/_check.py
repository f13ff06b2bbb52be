"""Checks of X (paths, waveforms, log-mel spectrograms) and of parameters."""

import os
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

_PATH_TYPES = (str, bytes, os.PathLike)
_EXPECTED = (
    "expected a list of paths, a 2-D array of waveforms (clips, samples), a list of "
    "1-D waveforms, or a 3-D array of log-mel spectrograms (clips, bands, frames)"
)
_QUIET = 16  # as integers of 16 bits, 66 dB below full scale
# How scikit-learn checks a matrix of plays, of users by items or the other way round.
PLAYS: dict[str, Any] = {
    "accept_sparse": "csr",
    "accept_large_sparse": True,
    "dtype": np.float32,
    "ensure_non_negative": True,
}
MAX_CHANNELS = 2  # of waveforms stacked as channels; no spectrogram has so few bands


@dataclass(frozen=True)
class Clips:
    """The rows of X, and their kind.

    Attributes
    ----------
    kind : {"paths", "waveforms", "log_mel"}
        Paths of audio files; waveforms, 1-D float32 each; or log-mel spectrograms,
        (bands, frames) float32 each.
    rows : list or ndarray
        One entry per clip.
    """

    kind: str
    rows: list | np.ndarray

    def __len__(self):
        return len(self.rows)


def check_audio(X, estimator=None, *, reset=False):
    """Recognise and check the X of an audio estimator.

    Parameters
    ----------
    X : array-like
        Paths (list, 1-D array or series of str, bytes or Path), waveforms (2-D float
        array, one clip per row, or a list of 1-D arrays of any lengths) or log-mel
        spectrograms (3-D float array: clips, bands, frames).
    estimator : estimator, optional
        Where given, 2-D and 3-D arrays set (`reset`) or must match its
        ``n_features_in_``: the length of a row, or the number of bands.
    reset : bool
        True in ``fit``.

    Returns
    -------
    Clips

    Raises
    ------
    TypeError, ValueError
        Where X is none of these, is empty, or has NaN or infinite values.
    """
    from sklearn.utils.validation import check_array, validate_data

    if isinstance(X, _PATH_TYPES):
        raise TypeError(
            f"Got the single path {X!r}, expected a list of paths: pass [{X!r}]."
        )
    sparse = hasattr(X, "toarray")  # some are dicts as well; refused further on
    if (
        X is None
        or (isinstance(X, dict | set) and not sparse)
        or hasattr(X, "__next__")
    ):
        raise TypeError(f"Got X of type {type(X).__name__}, {_EXPECTED}.")
    if isinstance(X, list | tuple) and len(X) == 0:
        raise ValueError("Found 0 sample(s): X is empty, expected one clip or more.")
    paths = _as_paths(X)
    ragged = paths is None and isinstance(X, list | tuple) and _is_ragged(X)
    if (paths is not None or ragged) and estimator is not None and reset:
        _forget_features(estimator)
    if paths is not None:
        return Clips("paths", paths)
    if ragged:
        return Clips("waveforms", _check_waveforms(X))
    if isinstance(X, list | tuple):
        _refuse_odd_rows(X)
    _refuse_odd_samples(X, "X")
    settings = {"dtype": np.float32, "allow_nd": True, "order": "C"}
    n_axes = X.ndim if hasattr(X, "ndim") else check_array(X, **settings).ndim
    if n_axes == 1:
        raise ValueError(
            f"Got an array of {len(X)} numbers, {_EXPECTED}. Reshape your data: pass "
            "[X] if it is one waveform."
        )
    if estimator is not None and reset:
        estimator._n_axes_in = n_axes
    if estimator is None or n_axes != getattr(estimator, "_n_axes_in", n_axes):
        # Waveforms in fit and spectrograms now: nothing to compare their sizes with.
        X = check_array(X, input_name="X", **settings)
    else:
        X = validate_data(estimator, X, reset=reset, **settings)
    if X.ndim > 3 or X.size == 0:
        raise ValueError(f"Got an array of shape {X.shape}, {_EXPECTED}.")
    if X.ndim == 3:
        if are_channels(X.shape):
            raise ValueError(_several_channels(X.shape))
        return Clips("log_mel", X)
    return Clips("waveforms", X)


def check_features(estimator, X, *, dtype=np.float32, **settings):
    """Check the X of an estimator of precomputed features, by `validate_data`."""
    from sklearn.utils.validation import validate_data

    refuse_paths(X, f"this {type(estimator).__name__}")
    return validate_data(estimator, X, dtype=dtype, **settings)


def refuse_paths(X, reader, width="n_features"):
    """Raise where X has paths, but who reads it (`reader`) reads features."""
    if paths := _as_paths(X):
        raise ValueError(
            f"Got the path or text {paths[0]!r}, but {reader} reads precomputed "
            f"features (n_clips, {width}). Embed the clips first, such as by "
            "UserLogEmbedder() before it in a pipeline, or look them up with "
            "FeatureLookup."
        )


def are_channels(shape):
    """Whether an array (clips, ?, ?) is more likely of channels than of bands."""
    return min(shape[1:]) <= MAX_CHANNELS < max(shape[1:])


def _as_paths(X):
    """Return X as a list of paths, or None where it holds no paths."""
    if isinstance(X, np.ndarray) and X.dtype.kind in "fiubc":
        return None
    if not isinstance(X, list | tuple):
        if not hasattr(X, "__array__") or hasattr(X, "toarray"):
            return None
        X = np.asarray(X)
        if X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]  # a frame of one column
        if X.ndim != 1 or X.dtype.kind not in "USO":
            return None
        X = X.tolist()
    found = [isinstance(row, _PATH_TYPES) for row in X]
    if not any(found):
        return None
    if not all(found):
        row = found.index(False)
        raise TypeError(
            f"Got a mixture of paths and other things: row {row} is {X[row]!r} "
            f"({type(X[row]).__name__}). Every row must be a path."
        )
    if any(isinstance(row, str | bytes) and len(row) == 0 for row in X):
        row = next(i for i, path in enumerate(X) if path in ("", b""))
        raise ValueError(f"Row {row} of X is an empty path. Drop it or fill it in.")
    return list(X)


def _is_ragged(X):
    """Whether a list holds 1-D arrays (of whatever lengths), not numbers or rows."""
    return (
        len(X) > 0
        and all(isinstance(row, np.ndarray) or hasattr(row, "detach") for row in X)
        and all(getattr(row, "ndim", None) == 1 for row in X)
    )


def _refuse_odd_rows(X):
    """Raise for lists of what other libraries return for a file."""
    first = X[0]
    shapes = {getattr(row, "shape", None) for row in X}
    if any(row is None for row in X):
        row = next(index for index, row in enumerate(X) if row is None)
        raise TypeError(f"Row {row} of X is None, {_EXPECTED}.")
    if isinstance(first, dict):
        raise TypeError(
            "Row 0 of X is a dict. Pass its waveform, [row['array'] for row in X], and "
            "its rate as sample_rate= of the estimator."
        )
    if isinstance(first, tuple) and len(first) == 2 and np.ndim(first[0]) == 1:
        raise TypeError(
            "Row 0 of X is a pair, as of a waveform and its rate. Pass the waveforms, "
            "[wave for wave, rate in X], and the rate as sample_rate= of the estimator."
        )
    if len(shapes) > 1 and None not in shapes:
        some = " and ".join(map(str, sorted(shapes)[:2]))
        raise ValueError(
            f"The rows of X are of different shapes, {some}. Are they waveforms "
            "(channels, samples)? Pass the mean of each over its channels, "
            "[x.mean(axis=0) for x in X]. Spectrograms must have one length."
        )


def _check_waveforms(X):
    waveforms = []
    for index, row in enumerate(X):
        waveform = np.asanyarray(row)
        if waveform.dtype.kind not in "fiu":
            raise TypeError(
                f"Waveform {index} of X has dtype {waveform.dtype}, expected numbers."
            )
        _refuse_odd_samples(waveform, f"Waveform {index} of X")
        if waveform.size == 0:
            raise ValueError(
                f"Waveform {index} of X has 0 samples. Drop the clip or read it again."
            )
        waveform = np.ascontiguousarray(waveform, dtype=np.float32)
        if not np.isfinite(waveform).all():
            raise ValueError(
                f"Waveform {index} of X contains NaN or infinity. Drop the clip, or "
                "replace the bad samples (numpy.nan_to_num)."
            )
        waveforms.append(waveform)
    return waveforms


def _refuse_odd_samples(X, name):
    """Raise for integers, dates and masks; small numbers of wide types pass."""
    dtype = getattr(X, "dtype", None)
    if np.ma.is_masked(X):
        raise ValueError(
            f"{name} is a masked array, whose masked values would be read as samples: "
            "pass X.filled(0), or what they should be."
        )
    if getattr(dtype, "kind", None) in ("m", "M"):
        raise TypeError(f"{name} has dtype {dtype}, expected numbers.")
    kind, bits = getattr(dtype, "kind", None), 8 * getattr(dtype, "itemsize", 0)
    if kind not in ("i", "u") or X.size == 0:
        return
    if bits > 16 and -_QUIET <= X.min() and X.max() <= _QUIET:
        return
    wide = bits > 16 and max(-int(X.min()), int(X.max())) > 1 << 16
    full_scale = 1 << (31 if wide else min(bits, 16) - 1)
    remedy = f"X / {full_scale}"
    if kind == "u":
        remedy = f"(X - {full_scale}.0) / {full_scale}"
    raise ValueError(
        f"{name} has dtype {dtype} and integer samples, expected floats of full scale "
        f"1: pass {remedy}, or divide by 32768 if they are of 16 bits, by 8388608 if "
        "of 24."
    )


def _several_channels(shape):
    return (
        f"Got an array of shape {shape}, expected log-mel spectrograms (clips, bands, "
        "frames). Are these waveforms of several channels? Clips have one channel: "
        "pass the mean over that axis, or the paths of the files."
    )


def _forget_features(estimator):
    """Drop the notes of an earlier fit on arrays: paths have no features."""
    for name in ("n_features_in_", "feature_names_in_", "_n_axes_in"):
        if hasattr(estimator, name):
            delattr(estimator, name)


def require_y(y, name, purpose):
    """Raise where the target y is None; `name` is that of the estimator."""
    if y is None:
        raise ValueError(
            f"{name} requires y to be passed, but the target y is None: {purpose}."
        )


def check_choice(value, name, choices):
    """Raise unless `value` is one of `choices`, naming the parameter."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"Got {name}={value!r}, expected one of {listed}.")


def check_positive(value, name, *, integer=False):
    """Raise unless `value` is a positive finite number (or integer)."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    whole = not integer or isinstance(value, Integral)
    if not (number and whole and 0 < value < float("inf")):
        kind = "integer" if integer else "number"
        raise ValueError(f"Got {name}={value!r}, expected a positive finite {kind}.")


def check_number(
    value, name, low, high=float("inf"), *, ends="[]", integer=False, also=None
):
    """Raise unless `value` is a finite number in an interval.

    Parameters
    ----------
    value : object
        Value of a parameter.
    name : str
        Name of the parameter.
    low, high : float
        Ends of the interval.
    ends : {"[]", "[)", "(]", "()"}
        Which of the ends are in it.
    integer : bool
        Whether it must be an integer.
    also : str, optional
        Text that is allowed instead, such as "auto".
    """
    if isinstance(value, str) and value == also:
        return
    kind = Integral if integer else Real
    number = isinstance(value, kind) and not isinstance(value, bool)
    above = number and (low < value or (ends[0] == "[" and value == low))
    below = number and (value < high or (ends[1] == "]" and value == high))
    if not (above and below and abs(value) < float("inf")):
        what = "an integer" if integer else "a number"
        what = what if also is None else f"{also!r} or {what}"
        upper = f"{high:g}{ends[1]}" if high < float("inf") else "inf)"
        raise ValueError(
            f"Got {name}={value!r}, expected {what} in {ends[0]}{low:g}, {upper}."
        )


def check_weights(sample_weight, n_clips, *, dtype=np.float32):
    """Weights of clips (n_clips,) as floats: ones for None, one number for all.

    Raises
    ------
    ValueError
        Where they are NaN, negative, all 0, or of another number of clips.
    """
    if sample_weight is None or isinstance(sample_weight, Real):
        weight = 1.0 if sample_weight is None else sample_weight
        return np.full(n_clips, weight, dtype=dtype)
    from sklearn.utils.validation import check_array

    weight = check_array(
        sample_weight, dtype=dtype, ensure_2d=False, input_name="sample_weight"
    )
    if weight.shape != (n_clips,):
        raise ValueError(
            f"Got sample_weight of shape {weight.shape}, expected ({n_clips},): a "
            "weight for each clip."
        )
    if (weight < 0).any():
        raise ValueError("Negative values in data passed to `sample_weight`.")
    if not weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weight
