"""Parquet files of strangers: pages are checked, and memory is bounded.

A few bytes of Parquet can fill the memory: a word that is repeated, a million rows of
one number, a row of a million numbers. So text is read as a dictionary of its words,
and decoded only once its full length is known; columns whose rows may be of any length
are counted before they are read; and no file may grow more than ``MAX_RATIO`` times (a
page alone may have 2 GiB, by the format). Where a page has a checksum, it is compared.
"""

import contextlib
import os
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MAX_BYTES = 1 << 32  # of a file's columns in memory
MAX_RATIO = 1000  # of those to its own; tables of failed clips reach a hundred
FREE_BYTES = 1 << 26  # below which the ratio does not matter
SMALL_BYTES = 1 << 18  # of a file that is read at once
_BATCH_ROWS = 1 << 14
# Least bytes of a value in memory; for text, those of the number of its word.
_WIDTHS = {"BOOLEAN": 1 / 8, "INT32": 4, "FLOAT": 4, "BYTE_ARRAY": 4}
_NARROW = {"INT_8": 1, "UINT_8": 1, "INT_16": 2, "UINT_16": 2}
_OTHER_WIDTH = 8


def most_bytes(n_bytes, *, at_most=MAX_BYTES):
    """Return how many bytes a file of `n_bytes` may have in memory."""
    return min(at_most, FREE_BYTES + MAX_RATIO * n_bytes)


