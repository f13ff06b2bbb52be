"""Losses, one function per equation."""

import torch
from torch.nn import functional as F


def mse_cosine(predicted, target):
    """Mean squared error plus cosine proximity, a value a clip.

    mean_j (y_j - t_j)^2 - cos(y, t): the loss of the teacher network in Lee, Lee,
    Park, Lee (2019), "Enhancing music features by knowledge transfer from user-item
    log data", section 3.1, and of its distillation term (section 3.2).

    Parameters
    ----------
    predicted, target : Tensor (n_clips, n_factors)
        Estimates and factors.

    Returns
    -------
    Tensor (n_clips,)
        At least -1, which is reached where both are equal.
    """
    squared = ((predicted - target) ** 2).mean(dim=1)
    return squared - F.cosine_similarity(predicted, target, dim=1)


def weighted_mean(losses, weight=None):
    """Mean of losses (n_clips,), weighted by `weight` (n_clips,) where given."""
    if weight is None:
        return losses.mean()
    return (losses * weight).sum() / torch.clamp_min(weight.sum(), 1e-12)
