"""`MetricEmbedder`: embed clips near the users who like them.

After Chen, Liang, Ma, Gu (2021), "Learning audio embeddings with user listening data
for content-based music recommendation". Users are points, from a user tower or any
other embedding, or trained at the same time; clips are brought near those who like them
and away from those who dislike them. A clip that nobody has played yet then has a place
among the users, and its embedding is a feature for other tasks.
"""

from __future__ import annotations

from dataclasses import KW_ONLY
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_array, check_is_fitted

from userlogfeat._check import check_choice, check_positive
from userlogfeat._typing import ArrayLike, Audio, Labels, Matrix
from userlogfeat.estimators._designs import ContextDesign, check_contexts
from userlogfeat.estimators._devices import as_tensor
from userlogfeat.estimators._parameters import (
    TrainingParameters,
    check_network,
    check_training,
    estimator,
)
from userlogfeat.estimators._trained import (
    TrainedTransformer,
    load_beside,
    save_beside,
)
from userlogfeat.estimators._training import Trainer, embedding_scale, read_clips
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.feedback.triplets import (
    TripletInputs,
    TripletSampler,
    check_verdicts,
    say_nothing_to_draw,
)
from userlogfeat.losses import hinge, sigmoid_loss, softmax_loss
from userlogfeat.networks.metric import (
    PAPER_CHANNELS,
    PAPER_POOLS,
    PAPER_UNITS,
    ContextMean,
    ListenersAndAudio,
)
from userlogfeat.training import DecayingSGD, seeded

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.frontends import FrontEnd


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

# The paper's descent.
DESCENT = partial(
    DecayingSGD,
    decay=CHEN_2021["decay"],
    momentum=CHEN_2021["momentum"],
    nesterov=True,
)
MIN_STEPS = 20  # of an epoch, so that few likes are not left before they are learned
# Draws that an epoch is validated on: as many as there are likes, within these bounds.
FEWEST_VALIDATION, MOST_VALIDATION = 500, 5000


