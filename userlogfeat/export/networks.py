"""The layers of saved models in an ONNX graph.

``LAYERS`` has a function for each kind of network, from waveforms (or features, or
spectrograms of other makings) to named values, one row per clip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from userlogfeat.encoders.musicnn import MusicnnEncoder
from userlogfeat.export.musicnn import encode_patches
from userlogfeat.export.spectrogram import log_mel, n_frames, pad_waveforms
from userlogfeat.networks.artist import ArtistCNN
from userlogfeat.networks.frame_statistics import FrameTeacher
from userlogfeat.networks.metric import MetricCNN
from userlogfeat.networks.mlp import FeatureTeacher
from userlogfeat.networks.se_cnn import SECNN
from userlogfeat.networks.teacher import EncoderTeacher, SpectrogramTeacher

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.export.graph import Graph


SHORTEST = np.float32(1e-12)  # length by which torch's normalize divides at least


def input_of(network: nn.Module) -> tuple[str, list[int | str]]:
    """Return name and shape of what a network reads; lengths that vary have names.

    Raises
    ------
    ValueError
        If the network is on an encoder that has no ONNX form.
    """
    encoder = getattr(network, "encoder", None)
    if encoder is not None and not isinstance(encoder, MusicnnEncoder):
        raise ValueError(
            f"The encoder {encoder.name!r} has no ONNX form here, so models that use "
            "it cannot be exported. Those of the musicnn package can, and encoders "
            'that are ONNX files already are read by EncoderEmbedder("onnx:FILE").'
        )
    if isinstance(network, FeatureTeacher):
        return "features", ["clips", network.head[0].in_features]
    if network.front_end is None:
        return "log_mel", ["clips", network.n_bands, "frames"]
    return "waveforms", ["clips", "samples"]


def add_layers(graph: Graph, x: str, network: nn.Module) -> dict[str, str]:
    """Add all layers of a network, and the output of a student.

    Parameters
    ----------
    graph : Graph
    x : str
        Value of the network's input: see :func:`input_of`.
    network : Module
        Network of a saved model.

    Returns
    -------
    dict of str to str
        Values (clips, size).

    Raises
    ------
    ValueError
        If the network is of a kind that no function here writes.
    """
    for kind, add in LAYERS.items():
        if isinstance(network, kind):
            layers = add(graph, x, network)
            break
    else:
        raise ValueError(f"Got a {type(network).__name__}, which has no ONNX form.")
    output = getattr(getattr(network, "network", network), "output", None)
    if output is not None:
        layers["output"] = _linear(graph, layers["embedding"], output)
    return layers


def _linear(graph, x, layer):
    """A linear layer on (..., n_in)."""
    product = graph("MatMul", x, layer.weight.T)
    return product if layer.bias is None else graph("Add", product, layer.bias)


def _mlp(graph, x, head):
    for module in head:
        linear = isinstance(module, torch.nn.Linear)
        x = _linear(graph, x, module) if linear else graph("Relu", x)
    return x


def pool(graph: Graph, rows: str, pooling: str) -> str:
    """Pool the rows of clips, (B, P, size), to (B, size) or twice the size."""
    if pooling == "max":
        return graph("ReduceMax", rows, [1], keepdims=0)
    mean = graph("ReduceMean", rows, [1], keepdims=0)
    if pooling == "mean":
        return mean
    apart = graph("Sub", rows, graph("Unsqueeze", mean, [1]))
    spread = graph("ReduceMean", graph("Mul", apart, apart), [1], keepdims=0)
    return graph("Concat", mean, graph("Sqrt", spread), axis=1)


def _feature_layers(graph, features, teacher):
    return {"embedding": _mlp(graph, features, teacher.head)}


def _encoder_layers(graph, waveforms, teacher):
    rows = encode_patches(graph, waveforms, teacher.encoder)
    layers = {name: pool(graph, value, "mean") for name, value in rows.items()}
    if teacher.head is not None:
        pooled = [
            pool(graph, rows[name], teacher.head_pooling)
            for name in teacher.head_layers
        ]
        read = pooled[0] if len(pooled) == 1 else graph("Concat", *pooled, axis=1)
        layers["embedding"] = _mlp(graph, read, teacher.head)
    return layers


def _frames_first(graph, x, front_end):
    """Spectrograms (B, T, F) of waveforms, or of spectrograms (B, F, T)."""
    if front_end is None:
        return graph("Transpose", x, perm=[0, 2, 1])
    settings = front_end.front_end
    padded = pad_waveforms(graph, x, settings)
    return log_mel(graph, padded, n_frames(graph, padded, settings), settings)


def _spectrogram_layers(graph, x, teacher):
    inner = getattr(teacher.network, "network", teacher.network)
    kinds = {SECNN: _se_cnn, MetricCNN: _metric, ArtistCNN: _artist}
    if type(inner) not in kinds:
        raise ValueError(
            f"Got a network of the class {type(inner).__name__}, which is "
            "your own and has no ONNX form here. Pass load_model(...).plain() to "
            "torch.onnx.export."
        )
    if teacher.front_end is not None:
        frames = _frames_first(graph, x, teacher.front_end)
        x = graph("Transpose", frames, perm=[0, 2, 1])
    return kinds[type(inner)](graph, x, teacher.network)


def _se_cnn(graph, x, network):
    """Layers of spectrograms (B, F, T): see `networks.se_cnn`, `networks.blocks`."""
    maps, layers = graph("Unsqueeze", x, [1]), {}
    pools = (*network.pools, None)
    for (name, block), size in zip(network.blocks.items(), pools, strict=True):
        scale, shift = _norm(block.norm1)
        maps = graph("Mul", maps, scale[:, None, None])
        maps = graph("Relu", graph("Add", maps, shift[:, None, None]))
        scale, shift = _norm(block.norm2)  # into the convolution before it
        filters = block.conv1.weight * scale[:, None, None, None]
        same = {"pads": [1, 1, 1, 1]}
        maps = graph("Relu", graph("Conv", maps, filters, shift, **same))
        maps = graph("Conv", maps, block.conv2.weight, block.conv2.bias, **same)
        averages = graph("ReduceMean", maps, [2, 3], keepdims=0)
        factors = _linear(graph, averages, block.excitation.squeeze)
        factors = _linear(graph, graph("Relu", factors), block.excitation.expand)
        factors = graph("Sigmoid", factors)
        layers[name] = graph("Mul", factors, averages)
        if size is not None:
            maps = graph("MaxPool", maps, kernel_shape=[*size], strides=[*size])
            maps = graph("Mul", maps, graph("Unsqueeze", factors, [2, 3]))
    layers["embedding"] = _linear(graph, layers[name], network.embedding)
    return layers


def _norm(norm):
    """Scale and shift of a batch norm in evaluation."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


