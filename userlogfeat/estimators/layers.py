"""Choose among the layers of an encoder, or weigh them, from a few labelled clips.

Which layer of a pretrained network suits a task differs from task to task, so it is a
choice that belongs inside of cross-validation. Every clip is encoded once, with
``EncoderEmbedder(layer="all")``; what is here works on the table of its columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY
from numbers import Real
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from userlogfeat._check import check_features, check_positive, require_y
from userlogfeat._typing import ArrayLike, Labels
from userlogfeat.estimators._parameters import estimator
from userlogfeat.estimators._sklearn import BaseEstimator, TransformerMixin

ALPHAS = tuple(10.0**k for k in range(6))  # of the default probe, on unit variance


class _LayerColumns(TransformerMixin, BaseEstimator):
    """Base of transformers of layers side by side."""

    layer_sizes: Mapping[str, int] | int | None

    def _read(self, X, *, reset):
        """X as float64, and in fit the columns of each layer."""
        X = check_features(self, X, dtype=np.float64, reset=reset)
        if reset:
            sizes = self._sizes(X.shape[1])
            stops = np.cumsum([*sizes.values()])
            starts = [0, *stops[:-1]]
            self.columns_ = {
                name: slice(int(start), int(stop))
                for name, start, stop in zip(sizes, starts, stops, strict=True)
            }
        return X

    def _sizes(self, n_columns):
        """Columns of each layer, in their order."""
        given = self.layer_sizes
        if given is None:
            names = getattr(self, "feature_names_in_", None)
            if names is None:
                return {"layer_0": n_columns}
            layers = [str(name).rpartition("_")[0] for name in names]
            sizes = {name: layers.count(name) for name in dict.fromkeys(layers)}
            if [x for x, n in sizes.items() for _ in range(n)] != layers:
                raise ValueError(
                    "The columns of X are not layers side by side, expected names such "
                    "as layer_0_0, layer_0_1, ..., layer_1_0. Pass layer_sizes."
                )
            return sizes
        if not isinstance(given, Mapping):
            check_positive(given, "layer_sizes", integer=True)
            given = {f"layer_{i}": n_columns / given for i in range(int(given))}
        sizes = given.values()
        whole = all(isinstance(n, Real) and n >= 1 and n % 1 == 0 for n in sizes)
        if not whole or sum(sizes) != n_columns:
            raise ValueError(
                f"Got layer_sizes={self.layer_sizes!r} for X of {n_columns} columns: "
                "they do not fit. Pass embedder.layer_sizes of the embedder "
                '(layer="all") whose output X is, or the number of its layers.'
            )
        return {name: int(n) for name, n in given.items()}

    def _stack(self, X):
        """Layers of one size (n_layers, n_clips, size)."""
        layers = [X[:, columns] for columns in self.columns_.values()]
        if len({layer.shape[1] for layer in layers}) > 1:
            sizes = {n: c.stop - c.start for n, c in self.columns_.items()}
            raise ValueError(f"Got layers of different sizes, {sizes}, expected one.")
        return np.stack(layers)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags


@estimator
class LayerSelector(_LayerColumns):
    """Choose one layer out of several that are side by side in X.

    The choice is made by cross-validation of a simple model within the clips that `fit`
    is given. So in a pipeline it is made within the training part of every fold, and a
    score of that pipeline is honest.

    Parameters
    ----------
    layer : str
        ``"auto"`` chooses; the name of a layer, or ``"mean"`` for the mean of all,
        takes that one: a grid search over them needs no other change.
    layer_sizes : dict of str to int, int, or None
        Columns of every layer, as `layer_sizes` of an embedder says; or the number of
        layers, all of one size. None: X has column names (an embedder after
        ``set_output(transform="pandas")``), or else is one layer.
    probe : estimator or None
        Model whose score decides. None is ridge regression, or ridge classification
        where y has classes, on standardised columns, its strength chosen by
        leave-one-out.
    cv : int or splitter
        Folds; with `groups` in `fit`, an int makes folds that keep groups apart.
    scoring : str, callable or None
        As of :func:`sklearn.model_selection.cross_val_score`.

    Attributes
    ----------
    layer_ : str
        The layer that was taken.
    scores_ : dict of str to float
        Mean score of every layer, and of their mean, where they have one size. Empty
        where the layer was given.
    columns_ : dict of str to slice
        Columns of every layer.

    See Also
    --------
    EncoderEmbedder : Gives all layers with ``layer="all"``.
    LayerWeighting : A weighted sum in place of a choice.

    Examples
    --------
    Three layers of four columns, of which the second knows the class:

    >>> import numpy as np
    >>> from userlogfeat import LayerSelector
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> X = rng.normal(size=(60, 12))
    >>> X[:, 4:8] += 2 * y[:, None]
    >>> selector = LayerSelector(layer_sizes=3).fit(X, y)
    >>> selector.layer_, selector.transform(X).shape
    ('layer_1', (60, 4))
    """

    layer: str = "auto"
    _: KW_ONLY
    layer_sizes: Mapping[str, int] | int | None = None
    probe: Any = None
    cv: Any = 5
    scoring: Any = None

    def fit(self, X: ArrayLike, y: ArrayLike, *, groups: Labels | None = None) -> Self:
        """Score every layer by cross-validation, and keep the best.

        Parameters
        ----------
        X : array-like (n_clips, n_columns)
            Layers side by side.
        y : array-like (n_clips,) or (n_clips, n_outputs)
            Classes or numbers.
        groups : array-like (n_clips,), optional
            Artist of each clip: clips of one are on one side of every split.

        Returns
        -------
        self
        """
        X = self._read(X, reset=True)
        candidates = self._candidates(X)
        self.scores_ = {}
        if self.layer != "auto":
            if self.layer not in candidates:
                raise ValueError(
                    f"Got layer={self.layer!r}, expected 'auto' or one of "
                    f"{list(candidates)}."
                )
            self.layer_ = self.layer
            return self
        require_y(y, "LayerSelector", "it takes the layer that estimates y best")
        if len(candidates) == 1:
            self.layer_ = next(iter(candidates))
            return self
        y = np.asarray(y)
        for name, columns in candidates.items():
            scores = cross_val_score(
                clone(self.probe) if self.probe is not None else _probe(y),
                columns,
                y,
                groups=groups,
                cv=self._folds(y, groups),
                scoring=self.scoring,
            )
            self.scores_[name] = float(scores.mean())
        known = {name: x for name, x in self.scores_.items() if not np.isnan(x)}
        if not known:
            raise ValueError(
                "No layer has a score: those of all folds are NaN. Does "
                f"scoring={self.scoring!r} suit y, and has every fold all classes?"
            )
        self.layer_ = max(known, key=known.__getitem__)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the columns of the layer, (n_clips, size), float32.

        Parameters
        ----------
        X : array-like (n_clips, n_columns)
            As in `fit`.
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        if self.layer_ == "mean" and "mean" not in self.columns_:
            return self._stack(X).mean(axis=0).astype(np.float32)
        return np.ascontiguousarray(X[:, self.columns_[self.layer_]], dtype=np.float32)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``layer_3_0``, ``layer_3_1``, ..."""
        check_is_fitted(self)
        first = next(iter(self.columns_.values()))
        columns = self.columns_.get(self.layer_, first)
        size = columns.stop - columns.start
        return np.array([f"{self.layer_}_{i}" for i in range(size)], dtype=object)

    def _candidates(self, X):
        layers = {name: X[:, columns] for name, columns in self.columns_.items()}
        if len({layer.shape[1] for layer in layers.values()}) == 1 < len(layers):
            layers.setdefault("mean", self._stack(X).mean(axis=0))
        return layers

    def _folds(self, y, groups):
        if groups is None or not isinstance(self.cv, int):
            return self.cv
        from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

        return (StratifiedGroupKFold if _has_classes(y) else GroupKFold)(self.cv)


