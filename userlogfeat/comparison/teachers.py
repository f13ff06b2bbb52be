"""Teachers for a comparison: trained again for every test fold, without its artists.

A student must not learn about the test clips through its teacher. So a teacher is
trained for each test fold on clips whose artist is not in it. Its estimates for clips
that it was trained on are better than those for new clips, and a student would learn to
trust them too much. So those are *out of fold*: each is by a head that was trained
without the clip's artist (:attr:`FoldTeacher.targets`).

A control is as able as the teacher: it has the head, loss and strength of
regularisation that the teacher chose. Left to choose, a ridge on permuted logs finds
nothing to learn and takes the strongest, so that its estimates vary by a hundredth of
what factors do, along the few directions in which clips differ most. A gain over it may
be that of any columns which show more of the features: on Extended Ballroom 5.6 points
of accuracy, where over permuted logs of the teacher's strength it is 1.6. The stricter
control still finds what planted logs know (``benchmarks/control_strength.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.utils.validation import has_fit_parameter

from userlogfeat._groups import artist_groups, balance_artists
from userlogfeat._typing import ArrayLike
from userlogfeat.evaluation.folds import take
from userlogfeat.evaluation.ranking import unit_rows

if TYPE_CHECKING:
    from userlogfeat.comparison.artist_overlap import ArtistOverlap, TeacherData


_CHANGE = 1  # stream of random numbers, in addition to a fit's seed


def permute_factors(
    factors: np.ndarray, items: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Exchange the factors of items, so that every item has another item's.

    The items are put in a random cycle, and each gets the factors of the next: none
    keeps its own, and clips of one item stay together.

    Parameters
    ----------
    factors : ndarray (n_clips, n_factors)
    items : ndarray (n_clips,)
    rng : numpy Generator

    Returns
    -------
    ndarray (n_clips, n_factors)

    Raises
    ------
    ValueError
        If there is only one item, which would keep its factors.

    Examples
    --------
    >>> import numpy as np
    >>> factors, items = np.array([[1.0], [1.0], [2.0]]), np.array(["a", "a", "b"])
    >>> permute_factors(factors, items, np.random.default_rng(0)).ravel()
    array([2., 2., 1.])
    """
    item = artist_groups(items)  # missing ones are items of their own
    if item.max() == 0:
        raise ValueError(
            f"All {len(items)} clips have the item {items.tolist()[0]!r}, expected two "
            "or more items: permuted logs give each the factors of another. Is "
            "TeacherData(items=...) the item of each clip? Else leave 'kd permuted "
            "logs' out of `arms`."
        )
    rows = [np.flatnonzero(item == i) for i in range(item.max() + 1)]
    cycle = rng.permutation(len(rows))
    permuted = np.empty_like(factors)
    for one, other in zip(cycle, np.roll(cycle, -1), strict=True):
        # Clips of one item have one factor; where they differ, they are taken in turn.
        permuted[rows[one]] = factors[np.resize(rows[other], len(rows[one]))]
    return permuted


