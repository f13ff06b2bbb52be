"""An exported model as a transformer: onnxruntime runs it, torch is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY

import numpy as np

from userlogfeat._onnx import read_onnx, resolve_provider
from userlogfeat._typing import ArrayLike, PathLike
from userlogfeat.estimators._model_embedder import ModelEmbedder, stack_layers
from userlogfeat.estimators._parameters import estimator

DEFAULT_LAYERS = ("max_pool", "embedding")


@estimator
class OnnxEmbedder(ModelEmbedder):
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

    weights: PathLike = "model.onnx"
    _: KW_ONLY
    layer: str | Sequence[str] | None = None

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
    def classes(self) -> dict[str, list[str]]:
        """Names of the columns of layers that have some, by layer."""
        return self._load_network().metadata["classes"]

    @property
    def fingerprint(self) -> str:
        """Identifies file and settings: equal strings, equal features."""
        return self._digest()

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
        model = self._load_model()
        return model.sample_rate, model.min_samples / model.sample_rate

    def _device_name(self):
        return resolve_provider(self.device)

    def _check_device(self):
        resolve_provider(self.device)

    def _load_model(self):
        return read_onnx(self.weights, self.device)

    def _load_network(self):
        return self._load_model()

    def _embed_inputs(self, network, names, inputs):
        arrays = [np.asarray(x, dtype=np.float32) for x in inputs]
        return network.run(arrays, names)

    def _embed_features(self, X, names):
        return stack_layers(self._load_model().run(list(X), names))
