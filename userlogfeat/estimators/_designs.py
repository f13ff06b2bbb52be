"""The networks that estimators train, from their parameters.

A design says how long the spectrograms are that a network reads, builds the network,
and describes it for config.json. `ClipDesign` is that of networks that read clips of
one length, `ContextDesign` that of networks that read short contexts of clips of any
length. Both build an MLP on features for ``network="mlp"``, and networks of the user's
own classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from userlogfeat._check import check_positive
from userlogfeat.networks.se_cnn import PAPER_POOLS
from userlogfeat.training import seeded
from userlogfeat.weights.builders import new_network


class ClipDesign:
    """A network by name or class, and its sizes.

    By name it is the network of Lee et al. (2019), or an MLP.

    Parameters
    ----------
    estimator : estimator
        Its parameters `network`, `channels`, `pools` and `hidden` are read.
    """

    n_frames: int | None = None  # of what the network reads; None: of `duration`

    def __init__(self, estimator: Any) -> None:
        self.network = estimator.network
        self.channels = estimator.channels
        self.pools = PAPER_POOLS if estimator.pools is None else estimator.pools
        self.hidden = np.atleast_1d(estimator.hidden).astype(int).tolist()

    @property
    def by_name(self) -> bool:
        """Whether the network is not a class of the user's own."""
        return isinstance(self.network, str)

    def check(self, n_bands: int, n_frames: int) -> None:
        """Raise, before anything is decoded, where clips are too small for `pools`."""
        if self.by_name:
            with torch.device("meta"):  # no memory, and no random numbers
                sizes = {"n_bands": n_bands, "n_units": 1, "n_outputs": None}
                probe = new_network(self._named() | sizes | {"channels": 1})
            probe._check_input(torch.empty(0, n_bands, self.n_frames or n_frames))

    def build(
        self, data: Any, *, n_units: int, n_outputs: int | None = None, seed: int
    ) -> nn.Module:
        """Build a network with fresh weights.

        Parameters
        ----------
        data : TrainingData
            Clips to train on.
        n_units : int
            Size of the embedding.
        n_outputs : int, optional
            Size of a student's output layer.
        seed : int
            Seed of the weights.
        """
        with seeded(seed):
            if not (data.reads_features or self.by_name):
                return self._build_own(data.shape, n_units, n_outputs or n_units)
            spec = self._named() | {"n_units": n_units, "n_outputs": n_outputs}
            if data.reads_features:
                spec |= self._mlp(data, n_units)
            network = new_network(spec | {"n_bands": data.shape[0]})
        if data.mean is not None and not data.reads_features:
            network.mean.copy_(torch.from_numpy(data.mean))
            network.scale.copy_(torch.from_numpy(data.scale))
        return network

    def spec(
        self, data: Any, *, n_units: int, n_outputs: int | None = None
    ) -> dict[str, Any]:
        """Describe the network, so that `weights` can build it again."""
        if data.reads_features:
            return self._mlp(data, n_units) | {"n_outputs": n_outputs}
        spec = {"n_units": n_units, "n_outputs": n_outputs}
        spec |= {"n_bands": int(data.shape[0]), "n_frames": int(data.shape[1])}
        if self.by_name:
            pools = np.asarray(self.pools).tolist()
            return (
                self._named() | {"channels": int(self.channels), "pools": pools} | spec
            )
        return {"name": "custom", "class": self.network.__qualname__} | spec

    def _named(self):
        """Name and sizes, as the parameters have them."""
        return {"name": self.network, "channels": self.channels, "pools": self.pools}

    def _mlp(self, data, n_units):
        return {"name": "mlp", "head": [data.shape[0], *self.hidden, n_units]}

    def _build_own(self, shape, n_units, n_outputs):
        """A network of the user's class, after a look at what its methods return."""
        network = self.network(shape, n_units, n_outputs)
        name = self.network.__name__
        for method in ("penultimate", "output"):
            if not callable(getattr(network, method, None)):
                raise TypeError(
                    f"{name} has no {method}(): a network of your own has "
                    "penultimate(x), which gives (clips, n_units), and output(h), "
                    "which gives (clips, n_outputs)."
                )
        with torch.no_grad():  # in evaluation mode: batch norm learns nothing here
            units = network.eval().penultimate(torch.zeros(1, *shape))
            _check_row(units, n_units, f"{name}.penultimate")
            _check_row(network.output(units), n_outputs, f"{name}.output")
        return network.train()


class ContextDesign(ClipDesign):
    """A network of short contexts of clips: a paper's, an MLP, or a class of one's own.

    Parameters
    ----------
    estimator : estimator
        See :class:`ClipDesign`; it has `context` (in seconds) and `frontend`, too.
    pools : sequence of int
        Pooling of the paper, where the parameter is None.
    """

    def __init__(self, estimator: Any, pools: Any) -> None:
        super().__init__(estimator)
        pools = pools if estimator.pools is None else estimator.pools
        self.pools = tuple(int(pool) for pool in pools)
        settings = estimator._front_end()
        n_samples = round(estimator.context * settings.sample_rate)
        self.n_frames = max(1, 1 + n_samples // settings.hop - settings.drop_last)

    def spec(self, data, *, n_units, n_outputs=None):
        """Describe the network, so that `weights` can build it again."""
        spec = super().spec(data, n_units=n_units)
        return spec | {"contexts": True} if spec["name"] == "custom" else spec


def check_contexts(estimator: Any) -> None:
    """Raise where `context`, `duration` and `pools` of an estimator make no sense."""
    check_positive(estimator.context, "context")
    if estimator.duration is not None and estimator.duration < estimator.context:
        raise ValueError(
            f"Got duration={estimator.duration!r} s, which is shorter than context="
            f"{estimator.context!r} s. Contexts are taken from what duration leaves: "
            "pass a longer one, or a shorter context."
        )
    if estimator.pools is None:
        return
    if np.ndim(estimator.pools) != 1:
        raise ValueError(
            f"Got pools={estimator.pools!r}, expected whole numbers, one for each "
            "convolution but the last, such as (4, 4, 4, 2)."
        )
    for pool in estimator.pools:
        check_positive(pool, "pools", integer=True)


def _check_row(values, size, name):
    """Raise unless `values`, of one clip, have the shape (1, size)."""
    if tuple(values.shape) != (1, size):
        raise ValueError(
            f"{name} gives an array of shape {tuple(values.shape)} for one clip, "
            f"expected (1, {size})."
        )
