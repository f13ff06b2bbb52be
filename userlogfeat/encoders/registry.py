"""Encoders by name, those of other packages too; and of objects with a call."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, cast

from userlogfeat._pages import see
from userlogfeat._stamps import stamped
from userlogfeat.encoders.protocol import Encoder

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
    if isinstance(encoder, os.PathLike):
        encoder = os.fspath(encoder)  # for the message
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
    given = tuple(sorted(settings.items()))
    made = _make(factory, encoder, given, _stamps(encoder))
    _check_protocol(made)
    return made


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
    names = (name, _prefix(name)) if ":" in name else (name,)
    for known in names:
        if known in FACTORIES:
            return FACTORIES[known]
    points = {point.name: point.value for point in _entry_points()}  # reads many files
    for known in names:
        if known in points:
            return points[known]
    hint = ""
    if Path(name).expanduser().exists() and name:
        prefix = "onnx" if Path(name).is_file() else "hf"
        hint = f" What is there is named as '{prefix}:{name}'."
    elif name.count("/") == 1:
        hint = f" A model of the hub is 'hf:{name}'."
    raise ValueError(
        f"Got encoder={name!r}, expected one of {', '.join(list_encoders())}, or an "
        f"encoder object.{hint} An encoder of another package is known once its module "
        "has called register_encoder, or where the package declares an entry point "
        f"{ENTRY_POINTS!r}.{see('guide/audio', 'any-pretrained-encoder')}"
    )


def _entry_points():
    return entry_points(group=ENTRY_POINTS)


def _stamps(name):
    """Stamps of the files that a name stands for: others are another encoder."""
    if _prefix(name) not in PLACES:
        return ()
    place = Path(name.partition(":")[2]).expanduser().resolve()
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    return stamped(files)


@lru_cache(maxsize=32)
def _make(factory, name, settings, stamps):
    """Make an encoder once per process, as long as its files stay the same."""
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
    return resolve_name(factory) if isinstance(factory, str) else factory


def _is_plain_callable(encoder):
    found = [_has(encoder, n) for n in ("sample_rate", "layer_sizes", "encode")]
    return callable(encoder) and found == [True, True, False]


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
