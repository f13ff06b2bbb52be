"""An embedder of planted files: ``write_clips`` hides a class in a file.

``tests/mirex/toy.py:pipeline`` is a pipeline of one's own.
"""

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from userlogfeat.audio.errors import CorruptAudioError, MissingAudioError

SIZE = 12


class ToyEmbedder(BaseEstimator):
    """A file holds a number, which is where its features are; "bad" is no audio."""

    fingerprint = "toy"
    layer_sizes = {"place": SIZE}

    def __init__(self, delay=0.0, n_jobs=1):
        self.delay = delay
        self.n_jobs = n_jobs

    def iter_features(self, X, *, on_error="raise"):
        for index, clip in enumerate(X):
            time.sleep(self.delay)
            yield encode(index, clip)


def encode(index, clip):
    error = layers = None
    if not Path(clip).exists():
        error = MissingAudioError(str(clip), "there is no such file", "Bring it.")
    elif (text := Path(clip).read_text()) == "bad":
        error = CorruptAudioError(str(clip), "it is damaged", "Copy it again.")
    else:
        layers = {"place": place_of(*map(int, text.split()))}
    seconds = float("nan") if error else 1.0
    return SimpleNamespace(
        index=index, clip=clip, seconds=seconds, layers=layers, error=error
    )


class NearestMean(ClassifierMixin, BaseEstimator):
    """A classifier of one's own."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means_ = np.stack([X[y == name].mean(axis=0) for name in self.classes_])
        return self

    def predict(self, X):
        distances = np.linalg.norm(X[:, None] - self.means_, axis=2)
        return self.classes_[distances.argmin(axis=1)]


def place_of(label, seed):
    noise = np.random.default_rng(seed).standard_normal(SIZE)
    return (3.0 * np.eye(SIZE)[label] + 0.3 * noise).astype(np.float32)


def pipeline():
    return make_pipeline(ToyEmbedder(), PCA(128), SVC())


def slow():
    return make_pipeline(ToyEmbedder(delay=0.05), SVC())


def neighbours():
    return make_pipeline(ToyEmbedder(), StandardScaler(), KNeighborsClassifier(1))


def tagger():
    last = OneVsRestClassifier(SVC(class_weight="balanced"))
    return make_pipeline(ToyEmbedder(), PCA(8), last)


def no_features():
    return make_pipeline(StandardScaler(), SVC())


def write_clips(folder, labels, *, suffix=".wav"):
    """Files named after their number; labels are numbers from 0. Their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed, label in enumerate(labels):
        path = folder / f"clip {seed}{suffix}"
        path.write_text(f"{label} {seed}")
        paths.append(str(path))
    return paths
