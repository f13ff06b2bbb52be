"""Whole pipelines stored by skops give the same predictions."""

import numpy as np
import skops.io
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from userlogfeat import EncoderEmbedder, LayerSelector, MelStatistics, UserLogEmbedder


def test_a_fitted_pipeline_comes_back():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 8000)) / 9, np.arange(12) % 2
    pipeline = make_pipeline(MelStatistics(sample_rate=8000), PCA(3), SVC()).fit(X, y)
    data = skops.io.dumps(pipeline)
    again = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    np.testing.assert_allclose(
        again.decision_function(X), pipeline.decision_function(X), atol=1e-4
    )


def test_a_pipeline_on_an_encoder_comes_back(tiny_models):
    """It names the encoder; which layer was chosen is stored with it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 8000)).astype("f4") / 9, np.arange(12) % 2
    embedder = EncoderEmbedder(tiny_models.names["hubert"], layer="all")
    selector = LayerSelector(layer_sizes=embedder.layer_sizes, cv=2)
    pipeline = make_pipeline(embedder, selector, SVC()).fit(X, y)
    data = skops.io.dumps(pipeline)
    assert len(data) < 100_000
    again = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    assert again[1].layer_ == pipeline[1].layer_
    np.testing.assert_allclose(
        again.decision_function(X), pipeline.decision_function(X), atol=1e-4
    )


def test_parameters_come_back():
    embedder = UserLogEmbedder("a/folder", layer=("max_pool", "embedding"), n_jobs=4)
    data = skops.io.dumps(embedder)
    trusted = skops.io.get_untrusted_types(data=data)
    assert trusted == ["userlogfeat.estimators.user_log.UserLogEmbedder"]
    again = skops.io.loads(data, trusted=trusted)
    assert again.get_params() == embedder.get_params()
