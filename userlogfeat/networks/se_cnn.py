"""The network of Lee, Lee, Park, Lee (2019): five blocks with squeeze-excitation.

"Enhancing music features by knowledge transfer from user-item log data", Table 1. It
is both the teacher, which estimates 40 collaborative-filtering factors, and the
student, with an output layer on the 40 units.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from userlogfeat._check import check_positive
from userlogfeat.networks.blocks import DoubleConv

# Lee et al. 2019, Table 1: bands and frames of the max-pooling after each block but the
# last, for an input of 96 bands and 1280 frames.
PAPER_POOLS = ((4, 5), (3, 4), (2, 4), (2, 4))


class SECNN(nn.Module):
    """The squeeze-excitation network on log-mel spectrograms.

    Parameters
    ----------
    n_outputs : int, optional
        Units of the output layer, of a student. None: the network ends with its
        embedding, as a teacher does.
    channels : int
        Maps of every convolution; 32, 64, 128 or 256 in the paper. The
        squeeze-excitation squeezes them to ``channels // 8`` units, and at least one.
    pools : sequence of (int, int)
        Bands and frames of the max-pooling after each block but the last: there is one
        block more than pools. Input of at least their products is needed: 48 bands and
        320 frames (7.5 s) for the paper's.
    n_units : int
        Units of the embedding; 40 in the paper.

    Examples
    --------
    >>> import torch
    >>> from userlogfeat.networks.se_cnn import SECNN
    >>> network = SECNN(n_outputs=10, channels=32)
    >>> embedding = network.penultimate(torch.zeros(2, 96, 1280))
    >>> embedding.shape, network.output(embedding).shape
    (torch.Size([2, 40]), torch.Size([2, 10]))
    """

    def __init__(
        self,
        n_outputs: int | None = None,
        *,
        channels: int = 64,
        pools: Sequence[tuple[int, int]] = PAPER_POOLS,
        n_units: int = 40,
    ) -> None:
        super().__init__()
        check_positive(channels, "channels", integer=True)
        check_positive(n_units, "n_units", integer=True)
        if n_outputs is not None:
            check_positive(n_outputs, "n_outputs", integer=True)
        self.pools = _check_pools(pools)
        self.blocks = nn.ModuleDict()
        for index in range(len(self.pools) + 1):
            n_inputs = 1 if index == 0 else channels
            self.blocks[f"block{index + 1}"] = DoubleConv(n_inputs, channels)
        self.embedding = nn.Linear(channels, n_units)
        self.output = None if n_outputs is None else nn.Linear(n_units, n_outputs)

    @property
    def min_bands(self) -> int:
        """The least number of bands that leaves one after all pools."""
        return prod(bands for bands, _ in self.pools)

    @property
    def min_frames(self) -> int:
        """The least number of frames that leaves one after all pools."""
        return prod(frames for _, frames in self.pools)

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Size of every layer, by name."""
        channels = self.embedding.in_features
        sizes = dict.fromkeys(self.blocks, channels)
        return sizes | {"embedding": self.embedding.out_features}

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (B, n_outputs), or the embedding (B, n_units) where there are none.

        Parameters
        ----------
        x : Tensor (B, F, T)
            Log-mel spectrograms.
        """
        h = self.penultimate(x)
        return h if self.output is None else self.output(h)

    def penultimate(self, x: Tensor) -> Tensor:
        """The embedding (B, n_units) of log-mel spectrograms (B, F, T).

        Raises
        ------
        ValueError
            Where `x` has not three axes, or fewer bands or frames than pools need.
        """
        *_, last = self._averages(x)
        return self.embedding(last)

    def layers(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Named layers, one row per clip.

        Parameters
        ----------
        x : Tensor (B, F, T)
            Log-mel spectrograms.
        names : sequence of str
            Out of `layer_sizes`: ``"block1"`` and so on are global averages of a
            block's output, before pooling; ``"embedding"`` is the penultimate layer.

        Returns
        -------
        dict of str to Tensor (B, size)
        """
        unknown = [name for name in names if name not in self.layer_sizes]
        if unknown or not names:
            raise ValueError(
                f"Got names={names!r}, expected some of {', '.join(self.layer_sizes)}."
            )
        layers = dict(zip(self.blocks, self._averages(x), strict=True))
        if "embedding" in names:
            layers["embedding"] = self.embedding(layers[list(self.blocks)[-1]])
        return {name: layers[name] for name in names}

    def _averages(self, x):
        """Global averages (B, channels) of every block's output, in a list."""
        self._check_input(x)
        maps = x[:, None].contiguous(memory_format=torch.channels_last)  # B, 1, F, T
        averages = []
        for block, pool in zip(self.blocks.values(), (*self.pools, None), strict=True):
            maps, average = block(maps, pool)
            averages.append(average)
        return averages

    def _check_input(self, x):
        if x.ndim != 3:
            raise ValueError(
                f"Got log-mel spectrograms of shape {tuple(x.shape)}, expected (clips, "
                "bands, frames)."
            )
        if x.shape[1] < self.min_bands or x.shape[2] < self.min_frames:
            raise ValueError(
                f"Got log-mel spectrograms of {x.shape[1]} bands and {x.shape[2]} "
                f"frames, expected at least {self.min_bands} bands and "
                f"{self.min_frames} frames: pools={self.pools} leave nothing of less. "
                "Pass longer clips, or smaller pools, such as "
                "pools=((4, 2), (3, 2), (2, 2), (2, 2))."
            )


def _check_pools(pools):
    """Pools as a tuple of pairs of int."""
    try:
        pairs = tuple((bands, frames) for bands, frames in pools)
        for size in (size for pair in pairs for size in pair):
            check_positive(size, "pools", integer=True)
    except (TypeError, ValueError):
        pairs = ()
    if not pairs:
        raise ValueError(
            f"Got pools={pools!r}, expected pairs of whole numbers from 1 on, one for "
            f"each block but the last, (bands, frames), such as {PAPER_POOLS}."
        )
    return tuple((int(bands), int(frames)) for bands, frames in pairs)
