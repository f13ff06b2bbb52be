"""One fit of a comparison: the student of an arm, searched, fitted and tested.

In arms of mode "plain" the student is the plain estimator, and targets are columns.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import has_fit_parameter

from userlogfeat.comparison.plain import make_plain, with_columns
from userlogfeat.comparison.problem import make_folds
from userlogfeat.evaluation.folds import take

if TYPE_CHECKING:
    from userlogfeat.comparison.problem import Fit, Problem
    from userlogfeat.comparison.supervision import Supervision


# Parameters that a mode does not use, so that a search leaves them out: those of the
# distillation, which begin with KD, where there is none; and layers that are not built.
KD = "kd_"
_UNUSED = {"fix": ("hidden", "pools")}


def run_fit(problem: Problem, supervision: Supervision, fit: Fit) -> dict[str, Any]:
    """Fit the student of one arm and test it.

    Parameters
    ----------
    problem : Problem
    supervision : Supervision
    fit : Fit

    Returns
    -------
    dict
        One row of the comparison's frame.
    """
    teacher, targets, trained = supervision.give(fit)
    start = time.perf_counter()
    rows, test = problem.training_rows(fit), problem.folds[fit.fold][1]
    if fit.mode == "plain":
        X, estimator = with_columns(problem, targets), make_plain(problem, fit)
        candidates, targets = list(problem.plain_search), None
    else:
        X, estimator = problem.X, _make_student(problem, fit, teacher)
        candidates = arm_candidates(problem.search, fit.mode)
    estimator, params = _search(
        estimator, candidates, X, problem, rows, targets, seed=fit.seed
    )
    predicted = estimator.predict(take(X, test))
    outcome, score = _evaluate(problem, problem.y[test], predicted)
    return {
        **vars(fit),
        "score": score,
        "metric": "accuracy" if problem.classifies else "r2",
        "n_train": len(rows),
        "n_test": len(test),
        "clips": test.tolist(),
        "outcome": outcome.tolist(),
        "params": json.dumps(params, default=str, sort_keys=True),
        "seconds": time.perf_counter() - start,
        "n_candidates": len(candidates),
        "n_teacher_clips": None if trained is None else trained.n_clips,
        **_shared_artists(problem, trained, rows, test),
    }


def arm_candidates(search: Any, mode: str) -> list[dict[str, Any]]:
    """Return the different settings of a search that a mode uses."""
    candidates, unused = [], _UNUSED.get(mode, ())
    for settings in search:
        used = {
            name: value
            for name, value in settings.items()
            if name not in unused and (mode == "kd" or not name.startswith(KD))
        }
        if used not in candidates:
            candidates.append(used)
    return candidates


def _make_student(problem, fit, teacher):
    """Return the student of a fit, not fitted."""
    settings = {"teacher": teacher, "mode": fit.mode, "random_state": fit.seed}
    if fit.channels is not None:
        settings["channels"] = fit.channels
    return clone(problem.student).set_params(**settings)


def _search(student, candidates, X, problem, rows, targets, *, seed):
    """Return the fitted student and the settings chosen among the candidates."""
    X, y, metadata = take(X, rows), problem.y[rows], {}
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
    folds = make_folds(student, y, problem.inner_cv, groups, seed=seed)
    grid = [{name: [value] for name, value in c.items()} for c in candidates]
    with sklearn.config_context(enable_metadata_routing=True):
        if metadata:
            student.set_fit_request(**dict.fromkeys(metadata, True))
        search = GridSearchCV(student, grid, cv=folds, n_jobs=1, error_score="raise")
        search.fit(X, y, **metadata)
    return search.best_estimator_, search.best_params_


def _evaluate(problem, truth, predicted):
    """Return the outcome of each test clip, and the score of all."""
    if problem.classifies:
        correct = (np.asarray(predicted) == truth).astype(np.float64)
        return correct, float(correct.mean())
    errors = np.square(np.asarray(predicted, dtype=np.float64) - truth)
    errors = errors.reshape(len(truth), -1).mean(axis=1)
    return errors, float(r2_score(truth, predicted))


def _shared_artists(problem, trained, rows, test):
    """Count artists of the test fold in the training data of student and teacher."""
    shared = {"n_shared_train": None, "n_shared_teacher": None}
    if problem.groups is not None:
        artists = set(problem.groups[test].tolist())
        shared["n_shared_train"] = len(artists & set(problem.groups[rows].tolist()))
        if problem.teacher_artists is not None:
            shared["n_shared_teacher"] = len(
                artists & set(problem.teacher_artists.tolist())
            )
    if trained is not None and problem.overlap.certain:
        learned = problem.overlap.teacher[trained.rows]
        common = np.intersect1d(problem.overlap.student[test], learned)
        shared["n_shared_teacher"] = len(common)
    return shared
