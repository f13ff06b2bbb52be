"""Saved models as ONNX files, which run where torch is not.

The file is the whole model: from waveforms (the log-mel spectrogram is in the graph) or
features to all layers, one row per clip. Before a file is in its place, onnxruntime
runs it beside torch. Its metadata are JSON texts:

=============  =======================================================
format         version of this list
name           name or folder of the exported model
class          the estimator that learned it
fingerprint    digest of weights and settings
sample_rate    Hz; null for features and spectrograms of other makings
min_samples    samples of the shortest clip: fill up what is shorter
duration       seconds of a clip to read; null is all of it
crop           which part of a longer clip: start or middle
front_end      settings of the spectrogram in the graph; null: none
layers         columns of each output
scales         factor that brings each layer to unit mean square
classes        names of the columns of outputs that have some
training_data  description and licence of what it was trained on
licence        that licence
precision      fp32, or fp16 or int8 weights
opset          version of ONNX's operations
versions       versions of libraries
=============  =======================================================
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from userlogfeat._check import check_choice
from userlogfeat._files import replace_file
from userlogfeat._licence import NonCommercialWarning
from userlogfeat._onnx import FORMAT, read_onnx
from userlogfeat._optional import import_optional
from userlogfeat._typing import PathLike

if TYPE_CHECKING:
    from userlogfeat.weights.models import SavedModel


# Distance to torch's layers, relative to their length, that a file may have. Those of
# smaller weights are sanity checks: tags of a tone, all near 0, change the most.
TOLERANCE = {"fp32": 1e-4, "fp16": 0.05, "int8": 0.5}


def export_onnx(
    model: PathLike | SavedModel,
    path: PathLike,
    *,
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
) -> Path:
    """Write a saved model as an ONNX file.

    The input is ``waveforms`` (clips, samples) at the metadata's ``sample_rate``, of
    any number and one length; ``features`` (clips, size) for models of features, and
    ``log_mel`` (clips, bands, frames) for models of spectrograms of other makings. The
    outputs are all layers, (clips, size), unscaled; of a student also ``output``:
    probabilities of its classes, or its estimates.

    Parameters
    ----------
    model : str, Path or SavedModel
        A bundled name, a folder, ``owner/model`` on the hub, a plain musicnn such as
        ``"MSD_musicnn"``, or what :func:`userlogfeat.load_model` returned.
    path : str or Path
        File to write. It is complete or absent, also after a kill.
    precision : {"fp32", "fp16", "int8"}
        How weights are stored: ``"fp16"`` halves the size of the file, ``"int8"``, with
        a scale for each output or input, leaves a quarter or so. All compute in fp32,
        at about the same speed. ``benchmarks/onnx_runtime.py`` measures what is lost.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the model has no ONNX form: one with a network of your own, an encoder
        beside those of musicnn, or several rows per clip.
    RuntimeError
        If onnxruntime gives other numbers than torch; no file is written.

    See Also
    --------
    userlogfeat.OnnxEmbedder : Runs the file, without torch.
    """
    onnx = import_optional("onnx", extra="export", purpose="Export to ONNX")
    check_choice(precision, "precision", tuple(TOLERANCE))
    saved = _load(model)
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"{path} is a folder, expected a file to write, such as "
            f"{path / 'model.onnx'}."
        )
    written, sizes = build_graph(saved, precision)
    onnx.checker.check_model(written)
    with replace_file(path) as temporary:
        onnx.save_model(written, str(temporary))
        _compare(saved, temporary, sizes, precision)
    return path


def build_graph(saved: SavedModel, precision: str = "fp32") -> tuple[Any, dict]:
    """Return the ONNX model of a saved model, and the columns of its outputs."""
    from userlogfeat.export.graph import OPSET, Graph
    from userlogfeat.export.networks import add_layers, input_of

    graph = Graph(precision=precision)
    name, shape = input_of(saved.network)
    layers = add_layers(graph, name, saved.network)
    sizes = dict(saved.layer_sizes)
    if "output" in layers:
        layers["output"] = _finish_output(graph, layers["output"], _fitted(saved))
        student = getattr(saved.network, "network", saved.network)
        sizes["output"] = student.output.out_features
    metadata = _metadata(saved, sizes, precision, OPSET)
    outputs = {name: (layers[name], ["clips", size]) for name, size in sizes.items()}
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    return graph.model({name: shape}, outputs, texts), sizes


def _load(model):
    """The saved model of a name; of a plain musicnn, an encoder without a head."""
    from userlogfeat.encoders.musicnn import WEIGHTS
    from userlogfeat.weights import load_model

    if not isinstance(model, str | Path):
        return model
    return _plain_encoder(model) if model in WEIGHTS else load_model(model)


def _plain_encoder(name):
    from userlogfeat.encoders import get_encoder
    from userlogfeat.networks.teacher import EncoderTeacher
    from userlogfeat.weights import library_versions
    from userlogfeat.weights.models import SavedModel

    encoder = get_encoder(name)
    config = {
        "class": "MusicnnEmbedder",
        "parameters": {},
        "layers": {
            layer: {"size": size, "scale": 1.0}
            for layer, size in encoder.layer_sizes.items()
        },
        "training_data": {
            "description": "the published weights of musicnn",
            "licence": encoder.license,
            "non_commercial": False,
        },
        "versions": library_versions(),
    }
    network = EncoderTeacher(encoder).eval()
    return SavedModel(name, network, config, encoder.weights_hash)


def _fitted(saved):
    """Metadata of a student's task: {} for others."""
    return saved.config.get("fitted", {})


