"""How well users' scores of items rank what they turned out to like.

Task: for every user, some items are relevant (held-out plays or likes) and all
candidates are scored; good scores put the relevant ones first.

Conventions. An item is relevant where `relevance` is above 0; how far above plays no
part. Metrics "at k" judge the k best candidates; of equal scores the item of the lower
index comes first, as :func:`userlogfeat.recommend` has it. AUC and average precision
judge the whole order and decide no tie: of a relevant and another item with equal
scores, half a pair is counted (AUC), and equal scores are one threshold (average
precision), as in scikit-learn. A user without relevant items has no score: NaN, counted
in the result and left out of the means.

Metrics. Per user: AUC, average precision; at k: precision, recall, NDCG (Järvelin &
Kekäläinen 2002, with gains of 0 and 1), reciprocal rank (its mean is the MRR) and hit
rate. Of all lists together: coverage of the catalogue, and popularity bias
(Abdollahpouri, Mansoury, Burke, Mobasher 2019, *The unfairness of popularity bias in
recommendation*).

What is held out is dealt by ``userlogfeat.evaluation.recommendation_splits``: per user,
by time, with users or items apart.

Chen, Liang, Ma, Gu (2021) report AUC and precision over each user's held-out liked and
disliked tracks: ``relevance=liked, candidates=liked + disliked``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from userlogfeat._typing import ArrayLike, Matrix
from userlogfeat.evaluation.ranking import (
    check_pairs,
    mask_of,
    score_blocks,
    top_items,
)
from userlogfeat.evaluation.recommendation_metrics import (
    auc,
    average_precision,
    divide,
    hit_rate,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)

__all__ = [
    "RankingScores",
    "auc",
    "average_precision",
    "evaluate_ranking",
    "hit_rate",
    "ndcg",
    "precision",
    "recall",
    "reciprocal_rank",
]


@dataclass(frozen=True, eq=False)
class RankingScores:
    """What :func:`evaluate_ranking` found.

    Attributes
    ----------
    per_user : dict of str to ndarray of float64, shape (n_users,)
        "auc", "average_precision" and, for each k, "precision@k", "recall@k",
        "ndcg@k", "mrr@k", "hit_rate@k"; with `item_counts`, "popularity@k", the mean
        count of the recommended items. NaN where undefined.
    overall : dict of str to float
        For each k "coverage@k", the share of the items that are candidates of anyone
        which are recommended to anyone; with `item_counts`, "popularity_lift@k", by how
        much the recommended items are more popular than the relevant ones (0: alike,
        1: twice as popular), both averaged in users first.
    n_users : int
        Rows of `relevance`.
    n_without_positives : int
        Users without a relevant item: NaN everywhere, in no mean. They get a list of
        recommendations all the same, which counts for coverage.
    n_without_negatives : int
        Users to whom every candidate is relevant: their AUC is NaN.
    """

    per_user: dict[str, np.ndarray]
    overall: dict[str, float]
    n_users: int
    n_without_positives: int
    n_without_negatives: int

    @property
    def means(self) -> dict[str, float]:
        """Mean of each metric over the users that have it (NaN: nobody), and `overall`.

        Returns
        -------
        dict of str to float
        """
        means = {}
        for name, values in self.per_user.items():
            known = values[~np.isnan(values)]
            means[name] = float(known.mean()) if len(known) else np.nan
        return means | self.overall

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in self.means.items())
        return (
            f"<RankingScores of {self.n_users - self.n_without_positives} users "
            f"({self.n_without_positives} without positives): {shown}>"
        )


def evaluate_ranking(
    relevance: Matrix,
    scores: ArrayLike | tuple[ArrayLike, ArrayLike] | Callable[[slice], np.ndarray],
    *,
    k: int | Sequence[int] = 10,
    candidates: Matrix | None = None,
    exclude: Matrix | None = None,
    item_counts: ArrayLike | None = None,
) -> RankingScores:
    """Judge scores of items by what users turned out to like.

    A block of users at a time: users x items are never in memory at once, unless
    `scores` is such an array.

    Parameters
    ----------
    relevance : csr matrix, shape (n_users, n_items)
        Above 0 where the item is relevant to the user: the held-out plays or likes.
    scores : ndarray, (user_embeddings, item_embeddings), or callable
        Scores (n_users, n_items); or a tuple of embeddings, whose scalar products are
        the scores (bring them to unit length for cosines); or a function of a slice of
        users that returns theirs, (n_slice, n_items). Infinite scores are in order.
    k : int or sequence of int
        Length of the lists of recommendations.
    candidates : csr matrix, shape (n_users, n_items), optional
        What is ranked for each user: the stored entries that are not 0. By default all.
    exclude : csr matrix, shape (n_users, n_items), optional
        What is not ranked: the items a user has from training.
    item_counts : array-like, shape (n_items,), optional
        How many users had each item in training, for the popularity metrics.

    Returns
    -------
    RankingScores

    Raises
    ------
    ValueError
        Where shapes do not fit; a score is NaN; relevance is negative or NaN; or a
        relevant item of a user is excluded, or no candidate.

    Examples
    --------
    Two users, four items. The first likes items 1 and 2 and gets 1 and 0; the second
    has no held-out item:

    >>> import numpy as np
    >>> from userlogfeat.evaluation.recommendation import evaluate_ranking
    >>> relevance = np.array([[0, 1, 1, 0], [0, 0, 0, 0]])
    >>> scores = np.array([[0.7, 0.9, 0.6, 0.1], [0.1, 0.2, 0.3, 0.4]])
    >>> result = evaluate_ranking(relevance, scores, k=2)
    >>> result.per_user["recall@2"], result.per_user["auc"]
    (array([0.5, nan]), array([0.75,  nan]))
    >>> result.n_without_positives, result.means["coverage@2"]
    (1, 1.0)
    """
    lengths = _check_lengths(k)
    relevance = _check_relevance(relevance)
    candidates = check_pairs(candidates, "candidates", relevance.shape)
    exclude = check_pairs(exclude, "exclude", relevance.shape)
    _check_ranked(relevance, candidates, exclude)
    n_users, n_items = relevance.shape
    item_counts = _check_counts(item_counts, n_items)
    n_relevant = np.diff(relevance.indptr)
    whole = {name: np.full(n_users, np.nan) for name in ("auc", "average_precision")}
    top = np.empty((n_users, max(lengths)), dtype=np.int64)
    hits = np.zeros(top.shape, dtype=bool)
    possible = np.zeros(n_items, dtype=bool)
    n_ranked = np.empty(n_users, dtype=np.int64)
    for rows, block in score_blocks(scores, relevance.shape):
        ranked = _ranked_mask(candidates, exclude, rows)
        possible |= True if ranked is None else ranked.any(axis=0)
        n_ranked[rows] = n_items if ranked is None else ranked.sum(axis=1)
        liked = mask_of(relevance, rows)
        chosen, _ = top_items(block, max(lengths), candidates=ranked)
        top[rows] = chosen
        hits[rows] = np.take_along_axis(liked, chosen.clip(0), axis=1) & (chosen >= 0)
        _judge_order(whole, rows, block, ranked, relevance)
    per_user = whole | _at_each(lengths, hits, n_relevant)
    overall = _catalogue_metrics(lengths, top, possible)
    if item_counts is not None:
        popular, lift = _popularity(lengths, top, relevance, item_counts)
        per_user, overall = per_user | popular, overall | lift
    return RankingScores(
        per_user=per_user,
        overall=overall,
        n_users=n_users,
        n_without_positives=int((n_relevant == 0).sum()),
        n_without_negatives=int(((n_relevant == n_ranked) & (n_relevant > 0)).sum()),
    )


def _judge_order(whole, rows, block, ranked, relevance):
    """Fill in the metrics of the whole order for a block of users; sorts it."""
    users = np.flatnonzero(np.diff(relevance.indptr[rows.start : rows.stop + 1]))
    if len(users) == 0:
        return
    liked = [
        relevance.indices[slice(*relevance.indptr[[u, u + 1]])]
        for u in users + rows.start
    ]
    own = [block[user, items] for user, items in zip(users, liked, strict=True)]
    ordered = block[users]  # a copy
    if ranked is not None:
        ordered[~ranked[users]] = np.nan  # sorted to the end
    ordered.sort(axis=1)
    ends = np.full(len(users), block.shape[1])
    if ranked is not None:
        ends = ranked[users].sum(axis=1)
    for user, row, end, relevant in zip(users, ordered, ends, own, strict=True):
        whole["auc"][rows.start + user] = auc(row[:end], relevant)
        whole["average_precision"][rows.start + user] = average_precision(
            row[:end], relevant
        )


def _at_each(lengths, hits, n_relevant):
    """The metrics at each k; NaN for users without relevant items."""
    values = {}
    for k in lengths:
        first = hits[:, :k]
        values[f"precision@{k}"] = precision(first)
        values[f"recall@{k}"] = recall(first, n_relevant)
        values[f"ndcg@{k}"] = ndcg(first, n_relevant)
        values[f"mrr@{k}"] = reciprocal_rank(first)
        values[f"hit_rate@{k}"] = hit_rate(first)
    return {
        name: np.where(n_relevant > 0, value, np.nan) for name, value in values.items()
    }


def _catalogue_metrics(lengths, top, possible):
    """Coverage at each k: recommended to anyone, of what could be."""
    coverage = {}
    for k in lengths:
        shown = np.unique(top[:, :k])
        n_shown = int((shown >= 0).sum())
        share = n_shown / possible.sum() if possible.any() else np.nan
        coverage[f"coverage@{k}"] = float(share)
    return coverage


def _popularity(lengths, top, relevance, item_counts):
    """Mean count of each user's list, and how far lists lie above what was liked."""
    n_relevant = np.diff(relevance.indptr)
    liked = divide((relevance > 0) @ item_counts, n_relevant)
    per_user, lift = {}, {}
    for k in lengths:
        first = top[:, :k]
        counts = np.where(first >= 0, item_counts[first], 0.0).sum(axis=1)
        shown = divide(counts, (first >= 0).sum(axis=1))
        per_user[f"popularity@{k}"] = np.where(n_relevant > 0, shown, np.nan)
        both = ~np.isnan(shown) & ~np.isnan(liked)
        usual = liked[both].mean() if both.any() else 0.0
        lift[f"popularity_lift@{k}"] = (
            float(shown[both].mean() / usual - 1) if usual > 0 else np.nan
        )
    return per_user, lift


