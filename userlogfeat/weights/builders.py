"""The network that a config.json describes, built without running foreign code."""

from typing import Any, Literal

import torch
from torch import nn

from userlogfeat.encoders import Encoder, encoder_identity, encoder_key, get_encoder
from userlogfeat.encoders.registry import PLACES
from userlogfeat.frontends import FrontEnd
from userlogfeat.networks.artist import ArtistCNN, DiscriminantContexts
from userlogfeat.networks.frame_statistics import FrameTeacher, WindowStatistics
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.metric import ContextMean, MetricCNN
from userlogfeat.networks.mlp import FeatureTeacher, mlp
from userlogfeat.networks.se_cnn import SECNN
from userlogfeat.networks.teacher import EncoderTeacher, SpectrogramTeacher
from userlogfeat.weights.config import ModelError, check_front_end


def build(
    config: dict[str, Any],
    device: str,
    precision: Literal["fp32", "bf16"],
    own_class: type | None,
) -> nn.Module:
    """The network that a config describes, its own tensors without memory yet.

    Parameters
    ----------
    config : dict
        As :func:`~userlogfeat.weights.config.read_config` checks it.
    device : str
        Where front end and trunk are; the network's own tensors are on no device.
    precision : {"fp32", "bf16"}
        Precision of its matrix products.
    own_class : type or None
        The network's class, where a user wrote it.

    Returns
    -------
    Module
    """
    spec = config["network"]
    front_end = config["front_end"] and FrontEnd(**config["front_end"])
    if front_end:
        check_front_end(front_end)
    if spec["name"] == "custom":
        return _build_custom(spec, front_end, device, precision, own_class)
    if spec["name"] not in _BUILDERS:
        raise ModelError(
            f"The model's network is {spec['name']!r}, this version builds "
            f"{sorted(_BUILDERS)}. Update userlogfeat."
        )
    return _BUILDERS[spec["name"]](spec, front_end, device, precision)


def encoder_of(spec: dict[str, Any]) -> Encoder | None:
    """Return the frozen encoder of a saved model, None if it has none.

    Parameters
    ----------
    spec : dict
        The entry ``network`` of a config.

    Raises
    ------
    ModelError
        If no encoder of that name is registered, or its weights are others than those
        that the model was trained with.
    """
    if spec["name"] == "musicnn":  # as models were saved before there were others
        from userlogfeat.encoders.musicnn import hop_seconds

        hop = hop_seconds(spec["patch_hop"])
        return get_encoder(spec["model"], patch_hop=hop)
    if spec["name"] != "encoder":
        return None
    saved = spec["encoder"]
    try:
        encoder = get_encoder(saved["name"], **saved["settings"])
        found = encoder_identity(encoder)
    except (ValueError, TypeError, OSError) as error:
        moved = (
            " If its files have moved, say so: userlogfeat.weights.set_encoder("
            f"MODEL_FOLDER, {saved['name'].partition(':')[0] + ':NEW_PLACE'!r})."
        )
        raise ModelError(
            f"The model needs an encoder that is not here. {error}"
            f"{moved if saved['name'].startswith(PLACES) else ''}"
        ) from error
    check_encoder(saved, found)
    return encoder


def check_encoder(saved: dict[str, Any], found: dict[str, Any]) -> None:
    """Raise ModelError unless an encoder is the one that a model was trained on.

    Parameters
    ----------
    saved : dict
        Its identity in the config.
    found : dict
        Identity of the encoder.
    """
    if _key(found) != _key(saved):
        raise ModelError(
            f"The model was trained on the encoder {saved}, but the one registered "
            f"here is {found}: its estimates would be wrong. Install that revision, "
            "or train the model again."
        )


def _key(identity):
    """Key of an identity; settings that were not set used to be noted as None."""
    settings = identity["settings"].items()
    kept = {name: value for name, value in settings if value is not None}
    return encoder_key({**identity, "settings": kept})


def encoder_parameter(spec: dict[str, Any]) -> str | Encoder | None:
    """Return an estimator's parameter `encoder`: its name, if that says it all."""
    encoder = encoder_of(spec)
    if encoder is None:
        return None
    try:
        by_name = encoder_identity(get_encoder(encoder.name))
    except (ValueError, TypeError):  # it needs settings
        return encoder
    return encoder.name if by_name == encoder_identity(encoder) else encoder