def _contexts(graph, x, network, size):
    """Units (B, P, size) of the P contexts of spectrograms (B, F, T)."""
    length = network.n_frames
    n_bands = len(network.network.mean)
    count = graph("Div", graph.size(x, 2), [length])
    whole = graph.slice(x, 0, graph("Mul", count, [length]), 2)
    contexts = graph.reshape(whole, 0, n_bands, count, length)
    contexts = graph("Transpose", contexts, perm=[0, 2, 1, 3])
    contexts = graph.reshape(contexts, -1, n_bands, length)
    inner = network.network
    x = graph("Sub", contexts, inner.mean[:, None])
    x = graph("Mul", x, 1 / inner.scale[:, None])
    add = _CONTEXTS[type(inner)]
    return graph.reshape(add(graph, x, inner), -1, count, size)


def _metric_units(graph, x, network):
    """See `networks.metric.MetricCNN`."""
    for conv, width in zip(network.convs, network.pools, strict=True):
        pads = [conv.padding[0], conv.padding[0]]
        x = graph("Conv", x, conv.weight, conv.bias, pads=pads)
        x = graph("MaxPool", x, kernel_shape=[width], strides=[width])
        x = graph("Relu", x)
    x = graph("Conv", x, network.last.weight, network.last.bias)
    return graph("ReduceMax", x, [2], keepdims=0)


