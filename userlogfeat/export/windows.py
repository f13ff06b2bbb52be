"""A saved model over the windows of a waveform: what benchmarks of others ask for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from userlogfeat._typing import PathLike
from userlogfeat.weights import load_model

if TYPE_CHECKING:
    from torch import Tensor


DEFAULT_LAYERS = ("max_pool", "embedding")
WINDOW = 1.0  # s at least, of encoders that read waveforms
BLOCK_WINDOWS = 64  # encoded at a time


class WindowedModel(nn.Module):
    """A saved model that embeds batches of waveforms, whole or in windows.

    Parameters
    ----------
    weights : str or Path
        Name or folder of a saved model.
    layer : str, sequence of str or None
        Layers, side by side and scaled as :class:`UserLogEmbedder` does. None is
        ``("max_pool", "embedding")``, those of the two that the model has.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    size : int
        Columns of an embedding.
    window : int, in samples
        Length of what is read around a time.
    """

    def __init__(
        self, weights: PathLike, *, layer: str | Sequence[str] | None = None
    ) -> None:
        super().__init__()
        saved = load_model(weights)
        encoder = getattr(saved.network, "encoder", None)
        front_end = getattr(saved.network, "front_end", None)
        if encoder is None and front_end is None:
            raise ValueError(
                f"Model {str(weights)!r} reads arrays of other makings, no audio, so "
                "benchmarks of audio cannot use it."
            )
        sizes = saved.layer_sizes
        if layer is None:
            layer = [n for n in DEFAULT_LAYERS if n in sizes] or [list(sizes)[-1]]
        self.layers = (layer,) if isinstance(layer, str) else tuple(layer)
        unknown = [name for name in self.layers if name not in sizes]
        if unknown:
            raise ValueError(f"Got layer={layer!r}, expected some of {list(sizes)}.")
        self.network = copy.deepcopy(saved.network)  # of this object, on its device
        self.scales = [saved.layer_scales[name] for name in self.layers]
        self.sample_rate = self.network.sample_rate
        self.window = self.network.min_samples
        if front_end is None:  # what it could read at least is a frame or less
            self.window = max(self.window, round(WINDOW * self.sample_rate))
        self.size = sum(sizes[name] for name in self.layers)

    @torch.no_grad()
    def embed(self, waveforms: Tensor) -> Tensor:
        """Embeddings (clips, size) of waveforms (clips, samples)."""
        least = self.network.min_samples
        n_samples = waveforms.shape[1]
        if n_samples < least:
            waveforms = waveforms.repeat(1, -(-least // n_samples))[:, :least]
        found = self.network(list(waveforms.float()), layers=self.layers)
        parts = [
            torch.stack(list(found[name])) * scale
            for name, scale in zip(self.layers, self.scales, strict=True)
        ]
        return torch.cat(parts, dim=1)

    @torch.no_grad()
    def windows(self, waveforms: Tensor, hop: float) -> tuple[Tensor, Tensor]:
        """Embed short windows around regular times: the shortest that the model reads.

        On an encoder of waveforms, which could read single frames, they last 1 s.

        Parameters
        ----------
        waveforms : Tensor (clips, samples)
        hop : float
            Seconds from one time to the next. Each window's place is rounded by
            itself, so that rounding does not add up.

        Returns
        -------
        embeddings : Tensor (clips, times, size)
        times : Tensor (times,)
            Centres of the windows, in s, from 0 on. Beyond the ends are zeros.
        """
        length, n_samples = self.window, waveforms.shape[1]
        n_times = int(n_samples / self.sample_rate / hop + 1e-9) + 1
        times = torch.arange(n_times, dtype=torch.float64) * hop
        starts = (times * self.sample_rate).round().long()
        padded = F.pad(waveforms, (length // 2, length))
        rows = []
        for clip in padded:
            parts = [
                self.embed(torch.stack([clip[s : s + length] for s in block.tolist()]))
                for block in starts.split(BLOCK_WINDOWS)
            ]
            rows.append(torch.cat(parts))
        return torch.stack(rows), times