def _build_encoder(spec, front_end, device, precision):
    with torch.device("meta"):
        head = mlp(spec["head"])
        output = _build_output(spec, spec["head"][-1])
    teacher = EncoderTeacher(
        encoder_of(spec),
        head=head,
        head_layer=spec["head_layer"],
        head_pooling=spec["head_pooling"],
        precision=precision,
    )
    teacher.output = output
    return teacher


def new_network(spec: dict[str, Any]) -> nn.Module:
    """Build a network by name and sizes, as an estimator trains it.

    Parameters
    ----------
    spec : dict
        The entry "network" of a config, or as much of it as the network needs.
    """
    name = spec["name"]
    if name == "mlp":
        return FeatureTeacher(mlp(spec["head"]), _build_output(spec, spec["head"][-1]))
    sizes = {name: spec[name] for name in ("channels", "pools", "n_units")}
    if name == "se_cnn":
        return SECNN(spec["n_outputs"], **sizes)
    return {"metric": MetricCNN, "artist": ArtistCNN}[name](spec["n_bands"], **sizes)


def _build_mlp(spec, front_end, device, precision):
    with torch.device("meta"):
        return new_network(spec)


def _build_se_cnn(spec, front_end, device, precision):
    with torch.device("meta"):
        network = new_network(spec)
    return _spectrogram_teacher(network, spec, front_end, device, precision)


def _build_metric(spec, front_end, device, precision):
    with torch.device("meta"):
        network = ContextMean(new_network(spec), spec["n_frames"])
        network.output = _build_output(spec, spec["n_units"])
    return _spectrogram_teacher(network, spec, front_end, device, precision)


def _build_artist(spec, front_end, device, precision):
    with torch.device("meta"):
        network = new_network(spec | {"n_units": spec["n_inner"]})
        network = _add_discriminant(network, spec)
        network.output = _build_output(spec, spec["n_units"])
    return _spectrogram_teacher(network, spec, front_end, device, precision)


def _add_discriminant(network, spec):
    sizes = {"n_inner": spec["n_inner"], "n_units": spec["n_units"]}
    return DiscriminantContexts(network, spec["n_frames"], **sizes)


def _build_frames(spec, front_end, device, precision):
    settings = spec["window"], spec["window_hop"], spec["statistics"]
    maps = {name: spec[name] for name in ("n_components", "n_labels")}
    with torch.device("meta"):
        network = FrameTeacher(
            None,
            spec["n_bands"],
            statistics=WindowStatistics(*settings),
            pooling=spec["pooling"],
            **maps,
        )
    network.front_end = front_end and LogMelSpectrogram(front_end).to(device)
    return network


def _build_custom(spec, front_end, device, precision, own_class):
    if own_class is None:
        raise ModelError(
            f"The model's network is your own class {spec['class']!r}, which a folder "
            "does not hold. Load it with load(folder, network=...) of its estimator."
        )
    shape = (spec["n_bands"], spec["n_frames"])
    n_units = spec.get("n_inner", spec["n_units"])
    with torch.random.fork_rng(devices=[]):
        network = own_class(shape, n_units, spec["n_outputs"] or n_units)
    if "n_inner" in spec:
        network = _add_discriminant(network, spec)
    elif spec.get("contexts"):  # contexts of n_frames, one after the other
        network = ContextMean(network, spec["n_frames"])
    return _spectrogram_teacher(network, spec, front_end, device, precision)


def _spectrogram_teacher(network, spec, front_end, device, precision):
    return SpectrogramTeacher(
        network,
        front_end=front_end and LogMelSpectrogram(front_end).to(device),
        n_bands=spec["n_bands"],
        n_frames=spec["n_frames"],
        n_units=spec["n_units"],
        precision=precision,
    )


def _build_output(spec, n_units):
    """The output layer of a student, or None."""
    n_outputs = spec.get("n_outputs")
    return n_outputs and nn.Linear(n_units, n_outputs)


_BUILDERS = {
    "encoder": _build_encoder,
    "musicnn": _build_encoder,
    "mlp": _build_mlp,
    "se_cnn": _build_se_cnn,
    "metric": _build_metric,
    "frames": _build_frames,
    "artist": _build_artist,
}
