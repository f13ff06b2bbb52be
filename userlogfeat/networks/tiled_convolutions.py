"""The first block of `SECNN` on a CPU, in pieces that stay in the processor's cache.

Nine tenths of the network's multiplications are in one convolution: the second, from C
to C maps of the whole spectrogram. The maps of a clip are too large for the cache, and
those of a batch take longer to write than to compute. Here they are never written:

* The first convolution has one input map, so its outputs are y = W p, with p the 9
  values around a position. The batch norm after it needs the mean of y, W mean(p), and
  its variance, diag(W cov(p) W'): a 10 x 10 matrix of moments gives both. With the
  batch norm folded into W, a piece of a few frames can go through both convolutions
  and the pooling at once.
* Backward, what is between the convolutions is made again, at 1 / C of the cost of the
  second.
* Each clip is computed by one thread, which waits for no other.
"""

from functools import partial, wraps
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from userlogfeat.networks.threads import map_threads

PIECE_BYTES = 1 << 21  # of the maps between the two convolutions
SIZE = 3  # of the convolutions, in bands and frames
N_TAPS = SIZE**2 + 1  # values around a position, and a one for the bias

# B: clips, F: bands, T: frames, C: channels, P: positions of a piece
ATEN = torch.ops.aten


def _by_itself(function):
    """The same in every thread: nothing recorded, and no dtype but those given."""

    @wraps(function)
    def run(*args, **kwargs):
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            return function(*args, **kwargs)

    return run


class Moments(torch.autograd.Function):
    """``Moments.apply(x)``: the mean of p p' over all positions, (10, 10), float64.

    p are the 9 values around a position of x (B, F, T), with zeros around each clip,
    and a one. So the last row is the mean of p.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Sum of the clips' moments."""
        ctx.save_for_backward(x)
        moments = map_threads(_clip_moments, x.detach(), device=x.device)
        return torch.stack(moments).sum(0) / x.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """(G + G') p, added up where p came from."""
        (x,) = ctx.saved_tensors
        matrix = ((grad + grad.T) / x.numel()).to(x.dtype)
        back = partial(_clip_moments_backward, matrix=matrix)
        return torch.stack(map_threads(back, x, device=x.device))


