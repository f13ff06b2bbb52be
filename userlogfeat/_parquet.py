"""Parquet files of strangers: pages are checked, and memory is bounded.

Parquet holds in few bytes what fills the memory: a word that is repeated, a million
rows of one number. So text is read as the words that are there, and written out only
once it is known how long it is then; and no file may grow more than ``MAX_RATIO`` times
(a page alone may have 2 GiB, by the format). Where a page has a checksum, it is
compared.
"""

import os
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MAX_BYTES = 1 << 32  # of a file's columns in memory
MAX_RATIO = 1000  # of those to its own; tables of clips that failed reach a hundred
FREE_BYTES = 1 << 26  # below which the ratio does not matter
_BATCH_ROWS = 1 << 14


def most_bytes(n_bytes, *, at_most=MAX_BYTES):
    """Bytes that a file of `n_bytes` may have in memory."""
    return min(at_most, FREE_BYTES + MAX_RATIO * n_bytes)


def open_parquet(path, **settings):
    """A Parquet file whose text comes as dictionaries: see :func:`plain`.

    Parameters
    ----------
    path : str or Path
        Of a regular file.
    **settings
        Of ``pyarrow.parquet.ParquetFile``.

    Raises
    ------
    ValueError
        Where it is a pipe or a device, or no Parquet (a pyarrow exception).
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path} is no regular file, but a folder, pipe or device.")
    schema = pq.read_schema(as_file(path))
    return pq.ParquetFile(
        as_file(path),
        page_checksum_verification=True,
        read_dictionary=[field.name for field in schema if _is_text(field.type)],
        **settings,
    )


def as_file(path, mode="rb"):
    """The path, or an open file where it is no UTF-8, which pyarrow refuses."""
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
        Of ``pyarrow.parquet.write_table``.
    """
    file = as_file(path, "wb")
    pq.write_table(table, file, write_page_checksum=True, **settings)
    if file is not path:
        file.close()


def plain(rows, n_most):
    """Rows with text as text, once it is known how long it is.

    Parameters
    ----------
    rows : pyarrow.Table or RecordBatch
        Of :func:`open_parquet`.
    n_most : int
        Bytes that each column of text may have.

    Raises
    ------
    ValueError
        Where it has more, or is no UTF-8.
    """
    for place, field in enumerate(rows.schema):
        if not pa.types.is_dictionary(field.type) or not _is_text(
            field.type.value_type
        ):
            continue
        column = rows.column(place)
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        if sum(map(_text_bytes, chunks)) > n_most:
            raise ValueError(
                f"its column {field.name!r} is longer than {n_most} bytes in memory"
            )
        column = column.cast(field.type.value_type)
        column.validate(full=True)
        rows = rows.set_column(place, field.with_type(field.type.value_type), column)
    return rows


def read_parquet(path, *, at_most=MAX_BYTES):
    """A Parquet file, or a folder of them in the order of their names, as a table.

    Parameters
    ----------
    path : str or Path
    at_most : int
        Bytes of a file's columns in memory.

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
    with open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            batch = plain(batch, n_most - n_bytes)
            n_bytes += batch.nbytes
            if n_bytes > n_most:
                raise ValueError(f"{path} has more than {n_most} bytes in memory")
            batches.append(batch)
        if not batches:
            return file.schema_arrow.empty_table()
    table = pa.Table.from_batches(batches)
    table.validate(full=True)
    return table


def _is_text(kind):
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _text_bytes(chunk):
    """How many bytes the words of a column are, each as often as it is there."""
    lengths = pc.fill_null(pc.binary_length(chunk.dictionary), 0).to_numpy()
    used = chunk.indices.drop_null().to_numpy()
    times = np.bincount(used, minlength=len(lengths))
    return int(times @ lengths.astype(np.int64))
