"""Teachers for a comparison: trained again for every test fold, without its artists.

A student that is compared with and without a teacher must not hear of the test through
it. So a teacher is trained for each test fold on clips whose artist is not in it. And
its estimates for clips that it learned from are better than those for new clips: a
student would learn to trust them too much. So those are *out of fold*: each is by a
head without the clip's artist (:attr:`FoldTeacher.targets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.utils.validation import has_fit_parameter

from userlogfeat._groups import artist_groups
from userlogfeat._typing import ArrayLike
from userlogfeat.comparison.links import take
from userlogfeat.evaluation.ranking import unit_rows

if TYPE_CHECKING:
    from userlogfeat.comparison.links import Links, TeacherData


_PERMUTATION = 1  # the stream of random numbers that permutes, beside a cell's seed


def permute_factors(
    factors: np.ndarray, items: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Factors in which every item has another item's.

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

    Examples
    --------
    >>> import numpy as np
    >>> factors, items = np.array([[1.0], [1.0], [2.0]]), np.array(["a", "a", "b"])
    >>> permute_factors(factors, items, np.random.default_rng(0)).ravel()
    array([2., 2., 1.])
    """
    item = artist_groups(items)  # missing ones are items of their own
    rows = [np.flatnonzero(item == i) for i in range(item.max() + 1)]
    cycle = rng.permutation(len(rows))
    permuted = np.empty_like(factors)
    for one, other in zip(cycle, np.roll(cycle, -1), strict=True):
        # Clips of one item have one factor; where they differ, they are taken in turn.
        permuted[rows[one]] = factors[np.resize(rows[other], len(rows[one]))]
    return permuted


class FoldTeacher:
    """A teacher that heard no artist of one test fold; trained when first asked for.

    Parameters
    ----------
    data : TeacherData
        Checked.
    links : Links
    X : array-like
        The student's clips.
    excluded : sequence of int
        Artists (in the numbers of `links`) that it must not hear.
    seed : int
        Of the permutation; and of the estimator, where that has none.
    permuted : bool
        Whether to learn from permuted logs.
    channels : int or None
        The estimator's parameter of this name, where it has one.
    """

    def __init__(
        self,
        data: TeacherData,
        links: Links,
        X: ArrayLike,
        *,
        excluded: Sequence[int],
        seed: int,
        permuted: bool,
        channels: int | None = None,
    ) -> None:
        self.data, self.links, self.seed = data, links, seed
        self.heard = X if data.student_X is None else data.student_X
        self.permuted, self.channels = permuted, channels
        self.rows = np.flatnonzero(~np.isin(links.teacher, excluded))
        n_artists = len(np.unique(links.teacher[self.rows]))
        if n_artists < 2:
            raise ValueError(
                f"{n_artists} artists are left to teach from, of "
                f"{len(np.unique(links.teacher))}: the others are in the test fold. "
                "Expected two or more. Are `groups` and the teacher's `groups` ids of "
                "one kind, or does one group hold everything?"
            )

    @property
    def n_taught(self) -> int:
        """Clips it learns from."""
        return len(self.rows)

    @cached_property
    def factors(self) -> np.ndarray:
        """What it learns (n_taught, n_factors): permuted where asked for."""
        factors = self.data.factors[self.rows]
        if not self.permuted:
            return factors
        rng = np.random.default_rng([self.seed, _PERMUTATION])
        return permute_factors(factors, self.data.items[self.rows], rng)

    @cached_property
    def estimator(self) -> Any:
        """The teacher trained on all it may hear."""
        return self._fit(np.arange(self.n_taught))

    @cached_property
    def targets(self) -> np.ndarray:
        """Estimates for the student's clips (n_clips, n_factors), float64.

        Of clips whose artist taught the teacher, each is by a head without that
        artist. All heads have the whole teacher's strength of regularisation and its
        mean. Else the folds could be told apart by both, and the mean of what a head
        learned tells what it did not learn: a student would learn that.
        """
        targets = np.empty((len(self.links.student), self.factors.shape[1]))
        artist = self.links.teacher[self.rows]
        own = np.isin(self.links.student, artist)
        self._estimate(self.estimator, np.flatnonzero(~own), targets)
        if not own.any():
            return targets
        # What the heads of this teacher agree on.
        settings = {}
        if hasattr(self.estimator, "alpha_") and self._has("alphas"):
            settings["alphas"] = (self.estimator.alpha_,)
        folds = GroupKFold(min(self.data.n_folds, len(np.unique(artist))))
        for train, held in folds.split(artist, groups=artist):
            rows = np.flatnonzero(np.isin(self.links.student, artist[held]))
            if len(rows):
                head = self._fit(train, **settings)
                self._estimate(head, rows, targets)
                targets[rows] += self._mean() - self._mean(train)
        return targets

    def _fit(self, part, **settings):
        """The estimator fitted on a part of the clips it may hear."""
        if self.channels is not None and self._has("channels"):
            settings["channels"] = self.channels
        if self._has("random_state") and self.data.estimator.random_state is None:
            settings["random_state"] = self.seed
        estimator = clone(self.data.estimator).set_params(**settings)
        rows = self.rows[part]
        metadata = {}
        if has_fit_parameter(estimator, "groups"):
            metadata["groups"] = self.links.teacher[rows]
        if self.data.sample_weight is not None:
            metadata["sample_weight"] = self.data.sample_weight[rows]
        return estimator.fit(take(self.data.X, rows), self.factors[part], **metadata)

    def _estimate(self, estimator, rows, targets):
        if len(rows):
            estimate = estimator.predict(take(self.heard, rows))
            targets[rows] = np.reshape(estimate, (len(rows), -1))

    def _mean(self, part=slice(None)):
        """Mean of the factors as they are learned: of unit length where that is so."""
        factors, weight = self.factors[part].astype(np.float64), None
        if has_unit_factors(self.data):
            factors = unit_rows(factors)
        if self.data.sample_weight is not None:
            weight = self.data.sample_weight[self.rows[part]]
        return np.average(factors, axis=0, weights=weight)

    def _has(self, parameter):
        return parameter in self.data.estimator.get_params(deep=False)


def has_unit_factors(data: TeacherData) -> bool:
    """Whether the estimator brings factors to unit length before it learns them."""
    norm = getattr(data.estimator, "factor_norm", "raw")
    return norm == "unit" and data.factors.shape[1] > 1
