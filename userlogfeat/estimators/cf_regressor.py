"""A teacher: an audio network that estimates collaborative-filtering factors.

After Lee, Lee, Park, Lee (2019), "Enhancing music features by knowledge transfer from
user-item log data": factors of the listening logs are the targets of a regression from
audio, which then hears taste in clips that nobody has played.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from userlogfeat._check import check_audio, check_choice, check_positive
from userlogfeat._threads import limit_torch
from userlogfeat._typing import ArrayLike, Audio, Device, Labels, PathLike, RandomState
from userlogfeat.estimators._base import (
    AudioTransformer,
    as_tensor,
    feature_names,
    resolve_device,
    resolve_precision,
)
from userlogfeat.estimators._network import (
    NetworkEstimator,
    check_groups,
    warn_of_no_validation,
)
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.frontends import resolve_front_end

if TYPE_CHECKING:
    from torch import nn

    from userlogfeat.frontends import FrontEnd


# Regularisation of the ridge head, from none to all: inputs are standardised, so the
# Gram matrix of n clips has a diagonal of n.
RIDGE_ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 5, 11))


class CFRegressor(RegressorMixin, NetworkEstimator):
    """Estimate collaborative-filtering factors from audio.

    Parameters
    ----------
    network : {"se_cnn", "musicnn", "mlp"} or class
        ``"se_cnn"`` trains the paper's network on log-mel spectrograms.
        ``"musicnn"`` hears audio through the frozen musicnn network and learns only a
        head on its pooled output: the right choice under about 10,000 tracks.
        ``"mlp"`` learns the same head on precomputed features (2-D X). A class of
        ``torch.nn.Module`` is built as ``network((bands, frames), n_factors,
        n_factors)``, and its ``penultimate(x)`` estimates the factors.
    channels : int
        Maps of every convolution of the paper's network: 32, 64, 128 or 256 there.
    pools : sequence of (int, int) or None
        Bands and frames of its max-pooling; None is the paper's, which needs 48 bands
        and 320 frames.
    model : str
        Which pretrained musicnn: see :class:`MusicnnEmbedder`.
    head : {"ridge", "mlp"}
        ``"ridge"``: a linear map in closed form, its regularisation chosen among
        `alphas` by cross-validation, over groups (artists) where `fit` is given them.
        ``"mlp"``: layers of `hidden` units, trained with MSE + cosine proximity.
    head_layer : str
        The layer of musicnn that the head reads.
    head_pooling : {"mean", "max", "meanstd"}
        How that layer is pooled over the patches of a clip.
    patch_hop : float
        Seconds between patches.
    layer : str or sequence of str
        What `transform` gives: ``"embedding"``, the estimated factors, or layers of
        the network.
    factor_norm : {"unit", "raw"}
        ``"unit"`` brings every row of factors to unit length before it is learned;
        ``"raw"`` is the paper's.
    alphas : sequence of float
        Regularisation strengths to choose from, for standardised inputs.
    hidden : sequence of int
        Hidden units of the MLP head.
    frontend : str or FrontEnd
        Spectrograms of the paper's network or your own: see :class:`LogMel`.
    duration : float or None
        Seconds to hear of each clip. None is the front end's (30 s) for spectrograms
        and all of the clip for musicnn.
    crop : {"middle", "start", "random"}
        Which part, where a clip is longer than `duration`. ``"random"``: another one
        in every epoch, and the middle when it estimates.
    short : {"repeat", "pad"}
        What to do where a clip is shorter than `duration` or one patch.
    sample_rate : int or None
        Rate of waveforms in X, in Hz, from which they are resampled. None takes it
        for the network's (of `frontend`, or musicnn's
        16,000). Files know theirs.
    freq_mask, time_mask : int
        SpecAugment while training: the widest masks, in bands and frames; 0 for none.
    max_epochs, patience : int
        At most so many epochs, stopping after so many without a lower validation
        loss; the epoch of least validation loss is kept.
    batch_size : int
        Clips per step of the training, and per pass through the network.
    lr : float
        Step of Adam.
    validation_fraction : float
        Share of the clips (or groups) that the epochs are validated on.
    n_jobs : int
        Threads that decode files ahead of the network.
    device : str or torch.device
        ``"auto"`` is the GPU where there is one.
    precision : {"auto", "fp32", "bf16"}
        Of the network's matrix products, in training as well; ``"auto"`` is bf16 on a
        GPU only. bf16 is about three times as fast on recent CPUs.
    checkpoint : str, Path or None
        A folder in which the training of a network (not of a head) is kept after every
        epoch. The same fit goes on from there when it was killed, and ends the same.
    random_state : int, RandomState or None
        Of initial weights, batches, crops, folds and validation clips.
    verbose : int
        1 shows a progress bar of the epochs.

    Attributes
    ----------
    head_ : torch.nn.Sequential
        The learned head, input standardisation folded in (musicnn and mlp).
    network_ : torch.nn.Module
        The trained network and its front end (se_cnn and your own).
    alpha_ : float
        The regularisation chosen for the ridge head.
    history_ : list of dict
        Losses of every epoch, of networks and MLP heads.
    layer_scales_ : dict of str to float
        Factor that brings each layer to unit mean square on the training clips.
    n_features_in_ : int
        Length of a row of X, where X is an array.

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

    def __init__(
        self,
        network: Literal["se_cnn", "musicnn", "mlp"] | type[nn.Module] = "se_cnn",
        *,
        channels: int = 64,
        pools: Sequence[tuple[int, int]] | None = None,
        model: str = "MSD_musicnn",
        head: Literal["ridge", "mlp"] = "ridge",
        head_layer: str = "taggram",
        head_pooling: Literal["mean", "max", "meanstd"] = "meanstd",
        patch_hop: float = 1.0,
        layer: str | Sequence[str] = "embedding",
        factor_norm: Literal["unit", "raw"] = "unit",
        alphas: Sequence[float] = RIDGE_ALPHAS,
        hidden: Sequence[int] = (256,),
        frontend: str | FrontEnd = "lee2019",
        duration: float | None = None,
        crop: Literal["middle", "start", "random"] = "middle",
        short: Literal["repeat", "pad"] = "repeat",
        sample_rate: int | None = None,
        freq_mask: int = 0,
        time_mask: int = 0,
        max_epochs: int = 100,
        patience: int = 10,
        batch_size: int = 32,
        lr: float = 1e-3,
        validation_fraction: float = 0.1,
        n_jobs: int = 2,
        device: Device = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        checkpoint: PathLike | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.channels = channels
        self.pools = pools
        self.model = model
        self.head = head
        self.head_layer = head_layer
        self.head_pooling = head_pooling
        self.patch_hop = patch_hop
        self.layer = layer
        self.factor_norm = factor_norm
        self.alphas = alphas
        self.hidden = hidden
        self.frontend = frontend
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
            Weights of the clips.
        groups : array-like (n_clips,), optional
            Artist of each clip: clips of one artist are on one side of every split
            that chooses the regularisation or validates an epoch.

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
        fit = self._fit_network if self._trains_network else self._fit_head
        squares = fit(X, y, sample_weight, groups)
        self.layer_scales_ = {
            name: float(1 / np.sqrt(max(square, 1e-12)))
            for name, square in squares.items()
        }
        return self

    def predict(self, X: Audio) -> np.ndarray:
        """Estimated factors (n_clips, n_factors), float64, of clips.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        check_is_fitted(self)
        estimate = self._embed(X).astype(np.float64)
        return estimate[:, 0] if self._single_output_ else estimate

    def score(
        self, X: Audio, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """R2 of the estimates to what is learned: factors of unit length, or raw ones.

        The cosine and the rank of the own artist, which do not ask for lengths, are the
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

    def transform(self, X: Audio) -> np.ndarray:
        """Layers of clips side by side, (n_clips, n_features), float32.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        check_is_fitted(self)
        if self._reads_features:
            return self._embed(X)
        self._check_layers(self._load_network().layer_sizes)
        return AudioTransformer.transform(self, X)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``embedding_0``, ``embedding_1``, ..."""
        check_is_fitted(self)
        if self._reads_features:
            sizes = {"embedding": self.head_[-1].out_features}
        else:
            sizes = self._load_network().layer_sizes
        return feature_names({name: sizes[name] for name in self._layer_names()})

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
        network, spec = self._teacher_network()
        save_model(
            folder,
            network.eval(),
            estimator={
                "class": "CFRegressor",
                "parameters": self._plain_parameters(),
                "fitted": {
                    "single_output": self._single_output_,
                    "alpha": getattr(self, "alpha_", None),
                },
            },
            spec=spec,
            layer_scales=self.layer_scales_,
            training_data=training_data,
        )

    @classmethod
    def load(cls, folder: PathLike, *, network: type[nn.Module] | None = None) -> Self:
        """The fitted estimator that `save` wrote to a folder.

        Parameters
        ----------
        folder : str or Path
            Or the name of a bundled model.
        network : type, optional
            The class of the network, where it is one of your own.

        Raises
        ------
        ModelError
            Where the folder is damaged, foreign or changed.
        """
        from userlogfeat.weights import explained, load_fitted

        saved, parameters = load_fitted(folder, cls.__name__, network=network)
        with explained(folder):
            regressor = cls(**parameters)
            regressor.layer_scales_ = saved.layer_scales
            regressor._single_output_ = saved.config["fitted"]["single_output"]
            if saved.config["fitted"]["alpha"] is not None:
                regressor.alpha_ = saved.config["fitted"]["alpha"]
            if regressor._trains_network:
                regressor.network_ = copy.deepcopy(saved.network)
                regressor._spec_ = saved.config["network"]
            else:
                regressor.head_ = copy.deepcopy(saved.network.head)
            if regressor._reads_features:
                regressor.n_features_in_ = regressor.head_[0].in_features
            return regressor

    @property
    def _trains_network(self):
        return self.network not in ("musicnn", "mlp")

    def _forget(self):
        """Drop what an earlier fit with other parameters learned."""
        for name in ("alpha_", "history_", "head_", "network_"):
            if hasattr(self, name):
                delattr(self, name)

    def _fit_network(self, X, y, sample_weight, groups):
        """Train a network on spectrograms; the mean square of its layers."""
        from userlogfeat.training import validation_split
        from userlogfeat.training.heads import estimate_factors

        inputs, shape, _ = self._hear_training(X)
        y, weight, groups = self._check_targets(inputs, y, sample_weight, groups)
        seed, n_units = self._seed(), y.shape[1]
        split = validation_split(
            len(inputs), self.validation_fraction, seed=seed, groups=groups
        )
        warn_of_no_validation(split, groups)
        network = self._make_network(shape, n_units=n_units, seed=seed)
        self.history_ = self._train(
            network,
            inputs,
            {"factors": y, "weight": weight},
            objective=lambda net, *batch: estimate_factors(net.penultimate, *batch),
            split=split,
            seed=seed,
        )
        self.network_ = self._as_teacher(network, shape, n_units)
        self._spec_ = self._network_spec(shape, n_units=n_units)
        return self._mean_squares(inputs)

    def _mean_squares(self, inputs):
        """Mean square of every layer over the training clips."""
        from userlogfeat.training.processes import share_rows

        network, device = self._load_network(), resolve_device(self.device)
        names = tuple(network.layer_sizes)

        def squares(rows):  # n_clips, n_layers
            parts = []
            for part in torch.from_numpy(rows).split(self.batch_size):
                heard = network(list(inputs.batch(part).to(device)), layers=names)
                of_clips = [torch.stack(v).square().mean(dim=1) for v in heard.values()]
                parts.append(torch.stack(of_clips, dim=1).numpy(force=True))
            return np.concatenate(parts)

        with torch.inference_mode(), limit_torch(1):
            squares = share_rows(np.arange(len(inputs)), squares)
        means = squares.mean(axis=0, dtype=np.float64).tolist()
        return dict(zip(names, means, strict=True))

    def _fit_head(self, X, y, sample_weight, groups):
        """Learn a head; the mean square of its layers."""
        features, squares = self._hear_head_input(X)
        y, weight, groups = self._check_targets(features, y, sample_weight, groups)
        self._learn_head(features, y, weight, groups)
        squares["embedding"] = np.square(self._apply_head(features)).mean()
        return squares

    def _embed(self, X):
        """Estimates (n_clips, n_factors), float32, as a teacher gives them."""
        if self._reads_features:
            return self._apply_head(
                validate_data(self, X, dtype=np.float32, reset=False)
            )
        clips = self.iter_features(X, layers=("embedding",))
        return np.stack([clip.layers["embedding"] for clip in clips])

    def _hear_head_input(self, X):
        """What the head reads (n_clips, n), and the mean square of every layer."""
        from userlogfeat.training.processes import share_rows

        if self._reads_features:
            X = validate_data(self, X, dtype=np.float32, ensure_min_samples=2)
            return X, {}
        AudioTransformer.fit(self, X)
        sizes = self._load_network().trunk.layer_sizes
        names = (*sizes, "head_input")

        def hear(rows):  # what the head reads, then a column for each layer
            heard = []
            for clip in self.iter_features(rows, layers=names):
                squares = [np.square(clip.layers[name]).mean() for name in sizes]
                heard.append(np.concatenate([clip.layers["head_input"], squares]))
            return np.stack(heard)

        heard = share_rows(check_audio(X, self).rows, hear)
        if len(heard) < 2:
            raise ValueError(
                "Got n_samples = 1: a head is learned from two clips or more."
            )
        features, squares = np.split(heard, [-len(sizes)], axis=1)
        means = squares.mean(axis=0, dtype=np.float64).tolist()
        return np.ascontiguousarray(features), dict(zip(sizes, means, strict=True))

    def _check_targets(self, inputs, y, sample_weight, groups):
        """Factors, weights and groups (as whole numbers) of the training clips."""
        y = self._check_factors(y, inputs)
        weight = _check_sample_weight(
            sample_weight,
            np.empty((len(inputs), 1)),
            dtype=np.float32,
            ensure_non_negative=True,
        )
        return y, weight, check_groups(groups, inputs)

    def _check_factors(self, y, features):
        """Factors as (n_clips, n_factors) float32, of unit length where asked for."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None: it learns to estimate the factors of each clip's item."
            )
        y, self._single_output_ = self._as_learned(y)
        check_consistent_length(features, y)
        return y

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

    def _learn_head(self, features, y, weight, groups):
        from userlogfeat.training.heads import fit_mlp_head, fit_ridge_head

        data = {"sample_weight": weight, "groups": groups, "seed": self._seed()}
        if self.head == "ridge":
            self.head_, self.alpha_ = fit_ridge_head(
                features, y, alphas=self.alphas, **data
            )
            return
        self.head_, self.history_ = fit_mlp_head(
            features,
            y,
            hidden=np.atleast_1d(self.hidden).tolist(),
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            patience=self.patience,
            validation_fraction=self.validation_fraction,
            device=resolve_device(self.device),
            verbose=self.verbose,
            **data,
        )

    def _apply_head(self, features):
        from userlogfeat.networks.mlp import read_rows

        return read_rows(self.head_, as_tensor(features)).numpy()

    def _teacher_network(self):
        """The torch module that is saved, and how `weights` builds it."""
        from userlogfeat.networks.mlp import FeatureTeacher

        if self._trains_network:
            return self.network_, self._spec_
        head = copy.deepcopy(self.head_).cpu()
        sizes = [head[0].in_features] + [
            layer.out_features for layer in head if hasattr(layer, "out_features")
        ]
        spec = {"name": self.network, "head": sizes}
        if self._reads_features:
            return FeatureTeacher(head), spec
        network = self._load_musicnn(device="cpu", precision="fp32")
        return network, spec | {
            "model": self.model,
            "patch_hop": network.patch_hop,
            "head_layer": self.head_layer,
            "head_pooling": self.head_pooling,
        }

    def _front_end(self):
        return resolve_front_end(self.frontend if self._trains_network else "musicnn")

    def _load_network(self):
        if self._trains_network:
            return super()._load_network()
        device = resolve_device(self.device)
        precision = resolve_precision(self.precision, device)
        return self._load_musicnn(device=device, precision=precision)

    def _load_musicnn(self, *, device, precision):
        from userlogfeat.weights.musicnn import make_musicnn_teacher

        head = copy.deepcopy(getattr(self, "head_", None))  # none yet in fit
        return make_musicnn_teacher(
            self.model,
            patch_hop=self.patch_hop,
            head=head if head is None else head.to(device),
            head_layer=self.head_layer,
            head_pooling=self.head_pooling,
            device=device,
            precision=precision,
        )

    def _heard_duration(self):
        return super()._heard_duration() if self._trains_network else self.duration

    def _check_parameters(self):
        super()._check_parameters()
        self._check_network(("se_cnn", "musicnn", "mlp"))
        self._check_training_parameters()
        check_choice(self.head, "head", ("ridge", "mlp"))
        check_choice(self.head_pooling, "head_pooling", ("mean", "max", "meanstd"))
        check_choice(self.factor_norm, "factor_norm", ("unit", "raw"))
        check_positive(self.patch_hop, "patch_hop")
        if np.ndim(self.alphas) != 1 or len(self.alphas) == 0:
            raise ValueError(f"Got alphas={self.alphas!r}, expected a list of numbers.")
        for alpha in self.alphas:
            check_positive(alpha, "alphas")
        if self._reads_features:
            self._check_layers({"embedding": None})
        if self.crop == "random" and not self._trains_network:
            raise ValueError(
                f'Got crop="random" with network={self.network!r}, whose training '
                'hears each clip once. Pass crop="middle" or "start".'
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "head_") or hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.target_tags.multi_output = True
        tags.target_tags.required = True
        return tags
