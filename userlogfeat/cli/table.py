"""`userlogfeat table`: look after feature tables."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import App, app
from userlogfeat.cli.console import Result, print_line

KEPT = "The table holds all its rows: run the same again."

table = App(
    no_args_is_help=True,
    help="Feature tables: list, prune, rename, compact and merge them.",
)
app.add_typer(table, name="table")

Table = Annotated[
    Path, typer.Argument(metavar="TABLE", help="Folder of a feature table.")
]
Base = Annotated[
    Path,
    typer.Option(help="Folder that relative paths start from. Default: this one"),
]


@table.command()
def ls(
    folder: Table,
    status: str | None = None,
) -> Result:
    """List the clips: status, seconds of audio, path.

    Parameters
    ----------
    status
        Only clips of it: "ok", an error's class, or AudioError for all that failed.
    """
    from userlogfeat.tables import FeatureTable, row_names

    columns = ["clip", "clip_bytes", "status", "message", "seconds"]
    rows = FeatureTable(folder).read(columns)
    values = [row_names(rows), *(rows[name].to_pylist() for name in columns[2:])]
    names = ("clip", *columns[2:])
    listed = (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))
    chosen = (row for row in listed if status is None or _is_a(row["status"], status))
    return Result(chosen, _clip_line)


@table.command(kept=KEPT)
def prune(
    folder: Table,
    base: Base = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
    all_gone: Annotated[bool, typer.Option("--all-gone")] = False,
) -> Result:
    """Drop the rows of clips whose files are gone; their paths are printed.

    Parameters
    ----------
    dry_run
        Print the clips and keep them.
    all_gone
        Go on where every file is gone.
    """
    from userlogfeat.tables import prune as prune_table

    gone = prune_table(folder, base=base, dry_run=dry_run, all_gone=all_gone)
    verb = "would be dropped" if dry_run else "dropped"
    print_line(f"{len(gone)} clips {verb}", err=True)
    return Result(({"clip": clip} for clip in gone), "{clip}".format_map)


@table.command(kept=KEPT)
def rename(
    folder: Table,
    relative_to: Path | None = None,
    base: Base = Path(),
) -> Result:
    """Write all paths in one way: absolute, or relative to a folder.

    To move a table with its audio: make paths relative to the folder of the audio, move
    both, and make them absolute with --base NEW_FOLDER.

    Parameters
    ----------
    relative_to
        Folder that paths start from. Default: absolute paths
    """
    from userlogfeat.tables import rename_clips

    return _as_result(rename_clips(folder, relative_to=relative_to, base=base))


@table.command(kept=KEPT)
def compact(folder: Table) -> Result:
    """Merge small parts, and drop rows that later ones replaced."""
    from userlogfeat.tables import compact as compact_table

    return _as_result(compact_table(folder))


@table.command(kept="OUTPUT holds whole rows: run the same again.")
def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="TABLES")],
    output: opt.Output,
) -> Result:
    """Copy the rows of several tables into OUTPUT; of a clip the last row is kept.

    Parameters
    ----------
    folders
        Folders of tables of one model.
    """
    from userlogfeat.tables import merge_tables

    return _as_result(merge_tables(folders, output))


def _is_a(status, kind):
    """Whether a status is of a kind: its own, or an error's class above it."""
    from userlogfeat.audio import errors

    above = getattr(getattr(errors, status, None), "__mro__", ())
    return status == kind or kind in {one.__name__ for one in above}


def _clip_line(row):
    seconds = row["seconds"]
    shown = f"{seconds:.1f}" if seconds == seconds else "-"
    return f"{row['status']}\t{shown}\t{row['clip']}"


def _as_result(change):
    return Result(asdict(change), str(change))
