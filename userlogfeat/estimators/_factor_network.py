"""The other way to train a `CFRegressor`: a network, on spectrograms.

The network of Lee et al. (2019), section 3.1, or one of the user's own, is trained from
scratch; its penultimate units estimate the factors.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from userlogfeat._threads import limit_torch
from userlogfeat.estimators._audio_transformer import front_end_context
from userlogfeat.estimators._designs import ClipDesign
from userlogfeat.estimators._devices import resolve_device
from userlogfeat.estimators._parameters import resolve_loss
from userlogfeat.estimators._trained import TrainedTransformer
from userlogfeat.estimators._training import Trainer, clip_duration, read_clips
from userlogfeat.frontends import resolve_front_end
from userlogfeat.training.heads import estimate_factors
from userlogfeat.training.processes import share_rows

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.weights.models import SavedModel


class FactorNetwork:
    """Train, apply and save a network.

    Parameters
    ----------
    regressor : CFRegressor
        Gets `network_` and `history_`.
    """

    def __init__(self, regressor: Any) -> None:
        self.regressor = regressor

    def fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> dict[str, float]:
        """Train the network; return the mean square of every layer.

        Parameters
        ----------
        X, y, sample_weight, groups
            See ``CFRegressor.fit``.
        """
        regressor, design = self.regressor, ClipDesign(self.regressor)
        data = read_clips(regressor, X, design)
        y, weight = regressor._check_targets(data.inputs, y, sample_weight, groups)
        trainer, n_units = Trainer(regressor), y.shape[1]
        network = design.build(data, n_units=n_units, seed=trainer.seed)
        regressor.history_ = trainer.fit(
            network,
            data.inputs,
            {"factors": y, "weight": weight},
            objective=partial(
                estimate_factors, loss=resolve_loss(regressor._loss, "loss")
            ),
            split=trainer.split(len(data), groups),
        )
        regressor.network_ = data.for_raw_input(network, n_units)
        regressor._spec = design.spec(data, n_units=n_units)
        return self._mean_squares(data.inputs)

    def inputs(self, X: Any) -> np.ndarray:
        """Refuse: a network is trained as a whole."""
        raise ValueError(
            f"This teacher is a network ({self.regressor.network!r}) that was trained "
            "as a whole: it has no head that could be learned alone. Fit it again, or "
            'pass encoder="MSD_musicnn", whose head takes seconds.'
        )

    def refit(self, inputs: Any, y: Any, sample_weight: Any, groups: Any) -> Any:
        """Refuse, as `inputs`."""
        return self.inputs(inputs)

    def embed(self, X: Any) -> np.ndarray:
        """Estimate factors (n_clips, n_factors), float32."""
        return TrainedTransformer._embed(self.regressor, X)

    def load_network(self) -> nn.Module:
        """The network on the chosen device."""
        return TrainedTransformer._load_network(self.regressor)

    def saved_network(self) -> tuple[nn.Module, dict[str, Any]]:
        """The torch module that is saved, and how `weights` builds it."""
        return TrainedTransformer._teacher_network(self.regressor)

    def restore(self, saved: SavedModel) -> None:
        """Take over the network of a saved model."""
        TrainedTransformer._restore(self.regressor, saved, None)

    def rate_and_context(self) -> tuple[int, float | None]:
        """Rate (Hz) and context (s, or None) of the front end."""
        return front_end_context(resolve_front_end(self.regressor.frontend))

    def duration(self) -> float:
        """Seconds of each clip to read."""
        return clip_duration(self.regressor)

    def check(self) -> None:
        """All parameters suit a network."""

    def _mean_squares(self, inputs):
        """Mean square of every layer over the training clips."""
        network = self.load_network()
        device = resolve_device(self.regressor.device)
        names = tuple(network.layer_sizes)

        def squares(rows):  # n_clips, n_layers
            parts = []
            for part in torch.from_numpy(rows).split(self.regressor.batch_size):
                layers = network(list(inputs.batch(part).to(device)), layers=names)
                clips = [torch.stack(v).square().mean(dim=1) for v in layers.values()]
                parts.append(torch.stack(clips, dim=1).numpy(force=True))
            return np.concatenate(parts)

        with torch.inference_mode(), limit_torch(1):
            means = share_rows(np.arange(len(inputs)), squares)
        means = means.mean(axis=0, dtype=np.float64).tolist()
        return dict(zip(names, means, strict=True))
