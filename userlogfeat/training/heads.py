"""Ridge regression in closed form as a head; the objective of all other teachers."""

import copy
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, KFold
from torch import Tensor, nn

from userlogfeat._pages import see
from userlogfeat._threads import limit_torch, one_blas_thread
from userlogfeat.losses import weighted_mean
from userlogfeat.networks.data_parallel import all_gather
from userlogfeat.networks.mlp import mlp, standardise_input
from userlogfeat.training.loop import seeded

N_FOLDS = 5  # of the cross-validation that chooses the regularisation
# Training that compares heads: steps at most, clips per step, rate of learning; between
# which steps it is evaluated, and after how many without a lower loss it stops.
BRIEF_STEPS, BRIEF_BATCH, BRIEF_LR = 200, 64, 4.0
BRIEF_EVERY, BRIEF_PATIENCE = 10, 3
BRIEF_DECAY = 0.9  # a step, of the running mean of weights, which evens large steps out


def fit_ridge_head(
    features: np.ndarray,
    factors: np.ndarray,
    *,
    alphas: Sequence[float],
    sample_weight: np.ndarray,
    groups: np.ndarray | None,
    seed: int,
) -> tuple[nn.Sequential, float]:
    """Fit a linear head by ridge regression, its regularisation cross-validated.

    Parameters
    ----------
    features : ndarray (n_clips, n_features), float32
        Input of the head.
    factors : ndarray (n_clips, n_factors), float32
        Targets of the head.
    alphas : sequence of float
        Regularisation strengths to choose from, for standardised features.
    sample_weight : ndarray (n_clips,)
        Weights of the clips.
    groups : ndarray (n_clips,) or None
        Clips of one group (an artist) are never on both sides of a fold.
    seed : int
        Seed of the folds, where there are no groups.

    Returns
    -------
    head : Sequential
        One Linear, from raw features to factors.
    alpha : float
        The regularisation chosen.
    """
    n_splits = min(N_FOLDS, len(features if groups is None else np.unique(groups)))
    if n_splits < 2:
        raise ValueError(
            "Got clips of a single group, expected two or more: the regularisation is "
            "chosen on groups that the fit has not seen. Pass groups=None."
            + see("guide/teachers")
        )
    if groups is None:
        folds = KFold(n_splits, shuffle=True, random_state=seed)
    else:
        folds = GroupKFold(n_splits)
    mean, scale = moments(features)
    standard = (features - mean) / scale
    alphas = np.asarray(alphas, dtype=np.float64)
    with one_blas_thread():
        alpha, coef, intercept = _choose_ridge(
            standard, factors, sample_weight, alphas, folds, groups
        )
    with seeded(seed):
        head = mlp((features.shape[1], factors.shape[1]))
    with torch.no_grad():
        head[0].weight.copy_(torch.from_numpy(coef.T))
        head[0].bias.copy_(torch.from_numpy(intercept))
    standardise_input(head, torch.from_numpy(mean), torch.from_numpy(scale))
    return head.eval().requires_grad_(False), alpha


def _choose_ridge(standard, factors, sample_weight, alphas, folds, groups):
    """Choose the regularisation of lowest error over folds; fit the regression with it.

    Called with one thread of BLAS: most of the time is in the eigendecompositions, a
    small product for each feature.

    Returns
    -------
    alpha : float
    coef : ndarray (n_features, n_factors)
    intercept : ndarray (n_factors,)
    """
    losses = np.zeros(len(alphas))
    is_given = len(alphas) == 1 and sample_weight.any()  # there is nothing to choose
    for train, held in () if is_given else folds.split(standard, groups=groups):
        if not sample_weight[train].any():
            raise ValueError(
                "All sample weights of a fold are 0: the regularisation is chosen by "
                "cross-validation, which needs clips of some weight in every fold."
            )
        rows = (table[train] for table in (standard, factors, sample_weight))
        for i, (coef, intercept) in enumerate(_ridge_path(*rows, alphas)):
            errors = standard[held] @ coef + intercept - factors[held]
            losses[i] += sample_weight[held] @ np.square(errors).mean(axis=1)
    best = int(np.argmin(losses))
    [found] = _ridge_path(standard, factors, sample_weight, [alphas[best]])
    return float(alphas[best]), *found


