"""Saved models: a folder with model.safetensors and config.json, checked when loaded.

Loading runs no code from the folder. It compares the SHA-256 of the weights, the names
and shapes of all tensors, and the *fingerprint*: the embedding of a fixed test tone,
which tells of anything else that changed (a library, a front end, a trunk). Networks
are kept, one of each per process.
"""

import contextlib
import hashlib
import json
import logging
import warnings
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file
from torch import nn

from userlogfeat._files import is_described, read_described, replace_pair, sha256
from userlogfeat.frontends import FrontEnd
from userlogfeat.networks.artist import ArtistCNN, DiscriminantContexts
from userlogfeat.networks.frame_statistics import FrameTeacher, WindowStatistics
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.metric import ContextMean, MetricCNN
from userlogfeat.networks.mlp import FeatureTeacher, mlp
from userlogfeat.networks.se_cnn import SECNN
from userlogfeat.networks.teacher import PatchTeacher, SpectrogramTeacher
from userlogfeat.weights.config import (
    CONFIG,
    FORMAT,
    ModelError,
    check_front_end,
    check_training_data,
    library_versions,
    read_config,
    sealed,
)
from userlogfeat.weights.musicnn import load_musicnn

logger = logging.getLogger(__name__)

BUNDLED = Path(__file__).parents[1] / "pretrained"
TENSORS = "model.safetensors"
TONE_SECONDS = 4.0
MAX_TENSOR_BYTES = 1 << 32  # of model.safetensors; the largest network here has 30 MB
MAX_MAPS = 1 << 27  # numbers in one layer's maps of the test tone: 512 MB
MAX_PATCHES = 1 << 10  # of the test tone
_WRITTEN = ("checkpoint", "cache")  # parameters that name a folder to write
# Relative difference of the fingerprint that other machines and kernels may show.
FINGERPRINT_TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}


class NonCommercialWarning(UserWarning):
    """The loaded weights were learned from data that forbid commercial use."""


@dataclass(frozen=True)
class SavedModel:
    """A loaded model.

    Attributes
    ----------
    name : str
        As it was asked for.
    network : Module
        A :class:`PatchTeacher`, :class:`SpectrogramTeacher` or
        :class:`FeatureTeacher`, in evaluation mode.
    config : dict
        What config.json holds.
    fingerprint : str
        Identifies weights and settings: equal strings, equal features.
    """

    name: str
    network: nn.Module
    config: dict
    fingerprint: str

    @property
    def layer_sizes(self):
        """Size of every layer, by name."""
        return {name: layer["size"] for name, layer in self.config["layers"].items()}

    @property
    def layer_scales(self):
        """Factor that brings each layer to unit mean square on the training clips."""
        return {name: layer["scale"] for name, layer in self.config["layers"].items()}

    @property
    def hears_audio(self):
        """False where the model reads precomputed features."""
        return self.config["network"]["name"] != "mlp"


def save_model(folder, network, *, estimator, spec, layer_scales, training_data):
    """Write a model to a folder.

    At any moment, also after a kill, the folder holds the model that was there before
    or this one, whole. Two processes that save to one folder take turns.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.
    network : PatchTeacher, SpectrogramTeacher or FeatureTeacher
        What to save; a trunk that comes with an installed package is not written.
    estimator : dict
        ``{"class": ..., "parameters": ...}`` of the estimator that learned it.
    spec : dict
        How to build the network: see ``_BUILDERS``.
    layer_scales : dict of str to float
        Factor that brings each layer to unit mean square.
    training_data : dict
        ``description``, ``licence`` and ``non_commercial`` (bool) at least; further
        entries are kept, where JSON can hold them.
    """
    check_training_data(training_data, ValueError)
    json.dumps([estimator, spec, training_data])  # fails before any file is touched
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"{folder} is a file: a model is saved into a folder of its own. Pass the "
            "path of a folder, made where it is missing."
        )
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.contiguous().cpu()
        for name, tensor in network.state_dict().items()
        if not name.startswith(("front_end.", "trunk."))
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
    replace_pair(
        folder / TENSORS,
        folder / CONFIG,
        write=lambda path: save_file(tensors, path),
        describe=lambda digest: sealed({**config, "sha256": digest}),
    )


