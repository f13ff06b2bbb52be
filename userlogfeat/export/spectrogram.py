"""Log-mel spectrograms in an ONNX graph: frames, a transform, filters, a logarithm.

The transform is two matrix products. With x the n samples of a frame and w the window,
w[n - k] = w[k] and w[0] = 0, so that

    re[f] = sum_k w[k] (x[k] + x[n - k]) cos(2 pi k f / n),  k = 1 ... n / 2,
    im[f] = sum_k w[k] (x[k] - x[n - k]) sin(2 pi k f / n),

where k = n / 2 counts half. That is a quarter of the products of a plain transform; the
window is in the matrices, and so are only the bins that a filter reads.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from userlogfeat.networks.mel import LARGEST_HALF, mel_filters

if TYPE_CHECKING:
    from userlogfeat.export.graph import Graph
    from userlogfeat.frontends import FrontEnd


def pad_waveforms(graph: Graph, waveforms: str, front_end: FrontEnd) -> str:
    """Put half a window of zeros before and after waveforms (B, N): frames centre."""
    half = front_end.n_fft // 2
    return graph("Pad", waveforms, [half, half], np.float32(0), [1])


def n_frames(graph: Graph, padded: str, front_end: FrontEnd) -> str:
    """Return the number of frames of padded waveforms (B, N), as a length (1,)."""
    room = graph("Sub", graph.size(padded, 1), [front_end.n_fft])
    count = graph("Div", room, [front_end.hop])
    return count if front_end.drop_last else graph("Add", count, [1])


def log_mel(graph: Graph, padded: str, count: str, front_end: FrontEnd) -> str:
    """Add the log-mel spectrogram of padded waveforms.

    Parameters
    ----------
    graph : Graph
    padded : str
        Value (B, N): see :func:`pad_waveforms`.
    count : str
        How many frames, as a length (1,).
    front_end : FrontEnd

    Returns
    -------
    str
        Value (B, T, F): frames come first.
    """
    cosines, sines, filters = transform_matrices(front_end)
    half, n_fft = front_end.n_fft // 2, front_end.n_fft
    starts = graph("Unsqueeze", graph.steps(count, front_end.hop), [1])  # T, 1
    forward, backward = (
        graph("Gather", padded, graph("Add", starts, places), axis=1)  # B, T, n / 2
        for places in (np.arange(1, half + 1), np.arange(n_fft - 1, half - 1, -1))
    )
    re = graph("MatMul", graph("Add", forward, backward), cosines)
    im = graph("MatMul", graph("Sub", forward, backward), sines)
    power = graph("Add", graph("Mul", re, re), graph("Mul", im, im))
    if front_end.power == 1:
        power = graph("Sqrt", power)
    return _compress(graph, graph("MatMul", power, filters), front_end)


def transform_matrices(front_end: FrontEnd) -> tuple[np.ndarray, ...]:
    """Return cosines and sines (n / 2, bins), and filters (bins, bands), float32."""
    n, half = front_end.n_fft, front_end.n_fft // 2
    filters = mel_filters(front_end).numpy()
    bins = np.flatnonzero(filters.any(axis=1))
    k = np.arange(1, half + 1)[:, None]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * k / n)  # Hann's
    window[-1] /= 2  # the middle is in both halves
    angles = 2 * np.pi / n * (k * bins % n)
    matrices = window * np.cos(angles), window * np.sin(angles), filters[bins]
    return tuple(matrix.astype(np.float32) for matrix in matrices)


def _compress(graph, mel, front_end):
    """``log(1 + gain * mel)``, as in `networks.mel`."""
    if front_end.half:
        mel = graph("Min", mel, np.float32(LARGEST_HALF))
        mel = graph("Cast", mel, to=graph.onnx.TensorProto.FLOAT16)
        mel = graph("Cast", mel, to=graph.onnx.TensorProto.FLOAT)
    x = graph("Add", graph("Mul", mel, np.float32(front_end.gain)), np.float32(1))
    logarithm = graph("Log", x)
    if front_end.base == "e":
        return logarithm
    return graph("Mul", logarithm, np.float32(1 / math.log(front_end.base)))
