"""Alternating least squares on a Spark cluster, with an exact last step.

The rounds are those of ``pyspark.ml.recommendation.ALS`` with implicit preferences.
Its confidence is c = 1 + alpha r too, but it follows Zhou, Wilkinson, Schreiber, Pan
2008, *Large-scale parallel collaborative filtering for the Netflix prize*, in that
every user's and item's penalty is multiplied by its number of plays:

    ... + lambda (sum n_u |x_u|^2 + sum n_i |y_i|^2),   n: how many it is in a pair with

Our equation has reg (sum |x_u|^2 + sum |y_i|^2). Spark has no setting for that, and the
substitute is exact in the sum only. If all x are multiplied by t and all y divided by
it, no product x.y changes; the best t makes both parts of the penalty equal, so that
only their geometric mean matters. With

    lambda = reg / sqrt(mean n_u * mean n_i)

this is that of our equation wherever lengths do not go with the numbers of plays. Rare
users and items are then penalised less than ours, frequent ones more.

Two things then make Spark's factors ours. The items are multiplied by the t that makes
the sums of squares of users and items equal, as at any minimum of our equation. And the
users are solved for, exactly, given these items: equation 4 of :mod:`.als`, in the same
code. Each task solves for some users. It has the factors of all items, so these must
fit in the memory of every Python worker: 160 MB for a million items of 40 factors.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from scipy import sparse

from userlogfeat._spark import arrow_table, forget_checkpoint_folder, map_in_arrow
from userlogfeat._typing import RandomState
from userlogfeat.factorization.als import diverged, seed_of, solve_exactly
from userlogfeat.factorization.confidence import (
    Confidence,
    confidences,
    regularization_for,
)

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame


# A block of Spark's ALS, and a task of the fold-in, has about so many pairs: 25 MB.
_PAIRS_PER_BLOCK = 2_000_000
# What a task is made of grows with the rounds, until Java's stack cannot hold it (at
# ten rounds, for a process that has just started), unless the factors are put on disk.
_ROUNDS_PER_CHECKPOINT = 3
_RANK_ERROR = 1e-3  # of the median, as a share of all pairs


def fit_als_on_spark(
    pairs: DataFrame,
    shape: tuple[int, ...],
    *,
    n_factors: int,
    regularization: float,
    alpha: float,
    iterations: int,
    random_state: RandomState | np.random.Generator = None,
) -> np.ndarray:
    """Factorise a matrix of plays that is on a cluster.

    Parameters
    ----------
    pairs : pyspark.sql.DataFrame
        Columns user (int), item (int), count (float, above 0): one row per pair.
    shape : tuple of int
        n_users, n_items.
    n_factors, regularization, alpha, iterations, random_state
        As in :func:`userlogfeat.factorization.fit_als`. With equal seeds factors differ
        in the last digits only, by the order in which the cluster adds up.

    Returns
    -------
    ndarray of float32, shape (n_items, n_factors)
        The items; zeros where one has no plays. The users are
        ``fold_in_on_spark(pairs, item_factors, ...)``.

    Raises
    ------
    ValueError
        Where the factors do not stay finite, or the equations have no single solution.
    """
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import functions as F

    totals = pairs.agg(
        F.count("*").alias("n_pairs"),
        F.max("count").alias("largest"),
        F.count_distinct("user").alias("n_users"),
        F.count_distinct("item").alias("n_items"),
    ).first()
    per_user, per_item = (totals["n_pairs"] / totals[n] for n in ("n_users", "n_items"))
    n_blocks = _n_parts(pairs, totals["n_pairs"])
    als = ALS(
        rank=n_factors,
        maxIter=iterations,
        regParam=float(regularization / np.sqrt(per_user * per_item)),
        implicitPrefs=True,
        alpha=float(alpha),
        userCol="user",
        itemCol="item",
        ratingCol="count",
        numUserBlocks=n_blocks,
        numItemBlocks=n_blocks,
        checkpointInterval=_ROUNDS_PER_CHECKPOINT,
        seed=_seed(random_state),
    )
    with _checkpoints(pairs.sparkSession.sparkContext):
        model = _fitted(als, pairs, regularization, n_factors)
        columns = ("id", "features")
        item_factors = factors_of(model.itemFactors, *columns, shape[1], n_factors)
        squares = F.expr("aggregate(features, 0D, (sum, x) -> sum + x * x)")
        of_users = model.userFactors.agg(F.sum(squares)).first()[0]
    of_items = float(np.square(item_factors, dtype=np.float64).sum())
    if not np.isfinite([of_users, of_items]).all():
        raise ValueError(diverged(totals["largest"], regularization, alpha))
    if of_items:
        item_factors *= np.float32((of_users / of_items) ** 0.25)
    return item_factors


def fold_in_on_spark(
    pairs: DataFrame, item_factors: np.ndarray, *, regularization: float, alpha: float
) -> tuple[DataFrame, Broadcast]:
    """Solve for users from their plays, on a cluster.

    Parameters
    ----------
    pairs : pyspark.sql.DataFrame
        Columns user (int), item (int), count (float, above 0): one row per pair.
    item_factors : ndarray of float32, shape (n_items, n_factors)
    regularization, alpha : float
        As in :func:`userlogfeat.factorization.fit_als`.

    Returns
    -------
    frame : pyspark.sql.DataFrame
        user (int), factors (array of float), one row per user with plays, in order.
    shared : pyspark.Broadcast
        The items; to be destroyed once the frame has been used.
    """
    shared = pairs.sparkSession.sparkContext.broadcast(item_factors)
    whole = np.ascontiguousarray(item_factors, np.float64)
    gram = whole.T @ whole

    def solve(batches):
        for rows in whole_users(batches):
            yield folded_in(rows, shared.value, gram, regularization, alpha)

    parts = _n_parts(pairs, pairs.count())
    by_user = pairs.select("user", "item", "count").repartitionByRange(parts, "user")
    by_user = by_user.sortWithinPartitions("user", "item")
    return map_in_arrow(by_user, solve, "user int, factors array<float>"), shared


def weigh_on_spark(
    pairs: DataFrame, confidence: Confidence, epsilon: float
) -> DataFrame:
    """Turn numbers of plays into weights, as :func:`.confidence.weigh` does.

    Parameters
    ----------
    pairs : pyspark.sql.DataFrame
        Columns user (int), item (int), count (float, above 0): one row per pair.
    confidence : {"log", "binary", "linear"}
    epsilon : float
        Plays of the weight 1, for "log".

    Returns
    -------
    pyspark.sql.DataFrame
        The same columns.
    """
    from pyspark.sql import functions as F

    if confidence == "linear":
        return pairs
    weight = F.lit(1.0)
    if confidence == "log":
        weight = F.log1p(F.col("count").cast("double") / epsilon) / float(np.log(2))
    return pairs.withColumn("count", weight.cast("float"))


def median_on_spark(pairs: DataFrame) -> float:
    """Return the (lower) median of the plays of all pairs, nearly exact.

    Parameters
    ----------
    pairs : pyspark.sql.DataFrame
        With the column count, above 0.
    """
    return float(pairs.approxQuantile("count", [0.5], _RANK_ERROR)[0])


def scaled_on_spark(pairs: DataFrame, alpha: float) -> float:
    """Choose a regularization, as :func:`.confidence.scaled_regularization` does.

    Parameters
    ----------
    pairs : pyspark.sql.DataFrame
        Columns user (int), item (int), count (float): weights.
    alpha : float
    """
    from pyspark.sql import functions as F

    total, n_users, n_items = pairs.agg(
        F.sum(F.col("count").cast("double")),
        F.count_distinct("user"),
        F.count_distinct("item"),
    ).first()
    return regularization_for(total, n_users, n_items, alpha)


def factors_of(
    frame: DataFrame, code: str, factors: str, n_rows: int, n_factors: int
) -> np.ndarray:
    """Collect factors from a cluster as an array; zeros for missing codes.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
    code, factors : str
        Its columns: int, and array of float.
    n_rows, n_factors : int

    Returns
    -------
    ndarray of float32, shape (n_rows, n_factors)
    """
    table = arrow_table(frame.select(code, factors))
    whole = np.zeros((n_rows, n_factors), np.float32)
    flat = table[factors].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    whole[table[code].to_numpy()] = flat.reshape(-1, n_factors)
    return whole


def whole_users(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Cut rows that are sorted by user anew, so that no user is in two pieces.

    Parameters
    ----------
    batches : iterator over pyarrow.RecordBatch

    Yields
    ------
    pyarrow.Table
    """
    held = []  # the rows of the user who may go on in the next batch
    for batch in batches:
        if not batch.num_rows:
            continue
        users = batch["user"].to_numpy()
        start = int(np.searchsorted(users, users[-1]))
        if start:
            yield pa.Table.from_batches([*held, batch.slice(0, start)])
            held = []
        held.append(batch.slice(start))
    if held:
        yield pa.Table.from_batches(held)


