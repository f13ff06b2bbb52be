"""Checks of a comparison before the first fit: it can run for days.

Arguments that cannot work are refused, and leaks are warned of.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid

from userlogfeat._check import check_positive
from userlogfeat._groups import artist_groups, as_column, is_missing
from userlogfeat._ids import examples
from userlogfeat._typing import ArrayLike, Audio, Labels
from userlogfeat.comparison.arms import (
    ARMS,
    MODES,
    PERMUTED,
    PLAIN_ARMS,
    PLAIN_PERMUTED,
    STUDENT_ARMS,
    mode_of,
)
from userlogfeat.comparison.artist_overlap import (
    ArtistOverlap,
    TeacherData,
    check_teacher_data,
    find_artist_overlap,
    n_rows,
)
from userlogfeat.comparison.plain import check_plain, has_modes
from userlogfeat.comparison.problem import Fit, Problem, find_ready
from userlogfeat.comparison.students import check_students
from userlogfeat.comparison.teachers import permute_factors
from userlogfeat.evaluation.folds import n_per_class

_SET_BY_COMPARE = ("teacher", "mode", "random_state")  # for every fit; never searched
_MAX_SEED = 2**32 - 1  # limit of numpy and scikit-learn


def check_clips(
    X: Audio, y: ArrayLike, groups: Labels | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return y as an array, and the artists as numbers, one for each clip of X."""
    y, numbers = np.asarray(y), None if groups is None else artist_groups(groups)
    for name, column in (("y", y), ("groups", numbers)):
        if column is not None and len(column) != n_rows(X):
            raise ValueError(
                f"Got {len(column)} rows of {name} for {n_rows(X)} clips of X, "
                "expected one per clip."
            )
    return y, numbers


def check_training(
    data: TeacherData, X: Audio, groups: Labels | None, teacher_X: Audio | None
) -> tuple[TeacherData, ArtistOverlap]:
    """Check teachers that are to be trained; warn where artists cannot be compared.

    Parameters
    ----------
    data : TeacherData
    X, groups, teacher_X
        Arguments of ``compare``.

    Returns
    -------
    data : TeacherData
        With arrays for sequences.
    overlap : ArtistOverlap
    """
    data = check_teacher_data(data, n_rows(X))
    overlap = find_artist_overlap(data, X, groups)
    if not overlap.certain:
        _warn_of_unknown_overlap(data, groups)
    if teacher_X is not None:
        raise ValueError(
            "Got teacher_X and TeacherData, whose own student_X it is: pass "
            "TeacherData(..., student_X=) instead."
        )
    return data, overlap


def check_fits(
    problem: Problem,
    arms: Sequence[str] | None,
    n_labels: int | Sequence[int | None] | None,
    channels: int | Sequence[int | None] | None,
) -> list[Fit]:
    """Return the fits of a comparison, in the order of its frame.

    Parameters
    ----------
    problem : Problem
    arms : sequence of str or None
        None for all that suit.
    n_labels, channels : int, None, or sequence of these

    Returns
    -------
    list of Fit

    Raises
    ------
    ValueError
        If an arm is unknown or has no teacher, a student cannot start from it, a class
        has too few labels, a setting of a student is invalid, or something is named
        twice or not at all.
    """
    arms = _default_arms(problem) if arms is None else arms
    arms = (arms,) if isinstance(arms, str) else tuple(arms)
    _check_different("arms", arms)
    n_labels = _as_tuple("n_labels", n_labels)
    channels = _as_tuple("channels", channels)
    for arm in arms:
        _check_arm(problem, arm)
    permuted = PERMUTED in arms or PLAIN_PERMUTED in arms
    if permuted and isinstance(problem.teachers, TeacherData):
        _check_permutable(problem)
    plain = any(mode_of(arm) == "plain" for arm in arms)
    for n in n_labels:
        _check_n_labels(problem, n, plain)
    if plain:
        check_plain(problem)
    check_students(problem, arms, channels)
    if channels != (None,) and any("channels" in c for c in problem.search):
        raise ValueError(
            "Got `channels` as an argument and in `search`, expected one of the two."
        )
    folds = range(len(problem.folds))
    return [
        Fit(*setting)
        for setting in product(arms, n_labels, channels, problem.seeds, folds)
    ]