def _ridge_path(X, Y, weight, alphas):
    """Fit ridge regressions of all `alphas`, from one eigendecomposition.

    With X and Y centred by their weighted means, X' W X = V diag(s) V', and the
    coefficients are V diag(1 / (s + alpha)) V' X' W Y: only the diagonal differs.

    Yields
    ------
    coef : ndarray (n_features, n_factors)
    intercept : ndarray (n_factors,)
    """
    x_mean = np.average(X, axis=0, weights=weight)
    y_mean = np.average(Y, axis=0, weights=weight)
    centred = X - x_mean
    weighted = centred.T * weight
    values, vectors = np.linalg.eigh(weighted @ centred)
    projected = vectors.T @ (weighted @ (Y - y_mean))
    for alpha in alphas:
        coef = vectors @ (projected / (np.maximum(values, 0) + alpha)[:, None])
        yield coef, y_mean - x_mean @ coef


def estimate_factors(
    network: nn.Module,
    x: Tensor,
    batch: dict[str, Tensor],
    epoch: int,
    *,
    loss: Callable[..., Tensor],
) -> dict[str, Tensor]:
    """Objective of a teacher: a loss between its estimates and the factors."""
    estimate = getattr(network, "penultimate", network)
    losses = loss(predicted=all_gather(estimate(x)).float(), target=batch["factors"])
    return {"loss": weighted_mean(losses, batch["weight"])}


def estimate_briefly(
    network: nn.Module,
    inputs: Tensor,
    factors: Tensor,
    weight: Tensor,
    split: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    loss: Callable[..., Tensor],
    lr: float,
    seed: int,
) -> np.ndarray:
    """Train an MLP head in few, large steps, which suffices to compare it with others.

    Parameters
    ----------
    network : Module
        Changed in place.
    inputs : Tensor (n_clips, n_features)
        Standardised features.
    factors : Tensor (n_clips, n_factors)
    weight : Tensor (n_clips,)
    split : (ndarray, ndarray, ndarray)
        Rows to train on, rows on which the number of steps is chosen, as an epoch is in
        longer training, and rows to estimate.
    loss : callable
        ``loss(predicted=..., target=...)`` -> (n_clips,).
    lr : float
        Learning rate for batches of 32; these are larger, and so is it.
    seed : int
        Seed of the batches.

    Returns
    -------
    ndarray (n_estimated, n_factors), float32
    """
    averaged = copy.deepcopy(network).requires_grad_(False)
    optimizer = _Adam(network.parameters(), lr=BRIEF_LR * lr)
    generator = torch.Generator().manual_seed(seed)
    train, ending, held = (torch.from_numpy(rows) for rows in split)
    rows, least, best, since = train[:0], np.inf, None, 0
    with limit_torch(1):
        for step in range(1, BRIEF_STEPS + 1):
            if not len(rows):
                rows = train[torch.randperm(len(train), generator=generator)]
            batch, rows = rows[:BRIEF_BATCH], rows[BRIEF_BATCH:]
            losses = loss(predicted=network(inputs[batch]), target=factors[batch])
            optimizer.step(weighted_mean(losses, weight[batch]))
            for mean, w in zip(averaged.parameters(), optimizer.weights, strict=True):
                mean.lerp_(w.detach(), 1 - BRIEF_DECAY)
            if step % BRIEF_EVERY:
                continue
            with torch.no_grad():
                losses = [
                    loss(predicted=averaged(inputs[part]), target=factors[part])
                    for part in ending.split(BRIEF_BATCH)
                ]
                lost = float(weighted_mean(torch.cat(losses), weight[ending]))
                since += 1
                if best is None or lost < least:
                    least, best, since = lost, averaged(inputs[held]), 0
            if since == BRIEF_PATIENCE:
                break
    return best.numpy()


class _Adam:
    """Adam (Kingma and Ba 2015) with their settings.

    It is torch's, but to create the first one there imports a compiler, which takes
    longer than all fits that compare heads.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float) -> None:
        self.weights = list(weights)
        self.means = [torch.zeros_like(w) for w in self.weights]
        self.squares = [torch.zeros_like(w) for w in self.weights]
        self.lr, self.n_steps = lr, 0

    def step(self, loss: Tensor) -> None:
        """Go down the gradient of a loss."""
        gradients = torch.autograd.grad(loss, self.weights)
        self.n_steps += 1
        lr = self.lr / (1 - 0.9**self.n_steps)
        unbias = (1 - 0.999**self.n_steps) ** -0.5
        parts = self.weights, gradients, self.means, self.squares
        with torch.no_grad():
            for w, gradient, mean, square in zip(*parts, strict=True):
                mean.lerp_(gradient, 0.1)
                square.lerp_(gradient.square(), 0.001)
                w.addcdiv_(mean, square.sqrt().mul_(unbias).add_(1e-8), value=-lr)


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column; 1 for constant columns."""
    mean = features.mean(axis=0, dtype=np.float64)
    scale = features.std(axis=0, dtype=np.float64)
    return mean, np.where(scale > 1e-7 * np.maximum(np.abs(mean), 1e-7), scale, 1.0)