def load_model(name, *, device="cpu", precision="fp32", network=None):
    """Load a saved model, once per process.

    Parameters
    ----------
    name : str or Path
        A bundled name (:func:`list_weights`), a folder, or a repository of the
        Hugging Face hub (``"owner/model"``).
    device : str or torch.device
        Where the network runs.
    precision : {"fp32", "bf16"}
        Of its matrix products.
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
    stamps = tuple(_stamp(folder / file) for file in (CONFIG, TENSORS))
    return _load(str(name), folder.resolve(), stamps, str(device), precision, network)


def load_fitted(folder, class_name, *, network=None):
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
    if isinstance(parameters.get("frontend"), dict):
        with explained(folder):
            parameters["frontend"] = FrontEnd(**parameters["frontend"])
    if network is not None:
        parameters["network"] = network
    return saved, parameters


def list_weights():
    """Names of the bundled models.

    Examples
    --------
    >>> from userlogfeat import list_weights
    >>> list_weights()
    ['lastfm2k-musicnn']
    """
    return sorted(folder.parent.name for folder in BUNDLED.glob(f"*/{CONFIG}"))


def find_model(name):
    """The folder of a model: given, bundled, or fetched from the hub."""
    for folder in (BUNDLED / str(name), Path(name)):
        if folder.is_dir():
            missing = [] if (folder / CONFIG).is_file() else [CONFIG]
            missing += [] if is_described(folder / TENSORS) else [TENSORS]
            if missing:
                raise ModelError(
                    f"The folder {folder} is no saved model: it lacks "
                    f"{' and '.join(missing)}. Models are written by an estimator's "
                    "save(folder)."
                )
            return folder
    if str(name).count("/") != 1 or str(name).startswith((".", "/", "~")):
        raise ModelError(
            f"There is no model {str(name)!r}: it is neither a folder nor one of the "
            f"bundled {list_weights()}, nor has it the form 'owner/model' of the "
            "Hugging Face hub."
        )
    return _fetch(str(name))


def _fetch(name):
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(name, allow_patterns=[CONFIG, TENSORS])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"There is no folder {name!r}, and the model could not be fetched from the "
            f"Hugging Face hub ({type(error).__name__}: {error}). Check the name and "
            "the network connection, or pass a local folder; bundled models are "
            f"{list_weights()}."
        ) from error
    return Path(folder)


def _stamp(path):
    """What changes where a file is replaced, whatever the clock says; 0 if missing."""
    try:
        status = path.stat()
    except OSError:
        return 0
    return status.st_mtime_ns, status.st_size, status.st_ino


@lru_cache(maxsize=16)
def _load(name, folder, stamps, device, precision, own_class):
    config = read_config(folder)
    tensors = _read_tensors(folder / TENSORS, config["sha256"])
    with explained(folder):
        network = _build(config, device, precision, own_class)
        _fill(network, tensors, folder / TENSORS)
        sizes = {key: layer["size"] for key, layer in config["layers"].items()}
        scales = [float(layer["scale"]) for layer in config["layers"].values()]
        expected = np.asarray(config["fingerprint"], dtype=np.float64)
        _check_effort(network)
        found = fingerprint_of(network.to(device).eval().requires_grad_(False))
    if sizes != network.layer_sizes or not all(0 < s < float("inf") for s in scales):
        raise ModelError(
            f"{folder / CONFIG} lists layers {config['layers']}, but the network has "
            f"{network.layer_sizes}, and scales are positive. Copy the folder again."
        )
    _check_fingerprint(name, found, expected, precision)
    _tell_licence(name, config)
    return SavedModel(name, network, config, _identity(config))


@contextlib.contextmanager
def explained(folder):
    """Say of any error that the config of a folder causes whose fault it is.

    Parameters
    ----------
    folder : str or Path
        Of a saved model.

    Raises
    ------
    ModelError
        In the place of errors that entries of another kind cause.
    """
    try:
        yield
    except ModelError:
        raise
    except (
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        RuntimeError,
        ArithmeticError,
        AssertionError,
    ) as error:
        raise ModelError(
            f"{Path(folder) / CONFIG} does not describe a model this version can build "
            f"({type(error).__name__}: {error}). It was edited, or written by another "
            "version of userlogfeat."
        ) from error


def _read_tensors(path, digest):
    """The bytes of the weights, after comparing their SHA-256."""
    try:
        data = read_described(path, digest, max_bytes=MAX_TENSOR_BYTES)
    except ValueError as error:
        raise ModelError(f"{error} Do not use this folder.") from error
    if data is None:
        found = sha256(path)[:12] if path.is_file() else "no file"
        raise ModelError(
            f"{path} has SHA-256 {found}..., but its config says {digest[:12]}...: the "
            "weights are damaged or from another model. Copy the folder again."
        )
    return data


def _check_effort(network):
    """Raise where the test tone would fill the memory: no paper's network needs 1/4."""
    if isinstance(network, FeatureTeacher):
        return
    n_frames, n_patches = getattr(network, "n_frames", 1), 0
    if network.front_end is not None:
        settings = network.front_end.front_end
        n_samples = max(TONE_SECONDS * settings.sample_rate, network.min_samples)
        n_frames = max(n_frames, n_samples / settings.hop)
    if isinstance(network, PatchTeacher):
        n_patches = n_frames / network.patch_hop
    of_frames = 2 if isinstance(network, FrameTeacher) else 3
    sizes = [len(p) for p in network.parameters() if p.ndim >= of_frames]
    n_maps = n_frames * network.n_bands * max([1, *sizes])
    if isinstance(network, FrameTeacher):
        n_maps *= _windows(network.statistics, n_frames)
    if n_maps > MAX_MAPS or n_patches > MAX_PATCHES:
        raise ValueError(
            f"its test tone has {n_frames:.0f} frames of {network.n_bands} bands, "
            f"{n_maps:.3g} numbers in a layer, expected at most {MAX_MAPS}"
        )


