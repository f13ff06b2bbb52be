"""The feature table: a folder of Parquet parts, one row per clip, valid at any moment.

Columns: `clip` (the path as given), `status` ("ok" or the class of the error),
`message`, `seconds`, `size` and `modified_ns` (of the file when it was read), and one
fixed-size list of float32 per layer, NaN where the clip failed. (Not null: writing null
fixed-size lists needs pyarrow 26.) Paths that are not valid UTF-8 are readable in
`clip` and exact in `clip_bytes`, which is null elsewhere. The fingerprint of the model
and the sizes of the layers are in the schema metadata of every part.

A row is replaced by a later row of the same clip: the one in the part of the higher
number, or lower down in one part. A merged part lists, in its metadata, the parts it
replaces; readers ignore those, and files of other names.
:mod:`userlogfeat.tables.writer` relies on both.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from userlogfeat._parquet import open_parquet
from userlogfeat._spaces import EMBEDDING, in_space
from userlogfeat._typing import ClipIds, PathLike
from userlogfeat.tables.footers import (
    FIELDS,
    PARTS,
    Part,
    TableError,
    decode_part,
    layer_fields,
    part_errors,
    read_footer,
)
from userlogfeat.tables.parts import (
    OK,
    as_matrix,
    clip_name,
    file_stamp,
    name_columns,
    row_names,
)
from userlogfeat.tables.writer import TableWriter

_T = TypeVar("_T")
READ_TRIES = 6  # another process may merge parts while we read
READ_PAUSE = 0.01  # seconds before the second try; each further pause is twice as long
_INDEX = ["clip", "clip_bytes", "status", "seconds", "size", "modified_ns"]


@dataclass(frozen=True)
class Lookup:
    """Rows of a table for some clips, in their order.

    Attributes
    ----------
    statuses : list of str or None
        "ok", the class of the error, or None for clips that are not in the table.
    seconds : ndarray (n_clips,), float64
        Length of the audio that was read, in s; NaN where unknown.
    layers : dict of str to ndarray (n_clips, size), float32
        NaN in the rows of clips that are not "ok".
    """

    statuses: list[str]
    seconds: np.ndarray
    layers: dict[str, np.ndarray]

    @property
    def found(self) -> np.ndarray:
        """Which clips have features: ndarray (n_clips,), bool."""
        return np.array([status == OK for status in self.statuses], dtype=bool)


@dataclass(frozen=True)
class _Index:
    """The newest row of each clip, with the small columns of all rows."""

    key: tuple
    parts: list[Part]
    starts: np.ndarray  # (n_parts + 1,): first row of each part, all laid end to end
    rows: dict[str, int]  # clip -> row
    statuses: np.ndarray
    seconds: np.ndarray
    sizes: np.ndarray
    modified: np.ndarray

    def live(self):
        """Which rows no later row replaces, or None where all are live."""
        if len(self.rows) == self.starts[-1]:
            return None
        live = np.zeros(self.starts[-1], dtype=bool)
        live[np.fromiter(self.rows.values(), np.int64, len(self.rows))] = True
        return live


class FeatureTable:
    """A feature table on disk, to read and to look clips up in.

    Parameters
    ----------
    folder : str or Path
        The folder of parts. Nothing is read before it is needed; it may be missing
        until :meth:`writer` makes it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> table = FeatureTable(tempfile.mkdtemp())
    >>> with table.writer(fingerprint="demo", layer_sizes={"mean": 2}) as writer:
    ...     writer.add("a.wav", layers={"mean": np.array([1.0, 2.0])}, seconds=3.0)
    ...     writer.add("b.wav", status="EmptyAudioError", message="0 bytes")
    >>> table.lookup(["b.wav", "a.wav", "c.wav"]).statuses
    ['EmptyAudioError', 'ok', None]
    >>> as_matrix(table.read(["mean"])["mean"])
    array([[ 1.,  2.],
           [nan, nan]], dtype=float32)
    """

    def __init__(self, folder: PathLike) -> None:
        if not isinstance(folder, str | os.PathLike):
            raise TypeError(
                f"Got {folder!r} as a feature table, expected the path of its folder "
                "(str or Path)."
            )
        self.folder = Path(folder)
        self._footers = {}
        self._cached: _Index | None = None

    def __repr__(self) -> str:
        return f"FeatureTable({str(self.folder)!r})"

    def __reduce__(self) -> Any:  # also for deepcopy: what was read is not copied
        return FeatureTable, (self.folder,)

    def __len__(self) -> int:
        """Number of clips, failed ones included."""
        return len(self._steady(self.index).rows)

    def exists(self) -> bool:
        """Whether the folder holds at least one part."""
        return any(self.folder.glob(PARTS))

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model that made the features."""
        return self._notes().fingerprint

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Size of each layer, by name."""
        return dict(self._notes().layers)

    @property
    def layer_scales(self) -> dict[str, float]:
        """Factor that brings each layer to unit mean square; 1 if not recorded."""
        notes = self._notes()
        return {name: notes.scales.get(name, 1.0) for name in notes.layers}

    @property
    def made_by(self) -> str:
        """The embedder that made the features, with its parameters, as text."""
        return self._notes().made_by

    @property
    def users_digest(self) -> str | None:
        """Digest of the users that the model was trained on, if recorded."""
        return self._notes().users_digest

    def clips(self) -> list[str]:
        """Paths of all clips as they were given, failed ones included: list of str."""
        index = self._steady(self.index)
        return sorted(index.rows, key=index.rows.get)

    def status_counts(self) -> dict[str, int]:
        """Number of clips by status, most frequent first: dict of str to int."""
        index = self._steady(self.index)
        rows = np.fromiter(index.rows.values(), np.int64, len(index.rows))
        names, counts = np.unique(index.statuses[rows].astype(str), return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return {str(names[i]): int(counts[i]) for i in order}

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Read all rows, the newest of each clip.

        Parameters
        ----------
        columns : list of str, optional
            Names; all by default. Layers that are not asked for are not read.

        Returns
        -------
        pyarrow.Table
        """

        def read():
            return pa.concat_tables(
                [pa.Table.from_batches([batch]) for batch in self._batches(columns)]
                or [self._schema(columns).empty_table()]
            )

        return self._steady(read)

    def iter_batches(
        self, columns: list[str] | None = None, *, batch_size: int = 4096
    ) -> Iterator[pa.RecordBatch]:
        """Yield all rows, the newest of each clip, a batch at a time.

        Parameters
        ----------
        columns : list of str, optional
            Names of columns; all by default.
        batch_size : int
            Maximum number of rows of a batch.

        Yields
        ------
        pyarrow.RecordBatch
        """
        try:
            yield from self._batches(columns, batch_size)
        except FileNotFoundError as error:
            raise RuntimeError(
                f"A part of {self.folder} was merged by another process while it was "
                "read. Start again, or wait until that process ends."
            ) from error

    def lookup(
        self,
        clips: ClipIds,
        layers: list[str] | None = None,
        *,
        unchanged: bool = False,
    ) -> Lookup:
        """Look clips up, in their order.

        Parameters
        ----------
        clips : list of str, bytes or path-like
            Paths as they were given when the features were extracted.
        layers : list of str, optional
            Names of layers; all by default.
        unchanged : bool
            If true, only rows count whose file still has the size and modification
            time that it had then.

        Returns
        -------
        Lookup
            Without layers where the table does not exist yet.
        """
        if isinstance(clips, str | bytes | os.PathLike):
            raise TypeError(
                f"Got the single path {clips!r}, expected a list of paths: pass "
                f"[{clips!r}]."
            )
        return self._steady(lambda: self._lookup(clips, layers, unchanged))

    def writer(
        self, *, fingerprint: str, layer_sizes: dict[str, int], **settings: Any
    ) -> TableWriter:
        """Open it for writing: a :class:`~userlogfeat.tables.writer.TableWriter`.

        Its docstring explains the parameters.
        """
        return TableWriter(
            self, fingerprint=fingerprint, layer_sizes=layer_sizes, **settings
        )

    def _lookup(self, clips, layers, unchanged):
        names = [clip_name(clip) for clip in clips]
        index = self.index()
        rows = np.array([index.rows.get(name, -1) for name in names], dtype=np.int64)
        if unchanged:
            for position in np.flatnonzero(rows >= 0):
                row = rows[position]
                stamp = (index.sizes[row], index.modified[row])
                if stamp != file_stamp(clips[position]):
                    rows[position] = -1
        known = rows >= 0
        statuses = np.full(len(names), None, dtype=object)
        statuses[known] = index.statuses[rows[known]]
        seconds = np.full(len(names), np.nan)
        seconds[known] = index.seconds[rows[known]]
        matrices = self._take(index, rows, layers) if index.parts else {}
        return Lookup(statuses.tolist(), seconds, matrices)

    def _take(self, index, rows, layers):
        """Read rows of some layers, part by part; NaN for rows of -1."""
        sizes = index.parts[0].notes.layers
        layers = list(sizes) if layers is None else list(layers)
        self._check_columns(layers, sizes)
        matrices = {
            name: np.full((len(rows), sizes[name]), np.nan, dtype=np.float32)
            for name in layers
        }
        places = np.searchsorted(index.starts, rows, side="right") - 1
        for place in np.unique(places[rows >= 0]) if layers else ():
            here = np.flatnonzero(places == place)
            table = self.read_part(index.parts[place], layers)
            wanted = rows[here] - index.starts[place]
            for name in layers:
                matrices[name][here] = as_matrix(table[name])[wanted]
        space = index.parts[0].notes.users_digest
        if EMBEDDING in matrices and space is not None:
            matrices[EMBEDDING] = in_space(matrices[EMBEDDING], space)
        return matrices

    def _batches(self, columns, batch_size=None):
        index = self.index()
        self._check_columns(columns or (), self._schema().names)
        live = index.live()
        for start, part in zip(index.starts, index.parts, strict=False):
            with part_errors(part.path), open_parquet(part.path) as file:
                size = batch_size or max(1, part.n_rows)
                for batch in file.iter_batches(batch_size=size, columns=columns):
                    batch = decode_part(batch, part)
                    stop = start + len(batch)
                    if live is not None:
                        batch = batch.filter(pa.array(live[start:stop]))
                    start = stop
                    if len(batch):
                        yield batch.replace_schema_metadata(None)

    def _schema(self, columns=None):
        fields = [*FIELDS, *layer_fields(self.layer_sizes)]
        return pa.schema([f for f in fields if columns is None or f.name in columns])

    def _check_columns(self, columns, known):
        missing = [name for name in columns if name not in known]
        if missing:
            raise ValueError(
                f"Got {missing}, but {self.folder} has {list(known)}. Check the names."
            )

    def _steady(self, read: Callable[[], _T]) -> _T:
        """Call `read`, again where a part was merged away meanwhile."""
        for attempt in range(READ_TRIES):
            with contextlib.suppress(FileNotFoundError):
                return read()
            time.sleep(READ_PAUSE * 2**attempt)
        return read()

    def _notes(self):
        parts = self._steady(self.parts)
        if not parts:
            raise TableError(
                f"There is no feature table in {self.folder}: it holds no part, such "
                "as part-00000000.parquet. Make one with `userlogfeat extract CLIPS -o "
                f"{self.folder}` or userlogfeat.extract()."
            )
        return parts[0].notes

    def parts(self) -> list[Part]:
        """List the parts that count, oldest first, after comparing their footers."""
        paths = sorted(self.folder.glob(PARTS))
        parts = [self.footer(path) for path in paths]
        if sorted(self.folder.glob(PARTS)) != paths:
            raise FileNotFoundError(f"{self.folder} changed while it was listed")
        self._footers = {part.stamp: part for part in parts}
        replaced = {name for part in parts for name in part.notes.replaces}
        for part in parts:
            if any(name >= part.path.name for name in part.notes.replaces):
                raise TableError(
                    f"{part.path} says that it replaces parts that are not older than "
                    "itself. It was renamed, or not written by userlogfeat: move it "
                    "out, and run the extraction again."
                )
        parts = [part for part in parts if part.path.name not in replaced]
        for part in parts:
            if part.model != parts[0].model:
                model, layers = part.model
                other, others = parts[0].model
                raise TableError(
                    f"{part.path} is of model {model} with layers {layers}, but "
                    f"{parts[0].path.name} beside it is of {other} with {others}. Two "
                    "tables were copied into one folder: move one of them out."
                )
        return parts

    def footer(self, path: Path) -> Part:
        """Describe a file by its name and footer, which is read once."""
        return read_footer(path, self._footers)

    def index(self) -> _Index:
        """Find the newest row of each clip; kept until the parts change."""
        parts = self.parts()
        key = tuple(part.stamp for part in parts)
        index = self._cached
        if index is None or index.key != key:
            index = self._cached = self._read_index(key, parts)
        return index

    def _read_index(self, key, parts):
        rows, columns = {}, {name: [] for name in _INDEX[2:]}
        starts = np.cumsum([0, *(part.n_rows for part in parts)])
        for start, part in zip(starts, parts, strict=False):
            table = self.read_part(part, _INDEX)
            self._check_rows(part, table)
            rows.update(zip(row_names(table), range(start, starts[-1]), strict=False))
            for name, values in columns.items():
                values.append(_as_array(table[name]))
        arrays = [
            np.concatenate(values) if values else np.empty(0)
            for values in columns.values()
        ]
        return _Index(key, parts, starts, rows, *arrays)

    def _check_rows(self, part, table):
        n_nulls = table["clip"].null_count + table["status"].null_count
        if n_nulls or len(table) != part.n_rows:
            raise TableError(
                f"{part.path} has rows without clip or status, or other rows than its "
                "footer says. Delete that file and run the extraction again: the clips "
                "whose rows it held are then done again."
            )

    def read_part(self, part: Part, columns: Sequence[str] | None) -> pa.Table:
        """Read all rows of one part, replaced ones included."""
        with part_errors(part.path), open_parquet(part.path) as file:
            return decode_part(file.read(columns=columns), part)

    def iter_part(
        self, part: Part, kept: np.ndarray | None = None
    ) -> Iterator[pa.Table]:
        """Yield the rows of one part, or those that a mask keeps, by row groups."""
        start = 0
        with part_errors(part.path), open_parquet(part.path) as file:
            for group in range(file.num_row_groups):
                rows = decode_part(file.read_row_group(group, use_threads=False), part)
                stop = start + len(rows)
                yield rows if kept is None else rows.filter(pa.array(kept[start:stop]))
                start = stop

    def live_rows(self, part: Part) -> np.ndarray:
        """Which rows of a part no later row replaces: ndarray (n_rows,), bool."""
        index = self.index()
        place = [known.path for known in index.parts].index(part.path)
        live = index.live()
        if live is None:
            return np.ones(part.n_rows, dtype=bool)
        return live[index.starts[place] : index.starts[place + 1]]

    def renamed_rows(
        self, part: Part, names: Sequence[str | None]
    ) -> Iterator[pa.Table]:
        """Yield rows of one part under new names; None leaves a row out.

        Parameters
        ----------
        part : Part
        names : sequence of str or None, length n_rows
        """
        kept = np.array([name is not None for name in names], dtype=bool)
        left = (name for name in names if name is not None)
        for rows in self.iter_part(part, kept):
            columns = name_columns(list(islice(left, len(rows))))
            for place, column in enumerate(columns):
                rows = rows.set_column(place, FIELDS[place], column)
            yield rows


def _as_array(column):
    """Return a column as an array; equal strings are one object."""
    if column.type != pa.string():
        return column.to_numpy()
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.unify_dictionaries().combine_chunks()
    words = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    return words[coded.indices.to_numpy()]
