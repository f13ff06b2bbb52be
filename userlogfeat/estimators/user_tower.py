"""`UserEmbedding`: users from their histories and demographics, by a tower."""

from typing import Any, Literal, Self

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from userlogfeat._check import check_choice, check_number, check_positive
from userlogfeat._threads import limit_torch
from userlogfeat._typing import (
    ArrayLike,
    Device,
    Frame,
    Labels,
    Matrix,
    PathLike,
    RandomState,
)
from userlogfeat.estimators._devices import resolve_device
from userlogfeat.estimators._histories import (
    EmptyHistoryWarning,
    check_feedback,
    check_plays,
    warn_of_empty,
    warn_of_no_targets,
    without_demographics,
)
from userlogfeat.estimators._parameters import check_hidden, estimator, json_parameters
from userlogfeat.estimators._sklearn import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from userlogfeat.evaluation.ranking import iter_rows, mask_of
from userlogfeat.networks.user_tower import N_HIDDEN, N_UNITS, UserTower
from userlogfeat.training import seeded, validation_split
from userlogfeat.training.processes import refuse
from userlogfeat.users.batches import Users
from userlogfeat.users.demographics import Demographics
from userlogfeat.users.inputs import (
    check_frame,
    check_last_items,
    make_codes,
    make_targets,
    merge_attributes,
)
from userlogfeat.users.tower_files import load_tower, save_tower
from userlogfeat.users.training import N_VALIDATED, fit_tower
from userlogfeat.weights.config import explained

__all__ = ["EmptyHistoryWarning", "UserEmbedding"]

NEGATIVES = ("popularity", "uniform")
BATCH = 1024  # users that are embedded at once
PAPER_K = 200  # Chen et al. 2021, section 3.1: hit rate among the 200 best


