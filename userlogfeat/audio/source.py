"""A file as its format is looked into: bytes anywhere, marks, and tags around sound.

Tags are ID3v2 before sound, and ID3v1, APE and Lyrics3 behind it; in a file of several
that were joined they may be anywhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

_STEP = 1 << 20  # bytes searched at a time


class Source(NamedTuple):
    """An open file.

    Attributes
    ----------
    file : binary file
        Seekable.
    name : str
        Path, for messages.
    size : int
        Size in bytes.
    """

    file: BinaryIO
    name: str
    size: int

    def read(self, position: int, length: int) -> bytes:
        """Read some bytes; fewer at the end of the file."""
        self.file.seek(position)
        return self.file.read(length)

    def find(
        self, pattern: re.Pattern[bytes], start: int, length: int
    ) -> Iterator[int]:
        """Yield the bytes where a pattern of at most `length` bytes begins."""
        for position in range(start, self.size, _STEP):
            block = self.read(position, _STEP + length - 1)
            for found in pattern.finditer(block):
                yield position + found.start()

    def skip_tags(self, position: int) -> int:
        """Return the byte after the tags at `position`: ID3v2, APEv2, ID3v1."""
        while True:
            head = self.read(position, 32)
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

    def before_tags(self, start: int, stop: int) -> int:
        """Return the byte where the tags at the end begin: ID3v1, APE, Lyrics3."""
        while True:
            tail = self.read(max(start, stop - 128), min(128, stop - start))
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


@dataclass(frozen=True)
class Layout:
    """Where the sound of a file is, by its own chunks, pages or frames.

    Attributes
    ----------
    pieces : sequence of (int, int)
        First byte of each piece of sound, and the byte after its last.
    as_it_is : bool
        Whether the decoder may read the file itself: its header is right.
    head : bytes
        Otherwise, the right header, which comes before the pieces.
    n_samples : int or None
        Samples of each channel, as counted; None where the decoder knows.
    seeks : bool
        Whether the decoder finds the place of a sample; else it must read up to it.
    claimed : int or None
        Size in bytes to claim, where the decoder would guess a length from the size.
    n_behind : int
        Bytes behind the sound that are no part of the format, and not all zero.
    """

    pieces: tuple[tuple[int, int], ...] = ()
    as_it_is: bool = True
    head: bytes = b""
    n_samples: int | None = None
    seeks: bool = True
    claimed: int | None = None
    n_behind: int = 0
