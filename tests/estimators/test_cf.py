"""CFEmbedding: what it learns, what it gives back, what it refuses."""

import pickle
from copy import deepcopy

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from userlogfeat import CFEmbedding, Interactions, read_logs
from userlogfeat._spaces import in_space, space_of
from userlogfeat.evaluation.play_search import HeldOutPlays, Plays, PlaySplit
from userlogfeat.factor_files import Factors, read_factors, write_factors

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


def counted(seed=0):
    """The circles, with counts from 1 to 9."""
    plays = circles()[0]
    plays.data = np.random.default_rng(seed).integers(1, 10, plays.nnz).astype("f4")
    return plays


def test_linear_alpha_times_counts_is_what_matters():
    plays = circles()[0]
    settings = {"n_factors": 4, "confidence": "linear", "random_state": 0}
    few = CFEmbedding(alpha=8, **settings).fit(plays)
    many = CFEmbedding(alpha=2, **settings).fit(4 * plays)
    np.testing.assert_array_equal(few.item_factors_, many.item_factors_)


@pytest.mark.parametrize("unit", [2**-10, 2.0, 2**20])
def test_log_confidences_suit_any_unit(unit):
    plays, cf = counted(), CFEmbedding(n_factors=4, random_state=0)
    expected = clone(cf).fit(plays)
    found = clone(cf).fit(unit * plays)
    assert found.epsilon_ == unit * np.percentile(plays.data, 50, method="lower")
    np.testing.assert_allclose(found.item_factors_, expected.item_factors_, rtol=1e-5)
    folded = found.transform(unit * plays[:3])
    np.testing.assert_allclose(folded, expected.user_factors_[:3], rtol=1e-5)


def test_log_and_binary_are_the_same_of_ones():
    plays = circles()[0]
    settings = {"n_factors": 4, "alpha": 7, "random_state": 0}
    log, ones = (CFEmbedding(confidence=c, **settings) for c in ("log", "binary"))
    log.fit(plays)
    np.testing.assert_array_equal(log.item_factors_, ones.fit(plays).item_factors_)
    ones.fit(counted())
    np.testing.assert_array_equal(log.item_factors_, ones.item_factors_)
    assert ones.epsilon_ is None


def test_confidences_by_hand():
    """Epsilon 3: of 3 and 9 plays, w is log2(2) and log2(4)."""
    cf = CFEmbedding(n_factors=2, alpha=5, regularization=0.5, random_state=0)
    cf.fit([[3, 0, 9], [0, 3, 0], [3, 3, 0]])
    assert (cf.epsilon_, cf.alpha_, cf.regularization_) == (3.0, 5.0, 0.5)
    items = cf.item_factors_.astype(np.float64)
    weight = np.diag([5 * 1, 0, 5 * 2])
    left = items.T @ items + items.T @ weight @ items + 0.5 * np.eye(2)
    expected = np.linalg.solve(left, items.T @ (np.eye(3) + weight) @ [1, 0, 1])
    np.testing.assert_allclose(cf.user_factors_[0], expected, rtol=1e-4)


def test_settings_of_the_papers_are_one_word():
    plays = circles()[0]
    alphas = {
        name: CFEmbedding(n_factors=3, confidence=name).fit(plays).alpha_
        for name in ("binary", "linear", "log")
    }
    assert alphas == {"binary": 40.0, "linear": 40.0, "log": 10.0}


def test_absurd_linear_confidences_warn():
    plays = 260 * circles()[0]
    cf = CFEmbedding(n_factors=3, confidence="linear", random_state=0)
    with pytest.warns(UserWarning, match=r"confidence of 10401 or more.*\"log\""):
        cf.fit(plays)
    cf.set_params(alpha=1.0).fit(plays)  # 260 is much, but not absurd


def test_regularization_grows_with_the_logs():
    plays = circles()[0]
    whole = CFEmbedding(n_factors=3).fit(plays).regularization_
    assert whole == pytest.approx(0.1 * 10 * plays.nnz / np.sqrt(30 * 24))
    twice = sparse.block_diag([plays, plays], format="csr")
    assert CFEmbedding(n_factors=3).fit(twice).regularization_ == pytest.approx(whole)
    more = sparse.hstack([plays, sparse.csr_matrix((30, 50))], format="csr")
    assert CFEmbedding(n_factors=3).fit(more).regularization_ == pytest.approx(whole)


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
        ({"n_factors": 0}, "n_factors=0, expected a positive finite integer"),
        ({"n_factors": 2.5}, r"n_factors=2\.5, expected a positive finite integer"),
        ({"iterations": 0}, "iterations=0, expected a positive finite integer"),
        ({"alpha": -1}, r"alpha=-1, expected a number in \[0, inf\)"),
        ({"alpha": np.nan}, "alpha=nan, expected a number"),
        ({"regularization": np.inf}, "regularization=inf, expected a number"),
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


