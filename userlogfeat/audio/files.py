"""Open audio files of any kind, and report clearly what is wrong with the others.

libsndfile, which decodes, believes a suffix (a text named .au becomes noise), and
silently leaves out what a cut file lacks. So files are opened here by their content,
and what they hold is counted and compared with what the header promises.
"""

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile

from userlogfeat._typing import ClipId
from userlogfeat.audio import chunks, errors, flac, mp3, ogg
from userlogfeat.audio.extra import ExtraSound, UnknownFormatError, can_read
from userlogfeat.audio.scale import MAX_PEAK, integer_full_scale
from userlogfeat.audio.source import FileView, Layout, Source

_WINDOWS = sys.platform == "win32"
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 64
_SAFE_PEAK = 2.0  # samples up to it are not checked further
BLOCK_SAMPLES = 1 << 22  # decoded at a time, of all channels together

# Sizes in bytes that programs write when they cannot know the length (streams, pipes):
# about 2 ** 31 (sox, arecord) or 2 ** 32 (ffmpeg), and the largest of 64 bits.
_UNKNOWN_BYTES = (
    (0x7FFF0000, 0x80010000),
    (0xFFFF0000, 0x100010000),
    (1 << 62, float("inf")),
)
_UNKNOWN_SAMPLES = 1 << 62
_SIZES = re.compile(  # promised and true, in the log of libsndfile
    r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.M
)


