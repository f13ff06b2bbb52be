"""Two convolutions and a squeeze-excitation: the block that `SECNN` repeats.

After Lee, Lee, Park, Lee (2019), "Enhancing music features by knowledge transfer from
user-item log data", Table 1 (``double_conv``), and Hu, Shen, Sun (2018),
"Squeeze-and-excitation networks".
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from userlogfeat.networks.data_parallel import all_mean, update_running
from userlogfeat.networks.tiled_convolutions import Moments, PooledConvolutions

SQUEEZE_RATIO = 8  # Lee et al. 2019, Table 1


class SqueezeExcitation(nn.Module):
    """How much of each channel to let through, from the channels' global averages.

    s = sigmoid(V relu(U m + u) + v), with m the averages (Hu et al. 2018, eq. 3).

    Parameters
    ----------
    channels : int
        C. U has an eighth as many rows, rounded down, and at least one.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(1, channels // SQUEEZE_RATIO)
        self.squeeze = nn.Linear(channels, width)
        self.expand = nn.Linear(width, channels)

    def forward(self, averages: Tensor) -> Tensor:
        """Factors (B, C) between 0 and 1, for averages (B, C)."""
        return self.expand(self.squeeze(averages).relu()).sigmoid()


class DoubleConv(nn.Module):
    """Twice batch norm, ReLU and a 3 x 3 convolution, then squeeze-excitation.

    The first convolution has no bias, since the batch norm after it would take it away
    again; the paper does not say.

    Parameters
    ----------
    n_inputs, channels : int
        Maps coming in, and going out of both convolutions.
    """

    def __init__(self, n_inputs: int, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(n_inputs)
        self.conv1 = nn.Conv2d(n_inputs, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.excitation = SqueezeExcitation(channels)

    def forward(
        self, x: Tensor, pool: tuple[int, int] | None = None
    ) -> tuple[Tensor | None, Tensor]:
        """The block's maps after max-pooling, and their averages before it.

        The factors s of the squeeze-excitation are the same everywhere in a map, and
        not negative. So mean(s y) = s mean(y), where mean(y) is what they were made
        from, and max(s y) = s max(y): only the pooled maps are multiplied.

        Parameters
        ----------
        x : Tensor (B, n_inputs, F, T)
        pool : (int, int), optional
            Bands and frames of the max-pooling; None where the maps are not needed.

        Returns
        -------
        maps : Tensor (B, channels, F // pool[0], T // pool[1]) or None
        averages : Tensor (B, channels)
            Global averages of the block's output, before pooling.
        """
        x = self.norm1(x).relu()
        tracing = torch.compiler.is_compiling() or torch.jit.is_tracing()
        tiled = x.shape[1] == 1 and x.device.type == "cpu" and pool is not None
        if tiled and not tracing:
            maps, averages = self._convolve_pieces(x[:, 0], pool)
        else:
            if x.shape[1] == 1:  # strides of channels last: else they would be a guess
                x = x[:, 0, :, :, None].movedim(3, 1)
            y = self.conv2(self._convolve_first(x))
            averages = y.mean((2, 3))
            maps = None if pool is None else F.max_pool2d(y, pool)
        factors = self.excitation(averages)
        if pool is not None:
            maps = maps * factors.to(maps.dtype)[:, :, None, None]
        return maps, factors * averages

    def _convolve_first(self, x):
        """Maps between the convolutions; a norm that only scales is in the first."""
        norm = self.norm2
        if self.training:
            return norm(self.conv1(x)).relu()
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        filters = self.conv1.weight * scale[:, None, None, None]
        bias = norm.bias - norm.running_mean * scale
        return F.conv2d(x, filters, bias, padding=1).relu_()

    def _convolve_pieces(self, x, pool):
        """Pooled maps and averages of y for x (B, F, T): see `tiled_convolutions`."""
        filters = self.conv1.weight.flatten(1)  # C, 9
        norm = self.norm2
        if self.training:
            moments, n = all_mean(Moments.apply(x), x.numel())
            centre = moments[-1, :-1]
            spread = moments[:-1, :-1] - centre[:, None] * centre
            wide = filters.double()
            mean = (wide @ centre).to(filters.dtype)
            variance = ((wide @ spread) * wide).sum(1).to(filters.dtype)
            update_running(norm, mean, variance, n)
        else:
            mean, variance = norm.running_mean, norm.running_var
        scale = norm.weight / (variance + norm.eps).sqrt()
        first = torch.cat(
            [filters * scale[:, None], (norm.bias - mean * scale)[:, None]], dim=1
        )
        dtype = x.dtype
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
        bias = self.conv2.bias
        maps, averages = PooledConvolutions.apply(
            x, first, self.conv2.weight, pool, dtype
        )
        return maps + bias.to(dtype)[:, None, None], averages + bias
