"""ColdStartItems: what is blended, what is measured, what is refused."""

import pickle

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.estimator_checks import check_estimator

from userlogfeat import CFEmbedding, read_logs
from userlogfeat.estimators.cold_start import (
    WORTHS,
    ColdStartItems,
    _without,
)

N_USERS, N_ITEMS, N_FACTORS = 300, 200, 4


@pytest.fixture(scope="module")
def plays():
    """Users who play what suits them, items of very different popularity."""
    rng = np.random.default_rng(0)
    users, items = (rng.normal(size=(n, N_FACTORS)) for n in (N_USERS, N_ITEMS))
    liking = users @ items.T + rng.normal(size=(N_USERS, N_ITEMS))
    popularity = rng.uniform(-4, 0, N_ITEMS)
    played = liking + popularity > 1.0
    played[:2, :] |= ~played.any(axis=0)
    return sparse.csr_matrix(played.astype(np.float32))


@pytest.fixture(scope="module")
def cf(plays):
    return CFEmbedding(n_factors=N_FACTORS, alpha=5, random_state=0).fit(plays)


def audio_features(cf, noise, seed=0):
    """Estimates of the factors as audio gives them: `noise` in lengths of a factor."""
    factors = cf.item_factors_
    factors = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    error = np.random.default_rng(seed).normal(size=factors.shape)
    return (factors + noise * error / N_FACTORS**0.5).astype(np.float32)


def make(cf, **settings):
    return ColdStartItems(FrozenEstimator(cf), **{"random_state": 0, **settings})


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_nobody_is_the_estimate_and_many_are_the_factor(cf, plays):
    X = audio_features(cf, 0.5)
    items = make(cf, k0=2).fit(X, plays.T)
    np.testing.assert_allclose(items.transform(X), unit(X), rtol=1e-5)
    nobody = sparse.csr_matrix((N_ITEMS, N_USERS))
    np.testing.assert_array_equal(items.transform(X, nobody), items.transform(X))
    embedded = items.transform(X, plays.T)
    many = np.diff(plays.tocsc().indptr) >= 38  # 38 / (38 + 2) = 0.95
    assert 20 < many.sum() < N_ITEMS
    folded = cf.transform_items(plays)
    np.testing.assert_allclose(embedded[many], unit(folded[many]), rtol=1e-5)
    assert not np.allclose(embedded[~many], unit(folded[~many]), rtol=1e-2)


@pytest.mark.parametrize("factor_norm", ["unit", "raw"])
def test_the_blend_is_a_loop_over_items(cf, plays, factor_norm):
    X = audio_features(cf, 0.5)
    items = make(cf, k0=2.0, factor_norm=factor_norm).fit(X, plays.T)
    embedded = items.fit_transform(X, plays.T)
    folded = cf.transform_items(plays)
    for item in range(N_ITEMS):
        n = plays[:, [item]].nnz
        weight = n / (n + 2) if n < 38 else 1  # 38 / (38 + 2) = FULL_WEIGHT
        factor, estimate = folded[item], items.scale_ * X[item]
        if factor_norm == "unit":
            factor = factor / np.linalg.norm(factor)
            estimate = estimate / np.linalg.norm(estimate)
        expected = weight * factor + (1 - weight) * estimate
        if factor_norm == "unit":
            expected = expected / np.linalg.norm(expected)
        np.testing.assert_allclose(embedded[item], expected, rtol=1e-4, atol=1e-5)


def test_raw_keeps_lengths_and_scales_estimates(cf, plays):
    X = cf.item_factors_ / 3
    items = make(cf, factor_norm="raw").fit(X, plays.T)
    assert items.scale_ == pytest.approx(3, rel=1e-5)
    np.testing.assert_allclose(items.transform(X), cf.item_factors_, rtol=1e-4)
    assert make(cf, factor_norm="raw", k0=1).fit(-X, plays.T).scale_ == 0


def test_weights(cf):
    """History n, audio k0, and J tracks of the artist worth J / (J + 1) of many."""
    items = make(cf)
    items.k0_, items.artist_worth_ = 2.0, 8.0

    def weigh(n_users, has_audio, n_tracks):
        given = ([n_users], np.array([has_audio]), np.array([n_tracks]))
        return items._weigh(*given)[0].tolist()

    assert weigh(0, True, 0) == [0, 1, 0]
    assert weigh(2, True, 0) == [0.5, 0.5, 0]
    assert weigh(0, True, 3) == [0, 2 / 8, 6 / 8]
    assert weigh(2, True, 1) == [2 / 8, 2 / 8, 4 / 8]
    assert weigh(4, False, 1) == [0.5, 0, 0.5]
    assert weigh(1, False, 0) == [1, 0, 0]
    assert weigh(0, False, 0) == [0, 0, 0]
    assert weigh(38, True, 0) == [1, 0, 0]  # 38 / (38 + 2) = FULL_WEIGHT
    items.k0_ = items.artist_worth_ = 0.0  # both are worth less than any listener
    assert weigh(1, True, 3) == [1, 0, 0]
    assert weigh(0, True, 3) == [0, 1, 0]
    assert weigh(0, False, 3) == [0, 0, 1]


