"""One space for the frames of several data sets and all their labels.

Hamel, Davies, Yoshii, Goto (2013), "Transfer learning in MIR: sharing learned latent
representations for music audio classification and similarity". A linear map V of frames
is shared by all data sets, each of which has a map W of its own labels; s_j(x) =
w_j' V x is the affinity of frame x to label j, learned with the WARP loss. The embedded
frames are then aggregated over windows, as the base features are.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from userlogfeat._check import check_choice, check_positive
from userlogfeat._typing import ArrayLike, Audio, Device, Labels, PathLike, RandomState
from userlogfeat.estimators._base import feature_names
from userlogfeat.estimators._latent import LatentTransformer
from userlogfeat.networks.frame_statistics import STATISTICS, WINDOW
from userlogfeat.training.label_sets import read_label_sets

if TYPE_CHECKING:
    from userlogfeat.frontends import FrontEnd


# Hamel, Davies, Yoshii, Goto 2013, the embedding.
HAMEL_2013: dict[str, Any] = {
    "n_components": 100,  # stated
    "batch_size": 100,  # stated: frames
    "margin": 1.0,  # not stated; that of Weston, Bengio, Usunier 2011
    "max_norm": 1.0,  # not stated; as there, where its value is searched
    "lr": 0.01,  # not stated
}


def _cosine_distance(embeddings, one):
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(one)
    return np.maximum(0.0, 1 - embeddings @ one / np.maximum(lengths, 1e-24))


_DISTANCES = {
    "l1": lambda embeddings, one: np.abs(embeddings - one).sum(axis=1),
    "l2": lambda embeddings, one: np.linalg.norm(embeddings - one, axis=1),
    "cosine": _cosine_distance,
}


class LabelNeighbour(NamedTuple):
    """A label near another one.

    Attributes
    ----------
    label : object
    dataset : object
        The data set it is of; None where there is only one.
    distance : float
        Between the two embeddings, 0 or more: by L1, unless asked for another.
    """

    label: Any
    dataset: Any
    distance: float


class SharedLatentEmbedder(LatentTransformer):
    """Embed frames and the labels of several data sets into one space.

    Parameters
    ----------
    n_components : int
        Size of the space.
    network : {"linear", "mlp"}
        ``"linear"``: the paper's, on the frames of spectrograms. ``"mlp"``: X is 2-D,
        precomputed features, of which each row is treated as one frame; `transform`
        gives its embedding, without statistics.
    layer : str or sequence of str
        What `transform` gives: ``"embedding"``, statistics of the embedded frames;
        ``"base"``, those of the frames themselves, as :class:`MelStatistics`; or both.
    frontend : str or FrontEnd
        Spectrograms of paths and waveforms: see :class:`LogMel`.
    window, window_hop, statistics, pooling
        Of the statistics: see :class:`MelStatistics`.
    frames_per_clip : int or None
        So many frames of each clip are learned from, drawn at random; None takes all.
        They are kept in memory: 200 bands of a 30 s clip take 1 MB.
    margin : float
        Of the loss.
    max_norm : float or None
        The longest that a band's or a label's embedding may be. None: no limit.
    duration, crop, short
        How much is read of each clip: see :class:`MelStatistics`. The paper takes the
        first 30 s.
    sample_rate : int or None
        Rate of waveforms in X, in Hz, from which they are resampled. None takes it
        for that of `frontend`. Files know theirs.
    max_epochs, patience : int
        At most so many epochs, stopping after so many without a lower validation loss;
        the epoch of the least is kept. An epoch goes once through the largest data set,
        and has 200 batches of each at least.
    batch_size : int
        Frames per step of the training. Batches are of one data set, which take turns.
    lr : float
        Step of the gradient descent.
    validation_fraction : float
        Share of each data set's clips (or groups) that the epochs are validated on.
    n_jobs : int
        Threads that decode files.
    device : str or torch.device
        ``"auto"`` is the GPU where there is one.
    random_state : int, RandomState or None
        Of the first values, the batches, the draws of WARP and the validation clips.
    verbose : int
        1 shows a progress bar of the epochs.

    Attributes
    ----------
    feature_embedding_ : ndarray (n_bands, n_components), float32
        V': where each band, or feature, lies in the space. A raw frame x lies at
        ``x @ feature_embedding_ + feature_offset_``.
    feature_offset_ : ndarray (n_components,), float32
        What the standardisation of the bands amounts to.
    label_embeddings_ : ndarray (n_labels, n_components), float32
        W: where each label lies.
    labels_ : ndarray (n_labels,) of object
        Their names, in the same order.
    label_datasets_ : ndarray (n_labels,) of object
        The data set of each; None throughout where `fit` was given none.
    network_ : torch.nn.Module
        Both maps, with front end and statistics.
    history_ : list of dict
        Losses of every epoch.
    layer_scales_ : dict of str to float
        Factor that brings each layer to unit mean square on the training clips.
    n_features_in_ : int
        Length of a row of X, where X is a 2-D array; units of a frame, where it is 3-D.

    See Also
    --------
    MelStatistics : The base features, which no label has touched.
    WindowRegressionClassifier : The paper's classifier of windows.

    Notes
    -----
    Bands are standardised by the mean and deviation of all frames that are learned
    from, which the paper does not state; the standardisation is part of V.

    References
    ----------
    .. [1] P. Hamel, M. E. P. Davies, K. Yoshii, M. Goto, "Transfer learning in MIR:
       sharing learned latent representations for music audio classification and
       similarity", ISMIR 2013.
    .. [2] J. Weston, S. Bengio, N. Usunier, "Wsabie: scaling up to large vocabulary
       image annotation", IJCAI 2011.

    Examples
    --------
    Two data sets have other words for the same two kinds of clips:

    >>> import numpy as np
    >>> from userlogfeat import SharedLatentEmbedder
    >>> rng = np.random.default_rng(0)
    >>> high = rng.integers(2, size=60)
    >>> frames = rng.normal(size=(60, 8, 20))  # clips, bands, frames
    >>> frames[:, 0] += 4 * high[:, None]
    >>> A, B = np.array(["dark", "bright"])[high], np.array(["low", "high"])[high]
    >>> labels = np.where(np.arange(60) < 30, A, B)
    >>> sets = np.where(np.arange(60) < 30, "A", "B")
    >>> embedder = SharedLatentEmbedder(5, window=10, max_epochs=3, random_state=0)
    >>> embedder.fit(frames, labels, dataset=sets).transform(frames).shape
    (60, 20)
    >>> [near] = embedder.nearest_labels("bright", 1)
    >>> near.dataset, near.label
    ('B', 'high')
    """

    def __init__(
        self,
        n_components: int = HAMEL_2013["n_components"],
        *,
        network: Literal["linear", "mlp"] = "linear",
        layer: str | Sequence[str] = "embedding",
        frontend: str | FrontEnd = "hamel2013",
        window: int | None = WINDOW,
        window_hop: int | None = None,
        statistics: Sequence[Literal["mean", "var", "max", "min"]] = STATISTICS,
        pooling: Literal["mean", "max", "meanstd"] | None = "mean",
        frames_per_clip: int | None = None,
        margin: float = HAMEL_2013["margin"],
        max_norm: float | None = HAMEL_2013["max_norm"],
        duration: float | None = None,
        crop: Literal["middle", "start"] = "start",
        short: Literal["repeat", "pad"] = "repeat",
        sample_rate: int | None = None,
        max_epochs: int = 50,
        patience: int = 5,
        batch_size: int = HAMEL_2013["batch_size"],
        lr: float = HAMEL_2013["lr"],
        validation_fraction: float = 0.1,
        n_jobs: int = 2,
        device: Device = "auto",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.network = network
        self.layer = layer
        self.frontend = frontend
        self.window = window
        self.window_hop = window_hop
        self.statistics = statistics
        self.pooling = pooling
        self.frames_per_clip = frames_per_clip
        self.margin = margin
        self.max_norm = max_norm
        self.duration = duration
        self.crop = crop
        self.short = short
        self.sample_rate = sample_rate
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Audio,
        y: Any,
        *,
        dataset: Labels | None = None,
        groups: Labels | None = None,
    ) -> Self:
        """Learn both maps.

        Parameters
        ----------
        X : array-like of n_clips
            Paths, waveforms, log-mel spectrograms or other frames (3-D, or a list of
            (units, frames) arrays of any lengths); features with ``network="mlp"``.
        y : array-like
            Labels (n_clips,); or a list with a collection of labels for each clip; or
            an indicator matrix (n_clips, n_labels), dense, sparse, a list of rows, or a
            frame whose columns are the labels. Clips without any label (None, an empty
            collection, zeros) are not learned from. A column without any 1 is no label:
            `labels_` has those that are, in order.
        dataset : array-like (n_clips,), optional
            The data set that each clip is of. Labels of one data set never compete with
            those of another, not even with one of the same name.
        groups : array-like (n_clips,), optional
            Artist of each clip: clips of one artist are on one side of the split that
            validates the epochs.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where X or y have NaN or differ in length, or the labels of a data set tell
            nothing apart: there is one only, or every clip has all.
        TypeError
            Where numbers and names are mixed in y or in `dataset`.
        AudioError
            Where a file cannot be read.
        """
        from userlogfeat.training.processes import refuse

        self._check_parameters()
        refuse(type(self).__name__)
        self._forget()
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None: it learns from the labels of clips."
            )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        clips = self._hear_training(X, np.random.default_rng(seed))
        sets = read_label_sets(y, len(clips), dataset)
        maps, mean, scale = self._learn(clips, sets, groups, seed)
        self._keep(maps, mean, scale, sets)
        self.layer_scales_ = self._measure_scales(clips)
        return self

    def transform(self, X: Audio) -> np.ndarray:
        """Features of clips: statistics of embedded frames, over windows.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.

        Returns
        -------
        ndarray (n_clips, n_features), float32
            With four statistics, 4 * `n_components` columns a layer; with
            ``network="mlp"`` the `n_components` of the embedding itself. With
            ``pooling=None`` a list with one (n_windows, n_features) array a clip.
        """
        check_is_fitted(self)
        if self._reads_features:
            return self._read_features(X)["embedding"]
        return super().transform(X)

    def decision_function(self, X: Audio, *, dataset: Any = None) -> np.ndarray:
        """Affinities of clips to labels: w_j' V x, averaged over the frames of a clip.

        They are to be compared within a clip, among the labels of one data set.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        dataset : object, optional
            Only the labels of this data set.

        Returns
        -------
        ndarray (n_clips, n_labels), float32
            In the order of `labels_`, or of ``labels_[label_datasets_ == dataset]``.
            Columns of an indicator that had no 1 in `fit` are not among them.
        """
        check_is_fitted(self)
        columns = self._columns_of(dataset)
        if self._reads_features:
            return self._read_features(X)["affinity"][:, columns]
        clips = self.iter_features(X, layers=("affinity",))
        return np.stack([clip.layers["affinity"] for clip in clips])[:, columns]

    def nearest_labels(
        self,
        label: Any,
        k: int = 5,
        *,
        dataset: Any = None,
        among: Any = None,
        metric: Literal["l1", "l2", "cosine"] = "l1",
    ) -> list[LabelNeighbour]:
        """The labels nearest to one, of all data sets: the paper's table 3.

        Parameters
        ----------
        label : object
            One of `labels_`.
        k : int
            How many.
        dataset : object, optional
            The data set of `label`, where several have one of that name.
        among : object, optional
            Only labels of this data set are listed.
        metric : {"l1", "l2", "cosine"}
            Distance between embeddings: the sum of absolute differences, as in the
            paper's section 6.1; Euclidean; or one minus the cosine, which does not
            depend on their lengths.

        Returns
        -------
        list of LabelNeighbour
            The nearest first; never the label itself.
        """
        check_is_fitted(self)
        check_positive(k, "k", integer=True)
        check_choice(metric, "metric", tuple(_DISTANCES))
        row = self._find_label(label, dataset)
        columns = self._columns_of(among)
        others = columns[columns != row]
        embeddings = self.label_embeddings_.astype(np.float64)
        distances = _DISTANCES[metric](embeddings[others], embeddings[row])
        order = np.argsort(distances, kind="stable")[:k]
        return [
            LabelNeighbour(self.labels_[i], self.label_datasets_[i], float(distance))
            for i, distance in zip(others[order], distances[order], strict=True)
        ]

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``embedding_mean_0``, ..., ``embedding_min_99``.

        With ``network="mlp"`` ``embedding_0``, ``embedding_1``, ...
        """
        check_is_fitted(self)
        if self._reads_features:
            return feature_names(self.network_.layer_sizes)
        return super().get_feature_names_out(input_features)

    def save(self, folder: PathLike, *, training_data: dict[str, Any]) -> None:
        """Write the model to a folder that `UserLogEmbedder` and `load` read.

        Parameters
        ----------
        folder : str or Path
            Made where it is missing.
        training_data : dict
            What it learned from: ``description`` (str), ``licence`` (str) and
            ``non_commercial`` (bool); loading warns where the last is true.
        """
        from userlogfeat.weights import save_model

        check_is_fitted(self)
        names = {"labels": self.labels_, "datasets": self.label_datasets_}
        save_model(
            folder,
            self._pooled(self.network_),
            estimator={
                "class": type(self).__name__,
                "parameters": self._plain_parameters(),
                "fitted": {key: list(values) for key, values in names.items()},
            },
            spec=self._network_spec(),
            layer_scales=self.layer_scales_,
            training_data=training_data,
        )

    @classmethod
    def load(cls, folder: PathLike) -> Self:
        """The fitted estimator that `save` wrote to a folder.

        Parameters
        ----------
        folder : str or Path
            As given to `save`.

        Raises
        ------
        ModelError
            Where the folder is damaged, foreign or changed.
        """
        from userlogfeat.weights import explained, load_fitted

        saved, parameters = load_fitted(folder, cls.__name__)
        with explained(folder):
            for name in ("layer", "statistics"):  # lists in JSON
                if isinstance(parameters[name], list):
                    parameters[name] = tuple(parameters[name])
            embedder = cls(**parameters)
            embedder.network_ = copy.deepcopy(saved.network)
            embedder.layer_scales_ = saved.layer_scales
            fitted = saved.config["fitted"]
            embedder.labels_ = np.array(fitted["labels"], dtype=object)
            embedder.label_datasets_ = np.array(fitted["datasets"], dtype=object)
            if embedder._reads_features:
                embedder.n_features_in_ = embedder.network_.head[0].in_features
            else:
                embedder._n_units_in = embedder.network_.n_bands
            embedder._note_embeddings()
            return embedder

    def _find_label(self, label, dataset):
        """Row of a label; of that of one data set where several have it."""
        if isinstance(label, np.ndarray):
            raise ValueError(
                f"Got label={label!r}, expected one of labels_. Ask for one at a time."
            )
        of = self._columns_of(dataset)
        rows = of[[self.labels_[i] == label for i in of]]
        if len(rows) == 1:
            return int(rows[0])
        where = "" if dataset is None else f" in data set {dataset!r}"
        if len(rows) == 0:
            some = ", ".join(repr(self.labels_[i]) for i in of[:8])
            raise ValueError(
                f"There is no label {label!r}{where}; the {len(of)} labels there begin "
                f"with {some}."
            )
        owners = [self.label_datasets_[i] for i in rows]
        raise ValueError(
            f"The label {label!r} is in {len(rows)} data sets: {owners}. Pass dataset= "
            "to say which is meant."
        )

    def _columns_of(self, dataset):
        """Places in `labels_` of a data set's labels; of all for None."""
        if dataset is None:
            return np.arange(len(self.labels_))
        if isinstance(dataset, np.ndarray):
            raise ValueError(f"Got dataset={dataset!r}, expected the name of one.")
        own = np.flatnonzero([name == dataset for name in self.label_datasets_])
        if len(own) == 0:
            known = list(dict.fromkeys(self.label_datasets_.tolist()))
            raise ValueError(f"Got dataset {dataset!r}, expected one of {known}.")
        return own

    def _check_parameters(self):
        super()._check_parameters()
        check_choice(self.network, "network", ("linear", "mlp"))
        names = ("n_components", "max_epochs", "patience")
        for name in names:
            check_positive(getattr(self, name), name, integer=True)
        for name in ("lr", "margin"):
            check_positive(getattr(self, name), name)
        if self.max_norm is not None:
            check_positive(self.max_norm, "max_norm")
        if self.frames_per_clip is not None:
            check_positive(self.frames_per_clip, "frames_per_clip", integer=True)
        layers = ("embedding",) if self._reads_features else ("base", "embedding")
        self._check_layers(dict.fromkeys(layers))
        fraction = self.validation_fraction
        if not (isinstance(fraction, Real) and 0 < fraction < 1):
            raise ValueError(
                f"Got validation_fraction={fraction!r}, expected a share between 0 "
                "and 1."
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags
