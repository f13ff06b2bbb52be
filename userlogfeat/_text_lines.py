"""Text files as lines: compressed or not, whatever their line ends and marks.

UTF-8 with or without byte order mark; lines end with LF, CRLF or CR, also mixed. Other
kinds of files are recognised, and refused by name.
"""

import codecs
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from userlogfeat._typing import PathLike

COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
_BLOCK = 2 << 20  # bytes, about, of a block
_MAX_LINE = 1 << 24  # bytes
NUL_ADVICE = "Is it in UTF-16, or damaged? Convert it to UTF-8"
_SHOWN_LETTERS = 60
_WIDE = (  # the first begins like the third
    (codecs.BOM_UTF32_LE, 32),
    (codecs.BOM_UTF32_BE, 32),
    (codecs.BOM_UTF16_LE, 16),
    (codecs.BOM_UTF16_BE, 16),
)
_BEGINNINGS = {
    b"\x1f\x8b": "is compressed by gzip, expected text, or a name that ends in .gz",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd, expected text, or a name in .zst",
    b"PK\x03\x04": "is a zip file or a spreadsheet, expected text: export it as csv",
    b"PAR1\x15": "is Parquet, expected text, or a name that ends in .parquet",
}


class LineBlocks:
    """A text file as blocks of complete lines, all of which end with LF.

    Parameters
    ----------
    path : Path
        A regular file, perhaps compressed: .gz, .bz2, .zst, .lz4.
    max_bytes : int, optional
        Maximum length, uncompressed.

    Attributes
    ----------
    cut_line : int or None
        The number of a last line without line end, known once it was read.
    """

    def __init__(self, path: Path, *, max_bytes: float = float("inf")) -> None:
        self.path, self.max_bytes = path, max_bytes
        self.cut_line: int | None = None

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number of the first line, counted from 1, and the lines."""
        number, n_bytes, carry, data = 1, 0, b"", None
        with open_bytes(self.path) as stream:
            while data != b"":
                data = self._next(stream)
                if not n_bytes:
                    data = without_mark(data, self.path)
                n_bytes += len(data)
                if n_bytes > self.max_bytes:
                    raise unreadable(self.path, f"has more than {self.max_bytes} bytes")
                lines, carry = _whole_lines(carry + data, is_last=data == b"")
                if len(carry) > _MAX_LINE:
                    fact = f"has a line of more than {_MAX_LINE} bytes, after line "
                    n_before = number + lines.count(b"\n") - 1
                    raise unreadable(self.path, f"{fact}{n_before}. Is it text")
                if data == b"" and lines and not lines.endswith(b"\n"):
                    self.cut_line = number + lines.count(b"\n")
                    lines += b"\n"
                if lines:
                    yield number, lines
                    number += lines.count(b"\n")

    def _next(self, stream):
        try:
            return stream.read(_BLOCK)
        except (pa.ArrowException, OSError, EOFError) as error:
            raise unreadable(
                self.path, f"could not be decompressed: {error}"
            ) from error


def open_bytes(path: Path) -> pa.NativeFile:
    """Open a regular file for reading; decompressed where its suffix says so."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise unreadable(
            path, "is a folder, pipe or device. Write its content to a file"
        )
    file = pa.OSFile(os.fsencode(path))
    codec = COMPRESSED.get(path.suffix.lower())
    return file if codec is None else pa.CompressedInputStream(file, codec)


def list_lines(raw: bytes, path: PathLike) -> list[str]:
    """Split a list, such as of paths, into lines without their ends; also blank ones.

    Parameters
    ----------
    raw : bytes
    path : str or Path
        For messages.

    Returns
    -------
    list of str
        Bytes that are no UTF-8 are surrogates, as in names of files.

    Raises
    ------
    ValueError
        Where it is another kind of file, or has NUL bytes.
    """
    lines = without_mark(raw, path)
    # A name may hold CR: lines end so only where nothing else ends them.
    end = b"\n" if b"\n" in lines else b"\r"
    if b"\0" in lines:
        number = lines.count(end, 0, lines.index(b"\0")) + 1
        raise unreadable(path, f"has NUL bytes in line {number}. {NUL_ADVICE}")
    found = [line.removesuffix(b"\r") for line in lines.split(end)]
    return [line.decode("utf-8", "surrogateescape") for line in found]


def without_mark(data: bytes, path: PathLike) -> bytes:
    """Drop the byte order mark of a file's beginning; raise where it is not text."""
    for mark, bits in _WIDE:
        if data.startswith(mark):
            command = f"iconv -f utf-{bits} -t utf-8 OLD > NEW"
            fact = f"is in UTF-{bits}, expected UTF-8. Convert it: {command}"
            raise unreadable(path, fact)
    for beginning, what in _BEGINNINGS.items():
        if data.startswith(beginning):
            raise unreadable(path, what)
    return data.removeprefix(codecs.BOM_UTF8)


def unreadable(path: PathLike, reason: str) -> ValueError:
    """Return the error of a text file."""
    return ValueError(f"{path} could not be read: it {reason.rstrip('.')}.")


def shown(line: bytes) -> str:
    """Quote the beginning of a line for a message."""
    text = line[: 4 * _SHOWN_LETTERS].decode("utf-8", "backslashreplace")
    more = "..." if len(text) > _SHOWN_LETTERS else ""
    return f"{text[:_SHOWN_LETTERS]!r}{more}"


def _whole_lines(data, *, is_last):
    """Split data into lines that end with LF, and a rest; the last data has none."""
    held = b""
    if b"\r" in data:
        if not is_last and data.endswith(b"\r"):
            data, held = data[:-1], b"\r"  # LF may follow
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    end = len(data) if is_last else data.rfind(b"\n") + 1
    return data[:end], data[end:] + held