@estimator
class UserEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Embed users by their plays, likes and dislikes, and demographics.

    For plays alone :class:`CFEmbedding` is the better choice: on HetRec Last.fm its hit
    rate@200 is higher (0.72 against 0.66) in a fraction of the time. The tower is for
    what factors cannot use: artists and albums of rare items, dislikes, demographics,
    and users of whom nothing else is known.

    The user tower of [1]_: the embeddings of the items of a history are averaged, as
    are those of their artists, albums or whatever else is known of items; played, liked
    and disliked items apart. Beside demographics they go through a fully connected
    layer with leaky ReLU. The tower is trained to rank the item that a user played
    last, which is left out of the history, above all others: a cross-entropy over
    sampled negatives (:func:`userlogfeat.losses.sampled_softmax`). The scalar product
    of a user's and an item's embedding is the score of the pair.

    New users need no training: `transform` embeds any history.

    Parameters
    ----------
    n_units : int
        Size of an embedding, and of every lookup; 40 in [1]_.
    hidden : tuple of int
        Units of the fully connected layers with leaky ReLU; a linear one follows. Not
        stated in [1]_.
    n_negatives : int
        Number of items drawn for each batch. Of fewer items, all are taken and the loss
        is exact. Not stated in [1]_.
    negatives : {"popularity", "uniform"}
        Whether popular items are drawn more often. The loss corrects for it, so both
        learn the same; what is drawn more often is learned with less noise.
    dropout : float
        Share of each history that is hidden in training, drawn anew every time: it
        prevents overfitting to a few thousand users. Not in [1]_; 0 for none.
    max_epochs, patience : int
        Maximum number of epochs, and the number without a lower loss of the held-out
        users after which training stops early. The best epoch is kept.
    batch_size : int
        Users in a step.
    lr : float
        Learning rate, of Adam.
    validation_fraction : float
        Share of the users to hold out for this; never more than 2,000 of them.
    device : str or torch.device
        Device to train and embed on; "auto" is the GPU where there is one.
    random_state : int, RandomState or None
        Seed of initial weights, held-out users, drawn targets and negatives. Equal
        seeds give equal embeddings on a CPU.
    verbose : int
        1 shows progress bars also where no one watches, such as in logs; else see
        :func:`userlogfeat.show_progress`.

    Attributes
    ----------
    item_embeddings_ : ndarray of float32, shape (n_items, n_units)
        Embeddings of the items as targets; zeros for items of no training history.
    known_items_ : ndarray of bool, shape (n_items,)
        The items with an embedding. The others are ignored in a history.
    mean_embedding_ : ndarray of float32, shape (n_units,)
        Mean of the training users: the embedding of a user without any data.
    history_ : list of dict
        ``epoch``, ``train_loss`` and ``valid_loss`` of every epoch.
    network_ : UserTower
    n_features_in_ : int
        The number of items.

    References
    ----------
    .. [1] Chen, Liang, Ma, Gu 2021, *Learning audio embeddings with user listening data
       for content-based music recommendation*, ICASSP, section 2.1.

    Examples
    --------
    Two circles of listeners, each with songs of its own, of which they play some:

    >>> import numpy as np
    >>> from userlogfeat import UserEmbedding
    >>> circles = np.kron(np.eye(2), np.ones((50, 5)))
    >>> plays = circles * (np.random.default_rng(0).random((100, 10)) < 0.7)
    >>> tower = UserEmbedding(max_epochs=5, random_state=0).fit(plays)

    A new listener of two songs, and the songs of the highest scores:

    >>> listener = tower.transform([[0, 0, 0, 0, 0, 0, 0, 3, 0, 1]])
    >>> listener.shape
    (1, 40)
    >>> sorted(np.argsort(-listener @ tower.item_embeddings_.T)[0, :5].tolist())
    [5, 6, 7, 8, 9]
    """

    n_units: int = N_UNITS
    hidden: tuple[int, ...] = (N_HIDDEN,)
    n_negatives: int = 1000
    negatives: Literal["popularity", "uniform"] = "popularity"
    dropout: float = 0.5
    max_epochs: int = 100
    patience: int = 10
    batch_size: int = 512
    lr: float = 1e-2
    validation_fraction: float = 0.1
    device: Device = "auto"
    random_state: RandomState = None
    verbose: int = 0

    def fit(
        self,
        user_items: Matrix,
        y: Any = None,
        *,
        liked: Matrix | None = None,
        disliked: Matrix | None = None,
        item_artists: Labels | None = None,
        item_albums: Labels | None = None,
        item_attributes: dict[str, Labels] | None = None,
        demographics: Frame | None = None,
        last_items: ArrayLike | None = None,
    ) -> Self:
        """Train the tower.

        A target is an item that was played or liked, and not disliked. Users without
        one are not trained on, with a warning.

        Parameters
        ----------
        user_items : csr matrix or array, shape (n_users, n_items)
            How often each user played each item: finite, not negative. Only whether it
            was played matters: means are over the different items of a history.
        y : None
            Ignored.
        liked, disliked : csr matrix or array, shape (n_users, n_items), optional
            Explicit feedback, above 0 where there is any: each is averaged for itself.
        item_artists, item_albums : array-like, shape (n_items,), optional
            The artist and the album of each item: ids of any type, None or NaN where
            missing.
        item_attributes : dict of str to array-like (n_items,), optional
            Any others, by name: ``{"label": ..., "genre": ...}``.
        demographics : frame, n_users rows, optional
            Frame of polars or pandas, or dict of columns: numbers, and categories
            (text, categorical, boolean). Values may be missing.
        last_items : array-like of int, shape (n_users,), optional
            The column of the item each user played last, as `read_logs` has it where
            logs have times: the target of that user. -1 where unknown. Where it was
            disliked, or is unknown, and for all users by default, each epoch draws
            another target from the history. Chen et al. take the last; to draw shows
            the tower more targets, which pays where users are few.

        Returns
        -------
        UserEmbedding
            Itself.

        Raises
        ------
        ValueError
            Where a parameter is out of its range, counts are negative or not finite,
            shapes do not fit, a last item is not in the history, or nobody played
            anything.
        """
        self._check_parameters()
        refuse(type(self).__name__)
        user_items = check_plays(self, user_items, reset=True)
        groups = {"liked": liked, "disliked": disliked}
        groups = {k: v for k, v in groups.items() if v is not None}
        self.groups_ = ["user_items", *groups]
        histories = (user_items, *check_feedback(groups, user_items.shape))
        attributes = merge_attributes(
            user_items.shape[1], item_artists, item_albums, item_attributes
        )
        named = dict(zip(self.groups_, histories, strict=True))
        targets = make_targets(named, last_items)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        split = self._split(targets, seed)
        self.attributes_ = list(attributes)
        codes = make_codes(histories, split[0], attributes)
        users = self._learn_demographics(histories, demographics, split[0])
        with seeded(seed):
            self.network_ = UserTower(
                [torch.from_numpy(values) for values in codes],
                n_groups=len(histories),
                n_numbers=users.numbers.shape[1],
                n_categories=self.demographics_.n_categories,
                n_units=self.n_units,
                hidden=self._hidden(),
            )
        device = resolve_device(self.device)
        self.history_ = fit_tower(
            self.network_, users, targets, split, self, device=device, seed=seed
        )
        self._set_items()
        self.mean_embedding_ = self._embed(users, split[0]).mean(axis=0)
        return self

    def fit_transform(
        self, user_items: Matrix, y: Any = None, **fit_params: Any
    ) -> np.ndarray:
        """Train the tower, and embed the users it learned from.

        Parameters
        ----------
        user_items : csr matrix or array, shape (n_users, n_items)
        y : None
            Ignored.
        **fit_params : dict
            As of `fit`; histories and demographics are those of `transform` too.

        Returns
        -------
        ndarray of float32, shape (n_users, n_units)
        """
        self.fit(user_items, **fit_params)
        names = ("liked", "disliked", "demographics")
        known = {name: fit_params[name] for name in names if name in fit_params}
        return self.transform(user_items, **known)

    def transform(
        self,
        user_items: Matrix,
        demographics: Frame | None = None,
        *,
        liked: Matrix | None = None,
        disliked: Matrix | None = None,
    ) -> np.ndarray:
        """Embed users, those of `fit` or new ones.

        Parameters
        ----------
        user_items : csr matrix or array, shape (n_users, n_items)
            Plays of the items of `fit`, in the same order. What was not known there
            is ignored.
        demographics : frame, n_users rows, optional
            With the columns of `fit`. Without them, the tower treats
            them as missing, as it does categories that were not in `fit`.
        liked, disliked : csr matrix or array, shape (n_users, n_items), optional
            Where `fit` had them; by default nothing.

        Returns
        -------
        ndarray of float32, shape (n_users, n_units)
            A user without history has an embedding by demographics alone, or
            `mean_embedding_` where these are unknown too, with an
            :class:`EmptyHistoryWarning`.

        Raises
        ------
        ValueError
            Where counts are negative or not finite, or shapes and columns are not those
            of `fit`.
        """
        check_is_fitted(self)
        users = self._check_users(user_items, demographics, liked, disliked)
        embedded = self._embed(users, np.arange(len(users)))
        empty = self._without_history(users)
        if empty.any():
            unknown = empty & without_demographics(users)
            warn_of_empty(empty, unknown)
            embedded[unknown] = self.mean_embedding_
        return embedded

    def hit_rate(
        self,
        user_items: Matrix,
        last_items: ArrayLike | None = None,
        demographics: Frame | None = None,
        *,
        liked: Matrix | None = None,
        disliked: Matrix | None = None,
        k: int = PAPER_K,
    ) -> float:
        """Share of users whose target is among the k items of the highest scores.

        The target is left out of the history, the user is embedded by the rest, and all
        known items that are not in the rest are ranked. A fair figure is of users, or
        of targets, that `fit` did not see.

        Parameters
        ----------
        user_items : csr matrix or array, shape (n_users, n_items)
            Histories, with or without the targets.
        last_items : array-like of int, shape (n_users,), optional
            The targets; -1 leaves a user out. By default one is drawn from each
            history, by `random_state`.
        demographics, liked, disliked
            As of `transform`.
        k : int
            200 in the paper.

        Returns
        -------
        float
            In [0, 1]. A target that `fit` did not know is a miss. Of equal scores the
            item of the lower index comes first.
        """
        check_is_fitted(self)
        check_positive(k, "k", integer=True)
        users = self._check_users(user_items, demographics, liked, disliked)
        targets = make_targets(dict(zip(self.groups_, users.histories, strict=True)))
        if last_items is not None:
            last = check_last_items(last_items, targets.positives.shape)
        else:
            rng = np.random.default_rng(
                check_random_state(self.random_state).randint(2**31 - 1)
            )
            last = targets.draw(np.arange(len(users)), rng)
        asked = np.flatnonzero(last >= 0)
        if len(asked) == 0:
            raise ValueError("No user has a target: there is nothing to evaluate.")
        ranks = self._ranks(users, asked, last[asked])
        return float((ranks < k).mean())

    def save(self, folder: PathLike, *, training_data: dict[str, Any]) -> None:
        """Write the tower to a folder: safetensors and config.json, no pickle.

        Parameters
        ----------
        folder : str or Path
            Created if missing.
        training_data : dict
            Description of the data: ``description`` (str), ``licence`` (str) and
            ``non_commercial`` (bool).
        """
        check_is_fitted(self)
        parameters = json_parameters(self) | {"hidden": list(self._hidden())}
        entries = {
            "parameters": parameters,
            "groups": self.groups_,
            "attributes": self.attributes_,
            "demographics": self.demographics_.columns,
            "history": self.history_,
            "training_data": training_data,
        }
        save_tower(folder, self.network_, self.mean_embedding_, entries)

    @classmethod
    def load(cls, folder: PathLike) -> Self:
        """The fitted estimator that `save` wrote to a folder.

        Parameters
        ----------
        folder : str or Path

        Raises
        ------
        ModelError
            Where the folder is damaged, foreign or changed.
        """
        network, mean_embedding, config = load_tower(folder)
        with explained(folder):
            tower = cls(**config["parameters"])
            tower.hidden = tuple(tower.hidden)
            tower.network_, tower.mean_embedding_ = network, mean_embedding
            tower.groups_, tower.attributes_ = config["groups"], config["attributes"]
            tower.demographics_ = Demographics(config["demographics"])
            tower.history_ = config["history"]
            tower.n_features_in_ = len(network.codes_0)
            tower._set_items()
            return tower

    def _learn_demographics(self, histories, demographics, rows):
        self.demographics_ = Demographics([])
        n_users = histories[0].shape[0]
        if demographics is not None:
            demographics = check_frame(demographics, n_users)
            self.demographics_ = Demographics.learn(demographics, rows)
            return Users(histories, *self.demographics_.encode(demographics))
        return Users(histories, *self.demographics_.unknown(n_users))

    def _split(self, targets, seed):
        """Users to train on and to validate on, of those who have a target."""
        sizes = np.diff(targets.positives.indptr)
        with_target = np.flatnonzero(sizes > 0)
        if len(with_target) < len(sizes):
            warn_of_no_targets(sizes)
        fraction = min(self.validation_fraction, N_VALIDATED / len(with_target))
        train, valid = validation_split(len(with_target), fraction, seed=seed)
        return with_target[train], with_target[valid]

    def _set_items(self):
        """Read what is known of items from the network."""
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
        for start in range(0, len(rows), BATCH):
            part = slice(start, start + BATCH)
            left_out = None if targets is None else targets[part]
            batch = users.batch(rows[part], targets=left_out).to(device)
            embedded[part] = network(batch).cpu().numpy()
        return embedded

    def _ranks(self, users, rows, targets):
        """Number of items ranked above each user's target; all, where it is unknown."""
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
        user_items = check_plays(self, user_items, reset=False)
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
        histories = (user_items, *check_feedback(groups, user_items.shape))
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

    def _without_history(self, users):
        known = self.known_items_.astype(np.float32)
        return sum(matrix @ known for matrix in users.histories) == 0

    def _hidden(self):
        return tuple(
            int(n) for n in np.atleast_1d(np.asarray(self.hidden, dtype=object))
        )

    def _check_parameters(self):
        for name in ("n_units", "n_negatives", "max_epochs", "patience", "batch_size"):
            check_positive(getattr(self, name), name, integer=True)
        check_hidden(self.hidden)
        check_positive(self.lr, "lr")
        check_choice(self.negatives, "negatives", NEGATIVES)
        check_number(self.dropout, "dropout", 0, 1, ends="[)")
        check_number(self.validation_fraction, "validation_fraction", 0, 1, ends="()")
        resolve_device(self.device)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = []
        return tags
