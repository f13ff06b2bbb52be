"""Modules of transformers in forms that take a CPU less time, for inference.

* Weight norm is the same in every pass: its weights are computed once.
* The first convolution of wav2vec 2.0 has one channel. For more than one clip torch
  asks oneDNN, which takes ten times as long as the matrix product that it is.
* For bf16, autocast converts all weights in every pass, in half the time of the
  products themselves: they are converted once.
* With frames as rows, the taps of a convolution that lie within one stride are one
  contiguous row, so a convolution of 3 taps in steps of 2 is two matrix products. In
  bf16 they take a third of the time of oneDNN's convolution; in fp32, as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    from torch import Tensor

_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d)


def speed_up(
    network: nn.Module, device: str, precision: Literal["fp32", "bf16"]
) -> nn.Module:
    """Put a network into forms that take less time there; it is changed in place.

    Parameters
    ----------
    network : Module
        In evaluation mode; it gets no gradients.
    device : str
        Where it will run.
    precision : {"fp32", "bf16"}
        With bf16 it must run in autocast.

    Returns
    -------
    Module
        The network.
    """
    network.requires_grad_(False)
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
        if precision == "bf16" and isinstance(module, _PRODUCTS):
            module.to(torch.bfloat16)
    for module in list(network.modules()) if device == "cpu" else ():
        for name, child in module.named_children():
            if _is_product(child) and (child.in_channels == 1 or precision == "bf16"):
                setattr(module, name, FrameConv1d(child))
    return network.requires_grad_(False)


class FrameConv1d(nn.Module):
    """A convolution as matrix products of frames.

    Parameters
    ----------
    convolution : Conv1d
        Without padding, dilation or groups; in each of its steps whole strides of taps
        and one more at most, or one channel.
    """

    def __init__(self, convolution: nn.Conv1d) -> None:
        super().__init__()
        self.n_taps, self.stride = convolution.kernel_size[0], convolution.stride[0]
        self.bias = convolution.bias
        weight = convolution.weight.mT  # outputs, taps, channels
        whole = self.stride if weight.shape[2] > 1 else self.n_taps
        self.weights = nn.ParameterList(
            taps.flatten(1).contiguous() for taps in weight.split(whole, dim=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (B, channels, n_frames) of inputs (B, channels, n_samples)."""
        n_frames = (x.shape[2] - self.n_taps) // self.stride + 1
        if x.shape[1] == 1:
            y = self.weights[0] @ x[:, 0].unfold(1, self.n_taps, self.stride).mT
            return y if self.bias is None else y + self.bias[:, None]
        frames, first, y = x.mT, 0, None
        for weight in self.weights:
            n_taps = weight.shape[1] // x.shape[1]
            if n_taps == 1:
                rows = frames[:, first :: self.stride][:, :n_frames]
            else:
                rows = frames[:, first : first + n_taps * n_frames]
                rows = rows.reshape(len(x), n_frames, -1)
            product = nn.functional.linear(rows, weight, None if first else self.bias)
            y = product if y is None else y + product
            first += n_taps
        return y.mT


def _is_product(module):
    """Whether FrameConv1d does what a module does."""
    if type(module) is not nn.Conv1d or module.padding_mode != "zeros":
        return False
    plain = (module.padding, module.dilation, module.groups) == ((0,), (1,), 1)
    (taps,), (stride,) = module.kernel_size, module.stride
    return plain and (module.in_channels == 1 or taps % stride <= 1)
