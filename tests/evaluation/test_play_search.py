"""Plays as samples: what is held out, what is scored, and the search over both."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_val_score

from userlogfeat import CFEmbedding
from userlogfeat.evaluation.play_search import HeldOutPlays, Plays, PlaySplit

RNG = np.random.default_rng(0)
PLAYS = sparse.csr_matrix(RNG.poisson(0.6, (40, 25)).astype(np.float32))


class Popular:
    """A model whose only factor is the number of plays of each item."""

    def fit(self, X, y=None):
        self.item_factors_ = np.asarray(X.user_items.sum(axis=0)).T
        return self

    def get_params(self, deep=True):
        return {}

    def transform(self, user_items):
        return np.ones((user_items.shape[0], 1))


@pytest.mark.parametrize(
    "splitter",
    [
        PlaySplit(2),
        KFold(3, shuffle=True, random_state=0),
        ShuffleSplit(2, test_size=0.3, random_state=0),
    ],
)
def test_parts_of_any_splitter_make_up_the_log(splitter):
    plays = Plays(PLAYS)
    for train, test in splitter.split(plays):
        rest = plays[test].rest
        np.testing.assert_array_equal(plays[train].user_items.toarray(), rest.toarray())
        both = plays[train].user_items + plays[test].user_items
        np.testing.assert_array_equal(both.toarray(), PLAYS.toarray())


def test_a_fifth_of_each_users_plays_is_held_out():
    plays = Plays(PLAYS)
    ((_, test),) = PlaySplit(test_size=0.2).split(plays)
    held, whole = (np.diff(m.indptr) for m in (plays[test].user_items, PLAYS))
    assert (np.abs(held - whole / 5) <= 0.5 + 1e-9).all()
    first, second = (test for _, test in PlaySplit(2).split(plays))
    assert first.tolist() != second.tolist()
    assert first.tolist() == test.tolist()


def test_a_part_can_be_split_again():
    plays = Plays(PLAYS)
    ((rest, test),) = PlaySplit().split(plays)
    part = Plays(plays[rest].user_items)
    ((train, valid),) = PlaySplit(random_state=1).split(part)
    total = sum(p.user_items for p in (plays[test], part[train], part[valid]))
    np.testing.assert_array_equal(total.toarray(), PLAYS.toarray())


def test_popularity_is_scored_as_by_hand():
    """Users 0 and 1 miss items 2 and 0, of three; item 1 is played by both."""
    plays = Plays([[1, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 1]])
    held = np.array([2, 3])  # user 0's item 2, user 1's item 0
    model = Popular().fit(plays[np.array([0, 1, 4, 5, 6])])
    # User 0: only item 2 is left, found first. User 1: 2 (twice played) before 0.
    assert HeldOutPlays("ndcg@1")(model, plays[held]) == 0.5
    assert HeldOutPlays("mrr@10")(model, plays[held]) == 0.75
    assert HeldOutPlays("auc")(model, plays[held]) == 0.0  # user 0 has no negative


def test_the_search_finds_the_number_of_tastes():
    rng = np.random.default_rng(0)
    own = np.kron(np.eye(3), np.ones((30, 12)))
    plays = sparse.csr_matrix(own * (rng.random(own.shape) < 0.6))
    search = GridSearchCV(
        CFEmbedding(random_state=0, iterations=5),
        {"n_factors": [1, 3]},
        cv=PlaySplit(),
        scoring=HeldOutPlays("ndcg@5"),
    ).fit(Plays(plays))
    assert search.best_params_ == {"n_factors": 3}
    assert search.best_score_ > 0.5
    assert search.best_estimator_.user_factors_.shape == (90, 3)
    cosine = HeldOutPlays("recall@5", similarity="cosine")
    scores = cross_val_score(
        search.best_estimator_, Plays(plays), cv=KFold(2, shuffle=True), scoring=cosine
    )
    assert scores.shape == (2,)


def test_plays_survive_a_pickle():
    part = pickle.loads(pickle.dumps(Plays(PLAYS)))[np.arange(5)]
    assert repr(part) == f"<Plays: 5 of {PLAYS.nnz}, of 40 users and 25 items>"


def test_errors():
    plays = Plays(PLAYS)
    with pytest.raises(TypeError, match=r"type csr_matrix, expected Plays"):
        next(PlaySplit().split(PLAYS))
    with pytest.raises(TypeError, match=r"type csr_matrix, expected Plays"):
        HeldOutPlays()(Popular(), PLAYS)
    with pytest.raises(ValueError, match=r"Got n_splits=0"):
        next(PlaySplit(0).split(plays))
    with pytest.raises(ValueError, match=r"Got test_size=1"):
        next(PlaySplit(test_size=1).split(plays))
    part, model = plays[np.arange(0, plays.shape[0], 5)], Popular().fit(plays)
    with pytest.raises(ValueError, match=r"Got metric='ndgc', expected one of auc.*@"):
        HeldOutPlays("ndgc")(model, part)
    with pytest.raises(ValueError, match=r"Got similarity='l2'"):
        HeldOutPlays(similarity="l2")(model, part)
    del model.item_factors_
    with pytest.raises(TypeError, match=r"Popular has neither item_factors_ nor"):
        HeldOutPlays()(model, part)
