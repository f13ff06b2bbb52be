"""Students: each mode does what it says, and a teacher that knows helps."""

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from userlogfeat import (
    CFRegressor,
    KDStudentClassifier,
    KDStudentRegressor,
    LayerSelector,
    LogMel,
    SharedLatentEmbedder,
    UserLogEmbedder,
)
from userlogfeat.estimators._distillation import choose_weight, inner_folds
from userlogfeat.estimators._teacher import _remembered
from userlogfeat.estimators._training import Trainer
from userlogfeat.weights import ModelError

DATA = {"description": "planted", "licence": "none", "non_commercial": False}
SHORT_POOLS = ((4, 2), (3, 2), (2, 2), (2, 2))
HEARING = {"channels": 8, "pools": SHORT_POOLS, "duration": 1.0, "batch_size": 8}
N_TRAIN = 90


@pytest.fixture(scope="module")
def planted():
    """Four factors, seen through 8 of 30 columns; the class is the largest of three."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 30)).astype(np.float32)
    factors = np.tanh(X[:, :4] + X[:, 4:8])
    y = np.array(["calm", "loud", "odd"])[factors[:, :3].argmax(axis=1)]
    return X, factors, y


@pytest.fixture(scope="module")
def teacher(planted):
    X, factors, _ = planted
    settings = {"head": "mlp", "hidden": (64,), "lr": 5e-3, "random_state": 0}
    return CFRegressor("mlp", **settings).fit(X, factors)


def student(teacher=None, mode=None, **settings):
    if teacher is not None and not isinstance(teacher, dict | str):
        teacher = FrozenEstimator(teacher)
    settings = {"network": "mlp", "hidden": (64,), "random_state": 0} | settings
    return KDStudentClassifier(teacher, mode, **settings)


def split_score(model, X, y, **fit_params):
    model.fit(X[:N_TRAIN], y[:N_TRAIN], **fit_params)
    return model.score(X[N_TRAIN:], y[N_TRAIN:])


def test_a_teacher_that_knows_helps_and_permuted_knowledge_does_not(planted, teacher):
    X, factors, y = planted
    rng = np.random.default_rng(1)
    permuted = clone(teacher).fit(X, factors[rng.permutation(len(X))])
    scores = {
        name: np.mean(
            [split_score(student(t, random_state=seed), X, y) for seed in range(3)]
        )
        for name, t in (("base", None), ("kd", teacher), ("permuted", permuted))
    }
    assert scores["kd"] > scores["base"] + 0.03
    assert scores["kd"] > scores["permuted"] + 0.02


def test_modes_of_none(planted, teacher):
    X, factors, y = planted
    assert student(max_epochs=1).fit(X, y).mode_ == "base"
    assert student(teacher, max_epochs=1).fit(X, y).mode_ == "kd"
    guide = student(max_epochs=1).fit(X, y, teacher_targets=factors)
    assert guide.mode_ == "kd"
    assert guide.transform(X).shape == (600, 4)


def test_kd_brings_the_penultimate_units_to_the_teacher(planted, teacher):
    X, _, y = planted
    model = student(teacher, kd_weight=100.0, max_epochs=60, patience=60).fit(X, y)
    guide = teacher.predict(X)
    alone = student(max_epochs=60, patience=60).fit(X, y)
    assert cosine(model.transform(X), guide) > 0.95
    assert abs(cosine(alone.transform(X)[:, :4], guide)) < 0.5


def cosine(a, b):
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.mean((a * b).sum(axis=1) / lengths)


def test_kd_weight_of_zero_is_base(planted):
    """The distillation is all that kd adds: without it, the same weights."""
    X, factors, y = planted
    targets = np.pad(factors, ((0, 0), (0, 36)))  # 40 units, as base has
    base = student(max_epochs=5).fit(X, y)
    kd = student(mode="kd", kd_weight=0, max_epochs=5).fit(
        X, y, teacher_targets=targets
    )
    np.testing.assert_array_equal(base.predict_proba(X), kd.predict_proba(X))


def test_training_does_not_stop_while_the_teacher_leads(planted):
    """Patience of the task's loss, which may rise, counts from the last such epoch."""
    X, factors, _ = planted
    noise = np.random.default_rng(0).permutation(np.repeat(["a", "b"], 40))
    settings = {"patience": 1, "max_epochs": 40, "lr": 0.05, "kd_epochs": 12}
    base = student(**settings).fit(X[:80], noise)
    assert len(base.history_) < 8  # labels without sense: the loss soon rises
    kd = student(**settings).fit(X[:80], noise, teacher_targets=factors[:80])
    assert 13 <= len(kd.history_) < 40
    throughout = student(**settings | {"kd_epochs": None})
    throughout.fit(X[:80], noise, teacher_targets=factors[:80])
    assert len(throughout.history_) < 8


