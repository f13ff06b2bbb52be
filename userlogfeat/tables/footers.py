"""The schema of a part, and its footer, checked before any row is read.

Parts may come from strangers. The memory that one needs follows from its number of rows
and the sizes of its layers; it is compared with ``MAX_PART_BYTES`` and with the length
of its file (see ``_parquet``).
"""

import contextlib
import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator, BaseModel, Field, PositiveInt, ValidationError

from userlogfeat._digests import json_digest
from userlogfeat._parquet import as_file, decode_text, decoded_bytes, most_bytes
from userlogfeat._untrusted import parse_json

FORMAT = "userlogfeat table 1"
METADATA = b"userlogfeat"  # key in the schema metadata; its value is JSON
PARTS = f"part-{8 * '[0-9]'}.parquet"
FIELDS = [
    pa.field("clip", pa.string()),
    pa.field("clip_bytes", pa.binary()),
    pa.field("status", pa.string()),
    pa.field("message", pa.string()),
    pa.field("seconds", pa.float64()),
    pa.field("size", pa.int64()),
    pa.field("modified_ns", pa.int64()),
]
MAX_PART_BYTES = 1 << 30  # numbers of a part in memory, and as much text
MAX_ROW_BYTES = 1 << 22  # layers of a clip: a lookup holds them for every clip
_MAX_NOTES = 1 << 24
_SMALL_ROW = 64  # bytes of a row without its layers and texts


class TableError(ValueError):
    """A feature table that is missing, damaged, foreign or of another model."""


def check_layers(layer_sizes: dict[str, int]) -> dict[str, int]:
    """Return the layers; raise where a table cannot keep them."""
    clash = {field.name for field in FIELDS} & set(layer_sizes)
    if clash:
        raise ValueError(f"Layers cannot be called {sorted(clash)}: rename them.")
    n_bytes = layer_bytes(layer_sizes)
    if n_bytes > MAX_ROW_BYTES:
        raise ValueError(
            f"Got layers {layer_sizes}, which have {n_bytes} bytes per clip, expected "
            f"at most {MAX_ROW_BYTES}: a table keeps vectors, not maps. Pool them over "
            "time."
        )
    return layer_sizes


class Notes(BaseModel, strict=True):
    """Notes in the metadata of a part: the model that made its features."""

    fingerprint: str
    layers: Annotated[dict[str, PositiveInt], AfterValidator(check_layers)]
    scales: dict[str, Annotated[float, Field(allow_inf_nan=False)]]
    made_by: str
    users_digest: str | None = None  # missing in the first tables
    replaces: list[str]  # names of the parts that were merged into this one


@dataclass(frozen=True)
class Part:
    """One file of a table, as its name and its footer describe it."""

    path: Path
    stamp: tuple  # name, bytes, modification time, inode
    n_rows: int
    notes: Notes

    @property
    def n_bytes(self) -> int:
        """Length of the file."""
        return self.stamp[1]

    @property
    def model(self) -> tuple[str, dict[str, int]]:
        """Fingerprint of the model and sizes of its layers: equal in a table."""
        return self.notes.fingerprint, self.notes.layers

    @property
    def memory(self) -> int:
        """Bytes of its rows in memory, texts apart."""
        return self.n_rows * (_SMALL_ROW + layer_bytes(self.notes.layers))


def layer_bytes(layer_sizes: dict[str, int]) -> int:
    """Bytes of the layers of one clip."""
    return 4 * sum(layer_sizes.values())


def layer_fields(layer_sizes: dict[str, int]) -> list[pa.Field]:
    """Arrow fields of the layers."""
    return [
        pa.field(name, pa.list_(pa.float32(), size))
        for name, size in layer_sizes.items()
    ]


def sealed_notes(notes: dict[str, Any]) -> str:
    """Notes as the text of the metadata, with a digest of their own."""
    notes = {name: value for name, value in notes.items() if name != "digest"}
    return json.dumps({**notes, "digest": json_digest(notes)[:16]})


def read_footer(path: Path, known: dict[tuple, Part]) -> Part:
    """Read the footer of a part, and check it.

    Parameters
    ----------
    path : Path
    known : dict of tuple to Part
        Parts by their stamps, whose footers were read before.

    Returns
    -------
    Part

    Raises
    ------
    TableError
        Where it is not part of a table, or larger in memory than a part may be.
    """
    with part_errors(path):
        status = path.stat()
        stamp = (path.name, status.st_size, status.st_mtime_ns, status.st_ino)
        if stamp in known:
            return known[stamp]
        if stat.S_ISDIR(status.st_mode):
            raise TableError(
                f"{path} is a folder, but the parts of a feature table are files. Move "
                "it out, or rename it."
            )
        try:
            return _checked(path, stamp, stat.S_ISREG(status.st_mode))
        except pa.ArrowException:
            raise
        except ValueError as error:
            raise TableError(
                f"{path} is not of a {FORMAT!r} ({error}). Move it out of the folder, "
                "or update userlogfeat."
            ) from error


def decode_part(
    rows: pa.Table | pa.RecordBatch, part: Part
) -> pa.Table | pa.RecordBatch:
    """Decode the texts of rows of a part that ``open_parquet`` opened."""
    return decode_text(rows, most_bytes(part.n_bytes, at_most=MAX_PART_BYTES))


@contextlib.contextmanager
def part_errors(path: Path) -> Iterator[None]:
    """Name the part that cannot be read, and the way out."""
    try:
        yield
    except (FileNotFoundError, PermissionError, TableError):
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise TableError(
            f"{path} is damaged ({str(error).strip()}). Delete that file and run the "
            "extraction again: the clips whose rows it held are then done again."
        ) from error


def _checked(path, stamp, is_regular):
    if not is_regular:  # opening a pipe would wait for a writer
        raise ValueError("it is not a regular file, but a pipe or device")
    with pq.ParquetFile(as_file(path)) as file:
        metadata, found = file.metadata, file.schema_arrow
        part = Part(path, stamp, metadata.num_rows, _read_notes(metadata.metadata))
        n_bytes = max(part.memory, decoded_bytes(metadata))
    layers = part.notes.layers
    if not found.equals(pa.schema([*FIELDS, *layer_fields(layers)])):
        raise ValueError(f"its columns are {found.names}, or of other types")
    limit = most_bytes(part.n_bytes, at_most=MAX_PART_BYTES)
    if n_bytes > limit:
        raise ValueError(
            f"its {part.n_rows} rows of layers {layers} need more than {limit} bytes, "
            f"the most that a file of {part.n_bytes} bytes may"
        )
    return part


def _read_notes(metadata):
    text = (metadata or {}).get(METADATA)
    if text is None or len(text) > _MAX_NOTES:
        raise ValueError("it has no notes of a table")
    notes = parse_json(text)
    found = notes.get("format") if isinstance(notes, dict) else notes
    if found != FORMAT:
        raise ValueError(f"its format is {str(found)[:50]!r}")
    digest = notes.pop("digest", None)  # missing in the first tables
    if digest is not None and digest != json_digest(notes)[:16]:
        raise ValueError("its notes were changed: their digest does not fit")
    try:
        return Notes.model_validate(notes)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ValueError(
            f"its notes have no proper entry {wrong['loc'][0]!r}: {wrong['msg']}"
        ) from error
