"""`userlogfeat fit-cf`: from logs to factors."""

from enum import StrEnum
from pathlib import PurePath
from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.errors import check_output, explained
from userlogfeat.cli.options import (
    Backend,
    CountColumn,
    Format,
    ItemColumn,
    Master,
    Output,
    Overwrite,
    Quiet,
    Seed,
    UserColumn,
    named_columns,
    path_of,
)
from userlogfeat.cli.telling import tell


class Weights(StrEnum):
    """What the logs' matrix holds."""

    count = "count"
    binary = "binary"


def _source(value):
    """A path, or the URL of a file system that Spark reads."""
    return value if "://" in value else str(path_of(value))


@app.command(
    "fit-cf",
    epilog="""\b
Examples:
  userlogfeat fit-cf plays.csv -o factors --user user_id --item track_id --count n
  userlogfeat fit-cf hetrec2011-lastfm-2k/ -o factors --format hetrec-lastfm-2k \\
      --alpha 10
  userlogfeat fit-cf s3a://logs/plays/ -o factors --backend spark \\
      --master spark://host:7077

\b
OUTPUT gets user_factors.parquet and item_factors.parquet, one row an id:
  polars.read_parquet("factors/item_factors.parquet")     columns id, factors""",
)
def fit_cf(
    logs: Annotated[
        str,
        typer.Argument(
            metavar="LOGS",
            help="csv, tsv or parquet; or a data set. On Spark also a URL.",
            parser=_source,
        ),
    ],
    output: Output,
    format: Format = None,
    user: UserColumn = None,
    item: ItemColumn = None,
    count: CountColumn = None,
    weights: Annotated[
        Weights, typer.Option(help="Learn from numbers of plays, or from ones.")
    ] = Weights.count,
    min_users_per_item: Annotated[int, typer.Option(min=0)] = 1,
    min_items_per_user: Annotated[int, typer.Option(min=0)] = 1,
    factors: Annotated[int, typer.Option(min=1, help="Length of a factor.")] = 40,
    alpha: Annotated[
        float, typer.Option(help="Confidence of a play: c = 1 + alpha * count.")
    ] = 40.0,
    regularization: Annotated[float, typer.Option(help="Of the factors.")] = 0.01,
    iterations: Annotated[int, typer.Option(min=1, help="Of ALS.")] = 15,
    seed: Seed = 0,
    backend: Annotated[
        Backend, typer.Option(help="This machine, or a Spark cluster.")
    ] = Backend.local,
    master: Master = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Learn factors of users and items from listening logs (Hu et al. 2008).

    Alpha matters: try a few, and compare how well plays you held out are ranked.
    """
    with explained():
        from userlogfeat.estimators.cf import CFEmbedding
        from userlogfeat.factor_files import (
            DIGEST,
            Factors,
            digest_users,
            share_of_users,
            write_factors,
        )
        from userlogfeat.logs import read_logs

        check_output(output, overwrite)
        on_spark = backend is Backend.spark
        if on_spark:
            from userlogfeat._spark import spark_session

            spark_session(master, purpose="--backend spark")
        elif master is not None:
            raise ValueError(f"--master {master} is of no use without --backend spark.")
        interactions = read_logs(
            logs,
            format,
            **named_columns(user, item, count),
            weights=weights.value,
            min_users_per_item=min_users_per_item,
            min_items_per_user=min_items_per_user,
            backend=backend.value,
        )
        cf = CFEmbedding(
            n_factors=factors,
            regularization=regularization,
            alpha=alpha,
            iterations=iterations,
            backend="spark" if on_spark else "implicit",
            random_state=seed,
        ).fit(interactions if on_spark else interactions.user_items)
        if on_spark:
            user_ids, item_ids = cf.user_ids_, cf.item_ids_
        else:
            user_ids, item_ids = interactions.user_ids, interactions.item_ids
        made_by = {
            "logs": PurePath(logs).name,
            "weights": weights.value,
            **cf.get_params(),
        }
        popularity = None if on_spark else share_of_users(interactions.user_items)
        made_by[DIGEST] = digest_users(user_ids, cf.user_factors_)
        write_factors(
            output,
            Factors(
                user_ids,
                cf.user_factors_,
                item_ids,
                cf.item_factors_,
                made_by=made_by,
                popularity=popularity,
            ),
        )
    if not quiet:
        tell(f"{interactions} -> {factors} factors each, in {output}")
