"""CFEmbedding: what it learns, what it gives back, what it refuses."""

import pickle

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ndcg_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from userlogfeat import CFEmbedding, read_logs

# Names of scikit-learn's checks that CFEmbedding fails, with the reason: none.
expected_failed_checks = {}


def circles(n_circles=3, n_users=10, n_items=8, share=0.6, seed=0):
    """Listeners who play only the songs of their own circle, and some of them."""
    rng = np.random.default_rng(seed)
    own = np.kron(np.eye(n_circles), np.ones((n_users, n_items)))
    plays = own * (rng.random(own.shape) < share)
    plays[np.arange(len(plays)), own.argmax(axis=1)] = 1  # nobody plays nothing
    return sparse.csr_matrix(plays.astype(np.float32)), own


@pytest.fixture(scope="module")
def cf():
    return CFEmbedding(n_factors=3, random_state=0).fit(circles()[0])


def test_unplayed_songs_of_the_own_circle_score_above_all_others(cf):
    plays, own = circles()
    scores = cf.user_factors_ @ cf.item_factors_.T
    for user in range(len(own)):
        missed = (own[user] == 1) & (plays[user].toarray()[0] == 0)
        if missed.any():
            assert scores[user][missed].min() > scores[user][own[user] == 0].max()


def test_training_users_are_folded_in_to_their_own_factors(cf):
    plays = circles()[0]
    np.testing.assert_array_equal(cf.transform(plays), cf.user_factors_)
    again = clone(cf).fit_transform(plays)
    np.testing.assert_array_equal(again, cf.user_factors_)


def test_new_user_and_new_item_land_in_their_circle(cf):
    own = circles()[1]
    user = np.zeros((1, own.shape[1]))
    user[0, 8:10] = 1  # two songs of the second circle
    scores = cf.transform(user) @ cf.item_factors_.T
    assert set(np.argsort(-scores[0])[:8]) == set(range(8, 16))
    item = np.zeros((len(own), 1))
    item[20:23] = 1  # three listeners of the third circle
    scores = cf.user_factors_ @ cf.transform_items(item).T
    assert set(np.argsort(-scores[:, 0])[:10]) == set(range(20, 30))


def test_training_items_are_folded_in_to_their_factors_in_the_limit():
    plays = circles()[0]
    errors = []
    for iterations in (2, 15, 300):
        cf = CFEmbedding(n_factors=3, iterations=iterations, random_state=0).fit(plays)
        items = cf.transform_items(plays)
        errors.append(np.linalg.norm(items - cf.item_factors_) / np.linalg.norm(items))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 2e-3


def test_output_is_float32_c_contiguous_in_both_directions(cf):
    plays = circles()[0]
    for factors in (cf.transform(plays), cf.transform_items(plays)):
        assert factors.dtype == np.float32
        assert factors.flags.c_contiguous
    assert cf.transform(plays).shape == (30, 3)
    assert cf.transform_items(plays[:, :5]).shape == (5, 3)


@pytest.mark.parametrize(
    "make",
    [sparse.csr_matrix.toarray, sparse.csc_matrix, sparse.coo_matrix, sparse.csr_array],
)
def test_dense_and_any_sparse_format_are_the_same(cf, make):
    plays = make(circles()[0])
    other = clone(cf).fit(plays)
    np.testing.assert_array_equal(other.user_factors_, cf.user_factors_)
    np.testing.assert_array_equal(other.transform(plays), cf.user_factors_)
    items = other.transform_items(plays)
    np.testing.assert_array_equal(items, cf.transform_items(circles()[0]))


def test_stored_zeros_are_no_plays(cf):
    plays = circles()[0].tocoo()
    data = np.append(plays.data, 0.0)
    places = np.append(plays.row, 0), np.append(plays.col, plays.shape[1] - 1)
    stored = sparse.csr_matrix((data, places), shape=plays.shape)
    assert stored.nnz == plays.nnz + 1
    np.testing.assert_array_equal(cf.transform(stored), cf.user_factors_)


def test_no_history_is_the_zero_embedding(cf):
    plays = sparse.csr_matrix((2, 24), dtype=np.float32)
    np.testing.assert_array_equal(cf.transform(plays), np.zeros((2, 3)))
    items = cf.transform_items(sparse.csr_matrix((30, 1), dtype=np.float32))
    np.testing.assert_array_equal(items, np.zeros((1, 3)))


def test_alpha_times_counts_is_what_matters():
    plays = circles()[0]
    few = CFEmbedding(n_factors=4, alpha=8, random_state=0).fit(plays)
    many = CFEmbedding(n_factors=4, alpha=2, random_state=0).fit(4 * plays)
    np.testing.assert_array_equal(few.item_factors_, many.item_factors_)


