"""`userlogfeat table`: look after feature tables."""

import json
from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import print_line
from userlogfeat.cli.errors import explained

KEPT = "The table holds all its rows: run the same again."

table = typer.Typer(
    no_args_is_help=True,
    help="Feature tables: list, prune, rename, compact and merge them.",
)
app.add_typer(table, name="table")

Table = Annotated[Path, opt.path_argument("TABLE", "Folder of a feature table.")]
Base = Annotated[
    Path,
    opt.path_option(help="Folder that relative paths start from. Default: this one"),
]


@table.command()
def ls(
    folder: Table,
    status: Annotated[
        str | None, typer.Option(help='Only clips of it: "ok", or an error\'s class.')
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object a line.")
    ] = False,
) -> None:
    """List the clips: status, seconds of audio, path."""
    with explained():
        from userlogfeat.tables import FeatureTable, row_names

        features = FeatureTable(folder)
        columns = ["clip", "clip_bytes", "status", "message", "seconds"]
        rows = features.read(columns)
        values = [rows[name].to_pylist() for name in columns[2:]]
        for clip, of_clip, message, seconds in zip(
            row_names(rows), *values, strict=True
        ):
            if status not in (None, of_clip):
                continue
            known = seconds == seconds
            if as_json:
                entry = {"clip": clip, "status": of_clip, "message": message}
                entry["seconds"] = seconds if known else None
                print_line(json.dumps(entry))
            else:
                print_line(f"{of_clip}\t{f'{seconds:.1f}' if known else '-'}\t{clip}")


@table.command()
def prune(
    folder: Table,
    base: Base = Path(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the clips and keep them.")
    ] = False,
    all_gone: Annotated[
        bool, typer.Option("--all-gone", help="Go on where every file is gone.")
    ] = False,
) -> None:
    """Drop the rows of clips whose files are gone; their paths are printed."""
    with explained(KEPT):
        from userlogfeat.tables import prune as prune_table

        gone = prune_table(folder, base=base, dry_run=dry_run, all_gone=all_gone)
        for clip in gone:
            print_line(clip)
        verb = "would be dropped" if dry_run else "dropped"
        print_line(f"{len(gone)} clips {verb}", err=True)


@table.command()
def rename(
    folder: Table,
    relative_to: Annotated[
        Path | None,
        opt.path_option(help="Folder that paths start from. Default: absolute paths"),
    ] = None,
    base: Base = Path(),
) -> None:
    """Write all paths in one way: absolute, or relative to a folder.

    To move a table with its audio: make paths relative to the folder of the audio, move
    both, and make them absolute with --base NEW_FOLDER.
    """
    with explained(KEPT):
        from userlogfeat.tables import rename_clips

        print_line(str(rename_clips(folder, relative_to=relative_to, base=base)))


@table.command()
def compact(folder: Table) -> None:
    """Merge small parts, and drop rows that later ones replaced."""
    with explained(KEPT):
        from userlogfeat.tables import compact as compact_table

        print_line(str(compact_table(folder)))


@table.command()
def merge(
    folders: Annotated[
        list[Path], opt.path_argument("TABLES", "Folders of tables of one model.")
    ],
    output: opt.Output,
) -> None:
    """Copy the rows of several tables into OUTPUT; of a clip the last row is kept."""
    with explained("OUTPUT holds whole rows: run the same again."):
        from userlogfeat.tables import merge_tables

        print_line(str(merge_tables(folders, output)))
