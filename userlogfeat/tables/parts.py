"""A part of a feature table on its way to disk: rows, checked, and their file.

The writer of a table makes parts, and so do workers elsewhere whose parts it adopts:
all are made here, so all are alike.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from userlogfeat._parquet import parquet_writer
from userlogfeat._typing import ClipId, PathLike
from userlogfeat.tables.footers import (
    FIELDS,
    METADATA,
    check_layers,
    layer_fields,
    sealed_notes,
)
from userlogfeat.tables.reader import OK, clip_name

GROUP_BYTES = 1 << 20  # of features in a row group: what Parquet codes at a time


class Rows:
    """Rows in memory, one a clip.

    Parameters
    ----------
    layer_sizes : dict of str to int
        Size of each layer.
    """

    def __init__(self, layer_sizes: dict[str, int]) -> None:
        clash = {field.name for field in FIELDS} & set(layer_sizes)
        if clash:
            raise ValueError(f"Layers cannot be called {sorted(clash)}: rename them.")
        self.layer_sizes = {name: int(size) for name, size in layer_sizes.items()}
        check_layers(self.layer_sizes)
        self._rows = []

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def n_bytes(self) -> int:
        """Features held, in bytes."""
        return len(self._rows) * _row_bytes(self.layer_sizes)

    def clear(self) -> None:
        """Forget all rows."""
        self._rows = []

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
        for name, width in self.layer_sizes.items() if layers is not None else ():
            values[name] = np.array(layers[name], dtype=np.float32)
            if values[name].shape != (width,):
                raise ValueError(
                    f"Layer {name!r} of {clip!r} has shape {values[name].shape}, "
                    f"expected ({width},): one vector a clip."
                )
        self._rows.append(
            (clip_name(clip), status, message, seconds, size, modified_ns, values)
        )

    def as_arrow(self) -> pa.Table:
        """All rows as a pyarrow.Table; there is at least one."""
        names, statuses, messages, seconds, sizes, modified, values = zip(
            *self._rows, strict=True
        )
        texts = [_text(name) for name in names]
        columns = [
            texts,
            [
                None if name == text else name.encode("utf-8", "surrogateescape")
                for name, text in zip(names, texts, strict=True)
            ],
            statuses,
            [_text(message) for message in messages],
            seconds,
            sizes,
            modified,
        ]
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, FIELDS, strict=True)
        ]
        for name, size in self.layer_sizes.items():
            nothing = np.full(size, np.nan, dtype=np.float32)
            flat = np.concatenate([row.get(name, nothing) for row in values])
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), size))
        fields = [*FIELDS, *layer_fields(self.layer_sizes)]
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def write_part(
    path: PathLike, tables: Iterable[pa.Table], notes: dict[str, Any]
) -> None:
    """Write rows as a Parquet file of a table.

    Parameters
    ----------
    path : str or Path
        A temporary name: see ``replace_file``.
    tables : iterable of pyarrow.Table
        As of :class:`Rows`, or of parts that are there. A row group and one of these
        are in memory at a time.
    notes : dict
        What the schema metadata says: :attr:`TableWriter.notes`.
    """
    schema = pa.schema([*FIELDS, *layer_fields(notes["layers"])])
    with parquet_writer(
        path,
        schema.with_metadata({METADATA: sealed_notes(notes)}),
        compression="zstd",
        use_dictionary=["status", "message"],
        write_statistics=False,
    ) as file:
        n_rows = max(1, GROUP_BYTES // max(1, _row_bytes(notes["layers"])))
        for rows in _in_groups(tables, n_rows):
            file.write_table(rows, row_group_size=n_rows)


def _in_groups(tables, n_rows):
    """The same rows in tables of a multiple of `n_rows`, but for the last."""
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


def _row_bytes(layer_sizes):
    return 4 * sum(layer_sizes.values())


def _text(text):
    r"""Text that UTF-8 can hold; bytes that are no UTF-8 are shown as ``\xe9``."""
    raw = text.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")
