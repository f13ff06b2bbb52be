"""Formats that FFmpeg's decoders read: m4a, aac, wma, webm and what else there is.

They come with PyAV, the extra `formats`. Such files say their length only roughly, and
their decoders find no exact place. So each is decoded once to count its samples, and
read from its start: a crop is the crop of the whole file, for the cost of the whole
file. What was decoded is kept for reading while it is small.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO, Self

import numpy as np

from userlogfeat._optional import import_optional
from userlogfeat.audio.errors import (
    CorruptAudioError,
    EmptyAudioError,
    UnsupportedAudioError,
    cut_off,
    ffmpeg_command,
    several,
)
from userlogfeat.audio.formats import EXTRA
from userlogfeat.audio.tags import read_at

_MAX_KEPT = 1 << 26  # samples of all channels, 256 MiB
# Encoders put some 0.1 s before the sound, which not all of them say.
_TOLERATED_SECONDS, _TOLERATED_SHARE = 0.25, 0.01
_GUESSING = ("aac", "loas", "amr", "ac3", "eac3", "dts")  # durations from bit rates
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_WHOLE = (b"TTA1", b"MAC ", b"MPCK", b"MP+")  # one of these a file
_EBML, _EBML_TYPES = b"\x1a\x45\xdf\xa3", (b"webm", b"matroska")
_STEP = 1 << 20  # bytes searched at a time


class ExtraSound:
    """The sound of a file, with the interface of ``soundfile.SoundFile``.

    Parameters
    ----------
    file : binary file
        Seekable.
    name : str
        For messages.

    Attributes
    ----------
    samplerate, channels, frames : int
        In Hz; of the first part; samples of each channel, as counted.
    extra_info : str
        Empty.
    """

    extra_info = ""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._kept: list[np.ndarray] | None = []
        self._blocks: Iterator[np.ndarray] | None = None
        self._rest = _NOTHING
        self._is_open = False
        self.samplerate = self.channels = self.frames = n_kept = 0
        for block in self._decode():
            self.frames += len(block)
            n_kept += block.size
            if self._kept is not None and n_kept <= _MAX_KEPT:
                self._kept.append(block)
            else:
                self._kept = None
        self._check_length()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what was kept."""
        self._kept, self._blocks = [], None

    def read(self, frames: int, **_: Any) -> np.ndarray:
        """The next samples, `frames` at most: ndarray (n, channels), float32."""
        if self._blocks is None:
            self._blocks = self._decode() if self._kept is None else iter(self._kept)
        if not len(self._rest):
            self._rest = next(self._blocks, _NOTHING)
        block, self._rest = self._rest[:frames], self._rest[frames:]
        return block

    def _decode(self):
        """Yield blocks (n, channels), float32, until the end of the file."""
        av = import_optional("av", extra=EXTRA, purpose="This format")
        self._file.seek(0)
        try:
            with av.open(
                self._file, metadata_errors="replace", io_open=_refuse
            ) as container:
                stream = self._stream(container)
                stream.codec_context.options = {"err_detect": "crccheck+explode"}
                for frame in container.decode(stream):
                    if frame.samples:
                        yield self._samples(frame)
        except (av.error.FFmpegError, _RefusedError) as error:
            raise self._failed(error) from error

    def _stream(self, container):
        if not container.streams.audio:
            raise EmptyAudioError(
                self._name, "the file has no sound, only other streams", "Drop it."
            )
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise UnsupportedAudioError(
                self._name,
                "there is no decoder for its sound",
                "Convert it: " + ffmpeg_command(self._name, "flac"),
            )
        self._is_open, self._promised = True, None
        if container.format.name not in _GUESSING:
            if stream.duration is not None:
                self._promised = float(stream.duration * stream.time_base)
            elif container.duration is not None:
                self._promised = container.duration / 1e6
        return stream

    def _samples(self, frame):
        n_channels = len(frame.layout.channels)
        if not self.samplerate:
            self.samplerate, self.channels = frame.sample_rate, n_channels
        elif frame.sample_rate != self.samplerate:
            raise UnsupportedAudioError(
                self._name,
                f"it changes on the way, from {self.samplerate} Hz to "
                f"{frame.sample_rate} Hz",
                "Convert it: " + ffmpeg_command(self._name, "flac"),
            )
        samples = frame.to_ndarray()
        if samples.shape[0] != n_channels or not frame.format.is_planar:
            samples = samples.reshape(-1, n_channels)
        else:
            samples = samples.T
        if samples.dtype.kind == "f":
            return np.ascontiguousarray(samples, np.float32)
        scale = 1 << 8 * samples.dtype.itemsize - 1
        offset = scale if samples.dtype.kind == "u" else 0
        return ((samples - np.float64(offset)) / scale).astype(np.float32)

    def _failed(self, error):
        if not self._is_open:
            return UnknownFormatError()
        if not self.frames:
            return CorruptAudioError(
                self._name,
                f"its header cannot be read, or none of its sound decoded ({error})",
                "The file is damaged or cut off: fetch it again.",
            )
        return CorruptAudioError(
            self._name,
            f"decoding failed at {self.frames / self.samplerate:.2f} s ({error})",
            "The file is damaged or cut off: fetch it again. To keep what can be "
            "decoded: " + ffmpeg_command(self._name, "wav"),
        )

    def _check_length(self):
        if not self.frames:
            return
        if (second := _find_second(self._file)) is not None:
            raise several(self._name, second)
        seconds, promised = self.frames / self.samplerate, self._promised
        if promised is not None and promised - seconds > max(
            _TOLERATED_SECONDS, _TOLERATED_SHARE * promised
        ):
            raise cut_off(
                self._name,
                f"its header promises {promised:.2f} s of audio, but it ends after "
                f"{seconds:.2f} s",
            )


def can_read() -> bool:
    """Whether the extra is installed, and loads."""
    try:
        import_optional("av", extra=EXTRA, purpose="This format")
    except ImportError:
        return False
    return True


class UnknownFormatError(Exception):
    """FFmpeg does not know it either."""


class _RefusedError(Exception):
    """A file that asks for others is not what was given."""


def _refuse(url, *_):
    raise _RefusedError(f"it asks for another file, {url!r}, which is not opened")


def _find_second(file):
    """The byte where another file of a kind that is read to its first end begins."""
    size, head = file.seek(0, 2), read_at(file, 0, 16)
    if head[4:8] == b"ftyp":
        position = 0
        while 8 <= (length := _box_length(file, position, size)):
            position += length
            if read_at(file, position + 4, 4) == b"ftyp":
                return position
        return None
    mark = next((mark for mark in (_ASF, _EBML) if head.startswith(mark)), None)
    if head.startswith(_WHOLE):
        mark = head[:6]
    position = 1
    while mark is not None and position < size:
        block = read_at(file, position, _STEP + 64)
        at = block.find(mark)
        while at >= 0:
            types = _EBML_TYPES if mark == _EBML else (b"",)
            if any(kind in block[at : at + 64] for kind in types):
                return position + at
            at = block.find(mark, at + 1)
        position += _STEP
    return None


def _box_length(file, position, size):
    head = read_at(file, position, 16)
    length = int.from_bytes(head[:4], "big")
    if length == 1:
        length = int.from_bytes(head[8:16], "big")
    return length if position + length < size else 0


_NOTHING = np.empty((0, 1), np.float32)
