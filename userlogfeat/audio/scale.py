"""Detect samples in the range of integers, where full scale should be 1.

A file or an array of 16-bit samples that was cast to float, and not divided, holds the
right sound 32,768 times too loud. Networks that take logarithms of a spectrogram, as
those here do, then return features of something else.
"""

import numpy as np

# Full scale is 1. Mixes in float go a few times beyond it; 16 is 24 dB above.
MAX_PEAK = 16.0
_LOUD = 2.0  # beyond which samples that are all whole numbers are integers
_FULL_SCALES = (1 << 15, 1 << 23, 1 << 31)  # of 16, 24 and 32 bits
_HEADROOM = 2.0  # resampling overshoots full scale


def integer_full_scale(waveform: np.ndarray, peak: float | None = None) -> int | None:
    """Return the number to divide samples by that are in the range of integers.

    Parameters
    ----------
    waveform : ndarray, float
        Samples, of any shape.
    peak : float, optional
        Largest of their absolute values, if it is known.

    Returns
    -------
    int or None
        32768, 8388608 or 2147483648: the full scale of 16, 24 or 32 bits, the lowest
        that the samples do not exceed twofold. None if they are floats with full scale
        1: up to `MAX_PEAK`, or up to 2 if all are whole numbers. None also if some are
        not finite or beyond all three: no division mends that.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.audio.scale import integer_full_scale
    >>> wave = np.array([0.5, -1.2, 0.7])
    >>> integer_full_scale(wave), integer_full_scale(np.round(wave * 2**15))
    (None, 32768)
    """
    if peak is None:
        peak = np.abs(waveform).max(initial=0.0)
    if not _LOUD < peak <= _HEADROOM * _FULL_SCALES[-1]:
        return None
    if peak <= MAX_PEAK and (waveform != np.rint(waveform)).any():
        return None
    return next(scale for scale in _FULL_SCALES if peak <= _HEADROOM * scale)
