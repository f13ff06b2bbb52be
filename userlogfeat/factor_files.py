"""Factors on disk: a folder with one Parquet file for users and one for items.

``user_factors.parquet`` and ``item_factors.parquet`` have one row per user or item, in
the order of the logs: `id` (integer or string) and `factors` (fixed-size list of
float32). Logs and settings are noted as JSON in the schema metadata. Any reader of
Parquet can use them.

Where Spark writes them, each is a folder of that name with files that are read one
after another, `factors` are lists of any size to Parquet, and the notes are metadata of
that column, where Spark keeps them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix

from userlogfeat._digests import json_digest
from userlogfeat._files import make_folder, replace_file
from userlogfeat._parquet import read_parquet, write_parquet
from userlogfeat._typing import ArrayLike, PathLike
from userlogfeat._untrusted import parse_json

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


FORMAT = "userlogfeat factors 1"
MAX_BYTES = 1 << 36  # of a file in memory: 400 million users of 40 factors
USERS, ITEMS = "user_factors.parquet", "item_factors.parquet"
PLAYS = "plays.parquet"  # of those users, where they are kept
ITEMS_OF_TEACHER = "items"  # folder of the items within the folder of a teacher
POPULARITY = "popularity"  # column of the items, where it is known
_METADATA = b"userlogfeat"
# What damaged files raise, whoever reads them.
_DAMAGES = (pa.ArrowException, OSError, AttributeError, LookupError)
_DAMAGES += (TypeError, ValueError)
_SPARK_METADATA = b"org.apache.spark.sql.parquet.row.metadata"
DIGEST = "users_digest"  # key in `made_by`: identifies the training


@dataclass(frozen=True, eq=False)
class Factors:
    """Factors of users and items, from listening logs.

    Attributes
    ----------
    user_ids : ndarray (n_users,)
        As in the logs.
    user_factors : ndarray (n_users, n_factors), float32
    item_ids : ndarray (n_items,)
        As in the logs.
    item_factors : ndarray (n_items, n_factors), float32
    made_by : dict
        Logs and settings they were made from.
    popularity : ndarray (n_items,), float32, or None
        Fraction of the users who played each item: see :func:`read_popularity`.
    """

    user_ids: np.ndarray
    user_factors: np.ndarray
    item_ids: np.ndarray
    item_factors: np.ndarray
    made_by: dict[str, Any] = field(default_factory=dict)
    popularity: np.ndarray | None = None

    @property
    def n_factors(self) -> int:
        """Length of a factor."""
        return self.item_factors.shape[1]


def write_factors(folder: PathLike, factors: Factors) -> None:
    """Write factors to a folder, which is made where it is missing.

    Parameters
    ----------
    folder : str or Path
    factors : Factors

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> ones = np.ones((2, 3), dtype=np.float32)
    >>> folder = tempfile.mkdtemp()
    >>> write_factors(folder, Factors(["ann", "bob"], ones, [7, 9], ones * 2))
    >>> read_factors(folder).item_ids
    array([7, 9])
    """
    sides = (
        (USERS, factors.user_ids, factors.user_factors, None),
        (ITEMS, factors.item_ids, factors.item_factors, factors.popularity),
    )
    for name, ids, matrix, popularity in sides:
        made_by = factors.made_by
        write_side(folder, name, ids, matrix, made_by=made_by, popularity=popularity)


def digest_users(ids: ArrayLike, embeddings: ArrayLike) -> str:
    """Return a short digest that identifies the users of one training.

    It is noted as ``made_by[DIGEST]`` beside the users and the items of a training, and
    in models that were trained on these users: only then can their embeddings be
    compared.

    Parameters
    ----------
    ids : array-like, shape (n_users,)
    embeddings : array-like, shape (n_users, n_factors)

    Returns
    -------
    str
    """
    digest = hashlib.sha256(json.dumps(np.asarray(ids).tolist()).encode())
    digest.update(np.ascontiguousarray(embeddings, dtype=np.float32).tobytes())
    return digest.hexdigest()[:16]


def digest_items(item_factors: np.ndarray, n_users: int) -> str:
    """Return a digest as :func:`digest_users`, where the users stay on a cluster.

    Spark's last digits differ from one training to the next, and the users are solved
    for from the items: so these identify the training as well.

    Parameters
    ----------
    item_factors : ndarray of float32, shape (n_items, n_factors)
    n_users : int

    Returns
    -------
    str
    """
    return digest_users([n_users], item_factors)


def write_side(
    folder: PathLike,
    name: str,
    ids: ArrayLike,
    matrix: ArrayLike,
    *,
    made_by: dict[str, Any],
    popularity: ArrayLike | None = None,
) -> None:
    """Write users alone, or items alone; see :func:`write_factors`.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.
    name : {USERS, ITEMS}
    ids : array-like, shape (n_rows,)
    matrix : array-like, shape (n_rows, n_factors)
    made_by : dict
    popularity : array-like, shape (n_rows,), optional
        Popularity of items.
    """
    folder = make_folder(folder, "an embedding")
    notes = _noted(made_by)
    matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    lists = pa.FixedSizeListArray.from_arrays(
        pa.array(matrix.reshape(-1)), matrix.shape[1]
    )
    table = pa.table({"id": pa.array(np.asarray(ids).tolist()), "factors": lists})
    if popularity is not None:
        column = pa.array(np.asarray(popularity, dtype=np.float32))
        table = table.append_column(POPULARITY, column)
    with replace_file(folder / name) as path:
        table = table.replace_schema_metadata({_METADATA: notes})
        write_parquet(path, table)
        if (folder / name).is_dir():  # where Spark wrote it; no file can replace that
            shutil.rmtree(folder / name)


def write_side_on_spark(
    folder: str, name: str, frame: DataFrame, *, made_by: dict[str, Any], n_rows: int
) -> None:
    """Write users alone, or items alone, from a cluster to where it stores files.

    Parameters
    ----------
    folder : str
        A path or URL of the cluster's file systems; existing files are replaced.
    name : {USERS, ITEMS}
    frame : pyspark.sql.DataFrame
        id, factors (array of float), in order.
    made_by : dict
    n_rows : int
        Rows of the frame: noted, since a job that is stopped may leave some files.
    """
    from pyspark.sql import functions as F

    notes = _noted(made_by, n_rows=n_rows)
    noted = F.col("factors").alias("factors", metadata={_METADATA.decode(): notes})
    path = f"{str(folder).rstrip('/')}/{name}"
    frame.select("id", noted).write.mode("overwrite").parquet(path)


def read_factors(folder: PathLike) -> Factors:
    """Read the factors that :func:`write_factors` wrote.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    Factors

    Raises
    ------
    ValueError
        Where the folder holds no factors, or a file is damaged.
    """
    user_ids, user_factors, users_made_by = read_side(folder, USERS)
    item_ids, item_factors, made_by = read_side(folder, ITEMS)
    same = users_made_by == made_by
    if not same or user_factors.shape[1] != item_factors.shape[1]:
        raise ValueError(
            f"The users and the items in {folder} are of different trainings, of which "
            "one was perhaps stopped while it wrote. Make both again with `userlogfeat "
            "fit-cf`."
        )
    return Factors(user_ids, user_factors, item_ids, item_factors, made_by=made_by)


def read_side(
    folder: PathLike, name: str
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Read users alone, or items alone; see :func:`read_factors`.

    Parameters
    ----------
    folder : str or Path
    name : {USERS, ITEMS}

    Returns
    -------
    ids : ndarray, shape (n_rows,)
    matrix : ndarray of float32, shape (n_rows, n_factors)
    made_by : dict
    """
    folder = Path(folder)
    if not (folder / name).exists():
        raise ValueError(
            f"There are no factors in {folder}: it lacks {name}. Make them with "
            f"`userlogfeat fit-cf LOGS -o {folder}`."
        )
    try:
        table = read_parquet(folder / name, at_most=MAX_BYTES)
        notes = parse_json(_notes(table.schema.metadata))
        matrix = _matrix(table["factors"])
        if table["id"].null_count or len(matrix) != len(table):
            raise ValueError("rows lack their id or their factors")
        made_by = notes["made_by"]
        if not isinstance(made_by, dict):
            raise ValueError("its notes are none")
        if "digest" in notes and notes["digest"] != json_digest(made_by)[:16]:
            raise ValueError("its notes were changed: their digest does not fit")
        if notes.get("n_rows", len(matrix)) != len(matrix):
            raise ValueError(f"it has {len(matrix)} of {notes['n_rows']} rows")
        return table["id"].to_numpy(), matrix, made_by
    except _DAMAGES as error:
        raise ValueError(
            f"{folder / name} is damaged, or not written by userlogfeat "
            f"({type(error).__name__}: {error}). Make it again with `userlogfeat "
            'fit-cf`, or CFEmbedding(backend="spark", factors_folder=...).'
        ) from error


