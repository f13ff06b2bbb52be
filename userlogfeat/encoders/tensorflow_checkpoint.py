"""The variables of musicnn's TensorFlow checkpoints, read without TensorFlow.

A checkpoint ("tensor bundle") is two files. ``<prefix>.index`` is a LevelDB table:
sorted keys (the names of the variables) whose values are BundleEntry protocol buffers
(type, shape, where the bytes are). ``<prefix>.data-00000-of-00001`` is
the raw bytes. Both formats are described in TensorFlow's ``tensor_bundle.proto`` and
LevelDB's ``doc/table_format.md``.

Nothing in the files is run. They are read as they should be: who calls this compares
their SHA-256 first (`musicnn.find_checkpoint`), so no length, type or checksum in them
is checked again.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from userlogfeat._typing import PathLike

INDEX, DATA = ".index", ".data-00000-of-00001"
FOOTER_BYTES = 48  # two block handles, padding, magic number
DTYPES = {1: "<f4", 3: "<i4", 9: "<i8"}
# Fields of a BundleEntry.
TYPE, SHAPE, OFFSET = 1, 2, 4


def read_checkpoint(
    prefix: PathLike, *, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, np.ndarray]:
    """Read the variables of a TensorFlow checkpoint whose files are known.

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
    """
    entries = _read_table(Path(f"{prefix}{INDEX}").read_bytes())
    del entries[b""]  # the header of the bundle
    return {
        key.decode(): _read_tensor(f"{prefix}{DATA}", dict(_fields(entry)))
        for key, entry in entries.items()
        if wanted(key.decode())
    }


# The LevelDB table: footer -> index block -> data blocks -> entries.


def _read_table(content):
    """All entries of a table, bytes to bytes."""
    footer = content[-FOOTER_BYTES:]
    position = 0
    for _ in range(2):  # the handle of the meta-index is not needed
        position = _varint(footer, position)[1]
    entries = {}
    for handle in _read_block(content, footer[position:]).values():
        entries |= _read_block(content, handle)
    return entries


def _read_block(content, handle):
    """Entries of the block at a handle (its offset and size).

    Each key shares a prefix with the key before it; at the end are restart points.
    """
    offset, position = _varint(handle, 0)
    size, _ = _varint(handle, position)
    block = content[offset : offset + size]
    end = size - 4 * (1 + int.from_bytes(block[-4:], "little"))
    entries, key, position = {}, b"", 0
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        entries[key] = block[position : position + length]
        position += length
    return entries


# Protocol buffers: BundleEntry, TensorShape.


def _varint(data, position):
    """An unsigned integer of 7 bits a byte, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _fields(message):
    """Yield (field number, value) of a protocol buffer."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag & 7 == 0:
            value, position = _varint(message, position)
        else:  # 2: bytes of a length that precedes them; 5: four bytes, a checksum
            length = 4
            if tag & 7 == 2:
                length, position = _varint(message, position)
            value = message[position : position + length]
            position += length
        yield tag >> 3, value


def _read_tensor(path, entry):
    """Read one variable; what is zero is left out of an entry."""
    dimensions = [dict(_fields(size)) for _, size in _fields(entry.get(SHAPE, b""))]
    shape = [size.get(1, 0) for size in dimensions]
    count = int(np.prod(shape))
    kind, offset = DTYPES[entry[TYPE]], entry.get(OFFSET, 0)
    return np.fromfile(path, kind, count, offset=offset).reshape(shape)
