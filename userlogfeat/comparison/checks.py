"""What a comparison refuses, and what it warns of, before the first fit.

It can run for days, so no argument waits to be found wrong.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid

from userlogfeat._check import check_positive
from userlogfeat._groups import artist_groups, as_column, is_missing
from userlogfeat._typing import ArrayLike, Audio, Labels
from userlogfeat.comparison.links import (
    TeacherData,
    check_teacher_data,
    link_artists,
    n_rows,
)
from userlogfeat.comparison.problem import (
    ARMS,
    PERMUTED,
    PROJECTION,
    Cell,
    Problem,
    find_ready,
)
from userlogfeat.comparison.splits import check_folds
from userlogfeat.comparison.students import check_students
from userlogfeat.evaluation.folds import n_per_class

_MODES = ("base", "fix", "init", "kd")
_PER_CELL = ("teacher", "mode", "random_state")  # set for every fit, never searched
_SHOWN = 3  # examples in a message
_MAX_SEED = 2**32 - 1  # of numpy and scikit-learn


def make_problem(
    student: Any,
    X: Audio,
    y: ArrayLike,
    *,
    teachers: TeacherData | dict[str, Any] | None,
    cv: Any,
    seeds: int | Sequence[int],
    groups: Labels | None,
    search: dict[str, Any] | list[dict[str, Any]] | None,
    inner_cv: int,
    taught: Labels | None,
) -> Problem:
    """Check the arguments of ``compare`` that all cells share.

    Parameters
    ----------
    student, X, y, teachers, cv, seeds, groups, search, inner_cv, taught
        See ``compare``.

    Returns
    -------
    Problem
    """
    n_clips, y = n_rows(X), np.asarray(y)
    numbers = None if groups is None else artist_groups(groups)
    for name, column in (("y", y), ("groups", numbers)):
        if column is not None and len(column) != n_clips:
            raise ValueError(
                f"Got {len(column)} rows of {name} for {n_clips} clips of X, expected "
                "one a clip."
            )
    seeds, links = _check_seeds(seeds), None
    if isinstance(teachers, TeacherData):
        teachers = check_teacher_data(teachers, n_clips)
        links = link_artists(teachers, X, groups)
        if not links.certain:
            _warn_of_strangers(teachers, groups)
    elif teachers is not None:
        teachers = _check_ready(teachers, n_clips, seeds)
    check_positive(inner_cv, "inner_cv", integer=True)
    problem = Problem(
        student=student,
        X=X,
        y=y,
        groups=numbers,
        folds=check_folds(student, y, cv, numbers),
        teachers=teachers,
        links=links,
        seeds=seeds,
        search=_check_search(search),
        inner_cv=inner_cv,
    )
    return _check_leaks(problem, groups, taught)


def check_cells(
    problem: Problem,
    arms: Sequence[str],
    n_labels: int | Sequence[int | None] | None,
    channels: int | Sequence[int | None] | None,
) -> list[Cell]:
    """The cells of a comparison, in the order of its frame.

    Parameters
    ----------
    problem : Problem
    arms : sequence of str
    n_labels, channels : int, None, or sequence of these

    Returns
    -------
    list of Cell

    Raises
    ------
    ValueError
        Where an arm is unknown or has no teacher, or a student cannot start from it, a
        class has too few labels, a setting of a student is none, or something is named
        twice or not at all.
    """
    arms = (arms,) if isinstance(arms, str) else tuple(arms)
    _check_different("arms", arms)
    n_labels, channels = (
        _as_tuple("n_labels", n_labels),
        _as_tuple("channels", channels),
    )
    for arm in arms:
        _check_arm(problem, arm)
    if PERMUTED in arms and isinstance(problem.teachers, TeacherData):
        _check_permutable(problem)
    for n in n_labels:
        _check_n_labels(problem, n)
    check_students(problem, arms, channels)
    if channels != (None,) and any("channels" in c for c in problem.search):
        raise ValueError(
            "Got `channels` as an argument and in `search`, expected one of the two."
        )
    return [
        Cell(arm, n, c, seed, fold)
        for arm in arms
        for n in n_labels
        for c in channels
        for seed in problem.seeds
        for fold in range(len(problem.folds))
    ]


def _as_tuple(name, values):
    values = (values,) if values is None or np.ndim(values) == 0 else tuple(values)
    for value in values:
        if value is not None:
            check_positive(value, name, integer=True)
    values = tuple(None if value is None else int(value) for value in values)
    _check_different(name, values)
    return values


def _check_different(name, values):
    """Refuse none, and one twice: its fits would be counted as independent."""
    if len(set(values)) < max(len(values), 1):
        raise ValueError(f"Got {name}={values!r}, expected one or more different ones.")


def _check_seeds(seeds):
    if np.ndim(seeds) == 0:
        check_positive(seeds, "seeds", integer=True)
        return tuple(range(seeds))
    seeds = tuple(seeds)
    whole = all(isinstance(s, Integral) and not isinstance(s, bool) for s in seeds)
    if whole:
        seeds = tuple(int(seed) for seed in seeds)
    distinct = whole and len(set(seeds)) == len(seeds) > 0
    if not distinct or min(seeds) < 0 or max(seeds) > _MAX_SEED:
        raise ValueError(
            f"Got seeds={seeds}, expected a number of seeds, or different integers "
            f"from 0 to {_MAX_SEED}."
        )
    return seeds


def _check_search(search):
    candidates = [{}] if not search else list(ParameterGrid(search))
    for name in _PER_CELL:
        if any(name in settings for settings in candidates):
            raise ValueError(
                f"Got {name!r} in `search`, but it is set for every fit: see `arms`, "
                "`teachers` and `seeds`."
            )
    return candidates


def _check_ready(teachers, n_clips, seeds):
    """Ready teachers by arm, their targets as float arrays."""
    if not isinstance(teachers, dict):
        raise TypeError(
            f"Got teachers of type {type(teachers).__name__}, expected TeacherData "
            "(which teaches anew for each fold), or a dict from arms to ready teachers "
            "or targets."
        )
    checked = {}
    for arm, ready in teachers.items():
        if isinstance(ready, list | tuple):
            if len(ready) != len(seeds):
                raise ValueError(
                    f"Got a list of {len(ready)} teachers for {arm!r} and {len(seeds)} "
                    "seeds, expected one for each seed, or one for all (an array of "
                    "targets, not a list of rows)."
                )
            checked[arm] = [_check_targets(arm, one, n_clips) for one in ready]
        else:
            checked[arm] = _check_targets(arm, ready, n_clips)
    return checked


def _check_targets(arm, ready, n_clips):
    if not isinstance(ready, np.ndarray):
        return ready
    if ready.ndim != 2 or len(ready) != n_clips or ready.dtype.kind not in "fiu":
        raise ValueError(
            f"Got targets of shape {ready.shape} and dtype {ready.dtype} for {arm!r}, "
            f"expected numbers ({n_clips}, n_factors): a row for each clip of X."
        )
    if not np.isfinite(ready).all():
        raise ValueError(f"The targets for {arm!r} contain NaN or infinity.")
    return ready.astype(np.float64)


def _check_arm(problem, arm):
    mode, teachers = arm.split()[0], problem.teachers
    own = isinstance(teachers, dict) and arm in teachers and mode in _MODES[1:]
    if arm not in ARMS and not own:
        raise ValueError(
            f"Got the arm {arm!r}, expected one of {', '.join(map(repr, ARMS))}, or a "
            "key of a dict of ready teachers that begins with 'fix', 'init' or 'kd'."
        )
    if arm in ("base", PROJECTION) or isinstance(teachers, TeacherData):
        return
    if find_ready(teachers, arm) is None:
        need = "a teacher" if mode == "kd" else "a teacher's network, not targets"
        raise ValueError(
            f"The arm {arm!r} needs {need}. Pass teachers=TeacherData(...), or "
            f"teachers={{{arm!r}: ...}}, or leave the arm out of `arms`."
        )


def _check_permutable(problem):
    """Raise where a fold's teacher has one item alone: it would keep its factors."""
    for fold, excluded in enumerate(problem.excluded):
        rows = ~np.isin(problem.links.teacher, excluded)
        items = problem.teachers.items[rows]
        if len(items) and artist_groups(items).max() == 0:
            raise ValueError(
                f"All {len(items)} clips that teach in fold {fold} have the item "
                f"{items.tolist()[0]!r}, expected two or more items: "
                "permuted logs give each the factors of another. Is TeacherData("
                "items=...) the item of each clip? Else leave 'kd permuted logs' "
                "out of `arms`."
            )


