"""`userlogfeat fit-metric`: from audio and logs to a model that lies among users."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.errors import check_output, explained
from userlogfeat.cli.options import (
    BatchSize,
    By,
    CountColumn,
    Description,
    Device,
    DislikedColumn,
    Format,
    ItemColumn,
    Jobs,
    Licence,
    LikedColumn,
    NonCommercial,
    Output,
    Overwrite,
    Precision,
    Quiet,
    Seed,
    UserColumn,
    items_of,
    named_columns,
    path_of,
)
from userlogfeat.cli.telling import tell

SHORTEST_CONTEXT = 3.0  # in s; the pools leave nothing of less


class Rule(StrEnum):
    """What makes a like, and a dislike."""

    played = "played"
    explicit = "explicit"
    counts = "counts"
    count_ranks = "count_ranks"
    played_ratio = "played_ratio"
    skips = "skips"


class Objective(StrEnum):
    """What the network minimises."""

    metric = "metric"
    multi = "multi"
    binary = "binary"


@app.command(
    "fit-metric",
    epilog="""\b
Examples:
  userlogfeat fit-metric tracks.csv plays.csv -o metric --users users
  userlogfeat fit-metric tracks.csv plays.csv -o metric --users users \\
      --feedback explicit --liked thumb_up --disliked thumb_down
  userlogfeat fit-metric tracks.csv plays.csv -o metric \\
      --feedback played_ratio --played seconds --length duration

\b
Likes and dislikes (--feedback):
  played         every item played is liked; dislikes are drawn from the others
  explicit       as users said, in the columns --liked and --disliked
  counts         liked from 5 plays on, disliked up to 1
  count_ranks    of a user's items the quarter played most, and the one played least
  played_ratio   mean share of the item played: 0.8 and more, 0.2 and less
  skips          share of the plays not skipped: 0.8 and more, 0.2 and less
--liked-from and --disliked-to change the numbers.

\b
Then:
  userlogfeat recommend metric new_tracks/ -o new.csv
  userlogfeat extract my_music/ -o features --weights metric
  UserLogEmbedder("metric", layer="embedding")          in Python
  MetricEmbedder.load("metric")                         the same, with its users""",
)
def fit_metric(
    catalogue: Annotated[
        Path,
        typer.Argument(
            metavar="CATALOGUE",
            help="csv, tsv or parquet: which clip is which item.",
            parser=path_of,
        ),
    ],
    logs: Annotated[
        Path,
        typer.Argument(metavar="LOGS", help="csv, tsv or parquet.", parser=path_of),
    ],
    output: Output,
    users: Annotated[
        Path | None,
        typer.Option(
            help="Folder that fit-users or fit-cf wrote. Default: users are learned "
            "beside the network, and new ones cannot be added.",
            parser=path_of,
        ),
    ] = None,
    clip: Annotated[str, typer.Option(help="CATALOGUE's column of paths.")] = "clip",
    catalogue_item: Annotated[
        str | None,
        typer.Option(
            help="CATALOGUE's column of the logs' items. Default: item, or as --by says"
        ),
    ] = None,
    artist: Annotated[
        str | None, typer.Option(help="CATALOGUE's column. Default: artist")
    ] = None,
    by: Annotated[By, typer.Option(help="What the items of the logs are.")] = By.item,
    format: Format = None,
    user: UserColumn = None,
    item: ItemColumn = None,
    feedback: Annotated[
        Rule, typer.Option(help="What is a like, and a dislike: see below.")
    ] = Rule.played,
    count: CountColumn = None,
    liked: LikedColumn = None,
    disliked: DislikedColumn = None,
    played: Annotated[
        str | None, typer.Option(help="Column of the share, or the time, played.")
    ] = None,
    length: Annotated[
        str | None, typer.Option(help="Column of the item's length, as --played.")
    ] = None,
    skipped: Annotated[str | None, typer.Option(help="Column: 1 or 0.")] = None,
    liked_from: Annotated[float | None, typer.Option(help="Of the rule.")] = None,
    disliked_to: Annotated[float | None, typer.Option(help="Of the rule.")] = None,
    sample_dislikes: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Dislikes to draw, for every like, from what a user never played. "
            "Default: 1 with --feedback played, else 0",
        ),
    ] = None,
    min_liked: Annotated[
        int, typer.Option(min=1, help="Users with fewer teach nothing.")
    ] = 10,
    min_disliked: Annotated[int, typer.Option(min=1, help="The same.")] = 10,
    objective: Annotated[
        Objective, typer.Option(help="Of the paper's table 1.")
    ] = Objective.metric,
    negatives: Annotated[
        int, typer.Option(min=1, help="Disliked clips beside each liked one.")
    ] = 1,
    context: Annotated[
        float, typer.Option(min=SHORTEST_CONTEXT, help="Seconds heard at once.")
    ] = 3.0,
    duration: Annotated[
        float, typer.Option(help="Seconds of a clip, from its beginning.")
    ] = 30.0,
    channels: Annotated[int, typer.Option(min=1, help="Of the network.")] = 128,
    units: Annotated[
        int, typer.Option(min=1, help="Length of an embedding, without --users.")
    ] = 40,
    epochs: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder: a killed training goes on from it.")
    ] = None,
    licence: Licence = "not stated",
    description: Description = None,
    non_commercial: NonCommercial = False,
    device: Device = "auto",
    precision: Annotated[
        Precision, typer.Option(help="auto: bf16 on a GPU, fp32 elsewhere.")
    ] = Precision.auto,
    batch_size: BatchSize = 256,
    jobs: Jobs = 2,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Teach a network to lie near those who like what it hears (Chen et al. 2021).

    The model recommends tracks that nobody has played. The epochs are validated on
    artists that are not learned from, where the catalogue has artists.
    """
    with explained():
        from userlogfeat._files import fill_folder
        from userlogfeat.catalogue import read_catalogue
        from userlogfeat.estimators.metric import MetricEmbedder
        from userlogfeat.factor_files import DIGEST
        from userlogfeat.recommendation.users import keep_users, read_digest

        check_output(output, overwrite)
        items = items_of(catalogue_item, by, artist)
        table = read_catalogue(catalogue, clip=clip, item=items, artist=artist)
        told = _read_feedback(
            logs,
            feedback.value,
            format,
            named_columns(user, item, count, liked=liked, disliked=disliked),
            {"played": played, "length": length, "skipped": skipped},
            {"liked_from": liked_from, "disliked_to": disliked_to},
            sample_dislikes,
            seed,
        )
        verdicts = told.keep_users(min_liked=min_liked, min_disliked=min_disliked)
        y, embeddings, ids = _judge_clips(table.column(by.value), verdicts, users)
        judged = y.getnnz(axis=1) > 0
        table, y = table.subset(judged), y[judged]
        groups = table.groups("artist") if "artist" in table.frame.columns else None
        embedder = MetricEmbedder(
            "lookup" if users is None else embeddings,
            objective=objective.value,
            n_negatives=negatives,
            n_units=units,
            channels=channels,
            context=context,
            duration=duration,
            max_epochs=epochs,
            batch_size=batch_size,
            n_jobs=jobs,
            device=device,
            precision=precision.value,
            checkpoint=checkpoint,
            random_state=seed,
            verbose=0 if quiet else 1,
        ).fit(list(table.clips), y, groups=groups)
        default = f"{len(table)} clips of {catalogue.name}, {logs.name}"
        with fill_folder(output) as folder:
            keep_users(folder, users, ids, embedder)
            embedder.save(
                folder,
                training_data={
                    "description": description or default,
                    "licence": licence,
                    "non_commercial": non_commercial,
                    "feedback": repr(verdicts),
                    DIGEST: read_digest(folder),
                },
            )
    if not quiet:
        losses = [epoch["valid_loss"] for epoch in embedder.history_]
        tell(f"{verdicts}")
        n_few = len(told.user_ids) - len(verdicts.user_ids)
        if n_few:
            tell(
                f"{n_few} of {len(told.user_ids)} users taught nothing: fewer than "
                f"{min_liked} likes or {min_disliked} dislikes"
            )
        tell(
            f"{len(table)} of {len(judged)} clips taught the model in {output} (best "
            f"of {len(losses)} epochs: {losses.index(min(losses)) + 1})"
        )


