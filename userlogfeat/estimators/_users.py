"""What embeds users by a tower: their checks, their batches, and who has no history.

The public side, with what its parameters mean, is
:class:`userlogfeat.estimators.user_tower.UserEmbedding`.
"""

import warnings
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_array, validate_data

from userlogfeat._check import check_choice, check_positive
from userlogfeat._threads import limit_torch
from userlogfeat.estimators._base import resolve_device
from userlogfeat.evaluation.ranking import iter_rows, mask_of
from userlogfeat.training import validation_split
from userlogfeat.users.batches import Users
from userlogfeat.users.demographics import Demographics
from userlogfeat.users.inputs import check_frame, stored_pairs
from userlogfeat.users.training import N_VALIDATED

NEGATIVES = ("popularity", "uniform")
_N_USERS = 1024  # that are embedded at once
_SILENCE = (
    "To silence this: warnings.filterwarnings('ignore', "
    "category=userlogfeat.estimators.user_tower.EmptyHistoryWarning)"
)
_CHECKS = {
    "accept_sparse": "csr",
    "accept_large_sparse": True,
    "dtype": np.float32,
    "ensure_non_negative": True,
}


class EmptyHistoryWarning(UserWarning):
    """Users of whom no history is known are embedded, or not learned from."""


class TowerEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the estimator of a user tower.

    A subclass has the parameters of ``users.training.Settings``, `n_units`, `hidden`,
    `validation_fraction` and `device`; after its fit `network_`, `groups_` and
    `demographics_`.
    """

    def _learn_demographics(self, histories, demographics, rows):
        self.demographics_ = Demographics([])
        n_users = histories[0].shape[0]
        if demographics is not None:
            demographics = check_frame(demographics, n_users)
            self.demographics_ = Demographics.learn(demographics, rows)
            return Users(histories, *self.demographics_.encode(demographics))
        return Users(histories, *self.demographics_.unknown(n_users))

    def _split(self, targets, seed):
        """Users to learn from and to validate on, of those who have a target."""
        sizes = np.diff(targets.positives.indptr)
        with_target = np.flatnonzero(sizes > 0)
        if len(with_target) < len(sizes):
            n_without = len(sizes) - len(with_target)
            warnings.warn(
                f"{n_without} of {len(sizes)} users have nothing in their history that "
                f"could be a target, and teach nothing (first: row "
                f"{(sizes == 0).argmax()}). {_SILENCE}",
                EmptyHistoryWarning,
                stacklevel=3,
            )
        fraction = min(self.validation_fraction, N_VALIDATED / len(with_target))
        train, valid = validation_split(len(with_target), fraction, seed=seed)
        return with_target[train], with_target[valid]

    def _set_items(self):
        """What is known of items, from the network."""
        codes = self.network_.codes_0.cpu().numpy()
        weights = self.network_.items.weight.detach().cpu().numpy()
        self.known_items_ = codes >= 0
        self.item_embeddings_ = np.zeros((len(codes), self.n_units), np.float32)
        self.item_embeddings_[self.known_items_] = weights[codes[self.known_items_]]
        self._n_features_out = self.n_units

    @limit_torch(1)
    @torch.inference_mode()
    def _embed(self, users, rows, targets=None):
        """Embeddings of some users, without their targets."""
        device = resolve_device(self.device)
        network = self.network_.to(device).eval()
        embedded = np.empty((len(rows), self.n_units), np.float32)
        for start in range(0, len(rows), _N_USERS):
            part = slice(start, start + _N_USERS)
            left_out = None if targets is None else targets[part]
            batch = users.batch(rows[part], targets=left_out).to(device)
            embedded[part] = network(batch).cpu().numpy()
        return embedded

    def _ranks(self, users, rows, targets):
        """How many items are before each user's target; all, where it is not known."""
        embedded = self._embed(users, rows, targets)
        played = sum(users.histories).tocsr()
        ranks = np.full(len(rows), played.shape[1])
        for part in iter_rows(len(rows), played.shape[1]):
            scores = embedded[part] @ self.item_embeddings_.T
            scores[:, ~self.known_items_] = -np.inf
            own = targets[part]
            of_target = scores[np.arange(len(own)), own].copy()
            scores[mask_of(played[rows[part]], slice(None))] = -np.inf
            before = (scores == of_target[:, None]) & (
                np.arange(played.shape[1]) < own[:, None]
            )
            before |= scores > of_target[:, None]
            known = self.known_items_[own]
            ranks[part] = np.where(known, before.sum(axis=1), played.shape[1])
        return ranks

    def _check_users(self, user_items, demographics, liked, disliked):
        user_items = self._check_plays(user_items, reset=False)
        given = {"liked": liked, "disliked": disliked}
        foreign = [
            k for k, v in given.items() if v is not None and k not in self.groups_
        ]
        if foreign:
            raise ValueError(
                f"Got {foreign[0]}, but the tower was fitted without. Leave it out, or "
                "fit again with it."
            )
        nothing = sparse.csr_matrix(user_items.shape, dtype=np.float32)
        groups = {
            name: nothing if given[name] is None else given[name]
            for name in self.groups_[1:]
        }
        histories = (user_items, *self._check_groups(groups, user_items.shape))
        if demographics is None:
            encoded = self.demographics_.unknown(user_items.shape[0])
        elif not self.demographics_.columns:
            raise ValueError(
                "Got demographics, but the tower was fitted without. Leave them out, "
                "or fit again with them."
            )
        else:
            demographics = check_frame(demographics, user_items.shape[0])
            encoded = self.demographics_.encode(demographics)
        return Users(histories, *encoded)

    def _check_plays(self, user_items, *, reset):
        if hasattr(user_items, "user_items"):
            raise TypeError(
                f"Got {user_items!r}, expected its matrix: pass logs.user_items."
            )
        user_items = validate_data(self, user_items, reset=reset, **_CHECKS)
        return stored_pairs(user_items)

    def _check_groups(self, groups, shape):
        for name, matrix in groups.items():
            matrix = check_array(matrix, input_name=name, **_CHECKS)
            if matrix.shape != shape:
                raise ValueError(
                    f"Got {name} of shape {matrix.shape}, expected {shape}, that of "
                    "user_items: rows are users and columns items."
                )
            yield stored_pairs(matrix)

    def _warn_empty(self, users, empty):
        nobody = empty & self._without_demographics(users)
        by = "demographics alone"
        if nobody.any():
            by = "the mean of all users"
            if not nobody[empty].all():
                by = f"demographics alone, or ({nobody.sum()}) {by}"
        warnings.warn(
            f"{empty.sum()} of {len(users)} users (first: row {empty.argmax()}) have "
            "no history of items known from fit: they are embedded by "
            f"{by}. {_SILENCE}",
            EmptyHistoryWarning,
            stacklevel=4,
        )

    def _without_history(self, users):
        known = self.known_items_.astype(np.float32)
        return sum(matrix @ known for matrix in users.histories) == 0

    def _without_demographics(self, users):
        unknown = users.numbers[:, 1::2].all(axis=1)
        return unknown & (users.categories == 0).all(axis=1)

    def _hidden(self):
        return tuple(
            int(n) for n in np.atleast_1d(np.asarray(self.hidden, dtype=object))
        )

    def _check_parameters(self):
        for name in ("n_units", "n_negatives", "max_epochs", "patience", "batch_size"):
            check_positive(getattr(self, name), name, integer=True)
        for units in np.atleast_1d(np.asarray(self.hidden, dtype=object)):
            check_positive(units, "hidden", integer=True)
        check_positive(self.lr, "lr")
        check_choice(self.negatives, "negatives", NEGATIVES)
        if not (isinstance(self.dropout, Real) and 0 <= self.dropout < 1):
            raise ValueError(
                f"Got dropout={self.dropout!r}, expected a share from 0 to below 1."
            )
        fraction = self.validation_fraction
        if not (isinstance(fraction, Real) and 0 < fraction < 1):
            raise ValueError(
                f"Got validation_fraction={fraction!r}, expected a share between 0 "
                "and 1."
            )
        resolve_device(self.device)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = []
        return tags
