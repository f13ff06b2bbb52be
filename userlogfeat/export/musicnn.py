"""The networks of the musicnn package in an ONNX graph.

Patches go through in blocks of `BLOCK_PATCHES`, one block after the other, spectrogram
included: memory does not grow with the length of a clip. Of the ideas of
:mod:`userlogfeat.encoders.musicnn_fast` these are kept:

* Outputs of the timbral filters that do not see the edge of a patch are computed once
  per frame; those at its edges once per patch.
* ``max_j relu(z_j + b)``, with the sign of the batch norm folded into the filters: the
  maximum over bands comes first.
* Outputs at neighbouring bands (timbral) or frames (temporal) are one product with a
  banded matrix, which holds the filter once for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from userlogfeat.encoders.musicnn import MusicnnEncoder, load_network
from userlogfeat.encoders.musicnn_checkpoint import N_BANDS, N_FRAMES
from userlogfeat.encoders.musicnn_fast import (
    CNN_TAPS,
    N_CNN,
    N_TEMPORAL,
    N_TIMBRAL,
    STEPS,
    TEMPORAL_LENGTHS,
    TIMBRAL_HEIGHTS,
    TIMBRAL_TAPS,
    Musicnn,
)
from userlogfeat.encoders.musicnn_vgg import POOLS
from userlogfeat.export.spectrogram import log_mel, n_frames, pad_waveforms

if TYPE_CHECKING:
    from userlogfeat.export.graph import Graph


BLOCK_PATCHES = 16  # of a clip that go through the network at a time
BAND_STEPS = 8  # neighbouring bands of a timbral product
FRAME_STEPS = 16  # neighbouring frames of a temporal product
MARGIN = TIMBRAL_TAPS // 2


def encode_patches(
    graph: Graph, waveforms: str, encoder: MusicnnEncoder
) -> dict[str, str]:
    """Add an encoder of the musicnn package.

    Parameters
    ----------
    graph : Graph
    waveforms : str
        Value (B, N), with at least ``encoder.min_samples`` samples.
    encoder : MusicnnEncoder

    Returns
    -------
    dict of str to str
        Layers of every patch: values (B, P, size).
    """
    front_end, hop = encoder.front_end, encoder.hop_frames
    padded = pad_waveforms(graph, waveforms, front_end)
    # P patches of a clip, in blocks of equal size: K patches each.
    room = graph("Sub", n_frames(graph, padded, front_end), [N_FRAMES])
    n_patches = graph("Add", graph("Div", room, [hop]), [1])
    n_blocks = _divide_up(graph, n_patches, [BLOCK_PATCHES])
    in_block = _divide_up(graph, n_patches, n_blocks)
    frames = graph("Add", graph("Mul", graph("Sub", in_block, [1]), [hop]), [N_FRAMES])
    blocks = _cut_blocks(graph, padded, frames, n_blocks, in_block, encoder)
    network = load_network(encoder.name)
    places = graph("Unsqueeze", graph.steps(in_block, hop), [1])  # K, 1
    add = _add_vgg if "vgg" in encoder.name else _add_musicnn

    def body(inner, block):
        spectrogram = log_mel(inner, inner("Unsqueeze", block, [0]), frames, front_end)
        spectrogram = inner("Squeeze", spectrogram, [0])  # frames, bands
        layers = add(inner, spectrogram, places, network)
        return [layers[name] for name in encoder.layer_sizes]

    values = graph.scan(blocks, body)  # B n_blocks, K, size
    clips = graph.size(waveforms, 0)
    found = {}
    for (name, size), value in zip(encoder.layer_sizes.items(), values, strict=True):
        rows = graph("Mul", n_blocks, in_block)
        value = graph.reshape(value, clips, rows, size)
        found[name] = graph.slice(value, 0, n_patches, 1)
    return found


def _divide_up(graph, n, by):
    """N / by, rounded up."""
    more = graph("Sub", by, [1])
    return graph("Div", graph("Add", n, more), by)


def _cut_blocks(graph, padded, frames, n_blocks, in_block, encoder):
    """Samples of every block: (B n_blocks, samples).

    The last block may reach beyond the clip; patches of that part are dropped later.
    """
    hop, n_fft = encoder.front_end.hop, encoder.front_end.n_fft
    samples = graph("Mul", graph("Sub", frames, [1]), [hop])
    samples = graph("Add", samples, [n_fft])
    step = graph("Mul", in_block, [hop * encoder.hop_frames])
    starts = graph("Mul", graph.steps(n_blocks), step)
    places = graph("Add", graph("Unsqueeze", starts, [1]), graph.steps(samples))
    last = graph("Sub", graph.size(padded, 1), [1])
    blocks = graph("Gather", padded, graph("Min", places, last), axis=1)
    return graph.reshape(blocks, -1, samples)


def _add_musicnn(graph, spectrogram, places, network):
    """Layers (K, size) of patches that begin at `places` (K, 1) of (frames, bands)."""
    frames = graph("Mul", spectrogram, network.input_scale)
    frames = graph("Add", frames, network.input_shift)
    patches = graph("Gather", frames, graph("Add", places, np.arange(N_FRAMES)), axis=0)
    front = [
        _timbral(graph, frames, patches, places, network.timbral),
        *(_temporal(graph, patches, stage) for stage in network.temporal),
    ]
    maps = [graph("Concat", *front, axis=2)]  # K, 187, 561
    for index, stage in enumerate(network.cnn):
        z = _finish(graph, _convolve_frames(graph, maps[-1], stage.weight), stage)
        maps.append(z if index == 0 else graph("Add", z, maps[-1]))
    return _pooled_layers(graph, maps, network)


def _pooled_layers(graph, maps, network):
    maxima = [graph("ReduceMax", x, [1], keepdims=0) for x in maps]
    means = [graph("ReduceMean", x, [1], keepdims=0) for x in maps]
    n_timbral = Musicnn.layer_sizes["timbral"]
    layers = {
        "max_pool": graph("Concat", *maxima, axis=1),
        "mean_pool": graph("Concat", *means, axis=1),
        "timbral": graph.slice(means[0], 0, n_timbral, 1),
        "temporal": graph.slice(means[0], n_timbral, Musicnn.n_front, 1),
        **{f"cnn{index}": means[index] for index in (1, 2, 3)},
    }
    pooled = graph("Concat", layers["max_pool"], layers["mean_pool"], axis=1)
    dense = network.dense
    hidden = _finish(graph, graph("MatMul", pooled, dense.weight.T), dense)
    tags = network.tags
    logits = graph("Gemm", hidden, tags.weight.T, tags.bias)
    return layers | {"penultimate": hidden, "taggram": graph("Sigmoid", logits)}


def _timbral(graph, frames, patches, places, stages):
    """Timbral outputs (K, 187, 408): within patches shared, at their edges by patch."""
    within = np.arange(N_FRAMES - 2 * MARGIN)
    shared = _timbral_outputs(graph, frames, stages)  # frames - 6, 408
    own = graph("Gather", shared, graph("Add", places, within), axis=0)
    left = graph.slice(patches, 0, 2 * MARGIN, 1)
    right = graph.slice(patches, N_FRAMES - 2 * MARGIN, N_FRAMES, 1)
    zero = np.float32(0)
    edges = graph(
        "Concat",
        graph("Pad", left, [MARGIN, 0], zero, [1]),
        graph("Pad", right, [0, MARGIN], zero, [1]),
        axis=0,
    )  # 2 K, 9, 96
    # One after the other: 3 outputs of each, and 6 that mix two, which are left out.
    outputs = _timbral_outputs(graph, graph.reshape(edges, -1, N_BANDS), stages)
    outputs = graph("Pad", outputs, [0, 2 * MARGIN], zero, [0])
    width = len(stages) * N_TIMBRAL
    outputs = graph.reshape(outputs, -1, 3 * MARGIN, width)
    outputs = graph.slice(outputs, 0, MARGIN, 1)
    left, right = graph("Split", outputs, n_outputs=2, axis=0, num_outputs=2)
    return graph("Concat", left, own, right, axis=1)


def _timbral_outputs(graph, frames, stages):
    """Timbral outputs (T - 6, 408) of frames (T, 96), without padding."""
    count = graph("Sub", graph.size(frames, 0), [2 * MARGIN])
    rows = graph("Unsqueeze", graph.steps(count), [1])
    taps = graph("Gather", frames, graph("Add", rows, np.arange(TIMBRAL_TAPS)), axis=0)
    taps = graph("Transpose", taps, perm=[0, 2, 1])  # T - 6, 96, 7
    taps = graph.reshape(taps, -1, N_BANDS * TIMBRAL_TAPS)
    outputs = []
    for stage, height in zip(stages, TIMBRAL_HEIGHTS, strict=True):
        n_offsets = N_BANDS - height + 1
        matrix = banded(stage.weight, BAND_STEPS, TIMBRAL_TAPS)
        maxima = []
        for first in range(0, n_offsets, BAND_STEPS):
            # The last product begins earlier: a maximum may see an offset twice.
            start = TIMBRAL_TAPS * min(first, n_offsets - BAND_STEPS)
            x = graph.slice(taps, start, start + matrix.shape[0], 1)
            z = graph.reshape(graph("MatMul", x, matrix), -1, BAND_STEPS, N_TIMBRAL)
            maxima.append(graph("ReduceMax", z, [1], keepdims=0))
        outputs.append(_finish(graph, graph("Max", *maxima), stage))
    return graph("Concat", *outputs, axis=1)


def _temporal(graph, patches, stage):
    """Outputs (K, 187, 51) of a temporal filter bank."""
    length = stage.weight.shape[1] - STEPS + 1
    assert length in TEMPORAL_LENGTHS
    weight = stage.weight[:N_TEMPORAL, :length]  # the first of its `STEPS` copies
    matrix = banded(weight, FRAME_STEPS, 1)
    left = (length - 1) // 2  # of TensorFlow's "same" padding
    x = graph("Transpose", patches, perm=[0, 2, 1])  # K, 96, 187
    parts = []
    for step in range(0, N_FRAMES, FRAME_STEPS):
        n_steps = min(FRAME_STEPS, N_FRAMES - step)
        start = step - left
        first, last = max(0, start), min(N_FRAMES, start + length + n_steps - 1)
        filters = matrix[first - start : last - start, : n_steps * N_TEMPORAL]
        z = graph("MatMul", graph.slice(x, first, last, 2), filters)  # K, 96, steps 51
        z = graph("ReduceMax", z, [1], keepdims=0)
        parts.append(graph.reshape(z, -1, n_steps, N_TEMPORAL))
    return _finish(graph, graph("Concat", *parts, axis=1), stage)


def banded(weight: torch.Tensor, n_steps: int, stride: int) -> torch.Tensor:
    """Return the matrix of a filter bank at `n_steps` neighbouring places.

    Parameters
    ----------
    weight : Tensor (channels, width)
    n_steps, stride : int
        How many places, and inputs from one to the next.

    Returns
    -------
    Tensor (width + (n_steps - 1) * stride, n_steps * channels)
        Column ``r * channels + c`` holds filter c from row ``r * stride`` on.
    """
    rest = (n_steps - 1) * stride
    columns = [
        F.pad(weight, (step * stride, rest - step * stride)) for step in range(n_steps)
    ]
    return torch.cat(columns).T


def _finish(graph, z, stage):
    """Bias, ReLU and batch norm of (..., channels)."""
    if (stage.sign != 1).any():
        z = graph("Mul", z, stage.sign)
    z = graph("Relu", graph("Add", z, stage.bias))
    return graph("Add", graph("Mul", z, stage.scale), stage.shift)


def _convolve_frames(graph, maps, weight):
    """Convolution (K, 187, 64) over the 7 frames around each of (K, 187, C)."""
    taps = graph("MatMul", maps, weight.T)  # K, 187, 7 * 64
    taps = graph("Pad", taps, [MARGIN, MARGIN], np.float32(0), [1])
    shifted = []
    for tap in range(CNN_TAPS):
        starts, stops = [tap, tap * N_CNN], [tap + N_FRAMES, (tap + 1) * N_CNN]
        shifted.append(graph("Slice", taps, starts, stops, [1, 2]))
    return graph("Sum", *shifted)


def _add_vgg(graph, spectrogram, places, network):
    """Layers (K, size) of patches of the vgg network."""
    x = graph("Gather", spectrogram, graph("Add", places, np.arange(N_FRAMES)), axis=0)
    x = graph("Add", graph("Mul", x, network.input_scale), network.input_shift)
    x, layers = graph("Unsqueeze", x, [1]), {}  # K, 1, 187, 96
    for index, (conv, (size, stride)) in enumerate(
        zip(network.cnn, POOLS, strict=True)
    ):
        x = graph("Conv", x, conv.weight, conv.bias, pads=[1, 1, 1, 1])
        x = graph("Mul", graph("Relu", x), network.scale[index][:, None, None])
        x = graph("Add", x, network.shift[index][:, None, None])
        strides = [stride, stride]
        x = graph("MaxPool", x, kernel_shape=list(size), strides=strides)
        layers[f"pool{index + 1}"] = graph("ReduceMean", x, [2, 3], keepdims=0)
    x = graph("Squeeze", x, [3])  # K, 128, 2
    x = graph.reshape(graph("Transpose", x, perm=[0, 2, 1]), 0, -1)
    logits = graph("Gemm", x, network.tags.weight.T, network.tags.bias)
    return layers | {"pool5": x, "taggram": graph("Sigmoid", logits)}
