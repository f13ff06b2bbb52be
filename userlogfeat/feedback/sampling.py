"""Dislikes that nobody expressed, drawn from items that users have never played.

A stand-in for logs without dislikes: most of these items are of no interest to the
user, and some would be liked. So the drawn ones stay marked.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from userlogfeat._check import check_positive
from userlogfeat._typing import RandomState
from userlogfeat.feedback.rules import Feedback


def sample_dislikes(
    feedback: Feedback,
    played: sparse.csr_matrix,
    *,
    n_per_like: float = 1.0,
    random_state: RandomState = None,
) -> Feedback:
    """Add dislikes that nobody expressed: items that a user has never played.

    Each is as probable as any other. A user with fewer such items than requested gets
    all of them.

    Parameters
    ----------
    feedback : Feedback
        Likes, and perhaps dislikes.
    played : csr_matrix (n_users, n_items)
        Plays of each user, such as ``Interactions.user_items`` of the same logs:
        entries above 0.
    n_per_like : float
        Dislikes to draw for every like of a user, rounded.
    random_state : int, RandomState or None
        Seed of the draw.

    Returns
    -------
    Feedback
        With the drawn dislikes marked in `sampled`, and in its `rule`.

    Raises
    ------
    ValueError
        Where shapes differ, or plays are negative or not finite.

    Examples
    --------
    >>> import polars as pl
    >>> from userlogfeat import read_logs
    >>> from userlogfeat.feedback import feedback_of_logs, sample_dislikes
    >>> plays = pl.DataFrame({
    ...     "user": ["ann", "ann", "bob", "bob"], "item": ["a", "b", "c", "d"],
    ...     "plays": [9, 8, 2, 7],
    ... })
    >>> logs = read_logs(plays, count="plays")
    >>> feedback = feedback_of_logs(logs, "counts")
    >>> sample_dislikes(feedback, logs.user_items, random_state=0)
    <Feedback: 2 users, 4 items, 3 liked, 3 disliked (3 of them sampled, not
    expressed); counts: liked from 5, disliked up to 1; dislikes sampled from ...>
    """
    check_positive(n_per_like, "n_per_like")
    verdicts, played = feedback.user_items, sparse.csr_matrix(played)
    if played.shape != verdicts.shape:
        raise ValueError(
            f"Got played of shape {played.shape}, expected {verdicts.shape}, users x "
            "items as in the feedback. Pass the user_items of the same logs."
        )
    bad = ~((played.data >= 0) & np.isfinite(played.data))
    if bad.any():
        raise ValueError(
            f"Got played with {bad.sum()} entries that are negative, NaN or infinite "
            f"(the first is {played.data[bad.argmax()]}), expected numbers of plays. "
            "Pass the user_items of the logs, not verdicts or ratings."
        )
    known = sparse.csr_matrix(abs(verdicts) + abs(played), copy=False)
    known.eliminate_zeros()
    n_free = verdicts.shape[1] - np.diff(known.indptr)
    wanted = np.round(n_per_like * feedback.counts()[0]).astype(np.int64)
    seed = check_random_state(random_state).randint(2**31 - 1)
    pairs = _draw_unknown(known, np.minimum(wanted, n_free), seed)
    users, items = np.divmod(pairs, verdicts.shape[1])
    drawn = sparse.csr_matrix(
        (np.ones(len(pairs), np.float32), (users, items)), shape=verdicts.shape
    )
    sampled = drawn.astype(bool)
    if feedback.sampled is not None:
        sampled = (sampled + feedback.sampled).tocsr()
    return replace(
        feedback,
        user_items=(verdicts - drawn).tocsr(),
        rule=f"{feedback.rule}; dislikes sampled from items that the user never played",
        sampled=sampled,
    )


def _draw_unknown(known, wanted, seed):
    """Draw `wanted[u]` different entries of row u that `known` does not have.

    Pairs are numbers, user * n_items + item. Entries are drawn, and drawn again where
    they are known or come twice: no entry is favoured. A row of which more than half
    would be taken is drawn from a list of its free entries.
    """
    rng = np.random.default_rng(seed)
    n_users, n_items = known.shape
    n_known = np.diff(known.indptr)
    users = np.repeat(np.arange(n_users), n_known)
    taken = users * n_items + known.indices
    crowded = 2 * (n_known + wanted) > n_items
    drawn = []
    for user in np.flatnonzero(crowded & (wanted > 0)):
        free = np.ones(n_items, bool)
        free[known.indices[known.indptr[user] : known.indptr[user + 1]]] = False
        chosen = rng.choice(np.flatnonzero(free), wanted[user], replace=False)
        drawn.append(user * n_items + chosen)
    missing = np.where(crowded, 0, wanted)
    while missing.any():
        pairs = np.repeat(np.arange(n_users), missing) * n_items
        pairs = np.unique(pairs + rng.integers(n_items, size=len(pairs)))
        pairs = pairs[~np.isin(pairs, taken, assume_unique=True)]
        drawn.append(pairs)
        taken = np.concatenate([taken, pairs])
        missing = missing - np.bincount(pairs // n_items, minlength=n_users)
    return np.sort(np.concatenate([np.empty(0, np.int64), *drawn]))