@pytest.mark.parametrize("mode", ["base", "fix", "init", "kd"])
def test_an_offset_of_the_features_changes_nothing(planted, mode):
    """Features are standardised, and the network that is kept reads raw ones."""
    X, factors, y = planted
    X = np.round(X * 64) / 64  # exact beside the offset
    outputs, estimates = [], []
    for offset in (0, 512):
        settings = {"head": "mlp", "hidden": (64,), "max_epochs": 3, "random_state": 0}
        guide = CFRegressor("mlp", **settings).fit(X + offset, factors)
        model = student(None if mode == "base" else guide, mode, max_epochs=3)
        outputs.append(model.fit(X + offset, y).predict_proba(X + offset))
        estimates.append(guide.predict(X + offset))
    assert np.ptp(outputs[0], axis=0).min() > 0.1
    np.testing.assert_allclose(*outputs, atol=5e-3)
    np.testing.assert_allclose(*estimates, atol=5e-3)


@pytest.mark.parametrize("mode", ["base", "fix", "init", "kd"])
def test_the_model_that_is_kept_has_the_loss_that_chose_it(
    planted, teacher, mode, monkeypatch
):
    """Cross-entropy on the validation clips, of probabilities from raw features."""
    X, _, y = planted
    splits, split = [], Trainer.split
    monkeypatch.setattr(
        Trainer,
        "split",
        lambda self, *given: splits.append(split(self, *given)) or splits[-1],
    )
    model = student(None if mode == "base" else teacher, mode, max_epochs=4)
    model.fit(X, y)
    [(_, valid)] = splits
    loss = log_loss(y[valid], model.predict_proba(X[valid]), labels=model.classes_)
    chosen = min(epoch["valid_task_loss"] for epoch in model.history_)
    assert loss == pytest.approx(chosen, rel=1e-3)


def test_a_second_fit_in_another_mode_forgets_the_first(planted, teacher):
    X, _, y = planted
    once = student(teacher, "fix", max_epochs=1).fit(X, y)
    for mode in ("init", "fix"):
        once.set_params(mode=mode).fit(X, y)
        alone = student(teacher, mode, max_epochs=1).fit(X, y)
        np.testing.assert_array_equal(once.predict_proba(X), alone.predict_proba(X))


def test_kd_epochs_lower_the_weight_to_nothing():
    model = KDStudentClassifier(kd_weight=8.0, kd_epochs=4, max_epochs=6)
    shares = [model._loss().share(epoch) for epoch in range(6)]
    assert shares == [1, 0.75, 0.5, 0.25, 0, 0]
    assert KDStudentClassifier(kd_weight=8.0, kd_epochs=None)._loss().share(99) == 1


@pytest.mark.parametrize(
    ("max_epochs", "fall"), [(500, 50), (200, 50), (40, 10), (8, 2), (3, 1)]
)
def test_the_weight_falls_within_what_is_run(max_epochs, fall):
    """Was: 50 epochs whatever max_epochs, so that it never fell to 0."""
    model = KDStudentClassifier(kd_weight=8.0, max_epochs=max_epochs)
    shares = [model._loss().share(epoch) for epoch in range(max_epochs)]
    assert np.count_nonzero(shares) == fall
    assert shares[-1] == 0
    assert shares[0] == 1


def test_permuted_logs_do_not_hold_a_short_training_down(planted):
    """Was: 0.38, where base had 0.56, as the weight never fell to 0 in 40 epochs."""
    X, factors, y = planted
    permuted = factors[np.random.default_rng(1).permutation(len(X))][:N_TRAIN]
    settings = {"max_epochs": 40, "lr": 1e-2, "hidden": (32,)}
    base = split_score(student(**settings), X, y)
    kd = split_score(student(**settings), X, y, teacher_targets=permuted)
    assert kd > base - 0.08


def test_fix_learns_the_output_layer_alone(planted, teacher):
    X, _, y = planted
    model = student(teacher, "fix").fit(X, y)
    np.testing.assert_allclose(model.transform(X), teacher.predict(X), rtol=1e-6)
    logits = teacher.predict(X) @ model.output_.weight.numpy().T
    logits += model.output_.bias.numpy()
    np.testing.assert_array_equal(model.predict(X), model.classes_[logits.argmax(1)])
    assert model.score(X, y) > 0.8