@pytest.mark.parametrize("factor_norm", ["unit", "raw"])
def test_the_better_the_audio_the_more_listeners_it_is_worth(cf, plays, factor_norm):
    found = [
        make(cf, factor_norm=factor_norm).fit(audio_features(cf, noise), plays.T).k0_
        for noise in (0.0, 0.5, 1.5, 50.0)
    ]
    assert found[0] == WORTHS[-1]  # the truth itself
    assert found[0] > found[1] > found[2] >= found[3]
    assert found[3] < 0.5  # nothing but noise


def test_the_blend_is_better_than_either_at_the_chosen_k0(cf, plays):
    items = make(cf).fit(audio_features(cf, 0.7), plays.T)
    table = items.calibration_
    n_levels = len(table["n_users"])
    assert n_levels >= 4
    assert table["n_users"].tolist() == [2**level for level in range(n_levels)]
    assert (np.diff(table["n_items"]) <= 0).all()
    mean = {
        name: np.average(table[name], weights=table["n_items"])
        for name in ("factor", "estimate", "blend")
    }
    assert mean["blend"] < min(mean["factor"], mean["estimate"])
    assert table["factor"][0] > 2 * table["factor"][-1]  # more listeners, less noise


def test_new_items_are_embedded_better_than_by_either(plays):
    """End to end: items that no part of the training knew, with a few listeners."""
    old, new = plays[:, :150], plays[:, 150:]
    cf = CFEmbedding(n_factors=N_FACTORS, alpha=5, random_state=0).fit(old)
    rng = np.random.default_rng(3)
    truth = cf.transform_items(new)
    X, X_new = (
        unit(rows) + 0.7 * rng.normal(size=rows.shape) / N_FACTORS**0.5
        for rows in (cf.item_factors_, truth)
    )
    items = make(cf).fit(X, old.T)
    enough = np.flatnonzero(np.diff(new.tocsc().indptr) >= 8)
    few = new.T.tocsr()[enough].tolil()
    for row in range(len(enough)):
        few[row, few.rows[row][4:]] = 0
    few = few.tocsr()

    def error(embedded):
        return 1 - (unit(embedded) * unit(truth[enough])).sum(axis=1).mean()

    blend = error(items.transform(X_new[enough], few))
    assert blend < error(cf.transform_items(few.T))
    assert blend < error(X_new[enough])


def test_held_out_items_are_unknown_to_the_users(cf, plays):
    """A user who played only held-out items is a user without plays."""
    alone = plays.tolil()
    alone[0] = 0
    alone[0, [3, 5]] = 1
    item_users = sparse.csr_matrix(alone.T)
    other = _without(cf, item_users, np.array([3, 5]))
    assert not other.user_factors_[0].any()
    assert cf.user_factors_[0].any()  # the caller's model is left
    kept = alone.toarray()
    kept[:, [3, 5]] = 0
    np.testing.assert_allclose(
        other.user_factors_, cf.transform(kept), rtol=1e-5, atol=1e-7
    )


def test_dense_stored_zeros_and_counts(cf, plays):
    """Listeners are counted, not plays; entries of 0 are no listeners."""
    X = audio_features(cf, 0.5)
    items = make(cf).fit(X, plays.T)
    again = make(cf).fit(X, plays.T.toarray())
    assert again.k0_ == items.k0_
    stored = sparse.csr_matrix(plays.T)
    row = stored[[0]]
    row.data[1:] = 0
    one = stored[[0]].toarray()
    one[0, stored[[0]].indices[1:]] = 0
    np.testing.assert_array_equal(
        items.transform(X[:1], row), items.transform(X[:1], one)
    )
    assert row.nnz == stored[[0]].nnz  # the caller's matrix is left


def test_seed_clone_pickle_names(cf, plays):
    X = audio_features(cf, 0.5)
    items = make(cf).fit(X, plays.T)
    embedded = items.transform(X, plays.T)
    assert embedded.dtype == np.float32
    assert embedded.flags.c_contiguous
    for other in (clone(items).fit(X, plays.T), pickle.loads(pickle.dumps(items))):
        np.testing.assert_array_equal(other.transform(X, plays.T), embedded)
    frame = clone(items).set_output(transform="pandas").fit_transform(X, plays.T)
    assert list(frame.columns) == [f"coldstartitems{i}" for i in range(N_FACTORS)]
    np.testing.assert_array_equal(frame.to_numpy(), embedded)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k0": -1}, r"k0=-1, expected 'auto' or a number in \[0, inf\)"),
        ({"k0": "many"}, "k0='many', expected"),
        ({"validation_fraction": 1}, r"validation_fraction=1, .* in \(0, 1\)"),
        ({"factor_norm": "l1"}, "factor_norm='l1', expected one of"),
    ],
)
def test_wrong_parameters(cf, plays, settings, message):
    with pytest.raises(ValueError, match=message):
        make(cf, **settings).fit(audio_features(cf, 0.5), plays.T)


