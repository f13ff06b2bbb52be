"""ALS on a cluster: its last step is ours, its ranking is that of the local one."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from userlogfeat import CFEmbedding, read_logs
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.evaluation.recommendation_splits import split_per_user
from userlogfeat.factorization import confidences, fold_in
from userlogfeat.factorization.on_spark import folded_in, whole_users

N_SEEDS = 5


def batch(users, items, counts):
    columns = {"user": users, "item": items, "count": counts}
    return pa.RecordBatch.from_pydict(columns)


def test_no_user_is_cut_in_two():
    users = [0, 0, 1, 2, 2, 2, 2, 2, 3, 5]
    for cuts in ([], [3], [1, 2, 3], [4, 5, 6, 7], [3, 3, 8], range(1, 10)):
        pieces = np.split(np.array(users, np.int32), list(cuts))
        batches = [batch(p, p, p.astype(np.float32)) for p in pieces]
        found = [table["user"].to_pylist() for table in whole_users(iter(batches))]
        assert [user for piece in found for user in piece] == users
        seen = [user for piece in found for user in sorted(set(piece))]
        assert seen == [0, 1, 2, 3, 5]
    assert list(whole_users(iter([]))) == []


def test_some_users_are_folded_in_as_among_all():
    """With the items they played and Y'Y of all, the last bit is the same."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(40, 5)).astype(np.float32)
    plays = sparse.random(12, 40, 0.2, "csr", np.float32, random_state=0)
    plays.data[:] = np.ceil(10 * plays.data)
    plays.sort_indices()
    expected = fold_in(items, plays, regularization=0.1, alpha=3.0)
    whole = items.astype(np.float64)
    some = plays[4:9].tocoo()
    order = np.lexsort((some.col, some.row))
    rows = batch((some.row + 4)[order], some.col[order], some.data[order])
    rows = pa.Table.from_batches([rows])
    found = folded_in(rows, items, whole.T @ whole, 0.1, 3.0)
    assert found["user"].to_pylist() == [4, 5, 6, 7, 8]
    flat = found["factors"].flatten().to_numpy().reshape(-1, 5)
    np.testing.assert_array_equal(flat, expected[4:9])
    assert confidences(plays, 3.0).shape == plays.shape


def judge(train, held_out, cf):
    cf.fit(train)
    scores = (cf.user_factors_, cf.item_factors_)
    means = evaluate_ranking(held_out, scores, k=10, exclude=train).means
    return [means["recall@10"], means["ndcg@10"]]


def assert_as_good(user_items, **settings):
    """Within three standard deviations of the local backend over its seeds."""
    train, held_out = split_per_user(user_items, (0.8, 0.2))
    local = [
        judge(train, held_out, CFEmbedding(random_state=seed, **settings))
        for seed in range(N_SEEDS)
    ]
    spark = CFEmbedding(backend="spark", random_state=0, **settings)
    found = judge(train, held_out, spark)
    print("local", np.round(local, 4).tolist(), "spark", np.round(found, 4).tolist())
    spread = np.std(local, axis=0, ddof=1)
    assert (np.abs(found - np.mean(local, axis=0)) <= 3 * spread).all()


@pytest.mark.long
@pytest.mark.usefixtures("spark")
def test_ranking_of_the_planted_corpus_is_as_good_as_the_local_one():
    corpus = make_listening_corpus(300, 200, 4, duration=0.3, random_state=0)
    logs = read_logs(corpus.logs, count="count")
    assert_as_good(logs.user_items, n_factors=8, alpha=1.0, iterations=15)


@pytest.mark.long
@pytest.mark.real
@pytest.mark.usefixtures("spark")
def test_ranking_of_hetrec_lastfm_is_as_good_as_the_local_one(data):
    logs = read_logs(
        data / "hetrec2011-lastfm-2k", "hetrec-lastfm-2k", min_users_per_item=5
    )
    plays = logs.user_items.copy()
    plays.data[:] = 1
    assert_as_good(plays, n_factors=40, alpha=10.0, regularization=0.01, iterations=15)