def test_init_starts_from_the_teacher(planted, teacher):
    """With steps of nearly nothing, the penultimate units are still the teacher's."""
    X, _, y = planted
    model = student(teacher, "init", lr=1e-9, max_epochs=1).fit(X, y)
    np.testing.assert_allclose(model.transform(X), teacher.predict(X), atol=1e-4)
    moved = student(teacher, "init", lr=1e-2, max_epochs=5).fit(X, y)
    assert np.abs(moved.transform(X) - teacher.predict(X)).max() > 0.05


def test_init_needs_the_same_architecture(planted, teacher):
    X, _, y = planted
    message = r"teacher has hidden=\(.*, and the student hidden=\(32,\). Give the"
    with pytest.raises(ValueError, match=message):
        student(teacher, "init", hidden=(32,)).fit(X, y)
    ridge = Ridge().fit(X, np.eye(3)[np.unique(y, return_inverse=True)[1]])
    with pytest.raises(ValueError, match="Ridge, which has no network"):
        student(ridge, "init").fit(X, y)


def test_any_frozen_estimator_is_a_teacher(planted):
    X, factors, y = planted
    ridge = make_pipeline(StandardScaler(), Ridge()).fit(X, factors)
    assert student(ridge, "fix").fit(X, y).score(X, y) > 0.8
    assert student(ridge, "kd", max_epochs=3).fit(X, y).transform(X).shape == (600, 4)


@pytest.mark.parametrize("mode", ["fix", "init", "kd"])
def test_modes_need_a_teacher(planted, mode):
    X, _, y = planted
    with pytest.raises(ValueError, match=f"Got mode=['\"]{mode}['\"] and"):
        student(mode=mode).fit(X, y)


@pytest.mark.parametrize("paths", [["a.wav", "b.wav"], np.array([Path("a.wav")])])
def test_paths_are_no_features(paths, planted, teacher, tmp_path):
    _, _, y = planted
    message = "Got the path or text .*reads precomputed features"
    for one in (
        CFRegressor("mlp"),
        student(mode="base"),
        student(FrozenEstimator(teacher), "fix"),
        SharedLatentEmbedder(network="mlp"),
        LayerSelector(layer_sizes={"one": 1}),
    ):
        with pytest.raises(ValueError, match=message):
            one.fit(paths, y[: len(paths)])
    teacher.save(tmp_path / "t", training_data=DATA)
    with pytest.raises(ValueError, match=message):
        UserLogEmbedder(tmp_path / "t", layer="embedding").transform(paths)
    with pytest.raises(ValueError, match=message):
        teacher.predict(paths)


def test_an_unfrozen_teacher_is_refused(planted, teacher):
    X, _, y = planted
    with pytest.raises(TypeError, match=r"FrozenEstimator\(fitted\)"):
        KDStudentClassifier(teacher, network="mlp").fit(X, y)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.zeros((599, 4)), "teacher_targets of 599 rows for 600 clips"),
        (np.full((600, 4), np.nan), "teacher_targets contains NaN"),
        (np.zeros(600), "Expected 2D array"),
    ],
)
def test_bad_teacher_targets(planted, targets, message):
    X, _, y = planted
    with pytest.raises(ValueError, match=message):
        student().fit(X, y, teacher_targets=targets)


def test_a_teacher_of_other_features_asks_for_targets(planted, teacher):
    X, _, y = planted
    with pytest.raises(ValueError, match=r"pass fit\(\.\.\., teacher_targets=\)"):
        student(teacher).fit(X[:, :10], y)


def test_teachers_by_channels(planted, teacher):
    X, _, y = planted
    frozen = {32: FrozenEstimator(teacher)}
    assert student(frozen, channels=32, max_epochs=1).fit(X, y).mode_ == "kd"
    with pytest.raises(ValueError, match=r"channels=64, .* for channels \[32\]"):
        student(frozen, channels=64).fit(X, y)


def test_class_and_sample_weights(planted):
    """Clips of no weight are not learned; a heavy class is predicted more often."""
    X, _, y = planted
    wrong = np.where(np.arange(600) < 300, y, "odd")
    weight = (np.arange(600) < 300).astype(float)
    model = student(lr=5e-3).fit(X, wrong, sample_weight=weight)
    assert model.score(X[:300], y[:300]) > 0.9
    heavy = student(class_weight={"odd": 20.0, "calm": 1, "loud": 1}, max_epochs=5)
    plain = student(max_epochs=5)
    counts = [(m.fit(X, y).predict(X) == "odd").sum() for m in (heavy, plain)]
    assert counts[0] > counts[1] + 50


