"""The vgg tagger of the musicnn package: five 3 x 3 convolutions, and 50 tags.

Pons & Serra (2019), "musicnn: pre-trained convolutional neural networks for music audio
tagging", their baseline after Choi et al. (2016). Its padding and pooling tie every
output to its patch, so neighbouring patches share nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import nn

from userlogfeat.encoders.musicnn_checkpoint import (
    DTYPES,
    N_FRAMES,
    N_TAGS,
    batch_norm,
    empty_layer,
    input_state,
)
from userlogfeat.networks.threads import map_blocks

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


N_CHANNELS = 128
# Size and stride of the pooling after each convolution, in frames and bands.
POOLS = (((4, 1), 2), ((2, 2), 2), ((2, 2), 2), ((2, 2), 2), ((4, 4), 4))
BLOCK_PATCHES = 4  # encoded at once


class Vgg(nn.Module):
    """The vgg network.

    Fill it with :func:`vgg_state`. Its layers ``pool1`` to ``pool4`` are averaged over
    frames and bands; ``pool5``, 2 frames of 128 channels, is given whole.

    Parameters
    ----------
    precision : {"fp32", "bf16"}
        Precision of the convolutions.
    """

    layer_sizes = {
        "taggram": N_TAGS,
        **{f"pool{i}": N_CHANNELS for i in (1, 2, 3, 4)},
        "pool5": 2 * N_CHANNELS,
    }

    def __init__(self, *, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        super().__init__()
        dtype = DTYPES[precision]
        self.register_buffer("input_scale", torch.empty(1))
        self.register_buffer("input_shift", torch.empty(1))
        self.cnn = nn.ModuleList(
            empty_layer(nn.Conv2d, n_inputs, N_CHANNELS, 3, padding=1, dtype=dtype)
            for n_inputs in (1, *[N_CHANNELS] * 4)
        )
        self.register_buffer("scale", torch.empty(5, N_CHANNELS))
        self.register_buffer("shift", torch.empty(5, N_CHANNELS))
        self.tags = empty_layer(nn.Linear, 2 * N_CHANNELS, N_TAGS)
        self.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(
        self, frames: Tensor, starts: Tensor, layers: Sequence[str] = ("taggram",)
    ) -> dict[str, Tensor]:
        """Layers of every patch: see `musicnn_fast.Musicnn`."""
        parts = map_blocks(
            partial(self._encode, frames, layers=layers),
            starts.to(frames.device),
            smallest=BLOCK_PATCHES,
            largest=BLOCK_PATCHES,
        )
        return {name: torch.cat([part[name] for part in parts]) for name in layers}

    @torch.no_grad()
    def _encode(self, frames, starts, layers):
        within = torch.arange(N_FRAMES, device=frames.device)
        lower = {f"pool{n}": n for n in range(1, len(POOLS))}  # others need all of it
        n_stages = max(lower.get(name, len(POOLS)) for name in layers)
        patches = frames[starts[:, None] + within].float()
        encoded = self.patch_layers(patches, n_stages)
        return {name: encoded[name] for name in layers}

    def patch_layers(
        self, patches: Tensor, n_stages: int = len(POOLS)
    ) -> dict[str, Tensor]:
        """Layers (P, size) of patches (P, 187, 96), without checks of values.

        All of them, or ``pool1`` to ``pool{n_stages}``.
        """
        x = torch.addcmul(self.input_shift, patches, self.input_scale)[:, None]
        layers = {}  # x: P, 128, frames, bands
        for index, (convolution, (size, stride)) in enumerate(
            zip(self.cnn[:n_stages], POOLS[:n_stages], strict=True)
        ):
            x = convolution(x.to(convolution.weight.dtype)).float().relu_()
            scale, shift = self.scale[index], self.shift[index]
            x = torch.addcmul(shift[:, None, None], x, scale[:, None, None])
            x = F.max_pool2d(x, size, stride)
            layers[f"pool{index + 1}"] = x.mean((2, 3))
        if n_stages < len(POOLS):
            return layers
        layers["pool5"] = x[..., 0].transpose(1, 2).flatten(1)  # P, 128, 2 -> P, 256
        layers["taggram"] = self.tags(layers["pool5"]).sigmoid()
        return layers


def vgg_state(variables: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The state of a :class:`Vgg` from the variables of its checkpoint."""
    state = input_state(variables)
    norms = [batch_norm(variables, i) for i in range(1, 6)]
    state["scale"] = torch.stack([scale for scale, _ in norms])
    state["shift"] = torch.stack([shift for _, shift in norms])
    for i in range(5):
        kernel = torch.tensor(variables[f"{i + 1}CNN/kernel"])
        state[f"cnn.{i}.weight"] = kernel.permute(3, 2, 0, 1)
        state[f"cnn.{i}.bias"] = torch.tensor(variables[f"{i + 1}CNN/bias"])
    state["tags.weight"] = torch.tensor(variables["dense/kernel"]).T
    state["tags.bias"] = torch.tensor(variables["dense/bias"])
    return state