def _artist_units(graph, x, network):
    """See `networks.artist.ArtistCNN`; batch norms are in the convolutions."""
    pools = (*network.pools, 1)
    for conv, norm, size in zip(network.convs, network.norms, pools, strict=True):
        scale, shift = _norm(norm)
        width = conv.kernel_size[0]
        pads = [(width - 1) // 2, width // 2]
        weight = conv.weight * scale[:, None, None]
        x = graph("Conv", x, weight, shift, pads=pads)
        if size > 1:
            x = graph("MaxPool", x, kernel_shape=[size], strides=[size])
        x = graph("Relu", x)
    return graph("ReduceMax", x, [2], keepdims=0)


def _metric(graph, x, network):
    units = _contexts(graph, x, network, network.network.n_units)
    length = graph("ReduceL2", units, [2], keepdims=1)
    units = graph("Div", units, graph("Max", length, SHORTEST))
    return {"embedding": pool(graph, units, "mean")}


def _artist(graph, x, network):
    head = network.discriminant
    mean = pool(graph, _contexts(graph, x, network, head.in_features), "mean")
    return {"context_mean": mean, "embedding": _linear(graph, mean, head)}


def _frame_layers(graph, x, teacher):
    """See `networks.frame_statistics.FrameTeacher`."""
    if teacher.pooling is None:
        raise ValueError(
            "The model was fitted with pooling=None, so a clip has as many rows as "
            'windows. Only models with one row per clip are exported: pooling="mean".'
        )
    frames = _frames_first(graph, x, teacher.front_end)  # B, T, F
    windows = _windows(graph, frames, teacher.n_bands, teacher.statistics)
    layers = {"base": _pooled_statistics(graph, windows, teacher)}
    if teacher.features is not None:
        size = teacher.features.out_features
        embedded = _linear(graph, frames, teacher.features)
        windows = _windows(graph, embedded, size, teacher.statistics)
        layers["embedding"] = _pooled_statistics(graph, windows, teacher)
    if teacher.labels is not None:
        means = graph("ReduceMean", windows, [2], keepdims=0)
        layers["affinity"] = _linear(graph, pool(graph, means, "mean"), teacher.labels)
    return layers


def _windows(graph, frames, size, statistics):
    """Windows (B, P, L, size) of frames (B, T, size)."""
    length, hop = statistics.window, statistics.hop
    if length is None:
        return graph("Unsqueeze", frames, [1])
    n = graph.size(frames, 1)
    if length == hop:
        count = graph("Div", n, [length])
        whole = graph.slice(frames, 0, graph("Mul", count, [length]), 1)
        return graph.reshape(whole, 0, count, length, size)
    count = graph("Add", graph("Div", graph("Sub", n, [length]), [hop]), [1])
    starts = graph("Unsqueeze", graph.steps(count, hop), [1])
    return graph("Gather", frames, graph("Add", starts, np.arange(length)), axis=1)


def _pooled_statistics(graph, windows, teacher):
    """Statistics of windows (B, P, L, size), side by side, pooled over windows."""
    mean = graph("ReduceMean", windows, [2], keepdims=1)

    def variance() -> Any:
        apart = graph("Sub", windows, mean)
        return graph("ReduceMean", graph("Mul", apart, apart), [2], keepdims=0)

    statistics = {
        "mean": lambda: graph("Squeeze", mean, [2]),
        "var": variance,
        "max": lambda: graph("ReduceMax", windows, [2], keepdims=0),
        "min": lambda: graph("ReduceMin", windows, [2], keepdims=0),
    }
    rows = [statistics[name]() for name in teacher.statistics.statistics]
    return pool(graph, graph("Concat", *rows, axis=2), teacher.pooling)


LAYERS = {
    FeatureTeacher: _feature_layers,
    EncoderTeacher: _encoder_layers,
    SpectrogramTeacher: _spectrogram_layers,
    FrameTeacher: _frame_layers,
}
_CONTEXTS = {MetricCNN: _metric_units, ArtistCNN: _artist_units}