def test_probabilities(planted):
    X, _, y = planted
    model = student(max_epochs=3).fit(X, y)
    chances = model.predict_proba(X)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert (chances >= 0).all()
    np.testing.assert_array_equal(model.classes_[chances.argmax(1)], model.predict(X))


def test_regression_of_several_targets(planted, teacher):
    X, factors, _ = planted
    Y = factors[:, :2] * [1.0, 1000.0] + [5.0, -3000.0]  # of very different scales
    model = KDStudentRegressor(
        FrozenEstimator(teacher), network="mlp", hidden=(64,), random_state=0
    ).fit(X[:300], Y[:300])
    estimate = model.predict(X[300:])
    assert estimate.dtype == np.float64
    assert estimate.shape == (300, 2)
    assert model.score(X[300:], Y[300:]) > 0.6
    one = clone(model).fit(X[:300], Y[:300, 0])
    assert one.predict(X[300:]).shape == (300,)


@pytest.mark.parametrize("mode", ["base", "fix", "kd"])
def test_save_and_load(planted, teacher, tmp_path, mode):
    X, factors, y = planted
    model = student(teacher, mode, max_epochs=3).fit(X, y)
    model.save(tmp_path, training_data=DATA)
    loaded = KDStudentClassifier.load(tmp_path)
    np.testing.assert_array_equal(loaded.classes_, model.classes_)
    np.testing.assert_allclose(
        loaded.predict_proba(X), model.predict_proba(X), rtol=1e-4
    )
    np.testing.assert_allclose(loaded.transform(X), model.transform(X), rtol=1e-4)
    embedder = UserLogEmbedder(tmp_path, layer="embedding", scale=False)
    np.testing.assert_allclose(embedder.fit_transform(X), model.transform(X), rtol=1e-4)
    with pytest.raises(ModelError, match="saved by KDStudentClassifier, not KDStudent"):
        KDStudentRegressor.load(tmp_path)
    regressor = KDStudentRegressor(
        FrozenEstimator(teacher), mode, network="mlp", max_epochs=3, random_state=0
    ).fit(X, factors)
    regressor.save(tmp_path / "regressor", training_data=DATA)
    loaded = KDStudentRegressor.load(tmp_path / "regressor")
    np.testing.assert_allclose(loaded.predict(X), regressor.predict(X), rtol=1e-4)


def test_a_saved_student_without_its_teacher_object(planted, teacher, tmp_path):
    """The folder of a fixed student has all it needs, though its teacher was not."""
    X, _, y = planted
    student(teacher, "fix", max_epochs=2).fit(X, y).save(tmp_path, training_data=DATA)
    loaded = KDStudentClassifier.load(tmp_path)
    again = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(again.predict(X), loaded.predict(X))
    with pytest.raises(ValueError, match="teacher=None"):
        loaded.fit(X, y)


def test_a_loaded_student_is_not_fitted_without_its_teacher(planted, teacher, tmp_path):
    """With mode=None it became "base", without a word."""
    X, _, y = planted
    student(teacher, None, max_epochs=2).fit(X, y).save(tmp_path, training_data=DATA)
    loaded = KDStudentClassifier.load(tmp_path)
    assert loaded.mode_ == "kd"
    with pytest.raises(ValueError, match="nothing to distil"):
        clone(loaded).fit(X, y)


def test_targets_are_computed_once_a_clip(planted, teacher, monkeypatch):
    """Not once for each of two candidates and three folds, and the last fit."""
    X, _, y = planted
    _remembered.clear()
    asked = []
    embed = CFRegressor._embed

    def count(self, X):
        asked.append(len(X))
        return embed(self, X)

    monkeypatch.setattr(CFRegressor, "_embed", count)
    grid = {"mode": ["base", "kd"], "kd_weight": [1.0, 10.0]}
    GridSearchCV(student(teacher, max_epochs=1), grid, cv=3).fit(X, y)
    assert sum(asked) == len(X)


def test_teacher_targets_through_a_search(planted):
    """With metadata routing, targets follow their clips into every fold."""
    X, factors, y = planted
    with sklearn.config_context(enable_metadata_routing=True):
        model = student(max_epochs=2).set_fit_request(teacher_targets=True)
        search = GridSearchCV(model, {"kd_weight": [0.0, 10.0]}, cv=3)
        search.fit(X, y, teacher_targets=factors)
    assert search.best_estimator_.mode_ == "kd"
    assert search.best_estimator_.transform(X).shape == (600, 4)


