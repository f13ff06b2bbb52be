"""The audio branch of metric learning with listeners, and the users it is set beside.

Chen, Liang, Ma, Gu (2021), "Learning audio embeddings with user listening data for
content-based music recommendation": the same network embeds the liked and the disliked
clips of a user (siamese), and the cosine between its embedding and the user's is the
relevance.

Stated there: five convolutions with max-pooling, ReLU after all but the last, 40
outputs, and "the architecture in" the deep content-user embedding. Not stated: sizes.
Taken from that model (Lee, Lee, Park, Park, Nam 2018) and its relatives by the same
authors (Park, Lee, Park, Ha, Nam 2018): one-dimensional convolutions over time, bands
as maps; widths 4, 4, 4, 2, 1, pooled by 4, 4, 4, 2 and over what is left; 128 maps.
The bands are standardised first, as there. Batch norm before every ReLU, which is not
stated either, is left out: on the planted corpus it ranked no better and took longer.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from userlogfeat.networks.conv1d import Contexts, Conv1dNetwork, encode_contexts
from userlogfeat.networks.data_parallel import all_gather

# Frames of the max-pooling after each convolution but the last, and the convolutions'
# widths: not stated in the paper, see above. 3 s have 130 frames, of which one is left.
PAPER_POOLS = (4, 4, 4, 2)
PAPER_CHANNELS = 128  # not stated
PAPER_UNITS = 40  # stated

# Users' rows begin between -0.05 and 0.05 (not stated; what Keras does). They are short
# then, and turn easily: a step changes the direction of a row by 1 / its length.
LOOKUP_RANGE = 0.05


class MetricCNN(Conv1dNetwork):
    """Five convolutions over time with max-pooling, from log-mel to an embedding.

    Parameters
    ----------
    n_bands : int
        F, 128 in the paper.
    channels : int
        Maps of all convolutions but the last.
    pools : sequence of int
        Frames of the max-pooling after each convolution but the last, which is also
        that convolution's width. The last has width 1 and is pooled over all time.
    n_units : int
        Size of the embedding.

    Attributes
    ----------
    mean, scale : Tensor (n_bands,)
        Statistics of each band, by which the input is standardised; 0 and 1 at first.

    Examples
    --------
    >>> import torch
    >>> from userlogfeat.networks.metric import MetricCNN
    >>> MetricCNN(128).penultimate(torch.zeros(2, 128, 130)).shape  # 3 s
    torch.Size([2, 40])
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
        sizes = [n_bands, *(channels for _ in self.pools)]
        self.convs = nn.ModuleList(
            nn.Conv1d(n_inputs, channels, width, padding=width // 2)
            for n_inputs, width in zip(sizes, self.pools, strict=False)
        )
        self.last = nn.Conv1d(sizes[-1], n_units, 1)

    def penultimate(self, x: Tensor) -> Tensor:
        """The embedding (B, n_units) of log-mel spectrograms (B, F, T).

        Raises
        ------
        ValueError
            Where `x` has not three axes, other bands, or fewer frames than pools need.
        """
        x = self.standardise(x)
        for conv, pool in zip(self.convs, self.pools, strict=True):
            # ReLU and max change places without a change: both keep order.
            x = F.max_pool1d(conv(x), pool).relu()  # B, channels, T // pool
        return self.last(x).amax(dim=2)


class ContextMean(Contexts):
    """A network of contexts of one length, applied to clips of any length.

    The contexts follow each other: see :func:`encode_contexts`. Embeddings are brought
    to unit length before they are averaged, so that every context has equal weight in
    the direction, and the mean is as long as they agree.

    Parameters
    ----------
    network : Module
        ``penultimate(x)`` gives embeddings (B, n_units) of (B, F, n_frames).
    n_frames : int
        Frames of a context.
    """

    def penultimate(self, x: Tensor) -> Tensor:
        """The embedding (B, n_units), at most of length 1, of clips (B, F, T)."""
        units = encode_contexts(self.network, x, self.n_frames)  # B, P, n_units
        return F.normalize(units, dim=2).mean(dim=1)


class ListenersAndAudio(nn.Module):
    """An audio network beside its users, as it is trained.

    Parameters
    ----------
    audio : Module
        ``penultimate(x)`` gives embeddings of clips (n_clips, n_units).
    users : Tensor (n_users, n_units) or int
        Embeddings of the users, which stay as they are; or how many users there are,
        whose embeddings are learned as well (a lookup table).
    n_units : int
        Size of the embeddings of a lookup table.
    """

    def __init__(
        self, audio: nn.Module, users: Tensor, n_units: int = PAPER_UNITS
    ) -> None:
        super().__init__()
        self.audio = audio
        if isinstance(users, int):
            start = torch.empty(users, n_units).uniform_(-LOOKUP_RANGE, LOOKUP_RANGE)
            self.users = nn.Parameter(start)
        else:
            # Not in the state dict: what does not change need not be kept every epoch.
            self.register_buffer("users", users, persistent=False)

    def relevance(self, clips: Tensor, users: Tensor, places: Tensor) -> Tensor:
        """Cosines between users and clips.

        Parameters
        ----------
        clips : Tensor (n_clips, ...)
            Inputs of the audio network.
        users : Tensor (B,)
            Rows of the users.
        places : Tensor (B, n)
            Which of the clips.

        Returns
        -------
        Tensor (B, n)
            Between -1 and 1; 0 for a user or a clip of length 0.
        """
        embeddings = all_gather(self.audio.penultimate(clips)).float()
        of_clips = embeddings[places]  # B, n, n_units
        return F.cosine_similarity(self.users[users][:, None], of_clips, dim=2)
