"""`userlogfeat nearest-artists`: whose listeners would like a clip."""

from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result


@app.command()
def nearest_artists(
    clips: list[Path],
    k: Annotated[int, typer.Option("-k", min=1)] = 10,
    weights: str = "lastfm-mpd-musicnn",
) -> Result:
    """Name the artists whose listeners would like each clip.

    Parameters
    ----------
    clips
        Audio files.
    k
        Artists for each clip.
    weights
        A teacher that holds the factors of its artists.
    """
    from userlogfeat.recommendation.artists import nearest_artists as nearest

    frame = nearest([str(clip) for clip in clips], k, weights=weights)
    return Result(frame.iter_rows(named=True), _line)


def _line(row):
    """A line of an artist; before the first one, the clip."""
    clip = f"{row['clip']}\n" if row["rank"] == 1 else ""
    return f"{clip}  {row['rank']:3}  {row['similarity']:.3f}  {row['artist']}"