def test_artists_are_on_one_side_of_the_validation(planted, monkeypatch):
    X, _, y = planted
    artists = np.arange(600) // 10
    seen = []
    fit = Trainer.fit

    def watch(self, *given, split, **settings):
        seen.append(split)
        return fit(self, *given, split=split, **settings)

    monkeypatch.setattr(Trainer, "fit", watch)
    student(max_epochs=1).fit(X, y, groups=artists)
    train, valid = seen[0]
    assert len(valid) > 60
    assert not set(artists[train]) & set(artists[valid])
    assert set(y[train]) == set(y)


@pytest.fixture(scope="module")
def clips():
    """Tones of 32 pitches in noise; the class is whether the pitch is high."""
    rng = np.random.default_rng(0)
    time = np.arange(24000) / 16000
    pitch = rng.permutation(np.geomspace(200, 4000, 32))
    X = np.sin(2 * np.pi * pitch[:, None] * time)
    X += 0.1 * rng.normal(size=X.shape)
    octave = np.log2(pitch / 900)
    factors = np.stack([np.cos(octave), np.sin(octave)], axis=1)
    return (0.1 * X).astype(np.float32), factors, pitch > 900


@pytest.fixture(scope="module")
def audio_teacher(clips):
    X, factors, _ = clips
    return CFRegressor(max_epochs=15, lr=5e-3, random_state=0, **HEARING).fit(
        X, factors
    )


@pytest.mark.parametrize("mode", ["base", "fix", "init", "kd"])
def test_students_of_audio(clips, audio_teacher, mode, tmp_path):
    X, _, y = clips
    model = KDStudentClassifier(
        FrozenEstimator(audio_teacher), mode, max_epochs=12, lr=5e-3, **HEARING
    ).set_params(random_state=0)
    model.fit(X, y)
    assert model.score(X, y) > 0.8
    log_mel = LogMel("lee2019", duration=1.0).fit_transform(X)
    np.testing.assert_allclose(
        model.predict_proba(log_mel), model.predict_proba(X), atol=1e-4
    )
    model.save(tmp_path, training_data=DATA)
    loaded = KDStudentClassifier.load(tmp_path)
    np.testing.assert_allclose(
        loaded.predict_proba(X), model.predict_proba(X), atol=1e-5
    )
    assert model.n_features_in_ == 24000


def test_a_pipeline_with_spectrograms_in_front(clips, audio_teacher):
    X, _, y = clips
    pipeline = make_pipeline(
        LogMel("lee2019", duration=1.0),
        KDStudentClassifier(
            FrozenEstimator(audio_teacher), max_epochs=10, lr=5e-3, **HEARING
        ).set_params(random_state=0),
    )
    assert cross_val_score(pipeline, X, y, cv=2).mean() > 0.6


class Bands(torch.nn.Module):
    """A network of one's own: the mean spectrum, and two linear maps."""

    def __init__(self, shape, n_units, n_outputs):
        super().__init__()
        self.embed = torch.nn.Linear(shape[0], n_units)
        self.output = torch.nn.Linear(n_units, n_outputs)

    def penultimate(self, x):
        return self.embed(x.mean(2))


def test_a_network_of_ones_own(clips, tmp_path):
    X, factors, y = clips
    settings = HEARING | {"network": Bands, "max_epochs": 60, "lr": 1e-2}
    teacher = CFRegressor(random_state=0, **settings).fit(X, factors)
    for mode in ("kd", "init", "fix"):
        model = KDStudentClassifier(FrozenEstimator(teacher), mode, **settings)
        model.set_params(random_state=0).fit(X, y)
        assert model.score(X, y) > 0.8
        model.save(tmp_path / mode, training_data=DATA)
        with pytest.raises(ModelError, match="your own class 'Bands'"):
            KDStudentClassifier.load(tmp_path / mode)
        loaded = KDStudentClassifier.load(tmp_path / mode, network=Bands)
        np.testing.assert_allclose(
            loaded.predict_proba(X), model.predict_proba(X), atol=1e-5
        )


