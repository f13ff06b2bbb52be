"""The networks of saved models: front end, network and head in one torch module.

A teacher maps log-mel spectrograms of clips to named layers, one row per clip. Its
`embedding` layer is what it learned from listening logs. A student is a teacher with an
`output` layer on its embedding.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from userlogfeat._threads import limit_torch, n_cores
from userlogfeat.encoders.protocol import averaged_layers, default_layer
from userlogfeat.networks.bf16 import autocast_bf16
from userlogfeat.networks.mel import LogMelSpectrogram, rows_of_one_length
from userlogfeat.networks.threads import map_threads

if TYPE_CHECKING:
    from userlogfeat.encoders import Encoder
    from userlogfeat.networks.mlp import FeatureTeacher


POOLINGS = ("mean", "max", "meanstd")
HEAD = ("head_input", "embedding")  # layers that have the pooling of the head
MOST_PADDING = 1.25  # longest clip of a batch, by its shortest
BLOCK_VALUES = 1 << 17  # of spectrograms that a thread reads at once: 30 s


class EncoderTeacher(nn.Module):
    """A frozen encoder, pooled over the clip, and a head.

    Parameters
    ----------
    encoder : Encoder
        See :mod:`userlogfeat.encoders`. Its weights are not part of this module.
    head : Module, optional
        From pooled features (clips, n_in) to the embedding (clips, n_out).
    head_layer : str, sequence of str, or None
        The layers of the encoder that the head reads, side by side; ``"mean"`` is the
        mean of its layers. None is the encoder's own choice.
    head_pooling : {"mean", "max", "meanstd"}
        How they are pooled over the frames of a clip.
    precision : {"fp32", "bf16"}
        Precision of the encoder's matrix products.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        head: nn.Module | None = None,
        head_layer: str | Sequence[str] | None = None,
        head_pooling: Literal["mean", "max", "meanstd"] = "meanstd",
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> None:
        super().__init__()
        if head_pooling not in POOLINGS:
            raise ValueError(
                f"Got head_pooling={head_pooling!r}, expected one of {POOLINGS}."
            )
        # In a tuple: of an encoder that is a module, nothing is registered here.
        self._encoder = (encoder,)
        settings = getattr(encoder, "front_end", None)
        self.front_end = settings and LogMelSpectrogram(settings)
        self.head = head
        if head_layer is None:
            head_layer = getattr(encoder, "default_head_layer", default_layer(encoder))
        single = isinstance(head_layer, str)
        self.head_layers = (head_layer,) if single else tuple(head_layer)
        known = {"mean", *encoder.layer_sizes}
        if not self.head_layers or not known.issuperset(self.head_layers):
            raise ValueError(
                f"Got head_layer={head_layer!r}, expected one or several of "
                f"{list(encoder.layer_sizes)}, or 'mean'."
            )
        self.head_pooling = head_pooling
        self.precision = precision
        self.output = None

    @property
    def encoder(self) -> Encoder:
        """The encoder."""
        return self._encoder[0]

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms it reads, in Hz."""
        return self.encoder.sample_rate

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip it can read."""
        return self.encoder.min_samples

    @property
    def n_bands(self) -> int:
        """Bands of the spectrograms that it reads."""
        if self.front_end is None:
            raise ValueError(
                f"The encoder {self.encoder.name!r} reads waveforms, not spectrograms: "
                "pass X as paths, or as waveforms."
            )
        return self.front_end.front_end.n_bands

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Size of every layer, by name."""
        sizes = dict(self.encoder.layer_sizes)
        if self.head is not None:
            sizes["embedding"] = self.head[-1].out_features
        return sizes

    def forward(
        self,
        clips: Sequence[Tensor],
        layers: Sequence[str] = ("embedding",),
        pooling: Literal["mean", "max", "meanstd"] | None = "mean",
    ) -> dict[str, list[Tensor]]:
        """Layers of clips.

        Parameters
        ----------
        clips : list of Tensor (n_samples,), or (bands, frames)
            Waveforms or, if the encoder reads them, spectrograms; of any lengths.
        layers : sequence of str
            Which layers, in the order wanted; ``"mean"`` is the mean of the encoder's,
            ``"head_input"`` what the head reads, and ``"output"`` that of a student.
        pooling : {"mean", "max", "meanstd", None}
            Over the frames of a clip (the embedding has its own). None keeps the
            frames apart.

        Returns
        -------
        dict of str to list of Tensor
            For each layer one tensor per clip: (size,), or (n_frames, size) with
            ``pooling=None``.
        """
        if "output" in layers:
            return add_output(self, clips, layers, pooling=pooling)
        # An encoder may have an "embedding", too: without a head that is the one.
        heads = HEAD if self.head is not None else ("head_input",)
        wanted = [self.head_layers if name in heads else (name,) for name in layers]
        sources = {name: self.sources(name) for name in chain(*wanted)}
        own_pooling = [name for name in layers if name not in heads]
        names = tuple(dict.fromkeys(chain(*sources.values())))
        poolings = {pooling} if own_pooling else set()
        if len(own_pooling) < len(layers):
            poolings.add(self.head_pooling)
        found = self._encode(clips, names, poolings)

        def pooled_rows(name, pooling):
            parts = zip(*(found[source] for source in sources[name]), strict=True)
            return [_mean_of([pool_frames(x, pooling) for x in clip]) for clip in parts]

        pooled = {}
        for name in layers:
            if name in heads:
                rows = (pooled_rows(n, self.head_pooling) for n in self.head_layers)
                values = [torch.cat(parts) for parts in zip(*rows, strict=True)]
            else:
                values = pooled_rows(name, pooling)
            if name == "embedding" and self.head is not None:
                values = list(self.head(torch.stack(values)))
            pooled[name] = values
        return pooled

    def sources(self, name: str) -> Sequence[str]:
        """Return the layers of the encoder that a layer is the mean of."""
        if name != "mean" or name in self.encoder.layer_sizes:
            return (name,)
        return averaged_layers(self.encoder)

    def _encode(self, clips, layers, poolings):
        """Frames (n_frames, size) of every clip, or what pools them, by layer."""
        if self.front_end is not None:
            clips = to_log_mels(self.front_end, clips)
        elif None not in poolings and hasattr(self.encoder, "iter_windows"):
            return self._pool_windows(clips, layers, poolings)
        frames = {name: [None] * len(clips) for name in layers}
        for rows in rows_of_similar_length(clips):
            encoding = self._encode_together([clips[row] for row in rows], layers)
            for name in layers:
                for row, values in zip(rows, encoding.clips(name), strict=True):
                    frames[name][row] = values.float()
        return frames

    def _pool_windows(self, clips, layers, poolings):
        """Statistics of the frames of every clip, window by window."""
        pools = {name: [FramePool(poolings) for _ in clips] for name in layers}
        for row, _, frames in self.encoder.iter_windows(clips, layers, self.precision):
            for name, values in frames.items():
                pools[name][row].add(values.float())
        return pools

    def _encode_together(self, clips, layers):
        if clips[0].ndim == 2:
            return self.encoder.encode_spectrograms(clips, layers, self.precision)
        lengths = torch.tensor([len(clip) for clip in clips], device=clips[0].device)
        waveforms = pad_sequence(clips, batch_first=True)
        return self.encoder.encode(waveforms, lengths, layers, self.precision)


class PlainTeacher(nn.Module):
    """A teacher in plain layers, for export: no threads, no checks of values.

    Parameters
    ----------
    teacher : EncoderTeacher, SpectrogramTeacher or FeatureTeacher
        A student has its output layer.

    Raises
    ------
    ValueError
        If its encoder has no plain form.
    """

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self.encoder = None
        if isinstance(teacher, EncoderTeacher):
            if not hasattr(teacher.encoder, "plain"):
                raise ValueError(
                    f"The encoder {teacher.encoder.name!r} has no plain(), so models "
                    "that use it cannot be exported."
                )
            self.encoder = teacher.encoder.plain()
            self.head_layers, self.pooling = teacher.head_layers, teacher.head_pooling
        inner = getattr(teacher, "network", teacher)
        self.penultimate = inner.head if self.encoder else inner.penultimate
        self.inner = inner.head if self.encoder else inner
        self.output = inner.output

    def forward(self, x: Tensor) -> Tensor:
        """Embedding (n_units,) of a clip, or the output (n_outputs,) of a student.

        Parameters
        ----------
        x : Tensor (bands, frames), or (n_features,)
            Log-mel spectrogram of the model's front end, or features.
        """
        if self.encoder is not None:
            layers = self.encoder(x)
            x = pool_side_by_side([layers[n] for n in self.head_layers], self.pooling)
        embedding = self.penultimate(x[None])
        return (embedding if self.output is None else self.output(embedding))[0]


class SpectrogramTeacher(nn.Module):
    """A network of whole spectrograms.

    Parameters
    ----------
    network : Module
        ``penultimate(x)`` gives the embedding (clips, n_units) of (clips, bands,
        frames); where it has ``layers(x, names)``, those layers as well.
    front_end : LogMelSpectrogram or None
        From waveforms to log-mel; None where it was trained on spectrograms of others.
    n_bands, n_frames : int
        Shape of the spectrograms it was trained on.
    n_units : int
        Size of the embedding.
    precision : {"fp32", "bf16"}
        Precision of convolutions and matrix products.
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
        self.network, self.front_end = network, front_end
        self.n_bands, self.n_frames, self.n_units = n_bands, n_frames, n_units
        self.precision = precision

    @property
    def sample_rate(self) -> int:
        """Sample rate of the waveforms it reads, in Hz."""
        if self.front_end is None:
            raise ValueError(
                "This model was trained on log-mel spectrograms of your own making "
                f"({self.n_bands} bands) and has no front end: pass X as a 3-D array "
                "of such spectrograms, not as paths or waveforms."
            )
        return self.front_end.front_end.sample_rate

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip it can read."""
        n_frames = getattr(self.network, "min_frames", 1)
        settings = self.front_end.front_end
        return (n_frames - 1 + settings.drop_last) * settings.hop

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Size of every layer, by name."""
        default = {"embedding": self.n_units}
        return dict(getattr(self.network, "layer_sizes", default))

    def forward(
        self, clips: Sequence[Tensor], layers: Sequence[str] = ("embedding",)
    ) -> dict[str, list[Tensor]]:
        """Layers of clips.

        Parameters
        ----------
        clips : list of Tensor (n_samples,), or (bands, frames)
            Waveforms or spectrograms of any lengths.
        layers : sequence of str
            Which layers, in the order wanted; ``"output"`` is that of a student.

        Returns
        -------
        dict of str to list of Tensor (size,)
            For each layer one tensor per clip.
        """
        if "output" in layers:
            return add_output(self, clips, layers)
        log_mels = to_log_mels(self.front_end, clips)
        encoded = {name: [None] * len(log_mels) for name in layers}
        for rows in rows_of_one_length(log_mels):
            x = torch.stack([log_mels[i] for i in rows])  # B, F, T
            for name, values in self._read(x, layers).items():
                for row, value in zip(rows, values.float(), strict=True):
                    encoded[name][row] = value
        return encoded

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
        return autocast_bf16(self.network, x.device, self.precision == "bf16")


