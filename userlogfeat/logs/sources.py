"""Any table of logs, a file or a frame, as a stream of Arrow chunks.

A few blocks of a file are in memory at a time, so memory does not grow with the file.
For the rules of text see :mod:`userlogfeat._text_tables`.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from userlogfeat._parquet import decode_text, open_parquet
from userlogfeat._text_lines import COMPRESSED
from userlogfeat._text_tables import (
    SEPARATORS,
    TextTable,
    separator_hint,
    separator_of,
    suffix_of,
)
from userlogfeat._typing import Frame, PathLike

CHUNK_ROWS = 500_000
_BLOCK = 2 << 20  # bytes of Parquet read at a time
_BATCH_OF_THREADS = 50_000  # rows that are worth starting threads for
_MAX_COLUMNS = 10_000  # of text: each takes memory in every block
_MAX_TEXT = 1 << 29  # bytes of identifiers in a batch of Parquet: 1 kB each

PARQUET = {".parquet", ".pq"}
_SHOWN = 3  # names in a message
_END_BYTES = 4096  # in which files of one length differ, if they do
TEXT_OF_FOLDERS = {".csv", ".tsv", ".tab"}  # a .txt beside logs is a note


class Chunk(NamedTuple):
    """Some consecutive rows of a source, with their origin for error messages."""

    table: pa.Table  # columns named by their role: user, item, count, ...
    origin: str  # "plays.csv", "the frame"
    first_row: int  # of the table, in its origin; the header is not counted
    is_text: bool = False  # fields are text whatever they mean
    rows: np.ndarray | None = None  # row numbers, where some were left out
    files: tuple[str, ...] = ()  # of several small files: their names
    file_of: np.ndarray | None = None  # and to which of them each row belongs

    def only(self, kept: np.ndarray) -> Chunk:
        """Return the rows that a mask keeps."""
        rows = np.flatnonzero(kept)
        return self._replace(
            table=self.table.filter(pa.array(kept)),
            rows=self.first_row + rows if self.rows is None else self.rows[rows],
            file_of=None if self.file_of is None else self.file_of[rows],
        )


def iter_chunks(
    source: PathLike | Frame,
    roles: Mapping[str, str | None],
    *,
    separator: str | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[Chunk]:
    """Yield the named columns of a source, some rows at a time.

    Parameters
    ----------
    source : str, Path, list of these, polars.DataFrame, polars.LazyFrame,
            pandas.DataFrame or pyarrow.Table
        A csv, tsv or parquet file (text may be compressed: .gz, .bz2, .zst), several,
        a folder of files of one of these kinds (read in the order of their names), or a
        frame.
    roles : dict of str
        Role -> column: ``{"user": "userID", "item": "artistID"}``.
    separator : str, optional
        Separator of text files; by default "," for .csv, a tab for .tsv, .tab, .txt and
        .dat.
    columns : list of str, optional
        The columns of a text file that has no header line.

    Yields
    ------
    Chunk
        At most about `CHUNK_ROWS` rows.

    Raises
    ------
    FileNotFoundError
        Where there is no such file or folder.
    ValueError
        Where the file cannot be read, or lacks a column.
    TypeError
        Where `source` is neither a path nor a frame.
    """
    files = _files_of(source)
    if files is None:
        refuse_layout(separator, columns, "a frame")
        yield from _frame_chunks(source, roles)
        return
    if any(_is_parquet(file) for file in files.values()):
        refuse_layout(separator, columns, "Parquet")

    def read(name, path):
        if _is_parquet(path):
            return _unchanged(path, _parquet_chunks(path, roles, name))
        return _unchanged(path, _text_chunks(path, roles, separator, columns, name))

    chunks = _each_once(files, read)
    for chunk in gathered(chunks):
        with _reading(files.get(chunk.origin, chunk.origin)):
            table = decode_text(chunk.table, _MAX_TEXT)
        yield chunk._replace(table=table)


def gathered(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Join small chunks, also of many files: each takes time, however few its rows."""
    pending, n_rows = [], 0
    for chunk in chain(chunks, [None]):
        fits = chunk is not None and n_rows + chunk.table.num_rows <= CHUNK_ROWS
        fits &= not pending or (chunk is not None and _are_alike(pending[0], chunk))
        if pending and not fits:
            yield _joined(pending)
            pending, n_rows = [], 0
        if chunk is not None:
            pending.append(chunk)
            n_rows += chunk.table.num_rows


