"""Hearing clips in this process."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

from userlogfeat.extraction.tally import Tally, progress_bar
from userlogfeat.tables import OK

if TYPE_CHECKING:
    from userlogfeat.estimators._base import ClipFeatures
    from userlogfeat.extraction.chunks import Todo
    from userlogfeat.tables.writer import TableWriter


def hear(
    todo: Todo,
    writer: TableWriter,
    embedder: Any,
    *,
    on_error: Literal["row", "raise"],
    progress: bool | None,
    n_clips: int,
) -> Tally:
    """Run the embedder over clips, and give the writer one row each.

    Parameters
    ----------
    todo : Todo
        What to hear.
    writer : TableWriter
        Open.
    embedder : estimator
        What hears it.
    on_error, progress
        As of :func:`~userlogfeat.extract`.
    n_clips : int
        Clips asked for: the length of the bar.

    Returns
    -------
    Tally
    """
    tally = Tally()
    if not len(todo):  # embedders refuse to hear nothing
        return tally
    features = embedder.iter_features(todo.clips, on_error="yield")
    with (
        contextlib.closing(features),
        progress_bar(tally, n_clips, len(todo), progress) as show,
    ):
        for clip in features:
            if clip.error is not None and on_error == "raise":
                raise clip.error
            row = as_row(clip, todo)
            writer.add(**row, more=getattr(clip, "more", False))
            tally.add(row["clip"], row["status"], row["message"], row["seconds"])
            show(1)
    return tally


def as_row(features: ClipFeatures, todo: Todo) -> dict[str, Any]:
    """The row of a table that a clip's features make: what ``TableWriter.add`` takes.

    Parameters
    ----------
    features : ClipFeatures
        Of an embedder that heard ``todo.clips``.
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
