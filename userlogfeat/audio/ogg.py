"""Whether all pages of an Ogg file are there.

An Ogg file is a chain of pages, each with a checksum and a number. What is lost of it,
in the middle or at the end, is skipped by the decoder without a word, and the length is
taken from the last page found: a file that was cut off is read as a shorter one. So the
pages are counted here, and the last one must say that it is. Recordings that follow one
another in a file (a chain) are valid, but the decoder reads the first alone.

Pages are described in RFC 3533, section 6.
"""

import zlib
from typing import BinaryIO

from userlogfeat.audio.tags import read_at

MARK = b"OggS"
_STEP = 1 << 20  # bytes searched at a time
_HEADER_BYTES = 27  # of a page, before the table of its segments
_FIRST, _LAST = 2, 4  # flags: the page begins a stream, or ends it
# The checksum goes through the bits from the other end than that of zlib.
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def find_fault(file: BinaryIO, size: int) -> tuple[str | None, int | None]:
    """What is wrong with the pages of an Ogg file.

    Parameters
    ----------
    file : binary file
        Seekable and buffered.
    size : int
        Of the file, in bytes.

    Returns
    -------
    fault : str or None
        None where nothing is. What follows a file that is whole does no harm,
    second : int or None
        unless it is another recording, which begins at this byte.
    """
    numbers, position = {}, 0  # of the next page of each stream that has not ended
    while position < size:
        file.seek(position)
        head = file.read(_HEADER_BYTES + 255)
        if len(head) < _HEADER_BYTES or head[:4] != MARK:
            break
        body = _HEADER_BYTES + head[26]
        length = body + sum(head[_HEADER_BYTES:body])
        if position + length > size:
            break
        file.seek(position)
        page = file.read(length)
        if _checksum(page) != int.from_bytes(page[22:26], "little"):
            return f"the page at byte {position} does not fit its checksum", None
        stream, number = page[14:18], int.from_bytes(page[18:22], "little")
        if page[5] & _FIRST and position and not numbers:
            return None, position
        if not page[5] & _FIRST and numbers.get(stream) != number:
            return f"pages before byte {position} are missing", None
        numbers[stream] = number + 1
        if page[5] & _LAST:
            del numbers[stream]
        position += length
    if not numbers and position:
        return None, _find_page(file, position, size)
    return f"the last page is missing: at byte {position} there is none", None


def _find_page(file, position, size):
    """The byte of the next page, behind others that are none; None without one."""
    while position < size:
        block = read_at(file, position, _STEP + len(MARK))
        at = block.find(MARK)
        if at >= 0:
            return position + at
        position += _STEP
    return None


def _checksum(page):
    """CRC-32 of a page whose own checksum counts as zeros."""
    turned = (page[:22] + bytes(4) + page[26:]).translate(_TURNED)
    raw = zlib.crc32(turned, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{raw:032b}"[::-1], 2)
