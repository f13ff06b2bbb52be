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
from dataclasses import KW_ONLY
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from userlogfeat._check import (
    check_choice,
    check_features,
    check_number,
    check_positive,
    require_y,
)
from userlogfeat._spaces import feature_names
from userlogfeat._typing import ArrayLike, Audio, Labels, RandomState
from userlogfeat.estimators._devices import as_tensor, resolve_device
from userlogfeat.estimators._label_search import (
    DISTANCES,
    LabelNeighbour,
    LabelSearch,
)
from userlogfeat.estimators._parameters import estimator
from userlogfeat.estimators._trained import TrainedTransformer
from userlogfeat.estimators._training import check_groups, iter_log_mels, scale_of
from userlogfeat.estimators._windows import WindowParameters, WindowTransformer
from userlogfeat.networks.mel import LogMelSpectrogram
from userlogfeat.networks.mlp import FeatureTeacher, mlp
from userlogfeat.training import seeded, validation_split
from userlogfeat.training.heads import moments
from userlogfeat.training.label_sets import read_label_sets
from userlogfeat.training.processes import refuse
from userlogfeat.training.shared_maps import (
    LabelledFrames,
    SharedMaps,
    fit_shared_maps,
)

# Hamel, Davies, Yoshii, Goto 2013, the embedding.
HAMEL_2013: dict[str, Any] = {
    "n_components": 100,  # stated
    "batch_size": 100,  # stated: frames
    "margin": 1.0,  # not stated; that of Weston, Bengio, Usunier 2011
    "max_norm": 1.0,  # not stated; as there, where its value is searched
    "lr": 0.01,  # not stated
}


