"""`LayerSelector`, `LayerWeighting`: planted layers, of which one knows the answer."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from userlogfeat import EncoderEmbedder, LayerSelector, LayerWeighting
from userlogfeat.estimators.layers import _loss_and_gradient

N, SIZE = 80, 3


@pytest.fixture
def world():
    """Four layers: the third knows class and number, the others are noise."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % 2
    X = rng.normal(size=(N, 4 * SIZE))
    X[:, 2 * SIZE : 3 * SIZE] += 1.5 * y[:, None]
    return X, y


def test_the_layer_that_knows_is_chosen(world):
    X, y = world
    for target in (y, np.array(["a", "b"])[y], y + 0.1 * X[:, 6], np.c_[y, X[:, 6]]):
        selector = LayerSelector(layer_sizes=4).fit(X, target)
        assert selector.layer_ == "layer_2"
        assert set(selector.scores_) == {"mean", *(f"layer_{i}" for i in range(4))}
        weighting = LayerWeighting(4).fit(X, target)
        assert weighting.weights_["layer_2"] > 0.5
        assert sum(weighting.weights_.values()) == pytest.approx(1)
    np.testing.assert_array_equal(selector.transform(X), X[:, 6:9].astype("f4"))


def test_the_choice_is_within_folds():
    """On noise, the best layer of all clips would look good; within folds it is not."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 12 * 2)), np.arange(60) % 2
    selector = LayerSelector(layer_sizes=12, probe=LogisticRegression(), cv=3)
    pipeline = make_pipeline(selector, LogisticRegression())
    outside = clone(selector).fit(X, y)
    honest = cross_val_score(pipeline, X, y, cv=5).mean()
    assert max(outside.scores_.values()) > honest + 0.03
    assert abs(honest - 0.5) < 0.15


def test_a_grid_over_layers(world):
    X, y = world
    pipeline = make_pipeline(LayerSelector(layer_sizes=4), LogisticRegression())
    grid = {"layerselector__layer": ["layer_0", "layer_2", "mean"]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_params_ == {"layerselector__layer": "layer_2"}
    mean = LayerSelector("mean", layer_sizes=4).fit(X, y).transform(X)
    np.testing.assert_allclose(mean, X.reshape(N, 4, SIZE).mean(axis=1), rtol=1e-5)


def test_groups_are_kept_apart():
    """A layer that names the group is of no use where its groups are new."""
    rng, groups = np.random.default_rng(0), np.arange(N) % 20
    y = (groups // 2) % 2  # of a group
    X = rng.normal(size=(N, 40))
    X[np.arange(N), groups] += 20  # the first layer says which group
    X[:, 20:22] += y[:, None]  # the second knows something of y
    selector = LayerSelector(layer_sizes=2)
    known = selector.fit(X, y).scores_
    new = selector.fit(X, y, groups=groups).scores_
    assert known["layer_0"] > 0.9 > new["layer_0"] + 0.1


def test_names_of_columns_say_the_layers(world):
    pandas = pytest.importorskip("pandas")
    X, y = world
    names = [
        f"{layer}_{i}" for layer in ("low", "mid", "high", "top") for i in range(3)
    ]
    selector = LayerSelector().fit(pandas.DataFrame(X, columns=names), y)
    assert selector.layer_ == "high"
    assert list(selector.get_feature_names_out()) == ["high_0", "high_1", "high_2"]


def test_layers_of_an_encoder(tiny_models):
    rng = np.random.default_rng(0)
    y = np.arange(12) % 2
    clips = rng.normal(size=(12, 8000)).astype("f4")
    clips[y == 1] = np.cumsum(clips[y == 1], axis=1) / 30
    embedder = EncoderEmbedder(tiny_models.names["hubert"], layer="all")
    for layers in (LayerSelector, LayerWeighting):
        model = make_pipeline(
            embedder, layers(layer_sizes=embedder.layer_sizes), LogisticRegression()
        )
        assert clone(model).fit(clips, y).score(clips, y) == 1


@pytest.mark.parametrize("has_classes", [True, False])
def test_the_gradient_is_that_of_the_loss(has_classes):
    rng = np.random.default_rng(0)
    layers, n = rng.normal(size=(3, 10, 2)), 3
    targets = np.eye(n)[np.arange(10) % n] if has_classes else rng.normal(size=(10, n))
    start = rng.normal(size=3 + (2 + 1) * n)

    def part(index):
        return lambda p: _loss_and_gradient(p, layers, targets, has_classes, 0.7)[index]

    assert check_grad(part(0), part(1), start) < 1e-4


def test_what_does_not_fit_is_said(world):
    X, y = world
    with pytest.raises(ValueError, match=r"Got layer_sizes=5 for X of 12 columns"):
        LayerSelector(layer_sizes=5).fit(X, y)
    with pytest.raises(ValueError, match=r"Got layer='top', expected 'auto' or one of"):
        LayerSelector("top", layer_sizes=4).fit(X, y)
    with pytest.raises(ValueError, match=r"Got layers of different sizes"):
        LayerWeighting({"a": 4, "b": 8}).fit(X, y)
    assert LayerSelector(layer_sizes={"a": 4, "b": 8}).fit(X, y).layer_ == "b"
    for sizes in (
        {"a": -1, "b": 13},
        {"a": 0, "b": 12},
        {"a": "x"},
        {"a": 5.5, "b": 6.5},
    ):
        with pytest.raises(ValueError, match=r"for X of 12 columns: they do not fit"):
            LayerSelector(layer_sizes=sizes).fit(X, y)


def test_scores_that_are_no_numbers_choose_no_layer(world):
    """NaN compared as the best, so the first layer was taken."""
    X, y = world
    layers = {"a": 4, "b": 8}

    def score(probe, X, y):
        return np.nan if X.shape[1] == 4 else 0.5

    selector = LayerSelector(layer_sizes=layers, scoring=score).fit(X, y)
    assert np.isnan(selector.scores_["a"])
    assert selector.layer_ == "b"
    selector.set_params(scoring=lambda *_: np.nan)
    with pytest.raises(ValueError, match="No layer has a score"):
        selector.fit(X, y)


@pytest.mark.filterwarnings("ignore:Skipping check")
@pytest.mark.parametrize("estimator", [LayerSelector(), LayerWeighting()], ids=str)
def test_scikit_learns_checks(estimator):
    results = check_estimator(estimator, on_fail=None)
    failed = [
        (r["check_name"], r["exception"]) for r in results if r["status"] == "failed"
    ]
    assert failed == []
