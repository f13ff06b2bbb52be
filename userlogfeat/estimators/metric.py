"""An audio network that learns to lie near the users who like what it hears.

After Chen, Liang, Ma, Gu (2021), "Learning audio embeddings with user listening data
for content-based music recommendation". Users are points, from a user tower or any
other embedding, or learned at the same time; clips are brought near those who like them
and away from those who dislike them. A clip that nobody has heard yet then has a place
among the users, and its embedding is a feature for other tasks.
"""

import copy
from pathlib import Path

import numpy as np
import torch
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from userlogfeat._base import AudioTransformer, as_tensor, feature_names
from userlogfeat._check import check_choice, check_positive
from userlogfeat._contexts import ContextEstimator
from userlogfeat._network import check_groups
from userlogfeat.losses import hinge, pick_liked, say_liked
from userlogfeat.networks.metric import (
    PAPER_CHANNELS,
    PAPER_UNITS,
    ListenersAndAudio,
)
from userlogfeat.triplets import (
    TripletInputs,
    TripletSampler,
    check_verdicts,
    say_nothing_to_draw,
)

# Chen, Liang, Ma, Gu 2021, audio model and its experiments.
CHEN_2021 = {
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
# Draws that an epoch is validated on: as many as there are likes, within these bounds.
FEWEST_VALIDATION, MOST_VALIDATION = 500, 5000
USERS = "users.safetensors"  # beside a saved model


class MetricEmbedder(ContextEstimator):
    """Embed clips among the users who like and dislike them.

    Every example is a user, a clip the user liked and one or several the user disliked.
    The relevance of a clip to a user is the cosine between their embeddings.

    Parameters
    ----------
    users : array-like (n_users, n_units) or "lookup"
        Embeddings of the users, in the order of the columns of y: they stay as they
        are. ``"lookup"`` learns one for each user beside the network, as the deep
        content-user embedding does.
    objective : {"metric", "multi", "binary"}
        ``"metric"``: the hinge loss, which wants the liked clip ahead of each disliked
        one by `margin`. ``"multi"``: the cross-entropy of picking the liked clip among
        them all. ``"binary"``: the cross-entropy of saying of each clip alone whether
        it is liked; the disliked ones of an example share the weight of one.
    n_negatives : int
        Disliked clips of an example; 1 or 4 in the paper.
    margin : float
        Of the hinge loss, between cosines.
    temperature : float
        Cosines are divided by it in ``"multi"`` and ``"binary"``.
    network : {"metric", "mlp"} or class
        ``"metric"``: the paper's, on log-mel spectrograms. ``"mlp"``: fully connected,
        on precomputed features (2-D X). A class of ``torch.nn.Module`` is built as
        ``network((bands, frames), n_units, n_units)``, and its ``penultimate(x)`` gives
        the embedding of one context.
    n_units : int
        Size of the embeddings with ``users="lookup"``; an array says it itself.
    channels : int
        Maps of the convolutions. The paper does not state its sizes: see
        :mod:`userlogfeat.networks.metric`.
    pools : sequence of int or None
        Frames of the max-pooling after each convolution but the last; None is
        (4, 4, 4, 2), which needs 128 frames.
    hidden : sequence of int
        Hidden units with ``network="mlp"``.
    frontend : str or FrontEnd
        Spectrograms of clips: see :class:`LogMel`.
    context : float
        Seconds that the network takes in at once; 3 or 10 in the paper. While it
        trains, another context of a clip is heard each time, anywhere in what
        `duration` leaves. Elsewhere all contexts that follow each other there are
        heard; their embeddings are brought to unit length and averaged.
    duration : float or None
        Seconds of a clip to take contexts from; 30 in the paper, from its beginning.
        None: all of it.
    crop : {"start", "middle"}
        Which part, where a clip is longer than `duration`.
    short : {"repeat", "pad"}
        What to do where a clip is shorter than `duration` or one context.
    freq_mask, time_mask : int
        SpecAugment while training: the widest masks, in bands and frames; 0 for none.
        Needs the extra `augment`.
    max_epochs, patience : int
        At most so many epochs, stopping after so many without a lower validation loss;
        the epoch of the least is kept. An epoch has as many examples as there are
        likes to draw.
    batch_size : int
        Examples per step of the training, and clips per pass through the network.
    lr : float
        First step of the gradient descent, with Nesterov's momentum of 0.9; it shrinks
        as ``lr / (1 + 1e-6 * step)``.
    validation_fraction : float
        Share of the clips (or groups) that the epochs are validated on.
    n_jobs : int
        Threads that decode files ahead of the network.
    device : str or torch.device
        ``"auto"`` is the GPU where there is one.
    precision : {"auto", "fp32", "bf16"}
        Of the network's matrix products, in training as well; ``"auto"`` is bf16 on a
        GPU only.
    checkpoint : str, Path or None
        A folder in which the training is kept after every epoch. The same fit goes on
        from there when it was killed, and ends the same.
    random_state : int, RandomState or None
        Of initial weights, examples, contexts and validation clips.
    verbose : int
        1 shows a progress bar of the epochs.

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

    layer = "embedding"

    def __init__(
        self,
        users="lookup",
        objective="metric",
        n_negatives=1,
        *,
        margin=CHEN_2021["margin"],
        temperature=CHEN_2021["temperature"],
        network="metric",
        n_units=PAPER_UNITS,
        channels=PAPER_CHANNELS,
        pools=None,
        hidden=(256,),
        frontend="chen2021",
        context=CHEN_2021["context"],
        duration=CHEN_2021["duration"],
        crop="start",
        short="repeat",
        freq_mask=0,
        time_mask=0,
        max_epochs=100,
        patience=10,
        batch_size=CHEN_2021["batch_size"],
        lr=CHEN_2021["lr"],
        validation_fraction=0.1,
        n_jobs=2,
        device="auto",
        precision="auto",
        checkpoint=None,
        random_state=None,
        verbose=0,
    ):
        self.users = users
        self.objective = objective
        self.n_negatives = n_negatives
        self.margin = margin
        self.temperature = temperature
        self.network = network
        self.n_units = n_units
        self.channels = channels
        self.pools = pools
        self.hidden = hidden
        self.frontend = frontend
        self.context = context
        self.duration = duration
        self.crop = crop
        self.short = short
        self.freq_mask = freq_mask
        self.time_mask = time_mask
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y, *, groups=None):
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
        from userlogfeat.training import seeded

        self._check_parameters()
        self._forget()
        inputs, shape, _ = self._hear_training(X)
        if len(inputs) < 2:
            raise ValueError("Got n_samples = 1: clips are told apart, so two or more.")
        verdicts = check_verdicts(y, inputs)
        users = self._check_users(verdicts)
        seed = self._seed()
        triplets = self._make_triplets(inputs, verdicts, seed, groups)
        n_units = self.n_units if users is None else users.shape[1]
        audio = self._make_network(shape, n_units=n_units, seed=seed)
        with seeded(seed + 1):
            table = verdicts.shape[1] if users is None else as_tensor(users)
            network = ListenersAndAudio(audio, table, n_units)
        self.history_ = self._train(
            network,
            triplets,
            {},
            objective=self._loss,
            split=triplets.split,
            seed=seed,
            min_steps=MIN_STEPS,
            optimizer=_make_optimizer,
        )
        self.drawn_users_ = triplets.sampler.users
        self.users_ = self._keep_users(network.users)
        self.network_ = self._as_teacher(network.audio, shape, n_units)
        self._spec = self._network_spec(shape, n_units=n_units)
        self.layer_scales_ = {"embedding": self._scale_of(inputs)}
        return self

    def transform(self, X):
        """Embeddings (n_clips, n_units), float32, of clips.

        With audio they are means of unit vectors, at most of length 1. What they say of
        users is in their direction.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        check_is_fitted(self)
        if not self._reads_features:
            return AudioTransformer.transform(self, X)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        with torch.inference_mode():
            return self.network_.head(as_tensor(X)).numpy()

    def predict(self, X):
        """Relevance of clips to users, (n_clips, n_users), float64, from -1 to 1.

        Of many users only a few clips at a time fit in memory:
        :func:`userlogfeat.recommendation.recommend` goes through them in blocks.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        clips = _unit(self.transform(X).astype(np.float64))
        return clips @ _unit(self.users_.astype(np.float64)).T

    def score(self, X, y):
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
        from userlogfeat.evaluation.recommendation import evaluate_ranking

        check_is_fitted(self)
        embeddings = _unit(self.transform(X))
        verdicts = check_verdicts(y, embeddings).T.tocsr()
        if verdicts.shape[0] != len(self.users_):
            raise ValueError(
                f"Got y of {verdicts.shape[0]} users, expected the {len(self.users_)} "
                "of fit, in the same order."
            )
        liked = (verdicts > 0).astype(np.float32)
        result = evaluate_ranking(
            liked,
            (_unit(self.users_), embeddings),
            candidates=abs(verdicts),
        )
        auc = result.means["auc"]
        if np.isnan(auc):
            raise ValueError(
                "No user of y has both liked and disliked clips: there is no AUC."
            )
        return float(auc)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns: ``embedding_0``, ``embedding_1``, ..."""
        check_is_fitted(self)
        return feature_names(self.network_.layer_sizes)

    def save(self, folder, *, training_data):
        """Write the model to a folder that `UserLogEmbedder` and `load` read.

        The embeddings of the users are in a file of their own, ``users.safetensors``.
        `UserLogEmbedder` needs it not: leave it out of what you share, if users are not
        to be shared.

        Parameters
        ----------
        folder : str or Path
            Made where it is missing.
        training_data : dict
            What it learned from: ``description`` (str), ``licence`` (str) and
            ``non_commercial`` (bool); loading warns where the last is true.
        """
        from safetensors.numpy import save_file

        from userlogfeat._files import replace_file, sha256
        from userlogfeat.weights import check_training_data, save_model

        check_is_fitted(self)
        check_training_data(training_data, ValueError)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with replace_file(folder / USERS) as temporary:
            save_file(
                {"users": self.users_, "drawn_users": self.drawn_users_}, temporary
            )
        save_model(
            folder,
            self.network_.eval(),
            estimator={
                "class": "MetricEmbedder",
                "parameters": self._plain_parameters(),
                "fitted": {"users_sha256": sha256(folder / USERS)},
            },
            spec=self._spec,
            layer_scales=self.layer_scales_,
            training_data=training_data,
        )

    @classmethod
    def load(cls, folder, *, network=None):
        """The fitted estimator that `save` wrote to a folder.

        Parameters
        ----------
        folder : str or Path
            As given to `save`.
        network : type, optional
            The class of the network, where it is one of your own.

        Raises
        ------
        ModelError
            Where the folder is damaged, foreign or changed.
        """
        from userlogfeat.weights import find_model, load_fitted

        saved, parameters = load_fitted(folder, cls.__name__, network=network)
        users = _load_users(find_model(folder) / USERS, saved.config["fitted"])
        if parameters["users"] is None:
            parameters["users"] = users["users"]
        embedder = cls(**parameters)
        embedder.users_, embedder.drawn_users_ = users["users"], users["drawn_users"]
        embedder.layer_scales_ = saved.layer_scales
        embedder.network_ = copy.deepcopy(saved.network)
        embedder._spec = saved.config["network"]
        if embedder._reads_features:
            embedder.n_features_in_ = embedder.network_.head[0].in_features
        return embedder

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

    def __sklearn_is_fitted__(self):
        return hasattr(self, "network_")

    def __sklearn_tags__(self):
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


def _make_optimizer(parameters, *, lr):
    from userlogfeat.training import DecayingSGD

    return DecayingSGD(
        parameters,
        lr=lr,
        decay=CHEN_2021["decay"],
        momentum=CHEN_2021["momentum"],
        nesterov=True,
    )


def _unit(rows):
    """Rows at unit length; zeros stay zeros."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1).astype(rows.dtype)


def _load_users(path, fitted):
    """The users' file of a saved model, checked."""
    from safetensors.numpy import load_file

    from userlogfeat._files import sha256
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
