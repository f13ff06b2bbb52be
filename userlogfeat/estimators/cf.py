"""`CFEmbedding`: factors of users and items, by collaborative filtering."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from userlogfeat._check import PLAYS, check_choice, check_number, check_positive
from userlogfeat._optional import import_optional
from userlogfeat._spaces import in_space, space_of
from userlogfeat._spark import is_spark_frame, partitions_for
from userlogfeat._typing import ArrayLike, Matrix, PathLike, RandomState
from userlogfeat.estimators._cf_files import read_embedding, write_embedding
from userlogfeat.estimators._parameters import estimator
from userlogfeat.estimators._sklearn import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from userlogfeat.factor_files import digest_items, item_popularity
from userlogfeat.factorization import fit_als, fold_in
from userlogfeat.factorization.alignment import (
    CLOSE,
    rotation_onto,
    rows_of,
    warn_of_distance,
)
from userlogfeat.factorization.confidence import (
    CONFIDENCES,
    Confidence,
    median_plays,
    scaled_regularization,
    warn_of_absurd,
    weigh,
)

if TYPE_CHECKING:
    from userlogfeat.evaluation.play_search import Plays
    from userlogfeat.logs.interactions import Interactions

BACKENDS = ("implicit", "spark")

# Lee et al. 2019: 40 factors of the binary matrix, with the alpha of Hu et al. 2008
# (section 4). Regularisation and the number of iterations: not stated. The number of
# iterations is implicit's.
SETTINGS: dict[str, Any] = {"n_factors": 40, "iterations": 15}
PAPER_ALPHA = 40.0
# Of the held-out plays of four logs: benchmarks/als_defaults.py.
ALPHA = 10.0
UPDATE_ITERATIONS = 5  # rounds of `update`: benchmarks/als_updates.py


@estimator
class CFEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Embed users and items by collaborative filtering of their plays.

    Weighted matrix factorisation of implicit feedback by alternating least squares
    [1]_: a user who played an item r times prefers it (p = 1) with the confidence
    c = 1 + alpha w, every other item is not preferred (p = 0) with the confidence 1,
    and the scalar product of a user's and an item's factors approximates p.

    The default weight w is a logarithm of r, in units of the median r, which suits
    plays, seconds and shares alike. ``confidence="binary"`` is the setting of [2]_,
    ``confidence="linear"`` that of [1]_. `alpha`, `regularization` and `n_factors` were
    chosen on four logs by the ranking of held-out plays; for your logs a search over
    :class:`userlogfeat.evaluation.play_search.Plays` does the same.

    Parameters
    ----------
    n_factors : int
        Size of an embedding; 40 in [2]_.
    regularization : float, optional
        Weight of the factors' squared lengths. By default it grows with the logs: a
        tenth of the confidence that plays add to an average user and item
        (:func:`userlogfeat.factorization.confidence.scaled_regularization`). Not stated
        in [2]_.
    alpha : float, optional
        Confidence that the weight 1 adds. By default 10 with "log", and the 40 of [1]_
        and [2]_ with "linear" and "binary".
    confidence : {"log", "binary", "linear"}
        The weight w of a pair: "log" is log2(1 + r / epsilon), the equation 6 of [1]_
        with the base 2; "binary" is 1 for all that was played ([2]_); "linear" is r
        ([1]_, section 4). "linear" warns where the median pair has a confidence above
        400: factors then follow the few highest counts.
    epsilon : float, optional
        Plays of the weight 1 with "log", in the unit of r. By default the median r of
        the pairs in `fit`.
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
        Show a progress bar also in logs; else see :func:`userlogfeat.show_progress`.
        Spark has one of its own.

    Attributes
    ----------
    user_factors_ : ndarray of float32, shape (n_users, n_factors)
        Solved exactly for the final items, so that ``transform`` of the training rows
        gives them again. Users without plays are zeros. Absent with `factors_folder`.
    item_factors_ : ndarray of float32, shape (n_items, n_factors)
        Items without plays are zeros.
    alpha_, regularization_, epsilon_ : float
        The values used; `epsilon_` is None but for "log".
    space_ : str
        Digest of the training. Factors can be compared only with factors of the same
        one: `user_factors_`, `item_factors_` and the arrays of `transform` carry it,
        and :func:`userlogfeat.recommend` refuses to mix two. `update` keeps it.
    alignment_ : float
        After `update`: mean cosine of the items with their factors before.
    popularity_ : ndarray of float32, shape (n_items,)
        Fraction of the users who played each item. Absent with Spark.
    user_ids_, item_ids_ : ndarray, shape (n_users,) and (n_items,)
        The identifiers of the rows, where `fit` got logs and not their matrix. Those of
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
    array([[0.9, 0.9, 0. , 0. ],
           [0.9, 0.9, 0. , 0. ],
           [0.9, 0.9, 0. , 0. ],
           [0. , 0. , 0.9, 0.9],
           [0. , 0. , 0.9, 0.9],
           [0. , 0. , 0.9, 0.9]], dtype=float32)

    A new listener of the third song would like the fourth:

    >>> abs(cf.transform([[0, 0, 5, 0]]) @ cf.item_factors_.T).round(1)
    array([[0. , 0. , 0.9, 0.9]], dtype=float32)
    """

    n_factors: int = SETTINGS["n_factors"]
    regularization: float | None = None
    alpha: float | None = None
    confidence: Confidence = "log"
    epsilon: float | None = None
    iterations: int = SETTINGS["iterations"]
    backend: Literal["implicit", "spark"] = "implicit"
    factors_folder: str | None = None
    random_state: RandomState | np.random.Generator = None
    verbose: bool = False

    def fit(self, user_items: Matrix | Interactions | Plays, y: Any = None) -> Self:
        """Learn the factors of users and items.

        Parameters
        ----------
        user_items : csr matrix or array (n_users, n_items), Plays, or Interactions
            How often each user played each item: finite, not negative. Of the logs of
            ``read_logs`` the identifiers are kept. With ``backend="spark"`` also what
            ``read_logs(..., backend="spark")`` gave, or a Spark frame, path or URL with
            columns user, item and, if there is one, count, read as ``read_logs`` does.
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
        return self._learn(user_items)

    def update(
        self,
        user_items: Matrix | Interactions | Plays,
        *,
        iterations: int | None = None,
        item_prior: ArrayLike | None = None,
    ) -> Self:
        """Go on from the present factors with newer logs, in the same factor space.

        The logs are all that is to be learned from, old plays and new ones, as in
        `fit`: whoever is no longer in them is forgotten. The items start from their
        present factors; new ones, and all users, are solved for from these. At the end
        both sides are rotated together onto the items' old factors. So what was trained
        on the old factors (a :class:`CFRegressor`, its features) stays valid, as far as
        `alignment_` says. Spark starts anew and is rotated.

        Parameters
        ----------
        user_items : csr matrix or array (n_users, n_items), or Interactions
            Rows may be any users. Columns are those of the fit, with new items after
            them; or, where both fits got logs or `load` read them, in any order, by
            their identifiers.
        iterations : int, optional
            Rounds of alternation; by default 5, as many as a week's change needs. Spark
            has those of `fit`.
        item_prior : array-like, shape (n_items, n_factors), optional
            Factors that are expected of each item, a row for each column of
            `user_items`, such as the estimates that a :class:`CFRegressor` with
            ``factor_norm="raw"`` makes from audio. NaN in rows of which nothing is
            known. The penalty of an item is then ``regularization |y - prior|^2``:
            those of few plays go to their prior, those of many stay where their
            listeners are. Not with Spark.

        Returns
        -------
        CFEmbedding
            Itself.

        Raises
        ------
        ValueError
            As `fit`; or where items are gone and have no identifiers, or fewer items
            than factors are known; or the prior has another shape or is from another
            training.

        Warns
        -----
        UserWarning
            Where `alignment_` is below 0.7. `space_` is then a new one.

        Examples
        --------
        >>> import numpy as np
        >>> from userlogfeat import CFEmbedding
        >>> plays = np.kron(np.eye(2), np.ones((3, 2)))
        >>> cf = CFEmbedding(n_factors=2, random_state=0).fit(plays)
        >>> before = cf.item_factors_

        A fifth song, which the first circle plays:

        >>> new = np.hstack([plays, [[1], [1], [1], [0], [0], [0]]])
        >>> after = cf.update(new).item_factors_
        >>> bool(np.abs(after[:4] - before).max() < 0.1), len(after)
        (True, 5)
        """
        check_is_fitted(self)
        self._check_parameters()
        if iterations is not None:
            check_positive(iterations, "iterations", integer=True)
        items, space = np.asarray(self.item_factors_), self.space_
        if items.shape[1] != self.n_factors:
            raise ValueError(
                f"Got n_factors={self.n_factors}, but the present factors have "
                f"{items.shape[1]}. Fit again, or set it back."
            )
        if item_prior is not None:
            item_prior = self._check_prior(item_prior)
        old = items, getattr(self, "item_ids_", None)
        before = dict(vars(self))
        try:
            self._learn(user_items, old, iterations or UPDATE_ITERATIONS, item_prior)
        except BaseException:  # an interrupt as well: half an update fits nothing
            vars(self).clear()
            vars(self).update(before)
            raise
        if self.alignment_ < CLOSE:
            warn_of_distance(self.alignment_)
        else:
            self._set_space(space)
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
        user_items = validate_data(self, user_items, reset=False, **PLAYS)
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
        user_items = check_array(user_items, input_name="user_items", **PLAYS)
        n_users = len(self._known_users())
        if user_items.shape[0] != n_users:
            raise ValueError(
                f"Got user_items of shape {user_items.shape}, expected {n_users} rows: "
                "the users of fit. Rows are users and columns the new items."
            )
        item_users = sparse.csr_matrix(user_items.T)
        return self._fold_in(self._known_users(), item_users)

    def save(
        self,
        folder: PathLike,
        *,
        training_data: dict[str, Any],
        user_items: Any = None,
        notes: dict[str, Any] | None = None,
    ) -> None:
        """Write the factors and settings to a folder, as `userlogfeat fit-cf` does.

        Parameters
        ----------
        folder : str or Path
            Created where it is missing. It gets user_factors.parquet and
            item_factors.parquet, one row an identifier (or number of a row or column).
        training_data : dict
            Description of the logs: ``description`` (str), ``licence`` (str) and
            ``non_commercial`` (bool).
        user_items : csr matrix (n_users, n_items) or Interactions, optional
            The logs of fit, or of update. They are kept in plays.parquet, and
            `userlogfeat recommend` leaves out what each user played.
        notes : dict, optional
            More to note in the files, as JSON can hold it.
        """
        from userlogfeat.weights.config import check_training_data

        check_is_fitted(self)
        check_training_data(training_data, ValueError)
        write_embedding(folder, self, training_data, notes or {}, user_items)

    @classmethod
    def load(cls, folder: PathLike) -> Self:
        """Read the fitted embedding that `save`, `fit-cf` or Spark wrote to a folder.

        Parameters
        ----------
        folder : str or Path

        Returns
        -------
        CFEmbedding
            With `user_ids_` and `item_ids_`. Users and items can be folded in, and
            `update` goes on from it.

        Raises
        ------
        ValueError
            Where the folder is damaged, or holds other factors.
        """
        return read_embedding(folder, cls)

    def _check_prior(self, prior):
        """The prior of items in float32, zeros where nothing is known of one."""
        space = space_of(prior)
        if space not in (None, self.space_):
            raise ValueError(
                "item_prior is from another training of factors than these: estimate "
                "the present item_factors_, by a teacher of these."
            )
        if self.backend == "spark":
            raise ValueError(
                'Got item_prior with backend="spark", whose library has no such '
                'penalty. Use backend="implicit".'
            )
        if self.regularization_ == 0:
            raise ValueError(
                "Got item_prior with regularization=0: the penalty is what draws items "
                "to it. Raise regularization, or leave it to its default."
            )
        prior = check_array(
            prior, dtype=np.float32, ensure_all_finite="allow-nan", input_name="prior"
        )
        unknown = np.isnan(prior)
        mixed = np.flatnonzero(unknown.any(axis=1) != unknown.all(axis=1))
        if len(mixed):
            raise ValueError(
                f"{len(mixed)} rows of item_prior are NaN in part (first: row "
                f"{mixed[0]}). Where nothing is known of an item, all its row is NaN."
            )
        if unknown.all():
            raise ValueError("item_prior is NaN everywhere: it says nothing.")
        return np.where(unknown, np.float32(0), prior)

    def _learn(self, X, old=None, iterations=None, prior=None):
        """Learn from logs of any form; `old` are items (ids, factors) to go on from."""
        on_spark, ids = _is_on_spark(X), {}
        if not on_spark:
            X, ids = _matrix_and_ids(X)
            X = self._matrix(X)
        elif self.backend != "spark":
            raise TypeError(
                f"Got {type(X).__name__} with backend={self.backend!r}, "
                'expected a matrix. Pass backend="spark", or read_logs(...).user_items.'
            )
        start = None
        if old is not None and not on_spark:
            start = _start(*old, X.shape[1], ids.get("item_ids_"))
        self._forget_logs()
        if self.backend == "spark":
            n_users = self._fit_on_spark(X, on_spark, start, old)
        else:
            n_users = X.shape[0]
            self._fit_here(X, start, iterations, prior)
        for name, value in ids.items():
            setattr(self, name, value)
        self._set_space(digest_items(np.asarray(self.item_factors_), n_users))
        self._n_features_out = self.n_factors
        return self

    def _fit_here(self, user_items, start, iterations, prior):
        """Learn from a checked matrix, on this machine."""
        shape = user_items.shape[1], self.n_factors
        if prior is not None and prior.shape != shape:
            raise ValueError(
                f"Got item_prior of shape {prior.shape}, expected {shape}: a row for "
                "each item of these logs, in their order, and the number of factors. "
                "Rows of NaN are for items of which nothing is known."
            )
        self._choose_scale(median_plays(user_items))
        weights = self._weights(user_items)
        self._choose_regularization(scaled_regularization(weights, self.alpha_))
        settings = self._settings()
        if iterations is not None:
            settings["iterations"] = iterations
        self.user_factors_, self.item_factors_ = fit_als(
            weights,
            **settings,
            progress=self.verbose,
            start=start,
            item_prior=prior,
        )
        self.popularity_ = item_popularity(weights)
        if start is not None:
            self.alignment_ = rotation_onto(self.item_factors_, start)[1]

    def _set_space(self, space):
        self.space_ = space
        for name in ("user_factors_", "item_factors_"):
            if hasattr(self, name):
                setattr(self, name, in_space(getattr(self, name), space))

    def _fold_in(self, factors, rows):
        folded = fold_in(
            factors,
            self._weights(rows),
            regularization=self.regularization_,
            alpha=self.alpha_,
        )
        return in_space(folded, self.space_)

    def _choose_scale(self, median):
        """Set what turns plays into confidences, given their median."""
        of_papers = PAPER_ALPHA if self.confidence != "log" else ALPHA
        self.alpha_ = of_papers if self.alpha is None else float(self.alpha)
        self.epsilon_ = None
        if self.confidence == "log":
            self.epsilon_ = median if self.epsilon is None else float(self.epsilon)
        elif self.confidence == "linear":
            warn_of_absurd(median, self.alpha_)

    def _choose_regularization(self, scaled):
        given = self.regularization is not None
        self.regularization_ = float(self.regularization if given else scaled)

    def _weights(self, plays):
        return weigh(plays, self.confidence, self.epsilon_)

    def _matrix(self, user_items):
        """The checked X of fit, where it is a matrix."""
        user_items = sparse.csr_matrix(validate_data(self, user_items, **PLAYS))
        if not user_items.data.any():
            raise ValueError(
                f"user_items of shape {user_items.shape} holds no play: there is "
                "nothing to learn from."
            )
        return user_items

    def _fit_on_spark(self, X, on_spark, start, old):
        """Learn from a checked matrix, or from logs that Spark has or reads.

        Return the number of users.
        """
        import_optional(
            "pyspark", extra="spark", purpose='CFEmbedding(backend="spark")'
        )
        from userlogfeat.estimators._spark_factors import factorised, on_cluster
        from userlogfeat.factorization.on_spark import (
            median_on_spark,
            scaled_on_spark,
            weigh_on_spark,
        )

        logs = on_cluster(X)
        try:
            with partitions_for(logs.user_items.sparkSession, logs.n_pairs):
                self._choose_scale(median_on_spark(logs.user_items))
                pairs = weigh_on_spark(logs.user_items, self.confidence, self.epsilon_)
                self._choose_regularization(scaled_on_spark(pairs, self.alpha_))
                found = factorised(
                    logs,
                    pairs,
                    self._settings(),
                    self.factors_folder,
                    has_ids=on_spark,
                    noted={"confidence": self.confidence, "epsilon": self.epsilon_},
                    onto=old if start is None else (start, None),
                )
        finally:
            if logs is not X:
                logs.unpersist()
        for name, value in found.items():
            setattr(self, name, value)
        self.n_features_in_ = logs.n_items
        return logs.n_users

    def _settings(self):
        names = ("n_factors", "iterations", "random_state")
        chosen = {"alpha": self.alpha_, "regularization": self.regularization_}
        return {name: getattr(self, name) for name in names} | chosen

    def _forget_logs(self):
        """Drop attributes of an earlier fit that this one may lack."""
        names = ("user_factors_", "user_ids_", "item_ids_", "popularity_", "alignment_")
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
            check_positive(getattr(self, name), name, integer=True)
        check_choice(self.confidence, "confidence", CONFIDENCES)
        for name in ("regularization", "alpha"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name, 0)
        if self.epsilon is not None:
            check_positive(self.epsilon, "epsilon")
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


def _is_on_spark(X):
    """Whether X is logs that Spark has, or a path that it would read."""
    named = type(X).__name__ == "SparkInteractions"  # recognised without importing it
    return named or is_spark_frame(X) or isinstance(X, (str, os.PathLike))


# How the types of columns begin that no matrix of plays has.
_TEXT = ("str", "large_str", "cat", "date", "time")


def _matrix_and_ids(X):
    """The matrix of plays, and the identifiers that logs have."""
    if not hasattr(X, "user_items"):
        columns = getattr(X, "column_names", getattr(X, "columns", ()))
        kinds = getattr(X, "dtypes", getattr(getattr(X, "schema", None), "types", ()))
        texts = [str(kind) for kind in kinds if str(kind).lower().startswith(_TEXT)]
        if {"user", "item"} <= set(columns) or texts:
            what = "columns of text or dates" if texts else "the columns user and item"
            raise TypeError(
                f"Got a {type(X).__name__} with {what}, which is a log, expected a "
                "matrix of users x items, or logs. Pass read_logs(it)."
            )
        return X, {}
    found = {f"{name}_": getattr(X, name, None) for name in ("user_ids", "item_ids")}
    return X.user_items, {k: np.asarray(v) for k, v in found.items() if v is not None}


def _start(old, old_ids, n_items, item_ids):
    """Bring the items to go on from in the order of new logs, zeros for new ones."""
    if (old_ids is None) != (item_ids is None):
        sides = ["these logs", "the present fit"]
        named, unnamed = sides if old_ids is None else reversed(sides)
        raise ValueError(
            f"The items of {unnamed} have no identifiers, so that they cannot be "
            f"found among those of {named}. Pass logs as read_logs gave them to "
            "both fits, or their matrices to both."
        )
    if item_ids is None and n_items < len(old):
        raise ValueError(
            f"Got {n_items} items, fewer than the {len(old)} of the present fit: which "
            "are gone? Keep their columns, empty, or pass logs with identifiers."
        )
    start = rows_of(old, n_items, item_ids, old_ids)
    known = int(start.any(axis=1).sum())
    if known < old.shape[1]:
        raise ValueError(
            f"Only {known} of {n_items} items have factors to go on from, expected "
            f"{old.shape[1]} or more, the number of factors. Fit again instead."
        )
    return start


def _refuse_logs(X):
    if _is_on_spark(X):
        raise TypeError(
            f"Got {type(X).__name__}, expected a matrix with the items of fit as "
            "columns. Bring the logs of new users here: logs.collect().user_items."
        )
    if hasattr(X, "user_items"):
        raise TypeError(
            f"Got {X!r}, expected a matrix with the items of fit as columns. Read the "
            "logs by these: read_logs(..., item_ids=cf.item_ids_).user_items."
        )
