"""`userlogfeat fit-teacher`: from factors and audio to a saved model."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.errors import check_output, explained
from userlogfeat.cli.options import (
    BatchSize,
    By,
    Description,
    Device,
    Jobs,
    Licence,
    NonCommercial,
    Output,
    Overwrite,
    Precision,
    Quiet,
    Seconds,
    Seed,
    items_of,
    path_of,
)
from userlogfeat.cli.telling import tell


class Head(StrEnum):
    """What learns the factors."""

    ridge = "ridge"
    mlp = "mlp"


class Network(StrEnum):
    """What hears the clips."""

    musicnn = "musicnn"
    se_cnn = "se_cnn"


@app.command(
    "fit-teacher",
    epilog="""\b
Examples:
  userlogfeat fit-teacher tracks.csv factors -o teacher
  userlogfeat fit-teacher tracks.csv factors -o teacher --by artist \\
      --artist artist_id --licence "CC BY 4.0" --description "plays of 2024"

\b
Then:
  userlogfeat extract my_music/ -o features --weights teacher
  UserLogEmbedder("teacher")                            in Python""",
)
def fit_teacher(
    catalogue: Annotated[
        Path,
        typer.Argument(
            metavar="CATALOGUE",
            help="csv, tsv or parquet: which clip is which item.",
            parser=path_of,
        ),
    ],
    factors: Annotated[
        Path,
        typer.Argument(
            metavar="FACTORS", help="Folder that fit-cf wrote.", parser=path_of
        ),
    ],
    output: Output,
    clip: Annotated[str, typer.Option(help="Column of paths.")] = "clip",
    item: Annotated[
        str | None,
        typer.Option(help="Column of the logs' items. Default: item, or as --by says"),
    ] = None,
    artist: Annotated[str | None, typer.Option(help="Column. Default: artist")] = None,
    by: Annotated[By, typer.Option(help="What the items of the logs are.")] = By.item,
    network: Annotated[
        Network, typer.Option(help="se_cnn is trained whole: 10,000 clips or more.")
    ] = Network.musicnn,
    model: Annotated[str, typer.Option(help="The musicnn that hears.")] = "MSD_musicnn",
    head: Annotated[Head, typer.Option(help="What learns on musicnn.")] = Head.ridge,
    channels: Annotated[int, typer.Option(help="Of se_cnn: 32 to 256.")] = 64,
    epochs: Annotated[int, typer.Option(help="At most so many.")] = 100,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder: a killed training goes on from it.")
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="bf16 trains se_cnn about twice as fast.")
    ] = Precision.auto,
    licence: Licence = "not stated",
    description: Description = None,
    non_commercial: NonCommercial = False,
    duration: Seconds = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    jobs: Jobs = 2,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Teach a network to hear the factors, and save it.

    The frozen musicnn network hears the clips; a small head learns the factors. Its
    regularisation is chosen with every artist on one side of each split, where the
    catalogue has artists. Or the network of Lee et al. (2019), se_cnn, is trained on
    the middle 30 s of each clip. Clips whose item the logs do not know are left out.
    """
    with explained():
        from userlogfeat.catalogue import read_catalogue
        from userlogfeat.estimators.cf_regressor import CFRegressor
        from userlogfeat.factor_files import read_factors

        check_output(output, overwrite)
        known = read_factors(factors)
        items = items_of(item, by, artist)
        table = read_catalogue(catalogue, clip=clip, item=items, artist=artist)
        rows, targets = table.align(known.item_factors, known.item_ids, by=by.value)
        table = table.subset(rows)
        groups = table.groups("artist") if "artist" in table.frame.columns else None
        teacher = CFRegressor(
            network=network.value,
            model=model,
            head=head.value,
            channels=channels,
            max_epochs=epochs,
            checkpoint=checkpoint,
            precision=precision.value,
            verbose=0 if quiet or network is Network.musicnn else 1,
            duration=duration,
            device=device,
            batch_size=batch_size,
            n_jobs=jobs,
            random_state=seed,
        ).fit(list(table.clips), targets, groups=groups)
        default = f"{len(rows)} clips of {catalogue.name}, factors of {factors.name}"
        teacher.save(
            output,
            training_data={
                "description": description or default,
                "licence": licence,
                "non_commercial": non_commercial,
                "factors": known.made_by,
            },
        )
    if not quiet:
        chosen = ""
        if hasattr(teacher, "alpha_"):
            chosen = f", regularisation {teacher.alpha_:g}"
        tell(f"{len(rows)} clips taught the teacher in {output}{chosen}")
