"""CFEmbedding on a cluster: the attributes and the fold-in of the local backend."""

import copy
import pickle
import shutil

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone

from userlogfeat import CFEmbedding, read_logs
from userlogfeat._spark import frame_of
from userlogfeat.factor_files import (
    DIGEST,
    ITEMS,
    USERS,
    digest_items,
    read_factors,
    read_side,
    write_side,
)
from userlogfeat.recommendation.items import has_factors, items_of_factors

SETTINGS = {"n_factors": 3, "alpha": 2.0, "random_state": 0, "iterations": 12}


def circles():
    """Three circles of ten listeners and eight songs; the last listener plays none."""
    rng = np.random.default_rng(0)
    own = np.kron(np.eye(3), np.ones((10, 8)))
    plays = own * (rng.random(own.shape) < 0.6) * rng.integers(1, 5, own.shape)
    plays[np.arange(30), own.argmax(axis=1)] = 1
    return sparse.csr_matrix(np.vstack([plays, np.zeros(24)]).astype(np.float32))


@pytest.fixture(scope="module")
def cf(spark):
    return CFEmbedding(backend="spark", **SETTINGS).fit(circles())


def test_attributes_are_those_of_the_local_backend(cf):
    local = CFEmbedding(**SETTINGS).fit(circles())
    for name in ("user_factors_", "item_factors_"):
        ours, theirs = getattr(cf, name), getattr(local, name)
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype == np.float32
        assert ours.flags.c_contiguous
    assert vars(cf).keys() | {"popularity_"} == vars(local).keys()
    assert cf.n_features_in_ == 24
    # Three circles, three factors: both backends find the same products.
    products = [m.user_factors_ @ m.item_factors_.T for m in (cf, local)]
    np.testing.assert_allclose(*products, atol=0.05)


def test_training_users_are_folded_in_to_their_own_factors(cf):
    np.testing.assert_array_equal(cf.transform(circles()), cf.user_factors_)
    assert not cf.user_factors_[30].any()
    items = cf.transform_items(circles())
    np.testing.assert_allclose(items, cf.item_factors_, atol=0.1)


def test_users_and_items_have_the_same_sum_of_squares_but_for_the_last_step(cf):
    of_users, of_items = (
        np.square(factors).sum() for factors in (cf.user_factors_, cf.item_factors_)
    )
    assert 0.95 < of_users / of_items < 1.05


def test_it_is_cloned_and_pickled_without_a_session(cf):
    assert clone(cf).get_params() == cf.get_params()
    copy = pickle.loads(pickle.dumps(cf))
    np.testing.assert_array_equal(copy.transform(circles()), cf.user_factors_)


@pytest.fixture(scope="module")
def logs(spark):
    """The same plays as a frame with identifiers, in no order."""
    plays = circles().tocoo()
    users = [f"user {row:02d}" for row in plays.row]
    frame = pl.DataFrame({"user": users, "item": 100 + plays.col, "count": plays.data})
    return frame_of(spark, frame.sample(fraction=1, shuffle=True, seed=0).to_arrow())


@pytest.mark.long
def test_a_frame_gives_the_same_and_its_identifiers(cf, logs):
    found = CFEmbedding(backend="spark", **SETTINGS).fit(logs)
    assert found.user_ids_.tolist() == [f"user {row:02d}" for row in range(30)]
    assert found.item_ids_.tolist() == list(range(100, 124))
    assert found.n_features_in_ == 24
    products = found.user_factors_ @ found.item_factors_.T
    expected = cf.user_factors_[:30] @ cf.item_factors_.T
    np.testing.assert_allclose(products, expected, atol=0.05)
    found.fit(circles())  # on numbers: what was known of the frame is gone
    assert not hasattr(found, "user_ids_")
    np.testing.assert_allclose(found.item_factors_, cf.item_factors_, atol=1e-4)