def _read_feedback(logs, rule, format, named, of_plays, bounds, n_per_like, seed):
    """Verdicts of the logs by a rule, with drawn dislikes where they are asked for."""
    from userlogfeat.feedback import (
        RULES_OF_PLAYS,
        feedback_of_logs,
        read_feedback,
        sample_dislikes,
    )
    from userlogfeat.logs import read_logs

    if n_per_like is None:
        n_per_like = 1.0 if rule == "played" else 0.0
    if rule == "played" and n_per_like == 0:
        raise ValueError(
            "--feedback played knows no dislikes: draw some, --sample-dislikes 1."
        )
    _refuse_unused(rule, named | of_plays)
    if rule in RULES_OF_PLAYS:
        if format is not None or n_per_like:
            raise ValueError(
                f"--feedback {rule} takes neither --format nor --sample-dislikes."
            )
        return read_feedback(logs, rule, **named, **_given(of_plays), **bounds)
    plays = read_logs(logs, format, **named)
    verdicts = feedback_of_logs(plays, rule, **bounds)
    if n_per_like:
        verdicts = sample_dislikes(
            verdicts, plays.user_items, n_per_like=n_per_like, random_state=seed
        )
    return verdicts


def _refuse_unused(rule, columns):
    """Raise where a column is named that the rule does not look at."""
    used = {
        "explicit": {"count", "liked", "disliked"},
        "counts": {"count"},
        "count_ranks": {"count"},
        "played": {"count"},
        "played_ratio": {"played", "length"},
        "skips": {"skipped"},
    }[rule]
    unused = set(_given(columns)) - used - {"user", "item"}
    if unused:
        raise ValueError(
            f"Got --{min(unused)}, which --feedback {rule} does not look at. Leave it "
            "out, or choose another rule."
        )


def _given(columns):
    return {role: name for role, name in columns.items() if name is not None}


def _judge_clips(items, verdicts, folder):
    """Verdicts on clips, users' embeddings, and users' ids, in one order.

    Of a folder all users are kept, those without verdicts too.
    """
    import numpy as np

    from userlogfeat.recommendation.users import (
        move,
        nothing_shared,
        positions,
        read_users,
    )

    y = verdicts.of_clips(items)
    if folder is None:
        return y, None, verdicts.user_ids
    ids, embeddings = read_users(folder)
    columns = positions(verdicts.user_ids, ids)
    if (columns < 0).all():
        raise ValueError(nothing_shared("users", verdicts.user_ids, ids))
    shape = (y.shape[0], len(ids))
    return move(y, np.arange(len(items)), columns, shape), embeddings, ids
