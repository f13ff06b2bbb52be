"""How long an mp3 is, where it does not say so itself.

An mp3 is a chain of frames, each with its own header. Most encoders put a first frame
before them that holds no sound but their number ("Xing" or "Info"). Where it is missing
the decoder guesses the length from the file's size and the first frames' bit rate, and
never reads past its guess: of a file that starts loud and goes on quietly the end is
lost without a word. So here the frames are counted (0.1 s for an hour), and where the
guess is too short a first frame that holds the right number is put before the file
while it is being read.

The header is described in ISO/IEC 11172-3, section 2.4.1.3, and 13818-3.
"""

import io
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO

_RUN = 4  # consecutive frames that make bytes an mp3
_SEARCH = 1 << 16  # bytes of other things that may stand between frames
_MAX_SEARCHED = 1 << 22  # of them in a whole file; a file made to be searched has more
_LENGTH_TAGS = (b"Xing", b"Info")
_HAS_FRAMES = 1  # flag of the length tag: the number of frames follows

# How a header of layer III begins: eleven ones, a known version, the layer.
_HEADER = re.compile(rb"\xff(?=[\xe2\xe3\xf2\xf3\xfa\xfb])")

_KBIT_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBIT_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_MPEG1 = (44100, 48000, 32000)  # Hz
_RATE_DIVISOR = {3: 1, 2: 2, 0: 4}  # by version: MPEG-1, MPEG-2, MPEG-2.5


@dataclass(frozen=True)
class Mp3Layout:
    """Where the frames of an mp3 are.

    Attributes
    ----------
    start : int
        First byte of the first frame: what is before it is a tag, or no mp3.
    n_samples : int or None
        Samples (of each channel) in the file; None where the file says so itself and
        nothing was counted.
    length_frame : bytes
        A frame that says how many follow; empty where the file has one.
    """

    start: int
    n_samples: int | None
    length_frame: bytes


def find_layout(file: BinaryIO) -> Mp3Layout | None:
    """Find the frames of an mp3, and count them where the file does not say how many.

    Parameters
    ----------
    file : binary file
        Seekable and buffered.

    Returns
    -------
    Mp3Layout or None
        None where it is no MPEG layer III file, or one of free bit rate.
    """
    start = _find_run(file, _skip_tag(file, 0))
    if start is None:
        return None
    if _says_length(file, start):
        return Mp3Layout(start, None, b"")
    n_frames = _count_frames(file, start)
    file.seek(start)
    n_samples = n_frames * (1152 if _is_mpeg1(file.read(4)) else 576)
    return Mp3Layout(start, n_samples, _make_length_frame(file, start, n_frames))


class Mp3View(io.RawIOBase):
    """An mp3 file as it would be if it said how long it is.

    Decoders leave out their own delay, 529 samples, at the start of such a file.

    Parameters
    ----------
    file : binary file
        The mp3.
    layout : Mp3Layout
        Where its frames are.
    size : int
        Of the file, in bytes.
    """

    def __init__(self, file: BinaryIO, layout: Mp3Layout, size: int) -> None:
        super().__init__()
        self._file = file
        self._head = layout.length_frame
        self._start = layout.start
        self._size = len(self._head) + size - layout.start
        self._position = 0

    def seekable(self) -> bool:
        """True."""
        return True

    def readable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, and return where to."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def tell(self) -> int:
        """The position, in bytes."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with the next bytes; return how many."""
        n_head = len(self._head)
        if self._position < n_head:
            data = self._head[self._position :][: len(buffer)]
        else:
            self._file.seek(self._start + self._position - n_head)
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _skip_tag(file, position):
    """The byte after the ID3v2 tag at `position`, or `position` where there is none."""
    file.seek(position)
    head = file.read(10)
    if len(head) < 10 or head[:3] != b"ID3" or max(head[6:]) > 127:
        return position
    size = 0
    for byte in head[6:]:
        size = size << 7 | byte  # seven bits a byte
    return position + 10 + size


def _find_run(file, position):
    """Where the first `_RUN` consecutive frames start, at or after `position`."""
    file.seek(position)
    window = file.read(_SEARCH)
    for found in _HEADER.finditer(window):
        if _is_run(file, position + found.start()):
            return position + found.start()
    return None


def _is_run(file, position):
    for _ in range(_RUN):
        length = _length_at(file, position)
        if length is None:
            return False
        position += length
    return True


def _count_frames(file, position):
    """Frames from `position` on, the last one only if it is whole."""
    size = file.seek(0, io.SEEK_END)
    n_frames = n_searched = 0
    while position is not None and position < size:
        length = _length_at(file, position)
        if length is None:
            start = _skip_tag(file, position)
            position = _find_run(file, start)
            n_searched += 0 if position is None else 1 + position - start
            if n_searched > _MAX_SEARCHED:
                return n_frames
        else:
            position += length
            n_frames += position <= size
    return n_frames


def _length_at(file, position):
    file.seek(position)
    header = file.read(4)
    if len(header) < 4 or header[0] != 0xFF:
        return None
    return _frame_length(header[1], header[2])


@lru_cache(maxsize=1 << 12)
def _frame_length(second, third):
    """Length in bytes of a frame, from the second and third byte of its header."""
    version, layer = second >> 3 & 3, second >> 1 & 3
    bit_rate, rate, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    if second < 0xE0 or version not in _RATE_DIVISOR or layer != 1:
        return None
    if bit_rate in (0, 15) or rate == 3:
        return None
    sample_rate = _RATES_MPEG1[rate] // _RATE_DIVISOR[version]
    # 1152 samples a frame in MPEG-1, 576 in the others, of 8 bits a byte.
    if version == 3:
        return 144_000 * _KBIT_MPEG1[bit_rate] // sample_rate + padding
    return 72_000 * _KBIT_MPEG2[bit_rate] // sample_rate + padding


def _is_mpeg1(header):
    return header[1] >> 3 & 3 == 3


def _tag_offset(header):
    """Where the length tag stands in a frame: after its header and side information."""
    mono = header[3] >> 6 == 3
    if _is_mpeg1(header):
        return 4 + (17 if mono else 32)
    return 4 + (9 if mono else 17)


def _says_length(file, position):
    file.seek(position)
    frame = file.read(64)
    offset = _tag_offset(frame)
    for at in (offset, offset + 2):  # a checksum may stand before it
        if frame[at : at + 4] in _LENGTH_TAGS:
            return bool(frame[at + 7] & _HAS_FRAMES)
    return False


def _make_length_frame(file, position, n_frames):
    """A silent frame of the same kind, with the number of frames in its length tag."""
    file.seek(position)
    header = bytearray(file.read(4))
    header[1] |= 1  # no checksum
    header[2] &= 0xFD  # no padding
    offset = _tag_offset(header)
    while (length := _frame_length(header[1], header[2])) < offset + 12:
        header[2] += 0x10  # the next bit rate
    tag = _LENGTH_TAGS[0] + _HAS_FRAMES.to_bytes(4, "big") + n_frames.to_bytes(4, "big")
    frame = bytes(header) + bytes(offset - 4) + tag
    return frame + bytes(length - len(frame))
