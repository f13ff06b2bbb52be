"""Metrics of recommendations, one function each, registered by name.

A metric has one of three scopes. "order": of the whole order of one user's candidates.
"list": of the k best items of each user. "catalogue": of the lists of all users
together. :func:`~userlogfeat.evaluation.recommendation.evaluate_ranking` computes all
registered ones; conventions are there.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import sparse

from userlogfeat._registry import FunctionT, Registry
from userlogfeat._typing import ArrayLike

# Arguments that evaluate_ranking can pass to metrics of each scope.
GIVEN = {
    "order": ("ordered", "relevant"),
    "list": ("hits", "n_relevant", "items", "item_counts"),
    "catalogue": ("items", "is_candidate", "relevance", "item_counts"),
}


@dataclass(frozen=True)
class RankingMetric:
    """A registered metric; `needs` are the names of its arguments."""

    function: Callable[..., Any]
    scope: str
    needs: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        needs = tuple(inspect.signature(self.function).parameters)
        unknown = sorted(set(needs) - set(GIVEN[self.scope]))
        if unknown:
            raise ValueError(
                f"Got a metric of scope {self.scope!r} with the argument "
                f"{unknown[0]!r}, expected some of {', '.join(GIVEN[self.scope])}."
            )
        object.__setattr__(self, "needs", needs)


RANKING_METRICS = Registry("metric")


def register_ranking_metric(
    name: str, scope: Literal["order", "list", "catalogue"]
) -> Callable[[FunctionT], FunctionT]:
    """Register the decorated function as a metric of recommendations.

    Parameters
    ----------
    name : str
        Name of the metric, which must be new; scopes "list" and "catalogue" add "@k".
    scope : {"order", "list", "catalogue"}
        Scope of the metric, which decides the arguments it may have:

        - "order", for one user: `ordered` (n_candidates,), the scores of all
          candidates, ascending; `relevant` (n_relevant,), the scores of the relevant
          ones. It returns a float.
        - "list", for all users: `hits` (n_users, k), whether each recommended item is
          relevant, best first; `n_relevant` (n_users,); `items` (n_users, k), the
          recommended items, -1 for none; `item_counts` (n_items,). It returns
          (n_users,); users without relevant items are NaN whatever it returns.
        - "catalogue": `items` and `item_counts` as above; `is_candidate` (n_items,),
          whether the item is a candidate of anyone; `relevance`, csr (n_users,
          n_items). It returns a float.

        Metrics with the argument `item_counts` are computed where these are known.

    Returns
    -------
    callable
        Decorator.

    Examples
    --------
    >>> from userlogfeat.evaluation.recommendation_metrics import (
    ...     RANKING_METRICS, register_ranking_metric)
    >>> @register_ranking_metric("first_hit", "list")
    ... def first_hit(hits):
    ...     return hits[:, 0].astype(float)
    >>> del RANKING_METRICS["first_hit"]
    """
    return RANKING_METRICS.register(name, lambda f: RankingMetric(f, scope))


@register_ranking_metric("auc", "order")
def auc(ordered: np.ndarray, relevant: np.ndarray) -> float:
    """Area under the ROC curve of one user.

    How often a relevant item scores above another one, a tie counted half.

    Parameters
    ----------
    ordered : ndarray, shape (n_candidates,)
        The scores of all candidates, the relevant ones too, ascending.
    relevant : ndarray, shape (n_relevant,)
        The scores of the relevant ones.

    Returns
    -------
    float
        In [0, 1]; NaN where no candidate, or every one, is relevant.
    """
    n_relevant, n_others = len(relevant), len(ordered) - len(relevant)
    if n_relevant == 0 or n_others == 0:
        return np.nan
    below = np.searchsorted(ordered, relevant, side="left").sum()
    not_above = np.searchsorted(ordered, relevant, side="right").sum()
    # Against all candidates, ties half; relevant ones among themselves win half of it.
    pairs = (below + not_above) / 2 - n_relevant**2 / 2
    return pairs / (n_relevant * n_others)


@register_ranking_metric("average_precision", "order")
def average_precision(ordered: np.ndarray, relevant: np.ndarray) -> float:
    """Mean, over the relevant items of one user, of the precision down to each.

    Parameters
    ----------
    ordered, relevant : ndarray
        As in :func:`auc`.

    Returns
    -------
    float
        In (0, 1]; NaN where no candidate is relevant. Equal scores are taken in or left
        out together.
    """
    if len(relevant) == 0:
        return np.nan
    own = np.sort(relevant)
    hits = len(own) - np.searchsorted(own, own, side="left")
    taken = len(ordered) - np.searchsorted(ordered, own, side="left")
    return float((hits / taken).mean())


@register_ranking_metric("precision", "list")
def precision(hits: np.ndarray) -> np.ndarray:
    """Share of the k recommended items that are relevant, a value per user.

    Divided by k, also where fewer than k items are relevant or can be recommended.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
        Whether each recommended item is relevant, best first; False where there is
        none.

    Returns
    -------
    ndarray of float64, shape (n_users,)
        In [0, 1].
    """
    return hits.mean(axis=1)


@register_ranking_metric("recall", "list")
def recall(hits: np.ndarray, n_relevant: np.ndarray) -> np.ndarray:
    """Share of the relevant items that are among the k recommended, a value per user.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
        As in :func:`precision`.
    n_relevant : ndarray of int, shape (n_users,)
        How many items are relevant to each user, recommended or not.

    Returns
    -------
    ndarray of float64, shape (n_users,)
        In [0, 1]; NaN for users without relevant items.
    """
    return divide(hits.sum(axis=1), n_relevant)


@register_ranking_metric("ndcg", "list")
def ndcg(hits: np.ndarray, n_relevant: np.ndarray) -> np.ndarray:
    """Normalised discounted cumulative gain at k, a value per user.

    The sum of 1 / log2(1 + rank) over the hits, divided by the most that is possible:
    relevant items at all of the first min(k, n_relevant) ranks.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
    n_relevant : ndarray of int, shape (n_users,)
        As in :func:`recall`.

    Returns
    -------
    ndarray of float64, shape (n_users,)
        In [0, 1]; NaN for users without relevant items.
    """
    k = hits.shape[1]
    discounts = 1 / np.log2(np.arange(k) + 2)
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(n_relevant, k)]
    return divide(hits @ discounts, ideal)


@register_ranking_metric("mrr", "list")
def reciprocal_rank(hits: np.ndarray) -> np.ndarray:
    """1 / rank of the first relevant item among the k recommended, a value per user.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
        As in :func:`precision`.

    Returns
    -------
    ndarray of float64, shape (n_users,)
        In [0, 1]; 0 where none of the k is relevant. The mean over users is the MRR.
    """
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0.0)


@register_ranking_metric("hit_rate", "list")
def hit_rate(hits: np.ndarray) -> np.ndarray:
    """Whether any of the k recommended items is relevant, a value (0, 1) a user.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
        As in :func:`precision`.

    Returns
    -------
    ndarray of float64, shape (n_users,)
    """
    return hits.any(axis=1).astype(np.float64)


@register_ranking_metric("popularity", "list")
def popularity(items: np.ndarray, item_counts: np.ndarray) -> np.ndarray:
    """Mean count of the recommended items, a value per user.

    Parameters
    ----------
    items : ndarray of int, shape (n_users, k)
        Recommended items, -1 for none.
    item_counts : ndarray of float64, shape (n_items,)
        Number of users who had each item in training.

    Returns
    -------
    ndarray of float64, shape (n_users,)
        NaN for users without a recommendation.
    """
    counts = np.where(items >= 0, item_counts[items], 0.0).sum(axis=1)
    return divide(counts, (items >= 0).sum(axis=1))


@register_ranking_metric("coverage", "catalogue")
def coverage(items: np.ndarray, is_candidate: np.ndarray) -> float:
    """Proportion of the candidates of anyone that are recommended to anyone.

    Parameters
    ----------
    items : ndarray of int, shape (n_users, k)
        Recommended items, -1 for none.
    is_candidate : ndarray of bool, shape (n_items,)

    Returns
    -------
    float
        In [0, 1]; NaN without candidates.
    """
    n_shown = int((np.unique(items) >= 0).sum())
    return n_shown / is_candidate.sum() if is_candidate.any() else np.nan


@register_ranking_metric("popularity_lift", "catalogue")
def popularity_lift(
    items: np.ndarray, relevance: sparse.csr_matrix, item_counts: np.ndarray
) -> float:
    """Excess of the popularity of recommended items over that of relevant ones.

    Both are averaged in users first. Abdollahpouri, Mansoury, Burke, Mobasher (2019),
    *The unfairness of popularity bias in recommendation*.

    Parameters
    ----------
    items : ndarray of int, shape (n_users, k)
        Recommended items, -1 for none.
    relevance : csr_matrix, shape (n_users, n_items)
    item_counts : ndarray of float64, shape (n_items,)
        Number of users who had each item in training.

    Returns
    -------
    float
        0: alike; 1: twice as popular; NaN where relevant items have no counts.
    """
    liked = divide((relevance > 0) @ item_counts, np.diff(relevance.indptr))
    shown = popularity(items, item_counts)
    both = ~np.isnan(shown) & ~np.isnan(liked)
    usual = liked[both].mean() if both.any() else 0.0
    return shown[both].mean() / usual - 1 if usual > 0 else np.nan


def divide(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """The ratio; NaN where `b` is 0."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0)
