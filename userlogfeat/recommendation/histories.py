"""Users as the mean of what they played.

A user's factor of ALS is fitted so that its scalar products with *known* items explain
the plays; its directions are stretched for that. The mean of the unit vectors of the
history has no such purpose, and lies where the cosine with an estimate from audio asks.
"""

import numpy as np
from scipy import sparse

from userlogfeat._spaces import in_space, space_of
from userlogfeat._typing import ArrayLike, Matrix
from userlogfeat.evaluation.ranking import check_embeddings, check_pairs, unit_rows


def mean_histories(user_items: Matrix, item_embeddings: ArrayLike) -> np.ndarray:
    """Average the unit vectors of the items that each user played.

    Each item counts once, however often it was played.

    Parameters
    ----------
    user_items : csr matrix, shape (n_users, n_items)
        Plays.
    item_embeddings : array-like, shape (n_items, n_factors)
        Such as ``cf.item_factors_``; items of zeros do not count.

    Returns
    -------
    ndarray of float32 or float64, shape (n_users, n_factors)
        Of length 1 at most; zeros for users without known items. For
        ``recommend(..., metric="cosine")``.

    Raises
    ------
    ValueError
        Where shapes do not fit; or embeddings are NaN or infinite, with the row.

    Examples
    --------
    >>> from userlogfeat.recommendation import mean_histories
    >>> mean_histories([[1, 0, 5], [0, 0, 0]], [[2.0, 0.0], [1.0, 1.0], [0.0, 3.0]])
    array([[0.5, 0.5],
           [0. , 0. ]])
    """
    items = check_embeddings(item_embeddings, "item_embeddings")
    user_items = check_pairs(user_items, "user_items", None)
    if user_items.shape[1] != len(items):
        raise ValueError(
            f"Got user_items of shape {user_items.shape}, expected {len(items)} "
            "columns: one for each row of item_embeddings."
        )
    ones = np.ones(user_items.nnz, items.dtype)
    played = sparse.csr_matrix((ones, user_items.indices, user_items.indptr))
    played.resize(user_items.shape)
    units = unit_rows(items)
    n_known = played @ items.any(axis=1).astype(items.dtype)
    means = (played @ units) / np.maximum(n_known, 1)[:, None]
    return in_space(means, space_of(item_embeddings))
