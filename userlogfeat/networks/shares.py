"""A batch that several processes hear together, each a share of its clips.

Every process holds the same weights. It hears its own clips, gets what the others'
networks made of theirs (:func:`whole`), and computes the loss of the whole batch, so
losses may mix clips as they like. Batch norms take their moments over all shares, and
dropout draws for all clips and uses what falls on its own.

Why the mean of the processes' gradients is that of one process. Let L be the loss of
the batch, which all N processes compute, each from its own copy of the weights. With
backward passes that carry gradients across processes, process r finds the gradient of
N L with respect to its copy, and the sum over the copies is N times the gradient of L.
The mean is that gradient: of the network (whose copies each heard a part), and of
layers after :func:`whole` (whose copies all did the same).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from torch import Tensor


NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
DROPOUTS += (nn.AlphaDropout, nn.FeatureAlphaDropout)

# What this thread hears now; None: whole batches, as one process does.
_NOW = ContextVar("share", default=None)


@dataclass(frozen=True)
class Share:
    """Which clips of a batch a process hears: a run of neighbours.

    Attributes
    ----------
    n_clips : int
        Of the batch.
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
        """Slice of the batch that this process hears.

        Where it has no clips it hears the first of the batch, since networks need one;
        nothing comes of that.
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
            Of a whole batch (n_clips, ...); treats each clip by itself.
        clips : Tensor
            Those of this process.
        """
        every = clips.new_zeros((self.n_clips, *clips.shape[1:]))
        every[self.place] = clips
        return function(every)[self.place]


class _Hearing:
    """A share that is being heard, until :func:`whole` has what all have heard."""

    def __init__(self, share):
        self.share = share
        self.over = False


@contextmanager
def hearing(share: Share | None) -> Iterator[None]:
    """Hear a share inside the block; None hears whole batches, as always.

    Raises
    ------
    TypeError
        Where the block never called :func:`whole`: its loss is that of a part.
    """
    state = share and _Hearing(share)
    token = _NOW.set(state)
    try:
        yield
    finally:
        _NOW.reset(token)
    if state is not None and not state.over:
        raise TypeError(
            "Several processes train together, but the objective computed its loss "
            "from this one's clips alone. Pass what the network makes of x through "
            "userlogfeat.networks.shares.whole first."
        )


def _share_now():
    """The share that is being heard; None where batches are whole."""
    state = _NOW.get()
    return None if state is None or state.over else state.share