def _are_alike(one, other):
    return one.table.schema == other.table.schema and one.is_text == other.is_text


def _joined(chunks):
    table = pa.concat_tables([chunk.table for chunk in chunks])
    files = tuple(dict.fromkeys(chunk.origin for chunk in chunks))
    if len(files) == 1:
        return chunks[0]._replace(table=table)
    sizes = [chunk.table.num_rows for chunk in chunks]
    numbers = [chunk.first_row + np.arange(chunk.table.num_rows) for chunk in chunks]
    places = np.array([files.index(chunk.origin) for chunk in chunks], np.int32)
    return chunks[0]._replace(
        table=table,
        origin=f"{files[0]} to {files[-1]}",
        rows=np.concatenate(numbers),
        files=files,
        file_of=np.repeat(places, sizes),
    )


def require_columns(
    roles: Mapping[str, str | None],
    available: Collection[str],
    origin: str,
    *,
    hint: str = "",
) -> None:
    """Raise a ValueError where a column that plays a role is missing, or is twice."""
    available = list(available)
    for role, name in roles.items():
        if (n := available.count(name)) > 1:
            raise ValueError(
                f"Found {n} columns {name!r} ({role}=) in {origin}: rename all but one."
            )
    missing = [
        f"{name!r} ({role}=)" for role, name in roles.items() if name not in available
    ]
    if missing:
        have = ", ".join(repr(name) for name in available) or "none"
        raise ValueError(
            f"Found no column {', '.join(missing)} in {origin}. Its columns: {have}. "
            f"Name the right ones, as in user='userID'{hint}"
        )


def _unchanged(path, chunks):
    """Yield chunks of a file; raise at the end if somebody wrote to it meanwhile."""
    before = os.stat(path)
    yield from chunks
    after = os.stat(path)
    names = ("st_size", "st_mtime_ns", "st_ino")
    if any(getattr(before, name) != getattr(after, name) for name in names):
        raise ValueError(
            f"{path} changed while it was read. Read it again when nobody writes to it."
        )


def _text_chunks(path, roles, separator, columns, name):
    if separator is None and separator_of(path) is None:
        known = ", ".join([*SEPARATORS, *sorted(PARQUET)])
        raise ValueError(
            f"{path.name} does not say how it is laid out: known suffixes are {known}. "
            "Pass separator=... if it is text, or read it into a frame first."
        )
    table = TextTable(path, separator=separator, columns=columns)
    if len(table.names) > _MAX_COLUMNS:
        raise ValueError(
            f"{path.name} has {len(table.names):,} columns in its first line, expected "
            f"at most {_MAX_COLUMNS:,}: logs have one row per event. Is it a matrix of "
            "users and items? Then make it a sparse one, and leave out read_logs."
        )
    hint = separator_hint(table.names)
    hint = f".{hint} Or pass separator=..." if hint else "."
    require_columns(roles, table.names, name, hint=hint)
    blocks = table.read(list(dict.fromkeys(roles.values())))
    yield from _numbered(blocks, roles, name, is_text=True)


def _files_of(source):
    """Return name -> path of the files to read, in their order; None for a frame."""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"There is no file or folder {path}.")
        return _files_below(path) if path.is_dir() else {path.name: path}
    if not isinstance(source, (list, tuple)) or not all(
        isinstance(path, (str, os.PathLike)) for path in source
    ):
        return None
    files = {str(path): Path(path) for path in source}
    if not files:
        raise ValueError("Got no paths of logs, expected at least one.")
    if len(files) < len(source):
        raise ValueError("Some paths come twice, expected each file once.")
    for path in files.values():
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no file {path}. A list of logs is one of files; pass a "
                "folder by itself."
            )
    return files