def to_log_mels(
    front_end: LogMelSpectrogram, clips: Sequence[Tensor]
) -> Sequence[Tensor]:
    """Spectrograms of waveforms (n_samples,); spectrograms are returned as they are."""
    return front_end.clips(clips) if clips[0].ndim == 1 else clips


def rows_of_similar_length(clips: Sequence[Tensor]) -> list[list[int]]:
    """Group clips so that padding makes none longer by more than `MOST_PADDING`.

    Else a long clip among short ones would multiply the memory of a batch.
    """
    groups: list[list[int]] = []
    for row in sorted(range(len(clips)), key=lambda row: clips[row].shape[-1]):
        length = clips[row].shape[-1]
        if not groups or length > MOST_PADDING * clips[groups[-1][0]].shape[-1]:
            groups.append([])
        groups[-1].append(row)
    return groups


def add_output(
    teacher: nn.Module, clips: Sequence[Tensor], layers: Sequence[str], **settings: Any
) -> dict[str, list[Tensor]]:
    """Layers of clips with "output" among them, from the embedding."""
    others = tuple(dict.fromkeys(["embedding", *layers]))
    others = tuple(name for name in others if name != "output")
    encoded = teacher(clips, layers=others, **settings)
    encoded["output"] = list(teacher.output(torch.stack(encoded["embedding"])))
    return {name: encoded[name] for name in layers}


