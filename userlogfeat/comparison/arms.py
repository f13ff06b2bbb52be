"""What each arm of a comparison gives its student, and the fit of one cell.

An arm is a way to teach: ``base`` not at all; ``init`` by the teacher's weights;
``fix`` by its network and what it says of the training clips; every ``kd ...`` by what
a teacher, a teacher of permuted logs, or chance (`projection`) says of
them. All else (training clips, seed, search) is the same for all arms.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import has_fit_parameter

from userlogfeat.comparison.links import TeacherData, take
from userlogfeat.comparison.problem import (
    PERMUTED,
    PROJECTION,
    find_ready,
    make_folds,
)
from userlogfeat.comparison.projection import random_projection
from userlogfeat.comparison.teachers import FoldTeacher, has_unit_factors

if TYPE_CHECKING:
    from userlogfeat.comparison.problem import Cell, Problem


_OF_KD = ("kd_weight", "kd_epochs")
# What a search can leave out, as it makes no difference to the student.
_UNUSED = {"base": _OF_KD, "init": _OF_KD, "fix": (*_OF_KD, "hidden", "pools")}
N_FACTORS = 40  # of the random projection, where no teacher says; Lee 2019, section 3.1


class Teaching:
    """What the arms of one fold (or of folds that exclude the same artists) teach.

    Teachers are trained when the first cell asks for them, and once.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._teachers = {}

    def teacher(self, cell: Cell) -> FoldTeacher | None:
        """The FoldTeacher of a cell; None where teachers are ready or there is none."""
        data = self.problem.teachers
        if cell.mode == "base" or cell.arm == PROJECTION:
            return None
        if not isinstance(data, TeacherData):
            return None
        permuted = cell.arm == PERMUTED
        own_seed = permuted or getattr(data.estimator, "random_state", None) is None
        excluded = self.problem.excluded[cell.fold]
        key = (excluded, permuted, cell.channels, cell.seed if own_seed else None)
        if key not in self._teachers:
            self._teachers[key] = FoldTeacher(
                data,
                self.problem.links,
                self.problem.X,
                excluded=excluded,
                seed=cell.seed,
                permuted=permuted,
                channels=cell.channels,
            )
        return self._teachers[key]

    def give(self, cell: Cell) -> tuple[Any, np.ndarray | None]:
        """The student's parameter `teacher`, and targets for all clips (or None)."""
        if cell.mode == "base":
            return None, None
        teacher = self.teacher(cell)
        if teacher is not None:
            network = None if cell.mode == "kd" else FrozenEstimator(teacher.estimator)
            return network, None if cell.mode == "init" else teacher.targets
        ready = find_ready(self.problem.teachers, cell.arm)
        if ready is None and cell.arm == PROJECTION:
            return None, self._project(cell)
        if isinstance(ready, list):
            ready = ready[self.problem.seeds.index(cell.seed)]
        if isinstance(ready, dict) and cell.channels is not None:
            ready = ready[cell.channels]
        if isinstance(ready, np.ndarray):
            return None, ready
        return ready, None

    def _project(self, cell):
        n_factors, length = _factor_shape(self.problem.teachers)
        return random_projection(
            self.problem.statistics,
            self.problem.folds[cell.fold][0],
            n_factors=n_factors,
            length=length,
            seed=cell.seed,
        )


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


def fit_cell(problem: Problem, teaching: Teaching, cell: Cell) -> dict[str, Any]:
    """Fit the student of one cell and test it.

    Parameters
    ----------
    problem : Problem
    teaching : Teaching
    cell : Cell

    Returns
    -------
    dict
        One row of the comparison's frame.
    """
    teacher, targets = teaching.give(cell)
    start = time.perf_counter()
    rows, test = problem.training_rows(cell), problem.folds[cell.fold][1]
    settings = {"teacher": teacher, "mode": cell.mode, "random_state": cell.seed}
    if cell.channels is not None:
        settings["channels"] = cell.channels
    student = clone(problem.student).set_params(**settings)
    candidates = arm_candidates(problem.search, cell.mode)
    student, params = _fit_student(student, candidates, problem, rows, targets)
    predicted = student.predict(take(problem.X, test))
    outcome, score = _judge(problem, problem.y[test], predicted)
    trained = teaching.teacher(cell)
    return {
        **vars(cell),
        "score": score,
        "metric": "accuracy" if problem.classifies else "r2",
        "n_train": len(rows),
        "n_test": len(test),
        "clips": test.tolist(),
        "outcome": outcome.tolist(),
        "params": json.dumps(params, default=str, sort_keys=True),
        "seconds": time.perf_counter() - start,
        "n_candidates": len(candidates),
        "n_taught": None if trained is None else trained.n_taught,
        **_shared_artists(problem, trained, rows, test),
    }


def arm_candidates(search: Any, mode: str) -> list[dict[str, Any]]:
    """The different settings of a search that a mode uses: see `_UNUSED`."""
    candidates = []
    for settings in search:
        used = {k: v for k, v in settings.items() if k not in _UNUSED.get(mode, ())}
        if used not in candidates:
            candidates.append(used)
    return candidates


def _fit_student(student, candidates, problem, rows, targets):
    """The fitted student, and the settings chosen among the candidates."""
    X, y, metadata = take(problem.X, rows), problem.y[rows], {}
    groups = None if problem.groups is None else problem.groups[rows]
    if groups is not None and has_fit_parameter(student, "groups"):
        metadata["groups"] = groups
    if targets is not None:
        metadata["teacher_targets"] = targets[rows]
    if len(candidates) == 1:
        student.set_params(**candidates[0])
        return student.fit(X, y, **metadata), candidates[0]
    # Inner folds are drawn here, so that all arms have the same, and a grouped
    # splitter and the student do not both ask for `groups`.
    folds = make_folds(student, y, problem.inner_cv, groups, seed=student.random_state)
    grid = [{name: [value] for name, value in c.items()} for c in candidates]
    with sklearn.config_context(enable_metadata_routing=True):
        if metadata:
            student.set_fit_request(**dict.fromkeys(metadata, True))
        search = GridSearchCV(student, grid, cv=folds, n_jobs=1, error_score="raise")
        search.fit(X, y, **metadata)
    return search.best_estimator_, search.best_params_


def _judge(problem, truth, predicted):
    """Outcome of each test clip, and the score of all."""
    if problem.classifies:
        correct = (np.asarray(predicted) == truth).astype(np.float64)
        return correct, float(correct.mean())
    errors = np.square(np.asarray(predicted, dtype=np.float64) - truth)
    errors = errors.reshape(len(truth), -1).mean(axis=1)
    return errors, float(r2_score(truth, predicted))


def _shared_artists(problem, trained, rows, test):
    """Artists of the test fold that are in training, and that taught the teacher."""
    shared = {"n_shared_train": None, "n_shared_teacher": None}
    if problem.groups is not None:
        artists = set(problem.groups[test].tolist())
        shared["n_shared_train"] = len(artists & set(problem.groups[rows].tolist()))
        if problem.taught is not None:
            shared["n_shared_teacher"] = len(artists & set(problem.taught.tolist()))
    if trained is not None and problem.links.certain:
        heard = problem.links.teacher[trained.rows]
        common = np.intersect1d(problem.links.student[test], heard)
        shared["n_shared_teacher"] = len(common)
    return shared
