"""The encoder protocol, and encoders by name.

An encoder is a pretrained, frozen network that maps audio to named layers. It is a
light object: weights are loaded when it first encodes, on the device of its input, and
once per process. So it can be cloned, compared and pickled like any parameter.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

from userlogfeat._pages import see

if TYPE_CHECKING:
    from torch import Tensor

    from userlogfeat.frontends import FrontEnd


# Group of entry points in which other packages register encoders ("module:factory").
ENTRY_POINTS = "userlogfeat.encoders"

# Name, or a prefix that ends with a colon -> ``factory(name, **settings)``, or where it
# is defined.
FACTORIES: dict[str, str | Callable[..., Encoder]] = {
    **dict.fromkeys(
        ("MSD_musicnn", "MTT_musicnn", "MSD_vgg", "MTT_vgg"),
        "userlogfeat.encoders.musicnn:make_musicnn",
    ),
    "hf:": "userlogfeat.encoders.hugging_face:HuggingFaceEncoder",
    "hf-code:": "userlogfeat.encoders.hugging_face:HuggingFaceEncoder",
    "onnx:": "userlogfeat.encoders.onnx:OnnxEncoder",
    "torchaudio:": "userlogfeat.encoders.torchaudio:TorchaudioEncoder",
}
# Prefixes of names that say where files are. All that decides the numbers is in these,
# and so in the hash of the weights: a folder that moves is the same encoder.
PLACES = ("hf:", "hf-code:", "onnx:")
# Makes an encoder of an object that is merely callable.
CUSTOM = "userlogfeat.encoders.custom:CustomEncoder"


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
        Frames of its layers per second; None where it gives one row a clip.
    layer_sizes : dict of str to int
        Columns of every layer.
    default_layer : str, optional
        Layer that is taken where none is named, or ``"mean"``; else the last one.
    iter_windows : callable, optional
        Gives the frames of long clips bit by bit, so that they are pooled in bounded
        memory: see :class:`userlogfeat.encoders.windowed.WindowedEncoder`.
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


class SpectrogramEncoder(Encoder, Protocol):
    """An encoder that estimators may also give spectrograms of its own front end.

    If it has ``plain()``, a module in plain layers from a spectrogram (bands, frames)
    to {layer: (n_frames, size)}, saved models that use it can be exported.

    Attributes
    ----------
    front_end : FrontEnd
        Settings of the spectrograms.
    """

    front_end: FrontEnd

    def encode_spectrograms(
        self,
        log_mels: Sequence[Tensor],
        layers: Sequence[str],
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> Encoding:
        """Encode spectrograms (bands, frames), one a clip, of any lengths."""
        ...


def register_encoder(name: str, factory: str | Callable[..., Encoder]) -> None:
    """Make an encoder known by name, for this process.

    Packages that are installed beside this one need no call: they declare their
    factory in the group ``userlogfeat.encoders`` of their entry points.

    Parameters
    ----------
    name : str
        Name, or a prefix that ends with a colon: ``"hub:"`` stands for all names that
        begin so.
    factory : callable or str
        ``factory(name, **settings)`` makes the encoder. A str says where it is:
        ``"package.module:factory"``.
    """
    FACTORIES[name] = factory


def list_encoders() -> list[str]:
    """Names and prefixes of the registered encoders.

    Examples
    --------
    >>> from userlogfeat.encoders import list_encoders
    >>> list_encoders()[:4]
    ['MSD_musicnn', 'MSD_vgg', 'MTT_musicnn', 'MTT_vgg']
    >>> list_encoders()[4:]
    ['hf-code:', 'hf:', 'onnx:', 'torchaudio:']
    """
    return sorted({*FACTORIES, *(point.name for point in _entry_points())})


def get_encoder(encoder: Any, **settings: Any) -> Encoder:
    """Get an encoder by name.

    Parameters
    ----------
    encoder : str, Encoder or callable
        A name of :func:`list_encoders`, such as ``"MSD_musicnn"``,
        ``"hf:owner/model@revision"``, ``"hf:FOLDER"``, ``"torchaudio:WAV2VEC2_BASE"``
        or ``"onnx:FILE"``; an encoder, which is returned as it is; or an object with
        `sample_rate`, `layer_sizes` and a call (waveforms, lengths) -> {layer: (clips,
        frames, size)}.
    **settings
        Settings of the encoder, such as ``window`` and ``hop``, in seconds.

    Returns
    -------
    Encoder

    Raises
    ------
    ValueError
        If no encoder of that name is registered.
    TypeError
        If the object lacks a part of the protocol, or the encoder has no such setting.

    Examples
    --------
    >>> from userlogfeat.encoders import get_encoder
    >>> encoder = get_encoder("MSD_musicnn", patch_hop=0.5)
    >>> encoder.sample_rate, encoder.layer_sizes["max_pool"]
    (16000, 753)
    """
    if not isinstance(encoder, str):
        if _is_plain_callable(encoder):
            return _define(CUSTOM)(encoder, **settings)
        _check_protocol(encoder)
        if settings:
            raise TypeError(
                f"Got settings {sorted(settings)} for {encoder!r}, which is made "
                "already: make it with them."
            )
        return encoder
    factory = _find(encoder)
    made = _make(factory, encoder, tuple(sorted(settings.items())))
    _check_protocol(made)
    return made


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


def encoder_identity(encoder: Encoder) -> dict[str, Any]:
    """Return what a saved model notes of its encoder, to find it and know it again."""
    keys = ("name", "revision", "weights_hash", "settings")
    return {key: getattr(encoder, key) for key in keys}


def encoder_key(identity: dict[str, Any]) -> dict[str, Any]:
    """Return what of an identity decides the numbers: not where the files are."""
    prefix = _prefix(identity["name"])
    if prefix not in PLACES:
        return identity
    return {**identity, "name": prefix, "revision": ""}


def _prefix(name):
    return name.partition(":")[0] + ":"


def _find(name):
    for known in (name, _prefix(name)):
        if known in FACTORIES:
            return FACTORIES[known]
        for point in _entry_points():
            if point.name == known:
                return point.value
    raise ValueError(
        f"Got encoder={name!r}, expected one of {', '.join(list_encoders())}, or an "
        "encoder object. An encoder of another package is known once its module has "
        "called register_encoder, or where the package declares an entry point "
        f"{ENTRY_POINTS!r}.{see('guide/audio', 'any-pretrained-encoder')}"
    )


def _entry_points():
    return entry_points(group=ENTRY_POINTS)


@lru_cache(maxsize=32)
def _make(factory, name, settings):
    """Make an encoder once per process."""
    factory = _define(factory)
    try:
        inspect.signature(cast(Any, factory)).bind(name, **dict(settings))
    except TypeError as error:
        raise TypeError(
            f"Got settings {dict(settings)} for the encoder {name!r}, which it does "
            f"not have: {error}."
        ) from None
    return factory(name, **dict(settings))


def _define(factory):
    """A factory that is given as "package.module:factory"."""
    if not isinstance(factory, str):
        return factory
    module, _, attribute = factory.partition(":")
    return cast(Any, getattr(import_module(module), attribute))


def _is_plain_callable(encoder):
    has = {
        name for name in ("encode", "sample_rate", "layer_sizes") if _has(encoder, name)
    }
    return callable(encoder) and has == {"sample_rate", "layer_sizes"}


def _has(encoder, name):
    """Whether it has an attribute, without the work of computing a property."""
    return hasattr(type(encoder), name) or hasattr(encoder, name)


def _check_protocol(encoder):
    missing = [
        name for name in (*Encoder.__annotations__, "encode") if not _has(encoder, name)
    ]
    if missing:
        raise TypeError(
            f"Got encoder={encoder!r}, which has no {', '.join(missing)}. Pass a name "
            f"of {', '.join(list_encoders())}, or an object with all that "
            "userlogfeat.encoders.Encoder lists, or one with sample_rate, layer_sizes "
            "and a call (waveforms, lengths)."
        )