@pytest.mark.real
def test_the_default_is_safe_on_hetrec(data):
    """Raw counts, of which half are above 250: linear confidences follow a few."""
    folder = data / "hetrec2011-lastfm-2k"
    log = read_logs(folder, "hetrec-lastfm-2k", min_users_per_item=5)
    ((train, test),) = PlaySplit().split(plays := Plays(log.user_items))

    def ndcg(**settings):
        cf = CFEmbedding(iterations=8, random_state=0, **settings)
        return HeldOutPlays()(cf.fit(plays[train]), plays[test])

    with pytest.warns(UserWarning, match="as good as certain"):
        linear = ndcg(confidence="linear")
    default = ndcg()
    print(f"NDCG@10: default {default:.3f}, linear {linear:.3f}")
    assert default > 0.2
    assert default > 3 * linear


@pytest.fixture(scope="module")
def logs():
    """The circles by identifiers: users u00 to u29, items i00 to i23."""
    pairs = counted().tocoo()
    frame = pl.DataFrame(
        {
            "user": [f"u{row:02d}" for row in pairs.row],
            "item": [f"i{column:02d}" for column in pairs.col],
            "n": pairs.data,
        }
    )
    return read_logs(frame, count="n")


DATA = {"description": "circles", "licence": "none", "non_commercial": False}


def test_logs_instead_of_their_matrix(logs):
    cf = CFEmbedding(n_factors=3, random_state=0).fit(logs)
    assert cf.item_ids_.tolist() == [f"i{n:02d}" for n in range(24)]
    assert len(cf.user_ids_) == 30
    same = CFEmbedding(n_factors=3, random_state=0).fit(logs.user_items)
    np.testing.assert_array_equal(cf.item_factors_, same.item_factors_)
    assert not hasattr(same, "item_ids_")
    assert cf.popularity_[0] == pytest.approx((counted()[:, 0] > 0).sum() / 30)


def test_factors_know_their_training(cf):
    other = CFEmbedding(n_factors=3, random_state=1).fit(circles()[0])
    assert space_of(cf.user_factors_) == space_of(cf.item_factors_[3:]) == cf.space_
    assert space_of(cf.transform(circles()[0][:2])) == cf.space_
    assert space_of(other.item_factors_) != cf.space_
    again = clone(cf).fit(circles()[0])
    assert again.space_ == cf.space_
    assert space_of(pickle.loads(pickle.dumps(cf)).item_factors_) == cf.space_


def test_saved_and_loaded(logs, tmp_path):
    cf = CFEmbedding(n_factors=3, random_state=0).fit(logs)
    cf.save(tmp_path, training_data=DATA)
    again = CFEmbedding.load(tmp_path)
    assert again.get_params() == cf.get_params()
    assert (again.space_, again.epsilon_) == (cf.space_, cf.epsilon_)
    assert again.item_ids_.tolist() == cf.item_ids_.tolist()
    np.testing.assert_array_equal(again.transform(logs.user_items), cf.user_factors_)
    np.testing.assert_array_equal(again.popularity_, cf.popularity_)
    assert space_of(again.item_factors_) == cf.space_
    updated = again.update(logs)
    assert updated.space_ == cf.space_
    with pytest.raises(ValueError, match="training_data"):
        cf.save(tmp_path, training_data={})


def test_a_matrix_is_saved_with_numbers_for_ids(cf, tmp_path):
    cf.save(tmp_path, training_data=DATA)
    assert read_factors(tmp_path).item_ids.tolist() == list(range(24))
    again = CFEmbedding.load(tmp_path)
    assert not hasattr(again, "item_ids_")
    again.update(circles()[0])


