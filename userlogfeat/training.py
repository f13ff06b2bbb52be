"""Learning heads: ridge regression in closed form, and the skorch net of the others.

The net has Adam, a validation split (by groups where there are any), early stopping,
and keeps the epoch of least validation loss. Random numbers leave the caller's alone.
"""

import contextlib

import numpy as np
import skorch
import torch
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold, ShuffleSplit
from skorch.callbacks import EarlyStopping
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from userlogfeat.losses import mse_cosine, weighted_mean
from userlogfeat.networks.mlp import mlp, standardise_input

N_FOLDS = 5  # of the cross-validation that chooses the regularisation of a ridge


class FactorNet(skorch.NeuralNet):
    """A net whose targets are rows of factors and whose loss is `mse_cosine`.

    Batches are ``({"features": (B, d), "sample_weight": (B,)}, factors (B, f))``.
    """

    def infer(self, x, **fit_params):
        """Factors for a batch; the weights are for the loss alone."""
        return super().infer(x["features"], **fit_params)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Weighted mean of the loss over the batch."""
        weight = X["sample_weight"].to(y_pred.device)
        return weighted_mean(mse_cosine(y_pred, y_true.to(y_pred.device)), weight)


class KeepBest(skorch.callbacks.Callback):
    """Keep the parameters of the epoch with the least validation loss, in memory."""

    def on_train_begin(self, net, **kwargs):
        """Forget what an earlier fit kept."""
        self.best_, self.epoch_ = None, None

    def on_epoch_end(self, net, **kwargs):
        """Stop on NaN; copy the parameters where this epoch is the best so far."""
        loss = net.history[-1, "train_loss"]
        if not np.isfinite(loss):
            raise ValueError(
                f"The training loss became {loss} in epoch {len(net.history)}. Lower "
                f"lr (now {net.lr}), or look for huge values in the features."
            )
        if net.history[-1, "valid_loss_best"]:
            state = net.module_.state_dict()
            self.best_ = {name: tensor.clone() for name, tensor in state.items()}
            self.epoch_ = len(net.history)

    def on_train_end(self, net, **kwargs):
        """Bring the best parameters back."""
        net.module_.load_state_dict(self.best_)


def fit_ridge_head(features, factors, *, alphas, sample_weight, groups, seed):
    """A linear head by ridge regression, its regularisation cross-validated.

    Parameters
    ----------
    features : ndarray (n_clips, n_features), float32
        What the head reads.
    factors : ndarray (n_clips, n_factors), float32
        What it estimates.
    alphas : sequence of float
        Regularisation strengths to choose from, for standardised features.
    sample_weight : ndarray (n_clips,)
        Weights of the clips.
    groups : ndarray (n_clips,) or None
        Clips of one group (an artist) are never on both sides of a fold.
    seed : int
        Of the folds, where there are no groups.

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
        )
    if groups is None:
        folds = KFold(n_splits, shuffle=True, random_state=seed)
    else:
        folds = GroupKFold(n_splits)
    mean, scale = _moments(features)
    standard = (features - mean) / scale
    alphas = np.asarray(alphas, dtype=np.float64)
    losses = np.zeros(len(alphas))
    for train, held in folds.split(standard, groups=groups):
        if not sample_weight[train].any():
            raise ValueError(
                "All sample weights of a fold are 0: the regularisation is chosen by "
                "cross-validation, which needs clips of some weight in every fold."
            )
        path = _ridge_path(
            standard[train], factors[train], sample_weight[train], alphas
        )
        for i, (coef, intercept) in enumerate(path):
            errors = standard[held] @ coef + intercept - factors[held]
            losses[i] += sample_weight[held] @ np.square(errors).mean(axis=1)
    best = int(np.argmin(losses))
    (coef, intercept), *_ = _ridge_path(
        standard, factors, sample_weight, alphas[best : best + 1]
    )
    with seeded(seed):
        head = mlp((features.shape[1], factors.shape[1]))
    with torch.no_grad():
        head[0].weight.copy_(torch.from_numpy(coef.T))
        head[0].bias.copy_(torch.from_numpy(intercept))
    return _for_raw_features(head, mean, scale), float(alphas[best])


def _ridge_path(X, Y, weight, alphas):
    """Ridge regressions of all `alphas`, from one eigendecomposition.

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


def fit_mlp_head(
    features,
    factors,
    *,
    hidden,
    max_epochs,
    batch_size,
    lr,
    patience,
    validation_fraction,
    sample_weight,
    groups,
    device,
    seed,
    verbose,
):
    """A multilayer perceptron as head, trained with MSE + cosine proximity.

    Parameters
    ----------
    features : ndarray (n_clips, n_features), float32
        What the head reads.
    factors : ndarray (n_clips, n_factors), float32
        What it estimates.
    hidden : sequence of int
        Hidden units of each layer.
    max_epochs, batch_size, lr, patience, validation_fraction
        As the estimators' parameters of these names.
    sample_weight : ndarray (n_clips,), float32
        Weights of the clips in the loss.
    groups : ndarray (n_clips,) or None
        Clips of one group (an artist) stay on one side of the validation split.
    device : torch.device
        Where to train.
    seed : int
        Of the initial weights, the split and the batches.
    verbose : int
        0 is silent; 1 prints a line an epoch.

    Returns
    -------
    head : Sequential
        From raw features to factors, on the CPU.
    history : list of dict
        Training and validation loss of every epoch.
    """
    mean, scale = _moments(features)
    inputs = {
        "features": ((features - mean) / scale).astype(np.float32),
        "sample_weight": sample_weight,
    }
    kind = ShuffleSplit if groups is None else GroupShuffleSplit
    split = kind(n_splits=1, test_size=validation_fraction, random_state=seed)
    train, valid = (
        Dataset({name: values[rows] for name, values in inputs.items()}, factors[rows])
        for rows in next(split.split(features, groups=groups))
    )
    with seeded(seed):
        net = FactorNet(
            mlp((features.shape[1], *hidden, factors.shape[1])),
            criterion=torch.nn.Module,  # the loss is in get_loss
            optimizer=torch.optim.Adam,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            iterator_train__shuffle=True,
            train_split=predefined_split(valid),
            callbacks=[
                ("keep_best", KeepBest()),
                ("early_stopping", EarlyStopping(patience=patience, sink=_silent)),
            ],
            device=str(device),
            verbose=verbose,
        )
        net.fit(train, y=None)
    history = [
        {key: epoch[key] for key in ("epoch", "train_loss", "valid_loss")}
        for epoch in net.history
    ]
    return _for_raw_features(net.module_.cpu(), mean, scale), history


def _moments(features):
    """Mean and standard deviation of each column; 1 for constant columns."""
    mean = features.mean(axis=0, dtype=np.float64)
    scale = features.std(axis=0, dtype=np.float64)
    return mean, np.where(scale > 1e-7 * np.maximum(np.abs(mean), 1e-7), scale, 1.0)


def _for_raw_features(head, mean, scale):
    """The head for raw features, given the one for standardised features."""
    standardise_input(head, torch.from_numpy(mean), torch.from_numpy(scale))
    return head.eval().requires_grad_(False)


@contextlib.contextmanager
def seeded(seed):
    """Seed torch inside the block, and give the caller's state back after it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _silent(*args, **kwargs):
    """Where skorch would print."""
