"""The protocol of encoders: what estimators and saved models expect of one.

An encoder is a pretrained, frozen network that maps audio to named layers. It is a
light object: weights are loaded when it first encodes, on the device of its input, and
once per process. So it can be cloned, compared and pickled like any parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Encoding(NamedTuple):
    """The layers of a batch of clips.

    Attributes
    ----------
    layers : dict of str to Tensor (n_clips, n_frames, size), float32
        Named layers; values after a clip's last frame are arbitrary.
    mask : Tensor (n_clips, n_frames), bool
        True where a clip has a frame. A clip's frames come first, then the padding.
    """

    layers: dict[str, Tensor]
    mask: Tensor

    @classmethod
    def of_clips(cls, layers: dict[str, list[Tensor]]) -> Encoding:
        """Pad layers that are given clip by clip, each (n_frames, size)."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        clips = next(iter(layers.values()))
        n_frames = torch.tensor([len(clip) for clip in clips])
        mask = torch.arange(int(n_frames.max())) < n_frames[:, None]
        return cls(
            {name: pad_sequence(v, batch_first=True) for name, v in layers.items()},
            mask.to(clips[0].device),
        )

    def clips(self, layer: str) -> list[Tensor]:
        """Return a layer clip by clip, each (n_frames, size), without padding."""
        counts = self.mask.sum(dim=1).tolist()
        return [x[:n] for x, n in zip(self.layers[layer], counts, strict=True)]


class Encoder(Protocol):
    """A pretrained audio encoder.

    Attributes
    ----------
    name : str
        The name it is registered by.
    revision : str
        Version of weights and code: another revision may give other numbers.
    weights_hash : str
        Digest of the weights. Saved models refuse an encoder with other weights.
    license : str
        Licence of the weights.
    settings : dict
        Arguments of :func:`get_encoder` that make it again, as JSON holds them.
    sample_rate : int
        Rate of the waveforms it encodes, in Hz.
    min_samples : int
        Samples of the shortest clip it can encode; shorter ones are filled up before.
    frame_rate : float or None
        Frames of its layers per second; None where it gives one row per clip.
    layer_sizes : dict of str to int
        Columns of every layer.
    default_layer : str, optional
        Layer that is taken where none is named, or ``"mean"``; else the last one.
    iter_windows : callable, optional
        Gives the frames of long clips bit by bit, so that they are pooled in bounded
        memory: see :class:`userlogfeat.encoders.windowed.WindowedEncoder`.
    front_end : FrontEnd, optional
        Settings of spectrograms that it also takes:
        ``encode_spectrograms(log_mels, layers, precision)``, of tensors (bands,
        frames), one per clip, of any lengths, then gives an `Encoding`, too.
    plain : callable, optional
        Gives a module in plain layers from a spectrogram (bands, frames) to {layer:
        (n_frames, size)}: saved models that use it can be exported.
    distribution, files : str and list of str, optional
        Installed package that has the weights, and which of its files, so that MIREX
        submissions can bring them.
    needs : sequence of str, optional
        Packages that it needs beside those of this library, for the same purpose.
    """

    name: str
    revision: str
    weights_hash: str
    license: str
    settings: dict[str, Any]
    sample_rate: int
    min_samples: int
    frame_rate: float | None
    layer_sizes: dict[str, int]

    def encode(
        self,
        waveforms: Tensor,
        lengths: Tensor,
        layers: Sequence[str],
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> Encoding:
        """Encode clips; how they are padded and batched changes no result.

        Parameters
        ----------
        waveforms : Tensor (n_clips, n_samples), float32
            Clips, padded with zeros to one length. Layers come back on their device.
        lengths : Tensor (n_clips,), int64
            Samples of each clip.
        layers : sequence of str
            Out of `layer_sizes`.
        precision : {"fp32", "bf16"}
            Precision of the matrix products.
        """
        ...


def default_layer(encoder: Encoder) -> str:
    """Return the layer that is taken where none is named."""
    return getattr(encoder, "default_layer", None) or list(encoder.layer_sizes)[-1]


def averaged_layers(encoder: Encoder) -> tuple[str, ...]:
    """Return the layers of which ``"mean"`` is the mean.

    They are those with a number (``layer_0``, ...), or else all, and have one size.

    Raises
    ------
    ValueError
        If they differ in size.
    """
    sizes = encoder.layer_sizes
    names = tuple(n for n in sizes if n.startswith("layer_")) or tuple(sizes)
    if len({sizes[name] for name in names}) > 1:
        raise ValueError(
            f"Got layer='mean', but the layers of the encoder {encoder.name!r} differ "
            f'in size: {dict(sizes)}. Name one of them, or several, or pass "all".'
        )
    return names
