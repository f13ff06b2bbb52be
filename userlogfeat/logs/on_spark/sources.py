"""A Spark frame, or any path that Spark reads, with columns named by their role.

Beside the roles a frame has `place`, the place of each row in its source, where
somebody needs to know which of two rows is further down: the file, its block and the
row in it; or, of frames, the partition and the row in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from py4j.protocol import Py4JError  # raised for errors of tasks
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from userlogfeat._spark import frame_of, is_spark_frame
from userlogfeat._text_tables import SEPARATORS, suffix_of
from userlogfeat._typing import Frame, PathLike
from userlogfeat.logs.columns import to_array
from userlogfeat.logs.sources import (
    PARQUET,
    frame_table,
    refuse_layout,
    require_columns,
)

OTHER = {".orc": "orc", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
# What Spark's errors are called where it is the file that is at fault.
_UNREADABLE = ("FAILED_READ_FILE", "MALFORMED", "UNABLE_TO_INFER_SCHEMA", "CORRUPT")
_HINTS = {
    "MALFORMED_CSV": "Each line must have the fields of the first. Spark reads no "
    "field that goes on over several lines: bring such logs to Parquet first.",
    "MALFORMED_RECORD": "Files of JSON have one object per line.",
    "SchemaColumnConvertNotSupported": "A column has one type in one file and another "
    "in the next: bring them to one.",
    "UNABLE_TO_INFER_SCHEMA": "Does it hold any such files?",
}
_PATTERN = set("*?[{")


class Source(NamedTuple):
    """Rows with columns named by their role, with their origin for error messages."""

    frame: DataFrame
    origin: str  # "plays.csv", "the frame"
    is_text: bool = False  # fields are text whatever they mean
    checks: tuple = ()  # of its own: (column of wrong rows; their fault; advice)


def read_source(
    session: SparkSession,
    source: PathLike | Frame,
    roles: Mapping[str, str | None],
    *,
    separator: str | None = None,
    columns: Sequence[str] | None = None,
    optional: dict[str, str] | None = None,
) -> Source:
    """Read the columns that play a role, and `place`.

    Parameters
    ----------
    session : pyspark.sql.SparkSession
    source : pyspark.sql.DataFrame, str, Path, or frame of another library
        Paths may be URLs, folders or patterns: ``"s3a://bucket/plays/*.parquet"``.
    roles : dict of str
        Role -> column.
    separator, columns : optional
        Layout of text files; see :func:`userlogfeat.logs.sources.iter_chunks`.
    optional : dict of str, optional
        Role -> column, where there is such a column.

    Returns
    -------
    Source

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        As in :func:`userlogfeat.logs.sources.iter_chunks`.
    """
    is_path = isinstance(source, (str, os.PathLike))
    origin, is_text = "the frame", False
    if is_path:
        origin = name_of(os.fspath(source))
        layout = (separator, columns)
        frame, separator = _of_path(session, os.fspath(source), roles, *layout)
        is_text = separator is not None
    else:
        refuse_layout(separator, columns, origin)
        frame = source if is_spark_frame(source) else _sent_to(session, source, roles)
    found = {r: name for r, name in (optional or {}).items() if name in frame.columns}
    require_columns(roles, frame.columns, origin, hint=".")
    rows = by_role(frame, roles | found, of_files=is_path)
    checks = ()
    if is_text:
        checks = _checks_of_text(roles, quoted=separator != "\t")
    return Source(rows, origin, is_text, checks)


def _checks_of_text(roles, *, quoted):
    """Return checks for faults of lines that can be seen in Spark's fields."""
    is_header = F.lit(True)
    for role, name in roles.items():
        is_header &= F.coalesce(F.col(role) == name, F.lit(False))
    opens = F.col("user").startswith('"') | F.col("item").startswith('"')
    return (
        (
            is_header,
            "the names of the columns again",
            "Keep one such line, at the top.",
        ),
        (
            F.col("user").contains("\0") | F.col("item").contains("\0"),
            "NUL bytes",
            "Is it in UTF-16, or damaged? Convert it to UTF-8.",
        ),
        (
            opens & F.lit(quoted),
            "an identifier that begins with a quote",
            "Quotes around a field close before the separator, and a quote in quotes "
            "is doubled, not escaped by a backslash. If these are right, bring the "
            "logs to Parquet: Spark reads what breaks this rule in the same way.",
        ),
    )


