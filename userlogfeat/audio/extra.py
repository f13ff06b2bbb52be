"""Decode what FFmpeg reads: m4a, aac, wma, webm and others.

It comes with PyAV, the extra `formats`. Such files give their length only roughly, and
their decoders do not seek exactly. So each is decoded once to count its samples, and
read from its start: a crop equals the crop of the whole file, and costs as much as the
whole file. Decoded samples are kept for reading while they are few.
"""

import re
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from userlogfeat._optional import import_optional
from userlogfeat.audio import errors
from userlogfeat.audio.ends import n_cut, n_missing
from userlogfeat.audio.formats import EXTRA
from userlogfeat.audio.source import Source

_MAX_KEPT = 1 << 26  # samples of all channels, 256 MiB
# Encoders put some 0.1 s before the sound, and not all of them note it.
_TOLERATED_SECONDS = 0.25
_MARKED_AT_END = ("adx",)  # whose last packet is not sound
_GUESSING = ("aac", "loas", "amr", "ac3", "eac3", "dts")  # durations from bit rates
# Beginnings of files that are decoded to their first end only: a second is searched.
_BEGINNINGS = (
    re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),  # ASF
    re.compile(rb"\x1a\x45\xdf\xa3.{0,56}(?:webm|matroska)", re.DOTALL),
    re.compile(rb"FLV\x01[\x04\x05]\0\0\0\x09"),
)
_NUMBERED = (b"TTA1", b"MAC ", b"MPCK", b"MP+")  # the mark and two bytes of version
_BEGINNING_BYTES = 68


class ExtraSound:
    """The sound of a file, with the interface of ``soundfile.SoundFile``.

    Parameters
    ----------
    source : Source
        The file.

    Attributes
    ----------
    samplerate : int
        In Hz.
    channels : int
        Channels of the first part.
    frames : int
        Samples of each channel, as counted.
    extra_info : str
        Empty.
    """

    extra_info = ""

    def __init__(self, source: Source) -> None:
        self._source, self._name = source, source.name
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
        """Free the samples that were kept."""
        self._kept, self._blocks = [], None

    def read(self, frames: int, **_: Any) -> np.ndarray:
        """Return the next samples, `frames` at most: (n, channels), float32."""
        if self._blocks is None:
            self._blocks = self._decode() if self._kept is None else iter(self._kept)
        if not len(self._rest):
            self._rest = next(self._blocks, _NOTHING)
        block, self._rest = self._rest[:frames], self._rest[frames:]
        return block

    def _decode(self):
        """Yield blocks (n, channels), float32, until the end of the file."""
        av = import_optional("av", extra=EXTRA, purpose="This format")
        file = self._source.file
        file.seek(0)
        try:
            with av.open(file, metadata_errors="replace", io_open=_refuse) as container:
                stream = self._stream(container)
                stream.codec_context.options = {"err_detect": "crccheck+explode"}
                for packet in container.demux(stream):
                    self._check_packet(packet, container.format.name)
                    for frame in packet.decode():
                        if frame.samples:
                            yield self._samples(frame)
        except (av.error.FFmpegError, OSError, _RefusedError) as error:
            raise self._failed(error) from error

    def _stream(self, container):
        if not container.streams.audio:
            raise errors.EmptyAudioError(
                self._name, "the file has no sound, only other streams", "Drop it."
            )
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise errors.unsupported(self._name, "there is no decoder for its sound")
        self._is_open, self._promised = True, None
        if container.format.name not in _GUESSING:
            if stream.duration is not None:
                self._promised = float(stream.duration * stream.time_base)
            elif container.duration is not None:
                self._promised = container.duration / 1e6
        return stream

    def _check_packet(self, packet, container):
        cut = n_cut(packet.stream.codec_context.name, memoryview(packet))
        if cut or (packet.is_corrupt and container not in _MARKED_AT_END):
            fact = f"{cut} bytes of a frame are missing" if cut else "a part is missing"
            seconds = self.frames / self.samplerate if self.samplerate else 0.0
            raise errors.damaged(self._name, f"{fact} after {seconds:.2f} s")

    def _samples(self, frame):
        n_channels = len(frame.layout.channels)
        if not self.samplerate:
            self.samplerate, self.channels = frame.sample_rate, n_channels
        elif frame.sample_rate != self.samplerate:
            raise errors.unsupported(
                self._name,
                f"it changes on the way, from {self.samplerate} Hz to "
                f"{frame.sample_rate} Hz",
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
            return errors.CorruptAudioError(
                self._name,
                f"its header cannot be read, or none of its sound decoded ({error})",
                "The file is damaged or cut off: fetch it again.",
            )
        seconds = self.frames / self.samplerate
        return errors.damaged(
            self._name, f"decoding failed at {seconds:.2f} s ({error})"
        )

    def _check_length(self):
        if not self.frames:
            return
        if (second := _find_second(self._source)) is not None:
            raise errors.several(self._name, second)
        if missing := n_missing(self._source):
            raise errors.damaged(
                self._name,
                f"its parts have {missing} bytes more than the file, which is read to "
                f"{self.frames / self.samplerate:.2f} s",
            )
        if self._promised is not None:
            promised = self._promised * self.samplerate
            rate, tolerated = self.samplerate, _TOLERATED_SECONDS
            errors.check_promise(self._name, promised, self.frames, rate, tolerated)


def can_read() -> bool:
    """Return whether the extra is installed, and loads."""
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


def _find_second(source):
    """The byte where another file of a kind that is read to its first end begins."""
    head = source.read(0, _BEGINNING_BYTES)
    if head[4:8] == b"ftyp":
        return _find_second_mp4(source)
    beginnings = _BEGINNINGS
    if head.startswith(_NUMBERED):
        beginnings = (re.compile(re.escape(head[:6])),)
    for beginning in beginnings:
        if beginning.match(head):
            return next(source.find(beginning, 1, _BEGINNING_BYTES), None)
    return None


def _find_second_mp4(source):
    position = length = 0
    while position + length < source.size:
        position += length
        head = source.read(position, 16)
        if position and head[4:8] == b"ftyp":
            return position
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:
            break
    return None


_NOTHING = np.empty((0, 1), np.float32)
