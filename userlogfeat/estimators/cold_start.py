"""`ColdStartItems`: blend an item's CF factor with what audio and artist suggest.

A factor from few listeners is noisy, an estimate from audio is biased. With n listeners
the weight of the factor is n / (n + k0), as a mean of n observations is weighed against
a prior worth k0 of them (Efron & Morris 1973, *Stein's estimation rule and its
competitors*). The mean factor of an artist's other tracks is a second prior. Both
worths are measured: on items held out of their listeners' factors, whose histories are
thinned to 1, 2, 4, ... listeners (and to none, where artists are known).
"""

import copy
from dataclasses import KW_ONLY
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from userlogfeat._check import PLAYS, check_choice, check_number
from userlogfeat._ids import positions
from userlogfeat._spaces import in_space
from userlogfeat._typing import ArrayLike, Matrix, RandomState
from userlogfeat.estimators._artist_means import (
    artist_means,
    check_artists,
    means_of,
)
from userlogfeat.estimators._parameters import estimator
from userlogfeat.estimators._sklearn import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from userlogfeat.evaluation.ranking import unit_rows
from userlogfeat.evaluation.thinning import thin_histories
from userlogfeat.users.inputs import stored_pairs

# Candidates for both worths: 0 takes the factor wherever there is one; then half
# octaves, up to thousands of listeners before the factor outweighs the estimate.
WORTHS = (0.0, *(2.0 ** np.arange(-3, 12.5, 0.5)).tolist())
# From this weight on, reached with 19 k0 listeners, the factor is taken alone.
FULL_WEIGHT = 0.95
_MOST_ROUNDS = 10  # of the search for both worths, one after the other
_SHOWN = 3  # examples in a message
_CHECKS = {"dtype": np.float32, "ensure_all_finite": False}  # see `_whole_rows`


