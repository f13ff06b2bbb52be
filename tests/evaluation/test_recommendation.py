"""Scores of rankings: known answers, scikit-learn and plain loops as judges."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    ndcg_score,
    roc_auc_score,
)

from userlogfeat.evaluation import ranking
from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.evaluation.recommendation_metrics import (
    auc,
    average_precision,
    hit_rate,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)

N_USERS, N_ITEMS = 30, 40


@pytest.fixture(scope="module")
def world():
    """Held-out items, training items and scores without ties; user 0 has none."""
    rng = np.random.default_rng(0)
    draw = rng.random((N_USERS, N_ITEMS))
    relevance, training = draw < 0.15, draw > 0.8
    relevance[0] = False
    relevance[1:, 0] |= ~relevance[1:].any(axis=1) & ~training[1:, 0]
    scores = rng.normal(size=draw.shape) + relevance
    return relevance, training, scores


def judge(relevant, scores, candidates, k):
    """One user, by loops and by the definition of each metric."""
    order = [i for i in range(len(scores)) if candidates[i]]
    order.sort(key=lambda item: (-scores[item], item))
    hits = [relevant[item] for item in order[:k]]
    n_relevant = sum(relevant)
    pairs = [
        (scores[a] > scores[b]) + 0.5 * (scores[a] == scores[b])
        for a in order
        for b in order
        if relevant[a] and not relevant[b]
    ]
    first = hits.index(True) + 1 if True in hits else np.inf
    gain = sum(1 / np.log2(2 + place) for place, hit in enumerate(hits) if hit)
    ideal = sum(1 / np.log2(2 + place) for place in range(min(k, n_relevant)))
    return {
        "auc": np.mean(pairs) if pairs else np.nan,
        f"precision@{k}": sum(hits) / k,
        f"recall@{k}": sum(hits) / n_relevant,
        f"ndcg@{k}": gain / ideal,
        f"mrr@{k}": 1 / first,
        f"hit_rate@{k}": float(True in hits),
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("ranked", ["all", "exclude", "candidates", "both"])
def test_loops_agree(world, ties, ranked, monkeypatch):
    monkeypatch.setattr(ranking, "BLOCK_ENTRIES", 7 * N_ITEMS)
    relevance, training, scores = world
    scores = scores.round() if ties else scores
    rng = np.random.default_rng(1)
    chosen = relevance | (rng.random(relevance.shape) < 0.5)
    settings, candidates = {}, np.ones_like(relevance)
    if ranked in ("exclude", "both"):
        settings["exclude"], candidates = sparse.csr_matrix(training), ~training
    if ranked in ("candidates", "both"):
        settings["candidates"] = sparse.csr_matrix(chosen)
        candidates = candidates & chosen
    result = evaluate_ranking(
        sparse.csr_matrix(relevance), scores, k=[3, 10], **settings
    )
    for user in range(N_USERS):
        for k in (3, 10):
            if not relevance[user].any():
                found = [values[user] for values in result.per_user.values()]
                assert np.isnan(found).all()
                continue
            expected = judge(relevance[user], scores[user], candidates[user], k)
            for name, value in expected.items():
                assert result.per_user[name][user] == pytest.approx(
                    value, nan_ok=True
                ), (user, name)


@pytest.mark.parametrize("ties", [False, True])
def test_scikit_learn_agrees(world, ties):
    """NDCG without ties only: scikit-learn averages over the orders of equal scores."""
    relevance, _, scores = world
    scores = scores.round(1) if ties else scores
    result = evaluate_ranking(relevance, scores, k=10)
    for user in range(1, N_USERS):
        truth, own = relevance[user], scores[user]
        found = {name: values[user] for name, values in result.per_user.items()}
        assert found["auc"] == pytest.approx(roc_auc_score(truth, own))
        expected = average_precision_score(truth, own)
        assert found["average_precision"] == pytest.approx(expected)
        if not ties:
            expected = ndcg_score(truth[None], own[None], k=10)
            assert found["ndcg@10"] == pytest.approx(expected)
            expected = label_ranking_average_precision_score(truth[None], own[None])
            assert found["average_precision"] == pytest.approx(expected)


def test_known_lists():
    hits = np.array([[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=bool)
    n_relevant = np.array([2, 3, 8])
    assert precision(hits).tolist() == [0.5, 0, 1]
    assert recall(hits, n_relevant).tolist() == [1, 0, 0.5]
    assert reciprocal_rank(hits).tolist() == [0.5, 0, 1]
    assert hit_rate(hits).tolist() == [1, 0, 1]
    gain = 1 / np.log2(3) + 1 / np.log2(5)
    expected = [gain / (1 + 1 / np.log2(3)), 0, 1]
    np.testing.assert_allclose(ndcg(hits, n_relevant), expected)
    assert np.isnan(recall(hits[:1], np.array([0])))
    assert np.isnan(ndcg(hits[1:2], np.array([0])))
    ordered = np.array([0.1, 0.5, 0.9])
    assert average_precision(ordered, ordered[1:2]) == 0.5  # the second of two
    assert np.isnan(average_precision(ordered, ordered[:0]))


def test_perfect_reversed_and_constant_scores():
    relevance = np.array([[1, 1, 0, 0, 0, 0]])
    scores = np.array([[6.0, 5, 4, 3, 2, 1]])
    perfect = evaluate_ranking(relevance, scores, k=2)
    assert set(perfect.means.values()) - {perfect.overall["coverage@2"]} == {1.0}
    worst = evaluate_ranking(relevance, -scores, k=2).means
    assert (worst["auc"], worst["ndcg@2"], worst["mrr@2"]) == (0, 0, 0)
    # Nothing distinguished: half of all pairs; the lists are of the lowest indices.
    constant = evaluate_ranking(relevance, 0 * scores, k=3).means
    assert constant["auc"] == 0.5
    assert constant["average_precision"] == pytest.approx(2 / 6)
    assert constant["precision@3"] == pytest.approx(2 / 3)
    assert constant["mrr@3"] == 1


def test_users_without_positives_or_negatives_are_counted():
    relevance = np.array([[0, 0, 0], [1, 1, 1], [0, 1, 0]])
    scores = np.array([[0.1, 0.2, 0.3]] * 3)
    result = evaluate_ranking(relevance, scores, k=1)
    assert result.n_users == 3
    assert result.n_without_positives == 1
    assert result.n_without_negatives == 1
    np.testing.assert_array_equal(result.per_user["auc"], [np.nan, np.nan, 0.5])
    np.testing.assert_array_equal(result.per_user["precision@1"], [np.nan, 1, 0])
    assert result.means["precision@1"] == 0.5
    assert "of 2 users (1 without positives): auc 0.500" in repr(result)
    nobody = evaluate_ranking(np.zeros((2, 3)), scores[:2], k=1)
    assert np.isnan(nobody.means["auc"])
    assert nobody.n_without_positives == 2


def test_likes_among_the_rated():
    """Chen et al. (2021): AUC and precision over each user's likes and dislikes."""
    liked = sparse.csr_matrix(np.array([[1, 0, 0, 0, 1, 0]]))
    disliked = sparse.csr_matrix(np.array([[0, 1, 0, 1, 0, 0]]))
    scores = np.array([[0.9, 0.5, 1.0, 0.1, 0.3, 2.0]])
    result = evaluate_ranking(liked, scores, k=2, candidates=liked + disliked)
    assert result.means["auc"] == 0.75  # 0.3 is above 0.1 and below 0.5
    assert result.means["precision@2"] == 0.5
    assert result.overall["coverage@2"] == 0.5  # two of the four that are rated


