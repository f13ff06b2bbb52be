"""`CFEmbedding`: factors of users and items, by collaborative filtering."""

import numbers
import os
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from userlogfeat._spark import is_spark_frame
from userlogfeat._typing import Matrix, RandomState
from userlogfeat.estimators._parameters import estimator
from userlogfeat.estimators._sklearn import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from userlogfeat.factorization import fit_als, fold_in

BACKENDS = ("implicit", "spark")

# Lee et al. 2019: 40 factors of the binary matrix, with the alpha of Hu et al. 2008
# (section 4). Regularisation and the number of iterations: not stated; implicit's.
SETTINGS: dict[str, Any] = {
    "n_factors": 40,
    "alpha": 40.0,
    "regularization": 0.01,
    "iterations": 15,
}


@estimator
class CFEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Embed users and items by collaborative filtering of their plays.

    Weighted matrix factorisation of implicit feedback by alternating least squares
    [1]_: a user who played an item r times prefers it (p = 1) with the confidence
    c = 1 + alpha r, every other item is not preferred (p = 0) with the confidence 1,
    and the scalar product of a user's and an item's factors approximates p.

    The defaults are those of [2]_, for r of zeros and ones (``weights="binary"`` of
    :func:`userlogfeat.read_logs`). `alpha` depends on the unit of r: with play counts
    in the hundreds, 40 means that everything ever played is certainly liked. Choose
    it by the ranking of held-out plays (``examples/tune_als.py``).

    Parameters
    ----------
    n_factors : int
        Size of an embedding; 40 in [2]_.
    regularization : float
        Weight of the factors' squared lengths.
    alpha : float
        Confidence that one play adds; 40 in [1]_ and [2]_.
    iterations : int
        Rounds of alternation.
    backend : {"implicit", "spark"}
        Library that factorises: implicit, on this machine, or Spark, on a cluster. Both
        end with the same exact fold-in of the users. Spark's rounds multiply the
        penalty of each user and item by its number of plays; what `regularization` then
        means is in :mod:`userlogfeat.factorization.on_spark`.
    factors_folder : str, optional
        With Spark: the users' factors stay there, too many for one machine, in a folder
        or URL of the cluster's file systems, beside a copy of the items'. What
        :func:`userlogfeat.factor_files.read_factors` reads; replaced by each `fit`.
    random_state : int, RandomState, Generator or None
        Seed of the initial factors. Equal seeds give equal factors (with Spark, but
        for the last digits).
    verbose : bool
        Show a progress bar while fitting. Spark has one of its own.

    Attributes
    ----------
    user_factors_ : ndarray of float32, shape (n_users, n_factors)
        Solved exactly for the final items, so that ``transform`` of the training rows
        gives them again. Users without plays are zeros. Absent with `factors_folder`.
    item_factors_ : ndarray of float32, shape (n_items, n_factors)
        Items without plays are zeros.
    user_ids_, item_ids_ : ndarray, shape (n_users,) and (n_items,)
        The identifiers of the rows, where `fit` got logs that are on Spark. Those of
        the users are absent with `factors_folder`.
    n_features_in_ : int
        The number of items.

    References
    ----------
    .. [1] Hu, Koren, Volinsky 2008, *Collaborative filtering for implicit feedback
       datasets*, ICDM.
    .. [2] Lee, Lee, Park, Lee 2019, *Enhancing music features by knowledge transfer
       from user-item log data*, ICASSP.

    Examples
    --------
    Two circles of listeners, each with songs of its own:

    >>> import numpy as np
    >>> from userlogfeat import CFEmbedding
    >>> plays = np.kron(np.eye(2), np.ones((3, 2)))
    >>> cf = CFEmbedding(n_factors=2, random_state=0).fit(plays)
    >>> abs(cf.user_factors_ @ cf.item_factors_.T).round(1)
    array([[1., 1., 0., 0.],
           [1., 1., 0., 0.],
           [1., 1., 0., 0.],
           [0., 0., 1., 1.],
           [0., 0., 1., 1.],
           [0., 0., 1., 1.]], dtype=float32)

    A new listener of the third song would like the fourth:

    >>> abs(cf.transform([[0, 0, 5, 0]]) @ cf.item_factors_.T).round(1)
    array([[0., 0., 1., 1.]], dtype=float32)
    """

    n_factors: int = SETTINGS["n_factors"]
    regularization: float = SETTINGS["regularization"]
    alpha: float = SETTINGS["alpha"]
    iterations: int = SETTINGS["iterations"]
    backend: Literal["implicit", "spark"] = "implicit"
    factors_folder: str | None = None
    random_state: RandomState | np.random.Generator = None
    verbose: bool = False

    def fit(self, user_items: Matrix, y: Any = None) -> Self:
        """Learn the factors of users and items.

        Parameters
        ----------
        user_items : csr matrix or array, shape (n_users, n_items)
            How often each user played each item: finite, not negative. Only
            the ratio of counts to ``1 / alpha`` matters. With ``backend="spark"`` also
            the logs themselves: what ``read_logs(..., backend="spark")`` gave, or a
            Spark frame, path or URL with columns user, item and, if there is one,
            count, read as ``read_logs`` does.
        y : None
            Ignored.

        Returns
        -------
        CFEmbedding
            Itself.

        Raises
        ------
        ValueError
            Where a parameter is out of its range, or `user_items` holds no play, or
            negative or non-finite numbers.
        """
        self._check_parameters()
        self._forget_logs()
        on_spark = _is_on_spark(user_items)
        if not on_spark:
            user_items = self._matrix(user_items)
        if self.backend == "spark":
            self._fit_on_spark(user_items, on_spark)
        elif on_spark:
            raise TypeError(
                f"Got {type(user_items).__name__} with backend={self.backend!r}, "
                'expected a matrix. Pass backend="spark", or read_logs(...).user_items.'
            )
        else:
            self.user_factors_, self.item_factors_ = fit_als(
                user_items, **self._settings(), progress=self.verbose
            )
        self._n_features_out = self.n_factors
        return self

    def fit_transform(self, user_items: Matrix, y: Any = None) -> np.ndarray:
        """Learn the factors and return those of the users.

        Parameters
        ----------
        user_items : csr matrix or array, shape (n_users, n_items)
        y : None
            Ignored.

        Returns
        -------
        ndarray of float32, shape (n_users, n_factors)
        """
        return self.fit(user_items)._known_users().copy()

    def transform(self, user_items: Matrix) -> np.ndarray:
        """Fold in users: their factors, given those of the items.

        Parameters
        ----------
        user_items : csr matrix or array, shape (n_new_users, n_items)
            Plays of the items known from `fit`, in the same order.

        Returns
        -------
        ndarray of float32, shape (n_new_users, n_factors)
            Zeros for users without plays.
        """
        check_is_fitted(self)
        _refuse_logs(user_items)
        user_items = validate_data(self, user_items, reset=False, **_CHECKS)
        return self._fold_in(self.item_factors_, sparse.csr_matrix(user_items))

    def transform_items(self, user_items: Matrix) -> np.ndarray:
        """Fold in items: their factors, given those of the users.

        For items of the training logs this is one more half step of the alternation:
        close to `item_factors_`, but not equal to them.

        Parameters
        ----------
        user_items : csr matrix or array, shape (n_users, n_new_items)
            Plays by the users known from `fit`, in the same order.

        Returns
        -------
        ndarray of float32, shape (n_new_items, n_factors)
            Zeros for items without plays.

        Raises
        ------
        ValueError
            Where the number of rows is not that of the users in `fit`.
        """
        check_is_fitted(self)
        _refuse_logs(user_items)
        user_items = check_array(user_items, input_name="user_items", **_CHECKS)
        n_users = len(self._known_users())
        if user_items.shape[0] != n_users:
            raise ValueError(
                f"Got user_items of shape {user_items.shape}, expected {n_users} rows: "
                "the users of fit. Rows are users and columns the new items."
            )
        item_users = sparse.csr_matrix(user_items.T)
        return self._fold_in(self._known_users(), item_users)

    def _fold_in(self, factors, rows):
        return fold_in(
            factors, rows, regularization=self.regularization, alpha=self.alpha
        )

    def _matrix(self, user_items):
        """The checked X of fit, where it is a matrix."""
        if hasattr(user_items, "user_items"):
            raise TypeError(
                f"Got {user_items!r}, expected its matrix: pass logs.user_items."
            )
        user_items = sparse.csr_matrix(validate_data(self, user_items, **_CHECKS))
        if not user_items.data.any():
            raise ValueError(
                f"user_items of shape {user_items.shape} holds no play: there is "
                "nothing to learn from."
            )
        return user_items

    def _fit_on_spark(self, X, on_spark):
        """Learn from a checked matrix, or from logs that Spark has or reads."""
        from userlogfeat.estimators._spark_factors import factorised, on_cluster

        logs = on_cluster(X)
        try:
            found = factorised(
                logs, self._settings(), self.factors_folder, has_ids=on_spark
            )
        finally:
            if logs is not X:
                logs.unpersist()
        for name, value in found.items():
            setattr(self, name, value)
        self.n_features_in_ = logs.n_items

    def _settings(self):
        names = ("n_factors", "regularization", "alpha", "iterations", "random_state")
        return {name: getattr(self, name) for name in names}

    def _forget_logs(self):
        """Drop attributes of an earlier fit that this one may lack."""
        names = ("user_factors_", "user_ids_", "item_ids_", "feature_names_in_")
        for name in names:
            if hasattr(self, name):
                delattr(self, name)

    def _known_users(self):
        """The users' factors of fit; they may have stayed on the cluster."""
        if not hasattr(self, "user_factors_"):
            raise ValueError(
                f"The factors of the users are in {self.factors_folder}, not here. "
                "Read them with userlogfeat.factor_files.read_factors, or fit with "
                "factors_folder=None."
            )
        return self.user_factors_

    def _check_parameters(self):
        for name in ("n_factors", "iterations"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(
                    f"Got {name}={value!r}, expected a whole number of at least 1."
                )
        for name in ("regularization", "alpha"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Real) or not 0 <= value < np.inf:
                raise ValueError(
                    f"Got {name}={value!r}, expected a finite number, 0 or more."
                )
        if self.backend not in BACKENDS:
            names = ", ".join(f'"{name}"' for name in BACKENDS)
            raise ValueError(f"Got backend={self.backend!r}, expected one of: {names}.")
        if self.factors_folder is not None and self.backend != "spark":
            raise ValueError(
                f"Got factors_folder={self.factors_folder!r} with backend="
                f"{self.backend!r}, which keeps factors in memory. Pass "
                'backend="spark", or write them with '
                "userlogfeat.factor_files.write_factors."
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = []
        return tags


_CHECKS = {
    "accept_sparse": "csr",
    "accept_large_sparse": True,
    "dtype": np.float32,
    "ensure_non_negative": True,
}


def _is_on_spark(X):
    """Whether X is logs that Spark has, or a path that it would read."""
    named = type(X).__name__ == "SparkInteractions"  # recognised without importing it
    return named or is_spark_frame(X) or isinstance(X, (str, os.PathLike))


def _refuse_logs(X):
    if _is_on_spark(X):
        raise TypeError(
            f"Got {type(X).__name__}, expected a matrix with the items of fit as "
            "columns. Bring the logs of new users here: logs.collect().user_items."
        )