def _check_n_labels(problem, n):
    if n is None:
        return
    if not problem.classifies:
        raise ValueError(
            f"Got n_labels={n} for a regression: it counts clips of each class."
        )
    for train, _ in problem.folds:
        n_per_class(problem.y[train], n)  # raises where a class has fewer
    if len(problem.search) > 1 and problem.groups is None and n < problem.inner_cv:
        raise ValueError(
            f"Got n_labels={n} and inner_cv={problem.inner_cv}: a search needs a clip "
            "of each class in each inner fold. Lower inner_cv, or leave `search` out."
        )


def _check_leaks(problem, groups, taught):
    """Warn of artists on both sides; note those that taught ready teachers."""
    if problem.groups is None:
        return problem
    split = [np.intersect1d(*map(problem.groups.__getitem__, f)) for f in problem.folds]
    if any(map(len, split)):
        warnings.warn(
            f"{len(np.unique(np.concatenate(split)))} artists are in the training and "
            "the test part of one fold: they flatter every arm. Pass cv=GroupKFold() "
            "or a number to keep artists together; without `groups` nothing is said.",
            stacklevel=4,
        )
    if not isinstance(problem.teachers, dict):
        return problem
    if taught is None:
        warnings.warn(
            "Who taught the ready teachers is not known, so nothing is held out and "
            "test artists cannot be counted. Pass taught=ids of these artists, or "
            "taught=() for none of `groups`.",
            stacklevel=4,
        )
        return problem
    taught = {id for id in taught if not is_missing(id)}
    known = np.array([id in taught for id in as_column(groups, "groups").tolist()])
    tested = np.concatenate([test for _, test in problem.folds])
    shared = np.unique(problem.groups[tested[known[tested]]])
    if len(shared):
        warnings.warn(
            f"{len(shared)} artists of the test folds taught the ready teachers: the "
            "students hear of them. Pass TeacherData, which teaches without them.",
            stacklevel=4,
        )
    return replace(problem, taught=np.unique(problem.groups[known]))


def _warn_of_strangers(data, groups):
    """Warn that test artists may teach, as nothing links the teacher and the task."""
    theirs = data.items if data.groups is None else data.groups
    source = "items" if data.groups is None else "groups"
    warnings.warn(
        f"None of `groups` ({_examples(groups)}, ...) is among the {source} of "
        f"TeacherData ({_examples(theirs)}, ...), and not all of its clips are in X: "
        "test artists may teach unnoticed, and n_shared_teacher is null. Pass "
        "TeacherData(groups=...), the artist of each clip in the ids of `groups`. "
        "Where nothing is shared, say so: also pass clips=numpy.full(n_clips, -1).",
        stacklevel=4,
    )


def _examples(ids):
    different = dict.fromkeys(np.asarray(ids, dtype=object).tolist())
    return ", ".join(repr(id) for id in list(different)[:_SHOWN])