@contextmanager
def reading(origin: str) -> Iterator[None]:
    """Turn Spark's errors about a file into one that names it."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        text = str(error)
        if "PATH_NOT_FOUND" in text:
            hint = ""
            if _PATTERN.intersection(origin):
                hint = (
                    " In a name, *, ?, [ and { are a pattern: write a \\ before them."
                )
            raise FileNotFoundError(
                f"There is no file or folder {origin} where Spark looked for it. Paths "
                f"without a scheme are of the cluster's default file system.{hint}"
            ) from error
        if any(name in text for name in _UNREADABLE):
            hints = [hint for name, hint in _HINTS.items() if name in text]
            reason = " ".join([_reason(text), *hints])
            raise ValueError(f"{origin} could not be read: {reason}") from error
        raise


def _reason(text):
    """Extract the line with the cause, from up to a page of Java."""
    lines = [line for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by:")]
    line = " ".join((causes or lines)[-1 if causes else 0].split())
    line = re.sub(r"^Caused by: (?:[\w.$]+: )?", "", line)
    return f"{line[:300].rstrip('.')}."


def _of_path(session, path, roles, separator, columns):
    """The frame of a path, and the separator where it is text."""
    if not path:
        raise ValueError("Got '' as path of the logs, expected a file or folder.")
    suffix = suffix_of(Path(name_of(path)))
    if separator is None and suffix not in {*SEPARATORS, *PARQUET, *OTHER}:
        suffix = _suffix_below(session, path) or suffix
    if separator is None and suffix in SEPARATORS:
        separator = SEPARATORS[suffix]
    if separator is not None:
        return read_text(session, path, separator, columns, roles), separator
    if columns is None and (suffix in OTHER or suffix in PARQUET or not suffix):
        return read_binary(session, path, OTHER.get(suffix, "parquet"), roles), None
    known = ", ".join([*SEPARATORS, *sorted(PARQUET), *OTHER])
    raise ValueError(
        f"{path} does not say how it is laid out: known suffixes are {known}, and "
        "files without one hold Parquet. Pass separator=... if it is text, or read it "
        "with spark.read and pass the frame."
    )


def _suffix_below(session, path):
    """Suffix of a file below a folder, ".csv" for plays.csv.gz; or ""."""
    with reading(path):
        files = session.read.format("binaryFile").option("recursiveFileLookup", True)
        found = files.load(path).select("path").first()  # their content is not read
    return suffix_of(Path(name_of(found["path"]))) if found else ""


def read_text(
    session: SparkSession,
    path: str,
    separator: str | None,
    columns: Sequence[str] | None,
    roles: Mapping[str, str | None] | None = None,
) -> DataFrame:
    """Read all fields as text. Lines with too few or too many fields are refused.

    All files below a folder are read, as by :func:`read_binary`.
    """
    reader = session.read.options(
        sep=separator,
        # A tab-separated field may hold quotes that mean nothing: "Weird Al".
        quote="" if separator == "\t" else '"',
        escape='"',  # a quote within quotes is written twice
        mode="FAILFAST",
        columnPruning=False,  # else fields that are not asked for are not counted
        header=columns is None,
        enforceSchema=False,  # else a file with other columns is read by position
    )
    if columns is not None:
        names = (name.replace("`", "``") for name in columns)
        reader = reader.schema(", ".join(f"`{name}` string" for name in names))
    with reading(path):
        frame = reader.option("recursiveFileLookup", True).csv(path)
        if set((roles or {}).values()) <= set(frame.columns):
            return frame
        return reader.option("recursiveFileLookup", False).csv(path)


def read_binary(
    session: SparkSession, path: str, kind: str, roles: Mapping[str, str | None]
) -> DataFrame:
    """Read Parquet, ORC or JSON: all files below a folder, however deep.

    Where they lack a column, it may be in the names of the folders: ``day=2026-01-05``.
    """

    def load(**options):  # a reader keeps its options
        return session.read.format(kind).load(path, mode="FAILFAST", **options)

    with reading(path):
        frame = load(recursiveFileLookup=True)
        return frame if set(roles.values()) <= set(frame.columns) else load()


def by_role(
    frame: DataFrame, roles: Mapping[str, str | None], *, of_files: bool = False
) -> DataFrame:
    """Select the columns that play a role, by its name, and `place`."""
    row = F.monotonically_increasing_id().alias("row")
    place = [row]
    if of_files:
        # A separator that sorts before all letters, as parts of paths are compared.
        path = F.translate(F.col("_metadata.file_path"), "/", "\u0001")
        block = F.col("_metadata.file_block_start")
        place = [path.alias("file"), block.alias("block"), row]
    named = [column(name).alias(role) for role, name in roles.items()]
    return frame.select(*named, F.struct(*place).alias("place"))


def column(name: str) -> Column:
    """Return a column by its exact name, dots included."""
    return F.col("`" + name.replace("`", "``") + "`")


def _sent_to(session, frame, roles):
    """Send a local frame to the cluster."""
    if type(frame).__name__ == "LazyFrame":
        frame = frame.collect()
    table = frame_table(frame, roles, "a Spark frame, a path that Spark reads")
    for index, name in enumerate(table.column_names):
        table = table.set_column(index, name, _signed(to_array(table[name])))
    return frame_of(session, table)


def _signed(array):
    """Spark has no unsigned integers."""
    import pyarrow as pa

    return array.cast(pa.int64()) if pa.types.is_unsigned_integer(array.type) else array


def name_of(path: str) -> str:
    """Return the last part of a path or URL."""
    return path.rstrip("/").rpartition("/")[2] or path
