"""`userlogfeat fit-metric`: from audio and logs to a model that lies among users."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result
from userlogfeat.cli.fitting import AudioFit, best_epoch

Rule = Literal["played", "explicit", "counts", "count_ranks", "played_ratio", "skips"]
COLUMNS_OF_RULES = {  # what each rule looks at
    "played": {"count"},
    "explicit": {"count", "liked", "disliked"},
    "counts": {"count"},
    "count_ranks": {"count"},
    "played_ratio": {"played", "length"},
    "skips": {"skipped"},
}


@dataclass
class MetricFit(AudioFit):
    """Options of fit-metric."""

    batch_size: opt.BatchSize = 256


@app.command("fit-metric")
def fit_metric(
    catalogue: opt.Catalogue,
    logs: opt.Logs,
    named: opt.LogColumns,
    users: Path | None = None,
    clip: opt.Clip = "clip",
    catalogue_item: opt.CatalogueItem = None,
    artist: opt.Artist = None,
    by: opt.By = "item",
    rule: Annotated[Rule, typer.Option("--feedback")] = "played",
    liked: opt.Liked = None,
    disliked: opt.Disliked = None,
    played: str | None = None,
    length: str | None = None,
    skipped: str | None = None,
    liked_from: float | None = None,
    disliked_to: float | None = None,
    n_per_like: Annotated[
        float | None, typer.Option("--sample-dislikes", min=0)
    ] = None,
    min_liked: Annotated[int, typer.Option(min=1)] = 10,
    min_disliked: Annotated[int, typer.Option(min=1)] = 10,
    *,
    fit: MetricFit,
) -> Result:
    r"""Train a network to place audio near those who like it (Chen et al. 2021).

    The model recommends tracks that nobody has played. The epochs are validated on
    artists that are not trained on, where the catalogue has artists.

    Parameters
    ----------
    users
        Folder that fit-users or fit-cf wrote. Default: users are learned beside the
        network, and new ones cannot be added.
    rule
        What is a like, and a dislike: see below.
    played
        Column of the share, or the time, played.
    length
        Column of the item's length, as --played.
    skipped
        Column: 1 or 0.
    liked_from
        Lowest number that is a like.
    disliked_to
        Highest number that is a dislike.
    n_per_like
        Dislikes to draw, for every like, from what a user never played. Default: 1 with
        --feedback played, else 0
    min_liked
        Users with fewer likes are left out.
    min_disliked
        Users with fewer dislikes are left out.

    Examples
    --------
      userlogfeat fit-metric tracks.csv plays.csv -o metric --users users
      userlogfeat fit-metric tracks.csv plays.csv -o metric --users users \
          --feedback explicit --liked thumb_up --disliked thumb_down
      userlogfeat fit-metric tracks.csv plays.csv -o metric \
          --feedback played_ratio --played seconds --length duration

    Likes and dislikes (--feedback):
      played         every item played is liked; dislikes are drawn from the others
      explicit       as users said, in the columns --liked and --disliked
      counts         liked from 5 plays on, disliked up to 1
      count_ranks    of a user's items the quarter played most, and the one played least
      played_ratio   mean share of the item played: 0.8 and more, 0.2 and less
      skips          share of the plays not skipped: 0.8 and more, 0.2 and less
    --liked-from and --disliked-to change the numbers.

    --set reaches the other parameters of MetricEmbedder: objective=binary,
    n_negatives=4, context=10 and duration=60 (seconds), channels=64, n_units=64,
    precision=bf16.

    Then:
      userlogfeat recommend metric new_tracks/ -o new.csv
      userlogfeat extract my_music/ -o features --weights metric
      UserLogEmbedder("metric", layer="embedding")          in Python
      MetricEmbedder.load("metric")                         the same, with its users
    """
    from userlogfeat._files import fill_folder
    from userlogfeat.catalogue import read_catalogue
    from userlogfeat.estimators.metric import MetricEmbedder
    from userlogfeat.factor_files import DIGEST
    from userlogfeat.recommendation.users import keep_users, read_digest

    embedder = fit.estimator(MetricEmbedder)
    items = opt.item_column(catalogue_item, by, artist)
    table = read_catalogue(catalogue, clip=clip, item=items, artist=artist)
    columns = opt.given(
        count=named.count,
        liked=liked,
        disliked=disliked,
        played=played,
        length=length,
        skipped=skipped,
    )
    _check_columns(rule, columns)
    columns |= named.named()
    bounds = {"liked_from": liked_from, "disliked_to": disliked_to}
    sampling = {"n_per_like": n_per_like, "random_state": fit.random_state}
    feedback = _read_feedback(logs, rule, named.format, columns, bounds, **sampling)
    kept = feedback.keep_users(min_liked=min_liked, min_disliked=min_disliked)
    y, embeddings, ids = _feedback_on_clips(table.column(by), kept, users)
    rated = y.getnnz(axis=1) > 0
    table, y = table.subset(rated), y[rated]
    groups = table.groups("artist") if "artist" in table.frame.columns else None
    embedder.set_params(users="lookup" if users is None else embeddings)
    embedder.fit(list(table.clips), y, groups=groups)
    with fill_folder(fit.output) as folder:
        keep_users(folder, users, ids, embedder)
        default = f"{len(table)} clips of {catalogue.name}, {logs.name}"
        more = {"feedback": repr(kept), DIGEST: read_digest(folder)}
        embedder.save(folder, training_data=fit.training_data(default, **more))
    epochs, shown = best_epoch(embedder.history_)
    n_users, n_kept = len(feedback.user_ids), len(kept.user_ids)
    values = {"output": fit.output, "clips": len(table), "users": n_kept} | epochs
    text = (
        f"{kept}\n{len(table)} of {len(rated)} clips trained the model in "
        f"{fit.output} ({shown})"
    )
    if n_kept < n_users:
        few = f"fewer than {min_liked} likes or {min_disliked} dislikes"
        text += f"\n{n_users - n_kept} of {n_users} users were left out: {few}"
    return Result(values, text)


def _check_columns(rule, columns):
    """Refuse a column that the rule does not look at."""
    unused = set(columns) - COLUMNS_OF_RULES[rule]
    if unused:
        raise ValueError(
            f"Got --{min(unused)}, which --feedback {rule} does not look at. Leave it "
            "out, or choose another rule."
        )


def _read_feedback(logs, rule, format, columns, bounds, *, n_per_like, random_state):
    """Likes and dislikes in logs, by a rule, with drawn dislikes if asked for."""
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
    if rule in RULES_OF_PLAYS:
        if format is not None or n_per_like:
            raise ValueError(
                f"--feedback {rule} takes neither --format nor --sample-dislikes."
            )
        return read_feedback(logs, rule, **columns, **bounds)
    plays = read_logs(logs, format, **columns)
    feedback = feedback_of_logs(plays, rule, **bounds)
    if n_per_like:
        feedback = sample_dislikes(
            feedback,
            plays.user_items,
            n_per_like=n_per_like,
            random_state=random_state,
        )
    return feedback


def _feedback_on_clips(items, feedback, folder):
    """Likes and dislikes of clips, users' embeddings, and users' ids, in one order.

    All users of a folder are kept, also those who liked and disliked nothing.
    """
    import numpy as np

    from userlogfeat._ids import nothing_shared, positions
    from userlogfeat.recommendation.users import read_users
    from userlogfeat.users.histories import move

    y = feedback.of_clips(items)
    if folder is None:
        return y, None, feedback.user_ids
    ids, embeddings = read_users(folder)
    columns = positions(feedback.user_ids, ids)
    if (columns < 0).all():
        raise ValueError(nothing_shared("users", feedback.user_ids, ids))
    shape = (y.shape[0], len(ids))
    return move(y, np.arange(len(items)), columns, shape), embeddings, ids
