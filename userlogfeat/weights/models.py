"""Saved models: a folder with model.safetensors and config.json, checked when loaded.

Loading runs no code from the folder. It compares the SHA-256 of the weights, the names
and shapes of all tensors, and the *fingerprint*: the embedding of a fixed test tone,
which changes with anything else (a library, a front end, an encoder). Networks
are kept, one of each per process.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

from userlogfeat._digests import json_digest
from userlogfeat._files import replace_file
from userlogfeat._licence import warn_of_licence
from userlogfeat._pages import see
from userlogfeat._spaces import space_of_model
from userlogfeat._stamps import change_stamp
from userlogfeat._typing import Device, PathLike
from userlogfeat.encoders import encoder_identity, encoder_key, get_encoder
from userlogfeat.frontends import FrontEnd
from userlogfeat.networks.frame_statistics import FrameTeacher
from userlogfeat.networks.teacher import PlainTeacher
from userlogfeat.weights.builders import build, check_encoder, encoder_parameter
from userlogfeat.weights.config import (
    CONFIG,
    FORMAT,
    TENSORS,
    ModelError,
    check_training_data,
    explained,
    library_versions,
    missing_files,
    read_config,
    read_weights,
    sealed,
    write_folder,
)
from userlogfeat.weights.fingerprint import (
    check_effort,
    check_fingerprint,
    fingerprint_of,
)

if TYPE_CHECKING:
    from userlogfeat.networks.mlp import FeatureTeacher
    from userlogfeat.networks.teacher import EncoderTeacher, SpectrogramTeacher


BUNDLED = Path(__file__).parents[1] / "pretrained"
CONTROLS = "controls"  # folder of a teacher's twins, which `compare` reads
MAX_TENSOR_BYTES = 1 << 32  # of model.safetensors; the largest network here has 30 MB
_WRITTEN = ("checkpoint", "cache")  # parameters that name a folder to write


@dataclass(frozen=True)
class SavedModel:
    """A loaded model.

    Attributes
    ----------
    name : str
        As it was asked for.
    network : Module
        A :class:`EncoderTeacher`, :class:`SpectrogramTeacher` or
        :class:`FeatureTeacher`, in evaluation mode.
    config : dict
        Content of config.json.
    fingerprint : str
        Identifies weights and settings: equal strings, equal features.
    """

    name: str
    network: nn.Module
    config: dict[str, Any]
    fingerprint: str

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Size of every layer, by name."""
        return {name: layer["size"] for name, layer in self.config["layers"].items()}

    @property
    def layer_scales(self) -> dict[str, float]:
        """Factor that brings each layer to unit mean square on the training clips."""
        return {name: layer["scale"] for name, layer in self.config["layers"].items()}

    @property
    def n_features(self) -> int:
        """Numbers of a clip that it reads, where those are precomputed features."""
        return self.network.head[0].in_features

    @property
    def duration(self) -> float | None:
        """Seconds that it reads of a clip, those of its training; None for all."""
        return self.config["parameters"].get("duration")

    @property
    def crop(self) -> Literal["start", "middle"]:
        """Part of a longer clip that it reads: that of its training.

        Random crops train for any part: such models get the middle, as their
        estimator's `transform` does.
        """
        return "start" if self.config["parameters"].get("crop") == "start" else "middle"

    @property
    def users_digest(self) -> str | None:
        """Digest of the users or factors that it was trained on; None if unknown."""
        return space_of_model(self.config["training_data"])

    def plain(self) -> nn.Module:
        """Return the network in plain layers, which torch can trace and export.

        Returns
        -------
        Module
            From a log-mel spectrogram (bands, frames) of the model's front end, or from
            features, to the embedding (n_units,); of a student, to its output.

        Raises
        ------
        ValueError
            If the model has no plain form.
        """
        if isinstance(self.network, FrameTeacher):
            raise ValueError(
                f"Model {self.name!r} is of {self.config['class']}, whose window "
                "statistics have no plain form."
            )
        return PlainTeacher(self.network).eval()

    @property
    def reads_audio(self) -> bool:
        """False where the model reads precomputed features."""
        return self.config["network"]["name"] != "mlp"


