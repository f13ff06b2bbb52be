"""Base of the networks that convolve over time, with bands as channels.

Bands are standardised first. Convolutions and max-pooling shorten a context until a few
frames or one are left.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

MOST_CONTEXTS = 1024  # encoded at a time: a few hundred MB, for clips of any length


class Conv1dNetwork(nn.Module):
    """Base of networks of one context, from log-mel to units.

    A subclass has ``penultimate(x)``, which begins with ``self.standardise(x)``.

    Parameters
    ----------
    n_bands : int
        F, mel bands.
    pools : sequence of int
        Frames of the max-pooling after each convolution but the last.
    n_units : int
        Size of the output.

    Attributes
    ----------
    mean, scale : Tensor (n_bands,)
        Statistics of each band, by which the input is standardised; 0 and 1 at first.
    """

    def __init__(self, n_bands: int, *, pools: Sequence[int], n_units: int) -> None:
        super().__init__()
        self.pools = tuple(pools)
        self.n_units = n_units
        self.register_buffer("mean", torch.zeros(n_bands))
        self.register_buffer("scale", torch.ones(n_bands))

    @property
    def min_frames(self) -> int:
        """A number of frames that leaves one after all pools."""
        return prod(self.pools)

    def standardise(self, x: Tensor) -> Tensor:
        """Log-mel (B, F, T) by the mean and the deviation of every band.

        Raises
        ------
        ValueError
            Where `x` has not three axes, other bands, or fewer frames than pools need.
        """
        self._check_input(x)
        return (x - self.mean[:, None]) / self.scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """Units (B, n_units) of log-mel spectrograms (B, F, T)."""
        return self.penultimate(x)

    def _check_input(self, x):
        n_bands = len(self.mean)
        if x.ndim != 3 or x.shape[1] != n_bands or x.shape[2] < self.min_frames:
            raise ValueError(
                f"Got log-mel spectrograms of shape {tuple(x.shape)}, expected (clips, "
                f"{n_bands} bands, {self.min_frames} frames or more): "
                f"pools={self.pools} leave nothing of less. Pass a longer context. "
                "Or pass smaller ones, such as pools=(4, 2, 2, 2)."
            )


class Contexts(nn.Module):
    """Base of networks of whole clips, which apply a network to each context.

    Parameters
    ----------
    network : Module
        ``penultimate(x)`` gives embeddings of (B, F, n_frames).
    n_frames : int
        Frames of a context.
    """

    def __init__(self, network: nn.Module, n_frames: int) -> None:
        super().__init__()
        self.network = network
        self.n_frames = n_frames
        self.output = None

    @property
    def min_frames(self) -> int:
        """Frames of one context."""
        return self.n_frames


def encode_contexts(network: nn.Module, x: Tensor, n_frames: int) -> Tensor:
    """Apply a network to every context of clips.

    The contexts follow each other without overlap from the clip's beginning; frames
    after the last whole one are left out, and a clip shorter than one is repeated to
    fill it.

    Parameters
    ----------
    network : Module
        ``penultimate(x)`` gives units (B, n_units) of (B, F, n_frames).
    x : Tensor (B, F, T)
        Clips of any length.
    n_frames : int
        Frames of a context.

    Returns
    -------
    Tensor (B, P, n_units), float32
        P contexts a clip.
    """
    if x.shape[2] < n_frames:
        x = x.repeat(1, 1, -(-n_frames // x.shape[2]))[:, :, :n_frames]
    n_clips, n_bands = x.shape[:2]
    # B clips, P contexts: context p of clip b becomes row b P + p.
    contexts = x.unfold(2, n_frames, n_frames).transpose(1, 2)  # B, P, F, n_frames
    n_contexts = contexts.shape[1]
    contexts = contexts.reshape(n_clips * n_contexts, n_bands, n_frames)
    if network.training:  # all at once: batch norm takes its moments over the batch
        units = network.penultimate(contexts).float()
    else:
        parts = contexts.split(MOST_CONTEXTS)
        units = torch.cat([network.penultimate(part).float() for part in parts])
    return units.reshape(n_clips, n_contexts, units.shape[1])