def folded_in(
    rows: pa.Table,
    item_factors: np.ndarray,
    gram: np.ndarray,
    regularization: float,
    alpha: float,
) -> pa.RecordBatch:
    """Solve for the factors of some users.

    Parameters
    ----------
    rows : pyarrow.Table
        user, item, count, sorted by user and item: all rows of these users.
    item_factors : ndarray of float32, shape (n_items, n_factors)
    gram : ndarray of float64, shape (n_factors, n_factors)
        Y'Y of all items.
    regularization, alpha : float

    Returns
    -------
    pyarrow.RecordBatch
        user, factors.
    """
    users, starts = np.unique(rows["user"].to_numpy(), return_index=True)
    # Only the items that were played are needed in float64.
    played, items = np.unique(rows["item"].to_numpy(), return_inverse=True)
    starts = np.append(starts, len(items))
    plays = (rows["count"].to_numpy(), items, starts)
    plays = sparse.csr_matrix(plays, shape=(len(users), len(played)))
    solved = solve_exactly(
        item_factors[played], confidences(plays, alpha), regularization, gram=gram
    )
    ends = np.arange(len(users) + 1, dtype=np.int32) * solved.shape[1]
    lists = pa.ListArray.from_arrays(pa.array(ends), pa.array(solved.reshape(-1)))
    return pa.RecordBatch.from_arrays(
        [pa.array(users.astype(np.int32)), lists], names=["user", "factors"]
    )


