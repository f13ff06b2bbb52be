"""Teachers and targets for the fits of a comparison, each trained once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from userlogfeat.comparison.arms import ARMS
from userlogfeat.comparison.artist_overlap import TeacherData
from userlogfeat.comparison.problem import find_ready
from userlogfeat.comparison.projection import random_projection
from userlogfeat.comparison.teachers import FoldTeacher, has_unit_factors

if TYPE_CHECKING:
    from userlogfeat.comparison.arms import Given
    from userlogfeat.comparison.problem import Fit, Problem


N_FACTORS = 40  # columns of a random projection without a teacher; Lee 2019, 3.1


class Supervision:
    """Teachers and targets of the fits of one fold, or of folds with the same artists.

    Teachers are trained when the first fit asks for them, and once.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._teachers = {}
        self._used: FoldTeacher | None = None

    def give(self, fit: Fit) -> tuple[Any, np.ndarray | None, FoldTeacher | None]:
        """Return the student's teacher, targets, and the teacher trained for them.

        Parameters
        ----------
        fit : Fit

        Returns
        -------
        teacher : object
            The student's parameter `teacher`.
        targets : ndarray (n_clips, n_factors) or None
        trained : FoldTeacher or None
            None where no teacher was trained.
        """
        ready = find_ready(self.problem.teachers, fit.arm)
        if ready is not None:
            teacher, targets = self._choose(ready, fit)
            if fit.mode == "plain" and targets is None:
                return None, self._embed(teacher, fit), None
            return teacher, targets, None
        self._used = None
        teacher, targets = ARMS[fit.arm].function(self, fit)
        return teacher, targets, self._used

    def teacher(
        self,
        fit: Fit,
        change: Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
        | None = None,
        by: Literal["item", "artist"] = "item",
    ) -> FoldTeacher:
        """Return the teacher for a fit, which saw no artist of the test fold.

        Parameters
        ----------
        fit : Fit
        change : callable, optional
            Function from factors (n_clips, n_factors), items (n_clips,) and a numpy
            Generator to the factors that the teacher learns instead, such as
            :func:`permute_factors`. It has the head and the strength of regularisation
            of the teacher of the true factors.
        by : {"item", "artist"}
            Whether `change` gets items, or artists in their place.
        """
        data, problem = self.problem.teachers, self.problem
        random_state = getattr(data.estimator, "random_state", None)
        own_seed = change is not None or random_state is None
        excluded = problem.excluded[fit.fold]
        key = (excluded, change, by, fit.channels, fit.seed if own_seed else None)
        if key not in self._teachers:
            like = None if change is None else self.teacher(fit)
            self._teachers[key] = FoldTeacher(
                data,
                problem.overlap,
                problem.X,
                excluded=excluded,
                seed=fit.seed,
                change=change,
                by=by,
                channels=fit.channels,
                like=like,
            )
        teacher = self._used = self._teachers[key]
        return teacher

    def random_projection(self, fit: Fit) -> np.ndarray:
        """Return a random projection of the student's input, as long as the factors.

        Parameters
        ----------
        fit : Fit

        Returns
        -------
        ndarray (n_clips, n_factors)
        """
        n_factors, length = _factor_shape(self.problem.teachers)
        return random_projection(
            self.problem.statistics,
            self.problem.folds[fit.fold][0],
            n_factors=n_factors,
            length=length,
            seed=fit.seed,
        )

    def _embed(self, teacher: Any, fit: Fit) -> np.ndarray:
        """Estimates of a ready teacher for all clips, as columns."""
        from userlogfeat.estimators._teacher import embed_by, resolve_teacher

        resolved = resolve_teacher(teacher, channels=fit.channels)
        return embed_by(resolved, self.problem.X)

    def _choose(self, ready: Any, fit: Fit) -> Given:
        """Choose the ready teacher, or the ready targets, of one fit."""
        if isinstance(ready, list):
            ready = ready[self.problem.seeds.index(fit.seed)]
        if isinstance(ready, dict) and fit.channels is not None:
            ready = ready[fit.channels]
        return (None, ready) if isinstance(ready, np.ndarray) else (ready, None)


def _factor_shape(teachers):
    """Number of factors, and their root mean square length: None for unit rows."""
    if isinstance(teachers, TeacherData):
        factors = teachers.factors
        length = np.sqrt(np.square(factors).sum(axis=1).mean())
        return factors.shape[1], None if has_unit_factors(teachers) else length
    for ready in (teachers or {}).values():
        values = ready if isinstance(ready, list) else [ready]
        if isinstance(ready, dict):
            values = list(ready.values())
        if isinstance(values[0], np.ndarray):
            return values[0].shape[1], None
    return N_FACTORS, None
