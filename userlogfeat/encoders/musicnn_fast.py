"""The musicnn tagger, with what neighbouring patches share computed once.

Pons & Serra (2019), "musicnn: pre-trained convolutional neural networks for music audio
tagging": the network of their package, whose weights it reads. It maps log-mel patches
of 187 frames (3 s) to 50 tags.

What its front end costs, and what is saved here without changing the result:

* Each of its convolutions is followed by ReLU, batch norm and a maximum over bands.
  ReLU is monotone and batch norm is a x + c per channel, so the maximum can come first:
  with s = sign(a) folded into the filters,
  max_j (a relu(z_j + b) + c) = a relu(s max_j (s z_j) + b) + c.
* Timbral filters see 7 frames. With tap k of band f in row 7 f + k of a matrix,
  M[7 f + k, t] = x[t + k - 3, f], a filter of h bands at band j sees the rows 7 j to
  7 (j + h) of M: a contiguous block. So every j is one matrix product without copies,
  and the maximum over j is taken in blocks of frames that fit the processor's cache.
* Patches overlap. A timbral output depends on its patch only within 3 frames of its
  edges, where the zero padding shows: the others are computed once per frame, the
  edges once per patch.
* Temporal filters see one band and 32 to 128 frames. With frames as rows and (band,
  patch) as columns, the outputs at `STEPS` neighbouring frames are one product of a
  Toeplitz matrix and contiguous rows. Rows beyond the patch, its padding, are left out.

The network is for inference: it records no gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import nn

from userlogfeat.encoders.musicnn_checkpoint import (
    DTYPES,
    N_BANDS,
    N_FRAMES,
    N_TAGS,
    batch_norm,
    empty_layer,
    input_state,
)
from userlogfeat.networks.threads import map_blocks

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


TIMBRAL_HEIGHTS, TIMBRAL_TAPS, N_TIMBRAL = (38, 67), 7, 204
TEMPORAL_LENGTHS, N_TEMPORAL = (128, 64, 32), 51
N_CNN, CNN_TAPS, N_PENULTIMATE = 64, 7, 200

STEPS = 4  # temporal outputs in one product
# Stages of the middle that a layer needs; others need all.
_N_STAGES = {"timbral": 0, "temporal": 0, "cnn1": 1, "cnn2": 2}
BLOCK_FRAMES = 1024  # columns of a timbral product
BLOCK_PATCHES = {torch.float32: 32, torch.bfloat16: 64}  # of a temporal product
SHARED_PATCHES = 128  # at most so many patches share frames
MIN_PATCHES = 8  # fewest worth a thread of their own
AMAX_BYTES = 128  # last axis from which on torch's amax is fast
ROUND_FRAMES, ROUND_PATCHES = 64, 8  # few shapes: oneDNN plans each shape anew


class Stage(nn.Module):
    """A convolution's matrix, and bias, ReLU and batch norm after it.

    Parameters
    ----------
    rows, columns : int
        Shape of the matrix.
    n_channels : int
        Outputs, each with its own bias and batch norm.
    dtype : torch.dtype
        Type of the matrix.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        n_channels: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(rows, columns, dtype=dtype))
        for name in ("sign", "bias", "scale", "shift"):
            self.register_buffer(name, torch.empty(n_channels))

    def finish(self, z: Tensor) -> Tensor:
        """Bias, ReLU and batch norm of (..., n_channels)."""
        z = torch.addcmul(self.bias, z, self.sign).relu_()
        return torch.addcmul(self.shift, z, self.scale)


