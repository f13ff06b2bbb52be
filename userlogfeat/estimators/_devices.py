"""Devices and precisions by name, and arrays on their way to a device and back."""

from __future__ import annotations

import os

import numpy as np

DEVICES = ("cpu", "cuda", "mps")


def _gpu_of_this_process():
    """The GPU in use; where torchrun started several processes here, each its own."""
    import torch

    place = os.environ.get("LOCAL_RANK", "")
    if place.isdecimal() and int(place) < torch.cuda.device_count():
        return torch.device("cuda", int(place))
    return torch.device("cuda")


def resolve_device(device):
    """The torch device that `device` means; "auto" is the GPU where there is one."""
    import torch

    if isinstance(device, str) and device == "auto":
        gpu = torch.cuda.is_available()
        return _gpu_of_this_process() if gpu else torch.device("cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f'Got device={device!r}, expected "auto", "cpu", "cuda" or a torch device.'
        ) from error
    try:
        if resolved.type not in DEVICES:
            raise RuntimeError(f"only {', '.join(DEVICES)} are supported")
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"Got device={device!r}, but torch finds no such device here ({reason}). "
            'Pass device="auto" or "cpu".'
        ) from error
    return resolved


def resolve_precision(precision, device):
    """The precision that "auto" means: bf16 on a GPU and fp32 elsewhere.

    Warns of bf16 on a processor that takes longer for it.
    """
    if precision == "fp32":
        return precision
    kind = resolve_device(device).type
    if precision == "auto":
        return "bf16" if kind == "cuda" else "fp32"
    if kind == "cpu":
        from userlogfeat.networks.bf16 import warn_where_slow  # needs torch

        warn_where_slow()
    return precision


def as_tensor(array):
    """A float32 tensor of an array, sharing its memory where torch may write to it."""
    import torch

    return torch.from_numpy(np.require(array, np.float32, ["C", "W"]))


def to_device(arrays, device):
    """Float32 tensors of arrays of any shapes, on a device.

    A GPU gets them in one piece, from memory that it reads by itself: the processor
    goes on meanwhile.
    """
    tensors = [as_tensor(array) for array in arrays]
    if device.type != "cuda":
        return [tensor.to(device) for tensor in tensors]
    return send_together(tensors, device, pinned=True)


def send_together(tensors, device, *, pinned):
    """Tensors on a device, views of a single one that was sent."""
    import torch

    sizes = [tensor.numel() for tensor in tensors]
    buffer = torch.empty(sum(sizes), pin_memory=pinned)
    for part, tensor in zip(buffer.split(sizes), tensors, strict=True):
        part.view_as(tensor).copy_(tensor)
    parts = buffer.to(device, non_blocking=True).split(sizes)
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def to_arrays(tensors):
    """Tensors of a layer, one per clip, as arrays: of a GPU in one transfer."""
    if tensors[0].device.type == "cpu":
        return [tensor.numpy() for tensor in tensors]
    return bring_together(tensors)


def bring_together(tensors):
    """Arrays of tensors that left their device in one piece."""
    import torch

    together = torch.cat([tensor.flatten() for tensor in tensors]).cpu()
    parts = together.split([tensor.numel() for tensor in tensors])
    return [p.view(t.shape).numpy() for p, t in zip(parts, tensors, strict=True)]
