"""A part of a feature table on its way to disk: rows, checked, and their file.

The writer of a table makes parts, and so do workers elsewhere whose parts it adopts:
all are made here, so all are alike.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from userlogfeat._parquet import parquet_writer
from userlogfeat._typing import ClipId, PathLike
from userlogfeat.tables.footers import (
    FIELDS,
    METADATA,
    check_layers,
    layer_bytes,
    layer_fields,
    sealed_notes,
)

OK = "ok"
GROUP_BYTES = 1 << 20  # of features in a row group: what Parquet encodes at a time
_BACKSLASHES = os.sep == "\\"


def clip_name(clip: ClipId) -> str:
    r"""Return a path as the table's key: str, with surrogates where it is no UTF-8.

    On Windows with forward slashes, however it is written there: both mean the same,
    and tables of relative paths are then those of other systems.

    Parameters
    ----------
    clip : str, bytes or path-like

    Examples
    --------
    >>> clip_name(b"caf\xe9.wav")
    'caf\udce9.wav'
    """
    name = os.fspath(clip)
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"Got clip {name!r}, which no file can be called ({error.reason}). Was it "
            "read from a list in another encoding?"
        ) from error
    return str(name).replace("\\", "/") if _BACKSLASHES else str(name)


def file_stamp(clip: ClipId) -> tuple[int, int]:
    """Size in bytes and modification time in ns of a file; (-1, -1) if missing."""
    try:
        status = os.stat(clip)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return -1, -1
    return status.st_size, status.st_mtime_ns


class Rows:
    """Rows in memory, one per clip.

    Parameters
    ----------
    layer_sizes : dict of str to int
        Size of each layer.
    """

    def __init__(self, layer_sizes: dict[str, int]) -> None:
        self.layer_sizes = {name: int(size) for name, size in layer_sizes.items()}
        check_layers(self.layer_sizes)
        self.clear()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def n_bytes(self) -> int:
        """Features held, in bytes."""
        return len(self._rows) * layer_bytes(self.layer_sizes)

    def clear(self) -> None:
        """Forget all rows."""
        self._rows, self._layers = [], []

    def add(
        self,
        clip: ClipId,
        *,
        layers: dict[str, np.ndarray] | None = None,
        status: str = OK,
        message: str = "",
        seconds: float = float("nan"),
        size: int = -1,
        modified_ns: int = -1,
    ) -> None:
        """Add the row of one clip; :meth:`TableWriter.add` explains the parameters."""
        if (layers is None) == (status == OK):
            raise ValueError(
                f"Got status={status!r} and layers={layers!r} for {clip!r}, expected "
                '"ok" and features, or an error and None.'
            )
        values = {}
        for name, width in self.layer_sizes.items():
            values[name] = np.full(width, np.nan, np.float32)
            if layers is not None:
                values[name] = np.array(layers[name], dtype=np.float32)
            if values[name].shape != (width,):
                raise ValueError(
                    f"Layer {name!r} of {clip!r} has shape {values[name].shape}, "
                    f"expected ({width},): one vector per clip."
                )
        name = clip_name(clip)
        text = _text(name)
        exact = None if name == text else name.encode("utf-8", "surrogateescape")
        self._rows.append(
            (text, exact, status, _text(message), seconds, size, modified_ns)
        )
        self._layers.append(values)

    def as_arrow(self) -> pa.Table:
        """All rows as a pyarrow.Table; there is at least one."""
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(zip(*self._rows, strict=True), FIELDS, strict=True)
        ]
        for name, size in self.layer_sizes.items():
            flat = np.concatenate([layers[name] for layers in self._layers])
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), size))
        fields = [*FIELDS, *layer_fields(self.layer_sizes)]
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def row_names(table: pa.Table) -> list[str]:
    """Return the exact paths of the rows of a table with `clip` and `clip_bytes`."""
    names = table["clip"].to_pylist()
    exact = table["clip_bytes"]
    for row in np.flatnonzero(exact.is_valid().to_numpy()):
        names[row] = exact[row].as_py().decode("utf-8", "surrogateescape")
    return names


def name_columns(names: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    """Return the columns `clip` and `clip_bytes` of paths: see :func:`row_names`."""
    texts = [_text(name) for name in names]
    exact = [
        None if name == text else name.encode("utf-8", "surrogateescape")
        for name, text in zip(names, texts, strict=True)
    ]
    return pa.array(texts, FIELDS[0].type), pa.array(exact, FIELDS[1].type)


def as_matrix(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return a layer's column as an array, without a copy where it is one chunk.

    Parameters
    ----------
    column : pyarrow Array or ChunkedArray of fixed-size lists of float32

    Returns
    -------
    ndarray (n_clips, size), float32
        Read-only where it shares the column's memory.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    size = column.type.list_size
    if len(chunks) != 1:
        return np.concatenate(
            [np.empty((0, size), np.float32), *map(as_matrix, chunks)]
        )
    values = chunks[0].values.slice(chunks[0].offset * size, len(chunks[0]) * size)
    return values.to_numpy().reshape(-1, size)


def write_part(
    path: PathLike, tables: Iterable[pa.Table], notes: dict[str, Any]
) -> None:
    """Write rows as a Parquet file of a table.

    Parameters
    ----------
    path : str or Path
        A temporary name: see ``replace_file``.
    tables : iterable of pyarrow.Table
        From :class:`Rows`, or from existing parts. A row group and one of these are in
        memory at a time.
    notes : dict
        Content of the schema metadata: :attr:`TableWriter.notes`.
    """
    schema = pa.schema([*FIELDS, *layer_fields(notes["layers"])])
    with parquet_writer(
        path,
        schema.with_metadata({METADATA: sealed_notes(notes)}),
        compression="zstd",
        use_dictionary=["status", "message"],
        write_statistics=False,
    ) as file:
        n_rows = max(1, GROUP_BYTES // max(1, layer_bytes(notes["layers"])))
        for rows in _in_groups(tables, n_rows):
            file.write_table(rows, row_group_size=n_rows)


def _in_groups(tables, n_rows):
    """Yield the same rows in tables of a multiple of `n_rows`, except the last."""
    waiting, n_waiting = [], 0
    for table in tables:
        waiting.append(table)
        n_waiting += len(table)
        if n_waiting >= n_rows:
            rows = pa.concat_tables(waiting)
            n_whole = n_waiting - n_waiting % n_rows
            yield rows[:n_whole]
            waiting, n_waiting = [rows[n_whole:]], n_waiting - n_whole
    if n_waiting:
        yield pa.concat_tables(waiting)


def _text(text):
    r"""Return text that UTF-8 can hold; other bytes become ``\xe9`` and the like."""
    raw = text.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")
