"""Base of the embedders of a frozen encoder: its layers, pooled over the clip."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if

from userlogfeat._check import check_choice
from userlogfeat._spaces import feature_names
from userlogfeat._typing import ArrayLike
from userlogfeat.estimators._audio_transformer import (
    POOLINGS,
    AudioTransformer,
    gives_rows,
    network_context,
)
from userlogfeat.estimators._devices import resolve_device, resolve_precision
from userlogfeat.networks.teacher import EncoderTeacher


class PooledEncoder(AudioTransformer):
    """Embed with a frozen encoder.

    A subclass has `pooling` and `precision`, ``_encoder`` (the encoder that the
    parameters describe) and ``_chosen_sizes`` (columns of each chosen layer, checked).
    """

    pooling: Any
    precision: Any
    _encoder: Any
    _chosen_sizes: Any

    @available_if(gives_rows)
    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``max_pool_0``, ``max_pool_1``, ...

        With ``pooling="meanstd"`` ``max_pool_mean_0``, ..., ``max_pool_std_752``.
        Absent with ``pooling=None``.
        """
        sizes = self._chosen_sizes()
        if self.pooling == "meanstd":
            sizes = {
                f"{name}_{statistic}": size
                for name, size in sizes.items()
                for statistic in ("mean", "std")
            }
        return feature_names(sizes)

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Columns of each chosen layer, by name."""
        return self._pooled_sizes(self._chosen_sizes())

    def _shown_layers(self):
        return self._chosen_sizes()

    def _pooled_sizes(self, sizes):
        if self.pooling is None:
            raise ValueError(
                "With pooling=None a clip has as many rows as frames (musicnn: "
                "patches), so its layers have no one size. Pass "
                'pooling="mean", "max" or "meanstd".'
            )
        factor = 2 if self.pooling == "meanstd" else 1
        return {name: factor * size for name, size in sizes.items()}

    def _load_network(self):
        device = resolve_device(self.device)
        precision = resolve_precision(self.precision, device)
        return EncoderTeacher(self._encoder(), precision=precision).to(device)

    def _rate_and_context(self):
        return network_context(EncoderTeacher(self._encoder()))

    def _forward(self, network, clips, layers):
        return network(clips, layers=layers, pooling=self.pooling)

    def _check_parameters(self):
        super()._check_parameters()
        self._chosen_sizes()
        check_choice(self.pooling, "pooling", POOLINGS)
