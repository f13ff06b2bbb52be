"""An audio network that learns to tell artists apart.

After Park, Lee, Park, Ha, Nam (2018), "Representation learning of music using artist
labels". Who made a song is known of nearly all songs, and says much of what they sound
like: the network's last layer, averaged over a clip and reduced to where artists
differ, is a feature for other tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from userlogfeat._check import check_positive
from userlogfeat._threads import limit_torch
from userlogfeat._typing import ArrayLike, Audio, Device, Labels, PathLike, RandomState
from userlogfeat.estimators._artists import (
    ARTISTS,
    load_artists,
    mean_of_artists,
    nearest_artists,
    number_artists,
    save_artists,
    split_clips,
)
from userlogfeat.estimators._base import AudioTransformer, as_tensor, feature_names
from userlogfeat.estimators._contexts import ContextEstimator
from userlogfeat.losses import softmax_of_many
from userlogfeat.networks.artist import (
    PAPER_CHANNELS,
    PAPER_DROPOUT,
    PAPER_POOLS,
    PAPER_UNITS,
    ArtistCNN,
    ArtistSoftmax,
    DiscriminantContexts,
)
from userlogfeat.networks.mlp import FeatureTeacher, read_rows
from userlogfeat.training.discriminants import check_shrinkage, fit_discriminants
from userlogfeat.training.processes import join, on_first, share_rows

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.frontends import FrontEnd


# Park, Lee, Park, Ha, Nam 2018, training and experiments.
PARK_2018: dict[str, Any] = {
    "n_components": 100,  # stated
    "context": 3.0,  # stated
    "validation_fraction": 0.15,  # stated: 3 of the 20 songs of an artist
    "test_fraction": 0.1,  # stated: 2 of the 20 songs of an artist
    "momentum": 0.9,  # stated, Nesterov's
    "lr": 0.01,  # not stated
    "batch_size": 64,  # not stated
}

MIN_STEPS = 20  # of an epoch, so that few songs are not left before they are learned


class ArtistEmbedder(ClassifierMixin, ContextEstimator):
    """Embed clips where artists differ.

    A network learns to name the artist of a patch. Then the softmax is taken away: a
    clip is the mean of the last layer over its patches, projected onto the directions
    in which artists differ most for their spread within (linear discriminant analysis).

    Parameters
    ----------
    n_components : int
        Columns of the embedding: at most so many, the number of artists less one, and
        `n_units`.
    shrinkage : float or "auto"
        Of the covariance within artists, from 0 to 1; ``"auto"`` after Ledoit & Wolf:
        the fewer songs the artists have, the more of it. Without shrinkage the spread
        of the embedding within artists is 1 in every column, with it mostly below 1.
    network : {"artist", "mlp"} or class
        ``"artist"``: the paper's, on log-mel spectrograms. ``"mlp"``: fully connected,
        on precomputed features (2-D X). A class of ``torch.nn.Module`` is built as
        ``network((bands, frames), n_units, n_units)``, and its ``penultimate(x)`` gives
        the last layer of one patch.
    n_units : int
        Units of the last layer, 256 in the paper.
    channels : int
        Maps of the convolutions but the last, 128 in the paper.
    pools : sequence of int or None
        Frames of the max-pooling after each convolution but the last, and the widths of
        these; None is the paper's (4, 4, 4, 2), which needs 128 frames.
    dropout : float
        Share of the last layer that is left out of each step of the training.
    hidden : sequence of int
        Hidden units before the last layer with ``network="mlp"``.
    layer : str or sequence of str
        What `transform` gives: ``"embedding"``, or ``"context_mean"``, the mean of the
        last layer over the patches (not with ``network="mlp"``), or both.
    frontend : str or FrontEnd
        Spectrograms of clips: see :class:`LogMel`.
    context : float
        Seconds of a patch. While the network trains, another patch of a clip is heard
        each time, anywhere in what `duration` leaves. Elsewhere all patches that follow
        each other there are heard and averaged.
    duration : float or None
        Seconds of a clip to take patches from. None: all of it, as in the paper.
    crop : {"start", "middle"}
        Which part, where a clip is longer than `duration`.
    short : {"repeat", "pad"}
        What to do where a clip is shorter than `duration` or one patch.
    sample_rate : int or None
        Rate of waveforms in X, in Hz, from which they are resampled. None takes it
        for that of `frontend`. Files know theirs.
    freq_mask, time_mask : int
        SpecAugment while training: the widest masks, in bands and frames; 0 for none.
    max_epochs, patience : int
        At most so many epochs, stopping after so many without a lower validation loss;
        the epoch of the least is kept.
    batch_size : int
        Patches per step of the training, and clips per pass through the network.
    lr : float
        Step of the gradient descent, with Nesterov's momentum of 0.9.
    validation_fraction : float
        Share of each artist's songs that the epochs are validated on; one song at least
        of those who have two.
    test_fraction : float
        Share of each artist's songs that nothing is learned from, for `test_score_`; 0
        for none.
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
        Of initial weights, songs, batches and patches.
    verbose : int
        1 shows a progress bar of the epochs.

    Attributes
    ----------
    classes_ : ndarray (n_artists,)
        The artists, sorted.
    artist_embeddings_ : ndarray (n_artists, n_components), float32
        Mean embedding of each artist's clips, test songs aside.
    network_ : torch.nn.Module
        The trained network with the discriminant analysis as its last linear layer,
        front end or standardisation included.
    shrinkage_ : float
        As it was used.
    history_ : list of dict
        Losses of every epoch.
    test_clips_ : ndarray of int
        Rows of X that are of test songs.
    test_score_ : float
        Share of these whose artist is the nearest; NaN where there are none.
    layer_scales_ : dict of str to float
        Factor that brings each layer to unit mean square on the training clips.
    n_features_in_ : int
        Length of a row of X, where X is an array.

    See Also
    --------
    MetricEmbedder : Learns from who listens instead of who plays.

    References
    ----------
    .. [1] J. Park, J. Lee, J. Park, J.-W. Ha, J. Nam, "Representation learning of music
       using artist labels", ISMIR 2018.

    Examples
    --------
    Artists who differ in two of six features:

    >>> import numpy as np
    >>> from userlogfeat import ArtistEmbedder
    >>> rng = np.random.default_rng(0)
    >>> artists = np.repeat(np.arange(30), 10)  # of 300 songs
    >>> features = rng.normal(size=(300, 6))
    >>> features[:, :2] = 5 * rng.normal(size=(30, 2))[artists] + features[:, :2]
    >>> embedder = ArtistEmbedder(2, network="mlp", max_epochs=20, random_state=0)
    >>> embedder.fit(features, artists).transform(features).shape
    (300, 2)
    >>> embedder.test_score_ > 0.3  # 30 songs held out; chance is 0.03
    True
    """

    _paper_name, _paper_class, _paper_pools = "artist", ArtistCNN, PAPER_POOLS

    def __init__(
        self,
        n_components: int = PARK_2018["n_components"],
        *,
        shrinkage: float | Literal["auto"] = "auto",
        network: Literal["artist", "mlp"] | type[nn.Module] = "artist",
        n_units: int = PAPER_UNITS,
        channels: int = PAPER_CHANNELS,
        pools: Sequence[int] | None = None,
        dropout: float = PAPER_DROPOUT,
        hidden: Sequence[int] = (256,),
        layer: str | Sequence[str] = "embedding",
        frontend: str | FrontEnd = "park2017",
        context: float = PARK_2018["context"],
        duration: float | None = None,
        crop: Literal["start", "middle"] = "start",
        short: Literal["repeat", "pad"] = "repeat",
        sample_rate: int | None = None,
        freq_mask: int = 0,
        time_mask: int = 0,
        max_epochs: int = 100,
        patience: int = 10,
        batch_size: int = PARK_2018["batch_size"],
        lr: float = PARK_2018["lr"],
        validation_fraction: float = PARK_2018["validation_fraction"],
        test_fraction: float = PARK_2018["test_fraction"],
        n_jobs: int = 2,
        device: Device = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        checkpoint: PathLike | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.network = network
        self.n_units = n_units
        self.channels = channels
        self.pools = pools
        self.dropout = dropout
        self.hidden = hidden
        self.layer = layer
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
        self.test_fraction = test_fraction
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Audio, y: ArrayLike, *, groups: Labels | None = None) -> Self:
        """Train the network, then find where artists differ.

        Parameters
        ----------
        X : array-like of n_clips
            Paths, waveforms or log-mel spectrograms; features with ``network="mlp"``.
        y : array-like (n_clips,)
            The artist of each clip: names or whole numbers.
        groups : array-like (n_clips,), optional
            The song (item) of each clip, where songs have several: clips of one song
            are all learned from, or all held out. By default every clip is a song.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where there is one artist only, no artist has two songs, all songs of each
            are the same, an artist is missing (None, NaN or an empty name), or X has
            NaN.
        TypeError
            Where numbers and names are mixed in y.
        AudioError
            Where a file cannot be read.

        Warns
        -----
        UserWarning
            Where some artists have one song: they are learned from, but nothing says
            how well.
        """
        self._check_parameters()
        self._forget()
        inputs, shape, clips = self._hear_training(X)
        self.classes_, artists = number_artists(y, inputs)
        seed = self._seed()
        train, valid, test = split_clips(
            self.classes_,
            artists,
            groups,
            validation_fraction=self.validation_fraction,
            test_fraction=self.test_fraction,
            seed=seed,
        )
        n_components = min(self.n_components, len(self.classes_) - 1, self.n_units)
        audio = self._make_trunk(shape, seed)
        self.history_ = self._learn_artists(audio, inputs, artists, train, valid, seed)
        self.network_ = self._join(audio, shape, n_components)
        self._spec = self._network_spec(shape, n_units=n_components)
        means = self._context_means(inputs, clips)
        learned = np.setdiff1d(np.arange(len(artists)), test)
        embeddings = self._fit_discriminant(means, artists, learned)
        self.artist_embeddings_ = mean_of_artists(embeddings[learned], artists[learned])
        self.test_clips_ = test
        named = nearest_artists(embeddings[test], self.artist_embeddings_)
        right = named == artists[test]
        self.test_score_ = float(right.mean()) if len(test) else float("nan")
        self.layer_scales_ = {
            name: float(1 / np.sqrt(max(np.square(rows[learned]).mean(), 1e-12)))
            for name, rows in (("context_mean", means), ("embedding", embeddings))
            if name in self._layer_sizes()
        }
        return self

    def transform(self, X: Audio) -> np.ndarray:
        """Layers of clips side by side, (n_clips, n_features), float32.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        check_is_fitted(self)
        self._check_layers(self._layer_sizes())
        if self._reads_features:
            return self._embed(X)
        return AudioTransformer.transform(self, X)

    def predict(self, X: Audio) -> np.ndarray:
        """The artist of each clip: the one whose mean embedding is nearest.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.

        Returns
        -------
        ndarray (n_clips,)
            Out of `classes_`.
        """
        check_is_fitted(self)
        nearest = nearest_artists(self._embed(X), self.artist_embeddings_)
        return self.classes_[nearest]

    def score(
        self, X: Audio, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Share of clips whose artist `predict` names.

        Parameters
        ----------
        X : array-like of n_clips
            Songs that `fit` has not heard, of artists that it has.
        y : array-like (n_clips,)
            Their artists. One that `fit` did not know counts as not named.
        sample_weight : array-like (n_clips,), optional
            Weights of the clips.

        Returns
        -------
        float
        """
        return ClassifierMixin.score(self, X, y, sample_weight)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``embedding_0``, ``embedding_1``, ..."""
        check_is_fitted(self)
        sizes = self._layer_sizes()
        return feature_names({name: sizes[name] for name in self._layer_names()})

    def save(self, folder: PathLike, *, training_data: dict[str, Any]) -> None:
        """Write the model to a folder that `UserLogEmbedder` and `load` read.

        The artists' names and embeddings are in a file of their own,
        ``artists.safetensors``, which `UserLogEmbedder` does not need.

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
        fitted = save_artists(folder, self.classes_, self.artist_embeddings_)
        score = self.test_score_
        fitted["test_score"] = None if np.isnan(score) else score
        fitted["shrinkage"] = self.shrinkage_
        self._save(folder, "ArtistEmbedder", fitted, training_data)

    @classmethod
    def load(cls, folder: PathLike, *, network: type[nn.Module] | None = None) -> Self:
        """The fitted estimator that `save` wrote to a folder.

        Of what `fit` says of the training, `test_score_` is kept; `history_` and
        `test_clips_` are not.

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
            fitted = saved.config["fitted"]
            for name in ("hidden", "layer", "pools"):  # lists in JSON
                if isinstance(parameters[name], list):
                    parameters[name] = tuple(parameters[name])
            embedder = cls(**parameters)
            embedder.classes_, embedder.artist_embeddings_ = load_artists(
                find_model(folder) / ARTISTS, fitted
            )
            embedder.shrinkage_ = fitted["shrinkage"]
            score = fitted.get("test_score")
            embedder.test_score_ = float("nan") if score is None else score
            return embedder._restore(saved)

    def _make_trunk(self, shape, seed):
        """A new network up to the last layer below the softmax."""
        if not self._reads_features:
            return self._make_context_network(shape, n_units=self.n_units, seed=seed)
        network = self._make_network(shape, n_units=self.n_units, seed=seed)
        return FeatureTeacher(torch.nn.Sequential(*network.head, torch.nn.ReLU()))

    def _learn_artists(self, audio, inputs, artists, train, valid, seed):
        """Train the trunk below a softmax; the losses of every epoch."""
        from userlogfeat.training import seeded

        with seeded(seed + 1):
            network = ArtistSoftmax(
                audio, self.n_units, len(self.classes_), dropout=float(self.dropout)
            )
        return self._train(
            network,
            inputs,
            {"artist": artists},
            objective=_name_artist,
            split=(train, valid),
            seed=seed,
            min_steps=MIN_STEPS,
            optimizer=partial(
                torch.optim.SGD, momentum=PARK_2018["momentum"], nesterov=True
            ),
        )

    def _join(self, audio, shape, n_components):
        """The module that is saved: the trunk, and a linear layer to be filled."""
        from userlogfeat.training import seeded

        with seeded(0):
            if self._reads_features:
                last = torch.nn.Linear(self.n_units, n_components)
                audio = FeatureTeacher(torch.nn.Sequential(*audio.head, last))
            else:
                sizes = {"n_inner": self.n_units, "n_units": n_components}
                audio = DiscriminantContexts(audio, shape[1], **sizes)
        return self._as_teacher(audio, shape, n_components)

    def _context_means(self, inputs, clips):
        """Mean of the last layer over all patches, (n_clips, n_units), of all clips."""
        network = self._load_network()
        device = next(network.parameters()).device

        def hear(rows):
            means = np.empty((len(rows), self.n_units), dtype=np.float32)
            for mean, row in zip(means, rows, strict=True):  # clips may be long
                x = as_tensor(inputs[row]).to(device)
                heard = network([x], layers=("context_mean",))["context_mean"]
                mean[:] = heard[0].numpy(force=True)
            return means

        if self._reads_features:
            rows = as_tensor(clips).to(device)
            return read_rows(network.head[:-1], rows).numpy(force=True)
        with torch.inference_mode(), limit_torch(1):
            return share_rows(np.arange(len(inputs)), hear)

    def _fit_discriminant(self, means, artists, learned):
        """Fill the last linear layer; the embeddings (n_clips, n_components)."""
        network = self.network_
        layer = (
            network.head[-1] if self._reads_features else network.network.discriminant
        )
        # Of one process: the directions' signs are a matter of rounding.
        weight, bias, self.shrinkage_ = on_first(
            join(),
            fit_discriminants,
            *(means[learned], artists[learned], len(layer.weight), self.shrinkage),
        )
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
        return (means @ weight.T + bias).astype(np.float32)

    def _embed(self, X):
        """Embeddings (n_clips, n_components), float32, whatever `layer` says."""
        if not self._reads_features:
            clips = self.iter_features(X, layers=("embedding",))
            return np.stack([clip.layers["embedding"] for clip in clips])
        X = validate_data(self, X, dtype=np.float32, reset=False)
        return read_rows(self.network_.head, as_tensor(X)).numpy()

    def _layer_sizes(self):
        return self.network_.layer_sizes

    def _network_spec(self, shape, *, n_units, n_outputs=None):
        spec = super()._network_spec(shape, n_units=n_units)
        if self._reads_features:
            *sizes, last = spec["head"]
            return spec | {"head": [*sizes, int(self.n_units), last]}
        return spec | {"n_inner": int(self.n_units)}

    def _forget(self):
        """Drop what an earlier fit learned."""
        for name in ("network_", "history_", "layer_scales_", "artist_embeddings_"):
            if hasattr(self, name):
                delattr(self, name)

    def _check_parameters(self):
        AudioTransformer._check_parameters(self)
        self._check_network(("artist", "mlp"))
        self._check_training_parameters()
        for name in ("n_components", "n_units", "channels"):
            check_positive(getattr(self, name), name, integer=True)
        check_shrinkage(self.shrinkage)
        for name in ("dropout", "test_fraction"):
            value = getattr(self, name)
            if value != 0:
                check_positive(value, name)
            if value >= 1:
                raise ValueError(f"Got {name}={value!r}, expected less than 1.")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"Got validation_fraction={self.validation_fraction!r} and "
                f"test_fraction={self.test_fraction!r}: nothing is left to learn from."
            )
        inner = () if self._reads_features else ("context_mean",)
        self._check_layers(dict.fromkeys((*inner, "embedding")))
        self._check_contexts()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "artist_embeddings_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags


def _name_artist(network, x, batch, epoch):
    """The objective of `fit_network`: the cross-entropy of naming the artist."""
    softmax = network.softmax
    losses = softmax_of_many(
        network.units(x), softmax.weight, softmax.bias, batch["artist"]
    )
    return {"loss": losses.mean()}
