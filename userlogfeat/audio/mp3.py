"""How long an mp3 is, by its frames and not by what it says.

An mp3 is a chain of frames, each with its own header. Most encoders put a first frame
before them that holds no sound but their number ("Xing", "Info" or "VBRI"), which the
decoder believes: of two files joined it reads the first, and of one whose number is
wrong a part. Where there is none the decoder guesses the length from the file's size
and the first frames' bit rate, and never reads past its guess. So here the frames are
counted (2 ms for three minutes). Where the count is another one, the decoder is given
the file with the right number, or as if it were too large for any guess.

What is between frames and is no tag is a fault, if it could have held 0.1 s of sound or
more: it is where sound was. Layers I and II are chains of frames as well, and so is
what a wav file may hold.

The header is described in ISO/IEC 11172-3, section 2.4.1.3, and 13818-3; its extension
to free bit rates, whose frames have one length, in section 2.4.2.3.
"""

import io
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from userlogfeat.audio.tags import before_tags, read_at, skip_tags

_RUN = 4  # consecutive frames that make bytes an mp3
_WINDOW = 1 << 16  # bytes searched for frames at a time
_MAX_SEARCHED = 1 << 22  # of them in a whole file; a file made to be searched has more
_TOLERATED_SECONDS = 0.1  # of other bytes between frames, and of missing frames
_TOLERATED_SHARE = 0.01
_MAX_FREE_LENGTH = 1 << 12  # bytes of a frame of free bit rate
_LARGER = 64  # a claimed size: this many times the true one, beyond any guess

_HEADER = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]")
_LENGTH_TAGS = (b"Xing", b"Info")
_HAS_FRAMES, _HAS_BYTES, _HAS_ALL = 1, 2, 15  # flags of the length tag
_DELAYS = 141  # where LAME's delays stand in a length tag that has all

