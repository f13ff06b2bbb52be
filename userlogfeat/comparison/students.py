"""Checks of every student before the first fit: its settings, and its start in init.

A comparison fits fold by fold, so an arm that cannot work would otherwise end it hours
later.
"""

from typing import Any

from sklearn.base import BaseEstimator, clone

from userlogfeat.comparison.arms import mode_of
from userlogfeat.comparison.artist_overlap import TeacherData
from userlogfeat.comparison.fitting import arm_candidates
from userlogfeat.comparison.problem import Problem, find_ready


def check_students(
    problem: Problem, arms: tuple[str, ...], channels: tuple[int | None, ...]
) -> None:
    """Refuse settings that a fit would refuse, for every arm, candidate and width.

    Parameters
    ----------
    problem : Problem
    arms : tuple of str
        Known arms, which have a teacher if they need one.
    channels : tuple of int or None

    Raises
    ------
    ValueError, TypeError
        If a parameter is unknown or has no such value, a width has no teacher, or
        ``"init"`` would start another network than the teacher's.
    """
    for arm in arms:
        mode = mode_of(arm)
        if mode == "plain":
            continue
        for width in channels:
            ready = _ready(problem, arm, width)
            for settings in arm_candidates(problem.search, mode):
                student = _make(problem, mode, settings, width)
                if mode == "init" and hasattr(student, "_start_from_teacher"):
                    _check_start(problem, student, arm, ready, width)


def _make(problem, mode, settings, width):
    """Make the student of one fit, checked as in its own ``fit``."""
    if width is not None:
        settings = settings | {"channels": width}
        if getattr(problem.student, "network", None) == "mlp":
            raise ValueError(
                f'Got channels={width} for a student with network="mlp", which has '
                "none: all widths would be the same fits. Search over `hidden`: "
                "search={'hidden': [(64,), (256,)]}."
            )
    student = clone(problem.student).set_params(**settings, mode=mode)
    if hasattr(student, "_check_parameters"):
        student._check_parameters()
    return student


def _ready(problem, arm, width):
    """Return the ready teachers of an arm at one width: one, or one per seed."""
    ready = find_ready(problem.teachers, arm)
    if isinstance(ready, dict) and width is not None and width not in ready:
        raise ValueError(
            f"Got channels={width}, but the teachers of {arm!r} are for channels "
            f"{sorted(ready, key=str)}. Add one, or leave that width out."
        )
    return ready if isinstance(ready, list) else [ready]


def _check_start(problem, student, arm, ready, width):
    """Raise if a student of mode "init" has another network than its teacher."""
    from userlogfeat.estimators._student import network_of

    if not isinstance(problem.teachers, TeacherData):
        for teacher in ready:
            student.set_params(teacher=teacher)._check_teacher("init", None)
        return
    estimator = clone(problem.teachers.estimator)
    if width is not None and "channels" in estimator.get_params(deep=False):
        estimator.set_params(channels=width)
    expected, found = network_of(student), _network_to_be(estimator)
    differs = [n for n in expected if found.get(n, expected[n]) != expected[n]]
    if differs:
        name = differs[0]
        raise ValueError(
            f"The arm {arm!r} starts from the teacher's weights, but the teacher "
            f"has {name}={found[name]!r} and the student {name}={expected[name]!r}. "
            "Give both the same network, channels, pools and hidden (a ridge head "
            f"has hidden=()), or leave {arm!r} out of `arms`."
        )


def _network_to_be(estimator: BaseEstimator) -> dict[str, Any]:
    """Return the network that an estimator will have, as far as parameters decide."""
    if not hasattr(estimator, "_teacher_network"):
        return {"network": type(estimator).__name__}
    if type(estimator).__name__ != "CFRegressor":
        return {}
    from userlogfeat.estimators._student import network_of

    network = network_of(estimator) or {"network": estimator.network}
    if "hidden" in network and estimator.head != "mlp":  # "auto" is decided in fit
        network["hidden"] = () if estimator.head == "ridge" else "auto"
    return network
