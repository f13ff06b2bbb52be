"""The best of many scores: ties, candidates, blocks, and what is refused."""

import numpy as np
import pytest
from scipy import sparse

from userlogfeat.evaluation import ranking
from userlogfeat.evaluation.ranking import (
    check_embeddings,
    check_pairs,
    iter_rows,
    mask_of,
    score_blocks,
    top_items,
)


def top_items_slowly(scores, k, candidates=None):
    """The judge: sort every row by score, then by index."""
    items = np.full((len(scores), k), -1)
    values = np.full((len(scores), k), -np.inf)
    for user, row in enumerate(scores):
        order = sorted(range(len(row)), key=lambda item: (-row[item], item))
        if candidates is not None:
            order = [item for item in order if candidates[user, item]]
        for place, item in enumerate(order[:k]):
            items[user, place], values[user, place] = item, row[item]
    return items, values


@pytest.mark.parametrize("n_items", [1, 7, 300, 5000])
@pytest.mark.parametrize("n_values", [1, 3, 10**6])
@pytest.mark.parametrize("k", [1, 4, 60])
def test_top_items_is_a_sort(n_items, n_values, k):
    """From all scores different to all alike; from few items to many piles."""
    rng = np.random.default_rng(k)
    scores = rng.integers(0, n_values, (5, n_items)).astype(np.float32)
    candidates = rng.random(scores.shape) < 0.7
    candidates[0] = False
    for mask in (None, candidates):
        found = top_items(scores, k, candidates=mask)
        for array, expected in zip(
            found, top_items_slowly(scores, k, mask), strict=True
        ):
            np.testing.assert_array_equal(array, expected)
        assert found[1].dtype == np.float32


def test_the_best_may_all_lie_in_one_pile():
    """The bound from piles of columns is then low, and the answer the same."""
    scores = np.zeros((1, 4096))
    scores[0, ::512] = np.arange(8) + 1.0
    np.testing.assert_array_equal(top_items(scores, 8)[0][0], np.arange(8)[::-1] * 512)


def test_infinite_scores_are_in_order_and_no_candidates_are_not():
    scores = np.array([[-np.inf, np.inf, 0.0, -np.inf]])
    assert top_items(scores, 4)[0].tolist() == [[1, 2, 0, 3]]
    candidates = np.array([[False, True, True, True]])
    items, values = top_items(scores, 4, candidates=candidates)
    assert items.tolist() == [[1, 2, 3, -1]]
    assert values.tolist() == [[np.inf, 0.0, -np.inf, -np.inf]]


def test_rows_are_covered_once_in_blocks_of_bounded_size(monkeypatch):
    monkeypatch.setattr(ranking, "BLOCK_ENTRIES", 100)
    slices = list(iter_rows(25, 12))
    assert np.concatenate([np.arange(25)[rows] for rows in slices]).tolist() == [
        *range(25)
    ]
    assert max(rows.stop - rows.start for rows in slices) * 12 <= 100
    assert [rows.stop - rows.start for rows in iter_rows(3, 1000)] == [1, 1, 1]
    assert list(iter_rows(0, 5)) == []


def test_arrays_embeddings_and_functions_are_the_same_scores(monkeypatch):
    monkeypatch.setattr(ranking, "BLOCK_ENTRIES", 20)
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(9, 3)), rng.normal(size=(7, 3))
    scores = users @ items.T
    for source in (scores, (users, items), lambda rows: scores[rows]):
        blocks = list(score_blocks(source, (9, 7)))
        assert len(blocks) > 1
        np.testing.assert_allclose(np.vstack([block for _, block in blocks]), scores)
    half = next(score_blocks(scores.astype(np.float16), (9, 7)))[1]
    assert half.dtype == np.float32


def test_nan_scores_are_named():
    scores = np.ones((4, 3))
    scores[2, 1] = np.nan
    with pytest.raises(ValueError, match="score of user 2 for item 1 is NaN"):
        list(score_blocks(scores, (4, 3)))
    opposite = np.array([[np.inf, -np.inf]])  # their sum is NaN, they are not
    np.testing.assert_array_equal(next(score_blocks(opposite, (1, 2)))[1], opposite)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.ones((3, 4)), r"scores of shape \(3, 4\), expected \(4, 3\)"),
        ((np.ones((4, 2)),), "tuple of 1 as scores"),
        ((np.ones((4, 2)), np.ones((3, 5))), "item_embeddings of 5 columns"),
        ((np.ones((5, 2)), np.ones((3, 2))), "embeddings of 5 users and 3 items"),
        ((np.ones(4), np.ones((3, 2))), "user_embeddings of shape .* expected 2-D"),
        (lambda rows: np.ones((1, 3)), r"shape \(1, 3\) for users 0 to 3"),
    ],
)
def test_wrong_shapes(scores, message):
    with pytest.raises(ValueError, match=message):
        list(score_blocks(scores, (4, 3)))


def test_pairs_lose_stored_zeros_and_leave_the_input():
    matrix = sparse.csr_matrix(([1.0, 0.0, 2.0], ([0, 0, 1], [1, 2, 0])), (2, 3))
    pairs = check_pairs(matrix, "exclude", (2, 3))
    assert (pairs.nnz, matrix.nnz) == (2, 3)
    expected = [[False, True, False], [True, False, False]]
    assert mask_of(pairs, slice(0, 2)).tolist() == expected
    with pytest.raises(ValueError, match=r"exclude of shape \(2, 3\), expected \(3, 2"):
        check_pairs(matrix, "exclude", (3, 2))


def test_the_first_bad_row_of_embeddings_is_named():
    embeddings = np.ones((5, 2))
    embeddings[3] = np.nan, 1
    embeddings[4] = np.inf
    with pytest.raises(ValueError, match=r"Row 3 of users .*\(2 such rows"):
        check_embeddings(embeddings, "users")
    assert check_embeddings(embeddings[:3], "users").shape == (3, 2)


@pytest.mark.parametrize(
    "rows", [[[1, 2], [0]], [["a", "b"], ["c", "d"]], [[[1], [2]], [[3], [4]]], [1, 0]]
)
def test_lists_that_are_no_matrix(rows):
    with pytest.raises(ValueError, match="exclude as lists that are not a matrix"):
        check_pairs(rows, "exclude", (2, 2))
    assert check_pairs([[1, 0], [0, 1]], "exclude", (2, 2)).nnz == 2