@pytest.mark.long
def test_update_goes_on_from_a_frame_by_its_identifiers(cf, logs):
    """The first song is gone: all others have new places, and their old factors."""
    model = CFEmbedding(backend="spark", **SETTINGS).fit(logs)
    before, space = np.array(model.item_factors_)[1:], model.space_
    model.update(logs.filter("item > 100"))
    assert model.item_ids_.tolist() == list(range(101, 124))
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(
        model.item_factors_, axis=1
    )
    assert ((before * model.item_factors_).sum(axis=1) > 0.9 * lengths).all()
    assert (model.space_, model.alignment_ > 0.95) == (space, True)
    with pytest.raises(ValueError, match="Got the ids of one side only"):
        copy.deepcopy(cf).update(logs)  # which was fitted on a matrix


@pytest.mark.long
def test_factors_may_stay_on_the_cluster(spark, logs, tmp_path):
    interactions = read_logs(logs, count="count")
    settings = SETTINGS | {"n_factors": np.int64(3), "alpha": np.float32(2)}
    cf = CFEmbedding(backend="spark", factors_folder=str(tmp_path), **settings)
    cf.fit(interactions)
    kept = read_factors(tmp_path)
    assert (tmp_path / USERS).is_dir()
    assert kept.user_ids.tolist() == [f"user {row:02d}" for row in range(30)]
    assert kept.item_ids.tolist() == cf.item_ids_.tolist() == list(range(100, 124))
    np.testing.assert_array_equal(kept.item_factors, cf.item_factors_)
    plays = interactions.collect().user_items
    np.testing.assert_array_equal(kept.user_factors, cf.transform(plays))
    assert kept.made_by["alpha"] == 2.0
    assert kept.made_by["n_factors"] == 3
    assert kept.made_by[DIGEST] == digest_items(cf.item_factors_, 30)
    assert not hasattr(cf, "user_factors_")
    with pytest.raises(ValueError, match=r"factors of the users are in .*read_fac"):
        cf.transform_items(plays)
    interactions.unpersist()
    assert has_factors(tmp_path)
    own = items_of_factors(tmp_path, users=tmp_path)
    np.testing.assert_array_equal(own.embeddings, cf.item_factors_)
    write_side(tmp_path / "other", USERS, [1], [[1.0] * 3], made_by={DIGEST: "0"})
    with pytest.raises(ValueError, match="are of different trainings"):
        items_of_factors(tmp_path, users=tmp_path / "other")
    half = tmp_path / "half"
    shutil.copytree(tmp_path / ITEMS, half / ITEMS)
    copied = sorted(half.glob("*/*.parquet"))
    copied[0].with_name("zz.parquet").write_bytes(copied[0].read_bytes())
    with pytest.raises(ValueError, match=r"damaged.* of 24 rows"):
        read_side(half, ITEMS)


def test_what_does_not_fit_is_refused(cf, logs):
    with pytest.raises(TypeError, match="Got DataFrame with backend='implicit'"):
        CFEmbedding().fit(logs)
    with pytest.raises(TypeError, match=r"Got DataFrame, .*logs\.collect\(\)"):
        cf.transform(logs)
    with pytest.raises(ValueError, match="holds no play"):
        CFEmbedding(backend="spark").fit(sparse.csr_matrix((3, 2)))
    with pytest.raises(ValueError, match=r"Found no column 'item' \(item=\)"):
        CFEmbedding(backend="spark").fit(logs.drop("item"))
    for folder in ("", 5):
        with pytest.raises(ValueError, match=r"factors_folder=.*, expected a folder"):
            CFEmbedding(backend="spark", factors_folder=folder).fit(circles())
    for folder in ("/proc/none", "foo://here/none"):
        cf = CFEmbedding(backend="spark", factors_folder=folder)
        with pytest.raises(OSError, match=rf"cannot write to .*{folder}' \(\w.*Name a"):
            cf.fit(circles())