@estimator
class MetricEmbedder(TrainingParameters, TrainedTransformer):
    """Embed clips among the users who like and dislike them.

    Every example is a user, a clip the user liked and one or several the user disliked.
    The relevance of a clip to a user is the cosine between their embeddings.

    Parameters
    ----------
    users : array-like (n_users, n_units) or "lookup"
        Embeddings of the users, in the order of the columns of y: they stay as they
        are. ``"lookup"`` trains one for each user beside the network, as the deep
        content-user embedding does.
    objective : {"metric", "multi", "binary"}
        ``"metric"``: the hinge loss, which wants the liked clip ahead of each disliked
        one by `margin`. ``"multi"``: the cross-entropy of picking the liked clip among
        them all. ``"binary"``: the cross-entropy of saying of each clip alone whether
        it is liked; the disliked ones of an example share the weight of one.
    n_negatives : int
        Disliked clips of an example; 1 or 4 in the paper.
    margin : float
        Margin of the hinge loss, between cosines.
    temperature : float
        Divisor of the cosines in ``"multi"`` and ``"binary"``.
    network : {"metric", "mlp"} or class
        ``"metric"``: the paper's, on log-mel spectrograms. ``"mlp"``: fully connected,
        on precomputed features (2-D X). A class of ``torch.nn.Module`` is built as
        ``network((bands, frames), n_units, n_units)``, and its ``penultimate(x)`` gives
        the embedding of one context.
    n_units : int
        Size of the embeddings with ``users="lookup"``; an array says it itself.
    channels : int
        Feature maps of the convolutions. The paper does not state its sizes: see
        :mod:`userlogfeat.networks.metric`.
    pools : sequence of int or None
        Frames of the max-pooling after each convolution but the last; None is
        (4, 4, 4, 2), which needs 128 frames.
    context : float
        Seconds that the network takes in at once; 3 or 10 in the paper. In training, a
        random context of a clip is read each time, anywhere in what `duration` leaves.
        Elsewhere all consecutive contexts are read; their embeddings are normalised to
        unit length and averaged.
    duration : float or None
        Seconds of a clip to take contexts from; 30 in the paper, from its beginning.
        None: all of it.
    max_epochs, patience : int
        Maximum number of epochs, and the number without a lower validation loss after
        which training stops early. The weights of the best epoch are kept. An epoch has
        as many examples as there are likes to draw.
    batch_size : int
        Examples per training step, and clips per pass through the network.
    lr : float
        First learning rate of the gradient descent, with Nesterov's momentum of 0.9; it
        decays as ``lr / (1 + 1e-6 * step)``.

    Attributes
    ----------
    users_ : ndarray (n_users, n_units), float32
        Embeddings of the users. With ``users="lookup"``, rows of users who lack likes
        or dislikes among the clips that were learned from are zeros.
    drawn_users_ : ndarray of int
        Columns of y that were learned from: users who have both.
    network_ : torch.nn.Module
        The trained network, front end or standardisation included.
    history_ : list of dict
        Losses of every epoch.
    layer_scales_ : dict of str to float
        Factor that brings the embedding to unit mean square on the training clips.
    n_features_in_ : int
        Length of a row of X, where X is an array.

    Notes
    -----
    All objectives embed the clips of an example by one network; the paper says so of
    the metric one. With ``users="lookup"``, users who lack likes or dislikes among the
    clips to learn from have no trained row: they do not help to choose the epoch.

    See Also
    --------
    userlogfeat.feedback : Likes and dislikes from logs.
    userlogfeat.recommendation.recommend : The best clips for each user, from `users_`
        and what `transform` gives, with ``metric="cosine"``.

    References
    ----------
    .. [1] K. Chen, B. Liang, X. Ma, M. Gu, "Learning audio embeddings with user
       listening data for content-based music recommendation", ICASSP 2021.
    .. [2] J. Lee, K. Lee, J. Park, J. Park, J. Nam, "Deep content-user embedding model
       for music recommendation", DLRS 2018.

    Examples
    --------
    Users like clips on their side of a plane:

    >>> import numpy as np
    >>> from userlogfeat import MetricEmbedder
    >>> rng = np.random.default_rng(0)
    >>> features, tastes = rng.normal(size=(200, 6)), rng.normal(size=(30, 6))
    >>> verdicts = np.sign(features @ tastes.T)  # clips x users
    >>> embedder = MetricEmbedder(
    ...     tastes, network="mlp", max_epochs=5, random_state=0
    ... )
    >>> embedder.fit(features[:150], verdicts[:150]).transform(features).shape
    (200, 6)
    >>> embedder.score(features[150:], verdicts[150:]) > 0.9  # AUC
    True
    """

    users: ArrayLike | Literal["lookup"] = "lookup"
    objective: Literal["metric", "multi", "binary"] = "metric"
    n_negatives: int = 1
    _: KW_ONLY
    margin: float = CHEN_2021["margin"]
    temperature: float = CHEN_2021["temperature"]
    network: Literal["metric", "mlp"] | type[nn.Module] = "metric"
    n_units: int = PAPER_UNITS
    channels: int = PAPER_CHANNELS
    frontend: str | FrontEnd = "chen2021"
    context: float = CHEN_2021["context"]
    duration: float | None = CHEN_2021["duration"]
    crop: Literal["start", "middle"] = "start"
    batch_size: int = CHEN_2021["batch_size"]
    lr: float = CHEN_2021["lr"]

    layer = "embedding"
    _crops = ("start", "middle")

    def fit(self, X: Audio, y: Matrix, *, groups: Labels | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of n_clips
            Paths, waveforms or log-mel spectrograms; features with ``network="mlp"``.
        y : csr matrix or array-like (n_clips, n_users)
            +1 where the user liked the clip, -1 where the user disliked it, 0 or
            nothing stored elsewhere (of other numbers, the sign counts):
            ``Feedback.of_clips``, or another matrix in this direction, which
            cross-validation slices by clips (``cross_val_score`` takes dense ones
            only, searches both).
        groups : array-like (n_clips,), optional
            Artist of each clip: clips of one artist are on one side of the split that
            validates the epochs.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where X or y have NaN or differ in length, `users` and y differ in users,
            or no user has both likes and dislikes.
        AudioError
            Where a file cannot be read.
        """
        self._check_parameters()
        self._forget()
        design = ContextDesign(self, PAPER_POOLS)
        data = read_clips(self, X, design)
        if len(data) < 2:
            raise ValueError(
                "Got n_samples = 1: a metric compares clips, so pass two or more."
            )
        verdicts = check_verdicts(y, data.inputs)
        users = self._check_users(verdicts)
        trainer = Trainer(self, optimizer=DESCENT, min_steps=MIN_STEPS)
        triplets = self._make_triplets(data.inputs, verdicts, trainer, groups)
        n_units = self.n_units if users is None else users.shape[1]
        audio = design.build(data, n_units=n_units, seed=trainer.seed)
        if not data.reads_features:
            audio = ContextMean(audio, design.n_frames)
        with seeded(trainer.seed + 1):
            table = verdicts.shape[1] if users is None else as_tensor(users)
            network = ListenersAndAudio(audio, table, n_units)
        self.history_ = trainer.fit(
            network,
            triplets,
            {},
            objective=self._loss,
            split=triplets.split,
            arrays=[network.users.numpy(force=True), *triplets.arrays],
        )
        self.drawn_users_ = triplets.sampler.users
        self.users_ = self._trained_users(network.users)
        self.network_ = data.for_raw_input(network.audio, n_units)
        self._spec = design.spec(data, n_units=n_units)
        scale = embedding_scale(self._load_network(), data, self.batch_size)
        self.layer_scales_ = {"embedding": scale}
        return self

    def predict(self, X: Audio) -> np.ndarray:
        """Relevance of clips to users, (n_clips, n_users), float64, from -1 to 1.

        Of many users only a few clips at a time fit in memory:
        :func:`userlogfeat.recommendation.recommend` goes through them in blocks.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        clips = unit_rows(self.transform(X).astype(np.float64))
        return clips @ unit_rows(self.users_.astype(np.float64)).T

    def score(self, X: Audio, y: Matrix) -> float:
        """Mean AUC of users: how often a clip they liked is before one they disliked.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        y : csr matrix or array-like (n_clips, n_users)
            As in `fit`.

        Returns
        -------
        float
            Over the users who have both; 0.5 is chance.

        Raises
        ------
        ValueError
            Where no user has both.
        """
        check_is_fitted(self)
        embeddings = unit_rows(self.transform(X))
        verdicts = check_verdicts(y, embeddings).T.tocsr()
        if verdicts.shape[0] != len(self.users_):
            raise ValueError(
                f"Got y of {verdicts.shape[0]} users, expected the {len(self.users_)} "
                "of fit, in the same order."
            )
        liked = (verdicts > 0).astype(np.float32)
        result = evaluate_ranking(
            liked,
            (unit_rows(self.users_), embeddings),
            candidates=abs(verdicts),
        )
        auc = result.means["auc"]
        if np.isnan(auc):
            raise ValueError(
                "No user of y has both liked and disliked clips: there is no AUC."
            )
        return float(auc)

    def _loss(self, network, x, batch, epoch):
        """The objective of `fit_network`, for a TripletBatch."""
        relevance = network.relevance(x.clips, x.users, x.places)
        if self.objective == "metric":
            losses = hinge(relevance[:, 0], relevance[:, 1:], self.margin)
        else:
            logits = relevance / self.temperature
            losses = (softmax_loss if self.objective == "multi" else sigmoid_loss)(
                logits
            )
        return {"loss": losses.mean()}

    def _make_triplets(self, inputs, verdicts, trainer, groups):
        """Draws from the clips to train on, and from those to validate on."""
        train, valid = trainer.split(len(inputs), groups)
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
            validation = held.draw(n, np.random.default_rng(trainer.seed))
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

    def _trained_users(self, users):
        """The users' embeddings after training, as an array."""
        users = users.numpy(force=True).copy()
        if isinstance(self.users, str):
            learned = np.zeros(len(users), bool)
            learned[self.drawn_users_] = True
            users[~learned] = 0
        return users

    def _read_duration(self):
        return None if self.duration is None else float(self.duration)

    def _json_parameters(self):
        """The parameters as JSON holds them; an array of users has its own file."""
        users = self.users if isinstance(self.users, str) else None
        return super()._json_parameters() | {"users": users}

    def _fitted(self, folder):
        tensors = {"users": self.users_, "drawn_users": self.drawn_users_}
        return save_beside(folder, "users", tensors)

    def _restore(self, saved, folder):
        super()._restore(saved, folder)
        users, _ = load_beside(folder, "users", saved.config["fitted"])
        self.users_, self.drawn_users_ = users["users"], users["drawn_users"]
        if self.users is None:
            self.users = self.users_

    def _check_parameters(self):
        super()._check_parameters()
        check_network(self.network, ("metric", "mlp"))
        check_training(self)
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
        check_contexts(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
