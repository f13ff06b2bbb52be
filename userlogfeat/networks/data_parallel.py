"""Data-parallel training: each process computes a shard of every batch.

Every process holds the same weights. It runs the network on its own clips, gathers the
outputs of all (:func:`all_gather`), and computes the loss of the whole batch, so losses
may mix clips as they like. Batch norms take their moments over all shards, and dropout
draws a mask for all clips, of which each process uses its part.

Why the mean of the processes' gradients is that of one process. Let L be the loss of
the batch, which all N processes compute, each from its own copy of the weights. With
backward passes that carry gradients across processes, process r finds the gradient of
N L with respect to its copy, and the sum over the copies is N times the gradient of L.
The mean is that gradient: of the network (whose copies each saw a part), and of layers
after :func:`all_gather` (whose copies all did the same).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Batch norms, and the numbers of axes of what they read.
NORMS = {nn.BatchNorm1d: (2, 3), nn.BatchNorm2d: (4,), nn.BatchNorm3d: (5,)}
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
DROPOUTS += (nn.AlphaDropout, nn.FeatureAlphaDropout)

# The shard that this thread computes now; None: whole batches, as in one process.
_NOW = ContextVar("shard", default=None)


@dataclass(frozen=True)
class Shard:
    """The clips of a batch that a process computes: a run of neighbours.

    Attributes
    ----------
    n_clips : int
        Clips of the batch.
    processes : Any
        `rank`, `size`, ``gather(tensor)`` and ``sum(tensor)``: see
        :class:`userlogfeat.training.processes.Processes`.
    """

    n_clips: int
    processes: Any

    @property
    def sizes(self) -> list[int]:
        """Clips of every process: the first ones have one more where needed."""
        least, more = divmod(self.n_clips, self.processes.size)
        return [least + (rank < more) for rank in range(self.processes.size)]

    @property
    def n_own(self) -> int:
        """Clips of this process, perhaps none."""
        return self.sizes[self.processes.rank]

    @property
    def place(self) -> slice:
        """Slice of the batch that this process computes.

        Without clips of its own it computes the first of the batch, since networks need
        one; the result is not used.
        """
        if not self.n_own:
            return slice(0, 1)
        start = sum(self.sizes[: self.processes.rank])
        return slice(start, start + self.n_own)

    def augment(self, function: Callable[..., Any], clips: Tensor) -> Tensor:
        """Augmented clips of this process, drawn as for all clips of the batch.

        Parameters
        ----------
        function : callable
            Augments a whole batch (n_clips, ...), each clip by itself.
        clips : Tensor
            Those of this process.
        """
        every = clips.new_zeros((self.n_clips, *clips.shape[1:]))
        every[self.place] = clips
        return function(every)[self.place]


class _Running:
    """A shard in computation, until :func:`all_gather` has the outputs of all."""

    def __init__(self, shard):
        self.shard = shard
        self.over = False


@contextmanager
def on_shard(shard: Shard | None) -> Iterator[None]:
    """Compute a shard inside the block; None is for whole batches.

    Raises
    ------
    TypeError
        Where the block never called :func:`all_gather`: its loss is that of a part.
    """
    state = shard and _Running(shard)
    token = _NOW.set(state)
    try:
        yield
    finally:
        _NOW.reset(token)
    if state is not None and not state.over:
        raise TypeError(
            "Several processes train together, but the objective computed its loss "
            "from the clips of this one only. Pass the network's output through "
            "userlogfeat.networks.data_parallel.all_gather first."
        )


def _current_shard():
    """Return the shard in computation; None where batches are whole."""
    state = _NOW.get()
    return None if state is None or state.over else state.shard


def all_gather(rows: Tensor) -> Tensor:
    """Gather the outputs of all processes for a batch, in the order of its clips.

    Parameters
    ----------
    rows : Tensor (n, ...)
        Output of the network for the clips of this process, a row per clip.

    Returns
    -------
    Tensor (n_clips, ...)
        `rows` itself where batches are whole.
    """
    shard = _current_shard()
    if shard is None:
        return rows
    _NOW.get().over = True
    if rows.dtype in (torch.float16, torch.bfloat16):
        rows = rows.float()  # not all ways between processes carry these
    return _AllGather.apply(rows, shard)


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, shard):
        """Gather shards of different sizes, filled to the largest."""
        ctx.shard, ctx.n_rows = shard, len(rows)
        sent = rows.new_zeros((max(shard.sizes), *rows.shape[1:]))
        sent[: shard.n_own] = rows[: shard.n_own]
        parts = shard.processes.gather(sent)
        return torch.cat([part[:n] for part, n in zip(parts, shard.sizes, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """All processes find the same gradient: their sum, of this shard."""
        shard = ctx.shard
        if not shard.n_own:
            return grad.new_zeros((ctx.n_rows, *grad.shape[1:])), None
        return grad[shard.place] * shard.processes.size, None


def all_mean(mean: Tensor, n: int) -> tuple[Tensor, int]:
    """Return the mean over the values of all processes, and their number.

    Parameters
    ----------
    mean : Tensor
        Mean of `n` values of each kind, of this process.
    n : int
        Number of values of this process.

    Returns
    -------
    mean : Tensor
        `mean` itself where batches are whole.
    n : int
        Number of values of all processes.
    """
    shard = _current_shard()
    if shard is None:
        return mean, n
    n_own = n if shard.n_own else 0
    count = mean.new_tensor([float(n_own)])
    sums = _AllReduce.apply(torch.cat([mean.flatten() * n_own, count]), shard.processes)
    total = int(sums[-1].item())
    return (sums[:-1] / total).view_as(mean), total


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, processes):
        """Sum over the processes."""
        ctx.processes = processes
        return processes.sum(values.clone())

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """A value enters the sum of every process: their gradients add up."""
        return ctx.processes.sum(grad.clone()), None


@contextmanager
def synchronised(network: nn.Module) -> Iterator[None]:
    """Let batch norms and dropout of a network work across processes in the block.

    The modules stay what they are, names and state included.

    Parameters
    ----------
    network : Module
        Its modules of :data:`NORMS` and :data:`DROPOUTS` are treated.
    """
    treated = []
    for module in network.modules():
        for kinds, function in ((tuple(NORMS), _normalise), (DROPOUTS, _drop)):
            if isinstance(module, kinds):
                module.forward = partial(function, module, module.forward)
                treated.append(module)
    try:
        yield
    finally:
        for module in treated:
            del module.forward  # the class's own is there again


def _drop(module, alone, x):
    """Dropout, drawn as for the whole batch."""
    shard = _current_shard()
    if shard is None or not module.training:
        return alone(x)
    n_each = len(x) // max(shard.n_own, 1)  # rows of a clip
    ones = torch.ones_like(x[:1]).expand(shard.n_clips * n_each, *x.shape[1:])
    place = shard.place
    place = slice(place.start * n_each, place.stop * n_each)
    if isinstance(module, nn.AlphaDropout | nn.FeatureAlphaDropout):
        # Not a product with a mask: it goes over the clips themselves.
        every = ones.clone()
        every[place] = x
        return alone(every)[place]
    return x * alone(ones.contiguous())[place]


def _normalise(module, alone, x):
    """Batch norm by the moments of all shards."""
    shard = _current_shard()
    if shard is None or not module.training:
        return alone(x)
    kind = next(kind for kind in NORMS if isinstance(module, kind))
    if x.ndim not in NORMS[kind]:
        raise ValueError(
            f"Got an input of {x.ndim} axes for {kind.__name__}, expected "
            f"{' or '.join(map(str, NORMS[kind]))}."
        )
    y, mean, variance, n = _Normalise.apply(
        x, module.weight, module.bias, module.eps, shard
    )
    if module.track_running_stats and module.running_mean is not None:
        update_running(module, mean, variance, int(n.item()))
    return y


@torch.no_grad()
def update_running(norm: nn.Module, mean: Tensor, variance: Tensor, n: int) -> None:
    """Move the running statistics of a batch norm towards those of `n` values."""
    norm.num_batches_tracked += 1
    step = norm.momentum
    if step is None:  # the mean over all batches
        step = 1 / norm.num_batches_tracked.item()
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), step)
    unbiased = variance * (n / (n - 1))
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), step)


class _Normalise(torch.autograd.Function):
    """Batch norm over shards: ``apply(x, weight, bias, eps, shard)``.

    Gives y, and the mean, the variance and the number of values of all shards. With n_r
    values, means m_r and sums of squared deviations d_r of the shards, and n, m those
    of all, the variance is (sum d_r + sum n_r (m_r - m)^2) / n (Chan, Golub, LeVeque
    1983): nothing large is subtracted from something large.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps, shard):
        """Moments of all shards, then y of this one."""
        axes = [0, *range(2, x.ndim)]
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        n_own = x.numel() // x.shape[1] if shard.n_own else 0
        mean = wide.mean(axes)
        spread = (wide - _along(mean, x)).square().sum(axes)
        sent = torch.cat([mean.new_tensor([float(n_own)]), mean, spread]).double()
        counts, means, spreads = torch.stack(shard.processes.gather(sent)).split(
            [1, x.shape[1], x.shape[1]], dim=1
        )
        n = counts.sum()
        if n.item() == 1:
            raise ValueError(
                "Expected more than 1 value per channel when training, got input size "
                f"{tuple(x.shape)}"
            )
        mean = (counts * means).sum(0) / n
        deviation = spreads * (counts > 0) + counts * (means - mean).square()
        variance = deviation.sum(0) / n
        mean, inverse = mean.to(wide.dtype), (variance + eps).rsqrt().to(wide.dtype)
        y = (wide - _along(mean, x)) * _along(inverse, x)
        if weight is not None:
            y = y * _along(weight, x) + _along(bias, x)
        ctx.save_for_backward(x, weight, mean, inverse, n)
        ctx.shard, ctx.axes = shard, axes
        variance = variance.to(wide.dtype)
        ctx.mark_non_differentiable(mean, variance, n)
        return y.to(x.dtype), mean, variance, n

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *_):
        """With z the normalised x, g the gradient times the weight, and means over all:

        dx = (g - mean(g) - z mean(g z)) / deviation.
        """
        x, weight, mean, inverse, n = ctx.saved_tensors
        wide, grad = x.to(mean.dtype), grad.to(mean.dtype)
        z = (wide - _along(mean, x)) * _along(inverse, x)
        sums = torch.stack([grad.sum(ctx.axes), (grad * z).sum(ctx.axes)])
        grad_bias, grad_weight = sums.clone()
        means = ctx.shard.processes.sum(sums) / n.to(sums.dtype)
        if not ctx.shard.n_own:  # its clip is in no moments
            means = torch.zeros_like(means)
        grad_x = grad - _along(means[0], x) - z * _along(means[1], x)
        scale = inverse if weight is None else inverse * weight
        grad_x = (grad_x * _along(scale, x)).to(x.dtype)
        if weight is None:
            return grad_x, None, None, None, None
        return grad_x, grad_weight, grad_bias, None, None


def _along(values, x):
    """Values of each map (C,), to be put together with x (B, C, ...)."""
    return values.view(-1, *[1] * (x.ndim - 2))


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter], processes: Any) -> None:
    """Replace gradients by their means over the processes.

    Parameters
    ----------
    parameters : iterable of Parameter
        The same in all processes, of any shapes; one message is sent.
    processes : Any
        See :class:`Shard`.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    for dtype in dict.fromkeys(grad.dtype for grad in grads):  # in one order
        same = [grad for grad in grads if grad.dtype == dtype]
        flat = torch.cat([grad.flatten() for grad in same])
        mean = processes.sum(flat) / processes.size
        for grad, part in zip(same, mean.split([g.numel() for g in same]), strict=True):
            grad.copy_(part.view_as(grad))
