"""A file as its format is looked into: bytes anywhere, marks, and tags around sound.

Tags are ID3v2 before sound, and ID3v1, APE and Lyrics3 behind it; in a file of several
that were joined they may be anywhere.
"""

import io
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO, NamedTuple

_STEP = 1 << 20  # bytes searched at a time
_TAG_BYTES = 128  # of the tag at the end of an mp3


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
        Bytes behind the sound that are not part of the format, and not all zero.
    """

    pieces: tuple[tuple[int, int], ...] = ()
    as_it_is: bool = True
    head: bytes = b""
    n_samples: int | None = None
    seeks: bool = True
    claimed: int | None = None
    n_behind: int = 0


class FileView(io.RawIOBase):
    """A header, then pieces of a file.

    Parameters
    ----------
    file : binary file
        Seekable.
    head : bytes
        Bytes that come first.
    pieces : sequence of (int, int)
        First byte of each piece of `file`, and the byte after its last.
    claimed : int, optional
        Size in bytes to show; by default the true one. If it is larger, there are zeros
        at the end, where decoders look for a tag.
    """

    def __init__(
        self,
        file: BinaryIO,
        head: bytes,
        pieces: Sequence[tuple[int, int]],
        claimed: int | None = None,
    ) -> None:
        super().__init__()
        self._file, self._head = file, head
        self._pieces = [(0, len(head)), *pieces]
        lengths = [stop - start for start, stop in self._pieces]
        self._offsets = [0, *accumulate(lengths)]  # of the pieces in the view
        self._size = self._offsets[-1] if claimed is None else claimed
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with the next bytes; return how many there were."""
        if self._position >= self._size - _TAG_BYTES > self._offsets[-1]:
            n_read = min(len(buffer), self._size - self._position)
            buffer[:n_read] = bytes(n_read)
            self._position += n_read
            return n_read
        n_read = 0
        while n_read < len(buffer) and self._position < self._offsets[-1]:
            data = self._read_piece(len(buffer) - n_read)
            if not data:
                break
            buffer[n_read : n_read + len(data)] = data
            n_read += len(data)
            self._position += len(data)
        return n_read

    def _read_piece(self, at_most):
        index = bisect_right(self._offsets, self._position) - 1
        skipped = self._position - self._offsets[index]
        start, stop = self._pieces[index]
        length = min(at_most, stop - start - skipped)
        if index == 0:
            return self._head[skipped : skipped + length]
        self._file.seek(start + skipped)
        return self._file.read(length)
