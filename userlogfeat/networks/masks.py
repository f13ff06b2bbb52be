"""SpecAugment: a band of frequencies and a span of time of each clip are hidden.

Park et al. 2019, "SpecAugment: a simple data augmentation method for automatic speech
recognition", section 2, without its time warping. The masks are torchaudio's
(``FrequencyMasking`` and ``TimeMasking``, with ``iid_masks``) for the same state of the
random generator.
"""

from typing import Literal

import torch
from torch import Tensor, nn


class SpecAugment(nn.Module):
    """Set a band of frequencies and a span of time to 0, others for each clip.

    Parameters
    ----------
    freq_mask, time_mask : int
        The most bands and frames to hide; 0: none.

    Shape
        (clips, bands, frames) in and out.
    """

    def __init__(self, freq_mask: int = 0, time_mask: int = 0) -> None:
        super().__init__()
        self.freq_mask = freq_mask
        self.time_mask = time_mask

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return hide(hide(x, self.freq_mask, axis=1), self.time_mask, axis=2)


def hide(x: Tensor, most: int, *, axis: Literal[1, 2]) -> Tensor:
    """Set one run of neighbours along an axis to 0, another for each clip.

    The length of a run is drawn from [0, `most`), its begin from what leaves room for
    it. Fractions are dropped after both draws, so the last place is never hidden.

    Parameters
    ----------
    x : Tensor (clips, bands, frames)
    most : int
        0 draws no random numbers.
    axis : {1, 2}
        Bands or frames.

    Returns
    -------
    Tensor (clips, bands, frames)
    """
    if most < 1:
        return x
    n_clips, size = x.shape[0], x.shape[axis]
    length = torch.rand(n_clips, device=x.device) * most
    start = torch.rand(n_clips, device=x.device) * (size - length)
    start, length = start.long()[:, None], length.long()[:, None]
    place = torch.arange(size, device=x.device)
    hidden = (place >= start) & (place < start + length)  # clips, size
    return x.masked_fill(hidden.unsqueeze(3 - axis), 0)