class AudioFile:
    """An open audio file, read as the mean of its channels.

    Attributes
    ----------
    path : str
        Path, for messages.
    sample_rate : int
        In Hz.
    n_samples : int
        Samples of each channel, as the header promises or as counted.
    """

    def __init__(
        self, path: str, sound: Any, n_samples: int, seeks: bool = True
    ) -> None:
        self.path = path
        self.sample_rate = sound.samplerate
        self.n_samples = n_samples
        self._sound, self._seeks = sound, seeks

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Read from sample `start` to before `stop`, block after block.

        Yields
        ------
        ndarray (n,), float32
            The mean of the channels; finite.

        Raises
        ------
        AudioError
            Where it cannot be decoded, ends early, or has samples that are not numbers.
        """
        stop = self.n_samples if stop is None else stop
        length = max(1, BLOCK_SAMPLES // self._sound.channels)
        position = start
        try:
            if self._seeks:
                # Also to 0: without it, libsndfile begins with what some encoders of
                # Opus put before the sound, and leaves as much out at the end.
                self._sound.seek(start)
            elif start:
                position = 0
            while position < stop:
                until = stop if position >= start else start
                block = self._sound.read(
                    min(length, until - position), dtype="float32", always_2d=True
                )
                if not len(block):
                    break
                if position >= start:
                    yield self._mean(block, position)
                position += len(block)
        except soundfile.LibsndfileError as error:
            raise self._decoding_failed(position, error) from error
        self._check_length(start, position, stop)

    def _mean(self, block, position):
        with np.errstate(all="ignore"):
            mono = block[:, 0] if block.shape[1] == 1 else _mean_of_channels(block)
            peak = max(mono.max(), -mono.min())
        if peak <= _SAFE_PEAK:
            return np.ascontiguousarray(mono)
        scale = integer_full_scale(block, peak)
        if scale is None and peak <= MAX_PEAK:
            return np.ascontiguousarray(mono)
        raise self._out_of_range(mono, position, peak, scale)

    def _out_of_range(self, mono, position, peak, scale):
        if scale is not None:
            return errors.NonFiniteAudioError(
                self.path,
                f"its samples reach {peak:g}, where full scale is 1: they are in the "
                f"range of integers of {scale.bit_length()} bits",
                f"Divide them by {scale} and write the file again, or write it with "
                "whole-number samples.",
            )
        bad = ~(np.abs(mono) <= MAX_PEAK)
        seconds = (position + int(bad.argmax())) / self.sample_rate
        return errors.NonFiniteAudioError(
            self.path,
            f"{int(bad.sum())} of {len(mono)} samples are NaN, infinite or beyond "
            f"{MAX_PEAK:g} (full scale is 1), the first at {seconds:.2f} s",
            "Drop the file, or write it again with whole-number samples: "
            + errors.ffmpeg_command(self.path, "wav"),
        )

    def _decoding_failed(self, position, error):
        return errors.damaged(
            self.path,
            f"decoding failed at {position / self.sample_rate:.2f} s of "
            f"{self.n_samples / self.sample_rate:.2f} s ({error.error_string})",
        )

    def _check_length(self, start, position, stop):
        missing, rate = stop - position, self.sample_rate
        tolerated = errors.tolerance(stop - start, rate)
        if missing > tolerated or (missing and position == start):
            raise errors.ends_early(self.path, self.n_samples, position, rate)


class _Sound(soundfile.SoundFile):
    """An open file, whose reads are nothing but reads.

    After each, soundfile seeks to where it is. Then the decoder of mp3 has lost what
    the next frames use of earlier ones, and they are wrong.
    """

    def seekable(self):
        return super().seekable() and not self.subtype.startswith("MPEG")


@contextmanager
def open_audio(path: ClipId) -> Iterator[AudioFile]:
    """Open an audio file by its content, whatever its name.

    Parameters
    ----------
    path : str, bytes or Path
        Path of a regular file.

    Yields
    ------
    AudioFile

    Raises
    ------
    AudioError
        See its subclasses.
    """
    name = as_text(path)
    with _open_bytes(path, name) as file:
        source = Source(file, name, os.fstat(file.fileno()).st_size)
        if source.size == 0:
            raise errors.EmptyAudioError(
                name, "the file has 0 bytes", "Fetch it again, or drop it."
            )
        head = source.read(0, 512)
        try:
            sound, n_samples, seeks = _open_sound(source, head)
        except soundfile.LibsndfileError as error:
            sound, n_samples, seeks = _open_extra(source, head, error)
        with sound:
            _check_header(name, sound, n_samples)
            yield AudioFile(name, sound, n_samples, seeks)


def as_text(path: ClipId) -> str:
    """Return a path as text, whatever its type and bytes; messages show its repr."""
    return os.fsdecode(os.fspath(path))


def _open_bytes(path, name):
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise errors.UnreadableAudioError(
                name,
                "this is a folder, not an audio file",
                "Pass the files in it: userlogfeat.audio.find_audio([folder]).",
            )
        if not stat.S_ISREG(status.st_mode):
            raise errors.UnreadableAudioError(
                name,
                "this is not a regular file, but a pipe, socket or device",
                "Write its content to a file first.",
            )
        # Without a buffer: libsndfile would move the position in the file unnoticed.
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise errors.explain_system(name, error) from error
    except ValueError as error:
        if isinstance(error, errors.AudioError):
            raise
        raise errors.MissingAudioError(
            name, f"no file can have this name ({error})", "Check the path."
        ) from error


def _open_sound(source, head):
    """The decoder of a file, its samples of each channel, and whether it seeks."""
    layout = _find_layout(source, head)
    if layout.as_it_is:
        sound = _open_descriptor(source.file)
        n_samples = sound.frames
    else:
        view = FileView(source.file, layout.head, layout.pieces, layout.claimed)
        sound = _Sound(view)
        n_samples = sound.frames
        if layout.n_samples is not None:
            n_samples = min(n_samples, layout.n_samples)
    try:
        _check_behind(source.name, sound, layout)
    except errors.AudioError:
        sound.close()
        raise
    return sound, n_samples, layout.seeks and sound.seekable()


def _find_layout(source, head):
    """Where the sound is; errors of libsndfile where no format is recognised."""
    if head.startswith(chunks.MARKS):
        return chunks.find_layout(source) or Layout()
    if head.startswith(ogg.MARK):
        return ogg.find_layout(source)
    layout = flac.find_layout(source)
    if layout is not None:
        return layout
    if not _may_be_mp3(head):
        try:
            return _unknown_layout(source)
        except soundfile.LibsndfileError:
            if not source.name.lower().endswith(".mp3"):
                raise
    layout = mp3.find_layout(source)
    if layout is None:
        _open_descriptor(source.file).close()  # its error names the format
        raise errors.CorruptAudioError(
            source.name,
            "it begins like an mp3, but no frames follow",
            "The file is damaged: fetch it again.",
        )
    return layout


def _unknown_layout(source):
    """The layout of a flac file with an unusual header; other formats are refused.

    The decoder does not report whether all of their samples are there.
    """
    with _open_descriptor(source.file) as sound:
        if sound.format != "FLAC":
            raise soundfile.LibsndfileError(errors.UNSUPPORTED)
    return Layout()


def _open_extra(source, head, error):
    """A file that libsndfile does not read, decoded by the extra `formats`."""
    if errors.is_text(head) or not (errors.is_foreign(head, error) and can_read()):
        raise errors.explain_library(source.name, head, error) from error
    try:
        sound = ExtraSound(source)
    except UnknownFormatError as unknown:
        known = errors.foreign_format(head)
        if known is None:
            raise errors.explain_library(source.name, head, error) from error
        raise errors.CorruptAudioError(
            source.name,
            f"this is {known}, but its header cannot be read to its end",
            "The file is damaged or cut off: fetch it again.",
        ) from unknown
    return sound, sound.frames, False


def _check_behind(name, sound, layout):
    """Refuse a file that goes on behind what its header promises."""
    n_bytes = sum(stop - start for start, stop in layout.pieces)
    tolerated = errors.tolerance(sound.frames, sound.samplerate) / max(1, sound.frames)
    if layout.n_behind > tolerated * n_bytes:
        raise errors.CorruptAudioError(
            name,
            f"its header promises {n_bytes} bytes of audio, but {layout.n_behind} more "
            "follow that are not part of the format",
            "The header is damaged, or was not finished: fetch the file again, or "
            "convert it: " + errors.ffmpeg_command(name, "wav"),
        )


def _open_descriptor(file):
    # If it were given a path, libsndfile would believe the suffix.
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    if _WINDOWS:  # Python's numbers of open files mean nothing to libsndfile there
        view = SimpleNamespace(seek=file.seek, tell=file.tell, readinto=file.readinto)
        return _Sound(view)
    return _Sound(file.fileno(), closefd=False)


def _may_be_mp3(head):
    # Not AAC, which has the same eleven ones, and a layer of 0.
    sync = len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0 and head[1] & 6
    return sync or head[:3] == b"ID3"


def _check_header(name, sound, n_samples):
    if not MIN_SAMPLE_RATE <= sound.samplerate <= MAX_SAMPLE_RATE:
        raise errors.CorruptAudioError(
            name,
            f"its header gives a sample rate of {sound.samplerate} Hz, expected "
            f"{MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}",
            "The header is damaged, or the file holds no sound: fetch it again.",
        )
    if sound.channels > MAX_CHANNELS:
        raise errors.CorruptAudioError(
            name,
            f"its header gives {sound.channels} channels, expected 1 to {MAX_CHANNELS}",
            "The header is damaged, or the channels are separate recordings: fetch it "
            "again or split it.",
        )
    if n_samples == 0:
        raise errors.EmptyAudioError(
            name, "the file has 0 samples", "Record or fetch it again, or drop it."
        )
    if n_samples > _UNKNOWN_SAMPLES:
        raise errors.CorruptAudioError(
            name,
            "its header does not give its length, like that of a stream that was piped",
            "Write it again: " + errors.ffmpeg_command(name, "flac"),
        )
    _check_promise(name, sound.extra_info)


def _check_promise(name, log):
    """Compare the size in a header with the file's, both of which libsndfile logs.

    libsndfile itself reads what is there: "data : 176400 (should be 956)".
    """
    found = _SIZES.search(log)
    if found is None:
        return
    promised, held = map(int, found.groups())
    known = not any(low <= promised < high for low, high in _UNKNOWN_BYTES)
    if known and held < (1 - errors.TOLERATED_SHARE) * promised:
        raise errors.damaged(
            name, f"its header promises {promised} bytes of audio, but it holds {held}"
        )


def _mean_of_channels(block):
    total = block[:, 0] + block[:, 1]  # ten times as fast as a mean over rows
    for channel in range(2, block.shape[1]):
        total += block[:, channel]
    return total / np.float32(block.shape[1])