class PooledConvolutions(torch.autograd.Function):
    """Convolution, ReLU, convolution; then maxima over pools, and global averages.

    ``apply(x, first, second, pool, dtype)`` of x (B, F, T), `first` (C, 10), 9 weights
    and a bias, `second` (C, C, 3, 3), and the dtype of the products, gives maps (B, C,
    F // pool[0], T // pool[1]) of that dtype and averages (B, C) of that of x.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        first: Tensor,
        second: Tensor,
        pool: tuple[int, int],
        dtype: torch.dtype,
    ) -> tuple[Tensor | None, Tensor]:
        """Clips in threads, each in pieces."""
        weights = _as_products_need(first, second, dtype)
        forward = partial(_forward, weights=weights, pool=pool)
        computed = map_threads(forward, x.detach(), device=x.device)
        maps, chosen, sums = (torch.stack(part) for part in zip(*computed, strict=True))
        ctx.save_for_backward(x, first, second, chosen)
        ctx.pool, ctx.dtype = pool, dtype
        averages = (sums / x[0].numel()).to(x.dtype)
        return maps.permute(0, 3, 1, 2), averages

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_maps: Tensor | None, grad_averages: Tensor
    ) -> tuple[Any, ...]:
        """Clips in threads, each in pieces; sums in the order of the clips."""
        x, first, second, chosen = ctx.saved_tensors
        grad_maps = grad_maps.to(ctx.dtype).permute(0, 2, 3, 1).contiguous()
        grad_each = (grad_averages / x[0].numel()).to(ctx.dtype)
        weights = _as_products_need(first, second, ctx.dtype)
        back = partial(_backward, weights=weights, pool=ctx.pool)
        clips = list(zip(x, grad_maps, grad_each, chosen, strict=True))
        grads = map_threads(back, clips, device=x.device)
        grad_x, grad_first, grad_second = zip(*grads, strict=True)
        return (
            torch.stack(grad_x).to(x.dtype),
            torch.stack(grad_first).sum(0).to(first.dtype),
            torch.stack(grad_second).sum(0).to(second.dtype),
            None,
            None,
        )


@_by_itself
def _forward(x, weights, pool):
    """Maps of one clip.

    Parameters
    ----------
    x : Tensor (F, T)

    Returns
    -------
    maps : Tensor (F // pool[0], T // pool[1], C)
    chosen : Tensor of the same shape, int32
        Where in its piece each maximum was.
    sums : Tensor (C,), float32 or float64
        Sums of the second convolution's output over all positions.
    """
    first, second = weights
    padded = _pad(x, first.dtype)
    maps, chosen = [], []
    sums = torch.zeros(len(first), dtype=_wide(first.dtype))
    for frames, _ in _pieces(x.shape, pool, first):
        _, between = _between(padded, frames, first)
        y = F.conv2d(between, second, padding=(1, 0))  # 1, C, F, frames
        largest, place = ATEN.max_pool2d_with_indices(y, pool, pool)
        maps.append(largest[0].permute(1, 2, 0))
        chosen.append(place[0].permute(1, 2, 0).int())
        # In two steps: many roundings of short sums cancel out, that of one would not.
        sums += y.sum(3).to(sums.dtype).sum((0, 2))
    return torch.cat(maps, dim=1), torch.cat(chosen, dim=1), sums


@_by_itself
def _backward(clip, weights, pool):
    """A clip's gradients, of itself (F, T), `first` and `second`."""
    x, grad_maps, grad_each, chosen = clip
    first, second = weights
    padded = _pad(x, first.dtype)
    wide = _wide(first.dtype)
    grad_padded = torch.zeros_like(padded, dtype=wide)
    grad_first = torch.zeros_like(first.T, dtype=wide)
    grad_second = torch.zeros_like(second, dtype=wide)
    n_bands = x.shape[0]
    for frames, columns in _pieces(x.shape, pool, first):
        taps, between = _between(padded, frames, first)
        values = grad_maps[:, columns].flatten(0, 1) + grad_each
        grad = grad_each.repeat(n_bands * (frames.stop - frames.start), 1)  # P, C
        grad.scatter_(0, chosen[:, columns].flatten(0, 1).long(), values)
        grad = grad.view(n_bands, -1, len(first)).permute(2, 0, 1)[None]
        grad, part, _ = ATEN.convolution_backward(
            *(grad, between, second, None),
            *((1, 1), (1, 0), (1, 1), False, (0, 0), 1, (True, True, False)),
        )
        grad_second += part
        grad = ATEN.threshold_backward(grad, between, 0)
        grad = grad[0].permute(1, 2, 0).flatten(0, 1)  # P, C
        grad_first += taps @ grad
        _put_back(grad_padded, frames, first.T @ grad.T)
    return grad_padded[1:-1, 2:-2], grad_first.T, grad_second


def _between(padded, frames, first):
    """Maps between the convolutions, in `frames` and one more on either side.

    Returns
    -------
    taps : Tensor (10, P)
    between : Tensor (1, C, F, frames + 2)
        Zero before and after the clip, as the second convolution expects.
    """
    taps = _taps(padded, frames.start - 1, frames.stop + 1)
    if frames.start == 0:
        taps[:, :, 0] = 0
    if frames.stop == padded.shape[1] - 4:
        taps[:, :, -1] = 0
    shape = (1, *taps.shape[1:], len(first))
    taps = taps.flatten(1)
    between = (taps.T @ first.T).relu_()
    return taps, between.view(shape).permute(0, 3, 1, 2)


@_by_itself
def _clip_moments(x):
    """Sum of p p' over the positions of a clip (F, T): (10, 10), float64."""
    padded = _pad(x, x.dtype)
    moments = torch.zeros(N_TAPS, N_TAPS, dtype=torch.float64)
    for frames in _moment_pieces(x):
        taps = _taps(padded, frames.start, frames.stop).flatten(1)
        moments += taps @ taps.T
    return moments


@_by_itself
def _clip_moments_backward(x, matrix):
    padded = _pad(x, x.dtype)
    grad = torch.zeros_like(padded)
    for frames in _moment_pieces(x):
        taps = _taps(padded, frames.start, frames.stop).flatten(1)
        _put_back(grad, frames, matrix @ taps, margin=0)
    return grad[1:-1, 2:-2]


def _pad(x, dtype):
    """A clip (F, T) with a band of zeros and two frames of zeros on either side."""
    return F.pad(x.to(dtype), (2, 2, 1, 1))


def _taps(padded, start, stop):
    """The values around each position, and a one: (10, F, stop - start)."""
    n_bands, n_frames = padded.shape[0] - 2, stop - start
    taps = padded.new_empty(N_TAPS, n_bands, n_frames)
    stride = padded.stride(0)
    windows = padded.as_strided(
        (SIZE, SIZE, n_bands, n_frames), (stride, 1, stride, 1), start + 1
    )
    taps[:-1].view_as(windows).copy_(windows)
    taps[-1] = 1
    return taps


def _put_back(grad_padded, frames, grad_taps, margin=1):
    """Add the gradient (10, P) of taps where they came from."""
    start, stop = frames.start - margin, frames.stop + margin
    n_bands, n_frames = grad_padded.shape[0] - 2, stop - start
    grad_taps = grad_taps.view(N_TAPS, n_bands, n_frames)
    for tap in range(N_TAPS - 1):
        band, frame = divmod(tap, SIZE)
        frame += start + 1
        grad_padded[band : band + n_bands, frame : frame + n_frames] += grad_taps[tap]


def _pieces(shape, pool, first):
    """Frames of each piece and the columns of its pooled maps, as pairs of slices."""
    n_bands, n_frames = shape
    n_columns = n_frames // pool[1]
    column_bytes = n_bands * pool[1] * first.element_size() * len(first)
    n_pieces = -(-n_columns * column_bytes // PIECE_BYTES)
    width = -(-n_columns // n_pieces)
    for column in range(0, n_columns, width):
        end = min(column + width, n_columns)
        stop = n_frames if end == n_columns else end * pool[1]
        yield slice(column * pool[1], stop), slice(column, end)


def _moment_pieces(x):
    width = max(1, PIECE_BYTES // (N_TAPS * x.shape[0] * x.element_size()))
    for start in range(0, x.shape[1], width):
        yield slice(start, min(start + width, x.shape[1]))


def _as_products_need(first, second, dtype):
    second = second.detach().to(dtype).contiguous(memory_format=torch.channels_last)
    return first.detach().to(dtype), second


def _wide(dtype):
    """The dtype of sums."""
    return torch.promote_types(dtype, torch.float32)