def open_parquet(path, *, at_most=float("inf"), **settings):
    """Open a Parquet file whose text comes as dictionaries: see :func:`decode_text`.

    Parameters
    ----------
    path : str or Path
        A regular file.
    at_most : int
        Maximum bytes in memory of the columns whose rows may be of any length.
    **settings
        Arguments for ``pyarrow.parquet.ParquetFile``.

    Raises
    ------
    ValueError
        Where it is a pipe or a device, no Parquet (a pyarrow exception), or has rows
        that are too long.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is not a regular file, but a folder, pipe or device.")
    source = as_file(path)
    if status.st_size <= SMALL_BYTES:  # opened once, where pyarrow would do so twice
        source = pa.BufferReader(Path(path).read_bytes())
    metadata = pq.read_metadata(source)
    n_most = most_bytes(status.st_size, at_most=at_most)
    n_bytes = decoded_bytes(metadata, _has_long_rows)
    if n_bytes > n_most:
        raise ValueError(
            f"{path} has lists of {n_bytes:.3g} bytes, more than {n_most}, the most "
            f"that a file of {status.st_size} bytes may have in memory"
        )
    return pq.ParquetFile(
        source if status.st_size <= SMALL_BYTES else as_file(path),
        metadata=metadata,
        page_checksum_verification=True,
        read_dictionary=[c.path for c in _columns(metadata) if _is_text_column(c)],
        **settings,
    )


def decoded_bytes(metadata, counts=lambda column: True):
    """Return the least bytes of a file's columns in memory; text as dictionaries.

    Parameters
    ----------
    metadata : pyarrow.parquet.FileMetaData
        The number of values that it notes is the number that is read, up to a page.
    counts : callable
        Whether a column counts.
    """
    columns = [
        (place, column.max_repetition_level > 0, _width(column))
        for place, column in enumerate(_columns(metadata))
        if counts(column)
    ]
    groups = range(metadata.num_row_groups if columns else 0)
    # Only lists need the notes of their column: pyarrow ends the process where those
    # are damaged.
    return sum(
        width * (group.column(place).num_values if is_list else group.num_rows)
        for group in map(metadata.row_group, groups)
        for place, is_list, width in columns
    )


def as_file(path, mode="rb"):
    """Return the path, or an open file where pyarrow refuses it: it is no UTF-8."""
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        return pa.OSFile(os.fsencode(path), mode)
    return path


def write_parquet(path, table, **settings):
    """Write a table with checksums of its pages, whatever the name of the file.

    Parameters
    ----------
    path : str or Path
    table : pyarrow.Table
    **settings
        Arguments for ``pyarrow.parquet.ParquetWriter``.
    """
    with parquet_writer(path, table.schema, **settings) as file:
        file.write_table(table)


@contextlib.contextmanager
def parquet_writer(path, schema, **settings):
    """Open a ``ParquetWriter`` of pyarrow with checksums, whatever the file's name.

    Parameters
    ----------
    path : str or Path
    schema : pyarrow.Schema
    **settings
        Arguments for ``pyarrow.parquet.ParquetWriter``.
    """
    file = as_file(path, "wb")
    try:
        with pq.ParquetWriter(
            file, schema, write_page_checksum=True, **settings
        ) as writer:
            yield writer
    finally:
        if file is not path:
            file.close()


def decode_text(rows, n_most):
    """Decode dictionaries of words to text, once its length is known.

    Parameters
    ----------
    rows : pyarrow.Table or RecordBatch
        Read from a file of :func:`open_parquet`.
    n_most : int
        Maximum bytes of the text of all columns.

    Raises
    ------
    ValueError
        Where it has more, or is no UTF-8.
    """
    n_bytes = 0
    for place, field in enumerate(rows.schema):
        kind = _decoded_type(field.type)
        if kind == field.type:
            continue
        column = rows.column(place)
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        n_bytes += sum(_most_text(chunk, n_most - n_bytes) for chunk in chunks)
        if n_bytes > n_most:
            raise ValueError(
                f"its text up to the column {field.name!r} is longer than {n_most} "
                "bytes in memory"
            )
        column = column.cast(kind)
        column.validate(full=True)
        rows = rows.set_column(place, field.with_type(kind), column)
    return rows


def read_parquet(path, *, at_most=MAX_BYTES):
    """Read a Parquet file, or a folder of them in the order of their names.

    Parameters
    ----------
    path : str or Path
    at_most : int
        Maximum bytes of a file's columns in memory.

    Returns
    -------
    pyarrow.Table
        With the metadata of the first file.

    Raises
    ------
    ValueError
        Where a file is damaged (a pyarrow exception), no regular file, or larger in
        memory than it may be.
    """
    path = Path(path)
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.glob("*.parquet") if f.name[0] not in "._")
    if not files:
        raise FileNotFoundError(f"The folder {path} holds no .parquet file.")
    return pa.concat_tables([_read_file(file, at_most) for file in files])


def _read_file(path, at_most):
    n_most = most_bytes(os.path.getsize(path), at_most=at_most)
    batches, n_bytes = [], 0
    with open_parquet(path, at_most=at_most) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            batch = decode_text(batch, n_most - n_bytes)
            n_bytes += batch.nbytes
            if n_bytes > n_most:
                raise ValueError(f"{path} has more than {n_most} bytes in memory")
            batches.append(batch)
        n_rows = file.metadata.num_rows
        if sum(batch.num_rows for batch in batches) != n_rows:
            raise ValueError(f"{path} has other than the {n_rows} rows that it notes")
        if not batches:
            return file.schema_arrow.empty_table()
    table = pa.Table.from_batches(batches)
    table.validate(full=True)
    return table


def _is_text(kind):
    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def _columns(metadata):
    """Yield the leaves of a schema; for a list, its values."""
    return map(metadata.schema.column, range(len(metadata.schema)))


def _is_text_column(column):
    decimal = column.logical_type.type == "DECIMAL"
    return column.physical_type == "BYTE_ARRAY" and not decimal


def _has_long_rows(column):
    of_length = column.physical_type == "FIXED_LEN_BYTE_ARRAY"
    return column.max_repetition_level > 0 or of_length


def _width(column):
    if column.physical_type == "FIXED_LEN_BYTE_ARRAY":
        return column.length
    width = _WIDTHS.get(column.physical_type, _OTHER_WIDTH)
    return _NARROW.get(column.converted_type, width)


def _decoded_type(kind):
    """Return a type with text in the place of dictionaries of words."""
    if pa.types.is_dictionary(kind):
        return kind.value_type if _is_text(kind.value_type) else kind
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_decoded_type(f.type)) for f in kind])
    if pa.types.is_map(kind):
        key, item = kind.key_field, kind.item_field
        return pa.map_(
            key.with_type(_decoded_type(key.type)),
            item.with_type(_decoded_type(item.type)),
            keys_sorted=kind.keys_sorted,
        )
    if _is_list(kind):
        inner = kind.value_field.with_type(_decoded_type(kind.value_type))
        if pa.types.is_fixed_size_list(kind):
            return pa.list_(inner, kind.list_size)
        return pa.large_list(inner) if pa.types.is_large_list(kind) else pa.list_(inner)
    return kind


def _is_list(kind):
    return isinstance(kind, pa.ListType | pa.LargeListType | pa.FixedSizeListType)


def _most_text(chunk, n_most):
    """Bound the bytes of a column's words; exact where the bound is above `n_most`."""
    if pa.types.is_dictionary(chunk.type) and len(chunk.dictionary):
        longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
        if longest * len(chunk) <= n_most:
            return longest * len(chunk)
    return _text_bytes(chunk)


def _text_bytes(chunk):
    """Count the bytes of a column's words, each as often as it occurs."""
    kind = chunk.type
    if pa.types.is_struct(kind):
        return sum(map(_text_bytes, chunk.flatten()))
    if _is_list(kind):
        return _text_bytes(chunk.flatten())
    if pa.types.is_map(kind):
        first, last = chunk.offsets[0].as_py(), chunk.offsets[-1].as_py()
        of_both = (
            side.slice(first, last - first) for side in (chunk.keys, chunk.items)
        )
        return sum(map(_text_bytes, of_both))
    if not pa.types.is_dictionary(kind):
        return 0
    lengths = pc.fill_null(pc.binary_length(chunk.dictionary), 0).to_numpy()
    used = chunk.indices.drop_null().to_numpy()
    times = np.bincount(used, minlength=len(lengths))
    return int(times @ lengths.astype(np.int64))
