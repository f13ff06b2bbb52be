"""Read audio files as waveforms: decode, downmix, resample, crop, fill.

A waveform is the mean of a file's channels, resampled by soxr at high quality, in that
order (as librosa.load does it). A crop of a long file seeks and decodes only what it
needs, and equals the crop of the whole file.
"""

from typing import Literal

import numpy as np
from sklearn.utils import check_random_state

from userlogfeat._check import check_choice, check_positive
from userlogfeat._typing import ClipId, RandomState
from userlogfeat.audio.errors import TooLongAudioError
from userlogfeat.audio.files import open_audio
from userlogfeat.audio.resampling import resample_blocks, resampled_length, span_of
from userlogfeat.audio.waveforms import check_rate

CROPS = ("start", "middle", "random")
SHORTS = ("repeat", "pad", "keep")
# Maximum length of a clip: 2 GiB, which are 9.3 h at 16 kHz. Small files may hold more.
MAX_SAMPLES = 1 << 29


def read_audio(
    path: ClipId,
    *,
    sample_rate: int,
    duration: float | None = None,
    crop: Literal["start", "middle", "random"] = "middle",
    short: Literal["repeat", "pad", "keep"] = "repeat",
    random_state: RandomState = None,
) -> np.ndarray:
    """Read a file as one waveform.

    Parameters
    ----------
    path : str, bytes or Path
        One of `userlogfeat.audio.formats.FORMATS`, or, with the extra `formats`, of
        `EXTRA_FORMATS`; recognised by content.
    sample_rate : int
        Rate to resample to, in Hz.
    duration : float, optional
        Length of the result, in seconds; by default the whole file.
    crop : {"start", "middle", "random"}
        Part of a longer file to take.
    short : {"repeat", "pad", "keep"}
        How a shorter file is filled: with itself again, or with zeros at its end.
        ``"keep"`` leaves it shorter.
    random_state : int, RandomState or None
        For ``crop="random"``. None draws anew each time, and leaves NumPy's global
        state alone.

    Returns
    -------
    ndarray (round(duration * sample_rate),), float32
        Full scale is 1. A whole file, or a shorter one with ``short="keep"``, has its
        length times the ratio of the rates, rounded up.

    Raises
    ------
    AudioError
        One of its subclasses, with the file, the fault and the way out.

    Examples
    --------
    >>> import tempfile, numpy as np, soundfile
    >>> from userlogfeat import read_audio
    >>> path = tempfile.mkdtemp() + "/tone.wav"
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(44100 * 5) / 44100)
    >>> soundfile.write(path, tone, 44100)
    >>> read_audio(path, sample_rate=16000).shape
    (80000,)
    >>> read_audio(path, sample_rate=16000, duration=3.0).shape
    (48000,)
    >>> read_audio("no.wav", sample_rate=16000)
    Traceback (most recent call last):
        ...
    userlogfeat.audio.errors.MissingAudioError: 'no.wav': there is no such file. ...
    """
    check_positive(sample_rate, "sample_rate", integer=True)
    check_rate(sample_rate)
    check_choice(crop, "crop", CROPS)
    check_choice(short, "short", SHORTS)
    sample_rate = int(sample_rate)
    with open_audio(path) as audio:
        rates = audio.sample_rate, sample_rate
        n_whole = resampled_length(audio.n_samples, *rates)
        if duration is None:
            _check_length(audio, n_whole, sample_rate)
        wanted = n_whole if duration is None else _n_samples(duration, sample_rate)
        if n_whole <= wanted:
            whole = resample_blocks(audio.blocks(), *rates)
            if duration is None:
                return whole
            return fit_length(whole, wanted, crop=crop, short=short)
        first = _crop_start(n_whole - wanted, crop, random_state)
        start, stop, skip = span_of(first, wanted, *rates)
        stop = min(stop, audio.n_samples)
        part = resample_blocks(audio.blocks(start, stop), *rates)
    return fit_length(part[skip : skip + wanted], wanted, short=short)


def fit_length(
    waveform: np.ndarray,
    n_samples: int,
    *,
    crop: Literal["start", "middle", "random"] = "middle",
    short: Literal["repeat", "pad", "keep"] = "repeat",
    random_state: RandomState = None,
) -> np.ndarray:
    """Crop or fill a waveform to a length, as :func:`read_audio` does with files.

    Parameters
    ----------
    waveform : ndarray (n,)
        At least one sample.
    n_samples : int
        Length wanted.
    crop, short, random_state
        As for :func:`read_audio`.

    Returns
    -------
    ndarray (n_samples,)
        Same type; a view if it was cropped. With ``short="keep"`` a shorter waveform
        is returned as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.audio.clips import fit_length
    >>> fit_length(np.arange(6), 2)
    array([2, 3])
    >>> fit_length(np.arange(3), 7)
    array([0, 1, 2, 0, 1, 2, 0])
    >>> fit_length(np.arange(3), 7, short="pad")
    array([0, 1, 2, 0, 0, 0, 0])
    """
    check_choice(crop, "crop", CROPS)
    check_choice(short, "short", SHORTS)
    if waveform.ndim != 1 or len(waveform) == 0:
        raise ValueError(
            f"Got a waveform of shape {waveform.shape}, expected one dimension and at "
            "least one sample."
        )
    surplus = len(waveform) - n_samples
    if surplus >= 0:
        start = _crop_start(surplus, crop, random_state)
        return waveform[start : start + n_samples]
    if short == "keep":
        return waveform
    if short == "repeat":
        return np.resize(waveform, n_samples)
    return np.pad(waveform, (0, -surplus))


def _n_samples(duration, sample_rate):
    check_positive(duration, "duration")
    wanted = round(duration * sample_rate)
    if wanted == 0:
        raise ValueError(
            f"Got duration={duration!r} s, which is less than one sample at "
            f"{sample_rate} Hz."
        )
    if wanted > MAX_SAMPLES:
        raise ValueError(
            f"Got duration={duration!r} s, expected at most "
            f"{MAX_SAMPLES / sample_rate:.0f} s at {sample_rate} Hz."
        )
    return wanted


def _crop_start(surplus, crop, random_state):
    """First sample of a crop that leaves out `surplus` samples."""
    if crop == "start":
        return 0
    if crop == "middle":
        return surplus // 2
    if random_state is None:
        random_state = np.random.RandomState()  # not the caller's global one
    return int(check_random_state(random_state).randint(surplus + 1))


def _check_length(audio, n_samples, sample_rate):
    if n_samples > MAX_SAMPLES:
        raise TooLongAudioError(
            audio.path,
            f"by its header it lasts {audio.n_samples / audio.sample_rate / 3600:.1f} "
            f"h, and at most {MAX_SAMPLES / sample_rate / 3600:.1f} h are read whole",
            "Pass duration=... to read a part of it, or cut the file.",
        )
