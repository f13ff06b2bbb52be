"""Factors on disk: a folder with one Parquet file for users and one for items.

``user_factors.parquet`` and ``item_factors.parquet`` have one row each, in the order of
the logs: `id` (integer or string) and `factors` (fixed-size list of float32). How they
were made is JSON in the schema metadata. Any reader of Parquet can use them.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from userlogfeat._files import replace_file

FORMAT = "userlogfeat factors 1"
USERS, ITEMS = "user_factors.parquet", "item_factors.parquet"
_METADATA = b"userlogfeat"
DIGEST = "users_digest"  # of `made_by`: which training users and items are of


@dataclass(frozen=True, eq=False)
class Factors:
    """What listening logs say of users and items.

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
    """

    user_ids: np.ndarray
    user_factors: np.ndarray
    item_ids: np.ndarray
    item_factors: np.ndarray
    made_by: dict = field(default_factory=dict)

    @property
    def n_factors(self):
        """Length of a factor."""
        return self.item_factors.shape[1]


def write_factors(folder, factors):
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
        (USERS, factors.user_ids, factors.user_factors),
        (ITEMS, factors.item_ids, factors.item_factors),
    )
    for name, ids, matrix in sides:
        write_side(folder, name, ids, matrix, made_by=factors.made_by)


def digest_users(ids, embeddings):
    """A short string that tells users of one training from those of any other.

    It is noted as ``made_by[DIGEST]`` beside the users and the items of a training, and
    by models that were taught these users: only then can their embeddings be compared.

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


def write_side(folder, name, ids, matrix, *, made_by):
    """Write users alone, or items alone; as :func:`write_factors`.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.
    name : {USERS, ITEMS}
    ids : array-like, shape (n_rows,)
    matrix : array-like, shape (n_rows, n_factors)
    made_by : dict
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    notes = json.dumps({"format": FORMAT, "made_by": made_by})
    matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    lists = pa.FixedSizeListArray.from_arrays(
        pa.array(matrix.reshape(-1)), matrix.shape[1]
    )
    table = pa.table({"id": pa.array(np.asarray(ids).tolist()), "factors": lists})
    with replace_file(folder / name) as path:
        pq.write_table(table.replace_schema_metadata({_METADATA: notes}), path)


def read_factors(folder):
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
    user_ids, user_factors, _ = read_side(folder, USERS)
    item_ids, item_factors, made_by = read_side(folder, ITEMS)
    return Factors(user_ids, user_factors, item_ids, item_factors, made_by=made_by)


def read_side(folder, name):
    """Read users alone, or items alone; as :func:`read_factors`.

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
    if not (folder / name).is_file():
        raise ValueError(
            f"There are no factors in {folder}: it lacks {name}. Make them with "
            f"`userlogfeat fit-cf LOGS -o {folder}`."
        )
    try:
        table = pq.read_table(folder / name)
        notes = json.loads(table.schema.metadata[_METADATA])
        size = table.schema.field("factors").type.list_size
        flat = table["factors"].combine_chunks().flatten().to_numpy()
        return table["id"].to_numpy(), flat.reshape(-1, size), notes["made_by"]
    except (
        pa.ArrowException,
        OSError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            f"{folder / name} is damaged, or not written by userlogfeat "
            f"({type(error).__name__}: {error}). Make it again with `userlogfeat "
            "fit-cf`."
        ) from error
