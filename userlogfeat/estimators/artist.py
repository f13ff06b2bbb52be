"""`ArtistEmbedder`: embed clips where artists differ.

After Park, Lee, Park, Ha, Nam (2018), "Representation learning of music using artist
labels". The artist is known of nearly all songs, and says much of what they sound like:
the network's last layer, averaged over a clip and reduced to where artists differ, is a
feature for other tasks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import KW_ONLY
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from userlogfeat._check import check_number, check_positive
from userlogfeat._threads import limit_torch
from userlogfeat._typing import ArrayLike, Audio, Labels
from userlogfeat._untrusted import parse_json
from userlogfeat.estimators._artists import (
    mean_of_artists,
    nearest_artists,
    number_artists,
    split_clips,
)
from userlogfeat.estimators._designs import ContextDesign, check_contexts
from userlogfeat.estimators._devices import as_tensor, resolve_device
from userlogfeat.estimators._parameters import (
    TrainingParameters,
    check_network,
    check_training,
    estimator,
)
from userlogfeat.estimators._sklearn import ClassifierMixin
from userlogfeat.estimators._trained import (
    TrainedTransformer,
    load_beside,
    save_beside,
)
from userlogfeat.estimators._training import Trainer, read_clips, scale_of
from userlogfeat.losses import softmax_of_many
from userlogfeat.networks.artist import (
    PAPER_CHANNELS,
    PAPER_DROPOUT,
    PAPER_POOLS,
    PAPER_UNITS,
    ArtistSoftmax,
    DiscriminantContexts,
)
from userlogfeat.networks.mlp import FeatureTeacher, read_rows
from userlogfeat.training import seeded
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

# The paper's descent.
DESCENT = partial(torch.optim.SGD, momentum=PARK_2018["momentum"], nesterov=True)
MIN_STEPS = 20  # of an epoch, so that few songs are not left before they are learned


@estimator
class ArtistEmbedder(ClassifierMixin, TrainingParameters, TrainedTransformer):
    """Embed clips where artists differ.

    A network is trained to classify patches by artist. Then the softmax is removed: a
    clip is the mean of the last layer over its patches, projected onto the directions
    in which artists differ most for their spread within (linear discriminant analysis).

    Parameters
    ----------
    n_components : int
        Maximum number of columns of the embedding, which has no more than the number of
        artists less one, or than `n_units`.
    shrinkage : float or "auto"
        Shrinkage of the covariance within artists, from 0 to 1; ``"auto"`` after Ledoit
        & Wolf: the fewer songs the artists have, the stronger. Without shrinkage the
        spread of the embedding within artists is 1 in every column, with it mostly
        below 1.
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
        Share of the last layer that is dropped in each training step.
    hidden : sequence of int
        Hidden units before the last layer with ``network="mlp"``.
    layer : str or sequence of str
        Layers that `transform` returns: ``"embedding"``, ``"context_mean"``, the mean
        of the last layer over the patches (not with ``network="mlp"``), or both.
    context : float
        Seconds of a patch. In training, a random patch of a clip is read each time,
        anywhere in what `duration` leaves. Elsewhere all consecutive patches are read
        and averaged.
    duration : float or None
        Seconds of a clip to take patches from. None: all of it, as in the paper.
    batch_size : int
        Patches per training step, and clips per pass through the network.
    lr : float
        Learning rate of the gradient descent, with Nesterov's momentum of 0.9.
    validation_fraction : float
        Share of each artist's songs that validate each epoch; at least one song of
        those who have two.
    test_fraction : float
        Share of each artist's songs that are held out for `test_score_`; 0 for none.

    Attributes
    ----------
    classes_ : ndarray (n_artists,)
        The artists, sorted.
    artist_embeddings_ : ndarray (n_artists, n_components), float32
        Mean embedding of each artist's clips, without test songs.
    network_ : torch.nn.Module
        The trained network with the discriminant analysis as its last linear layer,
        front end or standardisation included.
    shrinkage_ : float
        As it was used.
    history_ : list of dict
        Losses of every epoch.
    test_clips_ : ndarray of int
        Rows of X with test songs.
    test_score_ : float
        Share of these whose artist is the nearest; NaN where there are none.
    layer_scales_ : dict of str to float
        Factor that brings each layer to unit mean square on the training clips.
    n_features_in_ : int
        Length of a row of X, where X is an array.

    See Also
    --------
    MetricEmbedder : Learns from listeners instead of artists.

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

    n_components: int = PARK_2018["n_components"]
    _: KW_ONLY
    shrinkage: float | Literal["auto"] = "auto"
    network: Literal["artist", "mlp"] | type[nn.Module] = "artist"
    n_units: int = PAPER_UNITS
    channels: int = PAPER_CHANNELS
    dropout: float = PAPER_DROPOUT
    layer: str | Sequence[str] = "embedding"
    frontend: str | FrontEnd = "park2017"
    context: float = PARK_2018["context"]
    crop: Literal["start", "middle"] = "start"
    batch_size: int = PARK_2018["batch_size"]
    lr: float = PARK_2018["lr"]
    validation_fraction: float = PARK_2018["validation_fraction"]
    test_fraction: float = PARK_2018["test_fraction"]

    _crops = ("start", "middle")

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
            are all in training, or all held out. By default every clip is a song.

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
            Where some artists have one song: they are trained on, but not validated.
        """
        self._check_parameters()
        self._forget()
        design = ContextDesign(self, PAPER_POOLS)
        data = read_clips(self, X, design)
        self.classes_, artists = number_artists(y, data.inputs)
        trainer = Trainer(self, optimizer=DESCENT, min_steps=MIN_STEPS)
        train, valid, test = split_clips(
            self.classes_,
            artists,
            groups,
            validation_fraction=self.validation_fraction,
            test_fraction=self.test_fraction,
            seed=trainer.seed,
        )
        audio = design.build(data, n_units=self.n_units, seed=trainer.seed)
        if data.reads_features:
            audio = FeatureTeacher(torch.nn.Sequential(*audio.head, torch.nn.ReLU()))
        with seeded(trainer.seed + 1):
            sizes = (self.n_units, len(self.classes_))
            network = ArtistSoftmax(audio, *sizes, dropout=float(self.dropout))
        self.history_ = trainer.fit(
            network,
            data.inputs,
            {"artist": artists},
            objective=_name_artist,
            split=(train, valid),
        )
        n_components = min(self.n_components, len(self.classes_) - 1, self.n_units)
        self._join(audio, data, design, n_components)
        means = self._context_means(data)
        learned = np.setdiff1d(np.arange(len(artists)), test)
        embeddings = self._fit_discriminant(means, artists, learned)
        self.artist_embeddings_ = mean_of_artists(embeddings[learned], artists[learned])
        self.test_clips_ = test
        named = nearest_artists(embeddings[test], self.artist_embeddings_)
        right = named == artists[test]
        self.test_score_ = float(right.mean()) if len(test) else float("nan")
        self.layer_scales_ = {
            name: scale_of(np.square(rows[learned]).mean())
            for name, rows in (("context_mean", means), ("embedding", embeddings))
            if name in self.network_.layer_sizes
        }
        return self

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
            Songs that were not in `fit`, of artists that were.
        y : array-like (n_clips,)
            Their artists. One that was not in `fit` counts as not named.
        sample_weight : array-like (n_clips,), optional
            Weights of the clips.

        Returns
        -------
        float
        """
        return ClassifierMixin.score(self, X, y, sample_weight)

    def _join(self, audio, data, design, n_components):
        """Put the network and a linear layer, to be filled, into one module."""
        spec = design.spec(data, n_units=n_components)
        with seeded(0):
            if data.reads_features:
                last = torch.nn.Linear(self.n_units, n_components)
                audio = FeatureTeacher(torch.nn.Sequential(*audio.head, last))
                spec["head"].insert(-1, int(self.n_units))
            else:
                sizes = {"n_inner": self.n_units, "n_units": n_components}
                audio = DiscriminantContexts(audio, design.n_frames, **sizes)
                spec["n_inner"] = int(self.n_units)
        self.network_ = data.for_raw_input(audio, n_components)
        self._spec = spec

    def _context_means(self, data):
        """Mean of the last layer over all patches, (n_clips, n_units), of all clips."""
        network, device = self._load_network(), resolve_device(self.device)

        def encode(rows):
            means = np.empty((len(rows), self.n_units), dtype=np.float32)
            for mean, row in zip(means, rows, strict=True):  # clips may be long
                x = as_tensor(data.inputs[row]).to(device)
                (units,) = network([x], layers=("context_mean",))["context_mean"]
                mean[:] = units.numpy(force=True)
            return means

        if data.reads_features:
            rows = as_tensor(data.rows).to(device)
            return read_rows(network.head[:-1], rows).numpy(force=True)
        with torch.inference_mode(), limit_torch(1):
            return share_rows(np.arange(len(data)), encode)

    def _fit_discriminant(self, means, artists, learned):
        """Fill the last linear layer; return the embeddings (n_clips, n_components)."""
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

    def _read_duration(self):
        return None if self.duration is None else float(self.duration)

    def _fitted(self, folder):
        names = json.dumps([self.classes_.dtype.str, self.classes_.tolist()])
        tensors = {"artist_embeddings": self.artist_embeddings_}
        fitted = save_beside(folder, "artists", tensors, {"artists": names})
        score = self.test_score_
        fitted["test_score"] = None if np.isnan(score) else score
        return fitted | {"shrinkage": self.shrinkage_}

    def _restore(self, saved, folder):
        super()._restore(saved, folder)
        fitted = saved.config["fitted"]
        tensors, notes = load_beside(folder, "artists", fitted)
        dtype, names = parse_json(notes["artists"])
        self.classes_ = np.array(names, dtype=dtype)
        self.artist_embeddings_ = tensors["artist_embeddings"]
        self.shrinkage_ = fitted["shrinkage"]
        score = fitted.get("test_score")
        self.test_score_ = float("nan") if score is None else score

    def _check_parameters(self):
        super()._check_parameters()
        check_network(self.network, ("artist", "mlp"))
        check_training(self)
        for name in ("n_components", "n_units", "channels"):
            check_positive(getattr(self, name), name, integer=True)
        check_shrinkage(self.shrinkage)
        for name in ("dropout", "test_fraction"):
            check_number(getattr(self, name), name, 0, 1, ends="[)")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"Got validation_fraction={self.validation_fraction!r} and "
                f"test_fraction={self.test_fraction!r}: nothing is left to learn from."
            )
        inner = () if self._reads_features else ("context_mean",)
        self._check_layers(dict.fromkeys((*inner, "embedding")))
        check_contexts(self)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "artist_embeddings_")


def _name_artist(network, x, batch, epoch):
    """Objective of `fit_network`: the cross-entropy over artists."""
    softmax = network.softmax
    losses = softmax_of_many(
        network.units(x), softmax.weight, softmax.bias, batch["artist"]
    )
    return {"loss": losses.mean()}
