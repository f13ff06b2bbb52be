"""Embed clips in this process."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

from userlogfeat.extraction.chunks import Todo
from userlogfeat.extraction.tally import Tally
from userlogfeat.tables import OK
from userlogfeat.tables.writer import TableWriter

if TYPE_CHECKING:
    from userlogfeat.estimators._base import ClipFeatures


def embed_here(
    todo: Todo,
    writer: TableWriter,
    embedder: Any,
    tally: Tally,
    *,
    on_error: Literal["row", "raise"],
) -> None:
    """Run the embedder over clips, and give the writer one row each.

    Parameters
    ----------
    todo : Todo
        Clips to embed; at least one.
    writer : TableWriter
        Open.
    embedder : estimator
        Makes the features.
    tally : Tally
        Gets each clip.
    on_error : {"row", "raise"}
        See :func:`~userlogfeat.extract`.
    """
    features = embedder.iter_features(todo.clips, on_error="yield")
    with contextlib.closing(features):
        for clip in features:
            if clip.error is not None and on_error == "raise":
                raise clip.error
            row = as_row(clip, todo)
            writer.add(**row, more=getattr(clip, "more", False))
            tally.add(row["clip"], row["status"], row["message"], row["seconds"])


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
        "clip": todo.clips[features.index],
        "layers": features.layers,
        "status": status,
        "message": message,
        "seconds": features.seconds,
        "size": size,
        "modified_ns": modified_ns,
    }
