"""Models on disk: any pipeline of scikit-learn, no code of a stranger."""

import importlib.util
import json
import os
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from userlogfeat.mirex.features import Features
from userlogfeat.mirex.models import Model, choose_model, save_model

TOY = Path(__file__).with_name("toy.py")
_spec = importlib.util.spec_from_file_location("toy", TOY)
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)
sys.modules["toy"] = toy  # as a module that can be imported by name

N_CLIPS, N_FEATURES = 60, 4


def features(paths, X):
    n_clips = len(X)
    return Features(X, ["ok"] * n_clips, [""] * n_clips, paths, "fp")


def planted(seed):
    """Three classes that overlap a little, and unseen clips."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N_CLIPS, N_FEATURES))
    X[:, 0] += 2 * (np.arange(N_CLIPS) % 3)
    return features([f"/{seed}/{i}.wav" for i in range(N_CLIPS)], X)


def save(scratch, pipeline, *, tags=False):
    names = ["blues", "hip hop", "rock"]
    labels = [names[i % 3] for i in range(N_CLIPS)]
    if tags:
        labels = [{name, "all"} if i % 2 else {name} for i, name in enumerate(labels)]
    model = Model.learn(pipeline, planted(0), labels, tags=tags)
    return model, save_model(scratch, model, pipeline)


def choose(scratch, pipeline=None, *, tags=False):
    pipeline = pipeline or default()
    return choose_model(scratch, planted(1), pipeline, tags=tags)


def default():
    return make_pipeline(toy.ToyEmbedder(), PCA(3, whiten=True), SVC())


STEPS = [
    [StandardScaler(), PCA(3, whiten=True), SVC()],
    [SVC(kernel="poly", break_ties=True, class_weight={"rock": 2, "blues": 1})],
    [LinearDiscriminantAnalysis()],
    [KNeighborsClassifier(3)],
    [KNeighborsClassifier(p=1, algorithm="ball_tree")],
    [RandomForestClassifier(3, random_state=0)],
    [HistGradientBoostingClassifier(max_iter=2)],
    [MLPClassifier(9, max_iter=300, tol=0.01, random_state=0)],
    [CalibratedClassifierCV(LinearSVC())],
    [GridSearchCV(SVC(), {"C": [1, 2]}, cv=2, scoring="f1_macro")],
    [VotingClassifier([("a", SVC()), ("b", GaussianNB())])],
    [FunctionTransformer(np.exp), RidgeClassifier()],
]


@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_a_loaded_model_predicts_as_the_one_that_was_saved(tmp_path, steps):
    pipeline = make_pipeline(toy.ToyEmbedder(), *steps)
    model, path = save(tmp_path, pipeline)
    assert list((tmp_path / "models").iterdir()) == [path]
    loaded = choose(tmp_path, pipeline)
    X = planted(1).X
    expected = model.trained.predict(X)
    assert set(expected) == {"blues", "hip hop", "rock"}
    np.testing.assert_array_equal(loaded.trained.predict(X), expected)
    assert (loaded.names, loaded.labels) == (model.names, model.labels)
    assert loaded.shares == [1 / 3] * 3


@pytest.mark.filterwarnings("ignore:Label .* is present in all training")
@pytest.mark.parametrize(
    "last",
    [
        SVC(),
        OneVsRestClassifier(SVC(class_weight="balanced")),
        ClassifierChain(LogisticRegression()),
        MultiOutputClassifier(LogisticRegression()),
        RandomForestClassifier(3, random_state=0),
    ],
    ids=str,
)
def test_so_does_one_of_tags(tmp_path, last):
    pipeline = make_pipeline(toy.ToyEmbedder(), last)
    model, _ = save(tmp_path, pipeline, tags=True)
    loaded = choose(tmp_path, pipeline, tags=True)
    X = planted(1).X
    affinities = loaded.trained.affinities(X)
    np.testing.assert_array_equal(affinities, model.trained.affinities(X))
    assert affinities.shape == (N_CLIPS, 4)
    assert loaded.names == ["all", "blues", "hip hop", "rock"]


def test_classes_of_ones_own_are_kept_where_the_own_pipeline_has_them(tmp_path):
    pipeline = make_pipeline(toy.ToyEmbedder(), toy.NearestMean())
    model, _ = save(tmp_path, pipeline)
    X = planted(1).X
    expected = model.trained.predict(X)
    np.testing.assert_array_equal(
        choose(tmp_path, pipeline).trained.predict(X), expected
    )


class Strange:
    """A type that is in no pipeline before it is fitted."""


class Holder(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_, self.strange_ = np.unique(y), Strange()
        return self


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([Holder()], r"trained pipeline cannot be loaded: .*Strange"),
        ([FunctionTransformer(lambda X: X), SVC()], r"trained pipeline cannot be load"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, steps, message):
    """Found out in training, not when folds are classified."""
    with pytest.raises(ValueError, match=message + r"[\s\S]*train-and-classify"):
        save(tmp_path, make_pipeline(toy.ToyEmbedder(), *steps))
    assert not (tmp_path / "models").exists()


class Touches:
    """Its state, once set, makes a file."""

    def __setstate__(self, state):
        Path(state["name"]).touch()


def test_a_model_of_a_stranger_runs_no_code(tmp_path):
    """Types that our pipeline has not are refused before any is made."""
    import skops.io

    _, path = save(tmp_path, default())
    hostile = Touches()
    hostile.name = str(tmp_path / "run")
    with ZipFile(path) as file:
        training = file.read("training.json")
    path.write_bytes(skops.io.dumps(hostile))
    with ZipFile(path, "a") as file:
        file.writestr("training.json", training)
    with pytest.raises(ValueError, match=r"cannot be loaded: .*Touches"):
        choose(tmp_path)
    assert not (tmp_path / "run").exists()
    skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    assert (tmp_path / "run").exists()  # it would have run, were it trusted


def rewrite(path, **changes):
    """Another training.json in a model, in place of its own."""
    with ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    entries = json.loads(parts["training.json"]) | changes
    with ZipFile(path, "w") as file:
        for name, data in parts.items():
            file.writestr(
                name, data if name != "training.json" else json.dumps(entries)
            )


@pytest.mark.parametrize(
    "changes",
    [
        {"shares": [float("nan")] * 3},
        {"shares": [-1, 1, 1]},
        {"shares": [1, 1]},
        {"names": ["a", "a", "c"]},
        {"labels": {"/a.wav": "a"}},
        {"trained": [True, True, True]},
        {"tags": 2},
    ],
)
def test_entries_of_a_stranger(tmp_path, changes):
    _, path = save(tmp_path, default())
    assert choose(tmp_path).names == ["blues", "hip hop", "rock"]
    rewrite(path, **changes)
    with pytest.raises(ValueError, match=f"its entry '{next(iter(changes))}' does not"):
        choose(tmp_path)


def test_other_files_beside_it_do_no_harm(tmp_path):
    _, path = save(tmp_path, default())
    rewrite(path, format="userlogfeat mirex model 9", names=None)
    path.rename(path.with_name("newer.skops"))
    (tmp_path / "models" / "other").mkdir()
    (tmp_path / "models" / "other" / "model.json").write_text("x")
    save(tmp_path, default())
    assert choose(tmp_path).names == ["blues", "hip hop", "rock"]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_folder_or_pipe_in_the_place_of_a_file(tmp_path, make):
    _, path = save(tmp_path, default())
    path.unlink()
    make(path)
    with pytest.raises(ValueError, match=r"[Tt]rain again"):
        choose(tmp_path)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_damaged_model_is_refused(tmp_path, place):
    _, path = save(tmp_path, default())
    raw = bytearray(path.read_bytes())
    raw[int(place * (len(raw) - 1))] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"skops .*[Tt]rain again"):
        choose(tmp_path)


def test_a_model_has_a_most(tmp_path, monkeypatch):
    save(tmp_path, default())
    monkeypatch.setattr("userlogfeat.mirex.models.MAX_MODEL_BYTES", 1000)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        choose(tmp_path)


def test_models_is_a_link_to_elsewhere(tmp_path):
    ours, scratch = tmp_path / "ours", tmp_path / "scratch"
    ours.mkdir()
    scratch.mkdir()
    (scratch / "models").symlink_to(ours)
    with pytest.raises(OSError, match="symbolic link"):
        save(scratch, default())
    assert list(ours.iterdir()) == []


def test_the_newest_model_is_the_last_whatever_the_clock_says(tmp_path, monkeypatch):
    old = save(tmp_path, make_pipeline(toy.ToyEmbedder(), SVC(C=2)))[1]
    os.utime(old, (4e9, 4e9))  # in the year 2096
    new = save(tmp_path, default())[1]
    assert new.stat().st_mtime_ns > old.stat().st_mtime_ns