def test_a_model_that_is_not_frozen_is_refused(cf, plays):
    with pytest.raises(TypeError, match=r"expected FrozenEstimator\(cf\) .* another"):
        ColdStartItems(cf).fit(audio_features(cf, 0.5), plays.T)


def test_wrong_input(cf, plays):
    X = audio_features(cf, 0.5)
    items = make(cf).fit(X, plays.T)
    with pytest.raises(ValueError, match=r"other way round: pass user_items\.T"):
        items.fit(X, plays)
    with pytest.raises(ValueError, match=r"X of shape \(200, 3\), expected \(200, 4\)"):
        items.fit(X[:, :3], plays.T)
    items = make(cf).fit(X, plays.T)
    with pytest.raises(ValueError, match=r"\(2, 7\), expected \(2, 300\)\. Rows are"):
        items.transform(X[:2], np.ones((2, 7)))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="Row 1 of X has NaN or infinite values"):
            items.transform(np.array([[0.0] * N_FACTORS, [bad, 1, 1, 1]]))
    with pytest.raises(ValueError, match="Negative values"):
        items.transform(X[:1], -np.ones((1, N_USERS)))
    logs = read_logs(pl.DataFrame({"user": [1, 2, 2], "item": [5, 5, 6]}))
    with pytest.raises(TypeError, match=r"items x users: pass logs\.user_items\.T"):
        items.transform(X[:2], logs)
    once = sparse.csr_matrix(np.eye(N_ITEMS, N_USERS))
    with pytest.raises(ValueError, match="None of 40 held-out items has two listeners"):
        items.fit(X, once)


def by_artist(n_artists, spread, seed=0):
    """Artists whose tracks have factors near each other: a new model, and artists."""
    rng = np.random.default_rng(seed)
    artists = rng.integers(n_artists, size=N_ITEMS)
    centres = rng.normal(size=(n_artists, N_FACTORS))
    tracks = centres[artists] + spread * rng.normal(size=(N_ITEMS, N_FACTORS))
    users = rng.normal(size=(N_USERS, N_FACTORS))
    liking = users @ tracks.T + rng.normal(size=(N_USERS, N_ITEMS)) > 2.5
    liking[:2] |= ~liking.any(axis=0)
    plays = sparse.csr_matrix(liking.astype(np.float32))
    cf = CFEmbedding(n_factors=N_FACTORS, alpha=5, random_state=0).fit(plays)
    return cf, plays, [f"artist {number}" for number in artists]


def test_audio_for_a_subset_by_ids(cf, plays):
    """Some rows by ids, in any order, are the whole with NaN for the others."""
    X = audio_features(cf, 0.5)
    ids = np.array([f"t{number}" for number in range(N_ITEMS)])
    rows = np.random.default_rng(0).permutation(N_ITEMS)[:120]
    whole = np.full_like(X, np.nan)
    whole[rows] = X[rows]
    first = make(cf).fit(whole, plays.T)
    again = make(cf).fit(X[rows], plays.T, items=ids[rows], item_ids=ids)
    by_number = make(cf).fit(X[rows], plays.T, items=rows)
    assert first.k0_ == again.k0_ == by_number.k0_
    embedded = make(cf).fit_transform(X[rows], plays.T, items=rows)
    np.testing.assert_array_equal(embedded, first.transform(whole, plays.T))
    folded = cf.transform_items(plays)
    silent = np.setdiff1d(np.arange(N_ITEMS), rows)  # no audio: the factor alone
    np.testing.assert_allclose(embedded[silent], unit(folded[silent]), rtol=1e-5)
    shares = first.evidence(whole, plays.T)
    assert (shares["history"][silent] == 1).all()
    assert (shares["audio"][rows] > 0).any()
    np.testing.assert_allclose(sum(shares.values()), 1)


def test_nothing_known_is_zeros(cf, plays):
    items = make(cf).fit(audio_features(cf, 0.5), plays.T)
    nothing = np.full((1, N_FACTORS), np.nan)
    assert not items.transform(nothing).any()
    assert {name: rows.tolist() for name, rows in items.evidence(nothing).items()} == {
        "history": [0],
        "audio": [0],
        "artist": [0],
    }


