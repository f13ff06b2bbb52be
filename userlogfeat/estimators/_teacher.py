"""Teachers of students: a saved model, an embedder or a frozen estimator.

Only the embedding of a teacher is used. Embeddings are remembered while the process
lives, so that a grid search computes them once per clip, not once for each candidate
and fold.
"""

import copy
import hashlib
import os
from collections import OrderedDict
from dataclasses import KW_ONLY
from typing import Literal

import joblib
import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from userlogfeat._check import check_audio
from userlogfeat._stamps import change_stamp
from userlogfeat._typing import Device
from userlogfeat.estimators._audio_transformer import AudioTransformer
from userlogfeat.estimators._model_embedder import ModelEmbedder
from userlogfeat.estimators._parameters import estimator

REMEMBERED = 500_000  # embeddings of clips: 80 MB where they have 40 values


def resolve_teacher(teacher, *, channels=None, settings=None, sample_rate=None):
    """Return the teacher that an estimator's parameter means.

    Parameters
    ----------
    teacher : str, Path, UserLogEmbedder, FrozenEstimator or dict
        See :class:`KDStudentClassifier`.
    channels : int, optional
        Key of a dict of teachers.
    settings : dict, optional
        How a saved model reads clips: `short`, `batch_size`, `n_jobs`, `device`,
        `precision`.
    sample_rate : int, optional
        Rate of waveforms, in Hz, where the student knows it; else the teacher's own.

    Returns
    -------
    EmbedderTeacher or FrozenTeacher
    """
    if isinstance(teacher, dict):
        if channels not in teacher:
            raise ValueError(
                f"Got channels={channels!r}, but the teachers are for channels "
                f"{sorted(teacher, key=str)}. Add one, or leave that width out of the "
                "grid."
            )
        teacher = teacher[channels]
    if isinstance(teacher, str | os.PathLike) and str(teacher):
        teacher = TeacherEmbedder(teacher, **(settings or {}))
    frozen = isinstance(teacher, FrozenEstimator)
    if frozen:
        teacher = teacher.estimator
    if isinstance(teacher, ModelEmbedder):
        return EmbedderTeacher(teacher, sample_rate)
    if frozen:
        return FrozenTeacher(teacher, sample_rate)
    if hasattr(teacher, "fit") and not isinstance(teacher, type):
        raise TypeError(
            f"Got teacher={type(teacher).__name__}(...), which clone would make "
            "unfitted. Pass sklearn.frozen.FrozenEstimator(fitted), or save it and "
            "pass the folder."
        )
    raise TypeError(
        f"Got teacher={teacher!r}, expected the name or folder of a saved model, a "
        "UserLogEmbedder, a FrozenEstimator or a dict of channels to one of these."
    )


@estimator
class TeacherEmbedder(ModelEmbedder):
    """A saved model that reads clips as in its training.

    Parameters
    ----------
    precision : {"auto", "fp32", "bf16"}
        Precision of matrix products.
    """

    _: KW_ONLY
    device: Device = "cpu"
    precision: Literal["auto", "fp32", "bf16"] = "fp32"


class EmbedderTeacher:
    """The embedding of a saved model, from the cache of a `UserLogEmbedder`, too."""

    def __init__(self, embedder, sample_rate=None):
        self.embedder = clone(embedder).set_params(layer="embedding", scale=False)
        self.sample_rate = sample_rate

    @property
    def reads_audio(self):
        """Whether it reads audio, not precomputed features."""
        return self.embedder._load_model().reads_audio

    @property
    def key(self):
        """Equal keys, equal embeddings."""
        return self.embedder.fingerprint, self._at_rate().sample_rate

    @property
    def reads_features(self):
        """Whether it reads precomputed features, not audio."""
        return not self.reads_audio

    @property
    def network(self):
        """The torch module."""
        return self.embedder._load_network()

    @property
    def spec(self):
        """How `weights` builds the module."""
        return self.embedder._load_model().config["network"]

    def embed(self, X):
        """Embeddings (n_clips, n_units) of clips or features."""
        return self._at_rate().transform(X)

    def _at_rate(self):
        return _at_rate(self.embedder, self.sample_rate)

    def head_inputs(self, X):
        """Input of the head (n_clips, n_inputs) for clips, from the cache if it can."""
        if not self.reads_audio:
            return X
        embedder, network = self._at_rate(), self.network
        if embedder.cache is None:
            return _head_inputs(embedder, X)
        layers = network.head_layers
        # The cache has means of the encoder's layers, and no other input of a head.
        names = {*network.encoder.layer_sizes} - {"embedding"}
        if network.head_pooling != "mean" or not names.issuperset(layers):
            return _head_inputs(embedder, X)
        return clone(embedder).set_params(layer=layers).transform(X)


