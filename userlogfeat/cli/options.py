"""Options that several commands share, and their types."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Precision(StrEnum):
    """Of matrix products."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Backend(StrEnum):
    """Where the work is done."""

    local = "local"
    spark = "spark"


class By(StrEnum):
    """What the items of the logs are."""

    item = "item"
    artist = "artist"
    album = "album"


def path_of(value: str) -> Path:
    """A path as given; an empty one, of an unset variable of the shell, is refused."""
    if not str(value):
        raise typer.BadParameter('it is empty. For the present folder pass ".".')
    return Path(value)


def named_columns(
    user: str | None,
    item: str | None,
    count: str | None = None,
    time: str | None = None,
    liked: str | None = None,
    disliked: str | None = None,
) -> dict[str, str]:
    """The columns that were named, as `read_logs` takes them."""
    columns = {"user": user, "item": item, "count": count, "time": time}
    columns |= {"liked": liked, "disliked": disliked}
    return {role: name for role, name in columns.items() if name is not None}


def items_of(column: str | None, by: By, artist: str | None = None) -> str:
    """The catalogue's column of what the items of the logs are.

    Parameters
    ----------
    column : str or None
        As named; None is that of `by`, so that a catalogue of artists needs no items.
    by : By
    artist : str or None
        The catalogue's column of artists.
    """
    columns = {By.artist: artist or "artist", By.album: "album", By.item: "item"}
    return column or columns[by]


Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="Folder to write; made if missing.", parser=path_of
    ),
]
OutputFile = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="A .parquet, .csv or .tsv file.", parser=path_of
    ),
]
Device = Annotated[str, typer.Option(help='"auto", "cpu", "cuda", "cuda:1", ...')]
BatchSize = Annotated[int, typer.Option(min=1, help="Clips per pass of the network.")]
Jobs = Annotated[int, typer.Option(min=1, help="Threads that decode files.")]
Seconds = Annotated[
    float | None, typer.Option(help="Hear only so much of the middle of each clip.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No bar and no summary.")]
Overwrite = Annotated[bool, typer.Option(help="Replace what is in OUTPUT.")]
Seed = Annotated[
    int,
    typer.Option(min=0, max=2**32 - 1, help="Same seed, same result (on one machine)."),
]

# Of listening logs.
Logs = Annotated[
    Path,
    typer.Argument(
        metavar="LOGS", help="csv, tsv or parquet; or a data set.", parser=path_of
    ),
]
Format = Annotated[
    str | None, typer.Option(help="A published data set, such as lastfm-360k.")
]
UserColumn = Annotated[str | None, typer.Option(help="Column. Default: user")]
ItemColumn = Annotated[str | None, typer.Option(help="Column. Default: item")]
CountColumn = Annotated[
    str | None, typer.Option(help="Column of plays. Default: a row is one play")
]
TimeColumn = Annotated[str | None, typer.Option(help="Column of times of plays.")]
LikedColumn = Annotated[
    str | None, typer.Option(help="Column of what users said they liked: 1 or 0.")
]
DislikedColumn = Annotated[
    str | None, typer.Option(help="Column of what users said they disliked: 1 or 0.")
]

# Of saved models.
Licence = Annotated[str, typer.Option(help="Of logs and audio.")]
Description = Annotated[str | None, typer.Option(help="Of logs and audio.")]
NonCommercial = Annotated[
    bool, typer.Option("--non-commercial", help="Loading the model then warns.")
]

Master = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Of the Spark cluster: spark://host:7077, yarn, local[4]. "
        "By default what Spark is configured for.",
    ),
]
