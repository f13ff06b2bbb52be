"""Audio files to waveforms: decode, downmix, resample, crop, cut; decode ahead.

A waveform is the mean of a file's channels, resampled by soxr at high quality, in that
order (as librosa.load does it). A crop of a long file seeks and decodes only what it
needs, and equals the crop of the whole file.
"""

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from math import gcd
from typing import Any, Literal

import numpy as np
import soxr
from sklearn.utils import check_random_state

from userlogfeat._check import check_choice, check_positive
from userlogfeat._typing import ClipId, RandomState
from userlogfeat.audio.errors import (
    AudioError,
    CorruptAudioError,
    EmptyAudioError,
    MissingAudioError,
    NonFiniteAudioError,
    TooLongAudioError,
    UnreadableAudioError,
    UnsupportedAudioError,
)
from userlogfeat.audio.files import open_audio
from userlogfeat.audio.formats import AUDIO_SUFFIXES

__all__ = [
    "AudioError",
    "CorruptAudioError",
    "EmptyAudioError",
    "MissingAudioError",
    "NonFiniteAudioError",
    "TooLongAudioError",
    "UnreadableAudioError",
    "UnsupportedAudioError",
    "cut_patches",
    "decode_ahead",
    "find_audio",
    "fit_length",
    "read_audio",
]

CROPS = ("start", "middle", "random")
SHORTS = ("repeat", "pad", "keep")
# Of one clip: 2 GiB, which are 9.3 h at 16 kHz. A file of a few MB may hold more.
MAX_SAMPLES = 1 << 29
# Of clips that wait, decoded, for the caller; and one more for each thread.
MAX_WAITING_BYTES = 1 << 30
# Samples, at the lower of two rates, after which soxr's filter no longer feels the edge
# of what was read (measured: 200 bring the difference down to rounding).
RESAMPLING_MARGIN = 400


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
        To resample to, in Hz.
    duration : float, optional
        Length of the result, in seconds; by default the whole file.
    crop : {"start", "middle", "random"}
        Which part of a longer file.
    short : {"repeat", "pad", "keep"}
        How a shorter file is filled: with itself again, or with zeros at its end;
        ``"keep"`` leaves it shorter.
    random_state : int, RandomState or None
        For ``crop="random"``. None draws anew each time, and leaves NumPy's global
        state alone.

    Returns
    -------
    ndarray (round(duration * sample_rate),), float32
        Full scale is 1. Of a whole file, or a shorter one with ``short="keep"``: its
        length times the ratio of the rates, rounded up.

    Raises
    ------
    AudioError
        One of its subclasses, with file, fact and way out.

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
    check_choice(crop, "crop", CROPS)
    check_choice(short, "short", SHORTS)
    sample_rate = int(sample_rate)
    with open_audio(path) as audio:
        rates = audio.sample_rate, sample_rate
        n_whole = _resampled_length(audio.n_samples, *rates)
        if duration is None:
            _check_length(audio, n_whole, sample_rate)
        wanted = n_whole if duration is None else _n_samples(duration, sample_rate)
        if n_whole <= wanted:
            whole = _resample(audio.blocks(), *rates)
            if duration is None:
                return whole
            return fit_length(whole, wanted, crop=crop, short=short)
        first = _crop_start(n_whole - wanted, crop, random_state)
        start, stop, skip = _span(first, wanted, *rates)
        stop = min(stop, audio.n_samples)
        part = _resample(audio.blocks(start, stop), *rates)
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
        Wanted.
    crop, short, random_state
        As for :func:`read_audio`.

    Returns
    -------
    ndarray (n_samples,)
        Of the same type; a view where it was cropped. With ``short="keep"`` a shorter
        waveform comes back as it is.

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


def cut_patches(
    waveform: np.ndarray,
    length: int,
    hop: int,
    *,
    short: Literal["repeat", "pad"] = "repeat",
) -> np.ndarray:
    """Cut a waveform into patches of one length.

    What is left after the last whole patch is not used; a waveform shorter than one
    patch is filled.

    Parameters
    ----------
    waveform : ndarray (n,)
        At least one sample.
    length, hop : int
        Of a patch, and between the starts of two, in samples.
    short : {"repeat", "pad"}
        How a waveform shorter than one patch is filled.

    Returns
    -------
    ndarray (n_patches, length)
        A read-only view where nothing had to be filled.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.audio.clips import cut_patches
    >>> cut_patches(np.arange(8), length=4, hop=2)
    array([[0, 1, 2, 3],
           [2, 3, 4, 5],
           [4, 5, 6, 7]])
    """
    check_positive(length, "length", integer=True)
    check_positive(hop, "hop", integer=True)
    if len(waveform) < length:
        waveform = fit_length(waveform, length, short=short)
    return np.lib.stride_tricks.sliding_window_view(waveform, length)[::hop]


