"""Any saved model as a transformer: clips in, layers and factor estimates out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from userlogfeat._check import check_audio, check_features
from userlogfeat._spaces import feature_names, join_layers, space_of_model
from userlogfeat._typing import ArrayLike, Audio, PathLike
from userlogfeat.estimators._audio_transformer import (
    AudioTransformer,
    name_of,
    network_context,
)
from userlogfeat.estimators._cache import CachedLayers
from userlogfeat.estimators._devices import as_tensor, resolve_device, resolve_precision
from userlogfeat.estimators._parameters import ClipParameters, estimator
from userlogfeat.estimators._teacher import trained_crop

if TYPE_CHECKING:
    from userlogfeat.estimators._clip_reader import ClipFeatures


@estimator
class UserLogEmbedder(CachedLayers, ClipParameters, AudioTransformer):
    """Features of clips from a network that was trained on listening logs.

    Nothing is fitted: the weights are bundled, in a folder, or on the Hugging Face hub.
    The default puts musicnn's `max_pool` layer (753 columns) beside the estimated
    collaborative-filtering factors (40 columns).

    Parameters
    ----------
    weights : str or Path
        Name of a bundled model (:func:`userlogfeat.list_weights`), a folder that an
        estimator's ``save`` wrote, or ``"owner/model"`` or
        ``"owner/model@revision"`` on the hub.
    layer : str or sequence of str
        One layer of the model or several, side by side: `layer_sizes` of
        :func:`userlogfeat.load_model` lists them. ``"embedding"`` is the estimate
        of collaborative-filtering factors.
    scale : bool
        Whether each layer is multiplied by the constant that brings it to unit mean
        square on the teacher's clips, so that a PCA keeps the small ones.
    cache : str, Path or None
        Folder of a feature table in which all layers of every file are kept, by path,
        size, time of change, weights and settings: another `layer`, another fold or
        another run decodes no file twice. Waveforms and spectrograms are not cached.
    duration : float or None
        Seconds to read of each clip; None is the duration of the teacher's training
        (the bundled one: all of the clip).
    crop : {"start", "middle"} or None
        Which part of a clip that is longer; None is the part of the teacher's training
        (the bundled one, and teachers of random crops: the middle).
    precision : {"auto", "fp32", "bf16"}
        Precision of matrix products; ``"auto"`` is bf16 on a GPU only.

    See Also
    --------
    userlogfeat.extract : Many files into a table, keeping on where some are bad.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat import UserLogEmbedder
    >>> clips = np.random.default_rng(0).normal(size=(2, 48000))  # 3 s at 16 kHz
    >>> UserLogEmbedder().fit_transform(clips).shape
    (2, 793)
    """

    _crops = (None, "start", "middle")

    weights: PathLike = "lastfm-mpd-musicnn"
    _: KW_ONLY
    layer: str | Sequence[str] = ("max_pool", "embedding")
    scale: bool = True
    cache: PathLike | None = None
    crop: Literal["middle", "start"] | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def fit(self, X: Audio, y: Any = None) -> Self:
        """Check the weights, the parameters and X; there is nothing to learn.

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
        model = self._load_model()
        self._check_layers(model.layer_sizes)
        if not model.reads_audio:
            layers = {"embedding": self._read_features(model, X)}
        elif self.cache is not None and check_audio(X).kind == "paths":
            layers = self._from_cache(check_audio(X).rows)
        else:
            clips = list(self.iter_features(X))
            layers = {
                name: np.stack([clip.layers[name] for clip in clips])
                for name in self._layer_names()
            }
        if self.scale:
            scales = model.layer_scales
            layers = {name: x * np.float32(scales[name]) for name, x in layers.items()}
        layers = {name: layers[name] for name in self._layer_names()}
        return join_layers(layers, self.users_digest)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``max_pool_0``, ..., ``embedding_39``."""
        return feature_names(self.layer_sizes)

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
        duration = self._read_duration()
        settings = [
            self._load_model().fingerprint,
            None if duration is None else float(duration),
            self._read_crop(),
            self.short,
            resolve_precision(self.precision, self.device),
        ]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]

    @property
    def users_digest(self) -> str | None:
        """Digest of the users that the model was trained on; None if unknown.

        Only among these can its embeddings be compared.
        """
        return space_of_model(self._load_model().config["training_data"])

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

    def _read_duration(self):
        if self.duration is not None:
            return self.duration
        return self._load_model().config["parameters"].get("duration")

    def _read_crop(self):
        return trained_crop(self._load_model()) if self.crop is None else self.crop

    def _load_model(self):
        from userlogfeat.weights import load_model

        device = resolve_device(self.device)
        precision = resolve_precision(self.precision, device)
        return load_model(self.weights, device=device, precision=precision)

    def _rate_and_context(self):
        return network_context(self._load_network())

    def _load_network(self):
        return self._load_model().network

    def _shown_model(self):
        encoder = getattr(self._load_network(), "encoder", None)
        return f"{self.weights}" + (f" on {name_of(encoder)}" if encoder else "")

    def _all_layer_sizes(self):
        return self._load_model().layer_sizes

    def _read_features(self, model, X, *, reset=False):
        """The embedding of precomputed features."""
        from userlogfeat.networks.mlp import read_rows

        head = model.network.head
        X = check_features(self, X, reset=reset)
        if X.shape[1] != head[0].in_features:
            raise ValueError(
                f"Got {X.shape[1]} features a clip, but model {str(self.weights)!r} "
                f"reads {head[0].in_features} precomputed ones."
            )
        inputs = as_tensor(X).to(head[0].weight.device)
        return read_rows(head, inputs).cpu().numpy()
