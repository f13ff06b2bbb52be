"""The plain estimator of a comparison: the obvious alternative to a student.

Any classifier or regressor of scikit-learn, on features, and on features with the
teacher's estimates as further columns. By default it is an RBF SVM on standardised
columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

if TYPE_CHECKING:
    from userlogfeat.comparison.problem import Fit, Problem


# Values of C that the default SVM is searched over.
PLAIN_C = (0.3, 1.0, 3.0, 10.0, 30.0)


def has_modes(student: Any) -> bool:
    """Return whether an estimator is a student, which learns in several modes."""
    return "mode" in student.get_params(deep=False)


def reads_features(student: Any, plain_X: Any) -> bool:
    """Return whether X holds features, for a student or for a plain estimator."""
    if has_modes(student):
        return getattr(student, "network", None) == "mlp"
    return plain_X is None


def choose_plain(
    student: Any, plain: Any, search: Any, student_search: Any
) -> tuple[Any, Any]:
    """Return the plain estimator of a comparison, and its search.

    Parameters
    ----------
    student : estimator
        A student, or an estimator that is itself the plain one.
    plain : estimator or None
        The one that was asked for; by default an RBF SVM for the student's task.
    search, student_search : dict, list of dict or None
        Grids of the plain estimator and of the student.

    Returns
    -------
    plain : estimator
        Not fitted.
    search : dict, list of dict or None
    """
    if plain is not None:
        return plain, search
    if not has_modes(student):
        return student, search or student_search
    if is_classifier(student):
        return make_pipeline(StandardScaler(), SVC()), search or {"svc__C": PLAIN_C}
    return make_pipeline(StandardScaler(), SVR()), search or {"svr__C": PLAIN_C}


def check_plain(problem: Problem) -> None:
    """Refuse a plain estimator that no fit could use.

    Parameters
    ----------
    problem : Problem

    Raises
    ------
    ValueError
        If it is for another task than the student, or has no features to read, or the
        search names a parameter that it lacks.
    """
    plain, name = problem.plain, type(problem.plain).__name__
    if not (is_classifier(plain) or is_regressor(plain)):
        raise ValueError(
            f"Got plain={name}(...), which neither classifies nor regresses: expected "
            "an estimator such as make_pipeline(StandardScaler(), SVC())."
        )
    if is_classifier(plain) != is_classifier(problem.student):
        raise ValueError(
            f"Got plain={name}(...) and a student that is a "
            f"{type(problem.student).__name__}: expected two classifiers or two "
            "regressors, since both learn the same y."
        )
    features = problem.plain_features
    if features.ndim != 2 or features.dtype.kind not in "fiub":
        raise ValueError(
            f"The plain arms need features, numbers (n_clips, n_features), and X has "
            f"shape {features.shape} and dtype {features.dtype}. Pass plain_X=, such "
            "as MusicnnEmbedder().transform(paths), or leave these arms out."
        )
    if len(features) != len(problem.y):
        raise ValueError(
            f"Got plain_X of {len(features)} rows for {len(problem.y)} clips of X, "
            "expected a row for each."
        )
    for settings in problem.plain_search:
        clone(plain).set_params(**settings)


def make_plain(problem: Problem, fit: Fit) -> Any:
    """Return the plain estimator, with the fit's seed where it draws at random.

    Parameters
    ----------
    problem : Problem
    fit : Fit

    Returns
    -------
    estimator
        Not fitted.
    """
    plain = clone(problem.plain)
    seeds = {
        name: fit.seed
        for name, value in plain.get_params().items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return plain.set_params(**seeds)


def with_columns(problem: Problem, targets: np.ndarray | None) -> np.ndarray:
    """Return the features of the plain estimator, and targets as further columns.

    Parameters
    ----------
    problem : Problem
    targets : ndarray (n_clips, n_factors) or None

    Returns
    -------
    ndarray (n_clips, n_columns)
    """
    features = problem.plain_features
    return features if targets is None else np.hstack([features, targets])
