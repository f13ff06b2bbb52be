"""An encoder for X-ARES, the extensive audio representation evaluation suite.

Its configuration files name a class and no arguments::

    python -m xares.run my_encoder.py src/tasks/*.py

where ``my_encoder.py`` says ``from userlogfeat.export.xares import UserLogEncoder``, or
derives a class from it whose ``__init__`` names other weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from userlogfeat._check import check_positive
from userlogfeat._typing import PathLike
from userlogfeat.export.windows import WindowedModel

if TYPE_CHECKING:
    from torch import Tensor


class UserLogEncoder(WindowedModel):
    """A saved model that gives frames of waveforms at 16 kHz.

    Parameters
    ----------
    weights : str or Path
        Name or folder of a saved model, which must read 16 kHz: X-ARES resamples to
        that rate alone.
    layer : str, sequence of str or None
        See :class:`~userlogfeat.export.windows.WindowedModel`.
    hop : float
        Seconds from one frame to the next.

    Attributes
    ----------
    sampling_rate, output_dim : int
        In Hz, and columns of a frame.
    hop_size_in_ms : float
        From one frame to the next.
    """

    def __init__(
        self,
        weights: PathLike = "lastfm-mpd-musicnn",
        *,
        layer: str | Sequence[str] | None = None,
        hop: float = 0.5,
    ) -> None:
        super().__init__(weights, layer=layer)
        check_positive(hop, "hop")
        if hop * self.sample_rate < 1:
            raise ValueError(
                f"Got hop={hop!r} s, expected a sample at least: 1/{self.sample_rate}."
            )
        if self.sample_rate != 16000:
            raise ValueError(
                f"Model {str(weights)!r} reads {self.sample_rate} Hz, but X-ARES gives "
                "16000 Hz. Train it with a front end of that rate, such as 'lee2019'."
            )
        self.sampling_rate = self.sample_rate
        self.output_dim = self.size
        self.hop_size_in_ms = 1000 * hop

    def forward(self, waveforms: Tensor) -> Tensor:
        """Frames (clips, frames, output_dim) of waveforms (clips, samples), or (n,)."""
        if waveforms.ndim == 1:
            waveforms = waveforms[None]
        return self.windows(waveforms, self.hop_size_in_ms / 1000)[0]