def test_the_bundled_teacher_fixes_and_distils(clips, musicnn):
    """A musicnn teacher works for any student, but none can start from its weights."""
    X, _, y = clips
    settings = HEARING | {"max_epochs": 3, "random_state": 0}
    for mode in ("fix", "kd"):
        model = KDStudentClassifier("lastfm2k-musicnn", mode, **settings).fit(X, y)
        assert model.transform(X).shape == (32, 40)
    message = "teacher has network='musicnn', and the student network='se_cnn'"
    with pytest.raises(ValueError, match=message):
        KDStudentClassifier("lastfm2k-musicnn", "init", **settings).fit(X, y)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("init", "the teacher has network='mlp', and the student network='se_cnn'"),
        ("kd", "The teacher reads precomputed features, and the student audio. Pass"),
    ],
)
def test_a_teacher_that_cannot_serve_is_refused_before_clips_are_read(
    teacher, mode, message
):
    """All clips were read first. These files do not exist: their error comes later."""
    model = KDStudentClassifier(FrozenEstimator(teacher), mode)
    with pytest.raises(ValueError, match=message):
        model.fit(["no such clip.wav", "nor this.wav"], ["a", "b"])
    model = KDStudentClassifier("no-such-weights", mode)
    with pytest.raises(ValueError, match="There is no model 'no-such-weights'"):
        model.fit(["no such clip.wav", "nor this.wav"], ["a", "b"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "distil"}, "Got mode='distil', expected one of"),
        ({"kd_weight": -1.0}, "Got kd_weight=-1.0"),
        ({"kd_epochs": 0}, "Got kd_epochs=0"),
        ({"kd_epochs": 2.5}, "Got kd_epochs=2.5"),
        ({"mode": "base", "kd_loss": "none"}, "Got kd_loss='none'"),
        ({"kd_epochs": "never"}, "Got kd_epochs='never'"),
        ({"kd_epochs": 40, "max_epochs": 40}, "=40: the weight .* never reach 0"),
        ({"network": "cnn"}, "Got network='cnn'"),
        ({"network": torch.nn.Linear(2, 2)}, r"class \(not an instance\)"),
        ({"validation_fraction": 1.0}, "Got validation_fraction=1.0"),
        ({"lr": 0.0}, "Got lr=0.0"),
        ({"hidden": (0,)}, "Got hidden=0"),
        ({"teacher": "no-such-model"}, "There is no model 'no-such-model'"),
    ],
)
def test_bad_parameters(planted, change, message):
    X, _, y = planted
    with pytest.raises((ValueError, TypeError), match=message):
        student().set_params(**change).fit(X, y)


def test_fix_needs_targets_of_the_teachers_size(planted, teacher):
    """It once fitted, and failed when it predicted."""
    X, _, y = planted
    with pytest.raises(
        ValueError, match=r"teacher_targets of 7 columns, but .* 4 units"
    ):
        student(teacher, "fix").fit(X, y, teacher_targets=np.ones((600, 7)))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_labels_are_named(planted, missing):
    X, _, y = planted
    y = y.astype(object)
    y[7] = missing
    with pytest.raises(ValueError, match=r"no label in 1 rows \(first: row 7\)"):
        student().fit(X, y)


def test_the_scale_of_weights_does_not_matter(planted):
    """Tiny weights were once cut off, and the task was not learned."""
    X, _, y = planted
    models = [
        student(max_epochs=3).fit(X, y, sample_weight=np.full(600, weight))
        for weight in (1.0, 1e-20)
    ]
    np.testing.assert_allclose(
        models[0].predict_proba(X), models[1].predict_proba(X), atol=1e-5
    )
    with pytest.raises(ValueError, match="negative or all 0"):
        student(class_weight={"odd": -1.0}).fit(X, y)
    with pytest.raises(ValueError, match="at least one non-zero number"):
        student().fit(X, y, sample_weight=np.zeros(600))


def test_one_artist_leaves_no_validation(planted):
    X, _, y = planted
    with pytest.warns(UserWarning, match="leave no clip to validate on"):
        student(max_epochs=1).fit(X, y, groups=["a"] * 600)


def test_errors_of_the_teacher_are_not_those_of_x(planted):
    X, _, y = planted
    with pytest.raises(ModelError, match=r"^There is no model 'nobody'"):
        student("nobody").fit(X, y)
    with pytest.raises(TypeError, match="Got teacher=''"):
        student("").fit(X, y)


@pytest.mark.parametrize("dtype", [np.int8, np.float32, bool, "U7", object])
def test_labels_keep_their_type_in_a_saved_model(planted, tmp_path, dtype):
    X, _, y = planted
    labels = (y == "odd").astype(int)
    y = y.astype(dtype) if dtype in ("U7", object) else labels.astype(dtype)
    model = student(max_epochs=1).fit(X, y)
    model.save(tmp_path, training_data=DATA)
    loaded = KDStudentClassifier.load(tmp_path)
    assert loaded.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_a_model_is_saved_into_a_folder(planted, tmp_path):
    X, _, y = planted
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file: a model is saved into"):
        student(max_epochs=1).fit(X, y).save(tmp_path / "file", training_data=DATA)


