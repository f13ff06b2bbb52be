"""Resample by soxr at high quality, block by block; find where crops begin."""

from collections.abc import Iterable
from math import gcd

import numpy as np
import soxr

# Samples, at the lower of two rates, after which soxr's filter no longer depends on the
# edge of the input (measured: 200 bring the difference down to rounding).
MARGIN = 400


def resample(waveform: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """Return a waveform at another rate, as :func:`read_audio` resamples a whole file.

    Parameters
    ----------
    waveform : ndarray (n_samples,)
    rate_in, rate_out : int
        In Hz.

    Returns
    -------
    ndarray (ceil(n_samples * rate_out / rate_in),), float32
        The waveform itself where the rates are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.audio.resampling import resample
    >>> resample(np.zeros(44100, np.float32), 44100, 16000).shape
    (16000,)
    """
    if rate_in == rate_out:
        return waveform
    blocks = [np.asarray(waveform, np.float32)]
    return resample_blocks(blocks, int(rate_in), int(rate_out))


def resample_blocks(
    blocks: Iterable[np.ndarray], rate_in: int, rate_out: int
) -> np.ndarray:
    """Resample blocks of a waveform as they come, so that only the result is held."""
    if rate_in == rate_out:
        return _joined(list(blocks))
    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
    parts, n_read = [], 0
    for block in blocks:
        parts.append(stream.resample_chunk(block))
        n_read += len(block)
    parts.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    n_samples = resampled_length(n_read, rate_in, rate_out)
    # soxr rounds to the nearest length, one sample less at most.
    missing = n_samples - sum(map(len, parts))
    parts.append(np.zeros(max(0, missing), np.float32))
    return _joined(parts)[:n_samples]


def resampled_length(n_samples: int, rate_in: int, rate_out: int) -> int:
    """Return the number of samples at another rate, rounded up."""
    return -(-n_samples * rate_out // rate_in)


def span_of(
    first: int, wanted: int, rate_in: int, rate_out: int
) -> tuple[int, int, int]:
    """Find the part of a file that holds some samples of the resampled file.

    Input sample k * rate_in / g and output sample k * rate_out / g, with g the rates'
    greatest common divisor, are at the same time. Resampling from there on, rather than
    from anywhere, puts every output sample at the time that it has in the whole file.

    Parameters
    ----------
    first, wanted : int
        First sample of the resampled file, and number of samples.
    rate_in, rate_out : int
        In Hz.

    Returns
    -------
    start, stop : int
        The part to read, in samples of the file.
    skip : int
        Resampled samples before `first`, which are to be dropped.
    """
    if rate_in == rate_out:
        return first, first + wanted, 0
    divisor = gcd(rate_in, rate_out)
    margin = resampled_length(MARGIN, min(rate_in, rate_out), rate_out)
    step = rate_out // divisor
    k = max(0, first - margin) // step
    stop = resampled_length(first + wanted + margin, rate_out, rate_in)
    return k * (rate_in // divisor), stop, first - k * step


def _joined(parts):
    """Parts as one array; each is freed once it is copied."""
    joined = np.empty(sum(map(len, parts)), np.float32)
    position = 0
    for index, part in enumerate(parts):
        parts[index] = None
        joined[position : position + len(part)] = part
        position += len(part)
    return joined
