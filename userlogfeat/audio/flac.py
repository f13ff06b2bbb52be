"""Count the samples of a flac file by its last frame, not by its header.

The decoder reads as many samples as the header (STREAMINFO) promises. If that is too
small, or another file was joined behind this one, it leaves the rest out silently. Each
frame gives its own place, so the last one says how many samples there are, once its
checksum has shown that it is one.

Files that were joined are found by the header of the second. Looking at every byte for
it would take as long as decoding 15 s. But if the last frame ends where the header
promises, a second recording would be one of as many samples. Then it is enough to look
at frames here and there: within one recording their numbers grow.

Frames are described in RFC 9639, section 9.
"""

import re
from functools import lru_cache

from userlogfeat.audio.errors import check_promise, several
from userlogfeat.audio.source import Layout, Source

_HEADER = re.compile(rb"fLaC[\0\x80]\0\0\x22")  # the mark, and STREAMINFO's length
_HEADER_BYTES = 42  # with STREAMINFO
_BLOCK = slice(10, 12)  # bytes of the header: samples of a frame, the last one apart
_MAX_FRAME = slice(15, 18)  # bytes of the largest frame; 0 if unknown
_TOTAL = slice(18, 26)  # those whose last 36 bits are the samples of the file
_MAX_TOTAL = (1 << 36) - 1
_TAILS = (1 << 16, 1 << 20)  # bytes of the end searched for the last frame
_TRIED = 4  # ends of a frame
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_BLOCKS = (0, 192, *(576 << n for n in range(4)), 0, 0, *(256 << n for n in range(8)))
_CRC8, _CRC16 = (8, 0x07), (16, 0x8005)  # bits and polynomial
# Samples to a byte: a second recording could hide between two places that are looked at
# only if its frames were smaller than this, which is silence.
_SAMPLES_PER_BYTE = 8


def find_layout(source: Source) -> Layout | None:
    """Find where a flac file ends.

    Returns
    -------
    Layout or None
        None where the file does not begin as flac files do.

    Raises
    ------
    AudioError
        Where it holds less than its header promises, or another file follows.
    """
    start = source.skip_tags(0)
    head = source.read(start, _HEADER_BYTES)
    if len(head) < _HEADER_BYTES or not _HEADER.match(head):
        return None
    bits = int.from_bytes(head[_TOTAL], "big")
    promised, sample_rate = bits & _MAX_TOTAL, bits >> 44
    first = _skip_metadata(source, start)
    n_samples = _count(source, first, promised, head)
    if n_samples != promised or not _is_in_order(source, first, promised, head):
        second = next(source.find(_HEADER, first, 8), None)
        if second is not None:
            raise several(source.name, second)
    if n_samples is None or n_samples == promised:
        return Layout()
    check_promise(source.name, promised, n_samples, sample_rate or 1)
    total = (bits - promised + min(n_samples, _MAX_TOTAL)).to_bytes(8, "big")
    head = head[: _TOTAL.start] + total + head[_TOTAL.stop :]
    pieces = ((start + len(head), source.size),)
    return Layout(pieces, as_it_is=False, head=head, n_samples=n_samples)


def _skip_metadata(source, start):
    """The byte of the first frame, behind blocks such as comments and pictures."""
    position, is_last = start + 4, False
    while not is_last and position < source.size:
        block = source.read(position, 4)
        position += 4 + int.from_bytes(block[1:], "big")
        is_last = len(block) < 4 or block[0] >= 0x80
    return position if position < source.size else start + _HEADER_BYTES


def _count(source, first, promised, head):
    """Samples up to the end of the last frame; None if none is found.

    A frame that ends where the header promises is believed, others by their checksum.
    """
    stop = source.before_tags(first, source.size)
    for length in _TAILS:
        begin = max(first, stop - length)
        tail = source.read(begin, stop - begin)
        frames = _frames(tail, head)
        if promised and any(end == promised for _, end in frames):
            return promised
        # What looks like the header of a frame may be within one.
        stops = [len(tail), *(at for at, _ in reversed(frames))]
        for index, (at, end) in enumerate(reversed(frames), start=1):
            tried = stops[max(0, index - _TRIED) : index]
            if any(_checksum(tail[at:stop], *_CRC16) == 0 for stop in tried):
                return end
        if begin == first:
            break
    return None


def _is_in_order(source, first, promised, head):
    """Whether frames at places all over the file follow one another."""
    length = 3 * (int.from_bytes(head[_MAX_FRAME], "big") or 1 << 14)
    step = promised // _SAMPLES_PER_BYTE
    if step < 4 * length:
        return False  # looking at every byte is as quick
    block, last = int.from_bytes(head[_BLOCK], "big"), 0
    for position in range(first, source.size - length, step):
        ends = {end for _, end in _frames(source.read(position, length), head)}
        # Two frames in a row are not an accident.
        here = min((end for end in ends if end + block in ends), default=0)
        if here <= last:
            return False
        last = here
    return True


def _frames(data, head):
    """The frames in some bytes: where each begins, and the sample after its last."""
    block = int.from_bytes(head[_BLOCK], "big")
    places = (found.start() for found in _SYNC.finditer(data))
    ends = ((at, _end_of(data[at : at + 16], block)) for at in places)
    return [(at, end) for at, end in ends if end is not None]


def _end_of(header, block):
    """The sample after the last of a frame, or None if this is not a frame header."""
    header = header.ljust(16, b"\0")  # frames of silence are shorter
    if header[3] & 1 or header[2] & 15 == 15 or header[2] < 16:
        return None
    number, at = _number(header)
    if number is None:
        return None
    code = header[2] >> 4
    n_samples = _BLOCKS[code]
    if code in (6, 7):
        n_samples = int.from_bytes(header[at : at + code - 5], "big") + 1
        at += code - 5
    at += {12: 1, 13: 2, 14: 2}.get(header[2] & 15, 0)
    if _checksum(header[:at], *_CRC8) != header[at]:
        return None
    first = number if header[1] & 1 else number * block
    return first + n_samples


def _number(header):
    """The number of a frame or sample, written as UTF-8 does characters."""
    first = header[4]
    n_more = 0
    while n_more < 8 and first & 0x80 >> n_more:
        n_more += 1
    if n_more in (1, 8):
        return None, 0
    number = first & 0x7F >> n_more
    for byte in header[5 : 4 + max(1, n_more)]:
        if byte >> 6 != 2:
            return None, 0
        number = number << 6 | byte & 0x3F
    return number, 4 + max(1, n_more)


def _checksum(data, n_bits, polynomial):
    table, mask, total = _table(n_bits, polynomial), (1 << n_bits) - 1, 0
    for byte in data:
        total = (total << 8 & mask) ^ table[total >> n_bits - 8 ^ byte]
    return total


@lru_cache(maxsize=2)
def _table(n_bits, polynomial):
    """Checksums of single bytes."""
    table = []
    for byte in range(256):
        total = byte << n_bits - 8
        for _ in range(8):
            total = total << 1 ^ (polynomial if total >> n_bits - 1 else 0)
            total &= (1 << n_bits) - 1
        table.append(total)
    return table