def test_coverage_and_popularity():
    relevance = np.array([[0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]])
    scores = np.array([[4.0, 3, 2, 1], [4, 3, 2, 1], [1, 2, 3, 4]])
    counts = [40, 20, 10, 10]
    result = evaluate_ranking(relevance, scores, k=[1, 2], item_counts=counts)
    assert result.overall["coverage@1"] == 0.5  # items 0 and, for user 2, 3
    assert result.overall["coverage@2"] == 1
    np.testing.assert_array_equal(result.per_user["popularity@1"], [40, 40, np.nan])
    np.testing.assert_array_equal(result.per_user["popularity@2"], [30, 30, np.nan])
    # Liked: a mean of 10 and 20 by user, 15. Shown: 40; twice the mean and 2/3 more.
    assert result.overall["popularity_lift@1"] == pytest.approx(40 / 15 - 1)
    assert result.overall["popularity_lift@2"] == pytest.approx(1)


def test_fewer_candidates_than_k():
    relevance = np.array([[0, 1, 0]])
    scores = np.array([[0.3, 0.2, 0.1]])
    exclude = np.array([[1, 0, 0]])
    found = evaluate_ranking(
        relevance, scores, k=10, exclude=exclude, item_counts=[9, 4, 2]
    ).means
    assert found["precision@10"] == 0.1
    assert found["recall@10"] == found["mrr@10"] == found["ndcg@10"] == 1
    assert found["popularity@10"] == 3
    assert found["coverage@10"] == 1


def test_embeddings_are_their_products(world):
    relevance, training, _ = world
    rng = np.random.default_rng(2)
    users, items = rng.normal(size=(N_USERS, 5)), rng.normal(size=(N_ITEMS, 5))
    a, b = (
        evaluate_ranking(relevance, scores, exclude=training, k=5).means
        for scores in ((users, items), users @ items.T)
    )
    assert a == pytest.approx(b)


def test_auc_is_exact_for_large_integers():
    """Sums of ranks beyond 2^24 would be rounded in float32."""
    ordered = np.arange(10_000_000, dtype=np.float64)
    relevant = ordered[-1000:]
    assert auc(ordered, relevant) == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevance": [[-1, 0], [0, 1]]}, "NaN or negative .*liked [+] disliked"),
        ({"relevance": [[np.nan, 0], [0, 1]]}, "NaN or negative"),
        ({"relevance": np.zeros((0, 2))}, "nobody, or nothing"),
        ({"scores": [[1, 2, 3], [1, 2, 3]]}, r"scores of shape \(2, 3\), expected"),
        ({"scores": [[1, 2], [np.nan, 0]]}, "score of user 1 for item 0 is NaN"),
        ({"exclude": [[0, 0], [0, 1]]}, "Item 1 is relevant to user 1 but excluded"),
        ({"candidates": [[1, 1], [1, 0]]}, "relevant to user 1 but not a candidate"),
        ({"exclude": [[0, 0], [0, 0.5]]}, "Item 1 is relevant to user 1 but excluded"),
        ({"k": [5, 0]}, r"k=\[5, 0\], expected a positive"),
        ({"k": 0}, "k=0, expected a positive integer"),
        ({"k": []}, r"k=\[\], expected a positive"),
        ({"k": 2.5}, r"k=2\.5, expected a positive"),
        ({"item_counts": [1]}, r"item_counts of shape \(1,\), expected \(2,\)"),
        ({"item_counts": [1, -1]}, "negative, NaN or infinite"),
    ],
)
def test_wrong_input(change, message):
    settings = {"relevance": [[1, 0], [0, 1]], "scores": [[1.0, 2.0], [1.0, 2.0]]}
    settings |= {"k": 1, **change}
    relevance, scores = (np.array(settings.pop(n)) for n in ("relevance", "scores"))
    with pytest.raises(ValueError, match=message):
        evaluate_ranking(relevance, scores, **settings)