@pytest.mark.parametrize(
    ("weights", "confidence"), [("binary", "binary"), ("count", "linear")]
)
def test_folders_of_earlier_versions(tmp_path, weights, confidence):
    """They had linear confidences, of counts or of ones."""
    plays = counted()
    cf = CFEmbedding(3, 0.1, 2.0, confidence=confidence, random_state=0).fit(plays)
    made_by = {"logs": "plays.csv", "weights": weights, "n_factors": 3, "alpha": 2.0}
    made_by |= {"regularization": 0.1, "iterations": 15, "backend": "implicit"}
    made_by |= {"factors_folder": None, "random_state": 0, "verbose": 1}
    sides = (np.arange(30), cf.user_factors_, np.arange(24), cf.item_factors_)
    write_factors(tmp_path, Factors(*sides, made_by=made_by))
    old = CFEmbedding.load(tmp_path)
    assert old.confidence == confidence
    np.testing.assert_array_equal(old.transform(plays), cf.user_factors_)


def test_folders_of_others_are_refused(cf, tmp_path):
    sides = (np.arange(30), cf.user_factors_, np.arange(24), cf.item_factors_)
    write_factors(tmp_path, Factors(*sides, made_by={"class": "UserEmbedding"}))
    with pytest.raises(ValueError, match="are of UserEmbedding, expected CFEmbedding"):
        CFEmbedding.load(tmp_path)
    write_factors(tmp_path, Factors(*sides, made_by={"alpha": 3}))
    with pytest.raises(ValueError, match=r"nobody can be folded in"):
        CFEmbedding.load(tmp_path)


def world(n_users=200, n_items=60, n_tastes=8, seed=0):
    """Plays of users with two tastes each, all items of which are as likely."""
    rng = np.random.default_rng(seed)
    taste = rng.integers(n_tastes, size=n_items)
    likes = np.stack([rng.choice(n_tastes, 2, replace=False) for _ in range(n_users)])
    likely = np.where((taste == likes[:, :1]) | (taste == likes[:, 1:]), 0.6, 0.03)
    return sparse.csr_matrix((rng.random(likely.shape) < likely).astype(np.float32))


def test_update_keeps_the_space_where_a_fit_does_not():
    now = world()
    before = now.copy()
    before.data = before.data * (np.random.default_rng(1).random(before.nnz) < 0.9)
    before = before[:190, :55]
    cf = CFEmbedding(n_factors=8, random_state=0).fit(before)
    old, space = np.array(cf.item_factors_), cf.space_
    anew = CFEmbedding(n_factors=8, random_state=1).fit(now)
    cf.update(now)
    assert cf.item_factors_.shape == (60, 8)
    assert cf.user_factors_.shape == (200, 8)

    def cosine(items):
        units = [side / np.linalg.norm(side, axis=1)[:, None] for side in (old, items)]
        return (units[0] * units[1]).sum(axis=1).mean()

    assert cosine(np.array(anew.item_factors_[:55])) < 0.5
    assert cosine(np.array(cf.item_factors_[:55])) == pytest.approx(cf.alignment_)
    assert cf.alignment_ > 0.95
    assert cf.space_ == space == space_of(cf.user_factors_)
    np.testing.assert_array_equal(cf.transform(now), cf.user_factors_)
    # As good as from scratch: the scores are the same within a few percent.
    scores = [np.asarray(c.user_factors_ @ c.item_factors_.T) for c in (cf, anew)]
    assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.99


def test_update_finds_items_by_their_ids(logs):
    cf = CFEmbedding(n_factors=3, random_state=0).fit(logs)
    old = dict(zip(cf.item_ids_, np.array(cf.item_factors_), strict=True))
    ids = np.array([f"{'j' if n < 3 else 'i'}{n:02d}" for n in range(24)])
    order = np.argsort(ids)
    shuffled = Interactions(logs.user_items[:, order], logs.user_ids, ids[order])
    cf.update(shuffled)
    for item, row in zip(cf.item_ids_, cf.item_factors_, strict=True):
        if item.startswith("i"):
            near = old[item] @ row / np.linalg.norm(old[item]) / np.linalg.norm(row)
            assert near > 0.9
    with pytest.raises(ValueError, match=r"these logs have no identifiers"):
        cf.update(logs.user_items)