def save_model(
    folder: PathLike,
    network: EncoderTeacher | SpectrogramTeacher | FeatureTeacher,
    *,
    estimator: dict[str, Any],
    spec: dict[str, Any],
    layer_scales: dict[str, float],
    training_data: dict[str, Any],
) -> None:
    """Write a model to a folder.

    At any moment, also after a kill, the folder holds the model that was there before
    or this one, whole. Two processes that save to one folder take turns.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.
    network : EncoderTeacher, SpectrogramTeacher or FeatureTeacher
        Network to save; the weights of an encoder are not written, only its identity.
    estimator : dict
        ``{"class": ..., "parameters": ...}`` of the estimator that learned it.
    spec : dict
        How to build the network: see ``weights.builders``.
    layer_scales : dict of str to float
        Factor that brings each layer to unit mean square.
    training_data : dict
        ``description``, ``licence`` and ``non_commercial`` (bool) at least; further
        entries are kept, where JSON can hold them.
    """
    check_training_data(training_data, ValueError)
    tensors = {
        name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()
    }
    front_end = getattr(network, "front_end", None)
    tone = fingerprint_of(network)
    config = {
        "format": FORMAT,
        **estimator,
        "network": spec,
        "front_end": None if front_end is None else asdict(front_end.front_end),
        "layers": {
            name: {"size": size, "scale": float(layer_scales[name])}
            for name, size in network.layer_sizes.items()
        },
        "training_data": training_data,
        "versions": library_versions(),
        "fingerprint": [float(f"{value:.6g}") for value in tone],
    }
    write_folder(folder, tensors, config)


def load_model(
    name: PathLike,
    *,
    device: Device = "cpu",
    precision: Literal["fp32", "bf16"] = "fp32",
    network: type[nn.Module] | None = None,
) -> SavedModel:
    """Load a saved model, once per process.

    Parameters
    ----------
    name : str or Path
        A bundled name (:func:`list_weights`), a folder, or a repository of the
        Hugging Face hub (``"owner/model"``, or ``"owner/model@revision"``).
    device : str or torch.device
        Where the network runs.
    precision : {"fp32", "bf16"}
        Precision of its matrix products.
    network : type, optional
        The class of the network, where it is one of your own.

    Returns
    -------
    SavedModel

    Raises
    ------
    ModelError
        Where there is no such model, or it is damaged, foreign or changed.
    """
    folder = find_model(name)
    stamps = tuple(change_stamp(folder / file) for file in (CONFIG, TENSORS))
    return _load(str(name), folder.resolve(), stamps, str(device), precision, network)


def load_fitted(
    folder: PathLike, class_name: str, *, network: type[nn.Module] | None = None
) -> tuple[SavedModel, dict[str, Any]]:
    """A model and the parameters of the estimator that saved it.

    Parameters
    ----------
    folder : str or Path
        Or the name of a bundled model.
    class_name : str
        The class that must have saved it.
    network : type, optional
        The class of the network, where it is one of your own.

    Returns
    -------
    saved : SavedModel
    parameters : dict
    """
    saved = load_model(folder, network=network)
    if saved.config.get("class") != class_name:
        raise ModelError(
            f"{folder} was saved by {saved.config.get('class')}, not {class_name}. "
            "Load it with that class, or with UserLogEmbedder."
        )
    parameters = dict(saved.config["parameters"])
    # `save` writes None; what a stranger wrote instead, a later fit would write to.
    parameters |= {name: None for name in _WRITTEN if name in parameters}
    if parameters.get("network") == "musicnn":  # before there were other encoders
        del parameters["model"], parameters["patch_hop"]
        parameters |= {"network": "se_cnn", "encoder": None}
    if class_name == "CFRegressor":  # before clips of an artist shared its weight
        parameters.setdefault("clip_weight", "clip")
    with explained(folder):
        if isinstance(parameters.get("frontend"), dict):
            parameters["frontend"] = FrontEnd(**parameters["frontend"])
        if "encoder" in parameters:
            parameters["encoder"] = encoder_parameter(saved.config["network"])
    if network is not None:
        parameters["network"] = network
    return saved, parameters


def set_encoder(folder: PathLike, encoder: str) -> None:
    """Set where the encoder of a saved model is now.

    A model on an encoder holds its head, and the name and hash of the encoder. Where
    the name is that of a folder or file, this writes another one into config.json.

    Parameters
    ----------
    folder : str or Path
        Folder of the model.
    encoder : str
        Name of the encoder, such as ``"hf:NEW_PLACE"``.

    Raises
    ------
    ModelError
        If the model has no encoder, or this one has other weights or settings.
    """
    folder = Path(folder)
    config = read_config(folder)
    saved = config["network"].get("encoder")
    if saved is None:
        raise ModelError(
            f"The model in {folder} names no encoder: it is a network of its own, or "
            "uses musicnn, which is found where it is installed."
        )
    found = encoder_identity(get_encoder(encoder, **saved["settings"]))
    check_encoder(saved, found)
    config["network"]["encoder"] = found
    with replace_file(folder / CONFIG) as temporary:
        temporary.write_text(sealed(config), encoding="utf-8", newline="\n")
    for twin in (folder / CONTROLS).glob(f"*/{CONFIG}"):
        set_encoder(twin.parent, encoder)


def list_weights() -> list[str]:
    """Names of the bundled models.

    Their control twins are not among them: see :func:`find_controls`.

    Examples
    --------
    >>> from userlogfeat import list_weights
    >>> list_weights()
    ['lastfm-mpd-musicnn', 'lastfm2k-musicnn']
    """
    return sorted(folder.parent.name for folder in BUNDLED.glob(f"*/{CONFIG}"))


