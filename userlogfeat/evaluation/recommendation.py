"""Evaluation of recommendations: how well scores rank the items that users liked.

Task: for every user, some items are relevant (held-out plays or likes) and all
candidates are scored; good scores put the relevant ones first.

Conventions. An item is relevant where `relevance` is above 0; how far above does not
matter. Metrics "at k" use the k best candidates; of equal scores the item of the lower
index comes first, as in :func:`userlogfeat.recommend`. AUC and average precision use
the order of all candidates and break no ties: a relevant and another item with equal
scores count as half a pair (AUC), and equal scores are one threshold (average
precision), as in scikit-learn. A user without relevant items has no score: NaN, counted
in the result and left out of the means.

Metrics are registered in ``userlogfeat.evaluation.recommendation_metrics``. Per user:
AUC, average precision; at k: precision, recall, NDCG (Järvelin & Kekäläinen 2002, with
gains of 0 and 1), reciprocal rank (its mean is the MRR) and hit rate. Of all lists
together: coverage of the catalogue, and popularity bias.

``userlogfeat.evaluation.recommendation_splits`` holds out plays per user, by time, or
with users or items apart.

Chen, Liang, Ma, Gu (2021) report AUC and precision over each user's held-out liked and
disliked tracks: ``relevance=liked, candidates=liked + disliked``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from userlogfeat._typing import ArrayLike, Matrix
from userlogfeat.evaluation.ranking import check_pairs, mask_of, score_blocks, top_items
from userlogfeat.evaluation.recommendation_metrics import RANKING_METRICS


@dataclass(frozen=True, eq=False)
class RankingScores:
    """Result of :func:`evaluate_ranking`.

    Attributes
    ----------
    per_user : dict of str to ndarray of float64, shape (n_users,)
        Registered metrics of the scopes "order" and "list": "auc", "average_precision"
        and, for each k, "precision@k", "recall@k", "ndcg@k", "mrr@k", "hit_rate@k" and,
        with `item_counts`, "popularity@k". NaN where undefined.
    overall : dict of str to float
        Registered metrics of the scope "catalogue": for each k "coverage@k" and, with
        `item_counts`, "popularity_lift@k".
    n_users : int
        Rows of `relevance`.
    n_without_positives : int
        Number of users without a relevant item: NaN everywhere, in no mean. They get
        recommendations all the same, which count for coverage.
    n_without_negatives : int
        Number of users to whom every candidate is relevant: their AUC is NaN.
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
    """Evaluate scores of items by the items that users turned out to like.

    Users are processed in blocks: users x items are never in memory at once, unless
    `scores` is such an array.

    Parameters
    ----------
    relevance : csr matrix, shape (n_users, n_items)
        Above 0 where the item is relevant to the user: the held-out plays or likes.
    scores : ndarray, (user_embeddings, item_embeddings), or callable
        Scores (n_users, n_items); or a tuple of embeddings, whose scalar products are
        the scores (bring them to unit length for cosines); or a function of a slice of
        users that returns theirs, (n_slice, n_items). Infinite scores are allowed.
    k : int or sequence of int
        Lengths of the lists of recommendations.
    candidates : csr matrix, shape (n_users, n_items), optional
        Items to rank for each user: the stored entries that are not 0. By default all.
    exclude : csr matrix, shape (n_users, n_items), optional
        Items not to rank: those a user has from training.
    item_counts : array-like, shape (n_items,), optional
        Number of users who had each item in training, for the popularity metrics.

    Returns
    -------
    RankingScores

    Raises
    ------
    ValueError
        If shapes do not fit; a score is NaN; relevance is negative or NaN; or a
        relevant item of a user is excluded, or not a candidate.

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
    by_order = {name: np.full(n_users, np.nan) for name in _metrics("order")}
    top = np.empty((n_users, max(lengths)), dtype=np.int64)
    hits = np.zeros(top.shape, dtype=bool)
    is_candidate = np.zeros(n_items, dtype=bool)
    n_ranked = np.empty(n_users, dtype=np.int64)
    for rows, block in score_blocks(scores, relevance.shape):
        ranked = _ranked_mask(candidates, exclude, rows)
        is_candidate |= True if ranked is None else ranked.any(axis=0)
        n_ranked[rows] = n_items if ranked is None else ranked.sum(axis=1)
        liked = mask_of(relevance, rows)
        chosen, _ = top_items(block, max(lengths), candidates=ranked)
        top[rows] = chosen
        hits[rows] = np.take_along_axis(liked, chosen.clip(0), axis=1) & (chosen >= 0)
        _score_order(by_order, rows, block, ranked, relevance)
    known = {"n_relevant": n_relevant, "is_candidate": is_candidate}
    known["relevance"] = relevance
    if item_counts is not None:
        known["item_counts"] = item_counts
    at_k, overall = {}, {}
    for k in lengths:
        known |= {"hits": hits[:, :k], "items": top[:, :k]}
        for name, values in _compute("list", known).items():
            at_k[f"{name}@{k}"] = np.where(n_relevant > 0, values, np.nan)
        for name, value in _compute("catalogue", known).items():
            overall[f"{name}@{k}"] = float(value)
    return RankingScores(
        per_user=by_order | at_k,
        overall=overall,
        n_users=n_users,
        n_without_positives=int((n_relevant == 0).sum()),
        n_without_negatives=int(((n_relevant == n_ranked) & (n_relevant > 0)).sum()),
    )


def _metrics(scope):
    return {n: m for n, m in RANKING_METRICS.items() if m.scope == scope}


def _compute(scope, known):
    """Compute the metrics of a scope whose arguments are known."""
    return {
        name: metric.function(**{need: known[need] for need in metric.needs})
        for name, metric in _metrics(scope).items()
        if set(metric.needs) <= set(known)
    }


def _score_order(by_order, rows, block, ranked, relevance):
    """Fill in the metrics of the whole order for a block of users."""
    users = np.flatnonzero(np.diff(relevance.indptr[rows.start : rows.stop + 1]))
    if len(users) == 0:
        return
    ordered = block[users]  # a copy
    ends = np.full(len(users), block.shape[1])
    if ranked is not None:
        ordered[~ranked[users]] = np.nan  # sorted to the end
        ends = ranked[users].sum(axis=1)
    ordered.sort(axis=1)
    for user, row, end in zip(users, ordered, ends, strict=True):
        place = rows.start + user
        liked = relevance.indices[slice(*relevance.indptr[[place, place + 1]])]
        known = {"ordered": row[:end], "relevant": block[user, liked]}
        for name, value in _compute("order", known).items():
            by_order[name][place] = value


def _ranked_mask(candidates, exclude, rows):
    """Return the items to rank for a slice of users as a mask; None: all."""
    ranked = None if candidates is None else mask_of(candidates, rows)
    if exclude is None:
        return ranked
    left = ~mask_of(exclude, rows)
    return left if ranked is None else ranked & left


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
    """Raise if an item that is relevant to a user is not ranked for that user."""
    relevant = relevance > 0
    outside = None if exclude is None else relevant.multiply(exclude != 0)
    cause = "excluded: is the same play in training and test?"
    if (outside is None or outside.nnz == 0) and candidates is not None:
        outside = relevant - relevant.multiply(candidates != 0)
        outside.eliminate_zeros()
        cause = "not a candidate."
    if outside is not None and outside.nnz:
        user, item = (int(index[0]) for index in outside.nonzero())
        raise ValueError(
            f"Item {item} is relevant to user {user} but {cause} Such pairs "
            f"({outside.nnz} here) can never be found. Take them out of relevance, or "
            "let them be candidates."
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