def _default_arms(problem):
    """Arms that suit the student and the ready teachers; warns of the others."""
    students = STUDENT_ARMS if has_modes(problem.student) else ()
    arms = students + (PLAIN_ARMS if problem.plain_given else ())
    if not isinstance(problem.teachers, dict):
        return arms
    able = [
        arm
        for arm in arms
        if not ARMS[arm].needs_teacher or find_ready(problem.teachers, arm) is not None
    ]
    if left_out := [repr(arm) for arm in arms if arm not in able]:
        warnings.warn(
            f"Without {', '.join(left_out)}, for which there is no ready teacher. A "
            "gain that is not held against a control need not come from listeners: "
            "TeacherData(...) trains all of them, and a saved teacher brings them that "
            "has twins and is passed itself, not its estimates ('lastfm-mpd-musicnn' "
            "has; save_controls makes them). To stop this warning, pass "
            f"arms={tuple(able)}.",
            stacklevel=4,
        )
    return able


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


def check_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Return the seeds: the first so many, or those that are listed."""
    if np.ndim(seeds) == 0:
        check_positive(seeds, "seeds", integer=True)
        return tuple(range(seeds))
    seeds = tuple(seeds)
    valid = len(seeds) > 0 and all(
        isinstance(s, Integral) and not isinstance(s, bool) and 0 <= s <= _MAX_SEED
        for s in seeds
    )
    if valid:
        seeds = tuple(int(seed) for seed in seeds)
    if not valid or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"Got seeds={seeds}, expected a number of seeds, or different integers "
            f"from 0 to {_MAX_SEED}."
        )
    return seeds


def check_search(search: Any) -> list[dict[str, Any]]:
    """Return the candidates of a grid: one without settings where there is none."""
    candidates = list(ParameterGrid(search or {}))
    for name in _SET_BY_COMPARE:
        if any(name in settings for settings in candidates):
            raise ValueError(
                f"Got {name!r} in `search`, but it is set for every fit: see `arms`, "
                "`teachers` and `seeds`."
            )
    return candidates


def check_ready(teachers: Any, n_clips: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Check ready teachers by arm; their targets become float arrays."""
    if not isinstance(teachers, dict):
        raise TypeError(
            f"Got teachers of type {type(teachers).__name__}, expected TeacherData "
            "(teachers are then trained for each fold), a saved teacher (its name or "
            "folder, or a UserLogEmbedder), or a dict from arms to ready teachers or "
            "targets, such as {'kd': ...}."
        )
    checked = {}
    for arm, ready in teachers.items():
        if arm not in ARMS and f"{arm} ".split(" ")[0] not in MODES[1:]:
            raise ValueError(
                f"Got a ready teacher for {arm!r}, expected the name of an arm: 'kd' "
                "(it serves 'fix', 'init' and 'plain + estimate' too), or one of "
                f"{', '.join(repr(name) for name in ARMS if ARMS[name].needs_teacher)}."
            )
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
    mode, teachers = mode_of(arm), problem.teachers
    if arm in ARMS and mode != "plain" and not has_modes(problem.student):
        raise ValueError(
            f"Got the arm {arm!r} for a {type(problem.student).__name__}, which has no "
            f"parameter `mode`: expected arms of {', '.join(map(repr, PLAIN_ARMS))}, "
            "or a KDStudentClassifier or KDStudentRegressor."
        )
    own = isinstance(teachers, dict) and arm in teachers and mode in MODES[1:]
    if arm not in ARMS and not own:
        raise ValueError(
            f"Got the arm {arm!r}, expected one of {', '.join(map(repr, ARMS))}, or a "
            "key of a dict of ready teachers that begins with 'fix', 'init' or 'kd'."
        )
    if isinstance(teachers, TeacherData) or (
        arm in ARMS and not ARMS[arm].needs_teacher
    ):
        return
    if find_ready(teachers, arm) is None:
        networks = mode in ("fix", "init")
        need = "a teacher's network, not targets" if networks else "a teacher"
        raise ValueError(
            f"The arm {arm!r} needs {need}. Pass teachers=TeacherData(...), or "
            f"teachers={{{arm!r}: ...}}, or leave the arm out of `arms`. Of ready "
            "teachers, those that were saved with twins bring the controls "
            "(save_controls), if passed themselves and not as estimates."
        )