def test_update_refuses_what_it_cannot_go_on_from(cf):
    plays = circles()[0]
    with pytest.raises(ValueError, match=r"Got 20 items, fewer than the 24"):
        clone(cf).fit(plays).update(plays[:, :20])
    with pytest.raises(ValueError, match=r"Got n_factors=4, but .* have 3"):
        clone(cf).fit(plays).set_params(n_factors=4).update(plays)
    with pytest.raises(ValueError, match=r"Got iterations=0"):
        clone(cf).fit(plays).update(plays, iterations=0)


def test_update_draws_rare_items_to_their_prior():
    """Two listeners say less of an item than a prior of its own kind."""
    plays = world().tolil()
    plays[:2, 0], plays[2:, 0] = 1, 0
    cf = CFEmbedding(n_factors=8, random_state=0).fit(plays.tocsr())
    before, plain = np.array(cf.item_factors_), deepcopy(cf).update(plays.tocsr())
    prior = np.full((60, 8), np.nan)
    prior[:2] = before[5]
    drawn = deepcopy(cf).update(plays.tocsr(), item_prior=prior)

    def cosine(model, item):
        row = np.asarray(model.item_factors_)[item]
        return row @ before[5] / np.linalg.norm(row) / np.linalg.norm(before[5])

    moved = [cosine(drawn, item) - cosine(plain, item) for item in (0, 1)]
    assert moved[0] > 2 * abs(moved[1])
    assert drawn.space_ == cf.space_


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda cf: np.ones((24, 4)), r"shape \(24, 4\), expected \(24, 3\)"),
        (lambda cf: np.ones((20, 3)), r"shape \(20, 3\), expected \(24, 3\)"),
        (lambda cf: np.full((24, 3), np.nan), "NaN everywhere"),
        (lambda cf: np.where(np.eye(24, 3) > 0, np.nan, 1.0), r"3 rows .* in part"),
        (lambda cf: np.full((24, 3), np.inf), "infinity"),
        (lambda cf: in_space(np.ones((24, 3)), "another"), "another training"),
        (lambda cf: setattr(cf, "regularization_", 0.0) or np.ones((24, 3)), "Raise r"),
        (lambda cf: cf.set_params(backend="spark") and np.ones((24, 3)), "no such"),
    ],
)
def test_what_priors_update_refuses(cf, change, words):
    model = clone(cf).fit(circles()[0])
    with pytest.raises(ValueError, match=words):
        model.update(circles()[0], item_prior=change(model))


def test_update_to_other_logs_is_a_new_space():
    cf = CFEmbedding(n_factors=8, random_state=0).fit(world())
    space = cf.space_
    with pytest.warns(UserWarning, match=r"mean cosine of only 0\.\d+ with the old"):
        cf.update(world(seed=5))
    assert cf.alignment_ < 0.7
    assert cf.space_ != space


def test_an_update_that_fails_changes_nothing(logs, monkeypatch):
    """The number of items of refused logs stayed behind, and folding in was refused."""
    cf = CFEmbedding(2, random_state=0).fit(logs)
    users = cf.transform(logs.user_items)
    strange = read_logs(pl.DataFrame({"user": ["x"] * 3, "item": ["p", "q", "r"]}))
    with pytest.raises(ValueError, match="None of the 3 items"):
        cf.update(strange)
    monkeypatch.setattr(CFEmbedding, "_fit_here", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cf.update(logs)
    np.testing.assert_array_equal(cf.transform(logs.user_items), users)
    assert cf.item_ids_.tolist() == logs.item_ids.tolist()


def interrupted(*_):
    raise KeyboardInterrupt


def test_logs_are_not_taken_for_matrices(logs):
    """Two columns of numbers were a matrix of two items; all users would be wrong."""
    frame = pl.DataFrame({"user": [1, 2], "item": [3, 4]})
    for table in (frame, frame.to_pandas(), frame.to_arrow()):
        with pytest.raises(
            TypeError, match=r"user and item, which is a log.*read_logs"
        ):
            CFEmbedding(1).fit(table)
    text = frame.select(track_id=pl.col("item").cast(pl.String), n=1)
    for table in (text, text.to_pandas(), text.to_arrow()):
        with pytest.raises(TypeError, match=r"text or dates, which is a log"):
            CFEmbedding(1).fit(table)  # it was "could not convert string to float"
    with pytest.raises(TypeError, match=r"read_logs\(\.\.\., item_ids=cf\.item_ids_\)"):
        CFEmbedding(2, random_state=0).fit(logs).transform(logs)
