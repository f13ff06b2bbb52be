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


def path_of(value):
    """A path as given; an empty one, of an unset variable of the shell, is refused."""
    if not str(value):
        raise typer.BadParameter('it is empty. For the present folder pass ".".')
    return Path(value)


Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="Folder to write; made if missing.", parser=path_of
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
