"""The skorch net that trainable estimators share.

Adam, a validation split (by groups where there are any), the epoch of least validation
loss kept, early stopping, and random numbers that leave the caller's alone.
"""

import contextlib

import numpy as np
import skorch
import torch
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from skorch.callbacks import EarlyStopping
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from userlogfeat.losses import mse_cosine, weighted_mean


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


def fit_factors(
    module,
    X,
    Y,
    *,
    sample_weight,
    groups,
    max_epochs,
    batch_size,
    lr,
    patience,
    validation_fraction,
    device,
    seed,
    verbose,
):
    """Train a module to estimate factors from features, in place.

    Parameters
    ----------
    module : Module
        From (clips, features) to (clips, factors).
    X : ndarray (n_clips, n_features), float32
        Standardised features.
    Y : ndarray (n_clips, n_factors), float32
        Factors.
    sample_weight : ndarray (n_clips,), float32
        Weights of the clips in the loss.
    groups : ndarray (n_clips,) or None
        Clips of one group (an artist) stay on one side of the validation split.
    max_epochs, batch_size, lr, patience, validation_fraction
        As the estimators' parameters of these names.
    device : torch.device
        Where to train.
    seed : int
        Of the split and the batches.
    verbose : int
        0 is silent; 1 prints a line an epoch.

    Returns
    -------
    history : list of dict
        Training and validation loss of every epoch.
    """
    kind = ShuffleSplit if groups is None else GroupShuffleSplit
    split = kind(n_splits=1, test_size=validation_fraction, random_state=seed)
    train, valid = next(split.split(X, groups=groups))
    inputs = {"features": X, "sample_weight": sample_weight}

    def part(rows):
        return Dataset({name: values[rows] for name, values in inputs.items()}, Y[rows])

    keep_best = KeepBest()
    net = FactorNet(
        module,
        criterion=torch.nn.Module,  # the loss is in get_loss
        optimizer=torch.optim.Adam,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        train_split=predefined_split(part(valid)),
        callbacks=[
            ("keep_best", keep_best),
            ("early_stopping", EarlyStopping(patience=patience, sink=_silent)),
        ],
        device=str(device),
        verbose=verbose,
    )
    with seeded(seed):
        net.fit(part(train), y=None)
    return [
        {key: epoch[key] for key in ("epoch", "train_loss", "valid_loss")}
        for epoch in net.history
    ]


@contextlib.contextmanager
def seeded(seed):
    """Seed torch inside the block, and give the caller's state back after it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _silent(*args, **kwargs):
    """Where skorch would print."""