def _files_below(folder):
    """List the files below a folder, but hidden ones and such as `_SUCCESS`."""
    found = {
        str(file.relative_to(folder)): file
        for file in sorted(folder.rglob("*"))
        if not any(part[0] in "._" for part in file.relative_to(folder).parts)
        and not file.is_dir()  # Spark writes folders whose names end as files do
    }
    parquet = {name: file for name, file in found.items() if _is_parquet(file)}
    text = {name: f for name, f in found.items() if suffix_of(f) in TEXT_OF_FOLDERS}
    if parquet and text:
        raise ValueError(
            f"The folder {folder} holds Parquet ({next(iter(parquet))}) and text "
            f"({next(iter(text))}), expected one kind: plays in both would count "
            "twice. Pass the files to read as a list."
        )
    plain = {}
    for name, file in text.items():
        is_compressed = file.suffix.lower() in COMPRESSED
        same = name.removesuffix(file.suffix) if is_compressed else name
        if (other := plain.setdefault(same, name)) != name:
            raise ValueError(
                f"The folder {folder} holds {other} and {name}, which differ in their "
                "compression alone: their plays would count twice. Leave one out, or "
                "pass the files to read as a list."
            )
    if not parquet and not text:
        raise ValueError(
            f"The folder {folder} holds no file of logs: no .parquet, .csv or .tsv "
            "(text perhaps compressed). Pass the file itself, or "
            'format="..." if it is a published data set.'
        )
    return parquet or text


def _is_parquet(path):
    return path.suffix.lower() in PARQUET


def _each_once(files, read):
    """Yield the chunks of all files; warn of copies of another, and of cut text."""
    sizes = {name: path.stat().st_size for name, path in files.items()}
    times, seen = Counter(sizes.values()), {}
    for name, path in files.items():
        has_rows = False
        for chunk in read(name, path):
            has_rows |= chunk.table.num_rows > 0
            yield chunk
        if not has_rows or times[sizes[name]] == 1:
            continue
        first = seen.setdefault((sizes[name], _last_bytes(path)), name)
        if first != name and filecmp.cmp(files[first], path, shallow=False):
            warnings.warn(
                f"{first} and {name} hold the same bytes: their plays count twice. Is "
                "one a copy? Then leave it out.",
                stacklevel=5,  # the caller of read_logs
            )
    cut = [name for name, path in files.items() if _lacks_line_end(path)]
    if 0 < len(cut) <= len(files) / 2:
        warnings.warn(
            f"{', '.join(cut[:_SHOWN])} ends without a line end, unlike the other "
            "files: was it cut? Then its last row may be wrong. Get it whole, or end "
            "it with a line break.",
            stacklevel=5,
        )


def _lacks_line_end(path):
    """Whether text that is not compressed ends within a line."""
    if path.suffix.lower() not in SEPARATORS:
        return False
    return _last_bytes(path)[-1:] not in (b"\n", b"\r")


def _last_bytes(path):
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - _END_BYTES))
        return file.read()


def _parquet_chunks(path, roles, name):
    with _reading(path):
        # By default Arrow keeps all the bytes it has read until the file's end.
        file = open_parquet(path, buffer_size=_BLOCK, pre_buffer=False)
    with file:
        require_columns(roles, file.schema_arrow.names, name, hint=".")
        used = list(dict.fromkeys(roles.values()))
        threads = file.metadata.num_rows > _BATCH_OF_THREADS
        settings = {"batch_size": CHUNK_ROWS, "use_threads": threads}
        batches = file.iter_batches(columns=used, **settings)
        n_rows = 0
        for chunk in _numbered(_as_tables(batches, path), roles, name):
            n_rows += chunk.table.num_rows
            yield chunk
        if n_rows != file.metadata.num_rows:
            raise ValueError(
                f"{path} could not be read: it has {n_rows} rows, and notes "
                f"{file.metadata.num_rows}. It is damaged."
            )


