"""The other way to train a `CFRegressor`: a network, on spectrograms.

The network of Lee et al. (2019), section 3.1, or one of the user's own, is trained from
scratch; its penultimate units estimate the factors.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from userlogfeat._threads import limit_torch
from userlogfeat.estimators._designs import ClipDesign
from userlogfeat.estimators._devices import resolve_device
from userlogfeat.estimators._parameters import resolve_loss
from userlogfeat.estimators._training import Trainer, read_clips
from userlogfeat.training.heads import estimate_factors
from userlogfeat.training.processes import share_rows


def fit_factor_network(
    regressor: Any, X: Any, y: Any, sample_weight: Any, groups: Any
) -> dict[str, float]:
    """Train the network of a `CFRegressor`; return the mean square of every layer.

    Parameters
    ----------
    regressor : CFRegressor
        Gets `network_` and `history_`.
    X, y, sample_weight, groups
        See ``CFRegressor.fit``.
    """
    design = ClipDesign(regressor)
    data = read_clips(regressor, X, design)
    y, weight = regressor._check_targets(data.inputs, y, sample_weight, groups)
    trainer, n_units = Trainer(regressor), y.shape[1]
    network = design.build(data, n_units=n_units, seed=trainer.seed)
    regressor.history_ = trainer.fit(
        network,
        data.inputs,
        {"factors": y, "weight": weight},
        objective=partial(estimate_factors, loss=resolve_loss(regressor._loss, "loss")),
        split=trainer.split(len(data), groups),
    )
    regressor.network_ = data.for_raw_input(network, n_units)
    regressor._spec = design.spec(data, n_units=n_units)
    return _mean_squares(regressor, data.inputs)


def _mean_squares(regressor, inputs):
    """Mean square of every layer over the training clips."""
    network, device = regressor._load_network(), resolve_device(regressor.device)
    names = tuple(network.layer_sizes)

    def squares(rows):  # n_clips, n_layers
        parts = []
        for part in torch.from_numpy(rows).split(regressor.batch_size):
            layers = network(list(inputs.batch(part).to(device)), layers=names)
            clips = [torch.stack(v).square().mean(dim=1) for v in layers.values()]
            parts.append(torch.stack(clips, dim=1).numpy(force=True))
        return np.concatenate(parts)

    with torch.inference_mode(), limit_torch(1):
        means = share_rows(np.arange(len(inputs)), squares)
    means = means.mean(axis=0, dtype=np.float64).tolist()
    return dict(zip(names, means, strict=True))
