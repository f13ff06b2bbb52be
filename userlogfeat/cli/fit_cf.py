"""`userlogfeat fit-cf`: from logs to factors."""

from enum import StrEnum
from typing import Annotated

import typer

from userlogfeat.cli.application import app
from userlogfeat.cli.errors import check_output, explained
from userlogfeat.cli.options import (
    CountColumn,
    Format,
    ItemColumn,
    Logs,
    Output,
    Overwrite,
    Quiet,
    Seed,
    UserColumn,
    named_columns,
)
from userlogfeat.cli.telling import tell


class Weights(StrEnum):
    """What the logs' matrix holds."""

    count = "count"
    binary = "binary"


@app.command(
    "fit-cf",
    epilog="""\b
Examples:
  userlogfeat fit-cf plays.csv -o factors --user user_id --item track_id --count n
  userlogfeat fit-cf hetrec2011-lastfm-2k/ -o factors --format hetrec-lastfm-2k \\
      --alpha 10

\b
OUTPUT gets user_factors.parquet and item_factors.parquet, one row an id:
  polars.read_parquet("factors/item_factors.parquet")     columns id, factors""",
)
def fit_cf(
    logs: Logs,
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
    overwrite: Overwrite = False,
    quiet: Quiet = False,
):
    """Learn factors of users and items from listening logs (Hu et al. 2008).

    Alpha matters: try a few, and compare how well plays you held out are ranked.
    """
    with explained():
        from userlogfeat.estimators.cf import CFEmbedding
        from userlogfeat.factor_files import (
            DIGEST,
            Factors,
            digest_users,
            write_factors,
        )
        from userlogfeat.logs import read_logs

        check_output(output, overwrite)
        interactions = read_logs(
            logs,
            format,
            **named_columns(user, item, count),
            weights=weights.value,
            min_users_per_item=min_users_per_item,
            min_items_per_user=min_items_per_user,
        )
        cf = CFEmbedding(
            n_factors=factors,
            regularization=regularization,
            alpha=alpha,
            iterations=iterations,
            random_state=seed,
        ).fit(interactions.user_items)
        made_by = {"logs": logs.name, "weights": weights.value, **cf.get_params()}
        made_by[DIGEST] = digest_users(interactions.user_ids, cf.user_factors_)
        write_factors(
            output,
            Factors(
                interactions.user_ids,
                cf.user_factors_,
                interactions.item_ids,
                cf.item_factors_,
                made_by=made_by,
            ),
        )
    if not quiet:
        tell(f"{interactions} -> {factors} factors each, in {output}")
