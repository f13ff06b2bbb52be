"""The blocks of a network through ``torch.compile``: fewer passes over its maps.

Off unless asked for: compiling takes its time, again for every shape of the input, and
where it pays has not been measured yet (``benchmarks/gpu.py`` does both). With the
environment variable USERLOGFEAT_COMPILE=1 networks are compiled where they hear on a
GPU; on a CPU never, where our own loops do the same.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from userlogfeat.networks.blocks import DoubleConv

if TYPE_CHECKING:
    import torch
    from torch import nn


SWITCH = "USERLOGFEAT_COMPILE"


def compile_where_wanted(network: nn.Module, device: torch.device) -> None:
    """Compile a network's blocks where the environment asks for it, on a GPU.

    Parameters
    ----------
    network : Module
        Changed in place; its weights and names are not.
    device : torch.device
        Where it hears.
    """
    if device.type == "cuda" and os.environ.get(SWITCH) == "1":
        compile_blocks(network)


def compile_blocks(network: nn.Module, backend: str = "inductor") -> int:
    """Compile the blocks of a network, in place; those that are stay as they are.

    Parameters
    ----------
    network : Module
        Its modules of :class:`userlogfeat.networks.blocks.DoubleConv` are compiled at
        their next call.
    backend : str
        Of ``torch.compile``.

    Returns
    -------
    int
        How many blocks are compiled.
    """
    blocks = [block for block in network.modules() if isinstance(block, DoubleConv)]
    for block in blocks:
        if block._compiled_call_impl is None:
            block.compile(backend=backend, dynamic=False)
    return len(blocks)
