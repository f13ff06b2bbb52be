"""Count the frames of an mp3, whatever its header promises.

An mp3 is a chain of frames, each with its own header. Most encoders write a first frame
that holds no sound but the number of the others ("Xing", "Info" or "VBRI"). The decoder
believes it: of two joined files it reads the first, and of one whose number is wrong a
part. Without such a frame the decoder guesses the length from the file's size and the
first bit rates, and never reads past its guess. So the frames are counted here (2 ms
for three minutes). If the count differs, the decoder is given the file with the right
number, or as if it were too large for any guess.

Frames use bytes of earlier ones, which the decoder lacks behind a place that it seeks;
then it is wrong for a tenth of a second and more. So an mp3 is decoded from its start.

Bytes between frames that are not a tag are a fault if they could have held 0.1 s of
sound or more: sound was there. Layers I and II are chains of frames as well, and so is
what some wav files hold.

The header is described in ISO/IEC 11172-3, section 2.4.1.3, and 13818-3; its extension
to free bit rates, whose frames have one length, in section 2.4.2.3.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from userlogfeat.audio import errors
from userlogfeat.audio.source import Layout, Source

_RUN = 4  # consecutive frames that make bytes an mp3
_WINDOW = 1 << 16  # bytes searched for frames at a time
_MAX_SEARCHED = 1 << 22  # of them in a whole file; a file made to be searched has more
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


class _Kind(NamedTuple):
    """The properties that all frames of a chain have in common."""

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
        """Samples of each channel in a frame."""
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.version != 3 else 1152

    def __str__(self):
        return (
            f"{'one channel' if self.mono else 'two channels'} at {self.sample_rate} Hz"
        )


def find_layout(
    source: Source, start: int = 0, stop: int | None = None
) -> Layout | None:
    """Find the frames of an mp3, and count them.

    Parameters
    ----------
    source : Source
        The file.
    start, stop : int
        First byte to look at, and the one after the last; by default all.

    Returns
    -------
    Layout or None
        None where there are no MPEG frames. Its pieces are the chains of frames,
        without the frame that gives their number.

    Raises
    ------
    AudioError
        Where sound is missing, or goes on at another rate or with other channels.
    """
    stop = source.size if stop is None else stop
    ends = source.before_tags(start, stop), stop
    after_tags = source.skip_tags(start)
    # From the start on: a tag that gives a wrong size would hide frames.
    budget = after_tags - start + _MAX_SEARCHED
    run, n_searched = _find_run(source, start, ends, budget)
    for position in {start, after_tags}:
        run = run or _free_run(source, position, ends)
    if run is None:
        return None
    budget = _MAX_SEARCHED - max(0, n_searched - (after_tags - start))
    counted = _count(source, run, ends, budget)
    is_after_id3 = run[0] == after_tags and source.read(start, 3) == b"ID3"
    return _describe(source, run, counted, run[0] == start or is_after_id3)


class _Counted(NamedTuple):
    pieces: list  # first byte, and the one after the last, of each chain of frames
    n_frames: int
    holes: list  # (seconds, first byte, bytes) of what is neither frame nor tag


def _count(source, run, ends, budget):
    """Follow the chains of frames to the end of the file."""
    pieces, holes, n_frames = [], [], 0
    position, kind = run
    while True:
        n_more, stop = _follow(source, position, ends[-1], kind)
        n_frames += n_more
        pieces.append((position, stop))
        seconds = n_frames * kind.n_samples / kind.sample_rate
        after = source.skip_tags(stop)
        run, n_searched = _find_run(source, stop, ends, after - stop + budget, kind)
        position, found = run or (ends[0], kind)
        holes.append((seconds, after, max(0, position - after)))
        if run is None:
            return _Counted(pieces, n_frames, holes)
        if found != kind:
            change = f"{kind} go over to {found} at {seconds:.2f} s, byte {position}"
            raise errors.unsupported(source.name, f"it changes on the way: {change}")
        budget -= max(0, n_searched - (after - stop))


def _describe(source, run, counted, starts_well):
    (first, kind), (_, stop) = run, counted.pieces[0]
    n_frames, pieces, head = counted.n_frames, counted.pieces, b""
    frame = source.read(first, _lengths(kind).get(source.read(first, 3)))
    promised, tag = _promise(frame, kind)
    if promised is not None:
        n_frames -= 1
        pieces = [(first + len(frame), stop), *pieces[1:]]
    if tag is not None:
        head = frame
        if n_frames != promised:
            head = _with_number(frame, tag, n_frames, pieces)
    _check_all_there(source.name, counted, kind, n_frames, promised)
    if not promised:
        _check_last_frame(source, counted.pieces[-1][1], kind)
    is_right = tag is not None and n_frames <= promised
    n_bytes = sum(stop - start for start, stop in pieces)
    return Layout(
        pieces=tuple(pieces),
        as_it_is=starts_well and is_right and len(pieces) == 1,
        head=head,
        n_samples=n_frames * kind.n_samples,
        seeks=False,
        claimed=None if head else _LARGER * n_bytes,
    )


def _check_all_there(name, counted, kind, n_frames, promised):
    """Raise where promised frames are missing, or sound between those there."""
    a_frame = kind.n_samples / kind.sample_rate  # seconds
    if promised:
        errors.check_promise(
            name, promised * kind.n_samples, n_frames * kind.n_samples, kind.sample_rate
        )
        if 0 <= promised - n_frames < 2:  # all are there, whatever is between them
            return
    n_bytes = sum(stop - start for start, stop in counted.pieces)
    tolerated = (
        errors.TOLERATED_SECONDS * n_bytes / (max(1, counted.n_frames) * a_frame)
    )
    in_all = sum(length for _, _, length in counted.holes)
    seconds, first, length = max(counted.holes, key=lambda hole: hole[2])
    if length > tolerated or in_all > tolerated + errors.TOLERATED_SHARE * n_bytes:
        raise errors.damaged(
            name,
            f"at {seconds:.2f} s, {length} bytes from byte {first} on are neither "
            "sound nor a tag, so sound is missing there",
        )


def _check_last_frame(source, stop, kind):
    """Raise where a file ends within a frame: how much more there was, nothing says."""
    header = source.read(stop, 4)
    length = _lengths(kind).get(header[:3])
    is_frame = length is not None and len(header) == 4 and _is_mono(header) == kind.mono
    if is_frame and stop + length > source.size:
        raise errors.damaged(
            source.name,
            f"it ends within a frame, which begins at byte {stop}, and does not say "
            "how much sound should follow",
        )


def _find_run(source, position, ends, budget, kind=None):
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
        window = source.read(position, min(_WINDOW, limit - position) + 3)
        for found in _HEADER.finditer(window):
            at = position + found.start()
            run = _run_at(source, at, ends, free_length)
            if run is not None and at < limit:
                return (at, run), at - first
        position += _WINDOW
    return None, max(0, limit - first)


def _run_at(source, position, ends, free_length=None):
    """The kind of `_RUN` frames, or of as many as are left, that begin at a byte."""
    header = source.read(position, 4)
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
        if position + 4 > ends[-1]:
            return None
        header = source.read(position, 4)
    return kind


def _free_run(source, position, ends):
    """The same for frames of free bit rate, which do not give their length."""
    window = source.read(position, _MAX_FREE_LENGTH)
    header = window[:4]
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0 or header[2] >> 4:
        return None
    same = re.compile(b"\xff" + re.escape(header[1:2]))
    for found in same.finditer(window, 24):
        slot = 4 if header[1] >> 1 & 3 == 3 else 1
        length = found.start() - (header[2] >> 1 & 1) * slot
        kind = _run_at(source, position, ends, length)
        if kind is not None:
            return position, kind
    return None


def _follow(source, position, stop, kind):
    """Frames in a row from `position` on, whole ones, and the byte after the last."""
    lengths, mono, n_frames, length = _lengths(kind), kind.mono, 0, 0
    while position + 4 <= stop:
        window = source.read(position, min(_MAX_SEARCHED, stop - position))
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
    """Return the properties of a chain from the header of one frame."""
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
                length = frame_length(second, third, kind.free_length)
                lengths[bytes([0xFF, second, third])] = length
    return lengths


def frame_length(second: int, third: int, free_length: int | None = None) -> int | None:
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
    """Number of frames that follow, by the first one, and the byte of its length tag.

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
        # Padding at the end, as of the first of joined files: that of the last differs.
        head[padding] &= 0xF0
        head[padding + 1] = 0
    return bytes(head)