def _fitted(als, pairs, regularization, n_factors):
    """Fit Spark's model; report singular equations as fold-in does."""
    try:
        return als.fit(pairs)
    except Exception as error:  # py4j's or pyspark's, by where it arose
        if "StackOverflowError" in str(error):
            raise ValueError(
                f"Java's stack overflowed in {als.getMaxIter()} rounds of Spark's ALS. "
                "Name a folder that all machines of the cluster share, where it can "
                'put factors: spark.sparkContext.setCheckpointDir("hdfs://...").'
            ) from error
        if "SingularMatrixException" not in str(error):
            raise
        raise ValueError(
            f"The equations of Spark's ALS could not be solved with regularization="
            f"{regularization}. Raise it, or lower n_factors={n_factors}."
        ) from error


@contextmanager
def _checkpoints(context):
    """Set a folder for checkpoints, on one machine where none was set."""
    if context.getCheckpointDir() or not context.master.startswith("local"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="userlogfeat-als-") as folder:
        context.setCheckpointDir(folder)
        try:
            yield
        finally:
            forget_checkpoint_folder(context)


def _n_parts(frame, n_pairs):
    """Return a number of parts: one per core or more, none larger than its memory."""
    at_once = frame.sparkSession.sparkContext.defaultParallelism
    return max(at_once, -(-n_pairs // _PAIRS_PER_BLOCK))


def _seed(random_state):
    """Return a seed for Spark, a fresh one where none was given."""
    seed = seed_of(random_state)
    return int(np.random.default_rng(seed).integers(2**31))
