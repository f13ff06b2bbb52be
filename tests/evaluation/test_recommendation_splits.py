"""Splits: everything dealt out once, in the right shares, and nothing shared."""

import numpy as np
import pytest
from scipy import sparse

from userlogfeat.evaluation.recommendation_splits import (
    split_by_time,
    split_items,
    split_per_user,
    split_users,
)


@pytest.fixture(scope="module")
def plays():
    matrix = sparse.random(200, 90, density=0.2, format="csr", random_state=0)
    matrix.data = np.ceil(9 * matrix.data)
    return matrix


def test_per_user_deals_out_everything_once(plays):
    parts = split_per_user(plays, seed=3)
    assert (sum(parts) != plays).nnz == 0
    assert sum(part.nnz for part in parts) == plays.nnz
    counts = np.array([np.diff(part.indptr) for part in parts])
    n = np.diff(plays.indptr)
    np.testing.assert_array_equal(counts[0], np.floor(0.6 * n + 0.5 + 1e-9))
    np.testing.assert_array_equal(
        counts[:2].sum(axis=0), np.floor(0.8 * n + 0.5 + 1e-9)
    )


@pytest.mark.parametrize(
    ("n_items", "expected"),
    [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (2, 0, 1)), (5, (3, 1, 1)), (10, (6, 2, 2))],
)
def test_small_users(n_items, expected):
    parts = split_per_user(np.ones((1, n_items)))
    assert tuple(part.nnz for part in parts) == expected


def test_per_user_is_a_random_draw_by_seed():
    ones = np.ones((2000, 10))
    first, again, other = (split_per_user(ones, seed=s)[2] for s in (0, 0, 1))
    assert (first != again).nnz == 0
    assert (first != other).nnz > 0
    share = first.mean(axis=0).A1
    assert abs(share - 0.2).max() < 0.05  # every item equally often


def test_likes_and_dislikes_keep_their_signs():
    signs = np.array([[1, -1, 1, -1, 1]])
    train, test = split_per_user(signs, (0.6, 0.4))
    np.testing.assert_array_equal((train + test).toarray(), signs)


def test_by_time_the_past_is_before_the_future(plays):
    rng = np.random.default_rng(0)
    times = plays.copy()
    times.data = rng.integers(0, 1000, plays.nnz).astype(float)  # 0 is a time too
    parts = split_by_time(plays, times)
    assert (sum(parts) != plays).nnz == 0
    dense = times.toarray()
    own = [dense[part.nonzero()] for part in parts]
    assert own[0].max() < own[1].min() <= own[1].max() < own[2].min()
    shares = np.array([len(t) for t in own]) / plays.nnz
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.01)
    same = split_by_time(plays, times.data)
    assert all((a != b).nnz == 0 for a, b in zip(parts, same, strict=True))


def test_by_time_of_each_user(plays):
    times = np.random.default_rng(0).permutation(plays.nnz)
    past, future = split_by_time(plays, times, (0.8, 0.2), per_user=True)
    when = plays.copy()
    when.data = times + 1
    when = when.toarray()
    for user in range(plays.shape[0]):
        early, late = (when[user, part[user].indices] for part in (past, future))
        assert early.max() < late.min()
        n = len(early) + len(late)
        assert len(early) == np.floor(0.8 * n + 0.5 + 1e-9)


def test_times_of_unsorted_and_zero_entries_stay_with_their_pairs():
    indptr, indices = [0, 3], [2, 0, 1]
    plays = sparse.csr_matrix(([5.0, 7.0, 0.0], indices, indptr), shape=(1, 3))
    past, future = split_by_time(plays, np.array([20, 10, 99]), cuts=[15])
    assert past.toarray().tolist() == [[7, 0, 0]]
    assert future.toarray().tolist() == [[0, 0, 5]]
    times = sparse.csr_matrix(([10.0, 0.0, 20.0], [0, 1, 2], indptr), shape=(1, 3))
    again = split_by_time(plays, times, cuts=[15])
    assert again[1].toarray().tolist() == [[0, 0, 5]]
    assert again[0].toarray().tolist() == [[7, 0, 0]]


def test_items_without_plays_keep_their_place():
    plays = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    parts = split_by_time(plays, np.arange(4), cuts=[2])
    assert [part.toarray().tolist() for part in parts] == [
        [[1, 1, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [1, 1, 0], [0, 0, 0]],
    ]


def test_users_and_items_apart():
    for split in (split_users, split_items):
        parts = split(100, seed=1)
        assert [len(part) for part in parts] == [60, 20, 20]
        assert np.sort(np.concatenate(parts)).tolist() == [*range(100)]
        assert all((np.diff(part) > 0).all() for part in parts)
        assert not np.array_equal(parts[0], split(100, seed=2)[0])


def test_artists_stay_together_and_missing_ones_do_not():
    artists = np.array([f"artist {i % 40}" for i in range(400)], dtype=object)
    parts = split_items(400, artists=artists)
    owners = [set(artists[part]) for part in parts]
    assert not owners[0] & owners[1]
    assert not (owners[0] | owners[1]) & owners[2]
    assert [len(part) for part in parts] == [240, 80, 80]
    assert [len(p) for p in split_items(50, artists=[None] * 50)] == [30, 10, 10]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split_users(2), r"Part \d of \[.*\] would be empty"),
        (lambda: split_users(0), "n_users=0, expected a positive"),
        (lambda: split_users(9, (0.5, 0.6)), "positive sizes of sum 1"),
        (lambda: split_users(9, (1.0,)), "two or more positive sizes"),
        (lambda: split_items(9, (1.5, -0.5)), "positive sizes"),
        (lambda: split_items(3, artists=["a"]), "1 artists for n_items=3"),
        (lambda: split_items(3, artists=["a"] * 3), "would be empty: there are 1"),
        (
            lambda: split_by_time(np.ones((2, 2)), np.ones(3)),
            r"times of shape \(3,\) for 4 pairs",
        ),
        (
            lambda: split_by_time(np.ones((2, 2)), sparse.eye(2)),
            "times with 2 entries, expected one where user_items has one [(]4",
        ),
        (
            lambda: split_by_time(
                sparse.csr_matrix([[1, 2]]), sparse.csr_matrix([[1, 2, 0]])
            ),
            "times with 2 entries, expected one where user_items has one [(]2",
        ),
        (
            lambda: split_by_time(np.ones((1, 2)), np.array([1, np.nan])),
            "1 times are NaN",
        ),
        (lambda: split_by_time(np.ones((2, 2)), np.ones(4)), "Part 0 has no pair"),
        (
            lambda: split_by_time(np.ones((1, 2)), np.arange(2), cuts=[2, 1]),
            r"cuts=\[2, 1\], expected times, ascending",
        ),
        (
            lambda: split_by_time(
                np.ones((1, 2)), np.arange(2), cuts=[1], per_user=True
            ),
            "cuts hold for everybody",
        ),
        (lambda: split_by_time(np.zeros((1, 2)), np.arange(0)), "holds no play"),
        (
            lambda: split_by_time(
                sparse.csr_matrix(([1.0, 1.0], [0, 0], [0, 2]), (1, 1)), np.arange(2)
            ),
            "some pairs more than once",
        ),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nan_is_no_play():
    plays = np.array([[1.0, np.nan]])
    with pytest.raises(ValueError, match="1 entries of user_items are NaN"):
        split_per_user(plays)
    with pytest.raises(ValueError, match="1 entries of user_items are NaN"):
        split_by_time(plays, np.arange(2.0), cuts=[1])
