"""An audio network that learns to lie near the users who like what it hears.

After Chen, Liang, Ma, Gu (2021), "Learning audio embeddings with user listening data
for content-based music recommendation". Users are points, from a user tower or any
other embedding, or learned at the same time; clips are brought near those who like them
and away from those who dislike them. A clip that nobody has heard yet then has a place
among the users, and its embedding is a feature for other tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from userlogfeat._typing import (
    ArrayLike,
    Audio,
    Device,
    Labels,
    Matrix,
    PathLike,
    RandomState,
)
from userlogfeat.estimators._base import AudioTransformer, as_tensor, feature_names
from userlogfeat.estimators._listeners import (
    CHEN_2021,
    MIN_STEPS,
    TABLE_1,
    USERS,
    ListenerEstimator,
    load_users,
    make_optimizer,
    save_users,
)
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.feedback.triplets import check_verdicts
from userlogfeat.networks.metric import (
    PAPER_CHANNELS,
    PAPER_UNITS,
    ListenersAndAudio,
)
from userlogfeat.networks.mlp import read_rows

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.frontends import FrontEnd


__all__ = ["CHEN_2021", "TABLE_1", "MetricEmbedder"]


class MetricEmbedder(ListenerEstimator):
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
    sample_rate : int or None
        Rate of waveforms in X, in Hz, from which they are resampled. None takes it
        for that of `frontend`. Files know theirs.
    freq_mask, time_mask : int
        SpecAugment while training: the widest masks, in bands and frames; 0 for none.
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

    layer = "embedding"

    def __init__(
        self,
        users: ArrayLike | Literal["lookup"] = "lookup",
        objective: Literal["metric", "multi", "binary"] = "metric",
        n_negatives: int = 1,
        *,
        margin: float = CHEN_2021["margin"],
        temperature: float = CHEN_2021["temperature"],
        network: Literal["metric", "mlp"] | type[nn.Module] = "metric",
        n_units: int = PAPER_UNITS,
        channels: int = PAPER_CHANNELS,
        pools: Sequence[int] | None = None,
        hidden: Sequence[int] = (256,),
        frontend: str | FrontEnd = "chen2021",
        context: float = CHEN_2021["context"],
        duration: float | None = CHEN_2021["duration"],
        crop: Literal["start", "middle"] = "start",
        short: Literal["repeat", "pad"] = "repeat",
        sample_rate: int | None = None,
        freq_mask: int = 0,
        time_mask: int = 0,
        max_epochs: int = 100,
        patience: int = 10,
        batch_size: int = CHEN_2021["batch_size"],
        lr: float = CHEN_2021["lr"],
        validation_fraction: float = 0.1,
        n_jobs: int = 2,
        device: Device = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        checkpoint: PathLike | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
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
        self.sample_rate = sample_rate
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
            optimizer=make_optimizer,
        )
        self.drawn_users_ = triplets.sampler.users
        self.users_ = self._keep_users(network.users)
        self.network_ = self._as_teacher(network.audio, shape, n_units)
        self._spec = self._network_spec(shape, n_units=n_units)
        self.layer_scales_ = {"embedding": self._scale_of(inputs)}
        return self

    def transform(self, X: Audio) -> np.ndarray:
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
        return read_rows(self.network_.head, as_tensor(X)).numpy()

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
        from userlogfeat.evaluation.recommendation import evaluate_ranking

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

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``embedding_0``, ``embedding_1``, ..."""
        check_is_fitted(self)
        return feature_names(self.network_.layer_sizes)

    def save(self, folder: PathLike, *, training_data: dict[str, Any]) -> None:
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
        from userlogfeat.weights import check_training_data

        check_is_fitted(self)
        check_training_data(training_data, ValueError)
        fitted = save_users(folder, self.users_, self.drawn_users_)
        self._save(folder, "MetricEmbedder", fitted, training_data)

    @classmethod
    def load(cls, folder: PathLike, *, network: type[nn.Module] | None = None) -> Self:
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
        from userlogfeat.weights import explained, find_model, load_fitted

        saved, parameters = load_fitted(folder, cls.__name__, network=network)
        with explained(folder):
            users = load_users(find_model(folder) / USERS, saved.config["fitted"])
            if parameters["users"] is None:
                parameters["users"] = users["users"]
            embedder = cls(**parameters)
            embedder.users_, embedder.drawn_users_ = (
                users["users"],
                users["drawn_users"],
            )
            return embedder._restore(saved)
