"""Plays as samples: split, search and score models of logs with scikit-learn.

scikit-learn splits the rows of X. To choose settings of a model of logs, it is single
plays that must be held out, of users who stay: so here a sample is a pair of user and
item. :class:`Plays` wraps a matrix so that any splitter of scikit-learn divides its
pairs, :class:`PlaySplit` holds out the same part of each user's, and
:class:`HeldOutPlays` scores how well a fitted model ranks them::

    GridSearchCV(
        CFEmbedding(), {"alpha": [3, 10, 30]}, cv=PlaySplit(), scoring=HeldOutPlays()
    ).fit(Plays(logs.user_items))
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from userlogfeat._check import check_choice, check_number, check_positive
from userlogfeat._typing import Matrix
from userlogfeat.evaluation.ranking import check_pairs, keep_pairs, unit_rows
from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.evaluation.recommendation_splits import split_per_user


class Plays:
    """The pairs of user and item in a log, as samples for scikit-learn.

    Parameters
    ----------
    user_items : csr matrix or array, shape (n_users, n_items)
        How often each user played each item: not negative.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.evaluation.play_search import Plays
    >>> plays = Plays([[1, 0, 5], [2, 1, 0]])
    >>> plays
    <Plays: 4 of 4, of 2 users and 3 items>
    >>> plays[np.array([0, 3])].user_items.toarray()
    array([[1, 0, 0],
           [0, 1, 0]])
    """

    def __init__(self, user_items: Matrix) -> None:
        self._whole = check_pairs(user_items, "user_items", None)
        self._kept = np.arange(self._whole.nnz)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of plays, and of items."""
        return len(self._kept), self._whole.shape[1]

    @property
    def user_items(self) -> sparse.csr_matrix:
        """Plays of this part, (n_users, n_items): all users and items stay."""
        return keep_pairs(self._whole, self._kept)

    @property
    def rest(self) -> sparse.csr_matrix:
        """All other plays of the log, (n_users, n_items)."""
        others = np.setdiff1d(np.arange(self._whole.nnz), self._kept)
        return keep_pairs(self._whole, others)

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, key: Any) -> "Plays":
        if isinstance(key, tuple):  # as scikit-learn indexes rows: plays[rows, ...]
            key = key[0]
        part = Plays.__new__(Plays)
        part._whole = self._whole
        part._kept = np.sort(np.atleast_1d(self._kept[key]))
        return part

    def __repr__(self) -> str:
        users, items = self._whole.shape
        return (
            f"<Plays: {len(self)} of {self._whole.nnz}, of {users} users and {items} "
            "items>"
        )


@dataclass(frozen=True)
class PlaySplit:
    """Hold out the same part of each user's plays: a splitter for scikit-learn.

    Parameters
    ----------
    n_splits : int
        Number of draws.
    test_size : float
        Part of each user's plays to hold out, rounded. A user keeps at least one.
    random_state : int
        Seed of the draws.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.evaluation.play_search import Plays, PlaySplit
    >>> ((train, test),) = PlaySplit().split(Plays(np.ones((3, 5))))
    >>> len(train), len(test)
    (12, 3)
    """

    n_splits: int = 1
    test_size: float = 0.2
    random_state: int = 0

    def split(
        self, X: Plays, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield numbers of the plays to train on, and of those held out.

        Parameters
        ----------
        X : Plays
        y, groups : None
            Ignored.
        """
        _check_plays(X)
        check_positive(self.n_splits, "n_splits", integer=True)
        check_number(self.test_size, "test_size", 0, 1, ends="()")
        numbered = X.user_items
        numbered.data = np.arange(1, len(X) + 1)  # no play is number 0, which is none
        parts = (1 - self.test_size, self.test_size)
        for draw in range(self.n_splits):
            seed = self.random_state + draw
            train, test = split_per_user(numbered, parts, seed=seed)
            yield train.data - 1, test.data - 1

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of draws."""
        return self.n_splits


@dataclass(frozen=True)
class HeldOutPlays:
    """Score a fitted model of logs by its ranking of held-out plays.

    Each user is embedded by the other plays of the log, all items that are not among
    these are ranked, and those held out should come first. A metric averages over the
    users with held-out plays.

    Parameters
    ----------
    metric : str
        A name in :func:`userlogfeat.evaluation.recommendation.evaluate_ranking`'s
        means: "ndcg@10", "recall@50", "hit_rate@200", "auc", ...
    similarity : {"dot", "cosine"}
        How users and items are compared.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from userlogfeat import CFEmbedding
    >>> from userlogfeat.evaluation.play_search import HeldOutPlays, Plays, PlaySplit
    >>> listened = np.kron(np.eye(2), np.ones((10, 5)))
    >>> search = GridSearchCV(
    ...     CFEmbedding(n_factors=2, random_state=0), {"alpha": [1, 10]},
    ...     cv=PlaySplit(), scoring=HeldOutPlays(),
    ... ).fit(Plays(listened))
    >>> print(search.best_score_)
    1.0
    """

    metric: str = "ndcg@10"
    similarity: str = "dot"

    def __call__(self, estimator: Any, X: Plays, y: Any = None) -> float:
        """Return the score of the plays in X, of which the estimator saw the rest.

        Parameters
        ----------
        estimator : CFEmbedding, UserEmbedding or alike
            Fitted, with ``transform(user_items)`` and `item_factors_` or
            `item_embeddings_`.
        X : Plays
        y : None
            Ignored.
        """
        _check_plays(X)
        check_choice(self.similarity, "similarity", ("dot", "cosine"))
        history = X.rest
        held_out = X.user_items
        asked = np.flatnonzero(np.diff(held_out.indptr) * np.diff(history.indptr))
        users = np.asarray(estimator.transform(history[asked]))
        items = _items_of(estimator)
        if self.similarity == "cosine":
            users, items = unit_rows(users), unit_rows(items)
        _, at, k = self.metric.partition("@")
        length = int(k) if at and k.isdigit() else 10
        scores = evaluate_ranking(
            held_out[asked], (users, items), k=length, exclude=history[asked]
        ).means
        if self.metric not in scores:
            raise ValueError(
                f"Got metric={self.metric!r}, expected one of {', '.join(scores)}, or "
                "with another number after the @."
            )
        return scores[self.metric]


def _check_plays(X):
    if not isinstance(X, Plays):
        raise TypeError(
            f"Got X of type {type(X).__name__}, expected Plays: pass Plays(user_items) "
            "to the search, whose samples are plays and not users."
        )


def _items_of(estimator):
    for name in ("item_factors_", "item_embeddings_"):
        if hasattr(estimator, name):
            return np.asarray(getattr(estimator, name))
    raise TypeError(
        f"{type(estimator).__name__} has neither item_factors_ nor item_embeddings_: "
        "items have no place among its users."
    )
