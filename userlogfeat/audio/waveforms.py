"""Check waveforms that are given as arrays: these have no rate, and may not be sound.

Files describe what they hold; arrays do not. The arrays refused here would silently be
read as something else: integers cast to float, channels side by side, features in place
of samples, samples of another rate. A rate that is stated settles the last two.
"""

import warnings

import numpy as np

from userlogfeat._check import check_positive
from userlogfeat._pages import see
from userlogfeat.audio.scale import MAX_PEAK, integer_full_scale

# Rates of recordings, in Hz: one at which all clips last whole seconds is theirs.
RATES = (16000, 22050, 24000, 32000, 44100, 48000, 96000)
MIN_RATE, MAX_RATE = 1000, 1_000_000  # in Hz: not kHz
# Seconds. Clips that are all shorter are features, unless their rate is stated.
SHORTEST = 0.2
# Beyond this, samples are not a loud mix of floats, whatever they are.
LOUDEST = 256.0
# More rows than MANY of MAX_CHANNELS numbers at most: a clip with time along rows.
MANY, MAX_CHANNELS = 1000, 8
_ABOUT_WHOLE = 20  # parts of a second that clips last a multiple of, by choice


def check_rate(sample_rate: int | None) -> None:
    """Raise unless a rate of waveforms is None or one that recordings have, in Hz."""
    if sample_rate is None:
        return
    check_positive(sample_rate, "sample_rate", integer=True)
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise ValueError(
            f"Got sample_rate={sample_rate!r}, expected {MIN_RATE} to {MAX_RATE} Hz. "
            "Is it in kHz?"
        )


def check_sound(
    waveforms: np.ndarray | list,
    *,
    sample_rate: int | None,
    model_rate: int,
    seconds: float | None = None,
    instead: str = "",
) -> None:
    """Raise where arrays cannot be the sound that they are taken for.

    Parameters
    ----------
    waveforms : ndarray (n_clips, n_samples), or list of ndarray (n_samples,)
        Float, finite.
    sample_rate : int or None
        Stated rate of the waveforms, in Hz; None if it is not stated.
    model_rate : int
        Rate of the model, in Hz, which is then taken for theirs.
    seconds : float, optional
        Length of a clip that the model takes in: its duration, or its context.
    instead : str
        Advice for features.

    Raises
    ------
    ValueError
        Where samples are in the range of integers, or time runs along the rows.
        Without a stated rate also where all clips are far shorter than the model's,
        never change their sign, or last whole seconds at another usual rate alone.

    Warns
    -----
    UserWarning
        Where samples are louder than float mixes are, or whole numbers, but too quiet
        for integers; or where, at a stated rate, no clip changes its sign.
    """
    lengths = {len(row) for row in waveforms}
    _check_peak(waveforms)
    _check_orientation(lengths, len(waveforms))
    if sample_rate is None:
        _check_length(max(lengths), model_rate, seconds, instead)
        _check_rate_of(lengths, model_rate, seconds)
    if _keeps_sign(waveforms):
        text = (
            "No clip of X changes its sign, as sound does about 0: these are features, "
            "or unsigned samples."
        )
        if sample_rate is None:
            raise ValueError(
                f"{text} If they are features: {instead} Unsigned samples of 8 bits "
                "become sound by (X - 128) / 128. If they are sound, pass sample_rate="
                f"{model_rate}, or what it is.{see('guide/audio')}"
            )
        warnings.warn(f"{text} Subtract the mean of each.", stacklevel=4)


def _check_peak(waveforms):
    peaks = [max(row.max(), -row.min()) for row in waveforms]
    row = int(np.argmax(peaks))
    peak = float(peaks[row])
    said = f"Waveform {row} of X reaches {peak:.5g}, where full scale is 1"
    full_scale = integer_full_scale(waveforms[row], peak=peak)
    if full_scale is None and peak > MAX_PEAK:
        raise ValueError(f"{said}: is it audio?")
    if full_scale is None:
        return
    if peak <= LOUDEST and (peak <= MAX_PEAK or (waveforms[row] % 1).any()):
        warnings.warn(  # of integers, 16 would be near silence
            f"{said}, which is {20 * np.log10(peak):.0f} dB above it: divide X by what "
            "full scale is there.",
            stacklevel=5,
        )
        return
    raise ValueError(
        f"{said}: these are integers cast to float, and features of them would be "
        f"wrong. Divide X by {full_scale}, or by the full scale of your integers."
        f"{see('guide/audio')}"
    )


def _check_orientation(lengths, n_rows):
    if max(lengths) <= MAX_CHANNELS and n_rows > MANY:
        n_channels = max(lengths)
        raise ValueError(
            f"Got X of shape ({n_rows}, {n_channels}), which is {n_rows} clips of "
            f"{n_channels} samples. Is it one clip, (samples, channels)? Pass the mean "
            "over its channels, [X.mean(axis=1)]; for a clip of each channel, X.T."
        )


def _check_length(longest, model_rate, seconds, instead):
    expected = 4 * SHORTEST if seconds is None else seconds
    if longest >= min(SHORTEST, expected / 4) * model_rate:
        return
    raise ValueError(
        f"The rows of X have {longest} numbers. As waveforms at {model_rate} Hz they "
        f"last {1000 * longest / model_rate:.3g} ms, where the model takes in "
        f"{expected:.3g} s. If they are features: {instead} If X is one clip (samples, "
        "channels): pass [X.mean(axis=1)]. If they are waveforms, however short, pass "
        f"sample_rate={model_rate}, or what it is.{see('guide/audio')}"
    )


def _check_rate_of(lengths, model_rate, seconds):
    """Raise where all clips last whole seconds at another rate, but not at this."""

    def last(rate, parts):
        return all(
            n * parts % rate == 0 or n == round((seconds or 0) * rate) for n in lengths
        )

    if last(model_rate, _ABOUT_WHOLE):
        return
    rates = [rate for rate in RATES if min(lengths) >= rate and last(rate, 1)]
    if rates:
        n = max(lengths)
        raise ValueError(
            f"The waveforms of X have {n} samples: {n / model_rate:.3f} s at the "
            f"{model_rate} Hz of the model, but {n / rates[0]:g} s at {rates[0]} Hz. "
            f"Pass the rate at which they were read, sample_rate={rates[0]} or "
            f"another of {RATES}, and they are resampled; or sample_rate={model_rate} "
            f"if that is theirs.{see('guide/audio')}"
        )


def _keeps_sign(waveforms):
    """Whether all rows are of one sign, and not all are silent."""
    lows = np.array([row.min() for row in waveforms])
    highs = np.array([row.max() for row in waveforms])
    kept = (lows >= 0) | (highs <= 0)
    return bool(kept.all() and (lows != highs).any())
