"""Audio among its listeners: draws from verdicts, users' files, checks.

The public side, with what its parameters mean, is
:class:`userlogfeat.estimators.metric.MetricEmbedder`.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from userlogfeat._check import check_choice, check_positive
from userlogfeat._files import replace_file, sha256
from userlogfeat.estimators._base import AudioTransformer
from userlogfeat.estimators._contexts import ContextEstimator
from userlogfeat.estimators._network import check_groups
from userlogfeat.feedback.triplets import (
    TripletInputs,
    TripletSampler,
    say_nothing_to_draw,
)
from userlogfeat.losses import hinge, pick_liked, say_liked

# Chen, Liang, Ma, Gu 2021, audio model and its experiments.
CHEN_2021: dict[str, Any] = {
    "context": 3.0,  # stated: 3 or 10 s
    "duration": 30.0,  # stated: contexts are from the first 30 s
    "margin": 0.2,  # stated
    "lr": 0.1,  # stated
    "decay": 1e-6,  # stated, of the learning rate: lr / (1 + decay * step)
    "momentum": 0.9,  # stated, Nesterov's
    "temperature": 0.1,  # not stated; 1 would bound the softmax of two cosines by 0.88
    "batch_size": 256,  # not stated
}

# The rows of the paper's table 1: users= is theirs (an array) where it is not here.
TABLE_1 = {
    "Basic-Binary": {"objective": "binary", "n_negatives": 1},
    "DCUE-1vs1": {"objective": "metric", "n_negatives": 1, "users": "lookup"},
    "Multi-1vs1": {"objective": "multi", "n_negatives": 1},
    "Multi-1vs4": {"objective": "multi", "n_negatives": 4},
    "Metric-1vs1": {"objective": "metric", "n_negatives": 1},
    "Metric-1vs4": {"objective": "metric", "n_negatives": 4},
}

MIN_STEPS = 20  # of an epoch, so that few likes are not left before they are learned
USERS = "users.safetensors"  # beside a saved model
# Draws that an epoch is validated on: as many as there are likes, within these bounds.
FEWEST_VALIDATION, MOST_VALIDATION = 500, 5000


class ListenerEstimator(ContextEstimator):
    """Base of the estimator that embeds clips among users.

    A subclass has the parameters of :class:`ContextEstimator`, `users`, `objective`,
    `n_negatives`, `margin` and `temperature`; after its fit `users_` and
    `drawn_users_`.
    """

    def _loss(self, network, x, batch, epoch):
        """The objective of `fit_network`, for a TripletBatch."""
        relevance = network.relevance(x.clips, x.users, x.places)
        if self.objective == "metric":
            losses = hinge(relevance[:, 0], relevance[:, 1:], self.margin)
        else:
            logits = relevance / self.temperature
            losses = (pick_liked if self.objective == "multi" else say_liked)(logits)
        return {"loss": losses.mean()}

    def _make_triplets(self, inputs, verdicts, seed, groups):
        """What the network hears: draws from training and from validation clips."""
        from userlogfeat.training import validation_split

        train, valid = validation_split(
            len(inputs),
            self.validation_fraction,
            seed=seed,
            groups=check_groups(groups, inputs),
        )
        sampler = TripletSampler(verdicts, self.n_negatives, clips=train)
        if not sampler.n_likes:
            raise ValueError(say_nothing_to_draw(verdicts))
        if isinstance(self.users, str):  # rows of others are random, and stay so
            trained = np.isin(np.arange(verdicts.shape[1]), sampler.users)
            verdicts = verdicts.multiply(trained[None]).tocsr()
        held = TripletSampler(verdicts, self.n_negatives, clips=valid)
        validation = None
        if held.n_likes:
            n = min(max(held.n_likes, FEWEST_VALIDATION), MOST_VALIDATION)
            validation = held.draw(n, np.random.default_rng(seed))
        return TripletInputs(inputs, sampler, sampler.n_likes, validation)

    def _check_users(self, verdicts):
        """The users' embeddings (n_users, n_units) float32; None of a lookup table."""
        if isinstance(self.users, str):
            return None
        if self.users is None:
            raise TypeError(
                "Got users=None, expected 'lookup', or an array (n_users, n_units) of "
                "embeddings, such as UserEmbedding(...).fit_transform(user_items)."
            )
        users = check_array(self.users, dtype=np.float32, input_name="users")
        if len(users) != verdicts.shape[1]:
            raise ValueError(
                f"Got users of shape {users.shape} for y of {verdicts.shape[1]} users, "
                "expected a row for each column of y, in the same order."
            )
        judged = np.bincount(verdicts.indices, minlength=len(users)) > 0
        empty = np.flatnonzero(judged & ~users.any(axis=1))
        if len(empty):
            raise ValueError(
                f"The embeddings of {len(empty)} users are all zeros (first: row "
                f"{empty[0]}): nothing is near them or far. Leave these users out of "
                "users and y, or give them the mean embedding."
            )
        return np.ascontiguousarray(users)

    def _keep_users(self, users):
        """The users' embeddings after training, as an array."""
        users = users.numpy(force=True).copy()
        if isinstance(self.users, str):
            learned = np.zeros(len(users), bool)
            learned[self.drawn_users_] = True
            users[~learned] = 0
        return users

    def _augmentation(self):
        augment = super()._augmentation()
        return augment and _OfClips(augment)

    def _make_checkpoint(self, network, inputs, targets, split):
        arrays = dict(enumerate([network.users.numpy(force=True), *inputs.arrays]))
        return super()._make_checkpoint(network, inputs.inputs, arrays, split)

    def _forget(self):
        """Drop what an earlier fit learned."""
        for name in ("users_", "drawn_users_", "network_", "history_", "layer_scales_"):
            if hasattr(self, name):
                delattr(self, name)

    def _plain_parameters(self):
        """The parameters as JSON holds them; an array of users has its own file."""
        own = copy.copy(self)
        own.users = self.users if isinstance(self.users, str) else None
        return ContextEstimator._plain_parameters(own)

    def _check_parameters(self):
        AudioTransformer._check_parameters(self)
        self._check_network(("metric", "mlp"))
        self._check_training_parameters()
        check_choice(self.objective, "objective", ("metric", "multi", "binary"))
        for name in ("n_negatives", "n_units", "channels"):
            check_positive(getattr(self, name), name, integer=True)
        for name in ("margin", "temperature"):
            check_positive(getattr(self, name), name)
        if isinstance(self.users, str) and self.users != "lookup":
            raise ValueError(
                f"Got users={self.users!r}, expected 'lookup' or an array (n_users, "
                "n_units) of embeddings, such as those of a user tower."
            )
        self._check_contexts()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags


class _OfClips:
    """Augmentation of the clips of a TripletBatch."""

    def __init__(self, augment):
        self.augment = augment

    def __call__(self, batch):
        return batch.with_clips(self.augment(batch.clips))


def save_users(folder, users, drawn_users):
    """Write the users of a model; returns what its config must say of them.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.
    users : ndarray of float32, shape (n_users, n_units)
    drawn_users : ndarray of int
        Those that were learned from.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replace_file(folder / USERS) as temporary:
        save_file({"users": users, "drawn_users": drawn_users}, temporary)
    return {"users_sha256": sha256(folder / USERS)}


def load_users(path, fitted):
    """The users' file of a saved model, checked."""
    from safetensors.numpy import load_file

    from userlogfeat.weights import ModelError

    if not path.is_file():
        raise ModelError(
            f"{path} is missing: the model was shared without its users. Load it with "
            "UserLogEmbedder, which needs none."
        )
    if sha256(path) != fitted["users_sha256"]:
        raise ModelError(
            f"{path} has another SHA-256 than the model's config says: the users are "
            "damaged or of another model. Copy the folder again."
        )
    return load_file(path)


def make_optimizer(parameters, *, lr):
    """The paper's descent."""
    from userlogfeat.training import DecayingSGD

    return DecayingSGD(
        parameters,
        lr=lr,
        decay=CHEN_2021["decay"],
        momentum=CHEN_2021["momentum"],
        nesterov=True,
    )
