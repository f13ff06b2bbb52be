"""An exported model as a transformer: onnxruntime runs it, torch is not needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Any, Literal, Self

import numpy as np

from userlogfeat._check import check_audio, check_features
from userlogfeat._onnx import read_onnx, resolve_provider
from userlogfeat._spaces import space_of_model
from userlogfeat._typing import ArrayLike, Audio, Device, PathLike
from userlogfeat.estimators._audio_transformer import AudioTransformer
from userlogfeat.estimators._cache import CachedLayers
from userlogfeat.estimators._parameters import ClipParameters, estimator

DEFAULT_LAYERS = ("max_pool", "embedding")


@estimator
class OnnxEmbedder(CachedLayers, ClipParameters, AudioTransformer):
    """Features of clips from an ONNX file that `export_onnx` wrote.

    It gives what :class:`UserLogEmbedder` gives of the model, and needs onnxruntime in
    the place of torch. Nothing is fitted.

    Parameters
    ----------
    weights : str or Path
        The file.
    layer : str, sequence of str or None
        One layer of the model or several, side by side; of a student ``"output"`` as
        well. None is ``("max_pool", "embedding")``, those of the two that it has.
    scale : bool
        Whether each layer is multiplied by the constant that brings it to unit mean
        square on the clips of its training.
    cache : str, Path or None
        Folder of a feature table that keeps all layers of every file: see
        :class:`UserLogEmbedder`.
    duration : float or None
        Seconds to read of each clip; None is the duration of the model's training.
    crop : {"start", "middle"} or None
        Which part of a clip that is longer; None is that of the model's training.
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` is the GPU if the installed onnxruntime has one.

    See Also
    --------
    userlogfeat.export_onnx : Writes the file.
    UserLogEmbedder : The same from a folder of weights, with torch.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from userlogfeat import OnnxEmbedder, export_onnx
    >>> file = export_onnx("lastfm2k-musicnn", tempfile.mkdtemp() + "/model.onnx")
    >>> clips = np.random.default_rng(0).normal(size=(2, 48000))  # 3 s at 16 kHz
    >>> OnnxEmbedder(file).fit_transform(clips).shape
    (2, 793)
    """

    _crops = (None, "start", "middle")
    precision = "fp32"  # that of the file

    weights: PathLike = "model.onnx"
    _: KW_ONLY
    layer: str | Sequence[str] | None = None
    scale: bool = True
    cache: PathLike | None = None
    crop: Literal["middle", "start"] | None = None
    device: Device = "auto"

    def fit(self, X: Audio, y: Any = None) -> Self:
        """Check the file, the parameters and X; there is nothing to learn.

        Parameters
        ----------
        X : array-like of n_clips
            Paths or waveforms; spectrograms (3-D) or features (2-D) if the model reads
            those.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        self._check_parameters()
        model = self._load_network()
        self._check_layers(model.layer_sizes)
        if model.input == "features":
            self._read_features(model, X, reset=True)
            return self
        return super().fit(X)

    def transform(self, X: Audio) -> np.ndarray:
        """Layers of clips side by side.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.

        Returns
        -------
        ndarray (n_clips, n_features), float32

        Raises
        ------
        AudioError
            Where a file cannot be read. To keep the rest of a large collection, use
            :func:`userlogfeat.extract`, which gives such files a row that says so.
        """
        model, names = self._load_network(), self._layer_names()
        self._check_layers(model.layer_sizes)
        if model.input == "features":
            rows = model.run(list(self._read_features(model, X)), names)
        elif self.cache is not None and check_audio(X).kind == "paths":
            found = self._from_cache(check_audio(X).rows)
            rows = None
        else:
            rows = [clip.layers for clip in self.iter_features(X)]
        if rows is not None:
            found = {name: np.stack([row[name] for row in rows]) for name in names}
        scales = self.layer_scales if self.scale else dict.fromkeys(names, 1.0)
        parts = [found[name] * np.float32(scales[name]) for name in names]
        return np.concatenate(parts, axis=1)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``max_pool_0``, ...; tags and classes by name."""
        classes = self._load_network().metadata["classes"]
        names = []
        for layer, size in self.layer_sizes.items():
            ends = classes.get(layer, range(size)) if layer == "output" else range(size)
            names += [f"{layer}_{end}" for end in ends]
        return np.array(names, dtype=object)

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Columns of each chosen layer, by name."""
        sizes = self._load_network().layer_sizes
        self._check_layers(sizes)
        return {name: sizes[name] for name in self._layer_names()}

    @property
    def layer_scales(self) -> dict[str, float]:
        """Factor that brings each layer to unit mean square, by name."""
        return self._load_network().metadata["scales"]

    @property
    def classes(self) -> dict[str, list[str]]:
        """Names of the columns of layers that have some, by layer."""
        return self._load_network().metadata["classes"]

    @property
    def fingerprint(self) -> str:
        """Identifies file and settings: equal strings, equal features."""
        settings = [self._load_network().digest, self._read_duration()]
        settings += [self._read_crop(), self.short]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]

    @property
    def users_digest(self) -> str | None:
        """Digest of the users that the model was trained on; None if unknown."""
        return space_of_model(self._load_network().metadata["training_data"])

    def _layer_names(self):
        if self.layer is not None:
            return super()._layer_names()
        sizes = self._load_network().layer_sizes
        return tuple(n for n in DEFAULT_LAYERS if n in sizes) or tuple(sizes)[-1:]

    def _check_clips(self, X, *, reset=False):
        clips, model = super()._check_clips(X, reset=reset), self._load_network()
        if (clips.kind == "log_mel") != (model.input == "log_mel"):
            raise ValueError(
                f"Got X of kind {clips.kind}, but {str(self.weights)!r} reads "
                f"{model.input}. "
                + (
                    "Pass paths or waveforms, or take UserLogEmbedder, which also "
                    "reads spectrograms."
                    if model.input == "waveforms"
                    else "Pass a 3-D array (clips, bands, frames) of spectrograms."
                )
            )
        return clips

    def _rate_and_context(self):
        model = self._load_network()
        return model.sample_rate, model.min_samples / model.sample_rate

    def _device_name(self):
        return resolve_provider(self.device)

    def _check_device(self):
        resolve_provider(self.device)

    def _load_network(self):
        return read_onnx(self.weights, self.device)

    def _all_layer_sizes(self):
        return self._load_network().layer_sizes

    def _embed_inputs(self, network, names, inputs):
        arrays = [np.asarray(x, dtype=np.float32) for x in inputs]
        return network.run(arrays, names)

    def _read_duration(self):
        if self.duration is not None:
            return float(self.duration)
        return self._load_network().metadata["duration"]

    def _read_crop(self):
        return self._load_network().metadata["crop"] if self.crop is None else self.crop

    def _read_features(self, model, X, *, reset=False):
        """Check precomputed features."""
        X = check_features(self, X, reset=reset)
        if X.shape[1] != model.width:
            raise ValueError(
                f"Got {X.shape[1]} features a clip, but model {str(self.weights)!r} "
                f"reads {model.width} precomputed ones."
            )
        return X
