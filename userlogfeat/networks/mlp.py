"""Fully connected networks on precomputed features, and heads on pooled ones."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from userlogfeat._threads import PRODUCT_RATE, limit_torch, n_threads_for


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers with a ReLU between each two.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden units of each layer, outputs: ``(100, 40)`` is one linear map.

    Returns
    -------
    Sequential
        From (clips, sizes[0]) to (clips, sizes[-1]); its last module is a Linear.
    """
    modules = []
    for n_in, n_out in pairwise(sizes):
        modules += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def read_rows(head: nn.Module, rows: Tensor) -> Tensor:
    """Outputs of an MLP for all rows, on a CPU in threads by the number of products.

    Parameters
    ----------
    head : Module
        From (n, n_in) to (n, n_out).
    rows : Tensor (n, n_in)

    Returns
    -------
    Tensor (n, n_out)
        It records no gradients.
    """
    largest = max((weight.numel() for weight in head.parameters()), default=0)
    seconds = 2 * len(rows) * largest / PRODUCT_RATE
    with torch.inference_mode(), limit_torch(n_threads_for(seconds)):
        return head(rows)


class FeatureTeacher(nn.Module):
    """A teacher that reads precomputed features: a head alone.

    Parameters
    ----------
    head : Module
        From features (clips, n_in) to the embedding (clips, n_units).
    output : Module, optional
        Output layer of a student: from the embedding to (clips, n_outputs).
    """

    def __init__(self, head: nn.Module, output: nn.Module | None = None) -> None:
        super().__init__()
        self.head = head
        self.output = output

    @property
    def layer_sizes(self) -> dict[str, int]:
        """Size of every layer, by name."""
        return {"embedding": self.head[-1].out_features}

    def forward(self, features: Tensor) -> Tensor:
        """Embedding (clips, n_units) of features (clips, n_in)."""
        return self.head(features)

    penultimate = forward


@torch.no_grad()
def standardise_input(head: nn.Sequential, mean: Tensor, scale: Tensor) -> None:
    """Fold ``(x - mean) / scale`` into the first linear layer of `head`.

    W (x - m) / s + b = (W / s) x + (b - (W / s) m), so the head reads raw features.

    Parameters
    ----------
    head : Sequential
        As :func:`mlp` makes it; changed in place.
    mean, scale : Tensor (n_in,)
        Mean and standard deviation of the training features.
    """
    first = head[0]
    # In double precision: raw means can be large against the spread.
    weight = first.weight.double() / scale.double()
    first.bias.copy_(first.bias.double() - weight @ mean.double())
    first.weight.copy_(weight)


def expect_standardised(head: nn.Sequential, mean: Tensor, scale: Tensor) -> None:
    """The opposite of :func:`standardise_input`: `head` then reads standardised rows.

    Reading x = z s + m as standardised rows of another mean and scale: with -m / s and
    1 / s in their places, the same formula holds.
    """
    standardise_input(head, -mean.double() / scale.double(), 1 / scale.double())
