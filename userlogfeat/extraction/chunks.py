"""Hand clips out to workers: in chunks, through a file that all of them see.

The file is an Arrow stream with an index. A worker reads the one batch that it embeds;
nothing of the list passes through Spark, whatever its length.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from userlogfeat.tables import OK, canonical_name

if TYPE_CHECKING:
    from userlogfeat.estimators._clip_reader import ClipFeatures


FILE = "clips.arrow"
_ROOT = b"relative_to"
_SCHEMA = pa.schema(
    [
        pa.field("clip", pa.binary()),  # UTF-8; other bytes of a path as they are
        pa.field("size", pa.int64()),
        pa.field("modified_ns", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Todo:
    """Clips to embed.

    Attributes
    ----------
    clips : list of str
        Paths as given.
    stamps : ndarray (n_clips, 2), int64
        Size and modification time of each: see :func:`userlogfeat.tables.file_stamp`.
    relative_to : str, optional
        Folder that the names of rows start from; by default they are `clips`.
    """

    clips: list
    stamps: np.ndarray
    relative_to: str | None = None

    def name(self, index: int) -> str:
        """Name of a clip's row."""
        clip = self.clips[index]
        root = self.relative_to
        return clip if root is None else canonical_name(clip, root)

    def __len__(self) -> int:
        return len(self.clips)


def write_chunks(folder: Path, todo: Todo, size: int) -> list[int]:
    """Write a list of clips, to be read a chunk at a time.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    todo : Todo
        All clips of the run.
    size : int
        Number of clips in a chunk; the last has fewer.

    Returns
    -------
    list of int
        Number of clips in each chunk.
    """
    sizes, root = [], todo.relative_to
    notes = None if root is None else {_ROOT: os.fsencode(root)}
    with (
        pa.OSFile(str(folder / FILE), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA.with_metadata(notes)) as writer,
    ):
        for start in range(0, len(todo), size):
            clips = todo.clips[start : start + size]
            stamps = todo.stamps[start : start + size]
            names = [clip.encode("utf-8", "surrogateescape") for clip in clips]
            writer.write_batch(
                pa.record_batch([names, stamps[:, 0], stamps[:, 1]], schema=_SCHEMA)
            )
            sizes.append(len(clips))
    return sizes


def read_chunk(folder: Path, number: int) -> Todo:
    """Read one chunk.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    number : int
        Number of the chunk, from 0.

    Returns
    -------
    Todo
    """
    with pa.OSFile(str(folder / FILE)) as file, pa.ipc.open_file(file) as reader:
        batch = reader.get_batch(number)
        root = (reader.schema.metadata or {}).get(_ROOT)
    clips = [
        name.decode("utf-8", "surrogateescape") for name in batch["clip"].to_pylist()
    ]
    stamps = [batch[name].to_numpy() for name in ("size", "modified_ns")]
    root = None if root is None else os.fsdecode(root)
    return Todo(clips, np.stack(stamps, axis=1), root)


def as_row(features: ClipFeatures, todo: Todo) -> dict[str, Any]:
    """Return a clip's features as the row that ``TableWriter.add`` takes.

    Parameters
    ----------
    features : ClipFeatures
        Result of an embedder for one of ``todo.clips``.
    todo : Todo
        Names and stamps.
    """
    size, modified_ns = (int(value) for value in todo.stamps[features.index])
    status, message = OK, ""
    if features.error is not None:
        status, message = type(features.error).__name__, str(features.error)
    return {
        "clip": todo.name(features.index),
        "layers": features.layers,
        "status": status,
        "message": message,
        "seconds": features.seconds,
        "size": size,
        "modified_ns": modified_ns,
    }
