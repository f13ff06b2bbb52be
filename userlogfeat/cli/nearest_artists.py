"""`userlogfeat nearest-artists`: whose listeners would like a clip."""

from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import licence_notes_last, print_line
from userlogfeat.cli.errors import explained


@app.command()
def nearest_artists(
    clips: Annotated[list[Path], opt.path_argument("CLIPS", "Audio files.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Artists for each clip.")] = 10,
    weights: Annotated[
        str, typer.Option(help="A teacher that holds the factors of its artists.")
    ] = "lastfm-mpd-musicnn",
    quiet: opt.Quiet = False,
) -> None:
    """Name the artists whose listeners would like each clip."""
    with explained():
        from userlogfeat.recommendation.artists import nearest_artists as nearest

        with licence_notes_last(quiet):
            frame = nearest([str(clip) for clip in clips], k, weights=weights)
    for clip, rows in groupby(frame.iter_rows(named=True), key=lambda row: row["clip"]):
        print_line(clip)
        for row in rows:
            print_line(f"  {row['rank']:3}  {row['similarity']:.3f}  {row['artist']}")