def write_plays(folder: PathLike, user_items: csr_matrix, digest: str) -> None:
    """Write what the users of a folder played, so that it is not recommended again.

    Parameters
    ----------
    folder : str or Path
        Folder of the factors.
    user_items : csr matrix, shape (n_users, n_items)
        In the order of the factors.
    digest : str
        That of the training: ``made_by[DIGEST]``.
    """
    pairs = user_items.tocoo()
    columns = {
        "user": pa.array(pairs.row.astype(np.int32)),
        "item": pa.array(pairs.col.astype(np.int32)),
        "count": pa.array(pairs.data.astype(np.float32)),
    }
    table = pa.table(columns).replace_schema_metadata({_METADATA: digest})
    with replace_file(Path(folder) / PLAYS) as path:
        write_parquet(path, table)


def read_plays(folder: PathLike) -> csr_matrix | None:
    """Read what the users of a folder played.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    csr_matrix, shape (n_users, n_items), or None
        In the order of the factors. None where it is not kept, or is of another
        training than the users.

    Raises
    ------
    ValueError
        Where the file is damaged.
    """
    path = Path(folder) / PLAYS
    if not path.is_file() or not (Path(folder) / ITEMS).exists():
        return None
    ids, _, made_by = read_side(folder, USERS)
    shape = len(ids), len(read_side(folder, ITEMS)[0])
    try:
        table = read_parquet(path, at_most=MAX_BYTES)
        if table.schema.metadata[_METADATA].decode() != made_by.get(DIGEST):
            return None
        rows, columns, counts = (
            table[name].to_numpy() for name in ("user", "item", "count")
        )
        return csr_matrix((counts, (rows, columns)), shape=shape)
    except _DAMAGES as error:
        raise ValueError(
            f"{path} is damaged, or not written by userlogfeat "
            f"({type(error).__name__}: {error}). Remove it, and pass the logs instead."
        ) from error


