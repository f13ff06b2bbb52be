"""What a saved model is: front end, network and head in one torch module.

A teacher maps log-mel spectrograms of clips to named layers, one row a clip. Its
`embedding` layer is what the listening logs taught it. A student is a teacher with an
`output` layer on its embedding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from userlogfeat._threads import limit_torch, n_cores
from userlogfeat.networks.threads import map_threads

if TYPE_CHECKING:
    from torch import Tensor

    from userlogfeat.networks.mel import LogMelSpectrogram
    from userlogfeat.networks.mlp import FeatureTeacher


POOLINGS = ("mean", "max", "meanstd")
HEAD = ("head_input", "embedding")  # layers that have the pooling of the head
BLOCK_VALUES = 1 << 17  # of spectrograms that a thread reads at once: 30 s


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
        front_end: LogMelSpectrogram,
        trunk: nn.Module,
        *,
        patch_hop: int,
        head: nn.Module | None = None,
        head_layer: str = "taggram",
        head_pooling: Literal["mean", "max", "meanstd"] = "meanstd",
    ) -> None:
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
        self.output = None

    @property
    def sample_rate(self) -> int:
        """Of the waveforms it hears, in Hz."""
        return self.front_end.front_end.sample_rate

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip that fills one patch."""
        return (self.trunk.n_frames - 1) * self.front_end.front_end.hop

    @property
    def n_bands(self) -> int:
        """Mel bands of the spectrograms it hears."""
        return self.trunk.n_bands

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Size of every layer, by name."""
        sizes = dict(self.trunk.layer_sizes)
        if self.head is not None:
            sizes["embedding"] = self.head[-1].out_features
        return sizes

    def log_mel(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Spectrograms of clips of any lengths: list of (bands, frames)."""
        if waveforms[0].device.type != "cpu":
            return hear_together(self.front_end, waveforms)
        return map_threads(
            lambda waveform: self.front_end(waveform[None])[0],
            waveforms,
            device=waveforms[0].device,
        )

    def forward(
        self,
        log_mels: list[Tensor],
        layers: Sequence[str] = ("embedding",),
        pooling: Literal["mean", "max", "meanstd"] | None = "mean",
    ) -> dict[str, list[Tensor]]:
        """Hear clips.

        Parameters
        ----------
        log_mels : list of Tensor (bands, frames)
            One a clip, of any number of frames.
        layers : sequence of str
            Which layers, in the order wanted; ``"head_input"`` is what the head reads,
            and ``"output"`` that of a student.
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
        if "output" in layers:
            return add_output(self, log_mels, layers, pooling=pooling)
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


class SpectrogramTeacher(nn.Module):
    """A network that hears whole spectrograms.

    Parameters
    ----------
    network : Module
        ``penultimate(x)`` gives the embedding (clips, n_units) of (clips, bands,
        frames); where it has ``layers(x, names)``, those layers as well.
    front_end : LogMelSpectrogram or None
        From waveforms to log-mel; None where it was taught by spectrograms of others.
    n_bands, n_frames : int
        Of the spectrograms it was taught by.
    n_units : int
        Size of the embedding.
    precision : {"fp32", "bf16"}
        Of convolutions and matrix products.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        front_end: LogMelSpectrogram | None,
        n_bands: int,
        n_frames: int,
        n_units: int,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        super().__init__()
        self.network = network
        self.front_end = front_end
        self.n_bands = n_bands
        self.n_frames = n_frames
        self.n_units = n_units
        self.precision = precision

    @property
    def sample_rate(self) -> int:
        """Of the waveforms it hears, in Hz."""
        if self.front_end is None:
            raise ValueError(
                "This model was taught by log-mel spectrograms of your own making "
                f"({self.n_bands} bands) and has no front end: pass X as a 3-D array "
                "of such spectrograms, not as paths or waveforms."
            )
        return self.front_end.front_end.sample_rate

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip it can hear."""
        n_frames = getattr(self.network, "min_frames", 1)
        settings = self.front_end.front_end
        return (n_frames - 1 + settings.drop_last) * settings.hop

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Size of every layer, by name."""
        default = {"embedding": self.n_units}
        return dict(getattr(self.network, "layer_sizes", default))

    def log_mel(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Spectrograms of clips of any lengths: list of (bands, frames)."""
        if waveforms[0].device.type != "cpu":
            return hear_together(self.front_end, waveforms)
        return map_threads(
            lambda waveform: self.front_end(waveform[None])[0],
            waveforms,
            device=waveforms[0].device,
        )

    def forward(
        self, log_mels: list[Tensor], layers: Sequence[str] = ("embedding",)
    ) -> dict[str, list[Tensor]]:
        """Hear clips.

        Parameters
        ----------
        log_mels : list of Tensor (bands, frames)
            One a clip; those of one length are heard together.
        layers : sequence of str
            Which layers, in the order wanted; ``"output"`` is that of a student.

        Returns
        -------
        dict of str to list of Tensor (size,)
            For each layer one tensor a clip.
        """
        if "output" in layers:
            return add_output(self, log_mels, layers)
        heard = {name: [None] * len(log_mels) for name in layers}
        for rows in rows_of_one_length(log_mels):
            x = torch.stack([log_mels[i] for i in rows])  # B, F, T
            for name, values in self._read(x, layers).items():
                for row, value in zip(rows, values.float(), strict=True):
                    heard[name][row] = value
        return heard

    def output(self, embedding: Tensor) -> Tensor:
        """Output of a student (clips, n_outputs) for embeddings (clips, n_units)."""
        return self.network.output(embedding)

    def _read(self, x, layers):
        """Layers of clips of one length, a block of them in each thread of a CPU."""
        if not hasattr(self.network, "layers"):  # of a user: unknown to threads
            with limit_torch(n_cores()), self._autocast(x):
                return {"embedding": self.network.penultimate(x)}
        if x.device.type != "cpu":
            with self._autocast(x):
                return self.network.layers(x, layers)
        # Blocks of one size, however many threads there are: equal sums.
        blocks = x.split(max(1, BLOCK_VALUES // x[0].numel()))
        read = partial(self._read_block, layers, torch.is_grad_enabled())
        parts = map_threads(read, blocks, device=x.device)
        return {name: torch.cat([part[name] for part in parts]) for name in layers}

    def _read_block(self, layers, grad, x):
        with torch.set_grad_enabled(grad), self._autocast(x):
            return self.network.layers(x, layers)

    def _autocast(self, x):
        bf16 = self.precision == "bf16"
        return torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bf16)


def rows_of_one_length(clips: Sequence[Tensor]) -> list[list[int]]:
    """Which clips are of one length, by their last axis: lists of their places."""
    places = {}
    for place, clip in enumerate(clips):
        places.setdefault(clip.shape[-1], []).append(place)
    return list(places.values())


def hear_together(
    front_end: LogMelSpectrogram, waveforms: Sequence[Tensor]
) -> list[Tensor]:
    """Spectrograms of clips, those of one length at once, as a GPU wants them.

    Parameters
    ----------
    front_end : LogMelSpectrogram
        From waveforms to log-mel.
    waveforms : list of Tensor (n_samples,)
        Of any lengths.

    Returns
    -------
    list of Tensor (bands, frames)
    """
    heard = [None] * len(waveforms)
    for rows in rows_of_one_length(waveforms):
        log_mels = front_end(torch.stack([waveforms[row] for row in rows]))
        for row, log_mel in zip(rows, log_mels, strict=True):
            heard[row] = log_mel
    return heard


def add_output(
    teacher: nn.Module,
    log_mels: Sequence[Tensor],
    layers: Sequence[str],
    **settings: Any,
) -> dict[str, list[Tensor]]:
    """Layers of clips with "output" among them, from the embedding."""
    others = tuple(dict.fromkeys(["embedding", *layers]))
    others = tuple(name for name in others if name != "output")
    heard = teacher(log_mels, layers=others, **settings)
    heard["output"] = list(teacher.output(torch.stack(heard["embedding"])))
    return {name: heard[name] for name in layers}


def with_output(
    teacher: PatchTeacher | SpectrogramTeacher | FeatureTeacher, output: nn.Module
) -> nn.Module:
    """A student: the teacher, all parameters shared, with an output layer.

    Parameters
    ----------
    teacher : PatchTeacher, SpectrogramTeacher or FeatureTeacher
        Not changed.
    output : Module
        From embeddings (clips, n_units) to (clips, n_outputs).
    """
    student = copy.copy(teacher)
    student._modules = dict(teacher._modules)
    if isinstance(teacher, SpectrogramTeacher):
        student.network = copy.copy(teacher.network)
        student.network._modules = dict(teacher.network._modules)
        student.network.output = output
    else:
        student.output = output
    return student


def lay_end_to_end(
    log_mels: list[Tensor], length: int, hop: int
) -> tuple[Tensor, list[int], Tensor]:
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


def pool_patches(
    patches: Tensor, pooling: Literal["mean", "max", "meanstd"] | None
) -> Tensor:
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
