"""Histories of users in the order of a model: its items, and the users asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from userlogfeat._ids import nothing_shared, positions
from userlogfeat._typing import ArrayLike

if TYPE_CHECKING:
    from userlogfeat.logs.interactions import Interactions


def histories_for(
    logs: Interactions | None, user_ids: ArrayLike, item_ids: ArrayLike
) -> dict[str, sparse.csr_matrix]:
    """Reorder the matrices of logs to given users and items.

    For a tower or factors that were trained on other logs: rows become the users that
    are asked for, and columns the items of the model. Others are left out;
    ``read_logs(..., user_ids=, item_ids=)`` reads logs in this order at once, and keeps
    the others apart.

    Parameters
    ----------
    logs : Interactions or None
        None is a log without plays.
    user_ids : array-like, shape (n_users,)
        Users of the result; those who are not in the logs have no plays.
    item_ids : array-like, shape (n_items,)
        Items of the model, such as ``Factors.item_ids``.

    Returns
    -------
    dict of str to csr_matrix, shape (n_users, n_items)
        "user_items" and, where the logs have them, "liked" and "disliked".

    Raises
    ------
    ValueError
        Where none of the items of the logs is known, with a guess why.

    Examples
    --------
    >>> import polars as pl
    >>> from userlogfeat import read_logs
    >>> from userlogfeat.users import histories_for
    >>> plays = pl.DataFrame({"user": ["ann", "bob", "bob"], "item": [7, 8, 9]})
    >>> histories = histories_for(read_logs(plays), ["bob", "eve"], [9, 7])
    >>> histories["user_items"].toarray()
    array([[1., 0.],
           [0., 0.]], dtype=float32)
    """
    shape = (len(user_ids), len(item_ids))
    if logs is None:
        return {"user_items": sparse.csr_matrix(shape, dtype=np.float32)}
    columns = positions(logs.item_ids, item_ids)
    if (columns < 0).all():
        raise ValueError(nothing_shared("items", logs.item_ids, item_ids))
    rows = positions(logs.user_ids, user_ids)
    matrices = {"user_items": logs.user_items}
    matrices |= {"liked": logs.liked, "disliked": logs.disliked}
    return {
        name: move(matrix, rows, columns, shape)
        for name, matrix in matrices.items()
        if matrix is not None
    }


def move(
    matrix: sparse.csr_matrix,
    rows: np.ndarray,
    columns: np.ndarray,
    shape: tuple[int, ...],
) -> sparse.csr_matrix:
    """Put the rows and columns of a matrix at other places; -1 leaves them out.

    Parameters
    ----------
    matrix : csr_matrix, shape (n, m)
    rows, columns : ndarray of int, shapes (n,) and (m,)
        Where each goes.
    shape : tuple of int
        Shape of the result.
    """
    pairs = sparse.coo_matrix(matrix)
    row, column = rows[pairs.row], columns[pairs.col]
    kept = (row >= 0) & (column >= 0)
    entries = (pairs.data[kept], (row[kept], column[kept]))
    return sparse.csr_matrix(entries, shape=shape)
