"""Identifiers become 0, 1, ... in the order of identifiers, on the cluster.

They are sorted by ranges: partition 0 has the smallest, and so on. A row's number is
its number within its partition, plus the sizes of the partitions before. Only these
sizes come to the driver, however many identifiers there are.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from userlogfeat._spark import frame_of

# monotonically_increasing_id: the partition above these bits, the row in it below.
_ROW_BITS = 33
MAX_CODES = np.iinfo(np.int32).max


def numbered(
    frame: DataFrame, name: str, code: str
) -> tuple[DataFrame, int, DataFrame]:
    """Number the distinct values of a column.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
        With a column `name` that has no value twice.
    name : str
    code : str
        Name of the new column, int.

    Returns
    -------
    frame : pyspark.sql.DataFrame
        With the column `code` before the others.
    n_codes : int
    kept : pyspark.sql.DataFrame
        A frame that is cached for it, to be unpersisted in the end.

    Raises
    ------
    ValueError
        Where there are more than 2^31 - 1.
    """
    kept = frame.sort(name).withColumn("row", F.monotonically_increasing_id())
    kept = kept.persist()
    partition = F.shiftright("row", _ROW_BITS)
    sizes = kept.groupBy(partition.alias("partition")).count().collect()
    sizes = sorted((row["partition"], row["count"]) for row in sizes)
    partitions, sizes = np.array(sizes, np.int64).reshape(-1, 2).T
    n_codes = int(sizes.sum())
    if n_codes > MAX_CODES:
        kept.unpersist()
        raise ValueError(
            f"The logs have {n_codes:,} different values of {name}, but Spark's ALS "
            f"numbers them in 32 bits: {MAX_CODES:,} are the most. Leave out rare ones "
            "before, or learn from a part of the users."
        )
    # Number of a row = row in its partition + those before, less the partition's bits.
    shifts = np.cumsum(sizes) - sizes - (partitions << _ROW_BITS)
    table = pa.table({"partition": partitions, "shift": shifts})
    shifts = F.broadcast(frame_of(kept.sparkSession, table))
    shifted = kept.withColumn("partition", partition).join(shifts, "partition")
    number = (F.col("row") + F.col("shift")).cast("int").alias(code)
    return shifted.select(number, *frame.columns), n_codes, kept