def _windows(statistics, n_frames):
    """How often each frame is counted in windows that overlap."""
    length = statistics.window or n_frames
    return max(length, n_frames) / n_frames * max(1, length / (statistics.hop or 1))


def _build(config, device, precision, own_class):
    """The network that a config describes, its own tensors without memory yet."""
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


def _build_musicnn(spec, front_end, device, precision):
    with torch.device("meta"):
        head = mlp(spec["head"])
        output = _build_output(spec, spec["head"][-1])
    teacher = PatchTeacher(
        LogMelSpectrogram(front_end).to(device),
        load_musicnn(spec["model"], device=device, precision=precision),
        patch_hop=spec["patch_hop"],
        head=head,
        head_layer=spec["head_layer"],
        head_pooling=spec["head_pooling"],
    )
    teacher.output = output
    return teacher


def _build_mlp(spec, front_end, device, precision):
    with torch.device("meta"):
        return FeatureTeacher(mlp(spec["head"]), _build_output(spec, spec["head"][-1]))


def _build_se_cnn(spec, front_end, device, precision):
    with torch.device("meta"):
        network = SECNN(
            spec["n_outputs"],
            channels=spec["channels"],
            pools=spec["pools"],
            n_units=spec["n_units"],
        )
    return _hear_spectrograms(network, spec, front_end, device, precision)


