"""`userlogfeat fit-cf`: from logs to factors."""

from datetime import timedelta
from pathlib import Path, PurePath
from typing import Annotated, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result, print_line
from userlogfeat.cli.fitting import Fit, sizes_of

# What --tune chooses from. The regularization goes with alpha.
GRID = {"alpha": [1.0, 3.0, 10.0, 30.0], "n_factors": [10, 20, 40, 80]}


def _source(value):
    """A path, or the URL of a file system that Spark reads."""
    return value if "://" in value else str(opt.path_of(value))


@app.command("fit-cf")
def fit_cf(
    logs: Annotated[str, typer.Argument(parser=_source)],
    columns: opt.TrainingLogs,
    since: str | None = None,
    until: str | None = None,
    half_life: Annotated[
        float | None, typer.Option("--half-life", metavar="DAYS", min=0)
    ] = None,
    n_factors: Annotated[
        int | None, typer.Option("--factors", min=1, show_default="40")
    ] = None,
    confidence: Annotated[
        Literal["log", "binary", "linear"] | None, typer.Option(show_default="log")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(show_default="10; 40 with binary and linear")
    ] = None,
    regularization: Annotated[
        float | None, typer.Option(show_default="grows with the logs")
    ] = None,
    tune: Annotated[bool, typer.Option("--tune")] = False,
    update: Path | None = None,
    *,
    spark: opt.Spark,
    fit: Fit,
) -> Result:
    r"""Learn factors of users and items from listening logs (Hu et al. 2008).

    Parameters
    ----------
    logs
        csv, tsv, parquet, or a folder of these; or a data set. On Spark also a URL.
    since
        Learn from plays from then on, such as 2026-03-01; needs --time.
    until
        Learn from plays before then.
    half_life
        Age of a play, in days, after which it counts half.
    n_factors
        Length of a factor.
    confidence
        What plays are worth: their logarithm, in units of the median; 1, however many;
        or their number.
    alpha
        Confidence that this adds: c = 1 + alpha * w.
    regularization
        Weight of the factors' squared lengths.
    tune
        Choose alpha and the number of factors by the ranking of held-out plays: 16 fits
        more.
    update
        Folder of fit-cf: go on from its factors, in their space, so that teachers and
        features still fit. LOGS hold all plays, old and new.

    Examples
    --------
      userlogfeat fit-cf plays.csv -o factors --user user_id --item track_id --count n
      userlogfeat fit-cf hetrec2011-lastfm-2k/ -o factors --format hetrec-lastfm-2k
      userlogfeat fit-cf plays.csv -o factors --confidence binary   as Lee et al. 2019
      userlogfeat fit-cf plays.csv -o factors --tune
      userlogfeat fit-cf days/ -o factors --time played_at --since 2026-01-01
      userlogfeat fit-cf days/ -o next_week --update factors
      userlogfeat fit-cf s3a://logs/plays/ -o factors --backend spark \
          --master spark://host:7077 --conf spark.executor.memory=8g

    --set reaches the other parameters of CFEmbedding: iterations=30, epsilon=60.

    OUTPUT gets user_factors.parquet and item_factors.parquet, one row per id:
      polars.read_parquet("factors/item_factors.parquet")     columns id, factors
    """
    from userlogfeat._progress import is_shown
    from userlogfeat._spark import slower_than_here
    from userlogfeat.estimators.cf import CFEmbedding

    on_spark = spark.backend == "spark"
    if tune and alpha is not None:
        raise ValueError("Got --alpha and --tune, which chooses it: leave one out.")
    if tune and on_spark:
        raise ValueError(
            "--tune works on this machine only. Tune on part of the logs, and pass the "
            "values to --backend spark."
        )
    settings = opt.given(
        n_factors=n_factors,
        alpha=alpha,
        regularization=regularization,
        confidence=confidence,
    )
    if update is not None and (tune or on_spark or settings or fit.settings):
        raise ValueError(
            "Got --update with --tune, --backend spark or settings of the factors: "
            f"they stay those of {update}. Leave one out."
        )
    bar = "true" if is_shown() else "false"
    spark.session(spark__ui__showConsoleProgress=bar)
    cf = fit.estimator(
        CFEmbedding,
        **settings,
        backend="spark" if on_spark else "implicit",
    )
    plays = columns.read(
        logs,
        since=since,
        until=until,
        half_life=None if half_life is None else timedelta(days=half_life),
        backend=spark.backend,
    )
    values, text = {"output": fit.output}, ""
    if tune:
        cf, values["ndcg@10"], text = _tuned(cf, plays.user_items)
    hint = slower_than_here(plays.n_pairs) if on_spark else None
    if hint is not None:
        print_line(f"Note: {hint}", err=True)
    if update is None:
        cf.fit(plays)
    else:
        cf = CFEmbedding.load(update).update(plays)
        _note_lost(update, plays)
        values["alignment"] = cf.alignment_
        text = f"mean cosine of items with {update}: {cf.alignment_:.2f}\n"
    name = PurePath(logs).name
    data = fit.training_data(f"listening logs: {name}")
    kept = None if on_spark else plays
    cf.save(fit.output, training_data=data, notes={"logs": name}, user_items=kept)
    values |= {"n_factors": cf.n_factors, "alpha": cf.alpha_}
    values |= {"regularization": cf.regularization_, **sizes_of(plays)}
    text += f"{plays} -> {cf.n_factors} factors each, in {fit.output}"
    return Result(values, text)


def _note_lost(folder, plays):
    """Print a note where logs of a week were taken for the logs of all weeks."""
    from userlogfeat.recommendation.users import read_played
    from userlogfeat.users import histories_for

    before = read_played(folder)
    if before is None:
        return
    again = histories_for(plays, before.user_ids, before.item_ids)["user_items"]
    n_lost = before.user_items.nnz - before.user_items.multiply(again > 0).nnz
    if n_lost > before.user_items.nnz / 2:
        print_line(
            f"Note: LOGS lack {n_lost} of the {before.user_items.nnz} pairs that "
            f"{folder} knows. They are forgotten, and may be recommended again: pass "
            "the logs of all weeks, or of a period with --since.",
            err=True,
        )


def _tuned(cf, user_items):
    """Search the settings of `GRID`; return the best, its score, and a line on it."""
    import numpy as np
    from sklearn.model_selection import GridSearchCV

    from userlogfeat.evaluation.play_search import HeldOutPlays, Plays, PlaySplit

    verbose = cf.verbose
    search = GridSearchCV(
        cf.set_params(verbose=False),
        GRID,
        cv=PlaySplit(),
        scoring=HeldOutPlays(),
        refit=False,
        error_score="raise",
    ).fit(Plays(user_items))
    best = ", ".join(f"{name} {value}" for name, value in search.best_params_.items())
    score, scores = float(search.best_score_), search.cv_results_["mean_test_score"]
    line = (
        f"tuned: {best}, NDCG@10 of held-out plays {score:.3f} (median of the "
        f"{len(scores)} tried: {np.median(scores):.3f})\n"
    )
    for name, value in search.best_params_.items():
        if len(GRID[name]) > 1 and value in (min(GRID[name]), max(GRID[name])):
            line += f"{name} {value} is at the edge of {GRID[name]}: try beyond it\n"
    return cf.set_params(verbose=verbose, **search.best_params_), score, line