_LAYERS = {3: 1, 2: 2, 1: 3}  # by the bits of the header
_KBIT_MPEG1 = {
    1: tuple(range(0, 449, 32)),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_KBIT_MPEG2 = {
    1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_MPEG1 = (44100, 48000, 32000)  # Hz
_RATE_DIVISOR = {3: 1, 2: 2, 0: 4}  # by version: MPEG-1, MPEG-2, MPEG-2.5


@dataclass(frozen=True)
class Mp3Layout:
    """Where the frames of an mp3 are.

    Attributes
    ----------
    pieces : list of (int, int)
        First byte, and the one after the last, of each chain of frames, without the
        frame that says how many there are.
    n_samples : int
        Samples of each channel in all frames.
    as_it_is : bool
        Whether the decoder may read the file itself: it finds all frames, and the
        number is right.
    head : bytes
        Otherwise, the frame with the right number; empty where the file has none.
    exact : bool
        Whether the decoder finds the place of a sample; else it must read up to it.
    fault : str or None
        What is missing of the file.
    change : str or None
        Where it goes on at another rate or with other channels.
    """

    pieces: list[tuple[int, int]]
    n_samples: int
    as_it_is: bool
    head: bytes
    exact: bool
    fault: str | None = None
    change: str | None = None

    @property
    def claimed(self) -> int | None:
        """Size to claim, so that the decoder's guess is no limit; None for the true."""
        n_bytes = sum(stop - start for start, stop in self.pieces)
        return None if self.head else _LARGER * n_bytes


class _Kind(NamedTuple):
    """What all frames of a chain have in common."""

    version: int
    layer: int
    rate: int  # index into the table of rates
    mono: bool
    free_length: int | None  # bytes of a frame of free bit rate, without padding

    @property
    def sample_rate(self) -> int:
        return _RATES_MPEG1[self.rate] // _RATE_DIVISOR[self.version]

    @property
    def n_samples(self) -> int:
        """Of a frame."""
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.version != 3 else 1152

    def __str__(self):
        return (
            f"{'one channel' if self.mono else 'two channels'} at {self.sample_rate} Hz"
        )


def find_layout(
    file: BinaryIO, start: int = 0, stop: int | None = None
) -> Mp3Layout | None:
    """Find the frames of an mp3, and count them.

    Parameters
    ----------
    file : binary file
        Seekable and buffered.
    start, stop : int
        First byte to look at, and the one after the last; by default all.

    Returns
    -------
    Mp3Layout or None
        None where there are no MPEG frames.
    """
    stop = file.seek(0, io.SEEK_END) if stop is None else stop
    ends = before_tags(file, start, stop), stop
    after_tags = skip_tags(file, start)
    # From the start on: a tag that gives a wrong size would hide frames.
    budget = after_tags - start + _MAX_SEARCHED
    run, n_searched = _find_run(file, start, ends, budget)
    for position in {start, after_tags}:
        run = run or _free_run(file, position, ends)
    if run is None:
        return None
    budget = _MAX_SEARCHED - max(0, n_searched - (after_tags - start))
    counted = _count(file, run, ends, budget)
    return _describe(file, run, counted, run[0] in (start, after_tags))


class _Counted(NamedTuple):
    pieces: list  # first byte, and the one after the last, of each chain of frames
    n_frames: int
    holes: list  # (seconds, first byte, bytes) of what is neither frame nor tag
    change: str | None


def _count(file, run, ends, budget):
    """Follow the chains of frames to the end of the file."""
    position, kind = run
    pieces, holes, n_frames = [], [], 0
    while True:
        n_more, stop = _follow(file, position, ends[-1], kind)
        n_frames += n_more
        pieces.append((position, stop))
        seconds = n_frames * kind.n_samples / kind.sample_rate
        after = skip_tags(file, stop)
        run, n_searched = _find_run(file, stop, ends, after - stop + budget, kind)
        if run is None:
            holes.append((seconds, after, max(0, ends[0] - after)))
            return _Counted(pieces, n_frames, holes, None)
        position, found = run
        holes.append((seconds, after, max(0, position - after)))
        if found != kind:
            change = f"{kind} go over to {found} at {seconds:.2f} s, byte {position}"
            return _Counted(pieces, n_frames, holes, change)
        budget -= max(0, n_searched - (after - stop))


def _describe(file, run, counted, starts_well):
    (first, kind), (_, stop) = run, counted.pieces[0]
    n_frames, pieces, head = counted.n_frames, counted.pieces, b""
    frame = read_at(file, first, _lengths(kind).get(read_at(file, first, 3)))
    promised, tag = _promise(frame, kind)
    if promised is not None:
        n_frames -= 1
        pieces = [(first + len(frame), stop), *pieces[1:]]
    if tag is not None:
        head = frame
        if n_frames != promised:
            head = _with_number(frame, tag, n_frames, pieces)
    return Mp3Layout(
        pieces=pieces,
        n_samples=n_frames * kind.n_samples,
        as_it_is=starts_well
        and bool(head)
        and len(pieces) == 1
        and n_frames <= promised,
        head=head,
        exact=kind.layer == 3 and kind.free_length is None,
        fault=_fault(counted, kind, n_frames, promised),
        change=counted.change,
    )


def _fault(counted, kind, n_frames, promised):
    """What is missing: frames that were promised, or what was between those there."""
    a_frame = kind.n_samples / kind.sample_rate  # seconds
    if promised and counted.change is None:
        missing = (promised - n_frames) * a_frame
        if missing > max(_TOLERATED_SECONDS, _TOLERATED_SHARE * promised * a_frame):
            return (
                f"its header promises {promised * a_frame:.2f} s of audio, but it ends "
                f"after {n_frames * a_frame:.2f} s"
            )
        if 0 <= missing < 2 * a_frame:  # all are there, whatever is between them
            return None
    n_bytes = sum(stop - start for start, stop in counted.pieces)
    tolerated = _TOLERATED_SECONDS * n_bytes / (max(1, counted.n_frames) * a_frame)
    in_all = sum(length for _, _, length in counted.holes)
    worst = max(counted.holes, key=lambda hole: hole[2])
    if worst[2] <= tolerated and in_all <= tolerated + _TOLERATED_SHARE * n_bytes:
        return None
    seconds, first, length = worst
    return (
        f"at {seconds:.2f} s, {length} bytes from byte {first} on are neither sound "
        "nor a tag, so sound is missing there"
    )


def _find_run(file, position, ends, budget, kind=None):
    """Find where consecutive frames start, at `position` or after it.

    Returns
    -------
    run : (int, _Kind) or None
        None where there are none within `budget` bytes.
    n_searched : int
    """
    first, limit = position, min(ends[-1], position + budget)
    free_length = None if kind is None else kind.free_length
    while position < limit:
        window = read_at(file, position, min(_WINDOW, limit - position) + 3)
        for found in _HEADER.finditer(window):
            at = position + found.start()
            run = _run_at(file, at, ends, free_length)
            if run is not None and at < limit:
                return (at, run), at - first
        position += _WINDOW
    return None, max(0, limit - first)


def _run_at(file, position, ends, free_length=None):
    """The kind of `_RUN` frames, or of as many as are left, that begin at a byte."""
    header = read_at(file, position, 4)
    kind = _kind_of(header, free_length)
    if kind is None:
        return None
    for _ in range(_RUN):
        length = _lengths(kind).get(header[:3])
        if length is None or _is_mono(header) != kind.mono:
            return None
        position += length
        if position in ends:
            return kind
        header = read_at(file, position, 4)
        if len(header) < 4:
            return None
    return kind


def _free_run(file, position, ends):
    """The same of frames of free bit rate, which do not say how long they are."""
    window = read_at(file, position, _MAX_FREE_LENGTH)
    header = window[:4]
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0 or header[2] >> 4:
        return None
    same = re.compile(b"\xff" + re.escape(header[1:2]))
    for found in same.finditer(window, 24):
        slot = 4 if header[1] >> 1 & 3 == 3 else 1
        length = found.start() - (header[2] >> 1 & 1) * slot
        kind = _run_at(file, position, ends, length)
        if kind is not None:
            return position, kind
    return None


def _follow(file, position, stop, kind):
    """Frames in a row from `position` on, whole ones, and the byte after the last."""
    lengths, mono, n_frames, length = _lengths(kind), kind.mono, 0, 0
    while position + 4 <= stop:
        window = read_at(file, position, min(_MAX_SEARCHED, stop - position))
        at, last = 0, len(window) - 4
        while at <= last:
            length = lengths.get(window[at : at + 3])
            if length is None or (window[at + 3] >= 0xC0) != mono:
                return n_frames, position + at
            n_frames += 1
            at += length
        position += at
    if position > stop:
        return n_frames - 1, position - length
    return n_frames, position


def _kind_of(header, free_length=None):
    """What all frames of a chain have in common, from the header of one."""
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, _LAYERS.get(header[1] >> 1 & 3)
    bit_rate, rate = header[2] >> 4, header[2] >> 2 & 3
    if layer is None or version not in _RATE_DIVISOR or rate == 3 or bit_rate == 15:
        return None
    if bit_rate == 0 and free_length is None:
        return None
    free_length = None if bit_rate else free_length
    return _Kind(version, layer, rate, _is_mono(header), free_length)


def _is_mono(header):
    return header[3] >= 0xC0


@lru_cache(maxsize=1 << 8)
def _lengths(kind):
    """Bytes of each frame that may stand in a chain, by the start of its header."""
    lengths = {}
    layer = next(bits for bits, layer in _LAYERS.items() if layer == kind.layer)
    rates = range(1, 15) if kind.free_length is None else (0,)
    for guarded in (0, 1):
        second = 0xE0 | kind.version << 3 | layer << 1 | guarded
        for bit_rate in rates:
            for low in range(4):  # padding, and a bit of no meaning
                third = bit_rate << 4 | kind.rate << 2 | low
                length = _frame_length(second, third, kind.free_length)
                lengths[bytes([0xFF, second, third])] = length
    return lengths


def _frame_length(second, third, free_length=None):
    """Length in bytes of a frame, from the second and third byte of its header."""
    kind = _kind_of(bytes([0xFF, second, third, 0]), free_length)
    if kind is None:
        return None
    bit_rate, padding = third >> 4, third >> 1 & 1
    slot = 4 if kind.layer == 1 else 1  # bytes of the unit that frames are padded by
    if bit_rate == 0:
        return free_length + padding * slot
    table = _KBIT_MPEG1 if kind.version == 3 else _KBIT_MPEG2
    bits = table[kind.layer][bit_rate] * 1000 * kind.n_samples
    return (bits // (8 * slot * kind.sample_rate) + padding) * slot


def _promise(frame, kind):
    """How many frames follow, by the first one, and where its length tag stands.

    Returns
    -------
    promised : int or None
        None where the frame is one of sound.
    tag : int or None
        None where there is none, or one of another kind ("VBRI").
    """
    if kind.layer != 3:
        return None, None
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big"), None
    side = (17 if kind.mono else 32) if kind.version == 3 else (9 if kind.mono else 17)
    for tag in (4 + side, 6 + side):  # a checksum may stand before it
        if frame[tag : tag + 4] in _LENGTH_TAGS and frame[tag + 7] & _HAS_FRAMES:
            return int.from_bytes(frame[tag + 8 : tag + 12], "big"), tag
    return None, None


def _with_number(frame, tag, n_frames, pieces):
    """The first frame, with the true numbers of frames and bytes."""
    head = bytearray(frame)
    head[tag + 8 : tag + 12] = n_frames.to_bytes(4, "big")
    flags = frame[tag + 7]
    if flags & _HAS_BYTES:
        n_bytes = len(frame) + sum(stop - start for start, stop in pieces)
        head[tag + 12 : tag + 16] = min(n_bytes, 0xFFFFFFFF).to_bytes(4, "big")
    padding = tag + _DELAYS + 1
    if flags == _HAS_ALL and len(head) > padding + 1:
        # What the encoder filled up at the end: of the last of joined files another.
        head[padding] &= 0xF0
        head[padding + 1] = 0
    return bytes(head)