def _build_metric(spec, front_end, device, precision):
    with torch.device("meta"):
        network = MetricCNN(
            spec["n_bands"],
            channels=spec["channels"],
            pools=spec["pools"],
            n_units=spec["n_units"],
        )
        network = ContextMean(network, spec["n_frames"])
        network.output = _build_output(spec, spec["n_units"])
    return _hear_spectrograms(network, spec, front_end, device, precision)


def _build_artist(spec, front_end, device, precision):
    with torch.device("meta"):
        network = ArtistCNN(
            spec["n_bands"],
            channels=spec["channels"],
            pools=spec["pools"],
            n_units=spec["n_inner"],
        )
        network = _add_discriminant(network, spec)
        network.output = _build_output(spec, spec["n_units"])
    return _hear_spectrograms(network, spec, front_end, device, precision)


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
    elif spec.get("contexts"):  # it hears contexts of n_frames, one after the other
        network = ContextMean(network, spec["n_frames"])
    return _hear_spectrograms(network, spec, front_end, device, precision)


def _hear_spectrograms(network, spec, front_end, device, precision):
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
    "musicnn": _build_musicnn,
    "mlp": _build_mlp,
    "se_cnn": _build_se_cnn,
    "metric": _build_metric,
    "frames": _build_frames,
    "artist": _build_artist,
}


def _fill(network, data, path):
    """Read the tensors of a file into a network, after comparing names and shapes."""
    expected = {
        name: list(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not name.startswith(("front_end.", "trunk."))
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


def _check_fingerprint(name, found, expected, precision):
    if found.shape == expected.shape:
        distance = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    else:
        distance = float("inf")
    tolerance = FINGERPRINT_TOLERANCE[precision]
    if not distance <= tolerance:
        raise ModelError(
            f"Model {name!r} does not answer its test tone as it did when it was "
            f"saved (relative difference {distance:.2g}, expected at most "
            f"{tolerance:g}). The config was edited, or the trunk or a library differs "
            'from what the config lists under "versions".'
        )


def _tell_licence(name, config):
    data = config["training_data"]
    if data["non_commercial"]:
        warnings.warn(
            f"Weights {name!r} were learned from data for non-commercial use only "
            f"({data['licence']}). To silence this once you have read it: "
            "warnings.filterwarnings('ignore', "
            "category=userlogfeat.weights.NonCommercialWarning)",
            NonCommercialWarning,
            stacklevel=4,
        )


def _identity(config):
    """A digest of all that decides the features."""
    keys = ("format", "network", "front_end", "layers", "sha256")
    text = json.dumps([config[key] for key in keys], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint_of(network):
    """The embedding of the fixed test input: a tone, a ramp for feature networks."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        if isinstance(network, FeatureTeacher):
            n_features = network.head[0].weight.shape[1]
            ramp = torch.linspace(-1, 1, n_features, device=device)
            embedding = network(ramp[None])[0]
        elif network.front_end is None:
            rows = torch.linspace(0, 3, network.n_bands, device=device)
            columns = torch.arange(network.n_frames, device=device)
            waves = 1 + torch.sin(rows[:, None] * columns)  # F, T
            embedding = network([waves])["embedding"][0]
        else:
            seconds = max(TONE_SECONDS, network.min_samples / network.sample_rate)
            tone = make_tone(network.sample_rate, seconds).to(device)
            embedding = network(network.log_mel([tone]))["embedding"][0]
    return embedding.double().cpu().numpy()


def make_tone(sample_rate, seconds):
    """The test tone: a chord of falling partials, struck twice a second.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    seconds : float
        Its length.

    Returns
    -------
    Tensor (round(seconds * sample_rate),), float32
        Between -1 and 1.
    """
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    partials = [
        np.sin(2 * np.pi * pitch * k * time) / k
        for pitch in (110.0, 277.2, 659.3)
        for k in (1, 2, 3, 5, 8)
    ]
    strike = np.exp(-6.0 * (time % 0.5))
    wave = strike * np.sum(partials, axis=0)
    return torch.from_numpy((0.5 * wave / np.abs(wave).max()).astype(np.float32))
