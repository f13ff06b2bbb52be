"""`userlogfeat fit-cf`: from logs to factors."""

from pathlib import PurePath
from typing import Annotated, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import print_line
from userlogfeat.cli.errors import check_output, explained
from userlogfeat.cli.fitting import with_settings


def _source(value):
    """A path, or the URL of a file system that Spark reads."""
    return value if "://" in value else str(opt.path_of(value))


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
--set reaches the other parameters of CFEmbedding: regularization=0.1, iterations=30.

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
    output: opt.Output,
    format: opt.Format = None,
    user: opt.User = None,
    item: opt.Item = None,
    count: opt.Count = None,
    weights: Annotated[
        Literal["count", "binary"],
        typer.Option(help="Learn from numbers of plays, or from ones."),
    ] = "count",
    min_users_per_item: opt.MinCount = 1,
    min_items_per_user: opt.MinCount = 1,
    n_factors: Annotated[
        int, typer.Option("--factors", min=1, help="Length of a factor.")
    ] = 40,
    alpha: Annotated[
        float, typer.Option(help="Confidence of a play: c = 1 + alpha * count.")
    ] = 40.0,
    settings: opt.Settings = None,
    random_state: opt.Seed = 0,
    backend: opt.Backend = "local",
    master: opt.Master = None,
    overwrite: opt.Overwrite = False,
    quiet: opt.Quiet = False,
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
        on_spark = backend == "spark"
        if on_spark:
            from userlogfeat._spark import spark_session

            spark_session(master, purpose="--backend spark")
        elif master is not None:
            raise ValueError(f"--master {master} is of no use without --backend spark.")
        cf = CFEmbedding(
            n_factors=n_factors,
            alpha=alpha,
            backend="spark" if on_spark else "implicit",
            random_state=random_state,
        )
        cf = with_settings(cf, settings)
        interactions = read_logs(
            logs,
            format,
            **opt.given(user=user, item=item, count=count),
            weights=weights,
            min_users_per_item=min_users_per_item,
            min_items_per_user=min_items_per_user,
            backend=backend,
        )
        cf.fit(interactions if on_spark else interactions.user_items)
        # Identifiers of logs on Spark are known once they are fitted.
        ids = (
            (cf.user_ids_, cf.item_ids_)
            if on_spark
            else (
                interactions.user_ids,
                interactions.item_ids,
            )
        )
        made_by = {"logs": PurePath(logs).name, "weights": weights, **cf.get_params()}
        made_by[DIGEST] = digest_users(ids[0], cf.user_factors_)
        popularity = None if on_spark else share_of_users(interactions.user_items)
        factors = (ids[0], cf.user_factors_, ids[1], cf.item_factors_)
        write_factors(output, Factors(*factors, made_by=made_by, popularity=popularity))
    if not quiet:
        print_line(f"{interactions} -> {cf.n_factors} factors each, in {output}")