@estimator
class ColdStartItems(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Blend the CF factors of items with what is estimated from their audio.

    With n listeners of an item, f its factor, e the estimate and w = n / (n + k0), the
    embedding is w f + (1 - w) e. So an item nobody has played is its estimate, and one
    of many listeners its factor.

    Where artists are known, the mean m of the factors of the artist's J other tracks
    counts as a = artist_worth J / (J + 1) listeners: the embedding is the mean of f, e
    and m with the weights n, k0 and a. An item without audio (a row of NaN) has k0 = 0,
    and one of an unknown artist a = 0. Where none of the three is known, it is zeros,
    which :func:`userlogfeat.recommend` takes as unknown.

    Parameters
    ----------
    cf : FrozenEstimator
        ``FrozenEstimator(cf)`` of the fitted :class:`CFEmbedding` whose factors the
        audio network estimates. (Fitted again, its factors would be rotated.)
    k0 : "auto" or float
        Number of listeners that an estimate is worth. "auto": measured in `fit`.
    artist_worth : "auto" or float
        Number of listeners that the mean of very many tracks by the artist is worth.
        "auto": measured in `fit`, if that gets artists.
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
    artist_worth_ : float
        Number of listeners that the mean of very many tracks by an artist is worth; 0
        where `fit` got no artists.
    artists_ : dict of artist to (ndarray of shape (n_factors,), int)
        Mean factor of the artist's tracks that have listeners, and their number; empty
        where `fit` got no artists.
    scale_ : float
        With ``factor_norm="raw"``, what estimates are multiplied by to be nearest to
        the factors (least squares, not negative); else 1.
    calibration_ : dict of str to ndarray, shape (n_levels,)
        Results on the held-out items, by the number of listeners left, "n_users": the
        number of items that had twice as many, "n_items", and the mean loss of the
        "factor" alone, of the "estimate" and of the "blend"; with artists also of the
        "artist" alone, for the items whose artist has other tracks (else NaN), and a
        first level without listeners, where the factor is NaN. The loss is 1 - cosine
        ("unit"), or the squared error over the mean squared length of the factors
        ("raw": long factors, of popular items, count most). None where all is given.
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

    The mean of an artist's tracks is that of their factors (unit factors with "unit"),
    each track alike, those without listeners left out. In measuring, held-out items are
    in no mean.

    Estimates of items that the audio network was trained on are too good, and so is
    k0: pass out-of-fold estimates (scikit-learn's ``cross_val_predict``).

    Examples
    --------
    Two circles of listeners with 20 songs each; their audio differs, more or less:

    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from userlogfeat import CFEmbedding, ColdStartItems
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
    artist_worth: Literal["auto"] | float = "auto"
    factor_norm: Literal["unit", "raw"] = "unit"
    validation_fraction: float = 0.2
    random_state: RandomState = None

    def fit(
        self,
        X: ArrayLike,
        item_users: Matrix,
        *,
        items: ArrayLike | None = None,
        item_ids: ArrayLike | None = None,
        artists: ArrayLike | None = None,
    ) -> Self:
        """Measure how many listeners an estimate and an artist are worth.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_factors)
            Out-of-fold estimate of the factor of each item of `cf`, from its audio;
            rows of NaN for items without audio.
        item_users : csr matrix or array, shape (n_items, n_users)
            The plays `cf` was fitted on, an item a row: ``user_items.T``.
        items : array-like, shape (n_rows,), optional
            The items that the rows of X are of, each once, where these are not all in
            the order of `cf`: ids among `item_ids`, or else row numbers of
            `item_users`. Items that are not among them have no audio.
        item_ids : array-like, shape (n_items,), optional
            Id of each row of `item_users`, such as ``logs.item_ids``.
        artists : array-like, shape (n_items,), optional
            Artist of each row of `item_users`; None where it is unknown.

        Returns
        -------
        ColdStartItems
            Itself.

        Raises
        ------
        TypeError
            Where `cf` is not a FrozenEstimator.
        ValueError
            Where a parameter is out of its range; shapes do not fit those of `cf`;
            items are unknown or come twice; a row has some NaN, or infinite numbers; or
            no held-out item has two listeners or more.
        """
        self._check_parameters()
        X = _whole_rows(validate_data(self, X, **_CHECKS))
        factors = self._cf().item_factors_
        X = _spread(X, items, item_ids, factors.shape)
        item_users = self._check_history(X, item_users)
        self._n_features_out = X.shape[1]
        self.scale_ = self._fit_scale(X, factors)
        self.artists_ = {}
        self.k0_, self.artist_worth_ = self.k0, self.artist_worth
        if artists is None:
            self.artist_worth_ = 0.0
        else:
            artists = check_artists(artists, len(X))
            played = np.diff(item_users.indptr) > 0
            rows = self._scaled(factors) * played[:, None]
            self.artists_ = artist_means(rows, artists)
        self.calibration_ = None
        if "auto" in (self.k0_, self.artist_worth_):
            self._calibrate(X, item_users, factors, artists)
        return self

    def fit_transform(
        self,
        X: ArrayLike,
        item_users: Matrix,
        *,
        items: ArrayLike | None = None,
        item_ids: ArrayLike | None = None,
        artists: ArrayLike | None = None,
    ) -> np.ndarray:
        """Measure the worths, and return the embeddings of the items of `fit`.

        Not the same as ``fit(X, item_users).transform(X)``, which gets no history.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_factors)
        item_users : csr matrix or array, shape (n_items, n_users)
        items, item_ids, artists : array-like, optional
            As of `fit`.

        Returns
        -------
        ndarray of float32, shape (n_items, n_factors)
            A row for each row of `item_users`. No item counts in the mean of its artist
            that it is blended with.
        """
        self.fit(X, item_users, items=items, item_ids=item_ids, artists=artists)
        X = _whole_rows(validate_data(self, X, reset=False, **_CHECKS))
        X = _spread(X, items, item_ids, self._cf().item_factors_.shape)
        item_users = self._check_history(X, item_users)
        n_users = np.diff(item_users.indptr)
        own = self._scaled(self._cf().item_factors_) * (n_users > 0)[:, None]
        means = self._means_of(X, artists, without=own)
        factors = self._cf().transform_items(item_users.T)
        return self._in_space(self._blend(factors, X, n_users, *means))

    def transform(
        self,
        X: ArrayLike,
        item_users: Matrix | None = None,
        *,
        artists: ArrayLike | None = None,
    ) -> np.ndarray:
        """Embeddings of items, known or new.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_factors)
            Estimate of the factor of each item, from its audio; rows of NaN for items
            without audio.
        item_users : csr matrix or array, shape (n_rows, n_users), optional
            Plays of the users of `cf`, an item a row. By default nobody has played
            these items.
        artists : array-like, shape (n_rows,), optional
            Artist of each item; those that `fit` did not get are unknown. Items of
            `fit` count in the mean of their artist: embed these by `fit_transform`.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_factors)
            In the space of ``cf.user_factors_``. Zeros where nothing is known.
        """
        factors, X, n_users, means = self._known(X, item_users, artists)
        return self._in_space(self._blend(factors, X, n_users, *means))

    def evidence(
        self,
        X: ArrayLike,
        item_users: Matrix | None = None,
        *,
        artists: ArrayLike | None = None,
    ) -> dict[str, np.ndarray]:
        """Weights of history, audio and artist in each embedding of `transform`.

        Parameters
        ----------
        X : array-like, shape (n_rows, n_factors)
        item_users : csr matrix or array, shape (n_rows, n_users), optional
        artists : array-like, shape (n_rows,), optional
            As of `transform`.

        Returns
        -------
        dict of str to ndarray of float64, shape (n_rows,)
            The weights of "history", "audio" and "artist", of sum 1; all 0 where
            nothing is known of an item.
        """
        _, X, n_users, (_, n_tracks) = self._known(X, item_users, artists)
        weights = self._weigh(n_users, ~np.isnan(X[:, 0]), n_tracks)
        return dict(zip(("history", "audio", "artist"), weights.T, strict=True))

    def _known(self, X, item_users, artists):
        """Check the input of `transform`; return what is known of each item."""
        check_is_fitted(self)
        X = _whole_rows(validate_data(self, X, reset=False, **_CHECKS))
        means = self._means_of(X, artists)
        if item_users is None:
            return np.zeros_like(X), X, np.zeros(len(X)), means
        item_users = self._check_history(X, item_users)
        factors = self._cf().transform_items(item_users.T)
        return factors, X, np.diff(item_users.indptr), means

    def _calibrate(self, X, item_users, factors, artists):
        """Choose the worths that are not given, and keep the losses of the choice."""
        rng = check_random_state(self.random_state)
        n_items = len(X)
        n_held = min(max(1, round(self.validation_fraction * n_items)), n_items)
        drawn = np.sort(rng.permutation(n_items)[:n_held])
        held = drawn[np.diff(item_users.indptr)[drawn] >= 2]
        has_audio = ~np.isnan(X[:, 0])
        has_artist = [artist is not None for artist in artists or [None] * n_items]
        held = held[(has_audio | has_artist)[held]]
        if len(held) == 0:
            raise ValueError(
                f"None of {n_held} held-out items has two listeners or more, and audio "
                "or an artist: k0 cannot be measured on these histories. Pass it "
                "(k0=10), raise validation_fraction, or give more logs."
            )
        cf = _without(self._cf(), item_users, held)
        thinned, owners, n_users = thin_histories(item_users[held], rng)
        if artists is not None:  # a level of its own: nobody has played the item yet
            nobody = sparse.csr_matrix((len(held), thinned.shape[1]), dtype=np.float32)
            thinned = sparse.csr_matrix(sparse.vstack([nobody, thinned]))
            owners = np.r_[np.arange(len(held)), owners]
            n_users = np.r_[np.zeros(len(held), int), n_users]
        folded = cf.transform_items(thinned.T)
        owners = held[owners]
        means = self._means_without(held, cf, item_users, artists)
        means = (rows[owners] for rows in means)
        known = (folded, X[owners], n_users, *means)
        targets = factors[owners]
        self._choose(lambda: self._losses(self._blend(*known), targets).mean())
        self.calibration_ = _by_level(n_users, self._compared(known, targets))

    def _choose(self, loss):
        """Search the worths one after the other until neither moves."""
        names = {"k0_": self.k0, "artist_worth_": self.artist_worth}
        names = [
            name
            for name, given in names.items()
            if given == "auto" and (name == "k0_" or self.artists_)
        ]
        for name in names:
            setattr(self, name, 1.0)
        found = None
        for _ in range(_MOST_ROUNDS):
            for name in names:
                losses = []
                for value in WORTHS:
                    setattr(self, name, value)
                    losses.append(loss())
                setattr(self, name, WORTHS[int(np.argmin(losses))])
            before, found = found, [getattr(self, name) for name in names]
            if len(names) == 1 or found == before:
                break
        for name in ("k0_", "artist_worth_"):
            if getattr(self, name) == "auto":  # artists that are all unknown
                setattr(self, name, 0.0)

    def _compared(self, known, targets):
        """Loss of each source alone, and of the blend; NaN where it is missing."""
        factors, X, n_users, means, n_tracks = known
        alone = {
            "factor": (factors, np.asarray(n_users) > 0),
            "estimate": (np.float32(self.scale_) * X, ~np.isnan(X[:, 0])),
        }
        if self.artists_:
            alone["artist"] = (means, n_tracks > 0)
        losses = {}
        for name, (rows, is_known) in alone.items():
            rows = np.where(is_known[:, None], rows, 0)
            rows = unit_rows(rows) if self.factor_norm == "unit" else rows
            found = self._losses(rows, targets)
            losses[name] = np.where(is_known, found, np.nan)
        losses["blend"] = self._losses(self._blend(*known), targets)
        return losses

    def _means_without(self, held, cf, item_users, artists):
        """Artists' means without the items `held`, by users who do not know these."""
        rows = np.zeros(cf.item_factors_.shape, np.float32)
        if artists is not None:
            kept = np.setdiff1d(np.flatnonzero(np.diff(item_users.indptr)), held)
            rows[kept] = self._scaled(cf.transform_items(item_users[kept].T))
        artists = artists or [None] * len(rows)
        return means_of(artist_means(rows, artists), artists, rows.shape[1])

    def _means_of(self, X, artists, without=None):
        """The mean of each item's artist, and its number of tracks."""
        if artists is None:
            artists = [None] * len(X)
        artists = check_artists(artists, len(X))
        return means_of(self.artists_, artists, X.shape[1], without=without)

    def _scaled(self, rows):
        return unit_rows(rows) if self.factor_norm == "unit" else rows

    def _weigh(self, n_users, has_audio, n_tracks):
        """Weights (n_items, 3) of history, audio and artist; see the class."""
        # J: tracks of the artist
        worths = np.stack(
            [
                np.broadcast_to(n_users, len(has_audio)),
                self.k0_ * has_audio,
                self.artist_worth_ * n_tracks / (n_tracks + 1),  # J / (J + 1)
            ],
            axis=1,
        ).astype(np.float64)
        # Where k0 is 0 (audio is worth nobody) and nothing else is known: audio still.
        alone = ~worths.any(axis=1)
        worths[alone, 1] = has_audio[alone]
        worths[alone & ~has_audio, 2] = (n_tracks > 0)[alone & ~has_audio]
        total = worths.sum(axis=1, keepdims=True)
        weights = np.divide(worths, total, out=np.zeros_like(worths), where=total > 0)
        weights[weights[:, 0] >= FULL_WEIGHT] = (1, 0, 0)
        return weights

    def _blend(self, factors, estimates, n_users, means, n_tracks):
        """Blend factors, each from a number of listeners, with estimates and means."""
        has_audio = ~np.isnan(estimates[:, 0])
        weights = self._weigh(n_users, has_audio, n_tracks)
        estimates = np.where(has_audio[:, None], estimates, 0)
        sides = (factors, np.float32(self.scale_) * estimates, means)
        blend = sum(
            weight[:, None] * self._scaled(side)
            for weight, side in zip(weights.T, sides, strict=True)
        )
        return self._scaled(blend).astype(np.float32)

    def _in_space(self, blend):
        return in_space(blend, getattr(self._cf(), "space_", None))

    def _losses(self, embedded, targets):
        """The loss of each row against factors of the full history."""
        if self.factor_norm == "raw":
            usual = (targets.astype(np.float64) ** 2).sum(axis=1).mean()
            return ((embedded - targets) ** 2).sum(axis=1) / usual
        return 1 - (embedded * unit_rows(targets)).sum(axis=1)

    def _fit_scale(self, X, factors):
        if self.factor_norm == "unit":
            return 1.0
        known = ~np.isnan(X[:, 0])
        X, factors = X[known].astype(np.float64), factors[known]
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
        item_users = check_array(item_users, input_name="item_users", **PLAYS)
        expected = (len(X), len(self._cf().user_factors_))
        if item_users.shape != expected:
            turned = item_users.shape == expected[::-1]
            advice = "Rows are the items of X, columns the users of cf."
            if turned:
                advice = "It is the other way round: pass user_items.T."
            raise ValueError(
                f"Got item_users of shape {item_users.shape}, expected {expected}. "
                f"{advice}"
            )
        return stored_pairs(item_users)

    def _check_parameters(self):
        if not isinstance(self.cf, FrozenEstimator):
            raise TypeError(
                f"Got cf={self.cf!r}, expected FrozenEstimator(cf) of the fitted "
                "CFEmbedding whose factors X estimates: fitted again, it would be in "
                "another space. (from sklearn.frozen import FrozenEstimator)"
            )
        check_is_fitted(self._cf())
        check_choice(self.factor_norm, "factor_norm", ("unit", "raw"))
        for name in ("k0", "artist_worth"):
            check_number(getattr(self, name), name, 0, also="auto")
        fraction = self.validation_fraction
        check_number(fraction, "validation_fraction", 0, 1, ends="()")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _whole_rows(X):
    """Refuse infinite numbers, and rows of which only a part is NaN."""
    missing = np.isnan(X)
    bad = np.isinf(X).any(axis=1) | (missing.any(axis=1) & ~missing.all(axis=1))
    if bad.any():
        raise ValueError(
            f"Row {int(bad.argmax())} of X has NaN or infinite values ({bad.sum()} "
            f"such rows of {len(bad)}). A row of nothing but NaN is an item without "
            "audio; leave others out, or estimate them again."
        )
    return X


def _spread(X, items, item_ids, shape):
    """Bring rows of X to the items of cf; rows of NaN for those that X lacks."""
    if items is None:
        if X.shape != shape:
            raise ValueError(
                f"Got X of shape {X.shape}, expected {shape}, that of the item factors "
                "of cf: an estimate for each of its items. For some of them, say "
                "which: items=their ids, item_ids=logs.item_ids."
            )
        return X
    items = np.asarray(items)
    if items.shape != (len(X),) or X.shape[1] != shape[1]:
        raise ValueError(
            f"Got X of shape {X.shape} and items of shape {items.shape}, expected an "
            f"item for each row, and {shape[1]} columns: the factors of cf."
        )
    ids = np.arange(shape[0]) if item_ids is None else np.asarray(item_ids)
    if ids.shape != shape[:1]:
        raise ValueError(
            f"Got {len(ids)} item_ids, expected {shape[0]}: one for each item of cf."
        )
    places = positions(items, ids)
    if (places < 0).any():
        which = items[places < 0]
        raise ValueError(
            f"{len(which)} of {len(items)} items ({which[:_SHOWN].tolist()}) are not "
            f"among the items of cf ({ids[:_SHOWN].tolist()}). Leave them out in fit; "
            "transform embeds them. (Ids need item_ids=logs.item_ids.)"
        )
    if len(np.unique(places)) < len(places):
        raise ValueError(
            "Some items come twice. Average the estimates of each item's clips first."
        )
    spread = np.full(shape, np.nan, np.float32)
    spread[places] = X
    return spread


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
    means = {}
    for name, values in losses.items():
        known = ~np.isnan(values)
        sums, counts = (
            np.bincount(level_of[known], weights=weights, minlength=len(levels))
            for weights in (values[known], None)
        )
        missing = np.full(len(levels), np.nan)
        means[name] = np.divide(sums, counts, out=missing, where=counts > 0)
    return {"n_users": levels, "n_items": n_items, **means}
