"""Modules of transformers in forms that take a CPU less time, for inference.

* Weight norm is the same in every pass: its weights are computed once.
* The first convolution of wav2vec 2.0 has one channel. For more than one clip torch
  asks oneDNN, which takes ten times as long as the matrix product that it is.
* For bf16, autocast converts all weights in every pass, in half the time of the
  products themselves: they are converted once.
* With frames as rows, the taps of a convolution that lie within one stride are one
  contiguous row, so a convolution of 3 taps in steps of 2 is two matrix products. In
  bf16 they take a third of the time of oneDNN's convolution; in fp32, as long. But a
  layer norm beside it (wav2vec 2.0 and HuBERT large) reads frames as rows, too: without
  copies in between, such a model takes three quarters of the time.
* A pass ends with the last layer that was asked for: the blocks behind it do not run.
* In bf16 blocks whose products are short run in one thread: see
  :mod:`userlogfeat._threads`. 5 s through HuBERT base take 0.41 s in one thread; in two
  they took 0.54 s on two idle cores, and 4 to 6 s where other programs used these.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

from userlogfeat._threads import PRODUCT_RATE, limit_torch, n_threads_for
from userlogfeat.networks.bf16 import keep_right

if TYPE_CHECKING:
    from torch import Tensor

_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d)
# Where the models of `hugging_face_families` have their blocks.
_BLOCKS = ("encoder.layers", "layers", "encoder.layer", "audio_encoder.layers")
_BF16_RATE = 3 * PRODUCT_RATE  # where a processor has such products
_WIDENING = 4  # outputs of a block's largest product, by its inputs
_OF_THREAD = threading.local()  # last, states, stack: of the pass that runs in it


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
            if device != "cpu" or not keep_right(module):
                module.to(torch.bfloat16)
    for module in list(network.modules()) if device == "cpu" else ():
        of_rows = precision == "bf16" or any(
            isinstance(child, nn.LayerNorm) for child in module.children()
        )
        for name, child in module.named_children():
            if _is_product(child) and (of_rows or child.in_channels == 1):
                setattr(module, name, FrameConv1d(child))
    for number, block in enumerate(_find_blocks(network)):
        block.register_forward_pre_hook(partial(_enter, number), with_kwargs=True)
    return network.requires_grad_(False)


@contextmanager
def until_block(last: int | None) -> Iterator[list[Tensor]]:
    """End the pass of a network of `speed_up` where block `last` would begin.

    Parameters
    ----------
    last : int or None
        Number of a block. Where there is none, the pass goes on to its end, and after
        it the ``with`` block.

    Yields
    ------
    list of Tensor
        What the blocks have read so far: the hidden states 0, 1, ..., `last`.
    """
    states: list[Tensor] = []
    with ExitStack() as stack:
        _OF_THREAD.last, _OF_THREAD.states, _OF_THREAD.stack = last, states, stack
        try:
            yield states
        except _Reached:
            pass
        finally:
            _OF_THREAD.states = None


class _Reached(Exception):
    """All that was asked for is there."""


def _find_blocks(network):
    """The blocks of a network, in order; none where they are not where we know."""
    network = getattr(network, "audio_model", network)
    for path in _BLOCKS:
        part = network
        for name in path.split("."):
            part = getattr(part, name, None)
        if isinstance(part, nn.ModuleList):
            return part
    return ()


def _enter(number, block, args, kwargs):
    """Note what a block reads; end the pass there, or choose its threads."""
    states = getattr(_OF_THREAD, "states", None)
    if states is None:
        return
    x = args[0] if args else kwargs["hidden_states"]
    states.append(x)
    if number == _OF_THREAD.last:
        raise _Reached
    if number == 0 and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        seconds = 2 * x.numel() * _WIDENING * x.shape[-1] / _BF16_RATE
        _OF_THREAD.stack.enter_context(limit_torch(n_threads_for(seconds)))


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
