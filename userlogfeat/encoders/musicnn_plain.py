"""The musicnn network as its authors wrote it: the reference, and the form for export.

Pons & Serra (2019), "musicnn: pre-trained convolutional neural networks for music audio
tagging". Standard layers, one patch after the other, nothing shared between patches and
no checks of values, so that torch can trace it. :mod:`musicnn_fast` computes the same
numbers faster; the tests compare the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from userlogfeat.encoders.musicnn_checkpoint import EPSILON, N_TAGS
from userlogfeat.encoders.musicnn_fast import (
    CNN_TAPS,
    N_CNN,
    N_PENULTIMATE,
    N_TEMPORAL,
    N_TIMBRAL,
    TEMPORAL_LENGTHS,
    TIMBRAL_HEIGHTS,
    TIMBRAL_TAPS,
    Musicnn,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


# P: patches, C: channels, T: frames, F: bands or features of a frame


class Convolution(nn.Module):
    """A convolution over frames and bands, ReLU and batch norm.

    Frames are padded to keep their number ("same" in TensorFlow), bands are not.
    """

    def __init__(self, n_outputs: int, n_frames: int, n_bands: int) -> None:
        super().__init__()
        self.margins = ((n_frames - 1) // 2, n_frames // 2)
        self.conv = nn.Conv2d(1, n_outputs, (n_frames, n_bands))
        self.norm = nn.BatchNorm2d(n_outputs, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(P, T, F) -> (P, n_outputs, T, F - n_bands + 1)."""
        x = F.pad(x, (0, 0, *self.margins))
        return self.norm(self.conv(x[:, None]).relu())


class PlainMusicnn(nn.Module):
    """The musicnn network in standard layers; fill it with :func:`plain_state`."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, EPSILON)
        front = [(N_TIMBRAL, TIMBRAL_TAPS, height) for height in TIMBRAL_HEIGHTS]
        front += [(N_TEMPORAL, length, 1) for length in TEMPORAL_LENGTHS]
        self.front = nn.ModuleList(Convolution(*sizes) for sizes in front)
        self.cnn = nn.ModuleList(
            Convolution(N_CNN, CNN_TAPS, n) for n in (Musicnn.n_front, N_CNN, N_CNN)
        )
        self.pooled_norm = nn.BatchNorm1d(2 * Musicnn.n_pooled, EPSILON)
        self.dense = nn.Linear(2 * Musicnn.n_pooled, N_PENULTIMATE)
        self.dense_norm = nn.BatchNorm1d(N_PENULTIMATE, EPSILON)
        self.tags = nn.Linear(N_PENULTIMATE, N_TAGS)

    def forward(self, patches: Tensor) -> dict[str, Tensor]:
        """All layers (P, size) of patches (P, 187, 96)."""
        x = self.norm(patches[:, None])[:, 0]
        maps = [torch.cat([stage(x).amax(3) for stage in self.front], dim=1)]  # P, C, T
        for index, stage in enumerate(self.cnn):
            z = stage(maps[-1].mT)[..., 0]
            maps.append(z if index == 0 else z + maps[-1])
        max_pool = torch.cat([x.amax(2) for x in maps], dim=1)
        mean_pool = torch.cat([x.mean(2) for x in maps], dim=1)
        pooled = torch.stack([max_pool, mean_pool], dim=2).flatten(1)  # interleaved
        penultimate = self.dense_norm(self.dense(self.pooled_norm(pooled)).relu())
        n_timbral = Musicnn.layer_sizes["timbral"]
        return {
            "taggram": self.tags(penultimate).sigmoid(),
            "penultimate": penultimate,
            "mean_pool": mean_pool,
            "max_pool": max_pool,
            "timbral": mean_pool[:, :n_timbral],
            "temporal": mean_pool[:, n_timbral : Musicnn.n_front],
            **{f"cnn{index}": maps[index].mean(2) for index in (1, 2, 3)},
        }


def plain_state(variables: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Return the state of a :class:`PlainMusicnn` from a checkpoint's variables."""
    state = {}
    stages = [*(f"front.{i}" for i in range(5)), *(f"cnn.{i}" for i in range(3))]
    for index, stage in enumerate(stages):
        suffix = f"_{index}" if index else ""
        kernel = torch.tensor(variables[f"conv2d{suffix}/kernel"])  # T, F, 1, C
        state[f"{stage}.conv.weight"] = kernel.permute(3, 2, 0, 1)
        state[f"{stage}.conv.bias"] = torch.tensor(variables[f"conv2d{suffix}/bias"])
    names = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    norms = ["norm", *(f"{stage}.norm" for stage in stages)]
    for index, norm in enumerate([*norms, "pooled_norm", "dense_norm"]):
        prefix = "batch_normalization" + (f"_{index}" if index else "")
        for name, variable in names.items():
            state[f"{norm}.{name}"] = torch.tensor(variables[f"{prefix}/{variable}"])
        state[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    for name, prefix in (("dense", "dense"), ("tags", "dense_1")):
        state[f"{name}.weight"] = torch.tensor(variables[f"{prefix}/kernel"]).T
        state[f"{name}.bias"] = torch.tensor(variables[f"{prefix}/bias"])
    return state
