"""`userlogfeat fit-teacher`: from factors and audio to a saved model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.console import Result
from userlogfeat.cli.fitting import Fit, fit_command


@fit_command(
    "fit-teacher",
    epilog="""\b
Examples:
  userlogfeat fit-teacher tracks.csv factors -o teacher
  userlogfeat fit-teacher tracks.csv factors -o teacher --by artist \\
      --artist artist_id --licence "CC BY 4.0" --description "plays of 2024"

\b
--set reaches the other parameters of CFRegressor: head=mlp, duration=30,
channels=128 and precision=bf16 of se_cnn.

\b
Then:
  userlogfeat extract my_music/ -o features --weights teacher
  UserLogEmbedder("teacher")                            in Python""",
)
def fit_teacher(
    fit: Fit,
    catalogue: opt.Catalogue,
    factors: Annotated[Path, opt.path_argument("FACTORS", "Folder that fit-cf wrote.")],
    clip: opt.Clip = "clip",
    item: opt.CatalogueItem = None,
    artist: opt.Artist = None,
    by: opt.By = "item",
    network: Annotated[
        Literal["encoder", "se_cnn"],
        typer.Option(
            help="A head on a frozen encoder, or se_cnn, which is trained as a "
            "whole: 10,000 clips or more."
        ),
    ] = "encoder",
    encoder: Annotated[
        str, typer.Option(help="A registered encoder, such as MTT_musicnn.")
    ] = "MSD_musicnn",
) -> Result:
    """Train a network to predict the factors from audio, and save it.

    A frozen encoder embeds the clips; a small head learns the factors. Its
    regularisation is chosen with every artist on one side of each split, where the
    catalogue has artists. Or the network of Lee et al. (2019), se_cnn, is trained on
    the middle 30 s of each clip. Clips whose item the logs do not know are left out.
    """
    from userlogfeat.catalogue import read_catalogue
    from userlogfeat.estimators.cf_regressor import CFRegressor
    from userlogfeat.factor_files import (
        ITEMS,
        ITEMS_OF_TEACHER,
        read_factors,
        write_side,
    )

    if network == "encoder":
        teacher = fit.estimator(CFRegressor, encoder=encoder, verbose=0)
    else:
        teacher = fit.estimator(CFRegressor, network=network)
    known = read_factors(factors)
    items = opt.item_column(item, by, artist)
    table = read_catalogue(catalogue, clip=clip, item=items, artist=artist)
    rows, targets = table.align(known.item_factors, known.item_ids, by=by)
    table = table.subset(rows)
    groups = table.groups("artist") if "artist" in table.frame.columns else None
    teacher.fit(list(table.clips), targets, groups=groups)
    default = f"{len(rows)} clips of {catalogue.name}, factors of {factors.name}"
    notes = fit.training_data(default, factors=known.made_by)
    teacher.save(fit.output, training_data=notes)
    write_side(
        fit.output / ITEMS_OF_TEACHER,
        ITEMS,
        known.item_ids,
        known.item_factors,
        made_by=known.made_by,
    )
    values = {"output": fit.output, "clips": len(rows)}
    text = f"{len(rows)} clips trained the teacher in {fit.output}"
    if hasattr(teacher, "alpha_"):
        values["regularization"] = teacher.alpha_
        text += f", regularisation {teacher.alpha_:g}"
    return Result(values, text)
