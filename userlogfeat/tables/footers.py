"""What a part says of itself, checked before anything of it is read.

Parts may come from strangers. What one needs in memory is known from the number of its
rows and the sizes of its layers, and is compared with ``MAX_PART_BYTES`` and with the
length of its file (see ``_parquet``).
"""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from userlogfeat._files import parse_json
from userlogfeat._parquet import as_file, decoded_bytes, most_bytes, plain

FORMAT = "userlogfeat table 1"
METADATA = b"userlogfeat"  # key in the schema metadata; its value is JSON
FIELDS = [
    pa.field("clip", pa.string()),
    pa.field("clip_bytes", pa.binary()),
    pa.field("status", pa.string()),
    pa.field("message", pa.string()),
    pa.field("seconds", pa.float64()),
    pa.field("size", pa.int64()),
    pa.field("modified_ns", pa.int64()),
]
MAX_PART_BYTES = 1 << 30  # of its numbers in memory, and again of its text
MAX_ROW_BYTES = 1 << 22  # of the layers of a clip: a lookup has them of every clip
_MAX_NOTES = 1 << 24
_SMALL_ROW = 64  # bytes of a row without its layers and texts


def layer_fields(layer_sizes: dict[str, int]) -> list[pa.Field]:
    """Arrow fields of the layers."""
    return [
        pa.field(name, pa.list_(pa.float32(), size))
        for name, size in layer_sizes.items()
    ]


def sealed_notes(notes: dict[str, Any]) -> str:
    """The notes of a part as its metadata has them, with a digest of their own."""
    notes = {name: value for name, value in notes.items() if name != "digest"}
    return json.dumps({**notes, "digest": _digest(notes)})


def row_bytes(layer_sizes: dict[str, int]) -> int:
    """Bytes of a row in memory, texts apart."""
    return _SMALL_ROW + 4 * sum(layer_sizes.values())


def check_layers(layer_sizes: dict[str, int]) -> None:
    """Raise where the layers of a clip are too large to be kept in a table."""
    if 4 * sum(layer_sizes.values()) > MAX_ROW_BYTES:
        raise ValueError(
            f"Got layers {layer_sizes}, which have {4 * sum(layer_sizes.values())} "
            f"bytes a clip, expected at most {MAX_ROW_BYTES}: a table keeps vectors, "
            "not maps. Pool them over time."
        )


def read_footer(path: Path) -> tuple[int, dict[str, Any]]:
    """The number of rows of a part, and its notes.

    Parameters
    ----------
    path : Path

    Returns
    -------
    int, dict

    Raises
    ------
    ValueError
        Where it is no part of a table, or larger in memory than a part may be.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file, but a folder, pipe or device")
    with pq.ParquetFile(as_file(path)) as file:
        metadata, found = file.metadata, file.schema_arrow
        notes = _read_notes(metadata.metadata)
        n_rows, n_bytes = metadata.num_rows, decoded_bytes(metadata)
    expected = pa.schema([*FIELDS, *layer_fields(notes["layers"])])
    if not found.equals(expected):
        raise ValueError(f"its columns are {found.names}, or of other types")
    limit = most_bytes(status.st_size, at_most=MAX_PART_BYTES)
    if max(n_bytes, n_rows * row_bytes(notes["layers"])) > limit:
        raise ValueError(
            f"its {n_rows} rows of layers {notes['layers']} need more than {limit} "
            f"bytes, the most that a file of {status.st_size} bytes may"
        )
    check_layers(notes["layers"])
    return n_rows, notes


def plain_part(
    rows: pa.Table | pa.RecordBatch, n_bytes: int
) -> pa.Table | pa.RecordBatch:
    """Rows of a part with text as text.

    Parameters
    ----------
    rows : pyarrow.Table or RecordBatch
        Of a part that ``open_parquet`` opened.
    n_bytes : int
        Of its file.
    """
    return plain(rows, most_bytes(n_bytes, at_most=MAX_PART_BYTES))


def _read_notes(metadata):
    text = (metadata or {}).get(METADATA)
    if text is None or len(text) > _MAX_NOTES:
        raise ValueError("it has no notes of a table")
    notes = parse_json(text)
    if not isinstance(notes, dict) or notes.get("format") != FORMAT:
        found = notes.get("format") if isinstance(notes, dict) else notes
        raise ValueError(f"its format is {str(found)[:50]!r}")
    digest = notes.pop("digest", None)  # not in the first tables
    if digest is not None and digest != _digest(notes):
        raise ValueError("its notes were changed: their digest does not fit")
    notes.setdefault("users_digest", None)
    wrong = [name for name, check in _NOTES.items() if not check(notes.get(name))]
    if wrong:
        raise ValueError(f"its notes have no proper entry {wrong[0]!r}")
    return notes


def _digest(notes):
    return hashlib.sha256(json.dumps(notes, sort_keys=True).encode()).hexdigest()[:16]


def _are_layers(value):
    taken = {field.name for field in FIELDS}
    return isinstance(value, dict) and all(
        type(size) is int and 0 < size < 1 << 31 and name not in taken
        for name, size in value.items()
    )


def _are_scales(value):
    return isinstance(value, dict) and all(
        isinstance(scale, int | float) and abs(scale) < float("inf")
        for scale in value.values()
    )


_NOTES = {
    "fingerprint": lambda value: isinstance(value, str),
    "layers": _are_layers,
    "scales": _are_scales,
    "made_by": lambda value: isinstance(value, str),
    "users_digest": lambda value: value is None or isinstance(value, str),
    "replaces": lambda value: (
        isinstance(value, list) and all(isinstance(name, str) for name in value)
    ),
}