@estimator
class LayerWeighting(_LayerColumns):
    r"""Learn a weighted sum of layers that are side by side in X.

    The weights are positive and sum to one: :math:`z = \sum_l w_l x_l`, with :math:`w`
    the softmax of free numbers, as in the SUPERB benchmark [1]_. They are learned
    together with a linear model of y on z, by L-BFGS from equal weights. Columns are
    standardised before.

    Parameters
    ----------
    layer_sizes : dict of str to int, int, or None
        See :class:`LayerSelector`; all layers have one size.
    alpha : float
        Strength of the penalty on the coefficients of the linear model, above 0: half
        of it times their square is added to the sum of the losses of all clips.
    max_iter : int
        Steps of L-BFGS at most.

    Attributes
    ----------
    weights_ : dict of str to float
        Weight of every layer.
    n_iter_ : int
        Steps that were taken.
    columns_ : dict of str to slice
        Columns of every layer.

    See Also
    --------
    LayerSelector : One layer in place of a sum.

    References
    ----------
    .. [1] S.-w. Yang et al., "SUPERB: Speech processing universal performance
       benchmark", Interspeech 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from userlogfeat import LayerWeighting
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> X = rng.normal(size=(60, 12))  # three layers of four columns
    >>> X[:, 4:8] += 2 * y[:, None]
    >>> weighting = LayerWeighting(3).fit(X, y)
    >>> max(weighting.weights_, key=weighting.weights_.get)
    'layer_1'
    >>> weighting.transform(X).shape
    (60, 4)
    """

    layer_sizes: Mapping[str, int] | int | None = None
    _: KW_ONLY
    alpha: float = 1.0
    max_iter: int = 200

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn the weights.

        Parameters
        ----------
        X : array-like (n_clips, n_columns)
            Layers side by side.
        y : array-like (n_clips,) or (n_clips, n_outputs)
            Classes or numbers.

        Returns
        -------
        self
        """
        check_positive(self.alpha, "alpha")
        check_positive(self.max_iter, "max_iter", integer=True)
        purpose = "it weighs layers by how well they estimate y"
        require_y(y, "LayerWeighting", purpose)
        X = self._read(X, reset=True)
        self.scaler_ = StandardScaler().fit(X)
        layers = self._stack(self.scaler_.transform(X))  # L, N, D
        targets, has_classes = _targets(y, len(X))
        n_layers, _, size = layers.shape
        start = np.zeros(n_layers + (size + 1) * targets.shape[1])
        found = minimize(
            _loss_and_gradient,
            start,
            args=(layers, targets, has_classes, self.alpha),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": int(self.max_iter)},
        )
        weights = softmax(found.x[:n_layers])
        self.weights_ = dict(zip(self.columns_, weights.tolist(), strict=True))
        self.n_iter_ = int(found.nit)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the weighted sum of the standardised layers, (n_clips, size), float32.

        Parameters
        ----------
        X : array-like (n_clips, n_columns)
            As in `fit`.
        """
        check_is_fitted(self)
        layers = self._stack(self.scaler_.transform(self._read(X, reset=False)))
        weights = np.array([*self.weights_.values()])
        return np.tensordot(weights, layers, axes=1).astype(np.float32)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Names of the columns: ``weighted_0``, ``weighted_1``, ..."""
        check_is_fitted(self)
        columns = next(iter(self.columns_.values()))
        size = columns.stop - columns.start
        return np.array([f"weighted_{i}" for i in range(size)], dtype=object)


def _loss_and_gradient(parameters, layers, targets, has_classes, alpha):
    """Loss of a linear model on the weighted sum, and its gradient.

    Parameters
    ----------
    parameters : ndarray
        Free numbers of the weights (L,), then coefficients (D, C) and intercepts (C,).
    layers : ndarray (L, N, D)
        Standardised.
    targets : ndarray (N, C)
        Indicators of the classes, or standardised numbers.
    has_classes : bool
        Whether the loss is the cross-entropy, or half of the squared error.
    alpha : float
        Penalty on the coefficients.
    """
    n_layers, _, size = layers.shape
    free, linear = np.split(parameters, [n_layers])
    *coefficients, intercepts = linear.reshape(size + 1, -1)
    coefficients = np.array(coefficients)
    weights = softmax(free)
    z = np.tensordot(weights, layers, axes=1)  # N, D
    scores = z @ coefficients + intercepts
    if has_classes:
        loss = -(targets * log_softmax(scores, axis=1)).sum()
        error = softmax(scores, axis=1) - targets
    else:
        error = scores - targets
        loss = 0.5 * np.square(error).sum()
    loss += 0.5 * alpha * np.square(coefficients).sum()
    of_weights = np.tensordot(layers, error @ coefficients.T, axes=2)  # L
    of_free = weights * (of_weights - weights @ of_weights)
    of_linear = np.vstack([z.T @ error + alpha * coefficients, error.sum(axis=0)])
    return loss, np.concatenate([of_free, of_linear.ravel()])


def _targets(y, n_clips):
    """Targets (n_clips, n), and whether they are classes."""
    y = np.asarray(y)
    if len(y) != n_clips:
        raise ValueError(f"Got {n_clips} clips in X and {len(y)} in y.")
    if _has_classes(y):
        classes, codes = np.unique(y, return_inverse=True)
        return np.eye(len(classes))[codes], True
    y = y.reshape(n_clips, -1).astype(np.float64)
    return (y - y.mean(axis=0)) / np.maximum(y.std(axis=0), 1e-12), False


def _has_classes(y):
    return type_of_target(y) in ("binary", "multiclass")


def _probe(y):
    ridge = RidgeClassifierCV(ALPHAS) if _has_classes(y) else RidgeCV(ALPHAS)
    return make_pipeline(StandardScaler(), ridge)