def _check_permutable(problem):
    """Raise if all clips of a fold's teacher have one item."""
    for excluded in problem.excluded:
        rows = ~np.isin(problem.overlap.teacher, excluded)
        if rows.any():
            data = problem.teachers
            permute_factors(
                data.factors[rows], data.items[rows], np.random.default_rng(0)
            )


def _check_n_labels(problem, n, plain):
    if n is None:
        return
    if not problem.classifies:
        raise ValueError(
            f"Got n_labels={n} for a regression: it counts clips of each class."
        )
    for train, _ in problem.folds:
        n_per_class(problem.y[train], n)  # raises if a class has fewer
    searches = len(problem.search) > 1 or (plain and len(problem.plain_search) > 1)
    if searches and problem.groups is None and n < problem.inner_cv:
        raise ValueError(
            f"Got n_labels={n} and inner_cv={problem.inner_cv}: a search needs a clip "
            "of each class in each inner fold. Lower inner_cv, or leave `search` out."
        )


def check_leaks(
    problem: Problem, groups: Labels | None, teacher_artists: Labels | None
) -> Problem:
    """Warn of artists on both sides; note those that ready teachers were trained on."""
    if problem.groups is None:
        return problem
    split = [np.intersect1d(*map(problem.groups.__getitem__, f)) for f in problem.folds]
    if any(map(len, split)):
        warnings.warn(
            f"{len(np.unique(np.concatenate(split)))} artists are in the training and "
            "the test part of one fold, which raises the scores of every arm. Pass "
            "cv=GroupKFold() or a number to keep artists together; without `groups` "
            "there is no such warning.",
            stacklevel=3,
        )
    if not isinstance(problem.teachers, dict):
        return problem
    if teacher_artists is None:
        warnings.warn(
            "The training data of the ready teachers are not known, so nothing is held "
            "out and test artists cannot be counted. Pass teacher_artists=ids of their "
            "artists, or teacher_artists=() for none of `groups`.",
            stacklevel=3,
        )
        return problem
    trained = {id for id in teacher_artists if not is_missing(id)}
    known = np.array([id in trained for id in as_column(groups, "groups").tolist()])
    tested = np.concatenate([test for _, test in problem.folds])
    common = np.unique(problem.groups[tested[known[tested]]])
    if len(common):
        warnings.warn(
            f"{len(common)} artists of the test folds are in the training data of the "
            "ready teachers, which leak them to the students. Pass TeacherData, to "
            "train teachers without them.",
            stacklevel=3,
        )
    return replace(problem, teacher_artists=np.unique(problem.groups[known]))


def _warn_of_unknown_overlap(data, groups):
    """Warn that the teacher may learn test artists, as no id is on both sides."""
    theirs = data.items if data.groups is None else data.groups
    source = "items" if data.groups is None else "groups"
    warnings.warn(
        f"None of `groups` ({_different(groups)}) is among the {source} of "
        f"TeacherData ({_different(theirs)}), and not all of its clips are in X: "
        "the teacher may be trained on test artists, and n_shared_teacher is null. "
        "Pass TeacherData(groups=...), the artist of each clip in the ids of `groups`. "
        "If there is no overlap, state it: also pass clips=numpy.full(n_clips, -1).",
        stacklevel=4,
    )


def _different(ids):
    return examples(dict.fromkeys(np.asarray(ids, dtype=object).tolist()))
