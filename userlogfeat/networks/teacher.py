"""What a saved model is: front end, network and head in one torch module.

A teacher maps log-mel spectrograms of clips to named layers, one row a clip. Its
`embedding` layer is what the listening logs taught it.
"""

import torch
from torch import nn

from userlogfeat.networks.threads import map_threads

POOLINGS = ("mean", "max", "meanstd")
HEAD = ("head_input", "embedding")  # layers that have the pooling of the head


class PatchTeacher(nn.Module):
    """A network of fixed-length patches, pooled over the clip, and a head.

    Parameters
    ----------
    front_end : LogMelSpectrogram
        From waveforms to log-mel.
    trunk : Module
        ``trunk(frames, starts, layers)`` -> {layer: (patches, size)}, as
        :class:`userlogfeat.networks.musicnn.Musicnn`.
    patch_hop : int
        Frames between the starts of neighbouring patches.
    head : Module, optional
        From pooled features (clips, n_in) to the embedding (clips, n_out).
    head_layer : str
        The layer of the trunk that the head reads.
    head_pooling : {"mean", "max", "meanstd"}
        How that layer is pooled over the patches of a clip.
    """

    def __init__(
        self,
        front_end,
        trunk,
        *,
        patch_hop,
        head=None,
        head_layer="taggram",
        head_pooling="meanstd",
    ):
        super().__init__()
        if head_pooling not in POOLINGS or patch_hop < 1:
            raise ValueError(
                f"Got head_pooling={head_pooling!r} and patch_hop={patch_hop!r}, "
                f"expected one of {POOLINGS} and at least one frame."
            )
        self.front_end = front_end
        self.trunk = trunk
        self.patch_hop = patch_hop
        self.head = head
        self.head_layer = head_layer
        self.head_pooling = head_pooling

    @property
    def sample_rate(self):
        """Of the waveforms it hears, in Hz."""
        return self.front_end.front_end.sample_rate

    @property
    def min_samples(self):
        """Samples of the shortest clip that fills one patch."""
        return (self.trunk.n_frames - 1) * self.front_end.front_end.hop

    @property
    def n_bands(self):
        """Mel bands of the spectrograms it hears."""
        return self.trunk.n_bands

    @property
    def layer_sizes(self):
        """Size of every layer, by name."""
        sizes = dict(self.trunk.layer_sizes)
        if self.head is not None:
            sizes["embedding"] = self.head[-1].out_features
        return sizes

    def log_mel(self, waveforms):
        """Spectrograms of clips of any lengths: list of (bands, frames)."""
        return map_threads(
            lambda waveform: self.front_end(waveform[None])[0],
            waveforms,
            device=waveforms[0].device,
        )

    def forward(self, log_mels, layers=("embedding",), pooling="mean"):
        """Hear clips.

        Parameters
        ----------
        log_mels : list of Tensor (bands, frames)
            One a clip, of any number of frames.
        layers : sequence of str
            Which layers, in the order wanted; ``"head_input"`` is what the head reads.
        pooling : {"mean", "max", "meanstd", None}
            Over the patches of a clip (the embedding has its own). None keeps the
            patches apart.

        Returns
        -------
        dict of str to list of Tensor
            For each layer one tensor a clip: (size,), or (patches, size) with
            ``pooling=None``.
        """
        starts, n_patches, frames = lay_end_to_end(
            log_mels, self.trunk.n_frames, self.patch_hop
        )
        wanted = [self.head_layer if name in HEAD else name for name in layers]
        patches = {
            name: values.float().split(n_patches)
            for name, values in self.trunk(
                frames, starts, tuple(dict.fromkeys(wanted))
            ).items()
        }
        heard = {}
        for name in layers:
            of_head = name in HEAD
            values = [
                pool_patches(clip, self.head_pooling if of_head else pooling)
                for clip in patches[self.head_layer if of_head else name]
            ]
            if name == "embedding":
                values = list(self.head(torch.stack(values)))
            heard[name] = values
        return heard


def lay_end_to_end(log_mels, length, hop):
    """Join the frames of clips, and say where their patches start.

    A clip shorter than one patch is repeated to fill it; frames after the last whole
    patch are left out.

    Parameters
    ----------
    log_mels : list of Tensor (bands, frames)
        One a clip.
    length, hop : int
        Of and between patches, in frames.

    Returns
    -------
    starts : Tensor (patches,), int64
        First frame of each patch, counted over all clips.
    n_patches : list of int
        Patches of each clip, at least one.
    frames : Tensor (all frames, bands)
    """
    clips, starts, n_patches, offset = [], [], [], 0
    for log_mel in log_mels:
        n_frames = log_mel.shape[1]
        if n_frames < length:
            log_mel = log_mel.repeat(1, -(-length // n_frames))[:, :length]
            n_frames = length
        first = torch.arange(0, n_frames - length + 1, hop)
        starts.append(first + offset)
        n_patches.append(len(first))
        clips.append(log_mel.T)
        offset += n_frames
    return torch.cat(starts), n_patches, torch.cat(clips)


def pool_patches(patches, pooling):
    """One row a clip from the (patches, size) of its patches.

    ``"meanstd"`` is the mean and the population standard deviation, side by side;
    None returns the patches as they are.
    """
    if pooling is None:
        return patches
    if pooling == "mean":
        return patches.mean(0)
    if pooling == "max":
        return patches.amax(0)
    return torch.cat([patches.mean(0), patches.std(0, correction=0)])
