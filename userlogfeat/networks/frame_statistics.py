"""Statistics of frames over windows of time, and a linear map of frames below them.

Hamel, Davies, Yoshii, Goto (2013), "Transfer learning in MIR": frames, or what a linear
map makes of them, are aggregated over windows of 64 frames by their mean, variance,
maximum and minimum.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.teacher import add_output, pool_frames, to_log_mels

# Stated, in this order.
Statistic: TypeAlias = Literal["mean", "var", "max", "min"]
STATISTICS: tuple[Statistic, ...] = ("mean", "var", "max", "min")
WINDOW = 64  # frames; stated


class WindowStatistics(nn.Module):
    """Statistics of every unit over windows of frames.

    Windows follow each other from the clip's first frame. Frames after the last whole
    window are left out, and a clip shorter than one is repeated to fill it.

    Parameters
    ----------
    window : int or None
        Frames of a window; None takes the whole clip as one.
    hop : int or None
        Frames between the starts of windows; None is `window`: no overlap.
    statistics : sequence of {"mean", "var", "max", "min"}
        Which, side by side in this order. The variance is the population's.

    Examples
    --------
    >>> import torch
    >>> from userlogfeat.networks.frame_statistics import WindowStatistics
    >>> frames = torch.tensor([[1.0, 3.0, 5.0, 5.0, 9.0]])  # one unit, five frames
    >>> WindowStatistics(window=2)(frames)
    tensor([[2., 1., 3., 1.],
            [5., 0., 5., 5.]])
    """

    def __init__(
        self,
        window: int | None = WINDOW,
        hop: int | None = None,
        statistics: Sequence[Statistic] = STATISTICS,
    ) -> None:
        super().__init__()
        self.window = window
        self.hop = window if hop is None else hop
        self.statistics = tuple(statistics)

    def forward(self, frames: Tensor) -> Tensor:
        """Statistics of one clip.

        Parameters
        ----------
        frames : Tensor (n_units, T)
            T frames, at least one.

        Returns
        -------
        Tensor (n_windows, len(statistics) * n_units)
        """
        length = self.window
        if length is None:
            length = frames.shape[1]
        elif frames.shape[1] < length:
            frames = frames.repeat(1, -(-length // frames.shape[1]))[:, :length]
        windows = frames.unfold(1, length, self.hop or length)  # units, windows, length
        rows = [_STATISTICS[name](windows).T for name in self.statistics]
        return torch.cat(rows, dim=1)


_STATISTICS = {
    "mean": lambda windows: windows.mean(dim=2),
    "var": lambda windows: windows.var(dim=2, correction=0),
    "max": lambda windows: windows.amax(dim=2),
    "min": lambda windows: windows.amin(dim=2),
}


class FrameTeacher(nn.Module):
    """Frames, as they are and mapped linearly, and their statistics over windows.

    Parameters
    ----------
    front_end : LogMelSpectrogram or None
        From waveforms to log-mel; None where the frames are of another making.
    n_bands : int
        F, units of a frame.
    statistics : WindowStatistics
        Statistics of the frames, and of their embeddings.
    pooling : {"mean", "max", "meanstd", None}
        How the windows of a clip become one row; None keeps them apart.
    n_components : int, optional
        D of the map of frames; without, there is only the layer ``"base"``.
    n_labels : int, optional
        Rows of the map of labels.

    Attributes
    ----------
    features : Linear or None
        The map of frames, from raw ones.
    labels : Linear or None
        The map of labels: from an embedded frame to its affinity to each.
    any_length : bool
        True: a clip that fills one window is not filled up any further.
    """

    any_length = True

    def __init__(
        self,
        front_end: LogMelSpectrogram | None,
        n_bands: int,
        *,
        statistics: WindowStatistics,
        pooling: Literal["mean", "max", "meanstd"] | None = "mean",
        n_components: int | None = None,
        n_labels: int | None = None,
    ) -> None:
        super().__init__()
        self.front_end = front_end
        self.n_bands = n_bands
        self.statistics = statistics
        self.pooling = pooling
        self.features = n_components and nn.Linear(n_bands, n_components)
        self.labels = n_labels and nn.Linear(n_components, n_labels, bias=False)
        self.output = None

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveforms it reads, in Hz."""
        if self.front_end is None:
            raise ValueError(
                f"This model was fitted on frames of your own making ({self.n_bands} "
                "units) and has no front end: pass X as a 3-D array of such frames "
                "(clips, units, frames), not as paths or waveforms."
            )
        return self.front_end.front_end.sample_rate

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip that fills one window."""
        settings = self.front_end.front_end
        return (self.n_frames - 1 + settings.drop_last) * settings.hop + 1

    @property
    def n_frames(self) -> int:
        """Frames of the shortest clip that fills one window."""
        return self.statistics.window or 1

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Size of every layer, by name."""
        n = len(self.statistics.statistics) * (2 if self.pooling == "meanstd" else 1)
        sizes = {"base": n * self.n_bands}
        if self.features is not None:
            sizes["embedding"] = n * self.features.out_features
        if self.labels is not None:
            sizes["affinity"] = self.labels.out_features
        return sizes

    def forward(
        self, clips: Sequence[Tensor], layers: Sequence[str] = ("embedding",)
    ) -> dict[str, list[Tensor]]:
        """Layers of clips, each by itself.

        Parameters
        ----------
        clips : list of Tensor (n_samples,), or (bands, frames)
            Waveforms or spectrograms of any lengths.
        layers : sequence of str
            Which layers, in the order wanted: ``"base"``, statistics of the frames;
            ``"embedding"``, those of the embedded frames; ``"affinity"`` of the mean
            embedded frame to each label; ``"output"`` of a student.

        Returns
        -------
        dict of str to list of Tensor
            For each layer one tensor per clip: (size,), or (n_windows, size) with
            ``pooling=None``.
        """
        if "output" in layers:
            return add_output(self, clips, layers)
        rows = {name: [] for name in layers}
        for log_mel in to_log_mels(self.front_end, clips):
            frames = log_mel.float()
            embedded = None if self.features is None else self.features(frames.T).T
            for name in layers:
                rows[name].append(self._layer(name, frames, embedded))
        return rows

    def _layer(self, name, frames, embedded):
        if name == "affinity":
            # The mean of the frames' affinities is that of the mean frame.
            windows = self.statistics.window, self.statistics.hop
            means = WindowStatistics(*windows, ("mean",))(embedded)
            return self.labels(means.mean(0))
        windows = self.statistics(frames if name == "base" else embedded)
        return pool_frames(windows, self.pooling)
