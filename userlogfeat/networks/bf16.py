"""bf16 on a processor, but for convolutions that it gets wrong.

oneDNN, torch's library of products, has forms of bf16 convolutions for processors with
AMX that are wrong for some shapes: with 2 to 12 channels in a group and kernels 8 wide
or more, the outputs have nothing to do with the right ones (torch 2.8 to 2.15; of the
kind of github.com/pytorch/pytorch/issues/163347 and 169688). Which shapes depends on
the processor and the release. So each shape is tried once, in a few milliseconds, and
convolutions of those that are wrong stay in fp32.
"""

from __future__ import annotations

import threading
import time
import warnings
from functools import lru_cache
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

MOST_ERROR = 0.03  # relative; rounding to bf16 makes 0.002 to 0.003
N_STEPS = 16  # of a kernel that are tried, along each axis
SLOW = 1.5  # times as long as fp32 from which on a processor is not for bf16
_CHECKED: WeakSet[nn.Module] = WeakSet()
_CHECKING = threading.Lock()


def autocast_bf16(network: Any, device: torch.device, enabled: bool) -> torch.autocast:
    """Return the context in which a network computes in bf16, where that is right.

    Parameters
    ----------
    network : Module or any object
        On a processor its convolutions are checked, once; see `keep_right`.
    device : torch.device
        Where it computes.
    enabled : bool
        Whether bf16 was asked for; else nothing is changed.

    Returns
    -------
    torch.autocast
    """
    if enabled and device.type == "cpu" and isinstance(network, nn.Module):
        with _CHECKING:
            if network not in _CHECKED:
                for module in network.modules():
                    keep_right(module)
                _CHECKED.add(network)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def keep_right(module: nn.Module) -> bool:
    """Keep a convolution in fp32 where this processor is wrong in bf16.

    Parameters
    ----------
    module : Module
        In fp32. Such a convolution is changed in place; all else is left as it is.

    Returns
    -------
    bool
        Whether it stays in fp32, also in autocast.
    """
    if isinstance(module, _InFp32):
        return True
    kind = next((kind for kind in _KINDS if isinstance(module, kind)), None)
    if kind is None or _is_right(
        kind,
        module.in_channels,
        module.out_channels,
        module.groups,
        module.kernel_size,
        module.stride,
        module.dilation,
    ):
        return False
    if type(module) is kind:
        module.__class__ = _KINDS[kind]
    else:  # with a parametrization, which gave it a class of its own
        name = type(module).__name__
        module.__class__ = type(name, (_InFp32, type(module)), {})
    return True


class _InFp32:
    """Part of a convolution's class: it leaves autocast."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class _Conv1d(_InFp32, nn.Conv1d):
    pass


class _Conv2d(_InFp32, nn.Conv2d):
    pass


class _Conv3d(_InFp32, nn.Conv3d):
    pass


_KINDS = {nn.Conv1d: _Conv1d, nn.Conv2d: _Conv2d, nn.Conv3d: _Conv3d}


def warn_where_slow() -> None:
    """Warn, once, where this processor has no instructions for products in bf16."""
    times = _times_of_fp32()
    if times > SLOW and not _WARNED:
        _WARNED.append(times)
        warnings.warn(
            f"A matrix product in bf16 takes {times:.1f} times as long as in fp32 on "
            'this processor, which has no instructions for it. Pass precision="fp32" '
            '(or "auto", which is bf16 on a GPU alone).',
            stacklevel=3,
        )


_WARNED: list[float] = []


@lru_cache(None)
def _times_of_fp32():
    """Time of a product in bf16 over that in fp32: the fastest of four, in turns."""
    seconds = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    ones = {dtype: torch.ones(256, 256, dtype=dtype) for dtype in seconds}
    with torch.inference_mode():
        for dtype, factor in 4 * list(ones.items()):
            begin = time.perf_counter()
            factor @ factor
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - begin)
    return seconds[torch.bfloat16] / seconds[torch.float32]


@lru_cache(None)
def _is_right(kind, n_in, n_out, groups, kernel, stride, dilation):
    """Whether a convolution of a shape, in bf16, is that in fp32 but for rounding."""
    axes = zip(kernel, stride, dilation, strict=True)
    sizes = [step * (taps - 1) + 1 + hop * N_STEPS for taps, hop, step in axes]
    settings = {"dilation": dilation, "groups": groups, "bias": False}
    one = nn.utils.skip_init(kind, n_in, n_out, kernel, stride, **settings)
    random = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        one.weight.normal_(generator=random)
        x = torch.randn(2, n_in, *sizes, generator=random)
        with torch.autocast("cpu", enabled=False):
            right = one(x)
        with torch.autocast("cpu", torch.bfloat16):
            found = one(x).float()
    return bool((found - right).norm() <= MOST_ERROR * right.norm())