def item_popularity(user_items: csr_matrix) -> np.ndarray:
    """Return the fraction of users (rows) who have each item: (n_items,), float32."""
    n_users, n_items = user_items.shape
    counts = np.bincount(user_items.indices, minlength=n_items)
    return (counts / max(n_users, 1)).astype(np.float32)


def read_popularity(folder: PathLike) -> np.ndarray | None:
    """Read the fraction of users who played each item of a folder, from 0 to 1.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    ndarray (n_items,), float32, or None
        In the order of the items; None where it is not recorded (by Spark, and in older
        folders).

    Raises
    ------
    ValueError
        Where the folder holds no factors, or popularity is not between 0 and 1.
    """
    read_side(folder, ITEMS)  # which says what is wrong with the file
    table = read_parquet(Path(folder) / ITEMS, at_most=MAX_BYTES)
    if POPULARITY not in table.column_names:
        return None
    popularity = table[POPULARITY].to_numpy()
    is_float = popularity.dtype == np.float32
    if not (is_float and ((popularity >= 0) & (popularity <= 1)).all()):
        raise ValueError(
            f"{Path(folder) / ITEMS} is damaged: its popularity is not from 0 to 1."
        )
    return popularity


def _noted(made_by, **more):
    """Return notes of the logs and settings, as JSON text."""
    digest = json_digest(made_by)[:16]
    return json.dumps({"format": FORMAT, "made_by": made_by, "digest": digest} | more)


def _matrix(lists):
    """Turn lists of one length into an array (n_rows, n_factors)."""
    lengths = pc.list_value_length(lists).to_numpy()
    size = lengths[0] if len(lengths) else lists.type.list_size
    if (lengths != size).any():
        raise ValueError("its factors are not all of one length")
    return pc.list_flatten(lists).to_numpy().reshape(-1, size)


def _notes(metadata):
    """Return the JSON text of the notes, written by us or by Spark."""
    if _METADATA in metadata:
        return metadata[_METADATA]
    fields = parse_json(metadata[_SPARK_METADATA])["fields"]
    kept = {field["name"]: field["metadata"] for field in fields}
    return kept["factors"][_METADATA.decode()]