def test_auto_weight_does_without_a_teacher_that_knows_nothing(monkeypatch):
    """The units are wanted for large random numbers: they cannot learn the task."""
    monkeypatch.setattr("userlogfeat.estimators._distillation.AUTO_REPEATS", 1)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 8)).astype(np.float32)
    y = X[:, :3].argmax(axis=1)
    settings = {"network": "mlp", "hidden": (16,), "random_state": 0, "kd_epochs": 4}
    settings |= {"max_epochs": 8, "patience": 4}
    noise = 30 * rng.normal(size=(120, 40))
    student = KDStudentClassifier(kd_weight="auto", **settings)
    student.fit(X, y, teacher_targets=noise)
    assert (student.kd_weight_, student.mode_) == (0.0, "base")
    base = KDStudentClassifier(mode="base", **settings).fit(X, y)
    np.testing.assert_array_equal(student.predict_proba(X), base.predict_proba(X))


@pytest.mark.parametrize(("gain", "mode"), [(0.5, "kd"), (0.0, "kd"), (-0.5, "base")])
@pytest.mark.parametrize("kind", [KDStudentClassifier, KDStudentRegressor])
def test_auto_weight_is_the_better_one_of_held_out_clips(monkeypatch, kind, gain, mode):
    held_out = []

    def goodness(self, weight, data, targets, trainer, split, held):
        assert not set(held) & {*split[0], *split[1]}
        held_out.append((weight, tuple(held)))
        return gain if weight else 0.0

    monkeypatch.setattr(kind, "_goodness", goodness)
    X = np.random.default_rng(0).normal(size=(30, 3))
    y = np.tile([0, 1, 2], 10)
    student = kind(kd_weight="auto", network="mlp", max_epochs=1, random_state=0)
    student.fit(X, y, teacher_targets=X)
    assert student.mode_ == mode
    assert student.kd_weight_ == (kind().kd_weight if mode == "kd" else 0.0)
    for weight in (kind().kd_weight, 0.0):  # every clip once in each of 3 repeats
        clips = np.concatenate([rows for w, rows in held_out if w == weight])
        assert np.bincount(clips).tolist() == [3] * 30


def test_auto_weight_with_a_class_of_one_clip():
    X = np.random.default_rng(0).normal(size=(12, 3))
    y = np.repeat([0, 1, 2], [7, 4, 1])
    student = KDStudentClassifier(
        kd_weight="auto", network="mlp", hidden=(4,), max_epochs=1, random_state=0
    )
    assert student.fit(X, y, teacher_targets=X).kd_weight_ in (0.0, 10.0)
    groups = np.zeros(12)  # nothing to choose by: the default
    with pytest.warns(UserWarning, match="leave no clip to validate on"):
        student.fit(X, y, teacher_targets=X, groups=groups)
    assert student.kd_weight_ == 10.0


def test_labels_that_are_no_classes(planted):
    X, _, y = planted
    X, y = X[:9], y[:9]
    model = student(max_epochs=1)
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        model.fit(X, y[:, None])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        model.fit(X, np.where(y == "odd", np.nan, 1.0))
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit(X, X[:, 0])
    with pytest.warns(UserWarning, match="'NULL' .*a class like others"):
        model.fit(X, np.where(y == "odd", "NULL", y).astype(object))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:8])
    new = student()
    for call in (new.predict_proba, new.predict, new.transform):
        with pytest.raises(NotFittedError):
            call(X)
    with pytest.raises(NotFittedError):
        new.get_feature_names_out()
    with pytest.raises(ValueError, match="Got kd_loss='none'"):  # before X is read
        student(kd_loss="none").fit(None, y)


def test_targets_are_standardised(planted):
    """Also where a column is constant, and in the precision of float64."""
    X, factors, _ = planted
    y = np.stack([1e4 + factors[:90, 0] / 9, np.full(90, 5.0)], axis=1).astype("f4")
    model = KDStudentRegressor(network="mlp", max_epochs=2, random_state=0)
    model.fit(X[:90], y)
    exact = y.astype(np.float64)
    np.testing.assert_allclose(model._target_mean_, exact.mean(axis=0), rtol=1e-12)
    scale = [exact[:, 0].std(), 1.0]
    np.testing.assert_allclose(model._target_scale_, scale, rtol=1e-12)
    assert KDStudentRegressor().__sklearn_tags__().target_tags.multi_output


