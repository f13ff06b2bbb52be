"""What every estimator promises that reads rows of numbers: logs, or features."""

import pickle
from copy import deepcopy
from functools import cache

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from userlogfeat import (
    ArtistEmbedder,
    CFEmbedding,
    CFRegressor,
    ColdStartItems,
    KDStudentClassifier,
    KDStudentRegressor,
    MetricEmbedder,
    SharedLatentEmbedder,
    UserEmbedding,
)

N_ROWS, N_COLUMNS = 24, 10
MLP = {"network": "mlp", "hidden": (8,), "max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def world():
    """Plays of 24 users, features of 24 clips, and what is known of these."""
    rng = np.random.default_rng(0)
    plays = (rng.random((N_ROWS, N_COLUMNS)) < 0.5).astype(np.float32)
    plays[np.arange(N_ROWS), np.arange(N_ROWS) % N_COLUMNS] = 1  # nobody without
    return {
        "plays": plays,
        "features": rng.normal(size=(N_ROWS, N_COLUMNS)).astype(np.float32),
        "factors": rng.normal(size=(N_ROWS, 3)),
        "labels": np.arange(N_ROWS) % 3,
        "verdicts": np.sign(rng.normal(size=(N_ROWS, 6))),
    }


def cold_start():
    """Of a model with a factor for each column of the features, items as rows."""
    rng = np.random.default_rng(0)
    cf = CFEmbedding(n_factors=N_COLUMNS, random_state=0)
    return ColdStartItems(
        FrozenEstimator(cf.fit(rng.random((30, N_ROWS)) < 0.5)), k0=5.0
    )


# Name -> how to make it, what it reads, what it learns from. Frozen models are made
# anew, so that importing this file fits nothing.
KINDS = {
    "ArtistEmbedder": (lambda: ArtistEmbedder(n_units=6, **MLP), "features", "labels"),
    "CFEmbedding": (lambda: CFEmbedding(n_factors=4, random_state=0), "plays", None),
    "CFRegressor ridge": (
        lambda: CFRegressor("mlp", random_state=0),
        "features",
        "factors",
    ),
    "CFRegressor mlp": (lambda: CFRegressor(head="mlp", **MLP), "features", "factors"),
    "ColdStartItems": (cold_start, "features", "listeners"),
    "KDStudentClassifier": (lambda: KDStudentClassifier(**MLP), "features", "labels"),
    "KDStudentRegressor": (lambda: KDStudentRegressor(**MLP), "features", "factors"),
    "MetricEmbedder": (lambda: MetricEmbedder(**MLP), "features", "verdicts"),
    "SharedLatentEmbedder": (
        lambda: SharedLatentEmbedder(4, network="mlp", max_epochs=2, random_state=0),
        "features",
        "labels",
    ),
    "UserEmbedding": (
        lambda: UserEmbedding(n_units=4, max_epochs=2, random_state=0),
        "plays",
        None,
    ),
}


def learn(estimator, X, targets):
    return estimator.fit(X) if targets is None else estimator.fit(X, targets)


@pytest.fixture(scope="module")
def fitted(world):
    """A function of a name: what `kind` says, fitted once, a copy for each test."""
    world = world | {"listeners": np.random.default_rng(0).random((N_ROWS, 30)) < 0.5}

    @cache
    def fit(name):
        make, reads, learns = KINDS[name]
        targets = None if learns is None else world[learns]
        return learn(make(), world[reads], targets), world[reads], targets

    return lambda name: deepcopy(fit(name))


@pytest.fixture(params=KINDS, ids=str)
def kind(request, fitted):
    """A fitted estimator, what it read, and what it learned from."""
    return fitted(request.param)


def near(a, b):
    return np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b)


def test_output_is_float32_rows(kind):
    estimator, X, _ = kind
    features = estimator.transform(X)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert features.ndim == 2
    assert len(features) == N_ROWS
    assert np.isfinite(features).all()
    assert estimator.n_features_in_ == N_COLUMNS


def test_alone_is_in_any_batch(kind):
    estimator, X, _ = kind
    together = estimator.transform(X)
    alone = np.concatenate([estimator.transform(X[[row]]) for row in range(N_ROWS)])
    assert near(alone, together)
    assert near(estimator.transform(X[::-1])[::-1], together)


def test_the_input_is_left_as_it_was(kind):
    estimator, X, targets = kind
    before = X.copy()
    learn(clone(estimator), X, targets).transform(X)
    np.testing.assert_array_equal(X, before)


def test_pickle_joblib_and_clone(kind, tmp_path):
    """Copies say the same; and so does another fit with the same seed."""
    estimator, X, targets = kind
    expected = estimator.transform(X)
    copies = [pickle.loads(pickle.dumps(estimator))]
    joblib.dump(estimator, tmp_path / "estimator")
    copies += [joblib.load(tmp_path / "estimator")]
    copies += [learn(clone(estimator), X, targets)]
    for copy in copies:
        np.testing.assert_array_equal(copy.transform(X), expected)


def test_another_fit_forgets_the_first(kind):
    estimator, X, targets = kind
    expected = estimator.transform(X)
    again = learn(learn(clone(estimator), X[:, ::-1].copy(), targets), X, targets)
    np.testing.assert_array_equal(again.transform(X), expected)


def test_names_and_pandas(kind):
    estimator, X, targets = kind
    names = estimator.get_feature_names_out()
    assert len(set(names)) == len(names)
    frame = clone(estimator).set_output(transform="pandas")
    frame = learn(frame, X, targets).transform(X)
    assert list(frame.columns) == list(names)
    np.testing.assert_array_equal(frame.to_numpy(), estimator.transform(X))


def test_the_callers_random_numbers_are_left(kind):
    estimator, X, targets = kind
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    learn(clone(estimator), X, targets).transform(X)
    assert np.random.randint(2**31) == np.random.RandomState(7).randint(2**31)  # noqa: NPY002
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(7))


def test_empty_and_nonfinite(kind):
    estimator, X, targets = kind
    with pytest.raises(ValueError, match=r"0 sample|empty"):
        estimator.transform(X[:0])
    for value in (np.nan, np.inf):
        bad = X.copy()
        bad[1, 5] = value
        with pytest.raises(ValueError, match=r"(?i)NaN|inf"):
            estimator.transform(bad)
        with pytest.raises(ValueError, match=r"(?i)NaN|inf"):
            learn(clone(estimator), bad, targets)


def test_another_number_of_columns(kind):
    estimator, X, _ = kind
    with pytest.raises(ValueError, match=rf"(?s){N_COLUMNS - 1}.*{N_COLUMNS}"):
        estimator.transform(X[:, 1:])


def test_not_fitted(kind):
    estimator, X, _ = kind
    with pytest.raises(ValueError, match="not fitted"):
        clone(estimator).transform(X)


TEACHERS = ["ArtistEmbedder", "CFRegressor ridge", "KDStudentRegressor"]


@pytest.mark.parametrize("name", [*TEACHERS, "MetricEmbedder"])
def test_is_a_frozen_teacher(name, world):
    """A metric embedder could not once: it had no way to say what its network is."""
    make, reads, learns = KINDS[name]
    X = world[reads]
    teacher = make().fit(X, world[learns])
    student = KDStudentClassifier(FrozenEstimator(teacher), "fix", **MLP)
    student.fit(X, world["labels"])
    assert near(student.transform(X), teacher.transform(X))
