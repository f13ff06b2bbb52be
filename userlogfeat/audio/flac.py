"""How long a flac file is, by its last frame and not by its header.

The header (STREAMINFO) gives a number of samples, and the decoder reads no further:
where that is too small, or of a file that another was joined to, the rest is left out
without a word. Each frame gives its own place; so the last one says how many samples
there are, once its checksum has shown that it is one. Files that were joined are found
by the header of the second: that takes reading the bytes, not decoding them.

Frames are described in RFC 9639, section 9.
"""

import re
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from userlogfeat.audio.tags import before_tags, read_at

MARK = b"fLaC"
_BLOCK = slice(10, 12)  # bytes of the header: samples of a frame, the last one apart
_TOTAL = slice(18, 26)  # those whose last 36 bits are the samples of the file
_MAX_TOTAL = (1 << 36) - 1
_STEP = 1 << 20  # bytes searched at a time for another file
_TAILS = (1 << 16, 1 << 20)  # bytes of the end searched for the last frame
_TRIED = 4  # ends of a frame
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_BLOCKS = (0, 192, *(576 << n for n in range(4)), 0, 0, *(256 << n for n in range(8)))
_CRC8, _CRC16 = (8, 0x07), (16, 0x8005)  # bits and polynomial


class FlacLayout(NamedTuple):
    """What a flac file holds.

    Attributes
    ----------
    start : int
        Its first byte: what is before it is a tag.
    n_samples : int or None
        Samples of each channel by its last frame; None where none was found.
    promised : int
        By its header; 0 where it does not say.
    head : bytes
        Its header, with the samples by the last frame.
    second : int or None
        The byte where another file begins.
    """

    start: int
    n_samples: int | None
    promised: int
    head: bytes
    second: int | None


def find_layout(file: BinaryIO, start: int, size: int) -> FlacLayout | None:
    """Find what a flac file holds.

    Parameters
    ----------
    file : binary file
        Seekable and buffered.
    start, size : int
        The byte where it begins, and the size of the file.

    Returns
    -------
    FlacLayout or None
        None where it does not begin as flac files do.
    """
    head = read_at(file, start, 42)
    if len(head) < 42 or not _is_header(head):
        return None
    second = _find_second(file, start + len(head), size)
    bits = int.from_bytes(head[_TOTAL], "big")
    promised = bits & _MAX_TOTAL
    block = int.from_bytes(head[_BLOCK], "big")
    n_samples = _count(file, start + len(head), size, promised, block)
    total = min(n_samples or 0, _MAX_TOTAL)
    mended = (bits - promised + total).to_bytes(8, "big")
    head = head[: _TOTAL.start] + mended + head[_TOTAL.stop :]
    return FlacLayout(start, n_samples, promised, head, second)


def _is_header(data):
    """Whether it begins with the mark and STREAMINFO."""
    return data[:4] == MARK and data[4:8] in (b"\0\0\0\x22", b"\x80\0\0\x22")


def _find_second(file, position, size):
    while position < size:
        block = read_at(file, position, _STEP + 8)
        at = block.find(MARK)
        while at >= 0:
            if _is_header(block[at : at + 8]):
                return position + at
            at = block.find(MARK, at + 1)
        position += _STEP
    return None


def _count(file, first, size, promised, block):
    """Samples up to the end of the last frame.

    One that ends where the header promises is believed, another by its checksum.
    """
    stop = before_tags(file, first, size)
    for length in _TAILS:
        begin = max(first, stop - length)
        tail = read_at(file, begin, stop - begin)
        frames = [
            (found.start(), end)
            for found in _SYNC.finditer(tail)
            if (end := _end_of(tail[found.start() :][:16], block)) is not None
        ]
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


def _end_of(header, block):
    """The sample after the last of a frame, or None where this is no header of one."""
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