class FrozenTeacher:
    """A fitted estimator: one of ours, or any that predicts or transforms.

    Attributes
    ----------
    reads_audio, reads_features : bool
        Whether it is one of ours, and which of the two it reads.
    """

    def __init__(self, estimator, sample_rate=None):
        check_is_fitted(estimator)
        self.estimator = estimator
        self.sample_rate = sample_rate
        self._digest = _hash(estimator)
        ours = isinstance(estimator, AudioTransformer)
        self.reads_features = ours and getattr(estimator, "_reads_features", False)
        self.reads_audio = ours and not self.reads_features

    @property
    def key(self):
        """Equal keys, equal embeddings."""
        return self._digest, self.sample_rate

    @property
    def network(self):
        """The torch module, where it is one of ours."""
        if not hasattr(self.estimator, "_teacher_network"):
            raise ValueError(
                f"The teacher is a {type(self.estimator).__name__}, which has no "
                "network to start from or to save. Use mode='kd'."
            )
        return self.estimator._teacher_network()[0]

    @property
    def spec(self):
        """How `weights` builds the module."""
        return self.estimator._teacher_network()[1]

    def embed(self, X):
        """Embeddings (n_clips, n_units) of clips or features."""
        methods = ["_embed", "transform"]
        if not is_classifier(self.estimator):  # labels are not an embedding
            methods.insert(1 if is_regressor(self.estimator) else 2, "predict")
        estimator = _at_rate(self.estimator, self.sample_rate)
        for method in methods:
            if hasattr(estimator, method):
                embedding = np.asarray(getattr(estimator, method)(X))
                return embedding.reshape(len(embedding), -1)
        raise TypeError(
            f"The teacher is a {type(self.estimator).__name__}, which neither predicts "
            "numbers nor transforms: it has no embedding. Freeze a "
            "regressor, such as a fitted CFRegressor."
        )


def _head_inputs(reader, X):
    clips = reader.iter_features(X, layers=("head_input",))
    return np.stack([clip.layers["head_input"] for clip in clips])


def _at_rate(estimator, sample_rate):
    """One of our estimators, with the rate of waveforms; others as they are."""
    if sample_rate is None or not isinstance(estimator, AudioTransformer):
        return estimator
    estimator = copy.copy(estimator)
    estimator.sample_rate = sample_rate
    return estimator


def _hash(estimator):
    """A digest of a fitted estimator, the same for its copies in other processes.

    Pickled tensors, as joblib hashes them, contain their place in memory.
    """
    if not any(hasattr(estimator, name) for name in ("network_", "head_")):
        return joblib.hash(estimator)
    network, spec = estimator._teacher_network()
    tensors = {
        name: tensor.numpy(force=True) for name, tensor in network.state_dict().items()
    }
    settings = estimator._json_parameters()
    return joblib.hash([type(estimator).__name__, settings, spec, tensors])


_remembered = OrderedDict()  # (key of the teacher, key of the clip) -> embedding


def embed_by(teacher, X):
    """Embed clips by a teacher, those it has embedded before from memory.

    Parameters
    ----------
    teacher : EmbedderTeacher or FrozenTeacher
        The teacher.
    X : array-like of n_clips
        Paths, waveforms, spectrograms or features.

    Returns
    -------
    ndarray (n_clips, n_units), float32
    """
    of_teacher = teacher.key
    keys = [(of_teacher, clip) for clip in clip_keys(X)]
    found = {key: _remembered[key] for key in keys if key in _remembered}
    missing = {key: row for row, key in enumerate(keys) if key not in found}
    if missing:
        rows = sorted(missing.values())
        asked = X[rows] if isinstance(X, np.ndarray) else [_row(X, row) for row in rows]
        embeddings = np.asarray(teacher.embed(asked), dtype=np.float32)
        for row, embedding in zip(rows, embeddings, strict=True):
            found[keys[row]] = _remembered[keys[row]] = embedding
    for key in found:
        _remembered.move_to_end(key)
    while len(_remembered) > REMEMBERED:
        _remembered.popitem(last=False)
    return np.stack([found[key] for key in keys])


def clip_keys(X):
    """A key for each clip: path, size and time of a file, or a digest of numbers."""
    if isinstance(X, np.ndarray) and X.dtype.kind in "fiu" and X.ndim >= 2:
        rows = X
    else:
        clips = check_audio(X)
        if clips.kind == "paths":
            return [(os.path.abspath(path), change_stamp(path)) for path in clips.rows]
        rows = clips.rows
    return [_digest(np.ascontiguousarray(row, np.float32)) for row in rows]


def _digest(row):
    return (row.shape, hashlib.blake2b(row.data, digest_size=16).digest())


def _row(X, row):
    return X.iloc[row] if hasattr(X, "iloc") else X[row]
