"""What a notebook shows of an estimator, and that it fails for none."""

import re
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

import userlogfeat
from userlogfeat import (
    CFRegressor,
    EncoderEmbedder,
    KDStudentClassifier,
    LogMel,
    MetricEmbedder,
    MusicnnEmbedder,
    UserLogEmbedder,
)

HEAD = {"head": "ridge", "alphas": (1.0,), "random_state": 0}


class Levels:
    """An encoder of one's own: three columns a tenth of a second."""

    sample_rate, layer_sizes, min_samples, name = 8000, {"level": 3}, 800, "<levels>"

    def __call__(self, waveforms, lengths):
        frames = waveforms.unfold(1, 800, 800).square().mean(2, keepdim=True)
        return {"level": frames.expand(-1, -1, 3)}


def captions(estimator):
    return re.findall(r'<div class="caption">(.*?)</div>', estimator._repr_html_())


@pytest.mark.parametrize(
    ("embedder", "caption", "n_columns"),
    [
        (EncoderEmbedder(Levels()), "&lt;levels&gt;; level (3); on cpu", "3 features"),
        (EncoderEmbedder(Levels(), pooling=None), "level (3); on cpu", ""),
        (EncoderEmbedder(), "MSD_musicnn; max_pool (753); on cpu", "753 features"),
        (MusicnnEmbedder(layer="taggram"), "MSD_musicnn; taggram (50)", "50 features"),
        (MetricEmbedder(), "metric; on cpu", ""),  # not fitted: no layers yet
        (LogMel(), "on cpu", ""),
    ],
)
def test_encoder_layers_columns_and_device_are_seen(embedder, caption, n_columns):
    embedder = clone(embedder).set_params(device="cpu")
    (found,) = captions(make_pipeline(embedder, SVC()))
    assert caption in found
    assert n_columns in embedder._repr_html_()


def test_a_saved_model_is_shown_with_its_encoder(musicnn):
    embedder = UserLogEmbedder("lastfm2k-musicnn", device="cpu")
    (found,) = captions(embedder)
    assert found == (
        "lastfm2k-musicnn on MSD_musicnn; max_pool (753), embedding (40); on cpu"
    )
    assert "793 features" in embedder._repr_html_()


def test_what_was_learned_is_shown_once_it_is():
    rng = np.random.default_rng(0)
    teacher = CFRegressor(encoder=Levels(), device="cpu", **HEAD)
    assert captions(teacher) == ["&lt;levels&gt;; on cpu"]
    teacher.fit(rng.normal(size=(6, 8000)), rng.normal(size=(6, 4)))
    html = teacher._repr_html_()
    assert "&lt;levels&gt;; embedding (4); on cpu" in html
    assert "4 features" in html
    assert "alpha_" in html.partition("Fitted attributes")[2]


def test_a_student_shows_its_teacher():
    html = KDStudentClassifier(EncoderEmbedder(Levels()))._repr_html_()
    assert "teacher: EncoderEmbedder" in html


@pytest.mark.parametrize(
    "embedder", [UserLogEmbedder("nowhere"), EncoderEmbedder("hf:./nowhere")]
)
def test_weights_that_are_not_there_are_shown_all_the_same(embedder):
    """A bug: display and completion of names raised the error of the properties."""
    assert "nowhere" in embedder._repr_html_()
    assert "nowhere" in make_pipeline(embedder, SVC())._repr_html_()
    assert {"fingerprint", "layer_sizes", "transform"} <= set(dir(embedder))


def test_completion_of_names_loads_nothing(monkeypatch):
    def load(*args, **settings):
        raise AssertionError("it was loaded")

    monkeypatch.setattr("userlogfeat.weights.load_model", load)
    assert "layer_sizes" in dir(UserLogEmbedder())
    # Methods that are not there, by the parameters, are not listed either.
    assert "get_feature_names_out" not in dir(EncoderEmbedder(pooling=None))


def test_every_estimator_links_to_its_page():
    """The pages of the reference are ``userlogfeat.NAME``: see docs/reference.py."""
    public = [getattr(userlogfeat, name) for name in userlogfeat.__all__]
    classes = [value for value in public if hasattr(value, "_get_doc_link")]
    assert len(classes) > 15
    for cls in classes:
        link = object.__new__(cls)._get_doc_link()
        assert link.startswith("https://userlogfeat.readthedocs.io/en/latest/")
        assert link.endswith(f"/reference/userlogfeat.{cls.__name__}.html")


def test_without_the_private_name_of_scikit_learn(monkeypatch):
    """It may move: then the display of scikit-learn itself is shown."""
    monkeypatch.setitem(sys.modules, "sklearn.utils._repr_html.estimator", None)
    assert captions(EncoderEmbedder(Levels())) == []
    assert "EncoderEmbedder" in make_pipeline(EncoderEmbedder(Levels()))._repr_html_()
