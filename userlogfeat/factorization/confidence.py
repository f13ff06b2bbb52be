"""From plays to confidences: what a count is worth.

Hu, Koren, Volinsky 2008, *Collaborative filtering for implicit feedback datasets*. A
pair of user and item that was played r times is preferred with the confidence 1 + alpha
w, with one of these weights w:

=========  ===========================  ===============================================
"log"      w = log2(1 + r / epsilon)    their equation 6, but for the base of the
                                        logarithm, which is part of their alpha
"binary"   w = 1                        Lee, Lee, Park, Lee 2019: who played what
"linear"   w = r                        the confidence of their section 4
=========  ===========================  ===============================================

Epsilon is not stated there. Here it is the median of the plays by default, so that the
median pair has the weight 1, whatever the unit of r: times played, seconds, or shares.
Where most pairs were played once, epsilon is 1; of ones, "log" and "binary" are the
same. A pair that was played a thousand times as often as the median weighs 10.
"""

import warnings
from typing import Literal, get_args

import numpy as np
from scipy import sparse

from userlogfeat._typing import Matrix

Confidence = Literal["log", "binary", "linear"]
CONFIDENCES = get_args(Confidence)
# The default regularization, as a part of the confidence that plays add to the average
# user and item: chosen, with alpha, by the held-out plays of four logs
# (benchmarks/als_defaults.py).
REGULARIZATION_SHARE = 0.1
# Of the median pair, as "linear" has it: ten times what Hu et al. give to one play.
ABSURD = 400.0


def weigh(
    plays: Matrix, confidence: Confidence, epsilon: float | None = None
) -> sparse.csr_matrix:
    """Turn numbers of plays into weights: of them, confidence is 1 + alpha w.

    Parameters
    ----------
    plays : csr matrix, shape (n_users, n_items)
        Numbers of plays r, not negative.
    confidence : {"log", "binary", "linear"}
    epsilon : float, optional
        Plays of the weight 1, for "log"; as :func:`median_plays` gives it.

    Returns
    -------
    csr_matrix of float32, shape (n_users, n_items)
        Entries that are stored but zero are left out.

    Examples
    --------
    >>> from userlogfeat.factorization.confidence import weigh
    >>> weigh([[100, 300, 0, 0]], "log", epsilon=100).toarray()
    array([[1., 2., 0., 0.]], dtype=float32)
    """
    plays = sparse.csr_matrix(plays, dtype=np.float32)
    if confidence == "linear":
        return plays
    weights = plays.copy()
    weights.eliminate_zeros()
    if confidence == "binary":
        weights.data[:] = 1
    else:
        ratio = weights.data / np.float64(epsilon)
        weights.data = (np.log1p(ratio) / np.log(2)).astype(np.float32)
    return weights


def confidences(plays: Matrix, alpha: float) -> sparse.csr_matrix:
    """Compute the confidences 1 + alpha r of plays, or 1 + alpha w of their weights.

    Parameters
    ----------
    plays : csr matrix, shape (n_users, n_items)
        Numbers of plays r, or the weights w of :func:`weigh`; not negative.
    alpha : float

    Returns
    -------
    csr_matrix of float32, shape (n_users, n_items)
        With 32-bit indices, as implicit needs them. Entries that are stored but zero
        are dropped: with c = 1 they would still count as liked.

    Examples
    --------
    >>> from userlogfeat.factorization import confidences
    >>> confidences([[2, 0, 1]], alpha=10).toarray()
    array([[21.,  0., 11.]], dtype=float32)
    """
    plays = sparse.csr_matrix(plays, dtype=np.float32)
    if not plays.data.all():
        plays = plays.copy()
        plays.eliminate_zeros()
    if plays.nnz > np.iinfo(np.int32).max:
        raise ValueError(
            f"Got {plays.nnz} user-item pairs, but implicit counts them in 32 bits. "
            "Leave out rare items, as with min_users_per_item= of read_logs."
        )
    indices, indptr = (
        np.require(array, np.int32, ["C", "W"])
        for array in (plays.indices, plays.indptr)
    )
    data = plays.data * np.float32(alpha)
    data += 1
    return sparse.csr_matrix((data, indices, indptr), shape=plays.shape)


def median_plays(plays: Matrix) -> float:
    """Return the (lower) median of the plays of all pairs that were played.

    Parameters
    ----------
    plays : csr matrix, shape (n_users, n_items)
        Numbers of plays, of which some are above 0.
    """
    counts = sparse.csr_matrix(plays).data
    counts = counts[counts > 0]
    middle = (len(counts) - 1) // 2
    return float(np.partition(counts, middle)[middle])


def scaled_regularization(weights: sparse.csr_matrix, alpha: float) -> float:
    """Choose a regularization that suits the size of the logs.

    It is a tenth of the confidence that plays add to an average user and an average
    item: of both, the geometric mean, since only the product of the penalties of users
    and items matters. One number for all logs would let the factors of small logs
    vanish, and do nothing in large ones.

    Parameters
    ----------
    weights : csr_matrix, shape (n_users, n_items)
        As :func:`weigh` returns them.
    alpha : float

    Examples
    --------
    Three users, who each played both items once:

    >>> import numpy as np
    >>> from userlogfeat.factorization.confidence import scaled_regularization
    >>> round(scaled_regularization(np.ones((3, 2)), alpha=10), 2)
    2.45
    """
    weights = sparse.csr_matrix(weights)
    played = weights.data != 0
    n_users = np.count_nonzero(weights.getnnz(axis=1))
    n_items = len(np.unique(weights.indices[played]))
    total = weights.data.sum(dtype=np.float64)
    return regularization_for(total, n_users, n_items, alpha)


def regularization_for(total: float, n_users: int, n_items: int, alpha: float) -> float:
    """Return :func:`scaled_regularization` for logs of which only sums are known.

    Parameters
    ----------
    total : float
        Sum of the weights.
    n_users, n_items : int
        Those with plays.
    alpha : float
    """
    return float(REGULARIZATION_SHARE * alpha * total / np.sqrt(n_users * n_items))


def warn_of_absurd(median: float, alpha: float) -> None:
    """Warn where linear confidences leave no difference between one play and many.

    Parameters
    ----------
    median : float
        Median of the plays, by :func:`median_plays`.
    alpha : float
    """
    if alpha * median > ABSURD:
        warnings.warn(
            f"Half of the plays have a confidence of {1 + alpha * median:.0f} or more: "
            f"1 + alpha r, with alpha={alpha:g} and a median r of {median:g}. That is "
            "as good as certain, and the factors follow the few highest counts. Pass "
            'confidence="log", which suits any unit of r, or a lower alpha: '
            f"{1 / median:.2g} gives the median play the weight 1.",
            stacklevel=4,
        )
