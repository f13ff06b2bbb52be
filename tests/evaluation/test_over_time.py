"""Evaluation over time, on weeks whose right answer is known."""

import numpy as np
import pytest
from scipy import sparse

from userlogfeat.evaluation.over_time import evaluate_over_time

N_USERS, N_WEEKS = 6, 7


def staircase():
    """In week w each user plays item w, all of them for the first time."""
    weeks = []
    for week in range(N_WEEKS):
        plays = np.zeros((N_USERS, N_WEEKS))
        plays[:, week] = 1
        weeks.append(sparse.csr_matrix(plays))
    return weeks


def follower(history):
    """Knows the rule, and predicts the item after the last that it has seen."""
    n_seen = int((np.asarray(history.sum(axis=0)) > 0).sum())
    scores = np.tile(np.arange(N_WEEKS) / 100, (N_USERS, 1))  # then the last ones
    scores[:, n_seen % N_WEEKS] = 1
    return scores


def test_only_a_model_of_the_week_is_right():
    """An older one predicts an item that was played since, and is excluded."""
    scores = evaluate_over_time(staircase(), follower, max_age=2, k=1)
    assert scores.ages.tolist() == [0, 1, 2]
    assert scores.weeks.tolist() == [3, 4, 5, 6]
    hits = scores.per_week["hit_rate@1"]
    assert hits[0].tolist() == [1, 1, 1, 1]
    assert hits[1:].tolist() == [[0, 0, 0, 1]] * 2  # the last item, at last
    assert scores.n_users.tolist() == [N_USERS] * 4


def test_a_model_never_sees_the_week_that_judges_it():
    seen = []
    weeks = staircase()

    def fit(history):
        seen.append(history.sum())
        return np.zeros(history.shape)

    evaluate_over_time(weeks, fit, max_age=1, first=2)
    assert seen == [N_USERS * n for n in range(2, N_WEEKS)]


def test_repeats_and_new_users_are_not_judged():
    rng = np.random.default_rng(0)
    weeks = [
        sparse.random(20, 15, 0.1, random_state=rng, format="csr") for _ in range(5)
    ]
    scores = evaluate_over_time(weeks, lambda h: np.zeros(h.shape), max_age=1)
    for place, number in enumerate(scores.weeks):
        before = sum(week.toarray() for week in weeks[:number])
        oldest = sum(week.toarray() for week in weeks[: number - 1])
        new = (weeks[number].toarray() > 0) & (before == 0)
        expected = (new.any(axis=1) & (oldest.sum(axis=1) > 0)).sum()
        assert scores.n_users[place] == expected


def test_quality_is_lost_with_age():
    """Tastes turn by a step a week: the older the model, the further it is behind."""
    rng = np.random.default_rng(0)
    n_users, n_items, n_weeks = 60, 120, 10
    phase = rng.random(n_users)
    place = rng.random(n_items)
    weeks = []
    for week in range(n_weeks):
        distance = np.abs((phase[:, None] + 0.05 * week - place + 0.5) % 1 - 0.5)
        chance = 0.4 * np.exp(-((distance / 0.1) ** 2))
        weeks.append(sparse.csr_matrix((rng.random(chance.shape) < chance) * 1.0))
    state = {"week": 0}

    def fit(history):
        """The truth of the week it was trained until."""
        state["week"] += 1
        distance = np.abs(
            (phase[:, None] + 0.05 * state["week"] - place + 0.5) % 1 - 0.5
        )
        return -distance

    table = evaluate_over_time(weeks, fit, max_age=3).table()
    means = [row["mean"] for row in table]
    assert means == sorted(means, reverse=True)
    assert table[0]["lost"] == 0
    assert table[3]["lost"] > 3 * table[3]["lost_error"] > 0


def test_wrong_weeks():
    weeks = staircase()
    with pytest.raises(ValueError, match=r"Got 7 weeks, expected 9 at least"):
        evaluate_over_time(weeks, follower, max_age=7)
    with pytest.raises(ValueError, match=r"Week 1 has shape \(6, 6\)"):
        evaluate_over_time([weeks[0], weeks[1][:, :6], *weeks], follower, max_age=1)
    with pytest.raises(ValueError, match=r"metric='auk', expected one of auc"):
        evaluate_over_time(weeks, follower, max_age=1).table("auk")
    with pytest.raises(ValueError, match=r"max_age=1\.5"):
        evaluate_over_time(weeks, follower, max_age=1.5)
