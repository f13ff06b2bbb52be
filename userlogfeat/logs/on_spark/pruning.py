"""Leave out users and items with too few of the other, repeatedly."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from userlogfeat._spark import cut_plan

_OF = {"user": "item", "item": "user"}


def pruned(
    pairs: DataFrame, sizes: dict[str, int], minimums: dict[str, int]
) -> DataFrame:
    """Return the largest part of the pairs in which all have enough of the other.

    Parameters
    ----------
    pairs : pyspark.sql.DataFrame
        One row per user and item that belong together; cached.
    sizes : dict of int
        "user" and "item" -> how many there are, those without pairs included.
    minimums : dict of int
        "item" -> the fewest users of an item, "user" -> the fewest items of a user.

    Returns
    -------
    pyspark.sql.DataFrame
        `pairs` itself where nothing is left out; else cached.

    Raises
    ------
    ValueError
        Where nothing is left.
    """
    if max(minimums.values()) <= 1:  # all that are in a pair have one
        return pairs
    first, n_before = pairs, pairs.count()
    while True:
        left = pairs
        for side in ("item", "user"):
            left = _with_enough(left, side, minimums[side])
        # Repartitioned, or each round would deepen the objects Java reads for a task.
        left = cut_plan(left.repartition("user")).persist()
        n_left = left.count()
        if not n_left:
            raise ValueError(_nothing(pairs, sizes, minimums))
        if n_left == n_before:
            left.unpersist()
            return pairs
        if pairs is not first:
            pairs.unpersist()
        pairs, n_before = left, n_left


def _with_enough(pairs, side, minimum):
    """Keep the pairs of those users, or items, that have `minimum` of the other."""
    if minimum <= 1:
        return pairs
    numbers = pairs.groupBy(side).agg(F.count("*").alias("number"))
    enough = numbers.filter(F.col("number") >= minimum).select(side)
    return pairs.join(enough, side, "left_semi")


def _nothing(pairs, sizes, minimums):
    """Return the message: which of the two minimums left nothing."""
    for side in ("item", "user"):
        most = pairs.groupBy(side).count().agg(F.max("count")).first()[0]
        if most < minimums[side]:
            break
        pairs = _with_enough(pairs, side, minimums[side])
    other = _OF[side]
    return (
        f"min_{other}s_per_{side}={minimums[side]} leaves nothing of the logs: none of "
        f"{sizes[side]} {side}s has as many {other}s (the most is {most}, of those "
        "that were left before). Lower it."
    )