@estimator
class SharedLatentEmbedder(TrainedTransformer, WindowParameters, WindowTransformer):
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
        Layers that `transform` returns: ``"embedding"``, statistics of embedded frames;
        ``"base"``, those of the frames themselves, as :class:`MelStatistics`; or both.
    frames_per_clip : int or None
        Number of frames of each clip to train on, drawn at random; None takes all. They
        are kept in memory: 200 bands of a 30 s clip take 1 MB.
    margin : float
        Margin of the loss.
    max_norm : float or None
        Maximum length of the embedding of a band or a label; None for no limit.
    max_epochs, patience : int
        Maximum number of epochs, and the number without a lower validation loss after
        which training stops early. The best epoch is kept. An epoch goes once through
        the largest data set, and has at least 200 batches of each.
    batch_size : int
        Frames per training step. A batch is from one data set; data sets take turns.
    lr : float
        Learning rate of the gradient descent.
    validation_fraction : float
        Share of each data set's clips (or groups) that validate each epoch.
    random_state : int, RandomState or None
        Seed of initial values, batches, the draws of WARP and validation clips.
    verbose : int
        1 shows progress bars also where no one watches, such as in logs; else see
        :func:`userlogfeat.show_progress`.

    Attributes
    ----------
    feature_embedding_ : ndarray (n_bands, n_components), float32
        V': where each band, or feature, lies in the space. A raw frame x lies at
        ``x @ feature_embedding_ + feature_offset_``.
    feature_offset_ : ndarray (n_components,), float32
        Offset that stands for the standardisation of the bands.
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
    MelStatistics : The base features, without any labels.
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

    n_components: int = HAMEL_2013["n_components"]
    _: KW_ONLY
    network: Literal["linear", "mlp"] = "linear"
    layer: str | Sequence[str] = "embedding"
    frames_per_clip: int | None = None
    margin: float = HAMEL_2013["margin"]
    max_norm: float | None = HAMEL_2013["max_norm"]
    max_epochs: int = 50
    patience: int = 5
    batch_size: int = HAMEL_2013["batch_size"]
    lr: float = HAMEL_2013["lr"]
    validation_fraction: float = 0.1
    random_state: RandomState = None
    verbose: int = 0

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
            collection, zeros) are not trained on. A column without any 1 is not a
            label: `labels_` has those that are, in order.
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
            Where X or y have NaN or differ in length, or a data set has only
            one label, or every clip has all labels.
        TypeError
            Where numbers and names are mixed in y or in `dataset`.
        AudioError
            Where a file cannot be read.
        """
        self._check_parameters()
        refuse(type(self).__name__)
        self._forget()
        require_y(y, type(self).__name__, "it learns from the labels of clips")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        clips = self._read_frames(X, np.random.default_rng(seed))
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
            With four statistics, 4 * `n_components` columns per layer; with
            ``network="mlp"`` the `n_components` of the embedding itself. With
            ``pooling=None`` a list with one (n_windows, n_features) array per clip.
        """
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
        columns = self._search.columns(dataset)
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
            Number of labels to return.
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
        check_choice(metric, "metric", tuple(DISTANCES))
        row = self._search.find(label, dataset)
        return self._search.nearest(
            self.label_embeddings_, row, k, among=among, metric=metric
        )

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``embedding_mean_0``, ..., ``embedding_min_99``.

        With ``network="mlp"`` ``embedding_0``, ``embedding_1``, ...
        """
        check_is_fitted(self)
        if self._reads_features:
            return feature_names(self.network_.layer_sizes)
        return WindowTransformer.get_feature_names_out(self, input_features)

    @property
    def _search(self):
        return LabelSearch(self.labels_, self.label_datasets_)

    def _read_frames(self, X, rng):
        """Frames of each clip to train on: list of (n_frames, n_features)."""
        if self._reads_features:
            X = check_features(self, X)
            return list(X[:, None])
        clips = self._check_clips(X, reset=True)
        spectrograms = clips.rows
        if clips.kind != "log_mel":
            mel = LogMelSpectrogram(self._front_end()).to(resolve_device(self.device))
            plain = self._make_teacher()
            spectrograms = iter_log_mels(
                self,
                clips,
                mel,
                plain.min_samples,
                self._read_duration(),
                any_length=plain.any_length,
            )
        return [self._choose_frames(log_mel, rng) for log_mel in spectrograms]

    def _choose_frames(self, log_mel, rng):
        n_frames, wanted = log_mel.shape[1], self.frames_per_clip
        if wanted is not None and n_frames > wanted:
            chosen = np.sort(rng.choice(n_frames, wanted, replace=False))
            log_mel = log_mel[:, chosen]
        return np.ascontiguousarray(log_mel.T, dtype=np.float32)

    def _learn(self, clips, sets, groups, seed):
        """Train the maps; return them, and the mean and scale of the frames."""
        parts = self._split(clips, sets, groups, seed)
        used = np.concatenate([train for train, _ in parts])
        mean, scale = moments(np.concatenate([clips[row] for row in used]))
        device = resolve_device(self.device)
        train, valid = (
            [
                self._gather(clips, rows[side], place, sets, mean, scale)
                for place, rows in enumerate(parts)
            ]
            for side in (0, 1)
        )
        maps = SharedMaps(
            len(mean),
            self.n_components,
            [data.labels.shape[1] for data in train],
            max_norm=self.max_norm,
            margin=self.margin,
            generator=torch.Generator(device).manual_seed(seed),
            device=device,
        )
        self.history_ = fit_shared_maps(
            train,
            valid,
            maps,
            max_epochs=self.max_epochs,
            patience=self.patience,
            batch_size=self.batch_size,
            lr=self.lr,
            verbose=self.verbose,
        )
        return maps, mean, scale

    def _split(self, clips, sets, groups, seed):
        """Rows to train on and to validate on, of each data set's labelled clips."""
        groups = check_groups(groups, clips)
        n_labels = np.diff(sets.indicators.indptr)
        parts = []
        for place in range(len(sets.datasets)):
            rows = np.flatnonzero((n_labels > 0) & (sets.clip_datasets == place))
            own, single = sets.indicators[rows], (n_labels[rows] == 1).all()
            train, valid = validation_split(
                len(rows),
                self.validation_fraction,
                seed=seed,
                y=own.indices if single else None,
                groups=None if groups is None else groups[rows],
            )
            parts.append((rows[train], rows[valid]))
        return parts

    def _gather(self, clips, rows, place, sets, mean, scale):
        """Standardised frames of some clips of one data set, with their labels."""
        device = resolve_device(self.device)
        n_frames = [len(clips[row]) for row in rows]
        frames = [clips[row] for row in rows] or [np.empty((0, len(mean)), np.float32)]
        frames = np.concatenate(frames)
        frames -= mean.astype(np.float32)
        frames /= scale.astype(np.float32)
        return LabelledFrames(
            torch.from_numpy(frames).to(device),
            torch.from_numpy(np.repeat(np.arange(len(rows)), n_frames)).to(device),
            sets.indicators[rows][:, sets.columns(place)],
        )

    def _keep(self, maps, mean, scale, sets):
        """The maps as a torch module of raw frames, and as arrays."""
        V = maps.features.double().cpu() / torch.from_numpy(scale)[:, None]  # V'
        W = torch.cat(maps.labels).cpu()
        with seeded(0):  # the caller's random numbers are left: all values are set
            network = self._make_network(len(mean), len(W))
        linear, labels = _maps_of(network)
        with torch.no_grad():
            linear.weight.copy_(V.T)
            linear.bias.copy_(-torch.from_numpy(mean) @ V)
            labels.weight.copy_(W)
        self.network_ = network.eval().requires_grad_(False)
        self.labels_, self.label_datasets_ = sets.labels, sets.label_datasets
        self._note_embeddings()

    def _make_network(self, n_features, n_labels):
        if not self._reads_features:
            maps = {"n_components": self.n_components, "n_labels": n_labels}
            return self._make_teacher(**maps)
        output = torch.nn.Linear(self.n_components, n_labels)
        torch.nn.init.zeros_(output.bias)
        return FeatureTeacher(mlp((n_features, self.n_components)), output)

    def _note_embeddings(self):
        features, labels = _maps_of(self.network_)
        self.feature_embedding_ = features.weight.numpy(force=True).T.copy()
        self.feature_offset_ = features.bias.numpy(force=True).copy()
        self.label_embeddings_ = labels.weight.numpy(force=True).copy()

    def _measure_scales(self, clips):
        """The factor that brings each layer to unit mean square."""
        if self._reads_features:
            frames = np.concatenate(clips)
            layers = {"embedding": frames @ self.feature_embedding_}
            layers["embedding"] += self.feature_offset_
            squares = {"embedding": np.square(layers["embedding"]).mean()}
        else:
            network, squares = self._pooled(self._load_network()), {}
            for frames in clips:
                log_mel = as_tensor(frames.T).to(resolve_device(self.device))
                layers = network([log_mel], tuple(network.layer_sizes))
                for name, (values,) in layers.items():
                    square = values.square().mean().item() / len(clips)
                    squares[name] = squares.get(name, 0.0) + square
        return {k: scale_of(v) for k, v in squares.items()}

    def _read_features(self, X):
        """Embedding and affinities of precomputed features."""
        X = check_features(self, X, reset=False)
        # In double precision: float32 sums differ with a row's place in the batch.
        embedding = X.astype(np.float64) @ self.feature_embedding_
        embedding += self.feature_offset_
        layers = {
            "embedding": embedding,
            "affinity": embedding @ self.label_embeddings_.T,
        }
        return {name: values.astype(np.float32) for name, values in layers.items()}

    def _embed(self, X):
        return self._read_features(X)["embedding"]

    def _pooled(self, network):
        """The network with one row per clip, for which windows apart are averaged."""
        if self._reads_features:
            return network
        network = copy.copy(network)
        network.pooling = self.pooling or "mean"
        return network

    def _load_network(self):
        device = resolve_device(self.device)
        network = copy.copy(self.network_)
        if not self._reads_features:
            plain = self._make_teacher()
            network.statistics, network.pooling = plain.statistics, plain.pooling
        return network.to(device)

    def _teacher_network(self):
        return self._pooled(self.network_), self._network_spec()

    def _network_spec(self):
        """How `weights` builds this network again."""
        n_in, n_labels = len(self.feature_embedding_), len(self.labels_)
        if self._reads_features:
            head = [n_in, int(self.n_components)]
            return {"name": "mlp", "head": head, "n_outputs": n_labels}
        return {
            "name": "frames",
            "n_bands": n_in,
            "n_components": int(self.n_components),
            "n_labels": n_labels,
            "window": self.window and int(self.window),
            "window_hop": self.window_hop and int(self.window_hop),
            "statistics": list(self.statistics),
            "pooling": self.pooling or "mean",
        }

    def _fitted(self, folder):
        names = {"labels": self.labels_, "datasets": self.label_datasets_}
        return {key: list(values) for key, values in names.items()}

    def _restore(self, saved, folder):
        super()._restore(saved, folder)
        fitted = saved.config["fitted"]
        self.labels_ = np.array(fitted["labels"], dtype=object)
        self.label_datasets_ = np.array(fitted["datasets"], dtype=object)
        if not self._reads_features:
            self._n_units_in = self.network_.n_bands
        self._note_embeddings()

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
        check_number(self.validation_fraction, "validation_fraction", 0, 1, ends="()")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _maps_of(network):
    """The linear layers of features and of labels."""
    if isinstance(network, FeatureTeacher):
        return network.head[0], network.output
    return network.features, network.labels