def test_the_input_is_left_as_it_was(cf):
    plays = circles()[0]
    before = plays.copy()
    clone(cf).fit(plays).transform(plays)
    np.testing.assert_array_equal(plays.data, before.data)
    np.testing.assert_array_equal(plays.indices, before.indices)


def test_names_frames_and_pickles(cf):
    names = [f"cfembedding{i}" for i in range(3)]
    assert cf.get_feature_names_out().tolist() == names
    frame = clone(cf).set_output(transform="pandas").fit_transform(circles()[0])
    assert list(frame.columns) == names
    copy = pickle.loads(pickle.dumps(cf))
    np.testing.assert_array_equal(copy.transform(circles()[0]), cf.user_factors_)


def test_in_a_pipeline_the_circle_is_read_off_the_plays():
    plays, own = circles(n_users=20)
    circle = own.argmax(axis=1) // 8
    pipeline = make_pipeline(
        CFEmbedding(n_factors=3, random_state=0), LogisticRegression(C=100)
    )
    assert cross_val_score(pipeline, plays, circle, cv=3).mean() == 1.0


def test_check_estimator():
    results = check_estimator(
        CFEmbedding(n_factors=3, iterations=3),
        expected_failed_checks=expected_failed_checks,
        on_skip=None,
        on_fail=None,
    )
    failed = {
        r["check_name"]: r["exception"] for r in results if r["status"] == "failed"
    }
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) >= 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_factors": 0}, "n_factors=0, expected a whole number of at least 1"),
        ({"n_factors": 2.5}, r"n_factors=2\.5, expected a whole number"),
        ({"iterations": 0}, "iterations=0, expected a whole number of at least 1"),
        ({"alpha": -1}, "alpha=-1, expected a finite number, 0 or more"),
        ({"alpha": np.nan}, "alpha=nan, expected a finite number"),
        ({"regularization": np.inf}, "regularization=inf, expected a finite"),
        ({"backend": "torch"}, 'backend=\'torch\', expected one of: "implicit", "spa'),
        ({"factors_folder": "f"}, "factors_folder='f' with backend='implicit', which"),
    ],
)
def test_wrong_parameters(settings, message):
    with pytest.raises(ValueError, match=message):
        CFEmbedding(**settings).fit(circles()[0])


def test_wrong_plays(cf):
    plays = circles()[0].toarray()
    plays[3, 5] = -1
    with pytest.raises(ValueError, match="Negative values"):
        CFEmbedding().fit(plays)
    plays[3, 5] = np.nan
    for wrong in (plays, sparse.csr_matrix(plays)):
        with pytest.raises(ValueError, match="NaN"):
            CFEmbedding().fit(wrong)
    plays[3, 5] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        cf.transform(plays)
    with pytest.raises(ValueError, match=r"shape \(3, 4\) holds no play"):
        CFEmbedding().fit(np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"X has 5 features, but .* expecting 24"):
        cf.transform(np.ones((2, 5)))
    with pytest.raises(
        ValueError, match=r"shape \(4, 2\), expected 30 rows: the users"
    ):
        cf.transform_items(np.ones((4, 2)))


def held_out_ndcg(user_items, alpha, seed=0):
    """NDCG@10 of a fifth of each user's artists, among those not trained on."""
    rng = np.random.default_rng(seed)
    plays = user_items.tocoo()
    held = rng.random(plays.nnz) < 0.2
    train, test = (
        sparse.csr_matrix(
            (plays.data[part], (plays.row[part], plays.col[part])), plays.shape
        )
        for part in (~held, held)
    )
    cf = CFEmbedding(alpha=alpha, random_state=seed).fit(train)
    users = np.flatnonzero(np.diff(test.indptr) & np.diff(train.indptr))
    scores = cf.user_factors_[users] @ cf.item_factors_.T
    scores[train[users].nonzero()] = -np.inf
    scores[np.isneginf(scores)] = scores[np.isfinite(scores)].min() - 1
    return ndcg_score(test[users].toarray() > 0, scores, k=10)


@pytest.mark.real
def test_alpha_matters_on_hetrec(data):
    """With r = log(1 + count), alpha 1 ranks about a quarter better than 10."""
    folder = data / "hetrec2011-lastfm-2k"
    log = read_logs(folder, "hetrec-lastfm-2k", min_users_per_item=3)
    one, ten = (held_out_ndcg(log.user_items.log1p(), alpha) for alpha in (1.0, 10.0))
    assert one > 0.25
    assert 1.15 < one / ten < 1.4


def test_logs_instead_of_their_matrix():
    logs = read_logs(pl.DataFrame({"user": [1, 2, 2], "item": [5, 5, 6]}))
    with pytest.raises(TypeError, match=r"expected its matrix: pass logs\.user_items"):
        CFEmbedding().fit(logs)