class Musicnn(nn.Module):
    """The musicnn network: timbral and temporal filters, three convolutions, tags.

    Fill it with :func:`musicnn_state`.

    Parameters
    ----------
    precision : {"fp32", "bf16"}
        Precision of the matrix products of the convolutions; sums are float32 in both.
    """

    n_front = len(TIMBRAL_HEIGHTS) * N_TIMBRAL + len(TEMPORAL_LENGTHS) * N_TEMPORAL
    n_pooled = n_front + 3 * N_CNN
    layer_sizes = {
        "taggram": N_TAGS,
        "penultimate": N_PENULTIMATE,
        "mean_pool": n_pooled,
        "max_pool": n_pooled,
        "timbral": len(TIMBRAL_HEIGHTS) * N_TIMBRAL,
        "temporal": len(TEMPORAL_LENGTHS) * N_TEMPORAL,
        "cnn1": N_CNN,
        "cnn2": N_CNN,
        "cnn3": N_CNN,
    }

    def __init__(self, *, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        super().__init__()
        dtype = DTYPES[precision]
        self.register_buffer("input_scale", torch.empty(1))
        self.register_buffer("input_shift", torch.empty(1))
        self.timbral = nn.ModuleList(
            Stage(N_TIMBRAL, height * TIMBRAL_TAPS, N_TIMBRAL, dtype)
            for height in TIMBRAL_HEIGHTS
        )
        self.temporal = nn.ModuleList(
            Stage(STEPS * N_TEMPORAL, length + STEPS - 1, N_TEMPORAL, dtype)
            for length in TEMPORAL_LENGTHS
        )
        self.cnn = nn.ModuleList(
            Stage(CNN_TAPS * N_CNN, n_inputs, N_CNN)
            for n_inputs in (self.n_front, N_CNN, N_CNN)
        )
        self.dense = Stage(N_PENULTIMATE, 2 * self.n_pooled, N_PENULTIMATE)
        self.tags = empty_layer(nn.Linear, N_PENULTIMATE, N_TAGS)

    @torch.no_grad()
    def forward(
        self, frames: Tensor, starts: Tensor, layers: Sequence[str] = ("taggram",)
    ) -> dict[str, Tensor]:
        """Layers of every patch.

        Parameters
        ----------
        frames : Tensor (n_frames, 96)
            Log-mel spectrograms of one or many clips, laid end to end.
        starts : Tensor (n_patches,), int64
            First frame of each patch; ascending starts share the most.
        layers : sequence of str
            Names out of `layer_sizes`. Layers that have frames (``timbral``,
            ``temporal``, ``cnn1`` ...) are averaged over those of the patch.

        Returns
        -------
        dict of str to Tensor (n_patches, size), float32
        """
        encode = partial(self._encode, frames, layers=layers)
        parts = map_blocks(
            encode,
            starts.to(frames.device),
            smallest=MIN_PATCHES,
            largest=SHARED_PATCHES,
        )
        return {name: torch.cat([part[name] for part in parts]) for name in layers}

    @torch.no_grad()
    def _encode(self, frames, starts, layers):
        """Layers of so many patches that their frames fit into memory."""
        first, end = int(starts.min()), int(starts.max()) + N_FRAMES
        frames = frames[first:end].float()
        frames = torch.addcmul(self.input_shift, frames, self.input_scale)
        frames = frames.to(self.timbral[0].weight.dtype)
        timbral, rows = self._timbral(frames, starts - first)
        n_patches = BLOCK_PATCHES[frames.dtype]
        parts = []
        for block, block_rows in zip(
            (starts - first).split(n_patches), rows.split(n_patches), strict=True
        ):
            own = timbral.index_select(0, block_rows.flatten())
            own = own.view(len(block), N_FRAMES, -1)
            front = torch.cat([own, self._temporal(frames, block)], dim=2)
            parts.append(self._back(front, layers))
        return {name: torch.cat([part[name] for part in parts]) for name in layers}

    def _timbral(self, frames, starts):
        """Timbral outputs of all distinct frames, and where each patch has its own.

        Returns
        -------
        outputs : Tensor (n_outputs, 408)
        rows : Tensor (n_patches, 187), int64
            Row of `outputs` for each frame of each patch.
        """
        taps, rows = _tap_frames(starts, len(frames))
        columns = F.pad(frames.T, (0, 1))  # its last column is the zero padding
        outputs = []
        for block in taps.split(BLOCK_FRAMES, dim=1):
            # Bands and taps become rows: (96, 7 * T) -> (96 * 7, T).
            x = columns.index_select(1, block.flatten())
            x = x.view(N_BANDS * TIMBRAL_TAPS, block.shape[1])
            parts = []
            for stage in self.timbral:
                maxima = _max_over_offsets(stage.weight, x)
                parts.append(stage.finish(maxima.T))
            outputs.append(torch.cat(parts, dim=1))
        return torch.cat(outputs), rows

    def _temporal(self, frames, starts):
        """Temporal outputs (n_patches, 187, 153) of a block of patches."""
        n_patches = len(starts)
        starts = F.pad(starts, (0, -n_patches % ROUND_PATCHES))
        within = torch.arange(N_FRAMES, device=starts.device)
        x = frames.index_select(0, (starts[:, None] + within).flatten())
        # P, T, F -> T, F * P
        x = x.view(len(starts), N_FRAMES, N_BANDS).permute(1, 2, 0)
        x = x.reshape(N_FRAMES, N_BANDS * len(starts))
        outputs = [
            # T, C, P -> P, T, C
            stage.finish(_max_over_bands(stage.weight, x).permute(2, 0, 1))[:n_patches]
            for stage in self.temporal
        ]
        return torch.cat(outputs, dim=2)

    def _back(self, front, layers):
        """Layers after the front end's (n_patches, 187, 561)."""
        maps = [front]
        n_stages = max(_N_STAGES.get(name, len(self.cnn)) for name in layers)
        for index, stage in enumerate(self.cnn[:n_stages]):
            z = stage.finish(_convolve_frames(stage.weight, maps[-1]))
            maps.append(z if index == 0 else z + maps[-1])
        found = {}
        if n_stages == len(self.cnn):
            found["max_pool"] = torch.cat([x.amax(1) for x in maps], dim=1)
        if set(layers) == {"max_pool"}:
            return found
        mean_pool = torch.cat([x.mean(1) for x in maps], dim=1)
        n_timbral = self.layer_sizes["timbral"]
        found["timbral"] = mean_pool[:, :n_timbral]
        found["temporal"] = mean_pool[:, n_timbral : self.n_front]
        means = mean_pool[:, self.n_front :].split(N_CNN, dim=1)
        found.update(zip(("cnn1", "cnn2", "cnn3"), means, strict=False))
        if n_stages == len(self.cnn):
            pooled = torch.cat([found["max_pool"], mean_pool], dim=1)
            dense = self.dense.finish(F.linear(pooled, self.dense.weight))
            found["mean_pool"], found["penultimate"] = mean_pool, dense
            found["taggram"] = self.tags(dense).sigmoid()
        return {name: found[name] for name in layers}


_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(
    torch.ops.mkldnn, "_linear_pointwise"
)


def _product(a, b):
    """The matrix product a b, by the library that is fastest where it runs.

    For float32 on a CPU torch.mm asks MKL, which leaves the wide registers of other
    makers' processors unused; oneDNN, behind the operator that torch.compile uses,
    does not.
    """
    if a.device.type == "cpu" and a.dtype == torch.float32 and _HAS_ONEDNN:
        # A private name of torch: without it, the plain product is right, and slower.
        return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")
    return a @ b


def _tap_frames(starts, n_frames):
    """Which frames the timbral filters see, for every distinct output.

    Returns
    -------
    taps : Tensor (7, n_outputs), int64
        Frame under each tap; `n_frames` for the zero padding. The number of outputs
        is rounded up, and those added see only padding.
    rows : Tensor (n_patches, 187), int64
        The output that each frame of each patch is.
    """
    margin, device = TIMBRAL_TAPS // 2, starts.device
    within = torch.arange(N_FRAMES, device=device)
    edges = torch.cat([within[:margin], within[-margin:]])
    centres = starts[:, None] + within
    needed = torch.zeros(n_frames, dtype=torch.bool, device=device)
    needed[centres[:, margin:-margin]] = True
    shared = needed.nonzero()[:, 0]
    rows = (needed.cumsum(0) - 1)[centres]
    n_edges = len(starts) * len(edges)
    rows[:, edges] = len(shared) + torch.arange(n_edges, device=device).view(
        len(starts), len(edges)
    )
    tap = torch.arange(-margin, margin + 1, device=device)[:, None]
    of_edges = edges + tap[..., None]  # 7, 1, 6, counted within the patch
    inside = (of_edges >= 0) & (of_edges < N_FRAMES)
    of_edges = torch.where(inside, starts[:, None] + of_edges, n_frames).flatten(1)
    taps = torch.cat([shared + tap, of_edges], dim=1)
    return F.pad(taps, (0, -taps.shape[1] % ROUND_FRAMES), value=n_frames), rows


def _max_over_offsets(weight, x):
    """Maximum over band offsets of a timbral filter bank: (channels, T).

    Parameters
    ----------
    weight : Tensor (channels, height * 7)
    x : Tensor (96 * 7, T)
    """
    width = weight.shape[1]
    maximum = _product(weight, x[:width])
    for row in range(TIMBRAL_TAPS, len(x) - width + 1, TIMBRAL_TAPS):
        torch.maximum(maximum, _product(weight, x[row : row + width]), out=maximum)
    return maximum


def _max_over_bands(weight, x):
    """Maximum over bands of a temporal filter bank: (187, channels, P).

    Parameters
    ----------
    weight : Tensor (STEPS * channels, length + STEPS - 1)
        Toeplitz: output step r sees columns r to r + length.
    x : Tensor (187, 96 * P)
    """
    length = weight.shape[1] - STEPS + 1
    left = (length - 1) // 2  # of TensorFlow's "same" padding
    outputs = []
    for step in range(0, N_FRAMES, STEPS):
        start = step - left
        inside = slice(max(0, start), min(N_FRAMES, start + weight.shape[1]))
        filters = weight[:, inside.start - start : inside.stop - start]
        z = _product(filters, x[inside]).view(STEPS * N_TEMPORAL, N_BANDS, -1)
        outputs.append(_max_over_middle(z).view(STEPS, N_TEMPORAL, -1))
    return torch.cat(outputs)[:N_FRAMES]


def _max_over_middle(z):
    """Maximum over the middle axis of (n, 96, P).

    torch's amax is fast where the last axis fills its registers, and ten times slower
    than taking maxima of halves where it does not.
    """
    if z.device.type != "cpu" or z.shape[2] * z.element_size() >= AMAX_BYTES:
        return z.amax(1)
    while z.shape[1] % 2 == 0:
        half = z.shape[1] // 2
        z = torch.maximum(z[:, :half], z[:, half:])
    return torch.maximum(torch.maximum(z[:, 0], z[:, 1]), z[:, 2])  # 96 = 3 * 2 ** 5


def _convolve_frames(weight, maps):
    """Convolution over the 7 frames around each: (P, 187, C) -> (P, 187, 64).

    Parameters
    ----------
    weight : Tensor (7 * 64, C)
    maps : Tensor (P, 187, C), float32
    """
    n_patches, n_frames, n_inputs = maps.shape
    x = maps.reshape(n_patches * n_frames, n_inputs).to(weight.dtype)
    taps = _product(x, weight.T).view(n_patches, n_frames, CNN_TAPS, N_CNN)
    margin = CNN_TAPS // 2
    total = taps[:, :, margin].float()
    for tap in range(CNN_TAPS):
        shift = tap - margin  # output t takes tap `tap` of input t + shift
        if shift < 0:
            total[:, -shift:] += taps[:, :shift, tap]
        elif shift > 0:
            total[:, :-shift] += taps[:, shift:, tap]
    return total


def musicnn_state(variables: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The state of a :class:`Musicnn` from the variables of its checkpoint.

    Parameters
    ----------
    variables : dict of str to ndarray
        Result of
        :func:`~userlogfeat.encoders.tensorflow_checkpoint.read_checkpoint`.

    Returns
    -------
    dict of str to Tensor
        For ``load_state_dict``.
    """
    state = input_state(variables)
    names = [*(f"timbral.{i}" for i in (0, 1)), *(f"temporal.{i}" for i in (0, 1, 2))]
    names += [f"cnn.{i}" for i in (0, 1, 2)]
    arrange = {"timbral": _timbral_matrix, "temporal": _toeplitz, "cnn": _cnn_matrix}
    for i, name in enumerate(names):
        prefix = "conv2d" + (f"_{i}" if i else "")
        kernel, bias = (
            torch.tensor(variables[f"{prefix}/{part}"]) for part in ("kernel", "bias")
        )
        scale, shift = batch_norm(variables, i + 1)
        kind = name.partition(".")[0]
        sign = torch.ones_like(scale)
        if kind != "cnn":
            sign[scale < 0] = -1.0
        stage = {"sign": sign, "bias": bias, "scale": scale, "shift": shift}
        stage["weight"] = arrange[kind](kernel * sign)
        state |= {f"{name}.{key}": value for key, value in stage.items()}
    return state | _dense_state(variables)


def _timbral_matrix(kernel):
    """(7 frames, height bands, 1, C) -> (C, height * 7)."""
    return kernel[:, :, 0].permute(2, 1, 0).flatten(1)


def _toeplitz(kernel):
    """(length, 1, 1, C) -> (STEPS * C, length + STEPS - 1)."""
    filters = kernel[:, 0, 0].T
    return torch.cat([F.pad(filters, (r, STEPS - 1 - r)) for r in range(STEPS)])


def _cnn_matrix(kernel):
    """(7 frames, inputs, 1, 64) -> (7 * 64, inputs)."""
    return kernel[:, :, 0].permute(0, 2, 1).flatten(0, 1)


def _dense_state(variables):
    """The two dense layers. The first sees (max, mean) of each feature, interleaved."""
    before_scale, before_shift = batch_norm(variables, 9)
    scale, shift = batch_norm(variables, 10)
    kernel = torch.tensor(variables["dense/kernel"])
    weight = (before_scale[:, None] * kernel).T
    return {
        "dense.weight": torch.cat([weight[:, 0::2], weight[:, 1::2]], dim=1),
        "dense.bias": torch.tensor(variables["dense/bias"]) + before_shift @ kernel,
        "dense.sign": torch.ones_like(scale),
        "dense.scale": scale,
        "dense.shift": shift,
        "tags.weight": torch.tensor(variables["dense_1/kernel"]).T,
        "tags.bias": torch.tensor(variables["dense_1/bias"]),
    }
