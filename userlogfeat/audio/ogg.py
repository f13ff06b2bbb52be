"""Check that all pages of an Ogg file are there.

An Ogg file is a chain of pages, each with a checksum and a number. If some are lost, in
the middle or at the end, the decoder skips them silently, and takes the length from the
last page it finds: a file that was cut off is read as a shorter one. So the pages are
counted here, and the last one must be marked as the last. Recordings that follow one
another in a file (a chain) are valid, but the decoder reads the first alone.

Pages are described in RFC 3533, section 6.
"""

import re
import zlib

from userlogfeat.audio.errors import damaged, several
from userlogfeat.audio.source import Layout, Source

MARK = b"OggS"
_HEADER_BYTES = 27  # of a page, before the table of its segments
_FIRST, _LAST = 2, 4  # flags: the page begins a stream, or ends it
# The checksum goes through the bits from the other end than that of zlib.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def find_layout(source: Source) -> Layout:
    """Follow the pages of an Ogg file to its end.

    Raises
    ------
    AudioError
        Where pages are missing or damaged, or another recording follows. Other bytes
        that follow the last page do no harm.
    """
    numbers, position = {}, 0  # of the next page of each stream that has not ended
    while page := _read_page(source, position):
        if _checksum(page) != int.from_bytes(page[22:26], "little"):
            raise _fault(
                source, f"the page at byte {position} does not fit its checksum"
            )
        stream, number = page[14:18], int.from_bytes(page[18:22], "little")
        if page[5] & _FIRST and position and not numbers:
            raise several(source.name, position)
        if not page[5] & _FIRST and numbers.get(stream) != number:
            raise _fault(source, f"pages before byte {position} are missing")
        numbers[stream] = number + 1
        if page[5] & _LAST:
            del numbers[stream]
        position += len(page)
    if numbers or not position:
        raise _fault(
            source, f"the last page is missing: at byte {position} there is none"
        )
    second = next(source.find(re.compile(MARK), position, len(MARK)), None)
    if second is not None:
        raise several(source.name, second)
    return Layout()


def _fault(source, fact):
    return damaged(source.name, f"it is an Ogg file of which {fact}")


def _read_page(source, position):
    """The page at a byte; empty where there is none, or not all of it."""
    head = source.read(position, _HEADER_BYTES + 255)
    if len(head) < _HEADER_BYTES or not head.startswith(MARK):
        return b""
    body = _HEADER_BYTES + head[26]
    length = body + sum(head[_HEADER_BYTES:body])
    page = source.read(position, length)
    return page if len(page) == length else b""


def _checksum(page):
    """CRC-32 of a page whose own checksum counts as zeros."""
    reversed_bits = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    raw = zlib.crc32(reversed_bits, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{raw:032b}"[::-1], 2)
