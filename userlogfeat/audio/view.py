"""Show a file to decoders with another header, or without some of its bytes.

Decoders believe what the header of a file promises. If that is wrong, they are given
this in place of the file: the right header, then the file's own bytes.
"""

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, BinaryIO

_TAG_BYTES = 128  # of the tag at the end of an mp3


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

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def tell(self) -> int:
        """Return the position, in bytes."""
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