def test_losses_and_what_is_right_of_a_task():
    outputs = torch.tensor([[1.0, 2.0], [0.0, -2.0], [3.0, 0.0]])
    assert KDStudentClassifier()._count_right(outputs, np.array([1, 1, 0])) == 2
    regressor, y = KDStudentRegressor(), np.array([[0.0, 0.0], [0.0, -1.0], [3.0, 0.0]])
    assert regressor._count_right(outputs, y) == -6  # 1 + 4, 1
    loss = regressor._task_loss(outputs, torch.from_numpy(y))
    assert loss.tolist() == [2.5, 0.5, 0.0]


def test_few_clips_make_ten_steps_an_epoch(planted):
    X, _, y = planted
    steps = []

    class Counted(torch.nn.Module):
        def __init__(self, shape, n_units, n_outputs):
            super().__init__()
            self.hidden = torch.nn.Linear(shape[0], n_units)
            self.output = torch.nn.Linear(n_units, n_outputs)

        def penultimate(self, x):
            steps.append(self.training)
            return self.hidden(x.mean(2))

    log_mels = np.abs(X[:12, :24].reshape(12, 4, 6))
    model = KDStudentClassifier(
        network=Counted, max_epochs=1, random_state=0, validation_fraction=0.25
    )
    model.fit(log_mels, y[:12])
    assert sum(steps) == 10


def test_what_a_student_asks_of_its_teacher(planted, monkeypatch):
    """The rate of its own waveforms; its settings of reading and computing."""
    asked = []
    monkeypatch.setattr(
        "userlogfeat.estimators._student.resolve_teacher",
        lambda teacher, **given: asked.append(given),
    )
    KDStudentClassifier("a", sample_rate=8000, batch_size=3, n_jobs=2)._teacher()
    KDStudentClassifier("a", channels=32)._teacher()
    KDStudentClassifier("a", "fix")._teacher()
    assert [given["sample_rate"] for given in asked] == [8000, 16000, None]
    assert [given["channels"] for given in asked] == [64, 32, 64]
    settings = {"short": "repeat", "batch_size": 3, "n_jobs": 2}
    assert asked[0]["settings"].items() >= settings.items()


def test_a_fixed_student_reads_what_it_was_fitted_on(planted, teacher):
    X, _, y = planted
    model = student(teacher, "fix", max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="X has 29 features"):
        model.transform(X[:, :29])


def test_a_named_teacher_is_saved_by_its_name(planted, teacher, tmp_path):
    X, _, y = planted
    teacher.save(tmp_path / "teacher", training_data=DATA)
    model = student(str(tmp_path / "teacher"), max_epochs=1).fit(X, y)
    model.save(tmp_path / "student", training_data=DATA)
    loaded = KDStudentClassifier.load(tmp_path / "student")
    assert (loaded.teacher, loaded.mode, loaded.mode_) == (model.teacher, None, "kd")
    scaled = UserLogEmbedder(tmp_path / "student", layer="embedding", scale=True)
    np.testing.assert_allclose(scaled.fit_transform(X), model.transform(X), rtol=1e-4)


def test_inner_folds():
    """By artist, with classes in proportion, other ones for another seed."""
    classes, groups = np.repeat([0, 1, 2], 10), np.arange(30) // 2
    for labels in (classes, None, np.append(classes[1:], 3)):
        folds = inner_folds(30, labels, groups, 0)
        assert len(folds) == 3
        for train, held in folds:
            assert not set(groups[train]) & set(groups[held])
    for given in ((classes, None), (classes, groups), (None, None), (None, groups)):
        first, second, again = (
            [held.tolist() for _, held in inner_folds(30, *given, seed)]
            for seed in (0, 1, 0)
        )
        assert first == again != second
    assert [len(held) for _, held in inner_folds(2, None, None, 0)] == [1, 1]
    assert inner_folds(4, None, np.zeros(4), 0) == []


@pytest.mark.parametrize(("n_clips", "seeds"), [(299, [7, 8, 9]), (300, [7])])
def test_auto_weight_has_more_repeats_for_few_clips(monkeypatch, n_clips, seeds):
    used = []

    class Undecided:
        kd_weight = 10.0

        def _goodness(self, weight, *given):
            return -0.5 if weight else 0.0

    def folds(n_clips, classes, groups, seed):
        used.append(seed)
        return [(np.arange(2), np.arange(2, 4))]

    monkeypatch.setattr("userlogfeat.estimators._distillation.inner_folds", folds)
    trainer = SimpleNamespace(seed=7, split=lambda n, *known: (np.arange(n), []))
    given = (np.empty(n_clips), {}, trainer, None, None)
    assert choose_weight(Undecided(), *given) == 0.0
    assert used == seeds
