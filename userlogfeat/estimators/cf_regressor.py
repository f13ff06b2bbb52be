"""A teacher: an audio network that estimates collaborative-filtering factors.

After Lee, Lee, Park, Lee (2019), "Enhancing music features by knowledge transfer from
user-item log data": factors of the listening logs are the targets of a regression from
audio, which then hears taste in clips that nobody has played.
"""

import copy
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from userlogfeat._base import (
    AudioTransformer,
    as_tensor,
    feature_names,
    resolve_device,
    resolve_precision,
)
from userlogfeat._check import check_choice, check_positive

# Regularisation of the ridge head, from none to all: inputs are standardised, so the
# Gram matrix of n clips has a diagonal of n.
RIDGE_ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 5, 11))


class CFRegressor(RegressorMixin, AudioTransformer):
    """Estimate collaborative-filtering factors from audio.

    Parameters
    ----------
    network : {"musicnn", "mlp"}
        ``"musicnn"`` hears audio through the frozen musicnn network and learns only a
        head on its pooled output: the right choice under about 10,000 tracks.
        ``"mlp"`` learns the same head on precomputed features (2-D X).
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
    max_epochs, patience : int
        Of the MLP head: at most so many epochs, stopping after so many without a
        lower validation loss; the epoch of least validation loss is kept.
    lr : float
        Step of Adam for the MLP head.
    validation_fraction : float
        Share of the clips (or groups) that the MLP head is validated on.
    batch_size : int
        Clips per pass through the network, and per step of the MLP head.
    duration : float or None
        Seconds to hear of each clip; None hears all of it.
    crop : {"middle", "start"}
        Which part, where a clip is longer than `duration`.
    short : {"repeat", "pad"}
        What to do where a clip is shorter than `duration` or one patch.
    n_jobs : int
        Threads that decode files ahead of the network.
    device : str or torch.device
        ``"auto"`` is the GPU where there is one.
    precision : {"auto", "fp32", "bf16"}
        Of the network's matrix products; ``"auto"`` is bf16 on a GPU only.
    random_state : int, RandomState or None
        Of the cross-validation folds and the MLP head.
    verbose : int
        1 prints a line for every epoch of the MLP head.

    Attributes
    ----------
    head_ : torch.nn.Sequential
        The learned head, input standardisation folded in.
    alpha_ : float
        The regularisation chosen for the ridge head.
    history_ : list of dict
        Losses of every epoch of the MLP head.
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
        network="musicnn",
        *,
        model="MSD_musicnn",
        head="ridge",
        head_layer="taggram",
        head_pooling="meanstd",
        patch_hop=1.0,
        layer="embedding",
        factor_norm="unit",
        alphas=RIDGE_ALPHAS,
        hidden=(256,),
        max_epochs=100,
        patience=10,
        lr=1e-3,
        validation_fraction=0.1,
        batch_size=32,
        duration=None,
        crop="middle",
        short="repeat",
        n_jobs=2,
        device="auto",
        precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.network = network
        self.model = model
        self.head = head
        self.head_layer = head_layer
        self.head_pooling = head_pooling
        self.patch_hop = patch_hop
        self.layer = layer
        self.factor_norm = factor_norm
        self.alphas = alphas
        self.hidden = hidden
        self.max_epochs = max_epochs
        self.patience = patience
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.batch_size = batch_size
        self.duration = duration
        self.crop = crop
        self.short = short
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None, *, groups=None):
        """Learn the head.

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
        features, sums = self._hear_training(X)
        y = self._check_factors(y, features)
        if groups is not None:
            groups = _as_numbers(groups)
            check_consistent_length(features, groups)
        weight = _check_sample_weight(
            sample_weight, features, dtype=np.float32, ensure_non_negative=True
        )
        self._fit_head(features, y, weight, groups)
        sums["embedding"] = np.square(self._apply_head(features)).mean()
        self.layer_scales_ = {
            name: float(1 / np.sqrt(max(square, 1e-12)))
            for name, square in sums.items()
        }
        return self

    def predict(self, X):
        """Estimated factors (n_clips, n_factors), float64, of clips.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        check_is_fitted(self)
        estimate = self._estimate(X).astype(np.float64)
        return estimate[:, 0] if self._single_output_ else estimate

    def transform(self, X):
        """Layers of clips side by side, (n_clips, n_features), float32.

        Parameters
        ----------
        X : array-like of n_clips
            As in `fit`.
        """
        check_is_fitted(self)
        if self.network == "mlp":
            return self._estimate(X)
        self._check_layers(self._load_network().layer_sizes)
        return super().transform(X)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns: ``embedding_0``, ``embedding_1``, ..."""
        check_is_fitted(self)
        n_factors = self.head_[-1].out_features
        sizes = {"embedding": n_factors}
        if self.network != "mlp":
            sizes = self._load_network().layer_sizes
        return feature_names({name: sizes[name] for name in self._layer_names()})

    def save(self, folder, *, training_data):
        """Write the model to a folder that `UserLogEmbedder` and `load` read.

        Parameters
        ----------
        folder : str or Path
            Made where it is missing.
        training_data : dict
            What it learned from: ``description`` (str), ``licence`` (str) and
            ``non_commercial`` (bool); loading warns where the last is true.
        """
        from userlogfeat.networks.mlp import FeatureTeacher
        from userlogfeat.weights import save_model

        check_is_fitted(self)
        features_only = self.network == "mlp"
        head = copy.deepcopy(self.head_).cpu()
        sizes = [head[0].in_features] + [
            layer.out_features for layer in head if hasattr(layer, "out_features")
        ]
        spec = {"name": self.network, "head": sizes}
        fitted = {
            "single_output": self._single_output_,
            "alpha": getattr(self, "alpha_", None),
        }
        if features_only:
            network = FeatureTeacher(head)
        else:
            network = self._load_network(device="cpu", precision="fp32")
            spec |= {
                "model": self.model,
                "patch_hop": network.patch_hop,
                "head_layer": self.head_layer,
                "head_pooling": self.head_pooling,
            }
        save_model(
            folder,
            network.eval(),
            estimator={
                "class": "CFRegressor",
                "parameters": self._plain_parameters(),
                "fitted": fitted,
            },
            spec=spec,
            layer_scales=self.layer_scales_,
            training_data=training_data,
        )

    @classmethod
    def load(cls, folder):
        """The fitted estimator that `save` wrote to a folder.

        Parameters
        ----------
        folder : str or Path
            Or the name of a bundled model.

        Raises
        ------
        ModelError
            Where the folder is damaged, foreign or changed.
        """
        from userlogfeat.weights import ModelError, load_model

        saved = load_model(folder)
        if saved.config.get("class") != cls.__name__:
            raise ModelError(
                f"{folder} was saved by {saved.config.get('class')}, not "
                f"{cls.__name__}. Load it with that class, or with UserLogEmbedder."
            )
        regressor = cls(**saved.config["parameters"])
        regressor.head_ = copy.deepcopy(saved.network.head)
        regressor.layer_scales_ = saved.layer_scales
        regressor._single_output_ = saved.config["fitted"]["single_output"]
        if saved.config["fitted"]["alpha"] is not None:
            regressor.alpha_ = saved.config["fitted"]["alpha"]
        if regressor.network == "mlp":
            regressor.n_features_in_ = regressor.head_[0].in_features
        return regressor

    def _estimate(self, X):
        if self.network == "mlp":
            return self._apply_head(
                validate_data(self, X, dtype=np.float32, reset=False)
            )
        clips = self.iter_features(X, layers=("embedding",))
        return np.stack([clip.layers["embedding"] for clip in clips])

    def _hear_training(self, X):
        """What the head reads (n_clips, n), and the mean square of every layer."""
        if self.network == "mlp":
            X = validate_data(self, X, dtype=np.float32, ensure_min_samples=2)
            return X, {}
        AudioTransformer.fit(self, X)
        sizes = self._load_network().trunk.layer_sizes
        names = (*sizes, "head_input")
        features, squares = [], dict.fromkeys(sizes, 0.0)
        for clip in self.iter_features(X, layers=names):
            features.append(clip.layers["head_input"])
            for name in squares:
                squares[name] += float(np.square(clip.layers[name]).mean())
        if len(features) < 2:
            raise ValueError(
                "Got n_samples = 1: a head is learned from two clips or more."
            )
        means = {name: total / len(features) for name, total in squares.items()}
        return np.stack(features), means

    def _check_factors(self, y, features):
        """Factors as (n_clips, n_factors) float32, of unit length where asked for."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None: it learns to estimate the factors of each clip's item."
            )
        y = check_array(y, dtype=np.float32, ensure_2d=False, input_name="y")
        check_consistent_length(features, y)
        self._single_output_ = y.ndim == 1
        if self._single_output_:
            return y[:, None]
        length = np.linalg.norm(y, axis=1, keepdims=True)
        if self.factor_norm == "unit" and y.shape[1] > 1:
            empty = np.flatnonzero(length == 0)
            if len(empty):
                raise ValueError(
                    f"{len(empty)} rows of y are all zeros (first: row {empty[0]}): "
                    "items that nobody played have no direction to learn. Leave these "
                    'clips out, or pass factor_norm="raw".'
                )
            y = y / length
        return y

    def _fit_head(self, features, y, weight, groups):
        from userlogfeat.training import fit_mlp_head, fit_ridge_head

        for name in ("alpha_", "history_"):  # of an earlier fit with the other head
            if hasattr(self, name):
                delattr(self, name)
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
        with torch.inference_mode():
            return self.head_(as_tensor(features)).numpy()

    def _load_network(self, *, device=None, precision=None):
        from userlogfeat.musicnn_weights import make_musicnn_teacher

        device = resolve_device(self.device) if device is None else device
        head = copy.deepcopy(getattr(self, "head_", None))  # none yet in fit
        return make_musicnn_teacher(
            self.model,
            patch_hop=self.patch_hop,
            head=head if head is None else head.to(device),
            head_layer=self.head_layer,
            head_pooling=self.head_pooling,
            device=device,
            precision=precision or resolve_precision(self.precision, device),
        )

    def _seed(self):
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _check_parameters(self):
        super()._check_parameters()
        check_choice(self.network, "network", ("musicnn", "mlp"))
        check_choice(self.head, "head", ("ridge", "mlp"))
        check_choice(self.head_pooling, "head_pooling", ("mean", "max", "meanstd"))
        check_choice(self.factor_norm, "factor_norm", ("unit", "raw"))
        check_positive(self.patch_hop, "patch_hop")
        check_positive(self.lr, "lr")
        for name in ("max_epochs", "patience"):
            check_positive(getattr(self, name), name, integer=True)
        if np.ndim(self.alphas) != 1 or len(self.alphas) == 0:
            raise ValueError(f"Got alphas={self.alphas!r}, expected a list of numbers.")
        for alpha in self.alphas:
            check_positive(alpha, "alphas")
        for units in np.atleast_1d(np.asarray(self.hidden, dtype=object)):
            check_positive(units, "hidden", integer=True)
        fraction = self.validation_fraction
        if not (isinstance(fraction, Real) and 0 < fraction < 1):
            raise ValueError(
                f"Got validation_fraction={fraction!r}, expected a share between 0 "
                "and 1."
            )
        if self.network == "mlp":
            self._check_layers({"embedding": None})

    def _plain_parameters(self):
        """The parameters as JSON holds them."""
        parameters = self.get_params(deep=False)
        if not isinstance(self.random_state, Integral):
            parameters["random_state"] = None
        parameters["device"] = str(self.device)
        for name, value in parameters.items():
            if isinstance(value, tuple | np.ndarray | np.generic):
                parameters[name] = np.asarray(value).tolist()
        return parameters

    def __sklearn_is_fitted__(self):
        return hasattr(self, "head_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.target_tags.multi_output = True
        tags.target_tags.required = True
        return tags


def _as_numbers(groups):
    """Groups of any type, missing ones apart, as whole numbers."""
    groups = np.asarray(groups, dtype=object)
    if groups.ndim != 1:
        raise ValueError(
            f"Got groups of shape {groups.shape}, expected (n_clips,): one a clip."
        )
    numbers = {}
    return np.array(
        [
            numbers.setdefault(
                ("none", row) if value is None or value != value else value,
                len(numbers),
            )
            for row, value in enumerate(groups.tolist())
        ]
    )
