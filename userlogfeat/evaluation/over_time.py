"""Evaluation over time: train until a week, recommend for a later one, over all weeks.

A random split lets a model learn from the future of what it is judged by. Here it
knows the plays before a moment and is judged by new items that users played later: in
the next week (age 0), or in weeks after that, as if it had not been trained again
meanwhile. All ages are judged on the same weeks and users, so they can be compared.

For a week, relevant are the items that a user plays in it for the first time; all that
was played before the week is excluded, since a service knows it, however old its model.
Judged are users with plays before the oldest of the models.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from scipy import sparse

from userlogfeat._check import check_number, check_positive
from userlogfeat._typing import Matrix
from userlogfeat.evaluation.recommendation import evaluate_ranking


@dataclass(frozen=True, eq=False)
class AgeScores:
    """Result of :func:`evaluate_over_time`.

    Attributes
    ----------
    ages : ndarray of int, shape (n_ages,)
        Weeks that a model was not trained on, between its last one and the judged one.
    weeks : ndarray of int, shape (n_weeks,)
        Weeks that were judged.
    per_week : dict of str to ndarray of float64, shape (n_ages, n_weeks)
        Mean of each metric of :func:`evaluate_ranking` over users; NaN where nobody
        played anything new.
    n_users : ndarray of int, shape (n_weeks,)
        Users who did.
    """

    ages: np.ndarray
    weeks: np.ndarray
    per_week: dict[str, np.ndarray]
    n_users: np.ndarray

    def table(self, metric: str = "ndcg@10") -> list[dict[str, Any]]:
        """Return quality against age: a row for each age.

        Parameters
        ----------
        metric : str

        Returns
        -------
        list of dict
            "age"; "mean" over weeks; "lost", the mean of what is lost against age 0 in
            the same week; and "lost_error", its standard error over weeks.
        """
        if metric not in self.per_week:
            raise ValueError(
                f"Got metric={metric!r}, expected one of {', '.join(self.per_week)}."
            )
        scores = self.per_week[metric][:, self.n_users > 0]
        rows = []
        for age, own in zip(self.ages.tolist(), scores, strict=True):
            lost = scores[0] - own
            error = np.std(lost, ddof=1) / np.sqrt(len(lost)) if len(lost) > 1 else 0.0
            mean = {"mean": float(own.mean()), "lost": float(lost.mean())}
            rows.append({"age": age} | mean | {"lost_error": float(error)})
        return rows


def evaluate_over_time(
    weeks: Sequence[Matrix],
    fit: Callable[[sparse.csr_matrix], Any],
    *,
    max_age: int = 4,
    first: int = 1,
    k: int | Sequence[int] = 10,
) -> AgeScores:
    """Train until each week, and recommend for the weeks that follow.

    Parameters
    ----------
    weeks : sequence of csr matrix, shape (n_users, n_items)
        Plays of each week (or day, or month), oldest first. Users and items are the
        same in all: ``read_logs(..., user_ids=, item_ids=, since=, until=)``.
    fit : callable
        From the sum of the weeks before, (n_users, n_items), to scores as
        :func:`evaluate_ranking` takes them: embeddings of users and items, say. It
        is called once a week, and may keep what it needs to go on from.
    max_age : int
        Oldest model to judge, in weeks.
    first : int
        Least number of weeks to train on.
    k : int or sequence of int
        Lengths of the lists of recommendations.

    Returns
    -------
    AgeScores

    Raises
    ------
    ValueError
        Where there are fewer than ``first + max_age + 1`` weeks, or shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat.evaluation.over_time import evaluate_over_time
    >>> weeks = [np.eye(3, 4, shift) for shift in range(4)]  # each plays the next item
    >>> def popular(history):
    ...     return np.tile(np.asarray(history.sum(axis=0)), (3, 1))
    >>> scores = evaluate_over_time(weeks, popular, max_age=1, k=2)
    >>> scores.weeks.tolist(), scores.per_week["recall@2"].shape
    ([2, 3], (2, 2))
    """
    check_positive(first, "first", integer=True)
    check_number(max_age, "max_age", 0, integer=True)
    weeks = [sparse.csr_matrix(week) for week in weeks]
    _check_weeks(weeks, first + max_age + 1)
    judged = range(first + max_age, len(weeks))
    # The sum of the weeks before each week, and of all.
    nothing = sparse.csr_matrix(weeks[0].shape, dtype=weeks[0].dtype)
    before = list(accumulate(weeks, lambda a, b: (a + b).tocsr(), initial=nothing))
    models, per_week, n_users = {}, {}, []
    for number in range(first, judged[-1] + 1):
        models[number] = fit(before[number])
        if number not in judged:
            continue
        past, oldest = before[number], before[number - max_age]
        relevance = _first_plays(weeks[number], past, oldest)
        n_users.append(int((np.diff(relevance.indptr) > 0).sum()))
        for age in range(max_age + 1):
            found = evaluate_ranking(relevance, models[number - age], k=k, exclude=past)
            for name, value in found.means.items():
                per_week.setdefault(name, []).append(value)
        models.pop(number - max_age)
    shape = (len(judged), max_age + 1)
    scores = {name: np.reshape(values, shape).T for name, values in per_week.items()}
    ages = np.arange(max_age + 1)
    return AgeScores(ages, np.array(judged), scores, np.array(n_users))


def _first_plays(week, before, oldest):
    """Keep the plays of new items by users whom the oldest model knows."""
    plays = (week > 0).astype(np.float32)
    plays = plays - plays.multiply(before > 0)
    known = sparse.diags_array((np.diff(oldest.indptr) > 0).astype(np.float32))
    plays = sparse.csr_matrix(known @ plays)
    plays.eliminate_zeros()
    return plays


def _check_weeks(weeks, n_needed):
    if len(weeks) < n_needed:
        raise ValueError(
            f"Got {len(weeks)} weeks, expected {n_needed} at least: first + max_age + "
            "1. Lower max_age, or cut the logs into shorter periods."
        )
    for number, week in enumerate(weeks):
        if week.shape != weeks[0].shape:
            raise ValueError(
                f"Week {number} has shape {week.shape}, but week 0 {weeks[0].shape}. "
                "Read all with the same ids: read_logs(..., user_ids=, item_ids=)."
            )