def find_controls(name: PathLike) -> dict[str, list[Path]]:
    """Find the twins of a teacher: the controls that it was saved with.

    Parameters
    ----------
    name : str or Path
        As :func:`load_model` takes it.

    Returns
    -------
    dict of str to list of Path
        Folders by kind ("permuted logs", "same artist"), one for each draw; empty
        where the teacher has none. :func:`userlogfeat.comparison.save_controls`
        writes them.

    Warns
    -----
    UserWarning
        If twins are left out, since they are of another teacher.
    """
    folder, found, strange = find_model(name), {}, []
    paths = sorted((folder / CONTROLS).glob(f"*/{CONFIG}"))
    teacher = read_config(folder)["sha256"] if paths else None
    for path in paths:
        control = read_config(path.parent)["training_data"].get("control") or {}
        if control.get("teacher_sha256") == teacher:
            found.setdefault(control["kind"], []).append(path.parent)
        else:
            strange.append(path.parent.name)
    if strange:
        warnings.warn(
            f"{', '.join(strange)} in {folder / CONTROLS} are not twins of this "
            "teacher, which was trained again since: they are left out. Write them "
            f"again with save_controls, or delete the folder {CONTROLS!r}.",
            stacklevel=2,
        )
    return found


def find_model(name: PathLike) -> Path:
    """The folder of a model: given, bundled, or fetched from the hub."""
    bundled = [BUNDLED / str(name)] if str(name) in list_weights() else []
    for folder in (*bundled, Path(name)):
        if folder.is_dir():
            if missing := missing_files(folder):
                raise ModelError(
                    f"The folder {folder} is not a saved model: it lacks "
                    f"{' and '.join(missing)}. Models are written by an estimator's "
                    "save(folder)."
                )
            return folder
    no_owner = str(name).startswith((".", "/", "~")) or set(str(name)) & set("\\:")
    if str(name).partition("@")[0].count("/") != 1 or no_owner:
        raise ModelError(
            f"There is no model {str(name)!r}: it is neither a folder nor one of the "
            f"bundled {list_weights()}, nor has it the form 'owner/model' of the "
            "Hugging Face hub." + see("guide/teachers")
        )
    return _fetch(str(name))


def _fetch(name):
    """Fetch ``owner/model`` or ``owner/model@revision``."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        repo, _, revision = name.partition("@")
        chosen = {"revision": revision} if revision else {}
        files = [CONFIG, TENSORS, f"{CONTROLS}/*"]
        folder = snapshot_download(repo, allow_patterns=files, **chosen)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"There is no folder {name!r}, and the model could not be fetched from the "
            f"Hugging Face hub ({type(error).__name__}: {error}). Check the name and "
            "the network connection, or pass a local folder; bundled models are "
            f"{list_weights()}.{see('guide/teachers')}"
        ) from error
    return Path(folder)


@lru_cache(maxsize=16)
def _load(name, folder, stamps, device, precision, own_class):
    config = read_config(folder)
    tensors = read_weights(
        folder / TENSORS, config["sha256"], max_bytes=MAX_TENSOR_BYTES
    )
    with explained(folder):
        network = build(config, device, precision, own_class)
        _fill(network, tensors, folder / TENSORS)
        sizes = {key: layer["size"] for key, layer in config["layers"].items()}
        scales = [float(layer["scale"]) for layer in config["layers"].values()]
        expected = np.asarray(config["fingerprint"], dtype=np.float64)
        check_effort(network)
        found = fingerprint_of(network.to(device).eval().requires_grad_(False))
    if sizes != network.layer_sizes or not all(0 < s < float("inf") for s in scales):
        raise ModelError(
            f"{folder / CONFIG} lists layers {config['layers']}, but the network has "
            f"{network.layer_sizes}, and scales are positive. Copy the folder again."
        )
    check_fingerprint(name, found, expected, precision)
    warn_of_licence(name, config["training_data"])
    return SavedModel(name, network, config, _identity(config))


def _fill(network, data, path):
    """Read the tensors of a file into a network, after comparing names and shapes."""
    expected = {
        name: list(tensor.shape) for name, tensor in network.state_dict().items()
    }
    try:
        tensors = load_tensors(data)
    except (SafetensorError, KeyError) as error:
        raise ModelError(
            f"{path} is not a safetensors file ({error}). Copy the folder again."
        ) from error
    found = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if found != expected:
        raise ModelError(
            f"{path} holds tensors {found}, but the network needs {expected}. The "
            "config was edited, or weights and config are of two models."
        )
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise ModelError(f"{path} holds NaN or infinite weights. Train it again.")
    network.load_state_dict(tensors, strict=False, assign=True)


def _identity(config):
    """A digest of all that decides the features."""
    network = config["network"]
    if "encoder" in network:
        network = {**network, "encoder": encoder_key(network["encoder"])}
    keys = ("front_end", "layers", "sha256")
    values = [config["format"], network, *(config[key] for key in keys)]
    return json_digest(values)[:16]