def _frame_chunks(frame, roles):
    library = type(frame).__module__.partition(".")[0]
    if library == "polars" and type(frame).__name__ == "LazyFrame":
        names = frame.collect_schema().names()
        require_columns(roles, names, "the frame", hint=".")
        used = list(dict.fromkeys(roles.values()))
        batches = frame.select(used).collect_batches(chunk_size=CHUNK_ROWS)
        tables = (arrow_table(batch, used) for batch in batches)
    else:
        whole = frame_table(frame, roles, "the path of a csv, tsv or parquet file")
        starts = range(0, whole.num_rows, CHUNK_ROWS)
        tables = (whole.slice(start, CHUNK_ROWS) for start in starts)
    yield from _numbered(tables, roles, "the frame")


def frame_table(frame: Frame, roles: Mapping[str, str], others: str) -> pa.Table:
    """Convert the columns of a frame that play a role to an Arrow table.

    Parameters
    ----------
    frame : polars.DataFrame, pandas.DataFrame or pyarrow.Table
    roles : dict of str
    others : str
        Other sources of the caller, for the message about anything else.
    """
    library = type(frame).__module__.partition(".")[0]
    if library not in ("polars", "pandas", "pyarrow") or not hasattr(frame, "columns"):
        raise TypeError(
            f"Got logs of type {type(frame).__name__}, expected {others}, or a polars, "
            "pandas or pyarrow frame."
        )
    names = frame.column_names if library == "pyarrow" else frame.columns
    require_columns(roles, names, "the frame", hint=".")
    return arrow_table(frame, list(dict.fromkeys(roles.values())))


def arrow_table(frame: Frame, used: Iterable[str]) -> pa.Table:
    """Convert the used columns of a frame to an Arrow table."""
    library = type(frame).__module__.partition(".")[0]
    arrays = []
    for name in used:
        column = frame[name]
        if library == "polars" and str(column.dtype) == "Object":
            # Arrow would be given the addresses of the Python objects.
            raise ValueError(_unreadable_column(column, name))
        try:
            if library == "polars":
                column = column.to_arrow()
            elif library == "pandas":
                column = pa.Array.from_pandas(column)
            arrays.append(column)
        except (pa.ArrowException, TypeError) as error:
            raise ValueError(_unreadable_column(column, name)) from error
    return pa.table(arrays, names=[str(name) for name in used])


def _unreadable_column(column, name):
    kinds = sorted({type(value).__name__ for value in column if value is not None})
    if len(kinds) > 1:
        return (
            f"Column {name!r} of the frame mixes values of the types "
            f"{', '.join(kinds)}. Convert it to one type first, such as str."
        )
    return (
        f"Column {name!r} of the frame holds values of the type {', '.join(kinds)}, "
        "which has no Arrow counterpart. Convert it to str or int first."
    )


def _as_tables(batches, path):
    """Yield a reader's batches, with errors that name the file."""
    batches = iter(batches)
    while True:
        with _reading(path):
            batch = next(batches, None)
        if batch is None:
            return
        yield pa.Table.from_batches([batch])


def _numbered(tables, roles, name, *, is_text=False):
    """Turn the tables of one source into chunks that know their first row."""
    first_row = 0
    for table in tables:
        yield Chunk(_by_role(table, roles), name, first_row, is_text)
        first_row += table.num_rows


def _by_role(table, roles):
    names = [str(name) for name in roles.values()]
    return pa.table([table[name] for name in names], names=list(roles))


def refuse_layout(
    separator: str | None, columns: Sequence[str] | None, what: str
) -> None:
    """Raise a ValueError where the layout of text is given with something else."""
    if separator is not None or columns is not None:
        raise ValueError(
            f"Got separator= or columns= with {what}: they describe text files only."
        )


@contextlib.contextmanager
def _reading(path):
    """Turn Arrow's errors into one that names the file."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path} could not be read: {error}") from error
