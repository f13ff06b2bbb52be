"""Keeping feature tables: clips that are gone, other paths, small parts, merging.

Every change is made of parts that replace parts, as an extraction makes them: a kill at
any moment loses and doubles nothing, and the same call again does what is missing.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from userlogfeat._typing import PathLike
from userlogfeat.tables.footers import TableError
from userlogfeat.tables.parts import clip_name, row_names, write_part
from userlogfeat.tables.reader import FeatureTable
from userlogfeat.tables.writer import TableWriter

_SHOWN = 3  # examples in a message


@dataclass(frozen=True)
class Change:
    """Numbers of a table before and after it was changed."""

    n_clips_before: int
    n_clips: int
    n_parts_before: int
    n_parts: int
    n_renamed: int = 0

    def __str__(self) -> str:
        text = f"{self.n_clips_before} -> {self.n_clips} clips, "
        text += f"{self.n_parts_before} -> {self.n_parts} parts"
        return text + (f", {self.n_renamed} renamed" if self.n_renamed else "")


def compact(
    table: PathLike, *, on_locked: Literal["error", "wait"] = "error"
) -> Change:
    """Merge small parts, and drop rows that later ones have replaced.

    Parameters
    ----------
    table : str or Path
        Folder of the table.
    on_locked : {"error", "wait"}
        While another process writes to it.

    Returns
    -------
    Change
    """
    return _changed(FeatureTable(table), lambda clip: clip, on_locked)


def prune(
    table: PathLike,
    *,
    base: PathLike = "",
    dry_run: bool = False,
    all_gone: bool = False,
    on_locked: Literal["error", "wait"] = "error",
) -> list[str]:
    """Drop the rows of clips whose files are gone.

    Parameters
    ----------
    table : str or Path
        Folder of the table.
    base : str or Path
        Folder that relative paths start from; by default the present one.
    dry_run : bool
        Whether to find them only.
    all_gone : bool
        Whether to go on where every file is gone, as if a disk were not mounted.
    on_locked : {"error", "wait"}
        While another process writes to the table.

    Returns
    -------
    list of str
        The clips that were dropped.

    Raises
    ------
    ValueError
        Where the file of every clip is gone, without `all_gone`.
    """
    table = FeatureTable(table)
    table.fingerprint  # noqa: B018 - says what is wrong where there is no table
    clips = table.clips()
    gone = [clip for clip in clips if not os.path.lexists(os.path.join(base, clip))]
    if clips and len(gone) == len(clips) and not all_gone:
        raise ValueError(
            f"The files of all {len(gone)} clips of {table.folder} are gone, such as "
            f"{gone[:_SHOWN]}. Is the disk not mounted, or do paths start elsewhere "
            "(base=...)? Pass all_gone=True to drop them all."
        )
    if gone and not dry_run:
        dropped = set(gone)
        _changed(table, lambda clip: None if clip in dropped else clip, on_locked)
    return gone


def rename_clips(
    table: PathLike,
    *,
    relative_to: PathLike | None = None,
    base: PathLike = "",
    on_locked: Literal["error", "wait"] = "error",
) -> Change:
    """Write paths in one way: absolute, or relative to a folder.

    One file may be three clips, as "few.wav", "./few.wav" and "/music/few.wav" are.
    Afterwards it is one, with its newest row. To move a table with its audio, make its
    paths relative to the folder of the audio, move both, and make them absolute again.

    Parameters
    ----------
    table : str or Path
        Folder of the table.
    relative_to : str or Path, optional
        Folder that paths are to start from. By default they become absolute. Links are
        not followed.
    base : str or Path
        Folder that relative paths start from now; by default the present one.
    on_locked : {"error", "wait"}
        While another process writes to the table.

    Returns
    -------
    Change

    Raises
    ------
    ValueError
        Where a clip is not below `relative_to`.
    """

    def new_name(clip):
        return canonical_name(os.path.join(base, clip), relative_to)

    return _changed(FeatureTable(table), new_name, on_locked)


def canonical_name(clip: str, relative_to: PathLike | None = None) -> str:
    """Return the one name of a path: absolute, or relative to a folder.

    Parameters
    ----------
    clip : str
        From the present folder, where it is relative.
    relative_to : str or Path, optional

    Raises
    ------
    ValueError
        Where the path is not below `relative_to`.
    """
    path = os.path.abspath(clip)
    if relative_to is None:
        return clip_name(path)
    root = os.path.abspath(relative_to)
    if os.path.commonpath([path, root]) != root:
        raise ValueError(
            f"The clip {clip!r} is not below {root}: as {path} it could not move "
            "with it. Pass a folder that holds all clips."
        )
    return clip_name(os.path.relpath(path, root))


def merge_tables(
    tables: Sequence[PathLike],
    output: PathLike,
    *,
    on_locked: Literal["error", "wait"] = "error",
) -> Change:
    """Copy the rows of several tables of one model into one.

    Parameters
    ----------
    tables : sequence of str or Path
        Folders. Of a clip in several tables the row of the last one is kept.
    output : str or Path
        Folder of the new table, or of one of the same model, whose rows are replaced.
    on_locked : {"error", "wait"}
        While another process writes to `output`.

    Returns
    -------
    Change

    Raises
    ------
    TableError
        Where tables are of different models.
    """
    sources = [FeatureTable(folder) for folder in tables]
    if not sources:
        raise ValueError("Got no tables to merge.")
    models = [(table.fingerprint, table.layer_sizes) for table in sources]
    for table, model in zip(sources, models, strict=True):
        if model != models[0]:
            raise TableError(
                f"{table.folder} is of model {model[0]} with layers {model[1]}, but "
                f"{sources[0].folder} of {models[0][0]} with {models[0][1]}. Features "
                "of two models do not mix."
            )
    newest = {clip: number for number, t in enumerate(sources) for clip in t.clips()}
    out = FeatureTable(output)
    before = (len(out), len(out.parts())) if out.exists() else (0, 0)
    with _writer(out, sources[0], on_locked) as writer, writer.staging() as folder:
        for number, table in enumerate(sources):
            for place, part in enumerate(table.parts()):
                rows = table.read_part(part, ["clip", "clip_bytes"])
                named = zip(row_names(rows), table.live_rows(part), strict=True)
                names = [
                    name if live and newest[name] == number else None
                    for name, live in named
                ]
                path = folder / f"{number}-{place}.parquet"
                write_part(path, table.renamed_rows(part, names), writer.notes)
                writer.adopt(path)
    return Change(before[0], len(out), before[1], len(out.parts()))


def _changed(
    table: FeatureTable, new_name: Callable[[str], str | None], on_locked: str
) -> Change:
    """Give clips new names, None to drop them, and compact the table."""
    before = len(table), len(table.parts())
    with _writer(table, table, on_locked) as writer:
        n_renamed = writer.rename(new_name)
    return Change(before[0], len(table), before[1], len(table.parts()), n_renamed)


def _writer(table: FeatureTable, like: FeatureTable, on_locked: Any) -> TableWriter:
    """Open a table for rows of the model of another one."""
    return table.writer(
        fingerprint=like.fingerprint,
        layer_sizes=like.layer_sizes,
        layer_scales=like.layer_scales,
        made_by=like.made_by,
        users_digest=like.users_digest,
        on_locked=on_locked,
    )