def whole(rows: Tensor) -> Tensor:
    """What the networks of all processes made of a batch, in the order of its clips.

    Parameters
    ----------
    rows : Tensor (n, ...)
        What the network of this process made of its clips, a row a clip.

    Returns
    -------
    Tensor (n_clips, ...)
        `rows` itself where a process hears whole batches.
    """
    share = _share_now()
    if share is None:
        return rows
    _NOW.get().over = True
    if rows.dtype in (torch.float16, torch.bfloat16):
        rows = rows.float()  # not all ways between processes carry these
    return _Whole.apply(rows, share)


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, share):
        """Gather shares of different sizes, filled to the largest."""
        ctx.share, ctx.n_rows = share, len(rows)
        sent = rows.new_zeros((max(share.sizes), *rows.shape[1:]))
        sent[: share.n_own] = rows[: share.n_own]
        parts = share.processes.gather(sent)
        return torch.cat([part[:n] for part, n in zip(parts, share.sizes, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """All processes find the same gradient: their sum, of this share."""
        share = ctx.share
        if not share.n_own:
            return grad.new_zeros((ctx.n_rows, *grad.shape[1:])), None
        return grad[share.place] * share.processes.size, None


def mean_over_all(mean: Tensor, n: int) -> tuple[Tensor, int]:
    """The mean over all processes' values, given that over this one's, and how many.

    Parameters
    ----------
    mean : Tensor
        Of `n` values of each kind.
    n : int
        How many.

    Returns
    -------
    mean : Tensor
        `mean` itself where a process hears whole batches.
    n : int
        Values of all.
    """
    share = _share_now()
    if share is None:
        return mean, n
    n_own = n if share.n_own else 0
    count = mean.new_tensor([float(n_own)])
    sums = _Sum.apply(torch.cat([mean.flatten() * n_own, count]), share.processes)
    total = int(sums[-1].item())
    return (sums[:-1] / total).view_as(mean), total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, processes):
        """Sum over the processes."""
        ctx.processes = processes
        return processes.sum(values.clone())

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """What a value does to the sum, it does in all processes."""
        return ctx.processes.sum(grad.clone()), None


@contextmanager
def sharing(network: nn.Module) -> Iterator[None]:
    """Inside the block, batch norms and dropout of a network know of other processes.

    The modules stay what they are, names and state included.

    Parameters
    ----------
    network : Module
        Its modules of :data:`NORMS` and :data:`DROPOUTS` are treated.
    """
    treated = []
    for module in network.modules():
        for kinds, function in ((NORMS, _normalise), (DROPOUTS, _drop)):
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
    share = _share_now()
    if share is None or not module.training:
        return alone(x)
    n_each = len(x) // max(share.n_own, 1)  # rows of a clip
    ones = torch.ones_like(x[:1]).expand(share.n_clips * n_each, *x.shape[1:])
    place = share.place
    place = slice(place.start * n_each, place.stop * n_each)
    if isinstance(module, nn.AlphaDropout | nn.FeatureAlphaDropout):
        # Not a product with a mask: it goes over the clips themselves.
        every = ones.clone()
        every[place] = x
        return alone(every)[place]
    return x * alone(ones.contiguous())[place]


def _normalise(module, alone, x):
    """Batch norm by the moments of all shares."""
    share = _share_now()
    if share is None or not module.training:
        return alone(x)
    module._check_input_dim(x)
    y, mean, variance, n = _Normalise.apply(
        x, module.weight, module.bias, module.eps, share
    )
    if module.track_running_stats and module.running_mean is not None:
        _remember(module, mean, variance, int(n.item()))
    return y


@torch.no_grad()
def _remember(norm, mean, variance, n):
    """Move the running statistics of a batch norm towards those of `n` values."""
    norm.num_batches_tracked += 1
    step = norm.momentum
    if step is None:  # the mean over all batches
        step = 1 / norm.num_batches_tracked.item()
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), step)
    unbiased = variance * (n / (n - 1))
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), step)


class _Normalise(torch.autograd.Function):
    """Batch norm over shares: ``apply(x, weight, bias, eps, share)``.

    Gives y, and the mean, the variance and the number of values of all shares. With n_r
    values, means m_r and sums of squared deviations d_r of the shares, and n, m those
    of all, the variance is (sum d_r + sum n_r (m_r - m)^2) / n (Chan, Golub, LeVeque
    1983): nothing large is subtracted from something large.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps, share):
        """Moments of all shares, then y of this one."""
        axes = [0, *range(2, x.ndim)]
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        n_own = x.numel() // x.shape[1] if share.n_own else 0
        mean = wide.mean(axes)
        spread = (wide - _along(mean, x)).square().sum(axes)
        sent = torch.cat([mean.new_tensor([float(n_own)]), mean, spread]).double()
        counts, means, spreads = torch.stack(share.processes.gather(sent)).split(
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
        ctx.share, ctx.axes = share, axes
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
        means = ctx.share.processes.sum(sums) / n.to(sums.dtype)
        if not ctx.share.n_own:  # what it heard is in no moments
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
        See :class:`Share`.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    for dtype in dict.fromkeys(grad.dtype for grad in grads):  # in one order
        same = [grad for grad in grads if grad.dtype == dtype]
        flat = torch.cat([grad.flatten() for grad in same])
        mean = processes.sum(flat) / processes.size
        for grad, part in zip(same, mean.split([g.numel() for g in same]), strict=True):
            grad.copy_(part.view_as(grad))