@pytest.mark.parametrize("factor_norm", ["unit", "raw"])
def test_a_new_track_by_a_known_artist(factor_norm):
    """Near tracks of one artist: its mean is worth much; far ones: little."""
    worths = {}
    for spread in (0.1, 3.0):
        cf, plays, artists = by_artist(20, spread)
        X = audio_features(cf, 1.0)
        items = make(cf, factor_norm=factor_norm).fit(X, plays.T, artists=artists)
        worths[spread] = items.artist_worth_
        table = items.calibration_
        assert table["n_users"][:3].tolist() == [0, 1, 2]
        assert np.isnan(table["factor"][0])
        assert table["blend"][0] <= table["estimate"][0]
    assert worths[0.1] > 2 * worths[3.0]


def test_the_artist_is_the_mean_of_its_other_tracks():
    cf, plays, artists = by_artist(20, 0.1)
    X = np.full((N_ITEMS, N_FACTORS), np.nan)
    items = make(cf, k0=1.0, artist_worth=4.0).fit(X, plays.T, artists=artists)
    rows = unit(cf.item_factors_)
    own = np.flatnonzero(np.array(artists) == artists[0])
    new = items.transform(X[:1], artists=artists[:1])
    np.testing.assert_allclose(new[0], unit(rows[own].mean(axis=0)[None])[0], rtol=1e-5)
    assert items.evidence(X[:1], artists=artists[:1])["artist"] == 1
    assert not items.transform(X[:2], artists=["unknown", None]).any()
    # As one of fit, the first track is not in its own artist's mean.
    items = make(cf, k0=1.0, artist_worth=4.0)
    embedded = items.fit_transform(X, plays.T, artists=artists)
    folded = unit(cf.transform_items(plays))
    others = unit(rows[own[1:]].mean(axis=0)[None])[0]
    n, J = plays[:, [0]].nnz, len(own) - 1
    expected = n * folded[0] + 4 * J / (J + 1) * others
    np.testing.assert_allclose(embedded[0], unit(expected[None])[0], rtol=1e-4)


def test_items_and_artists_that_do_not_fit(cf, plays):
    X, ids = audio_features(cf, 0.5), np.array([f"t{n}" for n in range(N_ITEMS)])
    items = make(cf)
    with pytest.raises(ValueError, match=r"1 of 2 items \(\['x'\]\) are not among"):
        items.fit(X[:2], plays.T, items=["t0", "x"], item_ids=ids)
    with pytest.raises(ValueError, match="Some items come twice"):
        items.fit(X[:2], plays.T, items=["t0", "t0"], item_ids=ids)
    with pytest.raises(ValueError, match="3 item_ids, expected 200"):
        items.fit(X[:2], plays.T, items=["t0", "t1"], item_ids=ids[:3])
    with pytest.raises(ValueError, match=r"say which: items=their ids"):
        items.fit(X[:2], plays.T)
    with pytest.raises(ValueError, match="Got 2 artists for 200 items"):
        items.fit(X, plays.T, artists=["a", "b"])


class OnLabels(ColdStartItems):
    """Takes what scikit-learn's checks pass as y, and makes a CF of their X.

    They know nothing of a matrix of listeners: every item gets eight of 16 users, and
    a model of as many factors as X has columns.
    """

    def __init__(self, cf=None, *, k0="auto", random_state=0):
        super().__init__(cf, k0=k0, random_state=random_state)

    def _listen(self, X):
        n_items, n_factors = np.shape(X)
        rng = np.random.default_rng(n_items)
        cf = CFEmbedding(n_factors=n_factors)
        cf.user_factors_ = rng.normal(size=(16, n_factors)).astype(np.float32)
        cf.item_factors_ = rng.normal(size=(n_items, n_factors)).astype(np.float32)
        cf.alpha_, cf.regularization_, cf.epsilon_, cf.space_ = 40.0, 0.01, 1.0, None
        cf.n_features_in_ = n_items
        self._cf_of_test = cf
        return np.tile(np.repeat([1.0, 0.0], 8), (n_items, 1))

    def _cf(self):
        return self._cf_of_test

    def _check_parameters(self):
        pass

    def fit(self, X, y):
        shaped = X if hasattr(X, "shape") else np.asarray(X)
        good = len(getattr(shaped, "shape", ())) == 2 and not sparse.issparse(X)
        return super().fit(X, self._listen(shaped) if good else None)

    def fit_transform(self, X, y):
        return self.fit(X, y).transform(X)


@pytest.mark.filterwarnings("ignore:Skipping check")
def test_check_estimator():
    results = check_estimator(OnLabels(), on_fail=None)
    failed = {
        r["check_name"]: r["exception"] for r in results if r["status"] == "failed"
    }
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) >= 40
