"""Base of the embedders of a saved model: its layers side by side, scaled, cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from userlogfeat._check import check_audio, check_features, refuse_paths
from userlogfeat._digests import json_digest
from userlogfeat._spaces import join_layers
from userlogfeat._typing import ArrayLike, Audio, PathLike
from userlogfeat.estimators._audio_transformer import AudioTransformer, network_context
from userlogfeat.estimators._cache import CachedLayers
from userlogfeat.estimators._devices import as_tensor, resolve_device, resolve_precision
from userlogfeat.estimators._parameters import ClipParameters, estimator

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.estimators._clip_reader import ClipFeatures


@estimator
class ModelEmbedder(CachedLayers, ClipParameters, AudioTransformer):
    """Embed with a saved model, that of `userlogfeat.load_model`.

    Parameters
    ----------
    weights : str or Path
        The model.
    layer : str or sequence of str
        Its layers.
    scale : bool
        Whether each is brought to unit mean square.
    cache : str, Path or None
        Folder of a feature table that keeps all layers of every file.
    """

    _crops = (None, "start", "middle")
    precision = "fp32"  # where there is no choice

    weights: PathLike
    _: KW_ONLY
    layer: str | Sequence[str] | None = ("max_pool", "embedding")
    scale: bool = True
    cache: PathLike | None = None
    crop: Literal["middle", "start"] | None = None

    def fit(self, X: Audio, y: Any = None) -> Self:
        """Check the model, the parameters and X; there is nothing to learn.

        Parameters
        ----------
        X : array-like of n_clips
            Paths, waveforms or log-mel spectrograms; 2-D features where the model
            reads those.
        y : None
            Ignored.

        Returns
        -------
        self
        """
        self._check_parameters()
        model = self._load_model()
        self._check_layers(model.layer_sizes)
        if not model.reads_audio:
            self._check_features(X, reset=True)
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
        model, names = self._load_model(), self._layer_names()
        self._check_layers(model.layer_sizes)
        if not model.reads_audio:
            layers = self._embed_features(self._check_features(X), names)
        elif self.cache is not None and check_audio(X).kind == "paths":
            layers = self._from_cache(check_audio(X).rows)
        else:
            layers = stack_layers([clip.layers for clip in self.iter_features(X)])
        scales = model.layer_scales if self.scale else dict.fromkeys(names, 1.0)
        scaled = {name: layers[name] * np.float32(scales[name]) for name in names}
        return join_layers(scaled, model.users_digest)

    def iter_features(
        self,
        X: Audio,
        *,
        layers: Sequence[str] | None = None,
        on_error: Literal["raise", "yield"] = "raise",
    ) -> Iterator[ClipFeatures]:
        """Features of one clip after the other: see `AudioTransformer`."""
        if not self._load_model().reads_audio:
            raise ValueError(
                f"Model {str(self.weights)!r} reads precomputed features, not audio: "
                "call transform with a 2-D array of them."
            )
        return super().iter_features(X, layers=layers, on_error=on_error)

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Columns of each chosen layer, by name."""
        sizes = self._load_model().layer_sizes
        self._check_layers(sizes)
        return {name: sizes[name] for name in self._layer_names()}

    @property
    def layer_scales(self) -> dict[str, float]:
        """Factor that brings each layer to unit mean square, by name."""
        return self._load_model().layer_scales

    @property
    def fingerprint(self) -> str:
        """Identifies weights and settings: equal strings, equal features."""
        return self._digest(resolve_precision(self.precision, self.device))

    @property
    def users_digest(self) -> str | None:
        """Digest of the users that the model was trained on; None if unknown.

        Only among these can its embeddings be compared.
        """
        return self._load_model().users_digest

    def _digest(self, *more):
        """Identify the model, how clips are read, and more settings."""
        settings = [self._load_model().fingerprint, self._read_duration()]
        settings += [self._read_crop(), self.short, *more]
        return json_digest(settings, sort_keys=False)[:16]

    def _read_duration(self):
        given = self.duration is not None
        duration = self.duration if given else self._load_model().duration
        return None if duration is None else float(duration)

    def _read_crop(self):
        return self._load_model().crop if self.crop is None else self.crop

    def _load_model(self):
        from userlogfeat.weights import load_model

        device = resolve_device(self.device)
        precision = resolve_precision(self.precision, device)
        return load_model(self.weights, device=device, precision=precision)

    def _load_network(self):
        return self._load_model().network

    def _rate_and_context(self):
        return network_context(self._load_network())

    def _all_layer_sizes(self):
        return self._load_model().layer_sizes

    def _check_features(self, X, *, reset=False):
        """Check precomputed features."""
        check_width(X, self._load_model().n_features, f"model {str(self.weights)!r}")
        return check_features(self, X, reset=reset)

    def _embed_features(self, X, names):
        """Layers of precomputed features, by name."""
        name = f"model {str(self.weights)!r}"
        return {"embedding": read_features(self._load_network(), X, name)}


def read_features(network: nn.Module, X: ArrayLike, name: str) -> np.ndarray:
    """Embed precomputed features by the head of a network; errors call it `name`."""
    from userlogfeat.networks.mlp import read_rows

    check_width(X, network.head[0].in_features, name)
    inputs = as_tensor(np.asarray(X)).to(network.head[0].weight.device)
    return read_rows(network.head, inputs).cpu().numpy()


def check_width(X: ArrayLike, width: int, name: str) -> None:
    """Raise unless X has so many features of each clip."""
    refuse_paths(X, name, width)
    shape = np.shape(X)
    if len(shape) != 2 or shape[1] != width:
        got = f"{shape[1]} features per clip" if len(shape) == 2 else f"shape {shape}"
        raise ValueError(
            f"Got {got}, but {name} reads {width} precomputed features per clip."
        )


def stack_layers(clips: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Stack the layers of clips, each of them given by name."""
    return {name: np.stack([clip[name] for clip in clips]) for name in clips[0]}
