"""Histories of items reduced to a few listeners, as those of new items are."""

import numpy as np
from scipy import sparse


def thin_histories(
    item_users: sparse.csr_matrix, rng: np.random.RandomState
) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Reduce histories to 1, 2, 4, ... listeners, at most half of an item's own.

    Parameters
    ----------
    item_users : csr_matrix, shape (n_items, n_users)
        Plays, each pair stored once. Items of one listener are left out.
    rng : RandomState

    Returns
    -------
    thinned : csr_matrix, shape (n_thinned, n_users)
        One row for each item and number of listeners; smaller samples of an item are
        part of larger ones.
    owners : ndarray of int, shape (n_thinned,)
        The item of each row.
    n_users : ndarray of int, shape (n_thinned,)
        Number of listeners that are left.

    Raises
    ------
    ValueError
        If no item has two listeners.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from userlogfeat.evaluation.thinning import thin_histories
    >>> item_users = sparse.csr_matrix([[1, 1, 1, 1], [0, 1, 0, 1]])
    >>> thinned, owners, n_users = thin_histories(item_users, np.random.RandomState(0))
    >>> owners, n_users
    (array([0, 1, 0]), array([1, 1, 2]))
    """
    sizes = np.diff(item_users.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((rng.random_sample(len(rows)), rows))
    users, plays = item_users.indices[order], item_users.data[order]
    place = np.arange(len(rows)) - item_users.indptr[rows]
    parts, owners, n_users = [], [], []
    level = 1
    while (enough := np.flatnonzero(sizes >= 2 * level)).size:
        left = (place < level) & (sizes[rows] >= 2 * level)
        indptr = level * np.arange(len(enough) + 1)
        entries = (plays[left], users[left], indptr)
        shape = (len(enough), item_users.shape[1])
        parts.append(sparse.csr_matrix(entries, shape=shape))
        owners.append(enough)
        n_users.append(np.full(len(enough), level))
        level *= 2
    if not parts:
        raise ValueError("No item has two listeners or more: there is nothing to thin.")
    thinned = sparse.csr_matrix(sparse.vstack(parts))
    return thinned, np.concatenate(owners), np.concatenate(n_users)