def with_output(
    teacher: EncoderTeacher | SpectrogramTeacher | FeatureTeacher, output: nn.Module
) -> nn.Module:
    """A student: the teacher, all parameters shared, with an output layer.

    Parameters
    ----------
    teacher : EncoderTeacher, SpectrogramTeacher or FeatureTeacher
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


def pool_side_by_side(
    layers: Sequence[Tensor], pooling: Literal["mean", "max", "meanstd"]
) -> Tensor:
    """Pool the frames of each layer of a clip; the rows side by side."""
    return torch.cat([pool_frames(frames, pooling) for frames in layers])


def pool_frames(
    frames: Tensor | FramePool, pooling: Literal["mean", "max", "meanstd"] | None
) -> Tensor:
    """Pool the frames (n_frames, size) of a clip into one row.

    ``"meanstd"`` is the mean and the population standard deviation, side by side;
    None returns the frames as they are.
    """
    if isinstance(frames, FramePool):
        return frames.pool(pooling)
    if pooling is None:
        return frames
    if pooling == "mean":
        return frames.mean(0)
    if pooling == "max":
        return frames.amax(0)
    return torch.cat([frames.mean(0), frames.std(0, correction=0)])


class FramePool:
    """Mean, variance and maximum of frames that come in parts, for poolings.

    The variance of two parts is that of Chan, Golub & LeVeque (1983), which loses no
    digits: deviations are taken from the mean of each part.

    Parameters
    ----------
    poolings : collection of {"mean", "max", "meanstd"}
        Those that `pool` will be asked for. No other statistic is computed: each is a
        few calls for every layer of every clip, which a GPU starts one after the other.
    """

    def __init__(self, poolings: Collection[str]) -> None:
        self.poolings = poolings
        self.n_frames = 0

    def add(self, frames: Tensor) -> None:
        """Add frames (n_frames, size)."""
        n, first = len(frames), self.n_frames == 0
        if n == 0:
            return
        if "max" in self.poolings:
            highest = frames.amax(0)
            self.highest = highest if first else torch.maximum(self.highest, highest)
        if {"mean", "meanstd"} & set(self.poolings):
            mean, total = frames.mean(0), self.n_frames + n
            change = None if first else mean - self.mean
            self.mean = mean if first else self.mean + change * (n / total)
        if "meanstd" in self.poolings:
            squares = (frames - mean).square().sum(0)
            if not first:
                squares += change.square() * (self.n_frames * n / total) + self.squares
            self.squares = squares
        self.n_frames += n

    def pool(self, pooling: Literal["mean", "max", "meanstd"] | None) -> Tensor:
        """Return one row, as :func:`pool_frames` gives it of all frames."""
        if pooling == "mean":
            return self.mean
        if pooling == "max":
            return self.highest
        return torch.cat([self.mean, (self.squares / self.n_frames).sqrt()])


def _mean_of(rows):
    return rows[0] if len(rows) == 1 else torch.stack(rows).mean(0)