def distinct_factors(
    factors: np.ndarray, artists: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Give every artist random factors of its own.

    A teacher of these learns which clips are by one artist, as a teacher of logs does,
    and nothing about listeners: artists whom the same people play are as far apart as
    any. Permuted logs differ from it in that some artists get similar factors.

    Parameters
    ----------
    factors : ndarray (n_clips, n_factors)
        Factors of the logs: their number and root mean square length are kept.
    artists : ndarray (n_clips,)
    rng : numpy Generator

    Returns
    -------
    ndarray (n_clips, n_factors)

    Examples
    --------
    >>> import numpy as np
    >>> artists = np.array(["a", "a", "b"])
    >>> random = distinct_factors(np.ones((3, 2)), artists, np.random.default_rng(0))
    >>> (random[0] == random[1]).all(), (random[0] == random[2]).any()
    (np.True_, np.False_)
    """
    artist = artist_groups(artists)
    drawn = rng.standard_normal((artist.max() + 1, factors.shape[1]))
    scale = np.sqrt(np.square(factors, dtype=np.float64).mean())
    return (drawn * scale)[artist]


@dataclass(eq=False)
class FoldTeacher:
    """A teacher trained without the artists of one test fold, when first asked for.

    Parameters
    ----------
    data : TeacherData
        Checked.
    overlap : ArtistOverlap
    X : array-like
        The student's clips.
    excluded : sequence of int
        Artists (in the numbers of `overlap`) that it must not be trained on.
    seed : int
        Seed of `change`; and of the estimator, where that has none.
    change : callable, optional
        Function from factors, items and a numpy Generator to the factors to learn.
    by : {"item", "artist"}
        Whether `change` gets items, or artists in their place.
    channels : int or None
        The estimator's parameter of this name, where it has one.
    like : FoldTeacher, optional
        Teacher whose choices it takes over in place of its own (see `choices`).
    """

    data: TeacherData
    overlap: ArtistOverlap
    X: ArrayLike
    _: KW_ONLY
    excluded: Sequence[int]
    seed: int
    change: Callable[..., np.ndarray] | None = None
    by: Literal["item", "artist"] = "item"
    channels: int | None = None
    like: FoldTeacher | None = None

    def __post_init__(self) -> None:
        artists = self.overlap.teacher
        self.owners = self.data.items if self.by == "item" else artists
        self.rows = np.flatnonzero(~np.isin(artists, self.excluded))
        n_artists = len(np.unique(artists[self.rows]))
        if n_artists < 2:
            raise ValueError(
                f"{n_artists} artists are left to train a teacher on, of "
                f"{len(np.unique(artists))}: the others are in the test fold. "
                "Expected two or more. Are `groups` and the teacher's `groups` ids of "
                "one kind, or does one group hold everything?"
            )

    @property
    def n_clips(self) -> int:
        """Number of clips that it is trained on."""
        return len(self.rows)

    @cached_property
    def factors(self) -> np.ndarray:
        """Factors that it is trained on (n_clips, n_factors), changed if asked for."""
        factors = self.data.factors[self.rows]
        if self.change is None:
            return factors
        rng = np.random.default_rng([self.seed, _CHANGE])
        return self.change(factors, self.owners[self.rows], rng)

    @cached_property
    def estimator(self) -> Any:
        """The teacher, trained on all clips that it may be trained on."""
        given = {} if self.like is None else self.like.choices
        return self._fit(np.arange(self.n_clips), **given)

    @property
    def choices(self) -> dict[str, Any]:
        """Parameters for the same head, loss and strength of regularisation."""
        if self.like is not None:
            return self.like.choices
        return choices_of(self.estimator) if self._has("alphas") else {}

    @cached_property
    def targets(self) -> np.ndarray:
        """Estimates for the student's clips (n_clips, n_factors), float64.

        The estimate for a clip whose artist the teacher was trained on is by a head
        without that artist. All heads have the full teacher's strength of
        regularisation and its mean. Otherwise both would identify the fold, and the
        mean that a head learned would reveal the targets it has not seen.
        """
        targets = np.empty((len(self.overlap.student), self.factors.shape[1]))
        artist = self.overlap.teacher[self.rows]
        own = np.isin(self.overlap.student, artist)
        self._estimate(self.estimator, np.flatnonzero(~own), targets)
        if not own.any():
            return targets
        folds = GroupKFold(min(self.data.n_folds, len(np.unique(artist))))
        for train, held in folds.split(artist, groups=artist):
            rows = np.flatnonzero(np.isin(self.overlap.student, artist[held]))
            if len(rows):
                head = self._fit(train, **self.choices)
                self._estimate(head, rows, targets)
                targets[rows] += self._mean() - self._mean(train)
        return targets

    def _fit(self, part, **settings):
        """Fit the estimator on a part of the clips that it may be trained on."""
        if self.channels is not None and self._has("channels"):
            settings["channels"] = self.channels
        if self._has("random_state") and self.data.estimator.random_state is None:
            settings["random_state"] = self.seed
        estimator = clone(self.data.estimator).set_params(**settings)
        rows = self.rows[part]
        metadata = {}
        if has_fit_parameter(estimator, "groups"):
            metadata["groups"] = self.overlap.teacher[rows]
        if self.data.sample_weight is not None:
            metadata["sample_weight"] = self.data.sample_weight[rows]
        return estimator.fit(take(self.data.X, rows), self.factors[part], **metadata)

    def _estimate(self, estimator, rows, targets):
        if len(rows):
            X = self.X if self.data.student_X is None else self.data.student_X
            estimate = estimator.predict(take(X, rows))
            targets[rows] = np.reshape(estimate, (len(rows), -1))

    def _mean(self, part=slice(None)):
        """Return the mean of the factors as they are learned, of unit length or raw."""
        factors, weight = self.factors[part].astype(np.float64), None
        if has_unit_factors(self.data):
            factors = unit_rows(factors)
        if self.data.sample_weight is not None:
            weight = self.data.sample_weight[self.rows[part]]
        if getattr(self.data.estimator, "clip_weight", None) == "artist":
            weight = np.ones(len(factors)) if weight is None else weight
            weight = balance_artists(weight, self.overlap.teacher[self.rows[part]])
        return np.average(factors, axis=0, weights=weight)

    def _has(self, parameter):
        return parameter in self.data.estimator.get_params(deep=False)


def choices_of(teacher: Any) -> dict[str, Any]:
    """Return what a fitted teacher chose, as parameters of one that shall choose alike.

    Parameters
    ----------
    teacher : estimator
        Fitted; one that is left no choice gives none.

    Returns
    -------
    dict
        `head` and `loss` where ``head="auto"`` chose them; `alphas`, with the strength
        of the ridge alone.
    """
    alpha = getattr(teacher, "alpha_", None)
    strength = {} if alpha is None else {"alphas": (alpha,)}
    return {**strength, **getattr(teacher, "chosen_", {})}


def has_unit_factors(data: TeacherData) -> bool:
    """Return whether the estimator scales factors to unit length to learn them."""
    norm = getattr(data.estimator, "factor_norm", "raw")
    return norm == "unit" and data.factors.shape[1] > 1
