"""The variables of a TensorFlow checkpoint, read without TensorFlow.

A checkpoint ("tensor bundle") is two files. ``<prefix>.index`` is a LevelDB table:
sorted keys (the names of the variables) whose values are BundleEntry protocol buffers
(type, shape, where the bytes are). ``<prefix>.data-00000-of-00001`` is
the raw bytes. Both formats are described in TensorFlow's ``tensor_bundle.proto`` and
LevelDB's ``doc/table_format.md``.

Nothing in the files is run, and every length is compared with what the file holds
before anything is allocated. The checksums inside (CRC-32C) are not read: whoever knows
which files to expect compares their SHA-256 first.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from userlogfeat._typing import PathLike

INDEX, DATA = ".index", ".data-00000-of-00001"
MAX_INDEX_BYTES = 1 << 24
MAX_DIMENSIONS = 8
FOOTER_BYTES = 48  # two block handles, padding, magic number
TRAILER_BYTES = 5  # after each block: compression type, checksum
MAGIC = 0xDB4775248B80FB57
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 6: "i1", 9: "<i8", 10: "?"}


def read_checkpoint(
    prefix: PathLike, *, wanted: Callable[..., Any] | None = lambda name: True
) -> dict[str, np.ndarray]:
    """Read the variables of a TensorFlow checkpoint.

    Parameters
    ----------
    prefix : str or Path
        Common prefix of its files: ``"model"`` for ``model.index`` and
        ``model.data-00000-of-00001``.
    wanted : callable, optional
        Called with each variable's name; those it declines are not read.

    Returns
    -------
    dict of str to ndarray
        In the order of the index.

    Raises
    ------
    FileNotFoundError
        Where one of the two files is missing.
    ValueError
        Where a file is damaged, truncated or not a checkpoint, or has what this reader
        does not know (several shards, partitioned variables, compression).
    """
    index, data = Path(f"{prefix}{INDEX}"), Path(f"{prefix}{DATA}")
    for path in (index, data):
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no file {path}: a checkpoint {str(prefix)!r} has both "
                f"{INDEX} and {DATA}. Pass what their names have in common."
            )
    try:
        entries = _read_table(_read_bounded(index))
        _check_header(entries.pop(b"", None))
        named = {key.decode(): _parse_entry(value) for key, value in entries.items()}
    except (IndexError, UnicodeDecodeError) as error:
        raise _damaged(index, f"an entry cannot be decoded ({error})") from error
    except ValueError as error:
        raise _damaged(index, error) from error
    with open(data, "rb") as file:
        n_bytes = data.stat().st_size
        return {
            name: _read_tensor(file, data, n_bytes, name, *entry)
            for name, entry in named.items()
            if wanted(name)
        }


def _damaged(path, reason):
    return ValueError(
        f"{path} cannot be read as part of a TensorFlow checkpoint: {reason}. It is "
        "damaged, truncated or another kind of file; copy or install it again."
    )


def _read_bounded(path):
    n_bytes = path.stat().st_size
    if n_bytes > MAX_INDEX_BYTES:
        raise ValueError(f"{n_bytes} bytes, expected at most {MAX_INDEX_BYTES}")
    return path.read_bytes()


# The LevelDB table: footer -> index block -> data blocks -> entries.


def _read_table(content):
    """All entries of a table, bytes to bytes."""
    if len(content) < FOOTER_BYTES:
        raise ValueError(f"{len(content)} bytes, too few for a LevelDB table")
    footer = content[-FOOTER_BYTES:]
    if int.from_bytes(footer[-8:], "little") != MAGIC:
        raise ValueError("it does not end with the magic number of a LevelDB table")
    position = 0
    for _ in range(2):  # the handle of the meta-index is not needed
        position = _varint(footer, position)[1]
    index_handle = footer[position:]
    entries = {}
    for handle in _read_block(content, index_handle).values():
        entries |= _read_block(content, handle)
    return entries


def _read_block(content, handle):
    """Entries of the block at a handle (its offset and size)."""
    offset, position = _varint(handle, 0)
    size, _ = _varint(handle, position)
    end = offset + size
    if end + TRAILER_BYTES > len(content) - FOOTER_BYTES:
        raise ValueError(f"a block of {size} bytes at {offset} is beyond its end")
    if content[end] != 0:
        raise ValueError(f"compression of type {content[end]} is not supported")
    return _parse_block(content[offset:end])


def _parse_block(block):
    """Entries of a block: each key shares a prefix with the key before it."""
    if len(block) < 4:
        raise ValueError("a block has no room for its restart points")
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    if end < 0:
        raise ValueError("a block lists more restart points than it has room for")
    entries, key, position = {}, b"", 0
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        if shared > len(key) or position + unshared + length > end:
            raise ValueError("an entry is longer than its block")
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        entries[key] = block[position : position + length]
        position += length
    return entries


# Protocol buffers: BundleHeader, BundleEntry, TensorShape.


def _varint(data, position):
    """An unsigned integer of 7 bits a byte, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("an integer of more than 64 bits")


def _fields(message):
    """Yield (field number, value) of a protocol buffer."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(message, position)
        elif kind in (1, 2, 5):
            length = {1: 8, 5: 4}.get(kind)
            if length is None:
                length, position = _varint(message, position)
            if position + length > len(message):
                raise ValueError("a field is longer than its message")
            value = message[position : position + length]
            position += length
        else:
            raise ValueError(f"a field of the unknown wire type {kind}")
        yield tag >> 3, value


def _check_header(message):
    if message is None:
        raise ValueError("it has no header entry")
    header = dict(_fields(message))
    if header.get(1, 0) != 1:
        raise ValueError(f"{header.get(1, 0)} data shards, only 1 is supported")
    if header.get(2, 0) != 0:
        raise ValueError("big-endian numbers are not supported")


def _parse_entry(message):
    """Type, shape, offset and size of a variable."""
    fields = dict(_fields(message))
    if 7 in fields:
        raise ValueError("partitioned variables are not supported")
    shape = tuple(
        _typed(int, dict(_fields(dimension)), 1)
        for number, dimension in _fields(_typed(bytes, fields, 2))
        if number == 2 and isinstance(dimension, bytes)
    )
    kind, offset, size = (_typed(int, fields, number) for number in (1, 4, 5))
    return kind, shape, offset, size


def _typed(type_, fields, number):
    """Field of a message, checked to be of a type; empty where it is left out."""
    value = fields.get(number, type_())
    if not isinstance(value, type_):
        raise ValueError(f"field {number} of an entry is not of type {type_.__name__}")
    return value


def _read_tensor(file, path, n_bytes, name, kind, shape, offset, size):
    if kind not in DTYPES:
        raise _damaged(path, f"variable {name!r} has the unknown type {kind}")
    dtype = np.dtype(DTYPES[kind])
    absurd = len(shape) > MAX_DIMENSIONS or max(shape, default=0) > n_bytes
    if absurd or math.prod(shape) * dtype.itemsize != size:
        raise _damaged(
            path, f"variable {name!r} of shape {shape} and {dtype} lists {size} bytes"
        )
    if offset + size > n_bytes:
        raise _damaged(
            path,
            f"variable {name!r} lies at bytes {offset} to {offset + size}, but the "
            f"file has {n_bytes}",
        )
    file.seek(offset)
    return np.frombuffer(file.read(size), dtype).reshape(shape)