def decode_ahead(
    paths: Iterable[Any],
    read: Callable[..., Any],
    *,
    n_threads: int = 2,
    ahead: int = 16,
) -> Iterator[tuple[int, Any, Any]]:
    """Read files in threads while the caller works on those before.

    At most `ahead` clips are read before they are asked for, and ``MAX_WAITING_BYTES``
    of them at most wait, so memory does not grow with the number of files, nor with
    their lengths beyond that. Closing the iterator, or leaving its loop by an
    exception, stops the threads once they are done with the files in their hands.

    Parameters
    ----------
    paths : iterable
        Anything `read` understands; a generator is advanced in the caller's thread.
    read : callable
        From one of them to a waveform.
    n_threads : int
        How many.
    ahead : int
        Clips read in advance.

    Yields
    ------
    index : int
        Position in `paths`.
    path : object
        As given.
    waveform : ndarray or AudioError
        What `read` returned; where it raised an AudioError, that error. Others are
        raised here.

    Examples
    --------
    >>> from functools import partial
    >>> from userlogfeat.audio.clips import decode_ahead, read_audio
    >>> read = partial(read_audio, sample_rate=16000)
    >>> for index, path, waveform in decode_ahead(["no.wav"], read):
    ...     print(index, path, type(waveform).__name__)
    0 no.wav MissingAudioError
    """
    check_positive(n_threads, "n_threads", integer=True)
    check_positive(ahead, "ahead", integer=True)
    return _decode_ahead(enumerate(paths), read, int(n_threads), int(ahead))


def find_audio(sources: ClipId | Iterable[ClipId]) -> list[Any]:
    """List the audio files in folders, and keep files as they are given.

    Folders are searched to any depth, in the order of names, for the suffixes of
    `userlogfeat.audio.formats`; hidden files and folders are left out, and a folder
    that links lead to twice is searched once.

    Parameters
    ----------
    sources : path or iterable of paths
        Files and folders. What is no folder is kept, also where it does not exist:
        reading it will say so.

    Returns
    -------
    list
        Files given, as given; files found, as str (bytes for a folder in bytes).

    Warns
    -----
    UserWarning
        Where a folder cannot be listed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from userlogfeat.audio.clips import find_audio
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("b.wav", "a.mp3", "cover.jpg"):
    ...     (folder / name).touch()
    >>> [pathlib.Path(path).name for path in find_audio([folder, "c.flac"])]
    ['a.mp3', 'b.wav', 'c.flac']
    """
    if isinstance(sources, str | bytes | os.PathLike):
        sources = [sources]
    seen, found = set(), []
    for source in sources:
        if os.path.isdir(source):
            found += _walk(os.fspath(source), seen)
        else:
            found.append(source)
    return found