def _ranked_mask(candidates, exclude, rows):
    """Which items are ranked for a slice of users; None: all."""
    if candidates is None and exclude is None:
        return None
    if candidates is None:
        return ~mask_of(exclude, rows)
    ranked = mask_of(candidates, rows)
    if exclude is not None:
        ranked &= ~mask_of(exclude, rows)
    return ranked


def _check_lengths(k):
    lengths = list(k) if np.iterable(k) else [k]
    if not lengths or any(
        isinstance(n, bool) or not isinstance(n, Integral) or n < 1 for n in lengths
    ):
        raise ValueError(f"Got k={k!r}, expected a positive integer, or several.")
    return sorted({int(n) for n in lengths})


def _check_relevance(relevance):
    relevance = check_pairs(relevance, "relevance", None)
    if 0 in relevance.shape:
        raise ValueError(
            f"Got relevance of shape {relevance.shape}: there is nobody, or nothing, "
            "to evaluate."
        )
    if not (relevance.data > 0).all():
        raise ValueError(
            "relevance holds NaN or negative values, expected 0 or more. For likes and "
            "dislikes pass relevance=liked, candidates=liked + disliked."
        )
    return relevance


def _check_ranked(relevance, candidates, exclude):
    """Raise where an item that is relevant to a user is not ranked for that user."""
    relevant = relevance > 0
    outside = None if exclude is None else relevant.multiply(exclude != 0)
    cause = "excluded: is one play in training and test?"
    if (outside is None or outside.nnz == 0) and candidates is not None:
        outside = relevant - relevant.multiply(candidates != 0)
        outside.eliminate_zeros()
        cause = "no candidate."
    if outside is not None and outside.nnz:
        user, item = (int(index[0]) for index in outside.nonzero())
        raise ValueError(
            f"Item {item} is relevant to user {user} but {cause} {outside.nnz} such "
            "pairs could never be found; take them out of relevance, or let them be "
            "ranked."
        )


def _check_counts(item_counts, n_items):
    if item_counts is None:
        return None
    item_counts = np.asarray(item_counts, dtype=np.float64)
    if item_counts.shape != (n_items,):
        raise ValueError(
            f"Got item_counts of shape {item_counts.shape}, expected ({n_items},): how "
            "many users had each item."
        )
    if not (np.isfinite(item_counts).all() and (item_counts >= 0).all()):
        raise ValueError("item_counts holds negative, NaN or infinite numbers.")
    return item_counts
