"""Tags around sound: ID3v2 before it, and ID3v1, APE and Lyrics3 behind it.

They may be anywhere in a file of several that were joined.
"""

from typing import BinaryIO


def read_at(file: BinaryIO, position: int, length: int) -> bytes:
    """Some bytes of a file."""
    file.seek(position)
    return file.read(length)


def skip_tags(file: BinaryIO, position: int) -> int:
    """The byte after the tags at `position`: ID3v2, APEv2, ID3v1."""
    while True:
        head = read_at(file, position, 32)
        if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
            size = 0
            for byte in head[6:10]:
                size = size << 7 | byte  # seven bits a byte
            position += 10 + size
        elif head[:8] == b"APETAGEX":
            position += 32 + int.from_bytes(head[12:16], "little")
        elif head[:3] == b"TAG" and len(head) == 32:
            position += 128
        else:
            return position


def before_tags(file: BinaryIO, start: int, stop: int) -> int:
    """The byte where the tags at the end begin: ID3v1, APE, Lyrics3."""
    while True:
        tail = read_at(file, max(start, stop - 128), min(128, stop - start))
        if len(tail) == 128 and tail[:3] == b"TAG":
            size = 128
        elif tail[-32:-24] == b"APETAGEX":
            has_header = 32 * (tail[-9] >> 7)
            size = int.from_bytes(tail[-20:-16], "little") + has_header
        elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
            size = int(tail[-15:-9]) + 15
        else:
            return stop
        if not 0 < size <= stop - start:
            return stop
        stop -= size
