"""`ColdStartItems`: the CF factor of an item where it has history, else the audio's.

A factor from few listeners is noisy, an estimate from audio is biased. With n listeners
the weight of the factor is n / (n + k0), as a mean of n observations is weighed against
a prior worth k0 of them (Efron & Morris 1973, *Stein's estimation rule and its
competitors*). k0 is measured: on items held out of their listeners' factors,
whose histories are thinned to 1, 2, 4, ... listeners.
"""

import copy
from dataclasses import KW_ONLY
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from userlogfeat._check import check_choice
from userlogfeat._typing import ArrayLike, Matrix, RandomState
from userlogfeat.estimators._parameters import estimator
from userlogfeat.estimators._sklearn import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.evaluation.thinning import thin_histories

# Candidates for k0: the factor wherever there is one, then half octaves. With the
# last, an item needs thousands of listeners before its factor outweighs the estimate.
K0_GRID = (0.0, *(2.0 ** np.arange(-3, 12.5, 0.5)).tolist())


@estimator
class ColdStartItems(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Blend the CF factors of items with what is estimated from their audio.

    With n listeners of an item, f its factor, e the estimate and w = n / (n + k0), the
    embedding is w f + (1 - w) e. So an item nobody has played is its estimate, and one
    of many listeners its factor.

    Parameters
    ----------
    cf : FrozenEstimator
        ``FrozenEstimator(cf)`` of the fitted :class:`CFEmbedding` whose factors the
        audio network estimates. (Fitted again, its factors would be rotated.)
    k0 : "auto" or float
        Number of listeners that an estimate is worth. "auto": measured in `fit`.
    full_weight : float
        The weight in (0, 1] from which on the factor is taken alone: the default is
        reached with 19 k0 listeners.
    factor_norm : {"unit", "raw"}
        "unit": factors and estimates are brought to unit length, and so is the blend:
        for cosines, and for estimates of unit length as those of :class:`CFRegressor`
        are by default. "raw": lengths are kept, the popularity of items with them, and
        estimates are multiplied by `scale_`.
    validation_fraction : float
        Share in (0, 1) of the items that are held out to measure k0.
    random_state : int, RandomState or None
        Draws these items, and the listeners that are left of them.

    Attributes
    ----------
    k0_ : float
        Number of listeners that an estimate is worth.
    scale_ : float
        With ``factor_norm="raw"``, what estimates are multiplied by to be nearest to
        the factors (least squares, not negative); else 1.
    calibration_ : dict of str to ndarray, shape (n_levels,)
        Results on the held-out items, by the number of listeners left, "n_users": the
        number of items that had twice as many, "n_items", and the mean loss of the
        "factor" alone, of the "estimate" and of the "blend". The loss is 1 - cosine
        ("unit"), or the squared error over the mean squared length of the factors
        ("raw": long factors, of popular items, count most). None where k0 is given.
    n_features_in_ : int
        The number of factors.

    Notes
    -----
    The factor f of an item is the fold-in of its history, ``cf.transform_items``, also
    where `cf` was fitted on that history: ``cf.item_factors_`` are a little off it, the
    users having moved once more since.

    To measure k0, the held-out items are taken out of all histories and users are
    folded in again, so that their factors know nothing of these items. Each item with N
    listeners is then folded in from 1, 2, 4, ... of them, at most N / 2, and blends are
    compared to its factor of the full history; each item at each level counts alike.

    Estimates of items that the audio network was trained on are too good, and so is
    k0: pass out-of-fold estimates (scikit-learn's ``cross_val_predict``).

    Examples
    --------
    Two circles of listeners with 20 songs each; their audio differs, more or less:

    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from userlogfeat import CFEmbedding
    >>> from userlogfeat.estimators.cold_start import ColdStartItems
    >>> rng = np.random.default_rng(0)
    >>> plays = np.kron(np.eye(2), rng.random((30, 20)) < 0.5)
    >>> cf = CFEmbedding(n_factors=2, random_state=0).fit(plays)
    >>> estimates = cf.item_factors_ + 0.3 * rng.normal(size=(40, 2))
    >>> items = ColdStartItems(FrozenEstimator(cf), random_state=0)
    >>> items = items.fit(estimates, plays.T)

    A new song sounds like the first circle. Nobody has played it; then a listener of
    the second has, then ten of them:

    >>> song = cf.item_factors_[:1]
    >>> history = np.zeros((3, 60))
    >>> history[1, 30:31] = history[2, 30:40] = 1
    >>> embedded = items.transform(np.repeat(song, 3, axis=0), history)
    >>> first, second = cf.user_factors_[0], cf.user_factors_[30]
    >>> (embedded @ first > embedded @ second).tolist()
    [True, False, False]
    """

    cf: Any
    _: KW_ONLY
    k0: Literal["auto"] | float = "auto"
    full_weight: float = 0.95
    factor_norm: Literal["unit", "raw"] = "unit"
    validation_fraction: float = 0.2
    random_state: RandomState = None

    def fit(self, X: ArrayLike, item_users: Matrix) -> Self:
        """Measure the number of listeners that an estimate is worth.

        Parameters
        ----------
        X : array-like, shape (n_items, n_factors)
            Out-of-fold estimate of the factor of each item of `cf`, from its audio.
        item_users : csr matrix or array, shape (n_items, n_users)
            The plays `cf` was fitted on, an item a row: ``user_items.T``.

        Returns
        -------
        ColdStartItems
            Itself.

        Raises
        ------
        TypeError
            Where `cf` is not a FrozenEstimator.
        ValueError
            Where a parameter is out of its range; shapes do not fit those of `cf`; or
            no held-out item has two listeners or more.
        """
        self._check_parameters()
        X = validate_data(self, X, dtype=np.float32)
        item_users = self._check_history(X, item_users)
        factors = self._cf().item_factors_
        if factors.shape != X.shape:
            raise ValueError(
                f"Got X of shape {X.shape}, expected {factors.shape}, that of the item "
                "factors of cf: an estimate for each of its items."
            )
        self._n_features_out = X.shape[1]
        self.scale_ = self._fit_scale(X, factors)
        self.k0_, self.calibration_ = self.k0, None
        if self.k0 == "auto":
            self.k0_, self.calibration_ = self._calibrate(X, item_users, factors)
        return self

    def fit_transform(self, X: ArrayLike, item_users: Matrix) -> np.ndarray:
        """Measure k0, and return the embeddings of the items of `fit`.

        Not the same as ``fit(X, item_users).transform(X)``, which gets no history.

        Parameters
        ----------
        X : array-like, shape (n_items, n_factors)
        item_users : csr matrix or array, shape (n_items, n_users)
            As of `fit`.

        Returns
        -------
        ndarray of float32, shape (n_items, n_factors)
        """
        return self.fit(X, item_users).transform(X, item_users)

    def transform(self, X: ArrayLike, item_users: Matrix | None = None) -> np.ndarray:
        """Embeddings of items, known or new.

        Parameters
        ----------
        X : array-like, shape (n_items, n_factors)
            Estimate of the factor of each item, from its audio.
        item_users : csr matrix or array, shape (n_items, n_users), optional
            Plays of the users of `cf`, an item a row. By default nobody has played
            these items.

        Returns
        -------
        ndarray of float32, shape (n_items, n_factors)
            In the space of ``cf.user_factors_``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float32)
        if item_users is None:
            return self._blend(np.zeros_like(X), X, np.zeros(len(X)), self.k0_)
        item_users = self._check_history(X, item_users)
        factors = self._cf().transform_items(item_users.T)
        return self._blend(factors, X, np.diff(item_users.indptr), self.k0_)

    def _calibrate(self, X, item_users, factors):
        """Choose k0; return it and the losses it was chosen by."""
        rng = check_random_state(self.random_state)
        n_items = len(X)
        n_held = min(max(1, round(self.validation_fraction * n_items)), n_items)
        held = np.sort(rng.permutation(n_items)[:n_held])
        held = held[np.diff(item_users.indptr)[held] >= 2]
        if len(held) == 0:
            raise ValueError(
                f"None of {n_held} held-out items has two listeners or more: k0 cannot "
                "be measured on these histories. Pass it (k0=10), raise "
                "validation_fraction, or give more logs."
            )
        cf = _without(self._cf(), item_users, held)
        thinned, owners, n_users = thin_histories(item_users[held], rng)
        folded = cf.transform_items(thinned.T)
        owners = held[owners]
        pairs = (folded, X[owners], n_users)
        targets = factors[owners]

        def losses(k0):
            return self._losses(self._blend(*pairs, k0), targets)

        k0 = min(K0_GRID, key=lambda k0: losses(k0).mean())
        losses = {
            "factor": losses(0.0),
            "estimate": self._losses(self._blend(folded, X[owners], 0, 0.0), targets),
            "blend": losses(k0),
        }
        return k0, _by_level(n_users, losses)

    def _blend(self, factors, estimates, n_users, k0):
        """Blend factors, each from a number of listeners, with estimates."""
        weights = _weights(np.broadcast_to(n_users, len(factors)), k0, self.full_weight)
        weights = weights[:, None]
        estimates = np.float32(self.scale_) * estimates
        if self.factor_norm == "raw":
            return (weights * factors + (1 - weights) * estimates).astype(np.float32)
        blend = weights * unit_rows(factors) + (1 - weights) * unit_rows(estimates)
        return unit_rows(blend).astype(np.float32)

    def _losses(self, embedded, targets):
        """The loss of each row against factors of the full history."""
        if self.factor_norm == "raw":
            usual = (targets.astype(np.float64) ** 2).sum(axis=1).mean()
            return ((embedded - targets) ** 2).sum(axis=1) / usual
        return 1 - (embedded * unit_rows(targets)).sum(axis=1)

    def _fit_scale(self, X, factors):
        if self.factor_norm == "unit":
            return 1.0
        X = X.astype(np.float64)
        length = (X * X).sum()
        return float(max(0.0, (X * factors).sum() / length)) if length > 0 else 1.0

    def _cf(self):
        return self.cf.estimator

    def _check_history(self, X, item_users):
        """Plays as csr without stored zeros, a row for each of X."""
        if hasattr(item_users, "user_items"):
            raise TypeError(
                f"Got {item_users!r}, expected a matrix of items x users: pass "
                "logs.user_items.T."
            )
        item_users = check_array(
            item_users,
            accept_sparse="csr",
            dtype=np.float32,
            ensure_non_negative=True,
            input_name="item_users",
        )
        expected = (len(X), len(self._cf().user_factors_))
        if item_users.shape != expected:
            turned = item_users.shape == expected[::-1]
            advice = (
                "It is the other way round: pass user_items.T."
                if turned
                else ("Rows are the items of X, columns the users of cf.")
            )
            raise ValueError(
                f"Got item_users of shape {item_users.shape}, expected {expected}. "
                f"{advice}"
            )
        item_users = sparse.csr_matrix(item_users, copy=True)
        item_users.sum_duplicates()
        item_users.eliminate_zeros()
        return item_users

    def _check_parameters(self):
        if not isinstance(self.cf, FrozenEstimator):
            raise TypeError(
                f"Got cf={self.cf!r}, expected FrozenEstimator(cf) of the fitted "
                "CFEmbedding whose factors X estimates: fitted again, it would be in "
                "another space. (from sklearn.frozen import FrozenEstimator)"
            )
        check_is_fitted(self._cf())
        check_choice(self.factor_norm, "factor_norm", ("unit", "raw"))
        number = isinstance(self.k0, Real) and 0 <= self.k0 < np.inf
        if not (number or (isinstance(self.k0, str) and self.k0 == "auto")):
            raise ValueError(
                f'Got k0={self.k0!r}, expected "auto" or a number of listeners, 0 or '
                "more."
            )
        if not (isinstance(self.full_weight, Real) and 0 < self.full_weight <= 1):
            raise ValueError(
                f"Got full_weight={self.full_weight!r}, expected a share in (0, 1]."
            )
        fraction = self.validation_fraction
        if not (isinstance(fraction, Real) and 0 < fraction < 1):
            raise ValueError(
                f"Got validation_fraction={fraction!r}, expected a share in (0, 1)."
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _weights(n_users, k0, full_weight):
    """The weight n / (n + k0) of factors; 0 without listeners, 1 from `full_weight`."""
    n_users = np.asarray(n_users, np.float64)
    weights = np.divide(
        n_users, n_users + k0, out=np.zeros(n_users.shape), where=n_users > 0
    )
    return np.where(weights >= full_weight, 1.0, weights)


def _without(cf, item_users, held):
    """The model `cf`, its users folded in without the items `held`."""
    kept = np.ones(item_users.shape[0], np.float32)
    kept[held] = 0
    user_items = sparse.csr_matrix((sparse.diags_array(kept) @ item_users).T)
    other = copy.copy(cf)
    other.user_factors_ = cf.transform(user_items)
    return other


def _by_level(n_users, losses):
    """Mean losses by the number of listeners."""
    levels, level_of, n_items = np.unique(
        n_users, return_inverse=True, return_counts=True
    )
    means = {
        name: np.bincount(level_of, weights=values) / n_items
        for name, values in losses.items()
    }
    return {"n_users": levels, "n_items": n_items, **means}
