"""Recommending: known answers, a full sort as judge, ties, NaN, memory."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from userlogfeat import CFEmbedding, read_logs
from userlogfeat._spaces import in_space
from userlogfeat.evaluation import ranking
from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.evaluation.recommendation_splits import split_per_user
from userlogfeat.recommendation import (
    exact,
    mean_histories,
    mean_scores,
    nearest_users,
    recommend,
)


@pytest.fixture(scope="module")
def embeddings():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 6)), rng.normal(size=(80, 6))


@pytest.fixture(scope="module")
def owned():
    return sparse.random(50, 80, density=0.3, format="csr", random_state=1)


def recommend_slowly(users, items, k, owned, cosine):
    """The judge: a user at a time, an item at a time."""
    chosen = np.full((len(users), k), -1)
    for u, user in enumerate(users):
        scores = {}
        for i, item in enumerate(items):
            if owned is None or not owned[u, i]:
                length = np.sqrt(user @ user) * np.sqrt(item @ item) if cosine else 1
                scores[i] = user @ item / length
        best = sorted(scores, key=lambda i: (-scores[i], i))[:k]
        chosen[u, : len(best)] = best
    return chosen


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_a_full_sort_agrees(embeddings, owned, k, cosine, monkeypatch):
    monkeypatch.setattr(exact, "BLOCK_ENTRIES", 7 * 20)  # chunks of the items
    monkeypatch.setattr(exact, "MOST_QUERIES", 7)
    users, items = embeddings
    metric = "cosine" if cosine else "dot"
    for exclude in (None, owned):
        found, scores = recommend(users, items, k, exclude=exclude, metric=metric)
        dense = None if exclude is None else owned.toarray()
        expected = recommend_slowly(users, items, k, dense, cosine)
        np.testing.assert_array_equal(found, expected)
        assert (np.isneginf(scores) == (found == -1)).all()
        assert found.dtype == np.int64
        assert scores.dtype == np.float64


def test_fewer_than_k_are_left():
    items, scores = recommend([[1.0]], [[3.0], [2.0], [1.0]], 4, exclude=[[0, 1, 0]])
    assert items.tolist() == [[0, 2, -1, -1]]
    assert scores.tolist() == [[3, 1, -np.inf, -np.inf]]
    nothing, _ = recommend([[1.0]], [[3.0]], 2, exclude=[[1]])
    assert nothing.tolist() == [[-1, -1]]
    none = recommend(np.ones((2, 3)), np.ones((0, 3)), 2)[0]
    assert none.tolist() == [[-1, -1], [-1, -1]]
    assert recommend(np.ones((0, 3)), np.ones((4, 3)), 2)[0].shape == (0, 2)


def test_ties_go_to_the_lower_index():
    users = np.array([[1, 0], [0, 1e-9]], dtype=np.float32)
    items = np.array([[1, 3], [2, 3], [2, 3], [1, 9]], dtype=np.float32)
    found, scores = recommend(users, items, 3)
    assert found.tolist() == [[1, 2, 0], [3, 0, 1]]
    assert scores.dtype == np.float32


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_a_user_of_whom_nothing_is_known(metric):
    """Zeros to ALS: all scores are 0, and the first items in order were the best."""
    known = np.array([[0, 1], [0.2, 1], [1, 0]], dtype=np.float32)
    users = np.vstack([known[:1], np.zeros((2, 2), np.float32)])
    items = np.array([[1, 0], [-1, -1], [0, 1]], dtype=np.float32)
    settings = {"metric": metric}
    with pytest.warns(UserWarning, match=r"known of 2 of 3 users.*Pass popularity="):
        found, scores = recommend(users, items, 3, **settings)
    assert found.tolist() == [[2, 0, 1], [-1] * 3, [-1] * 3]
    assert np.isneginf(scores[1:]).all()
    exclude = sparse.csr_matrix([[0, 0, 0], [0, 0, 0], [0, 1, 1]])
    found, scores = recommend(
        users, items, 3, popularity=[0.5, 0.75, 0.5], exclude=exclude, **settings
    )
    assert found.tolist() == [[2, 0, 1], [1, 0, 2], [0, -1, -1]]
    assert scores[1].tolist() == [0.75, 0.5, 0.5]
    with pytest.raises(ValueError, match=r"popularity of shape \(2,\), expected 3 fin"):
        recommend(users, items, 3, popularity=[1, 2])
    known = np.vstack([known, np.zeros((5, 2))])
    means = mean_scores(items, known, metric=metric)
    chosen, of_all = recommend(known[:3], items, 3, metric=metric)
    expected = [of_all[chosen == item].mean() for item in range(3)]
    np.testing.assert_allclose(means, expected, rtol=1e-6)


def test_items_of_which_nothing_is_known():
    """Their score is 0, above that of items that a user dislikes."""
    items = np.array([[0, 0], [-1, 0], [0, 0], [-2, 1]], dtype=np.float32)
    found, _ = recommend(np.float32([[1, 0]]), items, 4)
    assert found.tolist() == [[1, 3, -1, -1]]
    exclude = sparse.csr_matrix([[0, 1, 0, 0]])
    found, _ = recommend([[1, 0]], items, 2, exclude=exclude)
    assert found.tolist() == [[3, -1]]
    with pytest.warns(UserWarning, match="known of 2 of 4 items.*Leave them out"):
        found, _ = nearest_users(items, np.float32([[1, 1]]), 1)
    assert found.tolist() == [[-1], [0], [-1], [0]]


def test_cosine_knows_no_length_and_no_overflow():
    users = np.array([[1e-30, 0.0], [0.0, 3e38]], dtype=np.float32)
    items = np.array([[1e30, 1e30], [1e-20, 0], [0, 0], [-1, 5]], dtype=np.float32)
    found, scores = recommend(users, items, 4, metric="cosine")
    assert found.tolist() == [[1, 0, 3, -1], [3, 0, 1, -1]]  # item 2 is of nobody
    low = -np.inf
    expected = [[1, 0.5**0.5, -(26**-0.5), low], [5 * 26**-0.5, 0.5**0.5, 0, low]]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_nearest_users_are_the_other_side(embeddings, owned):
    users, items = embeddings
    for metric in ("dot", "cosine"):
        found, scores = nearest_users(items, users, 50, metric=metric)
        matrix = np.empty((80, 50))
        np.put_along_axis(matrix, found, scores, axis=1)
        chosen, values = recommend(users, items, 80, metric=metric)
        other = np.empty((50, 80))
        np.put_along_axis(other, chosen, values, axis=1)
        np.testing.assert_allclose(matrix, other.T)
    found, _ = nearest_users(items, users, 5, exclude=owned.T)
    for item in range(80):
        assert not owned[found[item], item].toarray().any()


def test_alone_is_in_any_batch(embeddings):
    users, items = (array.astype(np.float32) for array in embeddings)
    together, scores = recommend(users, items, 5)
    for user in range(len(users)):
        alone, own = recommend(users[user][None], items, 5)
        np.testing.assert_array_equal(alone[0], together[user])
        np.testing.assert_allclose(own[0], scores[user], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 5, 30])
def test_chunks_find_what_one_sort_finds(k, monkeypatch):
    """Many equal scores, chunks of the items, and pairs that are left out."""
    monkeypatch.setattr(exact, "BLOCK_ENTRIES", 64)
    rng = np.random.default_rng(0)
    users = rng.integers(-2, 3, (9, 3)).astype(np.float32)
    items = rng.integers(-2, 3, (3000, 3)).astype(np.float32)
    users[users.any(axis=1) == 0] = 1
    owned = sparse.random(9, 3000, 0.2, "csr", random_state=0)
    found, scores = recommend(users, items, k, exclude=owned)
    products = users.astype(np.float64) @ items.T
    products[owned.toarray() != 0] = -np.inf
    products[:, ~items.any(axis=1)] = -np.inf
    expected = np.argsort(-products, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        scores, np.take_along_axis(products, expected, axis=1)
    )


def test_cosine_of_one_user_is_that_of_many(embeddings):
    """A few users divide by lengths, many have items of length 1; ties are the same."""
    users = np.tile(np.float32([[1, 0], [3, 4], [0, 0.1]]), (10, 1))
    items = np.float32([[1, 0], [7, 0], [0, 0], [3, 4], [0.3, 0.4], [-1, 0], [0, 3]])
    owned = sparse.csr_matrix(([1.0], ([0], [0])), shape=(30, 7))
    many, scores = recommend(users, items, 4, exclude=owned, metric="cosine")
    assert many[:2].tolist() == [[1, 3, 4, 6], [3, 4, 6, 0]]
    for rows in (slice(0, 1), slice(0, 3), slice(4, 5)):
        few, own = recommend(
            users[rows], items, 4, exclude=owned[rows], metric="cosine"
        )
        np.testing.assert_array_equal(few, many[rows])
        np.testing.assert_allclose(own, scores[rows], rtol=1e-6)


def test_factors_of_two_trainings_are_refused():
    users, items = in_space(np.eye(2), "first"), in_space(np.eye(2), "second")
    with pytest.raises(ValueError, match="user_embeddings of training first and item"):
        recommend(users, items, 1)
    with pytest.raises(ValueError, match="item_embeddings of training first and user"):
        nearest_users(users, items, 1)
    assert recommend(users, in_space(np.eye(2), "first"), 1)[0].tolist() == [[0], [1]]
    means = mean_histories(np.eye(2), items)
    with pytest.raises(ValueError, match="of training second"):
        recommend(means, users, 1)


def test_histories_count_each_known_item_once():
    items = np.float32([[2, 0], [0, 5], [0, 0], [-1, 0]])
    plays = [[7, 1, 9, 0], [0, 0, 3, 0], [1, 0, 0, 1]]
    found = mean_histories(plays, items)
    np.testing.assert_allclose(found, [[0.5, 0.5], [0, 0], [0, 0]])
    assert found.dtype == np.float32
    with pytest.raises(ValueError, match=r"shape \(1, 3\), expected 4 columns"):
        mean_histories([[1, 0, 0]], items)


def test_listeners_get_the_songs_of_their_circle():
    """Two circles; all lack one song of their own circle, and get it recommended."""
    own = np.kron(np.eye(2), np.ones((8, 8)))
    plays = own - np.kron(np.ones((2, 1)), np.hstack([np.eye(8)] * 2)) * own
    cf = CFEmbedding(n_factors=2, random_state=0).fit(plays)
    items, _ = recommend(cf.user_factors_, cf.item_factors_, 1, exclude=plays)
    assert items[:, 0].tolist() == [*range(16)]
    scores = (cf.user_factors_, cf.item_factors_)
    found = evaluate_ranking(own - plays, scores, exclude=plays, k=1).means
    assert (found["auc"], found["hit_rate@1"]) == (1, 1)


def test_memory_is_a_block(monkeypatch):
    """400 x 50,000 scores are 80 MB; a block of five users holds 1 MB."""
    monkeypatch.setattr(ranking, "BLOCK_ENTRIES", 1 << 18)
    rng = np.random.default_rng(0)
    users = rng.normal(size=(400, 4)).astype(np.float32)
    items = rng.normal(size=(50_000, 4)).astype(np.float32)
    tracemalloc.start()
    recommend(users, items, 10)
    relevance = sparse.csr_matrix(
        (np.ones(400), (np.arange(400), np.arange(400))), shape=(400, 50_000)
    )
    evaluate_ranking(relevance, (users, items), exclude=None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_rows_are_named(embeddings, value):
    users, items = (array.copy() for array in embeddings)
    items[7, 2] = value
    with pytest.raises(
        ValueError, match=r"Row 7 of item_embeddings .*1 such rows of 80"
    ):
        recommend(users, items, 3)
    users[4] = value
    with pytest.raises(ValueError, match="Row 4 of user_embeddings has NaN or inf"):
        nearest_users(embeddings[1], users, 3)


def test_products_that_overflow_to_nan_are_named():
    users = np.array([[1, 1], [1e30, -1e30]], dtype=np.float32)
    with (
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match="score of user 1 for item 0 is NaN"),
    ):
        recommend(users, np.full((1, 2), 1e30, dtype=np.float32), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k=0, expected a positive finite integer"),
        ({"k": 1.5}, r"k=1\.5, expected a positive"),
        ({"metric": "euclid"}, "metric='euclid', expected one of 'dot', 'cosine'"),
        ({"item_embeddings": np.ones((3, 5))}, "item_embeddings of 5 columns"),
        ({"user_embeddings": np.ones(2)}, r"shape \(2,\), expected 2-D"),
        ({"exclude": np.ones((3, 4))}, r"exclude of shape \(3, 4\), expected \(4, 3\)"),
    ],
)
def test_wrong_input(change, message):
    settings = {
        "user_embeddings": np.ones((4, 2)),
        "item_embeddings": np.ones((3, 2)),
        "k": 1,
    }
    with pytest.raises(ValueError, match=message):
        recommend(**(settings | change))


def test_users_that_an_item_is_not_for_are_rows_of_items(embeddings, owned):
    with pytest.raises(ValueError, match=r"expected \(80, 50\): rows are items"):
        nearest_users(embeddings[1], embeddings[0], 3, exclude=owned)


@pytest.mark.real
def test_real_listeners_are_ranked_better_than_by_popularity(data):
    """Held-out artists of Last.fm users: ALS above popularity above chance."""
    folder = data / "hetrec2011-lastfm-2k"
    logs = read_logs(folder, "hetrec-lastfm-2k", min_users_per_item=3)
    train, _, test = split_per_user(logs.user_items.log1p(), seed=0)
    counts = np.diff(train.tocsc().indptr).astype(np.float32)
    cf = CFEmbedding(alpha=1.0, random_state=0).fit(train)
    noise = np.random.default_rng(0).random(test.shape)
    als, popular, chance = (
        evaluate_ranking(test, scores, exclude=train, item_counts=counts)
        for scores in (
            (cf.user_factors_, cf.item_factors_),
            np.tile(counts, (test.shape[0], 1)),
            noise,
        )
    )
    assert als.means["ndcg@10"] > 2 * popular.means["ndcg@10"]
    assert popular.means["ndcg@10"] > 10 * chance.means["ndcg@10"]
    assert als.means["auc"] > popular.means["auc"] + 0.05
    assert abs(chance.means["auc"] - 0.5) < 0.02
    lifts = [r.overall["popularity_lift@10"] for r in (popular, als, chance)]
    assert lifts[0] > lifts[1] > 0 > lifts[2]
    assert als.n_without_positives < 20


def test_lists_of_the_items_of_each_user_are_no_pairs():
    with pytest.raises(ValueError, match=r"exclude as lists that .*csr_mat"):
        recommend(np.eye(2), np.eye(2), 1, exclude=[[0, 1], [1]])


def test_no_users():
    with pytest.raises(ValueError, match="It holds none: was a filter too strict"):
        recommend([], np.eye(3), 2)


def test_the_order_of_float32_is_that_of_a_stable_sort():
    """Ties, zeros of both signs, infinities, and numbers below the normal ones."""
    rng = np.random.default_rng(0)
    odd = [-np.inf, np.inf, 0.0, -0.0, 1e-40, -1e-40, *rng.normal(size=20)]
    for n in (1, 2, 100, 5000):
        rows = rng.integers(0, exact.MOST_QUERIES, n)
        values = rng.choice(odd, n).astype(np.float32)
        order = exact._order(rows, values)
        np.testing.assert_array_equal(order, np.lexsort((-values, rows)))
        far = exact._order(rows + exact.MOST_QUERIES, values)  # takes the plain way
        np.testing.assert_array_equal(far, order)
