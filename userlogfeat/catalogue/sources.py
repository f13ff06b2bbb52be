"""Sources of a catalogue: tables, frames, and folders of audio."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from userlogfeat._parquet import read_parquet
from userlogfeat._text_tables import (
    read_text,
    separator_hint,
    separator_of,
    whole_numbers,
)
from userlogfeat._typing import Frame, PathLike
from userlogfeat.audio import find_audio

MAX_TEXT_BYTES = 1 << 31  # of a csv or tsv file; of Parquet, in memory


def read_columns(
    source: PathLike | Frame, named: Mapping[str, str | None] | None
) -> tuple[pl.DataFrame, Path | None]:
    """Read a source into our columns.

    Parameters
    ----------
    source : str, Path or frame
        As in :func:`userlogfeat.read_catalogue`.
    named : dict of str to str or None
        Our name of a column -> its name in `source`; None stands for the column of our
        name, where there is one.

    Returns
    -------
    frame : polars.DataFrame
        Our columns first, then the others; text stripped, missing values null.
    folder : Path or None
        Base of relative clips; None is the current folder.
    """
    frame, folder = _read_source(source)
    frame = _choose_columns(frame, named)
    frame = pl.DataFrame([_tidy(column) for column in frame])
    if _is_text(source):
        frame = pl.DataFrame([frame["clip"], *as_ids(frame[:, 1:])])
    return frame.with_columns(pl.col("clip").cast(pl.String)), folder


def read_table(path: PathLike) -> pl.DataFrame:
    """Read a csv, tsv, txt or parquet file; text stripped, missing values null.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    frame : polars.DataFrame
        All columns of text files are text.
    """
    path = Path(path)
    if not path.is_file():
        fact = "is a folder" if path.is_dir() else "is not there"
        raise FileNotFoundError(f"{path} {fact}, expected a csv, tsv or parquet file.")
    return pl.DataFrame([_tidy(column) for column in _read_file(path, "table")])


def _read_source(source):
    """Read the table unchanged, and the folder that its clips are relative to."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            return _read_folder(path), None
        if not path.exists():
            raise FileNotFoundError(f"There is no catalogue {str(path)!r}.")
        return _read_file(path), path.parent
    if isinstance(source, pl.DataFrame):
        return source, None
    if isinstance(source, pl.LazyFrame):
        return source.collect(), None
    try:
        if hasattr(source, "iloc"):
            if not source.columns.is_unique:
                twice = list(source.columns[source.columns.duplicated()])
                raise ValueError(
                    f"The catalogue's frame has columns of one name: {twice}. Rename "
                    "all but one of each."
                )
            # Through lists: pandas' object columns may mix types, which arrow refuses.
            objects = source.astype(object).where(source.notna(), None)
            columns = {str(name): objects[name].tolist() for name in objects.columns}
            return pl.DataFrame(columns, strict=False), None
        if hasattr(source, "schema"):
            return pl.DataFrame(pl.from_arrow(source)), None
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"The catalogue's frame could not be read: {error}") from error
    raise TypeError(
        f"Got a catalogue of type {type(source).__name__}, expected a path, a folder "
        "or a polars, pandas or pyarrow table."
    )


def _read_file(path, what="catalogue"):
    if separator_of(path) is not None:
        return pl.DataFrame(pl.from_arrow(read_text(path, max_bytes=MAX_TEXT_BYTES)))
    if path.suffix.lower() != ".parquet":
        raise ValueError(
            f"Got the {what} {str(path)!r}, expected .csv, .tsv, .txt (tabs) or "
            ".parquet, a frame, or a folder artist/album/track."
        )
    try:
        return _read_parquet(path)
    except FileNotFoundError:
        raise
    except (pl.exceptions.PolarsError, pa.ArrowException, ValueError, OSError) as error:
        raise ValueError(
            f"The {what} {str(path)!r} could not be read ({error}). Expected Parquet."
        ) from error


def _read_parquet(path):
    """Read a Parquet file; polars' own reader panics on damaged ones."""
    table = read_parquet(path, at_most=MAX_TEXT_BYTES)
    # Names are text by now, or were refused; notes of the columns are left out.
    return pl.DataFrame(pl.from_arrow(pa.table(table.columns, table.column_names)))


def _read_folder(folder):
    paths = sorted(map(Path, find_audio([folder])))
    if not paths:
        raise ValueError(
            f"The folder {str(folder)!r} has no audio files. Expected "
            "artist/album/track.flac (or another audio format) below it."
        )
    columns = {"clip": [], "item": [], "artist": [], "album": [], "track": []}
    for path in paths:
        below = path.relative_to(folder)
        *folders, track = below.with_suffix("").parts
        artist, album = [*folders[:2], None, None][:2]
        row = (str(path), below.with_suffix("").as_posix(), artist, album, track)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    return pl.DataFrame(columns)


def _choose_columns(frame, named):
    """Bring the columns to our names; keep the others behind them."""
    for name, column in named.items():
        if column is not None and column not in frame.columns:
            raise ValueError(
                f"Got {name}={column!r}, but the catalogue has the columns "
                f"{', '.join(map(repr, frame.columns))}. Pass {name}=... one of them."
                f"{separator_hint(frame.columns)}"
            )
    chosen = {
        name: frame[name if column is None else column].alias(name)
        for name, column in named.items()
        if column is not None or name in frame.columns
    }
    for name, column in chosen.items():
        if column.dtype.is_nested():
            raise ValueError(
                f"The column {(named[name] or name)!r} of the catalogue ({name}=) "
                f"holds lists or structs ({column.dtype}), expected one value per row."
            )
    others = [column for column in frame if column.name not in chosen]
    return pl.DataFrame([*chosen.values(), *others])


def _tidy(column):
    """Strip text; nulls for NaN and empty text; integers for whole floats."""
    if column.dtype == pl.Object:  # of pathlib
        values = [str(v) if isinstance(v, os.PathLike) else v for v in column]
        try:
            column = pl.Series(column.name, values)
        except TypeError as error:
            kinds = ", ".join(sorted({type(v).__name__ for v in column}))
            raise ValueError(
                f"The column {column.name!r} holds values of the types {kinds}: make "
                "them text."
            ) from error
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        # By Arrow, as in logs: polars knows fewer blanks.
        text = pc.utf8_trim_whitespace(column.to_arrow())
        column = pl.Series(column.name, pl.from_arrow(text))
        return column.set(column == "", None)
    if column.dtype.is_float():
        # A frame of integers, some missing, comes as floats.
        column = column.fill_nan(None)
        known = column.drop_nulls()
        if len(known) and known.is_finite().all() and (known % 1 == 0).all():
            return column.cast(pl.Int64)
    return column


def _is_text(source):
    named = isinstance(source, str | os.PathLike)
    return named and separator_of(Path(source)) is not None


def as_ids(columns: Iterable[pl.Series]) -> list[pl.Series]:
    """Turn columns of whole numbers as text into integers, as `read_logs` does.

    Parameters
    ----------
    columns : iterable of polars.Series

    Returns
    -------
    list of polars.Series
    """
    return [
        pl.Series(column.name, pl.from_arrow(whole_numbers(column.to_arrow())))
        if column.dtype == pl.String
        else column
        for column in columns
    ]