def _n_samples(duration, sample_rate):
    check_positive(duration, "duration")
    wanted = round(duration * sample_rate)
    if wanted == 0:
        raise ValueError(
            f"Got duration={duration!r} s, which is less than one sample at "
            f"{sample_rate} Hz."
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


def _resampled_length(n_samples, rate_in, rate_out):
    return -(-n_samples * rate_out // rate_in)


def _span(first, wanted, rate_in, rate_out):
    """What to read for samples `first` to `first + wanted` of the resampled file.

    Input sample k * rate_in / g and output sample k * rate_out / g, with g the rates'
    greatest common divisor, are at the same time. Resampling from there on, rather than
    from anywhere, puts every output sample at the time that it has in the whole file.

    Returns
    -------
    start, stop : int
        In samples of the file.
    skip : int
        Resampled samples before `first`.
    """
    if rate_in == rate_out:
        return first, first + wanted, 0
    divisor = gcd(rate_in, rate_out)
    margin = _resampled_length(RESAMPLING_MARGIN, min(rate_in, rate_out), rate_out)
    step = rate_out // divisor
    k = max(0, first - margin) // step
    stop = _resampled_length(first + wanted + margin, rate_out, rate_in)
    return k * (rate_in // divisor), stop, first - k * step


def _check_length(audio, n_samples, sample_rate):
    if n_samples > MAX_SAMPLES:
        raise TooLongAudioError(
            audio.path,
            f"by its header it lasts {audio.n_samples / audio.sample_rate / 3600:.1f} "
            f"h, and at most {MAX_SAMPLES / sample_rate / 3600:.1f} h are read whole",
            "Pass duration=..., to hear a part of it, or cut the file.",
        )


def _joined(parts):
    """Parts as one array; each is freed once it is copied."""
    joined = np.empty(sum(map(len, parts)), np.float32)
    position = 0
    for index, part in enumerate(parts):
        parts[index] = None
        joined[position : position + len(part)] = part
        position += len(part)
    return joined


def _resample(blocks, rate_in, rate_out):
    """Join blocks of a waveform, resampled as they come: only the result is held."""
    if rate_in == rate_out:
        return _joined(list(blocks))
    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
    parts, n_read = [], 0
    for block in blocks:
        parts.append(stream.resample_chunk(block))
        n_read += len(block)
    parts.append(stream.resample_chunk(np.empty(0, np.float32), last=True))
    n_samples = _resampled_length(n_read, rate_in, rate_out)
    # soxr rounds to the nearest length, one sample less at most.
    missing = n_samples - sum(map(len, parts))
    parts.append(np.zeros(max(0, missing), np.float32))
    return _joined(parts)[:n_samples]


def _decode_ahead(numbered, read, n_threads, ahead):
    pending, room = deque(), _Room()
    with ThreadPoolExecutor(n_threads, thread_name_prefix="decode-ahead") as pool:

        def submit(n):
            for index, path in islice(numbered, n):
                pending.append((index, path, pool.submit(room.fill, read, index, path)))

        try:
            submit(ahead)
            while pending:
                index, path, future = pending.popleft()
                waveform = future.result()
                room.empty(index, waveform)
                submit(1)
                del future  # it would hold the waveform while the caller works
                yield index, path, waveform
                del waveform
        finally:
            for _, _, future in pending:
                future.cancel()
            room.close()


class _Room:
    """Where decoded clips wait: `MAX_WAITING_BYTES`; the next one always may."""

    def __init__(self):
        self._changed = threading.Condition()
        self._n_bytes, self._next, self._closed = 0, 0, False

    def fill(self, read, index, path):
        """Read a file once there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_free(index))
        if self._closed:
            return None
        waveform = _attempt(read, path)
        with self._changed:
            self._n_bytes += getattr(waveform, "nbytes", 0)
        return waveform

    def empty(self, index, waveform):
        """Hand a clip over; the one after it is the next."""
        with self._changed:
            self._n_bytes -= getattr(waveform, "nbytes", 0)
            self._next = index + 1
            self._changed.notify_all()

    def close(self):
        """Let those go that wait: nobody wants their clips."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_free(self, index):
        free = self._n_bytes < MAX_WAITING_BYTES
        return free or index <= self._next or self._closed


def _attempt(read, path):
    try:
        return read(path)
    except AudioError as error:
        # Tracebacks hold the frames, and with them the samples, of what failed.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        return error


def _walk(folder, seen):
    suffixes = AUDIO_SUFFIXES
    hidden = "."
    if isinstance(folder, bytes):
        suffixes, hidden = tuple(map(os.fsencode, suffixes)), b"."
    found = []
    for place, folders, names in os.walk(folder, onerror=_tell, followlinks=True):
        folder_id = _identity(place)
        if folder_id in seen:
            folders.clear()
            continue
        seen.add(folder_id)
        folders[:] = sorted(name for name in folders if not name.startswith(hidden))
        found += [
            os.path.join(place, name)
            for name in sorted(names)
            if name.lower().endswith(suffixes) and not name.startswith(hidden)
        ]
    return found


def _identity(folder):
    """What is equal for one folder by several paths; some disks number no files."""
    status = os.stat(folder)
    if status.st_ino == 0:
        return os.path.realpath(folder)
    return status.st_dev, status.st_ino


def _tell(error):
    warnings.warn(
        f"The folder {error.filename!r} cannot be listed ({error.strerror}); its files "
        "are left out. Allow it (chmod u+rx), or leave the folder out.",
        UserWarning,
        stacklevel=4,
    )