def _finish_output(graph, output, fitted):
    """Probabilities of a classifier, estimates of a regressor."""
    if "classes" in fitted:
        return graph("Softmax", output, axis=1)
    if "target_scale" in fitted:
        output = graph("Mul", output, np.float32(fitted["target_scale"]))
        return graph("Add", output, np.float32(fitted["target_mean"]))
    return output


def _metadata(saved, sizes, precision, opset):
    """Return the metadata: see the top of the file."""
    network, config = saved.network, saved.config
    front_end = getattr(network, "front_end", None)
    settings, data = front_end and front_end.front_end, config["training_data"]
    return {
        "format": FORMAT,
        "name": Path(saved.name).name,
        "class": config["class"],
        "fingerprint": saved.fingerprint,
        "sample_rate": settings and settings.sample_rate,
        "min_samples": network.min_samples if settings else None,
        "duration": saved.duration,
        "crop": saved.crop,
        "front_end": settings and asdict(settings),
        "layers": sizes,
        "scales": dict.fromkeys(sizes, 1.0) | saved.layer_scales,
        "classes": _classes(saved, sizes),
        "training_data": data,
        "licence": data["licence"],
        "precision": precision,
        "opset": opset,
        "versions": config["versions"]
        | {name: version(name) for name in ("onnx", "onnxruntime")},
    }


def _classes(saved, sizes):
    """Names of columns: of a student's output, and of an encoder's tags."""
    classes = {}
    if "classes" in _fitted(saved):
        classes["output"] = [str(name) for name in _fitted(saved)["classes"]]
    tags = getattr(getattr(saved.network, "encoder", None), "tags", None)
    if tags is not None and "taggram" in sizes:
        classes["taggram"] = list(tags)
    return classes


def _compare(saved, path, sizes, precision):
    """Raise unless onnxruntime gives torch's numbers."""
    inputs = example_inputs(saved.network)
    expected = torch_layers(saved, inputs, tuple(sizes))
    with warnings.catch_warnings():  # torch's side gave notice of the licence
        warnings.simplefilter("ignore", NonCommercialWarning)
        found = read_onnx(path, "cpu").run(list(inputs), tuple(sizes))
    for name in sizes:
        rows = np.stack([clip[name] for clip in found]).astype(np.float64)
        distance = np.linalg.norm(rows - expected[name])
        distance /= max(np.linalg.norm(expected[name]), 1e-12)
        if not distance <= TOLERANCE[precision]:
            raise RuntimeError(
                f"The exported model gives another {name!r} than torch (relative "
                f"difference {distance:.2g}, expected at most "
                f"{TOLERANCE[precision]:g}): nothing was written. Please report this, "
                "with the versions of onnx and onnxruntime."
            )


def example_inputs(network: Any) -> np.ndarray:
    """Two clips that a network reads: tones, ramps of features or waves of bands."""
    from userlogfeat.networks.mlp import FeatureTeacher
    from userlogfeat.weights.fingerprint import TONE_SECONDS, make_tone

    if isinstance(network, FeatureTeacher):
        ramp = np.linspace(-1, 1, network.head[0].in_features, dtype=np.float32)
        return np.stack([ramp, ramp[::-1]])
    if network.front_end is None:
        rows = np.linspace(0, 3, network.n_bands)[:, None]
        waves = 1 + np.sin(rows * np.arange(network.n_frames))
        return np.stack([waves, waves[:, ::-1]]).astype(np.float32)
    rate = network.sample_rate
    seconds = max(TONE_SECONDS, network.min_samples / rate)
    tone = make_tone(rate, seconds).numpy()
    return np.stack([tone, tone[::-1] / 4])


def torch_layers(
    saved: SavedModel, inputs: np.ndarray, layers: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Layers of clips as torch computes them, one array (clips, size) a layer."""
    import torch

    from userlogfeat._threads import limit_torch
    from userlogfeat.networks.mlp import FeatureTeacher

    network = saved.network
    clips = [torch.from_numpy(np.ascontiguousarray(clip)) for clip in inputs]
    with torch.inference_mode(), limit_torch(1):
        if isinstance(network, FeatureTeacher):
            embedding = network(torch.stack(clips))
            values = {"embedding": embedding}
            if "output" in layers:
                values["output"] = network.output(embedding)
        else:
            rows = network(clips, layers=layers)
            values = {name: torch.stack(rows[name]) for name in layers}
    arrays = {name: value.double().numpy() for name, value in values.items()}
    if "output" in layers:
        arrays["output"] = _finished(arrays["output"], _fitted(saved))
    return arrays


def _finished(output, fitted):
    """As `_finish_output`, of an array."""
    from scipy.special import softmax

    if "classes" in fitted:
        return softmax(output, axis=1)
    if "target_scale" in fitted:
        return output * fitted["target_scale"] + fitted["target_mean"]
    return output
