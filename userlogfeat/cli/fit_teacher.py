"""`userlogfeat fit-teacher`: from factors and audio to a saved model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import print_line
from userlogfeat.cli.errors import check_output, explained
from userlogfeat.cli.fitting import training_data, with_settings


@app.command(
    "fit-teacher",
    epilog="""\b
Examples:
  userlogfeat fit-teacher tracks.csv factors -o teacher
  userlogfeat fit-teacher tracks.csv factors -o teacher --by artist \\
      --artist artist_id --licence "CC BY 4.0" --description "plays of 2024"

\b
--set reaches the other parameters of CFRegressor: model=MTT_musicnn, head=mlp,
channels=128 and precision=bf16 of se_cnn, duration=30.

\b
Then:
  userlogfeat extract my_music/ -o features --weights teacher
  UserLogEmbedder("teacher")                            in Python""",
)
def fit_teacher(
    catalogue: opt.Catalogue,
    factors: Annotated[Path, opt.path_argument("FACTORS", "Folder that fit-cf wrote.")],
    output: opt.Output,
    clip: opt.Clip = "clip",
    item: opt.CatalogueItem = None,
    artist: opt.Artist = None,
    by: opt.By = "item",
    network: Annotated[
        Literal["musicnn", "se_cnn"],
        typer.Option(
            help="A head on the frozen musicnn, or se_cnn, which is trained as a "
            "whole: 10,000 clips or more."
        ),
    ] = "musicnn",
    max_epochs: opt.Epochs = 100,
    checkpoint: opt.Checkpoint = None,
    settings: opt.Settings = None,
    licence: opt.Licence = "not stated",
    description: opt.Description = None,
    non_commercial: opt.NonCommercial = False,
    device: opt.Device = "auto",
    batch_size: opt.BatchSize = 32,
    n_jobs: opt.Jobs = 2,
    random_state: opt.Seed = 0,
    overwrite: opt.Overwrite = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train a network to predict the factors from audio, and save it.

    The frozen musicnn network embeds the clips; a small head learns the factors. Its
    regularisation is chosen with every artist on one side of each split, where the
    catalogue has artists. Or the network of Lee et al. (2019), se_cnn, is trained on
    the middle 30 s of each clip. Clips whose item the logs do not know are left out.
    """
    with explained():
        from userlogfeat.catalogue import read_catalogue
        from userlogfeat.estimators.cf_regressor import CFRegressor
        from userlogfeat.factor_files import read_factors

        check_output(output, overwrite)
        teacher = CFRegressor(
            network=network,
            max_epochs=max_epochs,
            checkpoint=checkpoint,
            verbose=0 if quiet or network == "musicnn" else 1,
            device=device,
            batch_size=batch_size,
            n_jobs=n_jobs,
            random_state=random_state,
        )
        teacher = with_settings(teacher, settings)
        known = read_factors(factors)
        items = opt.item_column(item, by, artist)
        table = read_catalogue(catalogue, clip=clip, item=items, artist=artist)
        rows, targets = table.align(known.item_factors, known.item_ids, by=by)
        table = table.subset(rows)
        groups = table.groups("artist") if "artist" in table.frame.columns else None
        teacher.fit(list(table.clips), targets, groups=groups)
        default = f"{len(rows)} clips of {catalogue.name}, factors of {factors.name}"
        notes = training_data(
            description, default, licence, non_commercial, factors=known.made_by
        )
        teacher.save(output, training_data=notes)
    if not quiet:
        chosen = ""
        if hasattr(teacher, "alpha_"):
            chosen = f", regularisation {teacher.alpha_:g}"
        print_line(f"{len(rows)} clips trained the teacher in {output}{chosen}")
