"""Everything that estimators with a network of their own do once it is trained."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.utils.validation import check_is_fitted

from userlogfeat._check import check_features
from userlogfeat._files import make_folder, replace_file
from userlogfeat._spaces import feature_names
from userlogfeat._stamps import sha256
from userlogfeat._typing import ArrayLike, Audio, PathLike
from userlogfeat.estimators._audio_transformer import AudioTransformer
from userlogfeat.estimators._devices import as_tensor, resolve_device, resolve_precision
from userlogfeat.estimators._parameters import json_parameters
from userlogfeat.networks.mlp import read_rows
from userlogfeat.weights.config import ModelError

if TYPE_CHECKING:
    from torch import nn


class TrainedTransformer(AudioTransformer):
    """Embed with a trained network; write it to a folder, and read it.

    A subclass has `network_`, `_spec` (how `weights` builds the network again) and
    `layer_scales_` once it is fitted, and overrides the methods below where its fit
    leaves more than these.
    """

    _crops = ("start", "middle", "random")
    _instead = (
        'pass network="mlp", which learns from them; FeatureLookup takes the paths of '
        "clips and looks up what `extract` wrote."
    )

    def transform(self, X: Audio) -> np.ndarray:
        """Embed clips: layers side by side, (n_clips, n_features), float32.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        check_is_fitted(self)
        if self._reads_features:
            return self._embed(X)
        self._check_layers(self._load_network().layer_sizes)
        return super().transform(X)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``embedding_0``, ``embedding_1``, ..."""
        check_is_fitted(self)
        return feature_names(self._shown_layers())

    def save(self, folder: PathLike, *, training_data: dict[str, Any]) -> None:
        """Write the model to a folder that `load` and `UserLogEmbedder` read.

        Parameters
        ----------
        folder : str or Path
            Created where it is missing.
        training_data : dict
            Description of the data that the model was trained on: ``description``
            (str), ``licence`` (str) and ``non_commercial`` (bool); loading warns where
            the last is true. The training that factors came from is recorded with it.
        """
        from userlogfeat.weights import check_training_data, save_model

        check_is_fitted(self)
        check_training_data(training_data, ValueError)
        network, spec = self._teacher_network()
        save_model(
            folder,
            network.eval(),
            estimator={
                "class": type(self).__name__,
                "parameters": self._json_parameters(),
                "fitted": self._fitted(Path(folder)),
            },
            spec=spec,
            layer_scales=self._saved_scales(network),
            training_data={**self._noted(), **training_data},
        )

    def _noted(self):
        """Notes on the training data beside those that `save` is given."""
        return {}

    @classmethod
    def load(cls, folder: PathLike, *, network: type[nn.Module] | None = None) -> Self:
        """Read the fitted estimator that `save` wrote to a folder.

        Parameters
        ----------
        folder : str or Path
            Folder of the model, or the name of a bundled one.
        network : type, optional
            Class of the network, where it is one of your own.

        Raises
        ------
        ModelError
            Where the folder is damaged, of another class, or changed.
        """
        from userlogfeat.weights import explained, find_model, load_fitted

        saved, parameters = load_fitted(folder, cls.__name__, network=network)
        with explained(folder):
            loaded = cls(**{name: _tuples(v) for name, v in parameters.items()})
            loaded._restore(saved, find_model(folder))
            return loaded

    @property
    def _reads_features(self):
        """Whether X has precomputed features, a clip per row."""
        return isinstance(self.network, str) and self.network == "mlp"

    def _embed(self, X):
        """Embeddings (n_clips, n_units), float32, of clips or features."""
        if self._reads_features:
            X = check_features(self, X, reset=False)
            return read_rows(self.network_.head, as_tensor(X)).numpy(force=True)
        clips = self.iter_features(X, layers=("embedding",))
        return np.stack([clip.layers["embedding"] for clip in clips])

    def _load_network(self):
        """The trained network on the device of the parameters."""
        device = resolve_device(self.device)
        network = copy.copy(self.network_)
        network.precision = resolve_precision(self.precision, device)
        return network.to(device)

    def _shown_layers(self):
        if not self.__sklearn_is_fitted__():
            return {}
        sizes = self._load_network().layer_sizes
        return {name: sizes[name] for name in self._layer_names()}

    def _forget(self):
        """Drop what an earlier fit learned."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            if name not in ("n_features_in_", "feature_names_in_"):
                delattr(self, name)

    def _teacher_network(self):
        """The torch module that is saved, and how `weights` builds it."""
        return self.network_, self._spec

    def _json_parameters(self):
        parameters = json_parameters(self)
        if not self._reads_features:
            duration = self._read_duration()
            parameters["duration"] = None if duration is None else float(duration)
        return parameters

    def _fitted(self, folder):
        """The entries of config.json that `_restore` needs; may write more files."""
        return {}

    def _saved_scales(self, network):
        return self.layer_scales_

    def _restore(self, saved, folder):
        """Take over what a saved model holds."""
        self.layer_scales_ = saved.layer_scales
        self.network_ = copy.deepcopy(saved.network)
        self._spec = saved.config["network"]
        if self._spec["name"] == "mlp":
            self.n_features_in_ = self.network_.head[0].in_features

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.target_tags.required = True
        return tags


def _tuples(value):
    """Lists of JSON as the tuples that the parameters were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def save_beside(
    folder: Path,
    name: str,
    tensors: dict[str, np.ndarray],
    notes: dict[str, str] | None = None,
) -> dict[str, str]:
    """Write a file of tensors beside a model; return its entry of config.json."""
    path = make_folder(folder, "a model") / f"{name}.safetensors"
    with replace_file(path) as temporary:
        save_file(tensors, temporary, metadata=notes)
    return {f"{name}_sha256": sha256(path)}


def load_beside(
    folder: Path, name: str, fitted: dict[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read and check the tensors and the notes that :func:`save_beside` wrote."""
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        raise ModelError(
            f"{path} is missing: the model was shared without its {name}. Load it with "
            "UserLogEmbedder, which needs none."
        )
    if sha256(path) != fitted[f"{name}_sha256"]:
        raise ModelError(
            f"{path} has another SHA-256 than the model's config says: the {name} are "
            "damaged or of another model. Copy the folder again."
        )
    with safe_open(path, framework="np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()
