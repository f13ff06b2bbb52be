"""`CFEmbedding` on Spark: from logs on a cluster to fitted attributes."""

import os
import secrets

import numpy as np
import pyarrow as pa

from userlogfeat._spark import (
    frame_of,
    java_reason,
    path_on_cluster,
    spark_session,
)
from userlogfeat.factor_files import (
    DIGEST,
    ITEMS,
    USERS,
    digest_items,
    write_side_on_spark,
)
from userlogfeat.factorization.alignment import rotation_onto, rows_of
from userlogfeat.factorization.on_spark import (
    factors_of,
    fit_als_on_spark,
    fold_in_on_spark,
)
from userlogfeat.logs.on_spark.interactions import (
    SparkInteractions,
    ids_in_order,
    read_plays,
)

_PURPOSE = 'CFEmbedding(backend="spark")'


def on_cluster(X):
    """Bring logs to a cluster, in any form.

    Parameters
    ----------
    X : SparkInteractions, pyspark.sql.DataFrame, str, Path or csr_matrix

    Returns
    -------
    SparkInteractions
        Of a matrix, with the numbers of its rows and columns as identifiers.
    """
    if isinstance(X, SparkInteractions):
        spark_session(session=X.user_items.sparkSession, purpose=_PURPOSE)
        return X
    if not hasattr(X, "tocoo"):
        return read_plays(X)
    session = spark_session(purpose=_PURPOSE)
    pairs = X.tocoo()
    played = pairs.data != 0
    columns = {"user": pairs.row, "item": pairs.col}
    columns = {name: codes.astype(np.int32) for name, codes in columns.items()}
    columns["count"] = pairs.data.astype(np.float32)
    table = pa.table({name: column[played] for name, column in columns.items()})
    frame = frame_of(session, table).persist()
    ids = {
        side: session.range(n).selectExpr(f"cast(id as int) {side}", "id")
        for side, n in zip(("user", "item"), X.shape, strict=True)
    }
    shape = dict(zip(("n_users", "n_items"), X.shape, strict=True))
    return SparkInteractions(
        frame, ids["user"], ids["item"], n_pairs=len(table), cached=(frame,), **shape
    )


def factorised(logs, pairs, settings, folder, *, has_ids, noted, onto=None):
    """Factorise logs.

    Parameters
    ----------
    logs : SparkInteractions
    pairs : pyspark.sql.DataFrame
        Their pairs, with weights for counts.
    settings : dict
        n_factors, regularization, alpha, iterations, random_state.
    folder : str or None
        Folder for the factors of users and items, if they stay on the cluster.
    has_ids : bool
        Whether identifiers are to be returned.
    noted : dict
        Further settings to note with the factors.
    onto : (ndarray, ids or None), optional
        Items to rotate everything onto.

    Returns
    -------
    dict
        Attributes of `CFEmbedding`.
    """
    if folder is not None:
        _check_folder(logs.user_items.sparkSession, folder)
    shape = (logs.n_users, logs.n_items)
    items = fit_als_on_spark(pairs, shape, **settings)
    item_ids = ids_in_order(logs.item_ids) if has_ids else None
    aligned = {}
    if onto is not None:
        start = rows_of(onto[0], len(items), item_ids, onto[1])
        rotation, aligned["alignment_"] = rotation_onto(items, start)
        items = (items @ rotation).astype(np.float32)
    equation = {name: settings[name] for name in ("regularization", "alpha")}
    found = {"item_factors_": items} | aligned
    users, shared = fold_in_on_spark(pairs, items, **equation)
    n_factors = settings["n_factors"]
    made_by = _made_by(settings | noted) | {DIGEST: digest_items(items, logs.n_users)}
    try:
        if folder is None:
            arrays = (users, "user", "factors", logs.n_users, n_factors)
            found["user_factors_"] = factors_of(*arrays)
        else:
            _write(folder, USERS, logs.user_ids, users, shape[0], made_by)
    finally:
        shared.destroy()
    if folder is not None:
        session = logs.user_items.sparkSession
        size = np.arange(len(items) + 1, dtype=np.int32) * n_factors
        lists = pa.ListArray.from_arrays(pa.array(size), pa.array(items.reshape(-1)))
        codes = pa.array(np.arange(len(items), dtype=np.int32))
        frame = frame_of(session, pa.table({"item": codes, "factors": lists}))
        _write(folder, ITEMS, logs.item_ids, frame, shape[1], made_by)
    if has_ids:
        found["item_ids_"] = item_ids
        if folder is None:
            found["user_ids_"] = ids_in_order(logs.user_ids)
    return found


def _check_folder(session, folder):
    """Raise if Spark cannot write, before the work starts."""
    from py4j.protocol import Py4JError

    if not isinstance(folder, (str, os.PathLike)) or not str(folder):
        raise ValueError(
            f"Got factors_folder={folder!r}, expected a folder or URL of the cluster's "
            "file systems."
        )
    name = f"{folder}/.userlogfeat-{secrets.token_hex(8)}"
    try:
        found = path_on_cluster(session, name)
        if found is None:  # then the first write says so
            return
        path, files = found
        files.create(path).close()
        files.delete(path, False)
    except Py4JError as error:
        raise OSError(
            f"Spark cannot write to factors_folder={str(folder)!r} "
            f"({java_reason(error)}). Name a folder or URL that all machines of the "
            "cluster see and may write to."
        ) from error


def _made_by(settings):
    """The settings as JSON can hold them; numbers of numpy are numbers too."""
    kinds = int | float | str | None
    plain = {
        k: v.item() if isinstance(v, np.generic) else v for k, v in settings.items()
    }
    return {"backend": "spark"} | {
        key: value if isinstance(value, kinds) else repr(value)
        for key, value in plain.items()
    }


def _write(folder, name, ids, factors, n_rows, made_by):
    """Identifiers with their factors; zeros for those that have none."""
    from pyspark.sql import functions as F

    code = next(column for column in ids.columns if column != "id")
    none = F.array_repeat(F.lit(0.0).cast("float"), made_by["n_factors"])
    frame = ids.join(factors, code, "left").sort(code)
    frame = frame.withColumn("factors", F.coalesce("factors", none))
    write_side_on_spark(folder, name, frame, made_by=made_by, n_rows=n_rows)
