"""`CFRegressor`: estimate collaborative-filtering factors from audio.

After Lee, Lee, Park, Lee (2019), "Enhancing music features by knowledge transfer from
user-item log data": factors of the listening logs are the targets of a regression from
audio. A regressor is trained in one of two ways, each a file:

- :mod:`userlogfeat.estimators._factor_head`: a head on features or a frozen encoder;
- :mod:`userlogfeat.estimators._factor_network`: a network trained on spectrograms.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
)

from userlogfeat._check import check_choice, check_positive, check_weights, require_y
from userlogfeat._groups import balance_artists
from userlogfeat._spaces import in_space, space_of, space_of_model
from userlogfeat._typing import ArrayLike, Audio, Labels
from userlogfeat.estimators._factor_head import FactorHead
from userlogfeat.estimators._factor_network import fit_factor_network
from userlogfeat.estimators._parameters import (
    TrainingParameters,
    check_network,
    check_training,
    estimator,
    resolve_loss,
)
from userlogfeat.estimators._sklearn import RegressorMixin
from userlogfeat.estimators._trained import TrainedTransformer
from userlogfeat.estimators._training import check_groups, clip_duration, scale_of
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.factor_files import DIGEST
from userlogfeat.factorization.alignment import CLOSE

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.encoders import Encoder


# Regularisation of the ridge head, from negligible to dominant: inputs are
# standardised, so the Gram matrix of n clips has a diagonal of n.
RIDGE_ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 5, 11))


@estimator
class CFRegressor(RegressorMixin, TrainingParameters, TrainedTransformer):
    """Estimate collaborative-filtering factors from audio.

    A fitted one is a teacher: its estimates, or the layers below them, are features for
    other tasks, and targets for students.

    Parameters
    ----------
    network : {"se_cnn", "mlp"} or class
        ``"se_cnn"`` trains the paper's network on log-mel spectrograms. ``"mlp"``
        says that X has precomputed features, (n_clips, n_features): only a head on
        these is trained, an MLP or not, as `head` says. A class of
        ``torch.nn.Module`` is built as ``network((bands, frames), n_factors,
        n_factors)``, and its ``penultimate(x)`` estimates the factors.
    channels : int
        Feature maps of every convolution of the paper's network: 32, 64, 128 or 256
        there.
    pools : sequence of (int, int) or None
        Bands and frames of its max-pooling; None is the paper's, which needs 48 bands
        and 320 frames.
    encoder : str, Encoder, object or None
        A frozen, pretrained encoder, such as ``"MSD_musicnn"`` or
        ``"hf:owner/model"``: see :class:`EncoderEmbedder`. Only a head on its pooled
        output is trained, and `network` is not used. This is the right choice under
        about 10,000 tracks. A saved model names the encoder, and is refused where that
        has other weights.
    head : {"auto", "ridge", "mlp"}
        ``"ridge"``: a linear map in closed form; its regularisation is chosen among
        `alphas` by cross-validation, over groups (artists) where `fit` is given them.
        ``"mlp"``: layers of `hidden` units, trained with `loss`. ``"auto"`` is the
        ridge, or an MLP and its loss where these rank and estimate artists left out of
        the training better by more than chance (see the notes).
    loss : str, (str, dict) or None
        Loss of networks and MLP heads, registered in :mod:`userlogfeat.losses`:
        ``"mse_cosine"`` (the paper's), ``"info_nce"``, ``"co_listen"`` and others. With
        a dict, parameters of that loss. None is the paper's, and with ``head="auto"``
        one of several, chosen with the head.
    head_layer : str, sequence of str, or None
        Layers of the encoder that the head reads, side by side; ``"mean"`` is the mean
        of its layers. None is the encoder's own choice, musicnn's ``taggram``.
    head_pooling : {"mean", "max", "meanstd"}
        How the head's layers are pooled over the frames (musicnn: patches) of a clip.
    layer : str or sequence of str
        Layers that `transform` returns: ``"embedding"``, the estimated factors, or
        layers of the network.
    factor_norm : {"unit", "raw"}
        ``"unit"`` scales every row of factors to unit length before training (a single
        column is left as it is); ``"raw"`` is the paper's.
    clip_weight : {"artist", "clip"}
        Where `fit` is given `groups`: ``"artist"`` divides the weight of each clip by
        the number of its artist's clips, so that prolific artists do not dominate;
        ``"clip"`` leaves it as it is.
    alphas : sequence of float
        Regularisation strengths to choose from, for standardised inputs.
    duration : float or None
        Seconds to read of each clip. None is the front end's (30 s) for spectrograms
        and all of the clip for an encoder.
    crop : {"middle", "start", "random"}
        Which part of a clip that is longer than `duration`. ``"random"``: another one
        in every epoch, and the middle in `predict`.

    Attributes
    ----------
    head_ : torch.nn.Sequential
        The learned head, input standardisation folded in (encoder and mlp).
    network_ : torch.nn.Module
        The trained network and its front end (se_cnn and your own).
    chosen_ : dict
        Choice of ``head="auto"``: `head` and, for an MLP, `loss`.
    candidates_ : list of dict
        Candidates of that choice: `head`, `loss`, `own_artist` (rank of a clip's own
        artist, 1 is best), `cosine`, `gain` over the ridge, its standard `error`, and
        `seconds`. Empty where it could not compare, and took the ridge: artists are
        unknown or fewer than 30, or there is only one factor.
    alpha_ : float
        The regularisation chosen for the ridge head.
    history_ : list of dict
        Losses of every epoch, of networks and MLP heads.
    layer_scales_ : dict of str to float
        Factor that brings each layer to unit mean square on the training clips.
    space_ : str or None
        Digest of the training that the factors given to `fit` came from; None where
        they were a plain array. Arrays of :class:`CFEmbedding` carry it, and so do
        those of `predict`: :func:`userlogfeat.recommend` refuses to mix two trainings.
    alignment_ : float
        After `refit`: mean cosine of the estimates with those before.
    n_features_in_ : int
        Length of a row of X, where X is an array.

    Notes
    -----
    ``head="auto"`` fits a ridge regression and MLPs of two losses in three folds of
    artists, and estimates the artists left out. Two errors count: how far the own
    artist is from the first rank among all, and the cosine of estimate and factors from
    1. The gain of an MLP is the share of the ridge's first error that it is without,
    plus that of the second. The one of the largest gain is taken where that is above
    its standard error over artists, else the ridge. (An own artist that ranks a little
    better is bought with much cosine by some losses, and recommendation then loses:
    ``benchmarks/teacher_head.py``, which also has what the choice costs.)

    At most 2,000 clips are used for that, as many of each artist as possible. The MLPs
    that are compared take 200 large steps at most, and end where a fifth of the artists
    they learn from is estimated best; one that is clearly behind after a fold has no
    further one. The ridge has the regularisation that is chosen on all clips. `groups`
    of `fit` are the artists; without them, clips of equal factors are by one artist,
    and where no two are equal it is the ridge.
    ``head="ridge"`` is the fast choice.

    References
    ----------
    .. [1] D. Lee, J. Lee, J. Park, K. Lee, "Enhancing music features by knowledge
       transfer from user-item log data", ICASSP 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat import CFRegressor
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(200, 12))
    >>> factors = features @ rng.normal(size=(12, 4))
    >>> teacher = CFRegressor(network="mlp", factor_norm="raw", random_state=0)
    >>> round(teacher.fit(features[:150], factors[:150]).score(features, factors), 2)
    1.0
    """

    network: Literal["se_cnn", "mlp"] | type[nn.Module] = "se_cnn"
    _: KW_ONLY
    encoder: str | Encoder | None = None
    head: Literal["auto", "ridge", "mlp"] = "auto"
    loss: str | tuple[str, dict[str, Any]] | None = None
    head_layer: str | Sequence[str] | None = None
    head_pooling: Literal["mean", "max", "meanstd"] = "meanstd"
    layer: str | Sequence[str] = "embedding"
    factor_norm: Literal["unit", "raw"] = "unit"
    clip_weight: Literal["artist", "clip"] = "artist"
    alphas: Sequence[float] = RIDGE_ALPHAS
    crop: Literal["middle", "start", "random"] = "middle"

    def fit(
        self,
        X: Audio,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: Labels | None = None,
    ) -> Self:
        """Train the network or learn the head.

        Parameters
        ----------
        X : array-like of n_clips
            Paths, waveforms or log-mel spectrograms; features with ``network="mlp"``.
        y : array-like (n_clips, n_factors)
            Factors of the item each clip is of, such as
            ``CFEmbedding.item_factors_`` aligned by ``Catalogue.align``.
        sample_weight : array-like (n_clips,), optional
            Weights of the clips, such as ``numpy.log1p(listeners)``: factors of items
            with few listeners are noisy.
        groups : array-like (n_clips,), optional
            Artist of each clip: clips of one artist are on one side of every split
            that chooses the head or the regularisation or validates an epoch, and the
            artists weigh the same (`clip_weight`).

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where X or y have NaN, differ in length, or y has rows of zeros (items
            nobody played).
        AudioError
            Where a file cannot be read.
        """
        self._check_parameters()
        self._forget()
        if head := self._head:
            squares = head.fit(X, y, sample_weight, groups)
        else:
            squares = fit_factor_network(self, X, y, sample_weight, groups)
        self.layer_scales_ = {name: scale_of(s) for name, s in squares.items()}
        self.space_ = space_of(y)
        return self

    def head_inputs(self, X: Audio) -> np.ndarray:
        """Compute what the head reads of each clip, to keep it for `refit`.

        It depends on the encoder alone, and stays valid whatever the head learns.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.

        Returns
        -------
        ndarray of float32, shape (n_clips, n_inputs)

        Raises
        ------
        ValueError
            Where a whole network was trained, which has no head apart.
        """
        check_is_fitted(self)
        return self._head_alone().inputs(X)

    def refit(
        self,
        inputs: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: Labels | None = None,
    ) -> Self:
        """Learn the head again, for factors that have moved; the encoder is not run.

        Week by week, after :meth:`CFEmbedding.update`. The kind of head, its loss and
        its regularisation stay as `fit` chose them, so a ridge takes a fraction of a
        second. Estimates of before can be compared with those of now and with the
        factors as long as the space is the same, and are as close as `alignment_` says.

        Parameters
        ----------
        inputs : array-like, shape (n_clips, n_inputs)
            Result of `head_inputs`, of any clips; with ``network="mlp"`` the features.
        y, sample_weight, groups
            As in `fit`.

        Returns
        -------
        CFRegressor
            Itself.

        Raises
        ------
        ValueError
            As `fit`; where the inputs are not those of the head, or y has another
            number of factors; or a whole network was trained.

        Warns
        -----
        UserWarning
            Where the factors are of another space, or `alignment_` is below 0.7:
            estimates of before, such as feature tables, do not fit the new ones.

        Examples
        --------
        >>> import numpy as np
        >>> from userlogfeat import CFRegressor
        >>> rng = np.random.default_rng(0)
        >>> features, mixing = rng.normal(size=(200, 12)), rng.normal(size=(12, 4))
        >>> teacher = CFRegressor(network="mlp", random_state=0)
        >>> teacher = teacher.fit(features, features @ mixing)
        >>> moved = features @ (mixing + 0.1 * rng.normal(size=(12, 4)))
        >>> round(teacher.refit(features, moved).alignment_, 2)
        0.99
        """
        check_is_fitted(self)
        before, space = self.space_, space_of(y)
        self.layer_scales_["embedding"] = scale_of(
            self._head_alone().refit(inputs, y, sample_weight, groups)
        )
        self.space_ = space or before
        moved = before is not None and self.space_ != before
        if moved or self.alignment_ < CLOSE:
            warnings.warn(
                f"The estimates have a mean cosine of {self.alignment_:.2f} with those "
                f"before{', and the factors are from another training' * moved}: "
                "embeddings that were computed before, such as columns of a feature "
                "table, do not fit the new ones. Extract them again.",
                stacklevel=2,
            )
        return self

    def predict(self, X: Audio) -> np.ndarray:
        """Estimated factors (n_clips, n_factors), float64; (n_clips,) if y was 1-D.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        check_is_fitted(self)
        estimate = self._embed(X).astype(np.float64)
        if self._single_output_:
            return estimate[:, 0]
        return estimate if self.space_ is None else in_space(estimate, self.space_)

    def score(
        self, X: Audio, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """R2 of the estimates against the training targets, of unit length or raw.

        The cosine and the rank of the correct artist, which ignore lengths, are the
        scorers of :mod:`userlogfeat.evaluation.factors`.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        y : array-like (n_clips, n_factors)
            Factors as in `fit`: brought to unit length by ``factor_norm="unit"``.
        sample_weight : array-like (n_clips,), optional
            Weights of the clips.

        Returns
        -------
        float
            Mean over factors; 1 is perfect, 0 the mean of `y`.
        """
        check_is_fitted(self)
        y, single = self._as_learned(y)
        return super().score(X, y[:, 0] if single else y, sample_weight)

    @property
    def _loss(self):
        """The loss, where it is not chosen."""
        return "mse_cosine" if self.loss is None else self.loss

    def _noted(self):
        return {} if self.space_ is None else {"factors": {DIGEST: self.space_}}

    @property
    def _head(self):
        """The head that `encoder` and `network` select; None: a network is trained."""
        if self.encoder is not None or self.network == "mlp":
            return FactorHead(self)
        return None

    def _head_alone(self):
        """The head, where it can be learned without what is below it."""
        if head := self._head:
            return head
        raise ValueError(
            f"This teacher is a network ({self.network!r}) that was trained as a "
            "whole: it has no head that could be learned alone. Fit it again, or pass "
            'encoder="MSD_musicnn", whose head takes seconds.'
        )

    def _check_targets(self, inputs, y, sample_weight, groups):
        """Factors (n_clips, n_factors) and weights (n_clips,), float32."""
        purpose = "it learns to estimate the factors of each clip's item"
        require_y(y, type(self).__name__, purpose)
        y, self._single_output_ = self._as_learned(y)
        check_consistent_length(inputs, y)
        weight = check_weights(sample_weight, len(y))
        if self.clip_weight == "artist" and groups is not None:
            groups = check_groups(groups, y)
            weight = balance_artists(weight, groups).astype(np.float32)
        return y, weight

    def _as_learned(self, y):
        """Factors (n_clips, n_factors) as they are learned; whether y was 1-D."""
        y = check_array(y, dtype=np.float32, ensure_2d=False, input_name="y")
        if y.ndim == 1:
            return y[:, None], True
        if self.factor_norm == "unit" and y.shape[1] > 1:
            empty = np.flatnonzero(~y.any(axis=1))
            if len(empty):
                raise ValueError(
                    f"{len(empty)} rows of y are all zeros (first: row {empty[0]}): "
                    "items that nobody played have no direction to learn. Leave these "
                    'clips out, or pass factor_norm="raw".'
                )
            y = unit_rows(y)
        return y, False

    def _embed(self, X):
        return head.embed(X) if (head := self._head) else super()._embed(X)

    def _load_network(self):
        head = self._head
        return head.load_network() if head else super()._load_network()

    def _teacher_network(self):
        head = self._head
        return head.saved_network() if head else super()._teacher_network()

    def _fitted(self, folder):
        alpha = getattr(self, "alpha_", None)
        fitted = {"single_output": self._single_output_, "alpha": alpha}
        if hasattr(self, "chosen_"):
            fitted |= {"chosen": self.chosen_, "candidates": self.candidates_}
        return fitted

    def _restore(self, saved, folder):
        if head := self._head:
            self.layer_scales_ = saved.layer_scales
            head.restore(saved)
        else:
            super()._restore(saved, folder)
        fitted = saved.config["fitted"]
        self._single_output_ = fitted["single_output"]
        self.space_ = space_of_model(saved.config["training_data"])
        if fitted["alpha"] is not None:
            self.alpha_ = fitted["alpha"]
        if "chosen" in fitted:
            self.chosen_, self.candidates_ = fitted["chosen"], fitted["candidates"]

    def _rate_and_context(self):
        head = self._head
        return head.rate_and_context() if head else super()._rate_and_context()

    def _read_duration(self):
        return self.duration if self._head else clip_duration(self)

    def _check_parameters(self):
        super()._check_parameters()
        check_network(self.network, ("se_cnn", "mlp"))
        check_training(self)
        check_choice(self.head, "head", ("auto", "ridge", "mlp"))
        resolve_loss(self._loss, "loss")
        check_choice(self.clip_weight, "clip_weight", ("artist", "clip"))
        check_choice(self.head_pooling, "head_pooling", ("mean", "max", "meanstd"))
        check_choice(self.factor_norm, "factor_norm", ("unit", "raw"))
        if np.ndim(self.alphas) != 1 or len(self.alphas) == 0:
            raise ValueError(f"Got alphas={self.alphas!r}, expected a list of numbers.")
        for alpha in self.alphas:
            check_positive(alpha, "alphas")
        if head := self._head:
            head.check()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "head_") or hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
