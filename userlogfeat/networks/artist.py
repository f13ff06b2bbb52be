"""The network that is trained to recognise artists, and its features.

Park, Lee, Park, Ha, Nam (2018), "Representation learning of music using artist
labels", Table 1: one-dimensional convolutions over time, bands as maps; batch norm,
ReLU and max-pooling after each; from (128 bands, 129 frames) to 256 units, on which a
softmax over all artists stands while it learns. Afterwards the units are the features:
their mean over the patches of a clip, and its projection by a discriminant analysis.

Not stated: how the ends are padded. A convolution keeps the number of frames here, so
that 129 become 32, 8, 2 and 1. Nor where the dropout is: on the units, before the
softmax.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from userlogfeat.networks.conv1d import Contexts, Conv1dNetwork, encode_contexts
from userlogfeat.networks.data_parallel import all_gather

# Table 1: frames of the max-pooling after each convolution but the last, which are that
# convolution's width as well; maps; maps of the last, of width 1.
PAPER_POOLS = (4, 4, 4, 2)
PAPER_CHANNELS = 128
PAPER_UNITS = 256
PAPER_DROPOUT = 0.5  # stated


class ArtistCNN(Conv1dNetwork):
    """Five convolutions over time, from log-mel to the units below the softmax.

    Parameters
    ----------
    n_bands : int
        F, 128 in the paper.
    channels : int
        Maps of all convolutions but the last.
    pools : sequence of int
        Frames of the max-pooling after each convolution but the last, which is also
        that convolution's width. The last has width 1; where more than one frame is
        left, as in contexts longer than the paper's, the largest value counts.
    n_units : int
        Maps of the last.

    Attributes
    ----------
    mean, scale : Tensor (n_bands,)
        Statistics of each band, by which the input is standardised; 0 and 1 at first.

    Examples
    --------
    >>> import torch
    >>> from userlogfeat.networks.artist import ArtistCNN
    >>> ArtistCNN(128).eval().penultimate(torch.zeros(2, 128, 129)).shape  # 3 s
    torch.Size([2, 256])
    """

    def __init__(
        self,
        n_bands: int,
        *,
        channels: int = PAPER_CHANNELS,
        pools: Sequence[int] = PAPER_POOLS,
        n_units: int = PAPER_UNITS,
    ) -> None:
        super().__init__(n_bands, pools=pools, n_units=n_units)
        pools = (*self.pools, 1)
        inputs = [n_bands, *(channels for _ in self.pools)]
        outputs = [*(channels for _ in self.pools), n_units]
        # No biases: the batch norm after them would take them away again.
        self.convs = nn.ModuleList(
            nn.Conv1d(n_in, n_out, width, bias=False)
            for n_in, n_out, width in zip(inputs, outputs, pools, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(n_maps) for n_maps in outputs)

    def penultimate(self, x: Tensor) -> Tensor:
        """The units (B, n_units), not negative, of log-mel spectrograms (B, F, T).

        Raises
        ------
        ValueError
            Where `x` has not three axes, other bands, or fewer frames than pools need.
        """
        *_, last = self.stages(x)
        return last.amax(dim=2)

    def stages(self, x: Tensor) -> list[Tensor]:
        """The maps (B, channels, T) after every convolution: the rows of Table 1."""
        x, stages = self.standardise(x), []
        pools = (*self.pools, 1)
        for conv, norm, pool in zip(self.convs, self.norms, pools, strict=True):
            width = conv.kernel_size[0]
            x = norm(conv(F.pad(x, ((width - 1) // 2, width // 2))))
            # ReLU and max change places without a change: both keep order.
            x = F.max_pool1d(x, pool).relu()  # B, channels, T // pool
            stages.append(x)
        return stages


class ArtistSoftmax(nn.Module):
    """A network below a softmax over artists, as it is trained.

    Parameters
    ----------
    audio : Module
        ``penultimate(x)`` gives units (B, n_units).
    n_units, n_artists : int
        Sizes.
    dropout : float
        Share of the units that are left out of each step.
    """

    def __init__(
        self,
        audio: nn.Module,
        n_units: int,
        n_artists: int,
        *,
        dropout: float = PAPER_DROPOUT,
    ) -> None:
        super().__init__()
        self.audio = audio
        self.dropout = nn.Dropout(dropout)
        self.softmax = nn.Linear(n_units, n_artists)

    def units(self, x: Tensor) -> Tensor:
        """Units (B, n_units), float32, of inputs: those the dropout leaves."""
        return self.dropout(all_gather(self.audio.penultimate(x)).float())

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, n_artists) of inputs."""
        return self.softmax(self.units(x))


class DiscriminantContexts(Contexts):
    """A network of contexts, averaged over a clip, and a linear map after it.

    The contexts follow each other: see :func:`encode_contexts`.

    Parameters
    ----------
    network : Module
        ``penultimate(x)`` gives units (B, n_inner) of (B, F, n_frames).
    n_frames : int
        Frames of a context.
    n_inner, n_units : int
        Units of the network, and what the linear map makes of their mean.
    """

    def __init__(
        self, network: nn.Module, n_frames: int, *, n_inner: int, n_units: int
    ) -> None:
        super().__init__(network, n_frames)
        self.discriminant = nn.Linear(n_inner, n_units)

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Size of every layer, by name."""
        head = self.discriminant
        return {"context_mean": head.in_features, "embedding": head.out_features}

    def penultimate(self, x: Tensor) -> Tensor:
        """The embedding (B, n_units) of clips (B, F, T)."""
        return self.layers(x, ("embedding",))["embedding"]

    def layers(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Named layers of clips (B, F, T), one row per clip.

        ``"context_mean"`` is the mean of the units of all contexts, ``"embedding"`` its
        linear map.
        """
        contexts = encode_contexts(self.network, x, self.n_frames)
        layers = {"context_mean": contexts.mean(1)}
        if "embedding" in names:
            # In full precision: the map makes small differences of the means large.
            with torch.autocast(x.device.type, enabled=False):
                layers["embedding"] = self.discriminant(layers["context_mean"])
        return {name: layers[name] for name in names}
