"""Twins of a saved teacher: its controls where there are no logs to train them.

A twin has the teacher's encoder, clips, kind of head and strength of regularisation,
and learned other factors: those of permuted logs, or random ones that are distinct for
each artist. It lies in the teacher's folder, in ``controls/``, where ``compare`` finds
it. Were its strength chosen by cross-validation, that would find nothing to learn, and
the twin would give every clip the same estimate. With the teacher's it is the stricter
control: it, too, shows the student the layers that the teacher reads.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from userlogfeat._check import check_positive
from userlogfeat._groups import as_column
from userlogfeat._typing import ArrayLike, Labels, PathLike
from userlogfeat.comparison.arms import ARMS, PERMUTED, SAME_ARTIST
from userlogfeat.comparison.artist_overlap import n_rows
from userlogfeat.comparison.teachers import distinct_factors, permute_factors

# Kinds of twins: the arm that each is of, and what its factors are.
KINDS = {
    "permuted logs": (PERMUTED, "factors that the artists exchanged (permuted logs)"),
    "same artist": (SAME_ARTIST, "random factors, distinct for each artist"),
}


def save_controls(
    folder: PathLike,
    inputs: ArrayLike,
    factors: ArrayLike,
    *,
    items: Labels,
    groups: Labels | None = None,
    n_draws: int = 3,
    random_state: int = 0,
) -> list[Path]:
    """Train twins of a saved teacher, and keep them in its folder.

    ``compare(..., teachers=folder)`` then has the controls "permuted logs" and "same
    artist" also where there are no logs. Twins are not features.

    Parameters
    ----------
    folder : str or Path
        Folder of a :class:`CFRegressor` with a head on an encoder or on features.
    inputs : array-like (n_clips, n_inputs)
        Result of :meth:`CFRegressor.head_inputs` for its training clips; with
        ``network="mlp"`` the features.
    factors : array-like (n_clips, n_factors)
        The factors that it learned.
    items : array-like (n_clips,)
        Item of each clip: in permuted logs, these exchange their factors.
    groups : array-like (n_clips,), optional
        Artist of each clip, by default `items`.
    n_draws : int
        Twins of each kind; the seeds of a comparison take them in turn.
    random_state : int

    Returns
    -------
    list of Path
        Folders of the twins.

    Raises
    ------
    ModelError
        If there is no such teacher.
    ValueError
        If the inputs or factors are not those of its head, or it has no head apart.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from userlogfeat import CFRegressor
    >>> from userlogfeat.comparison import save_controls
    >>> rng = np.random.default_rng(0)
    >>> X, artists = rng.normal(size=(60, 8)), np.arange(60) // 3
    >>> factors = rng.normal(size=(20, 4))[artists]
    >>> teacher = CFRegressor(network="mlp", head="ridge").fit(X, factors)
    >>> data = {"description": "x", "licence": "mine", "non_commercial": False}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     teacher.save(folder, training_data=data)
    ...     twins = save_controls(folder, X, factors, items=artists, n_draws=1)
    >>> [twin.name for twin in twins]
    ['permuted-logs-1', 'same-artist-1']
    """
    from userlogfeat.estimators.cf_regressor import CFRegressor
    from userlogfeat.weights import CONTROLS, ModelError, read_config

    check_positive(n_draws, "n_draws", integer=True)
    if not Path(folder).is_dir():
        raise ModelError(
            f"There is no folder {str(folder)!r}: twins are kept in the folder of a "
            "saved teacher. Pass the one that CFRegressor.save wrote."
        )
    factors, items = np.asarray(factors), as_column(items, "items")
    groups = items if groups is None else as_column(groups, "groups")
    for name, column in (("items", items), ("groups", groups)):
        if len(column) != len(factors):
            raise ValueError(
                f"Got {len(column)} {name} and {len(factors)} rows of factors, "
                "expected one of each per clip."
            )
    config, written = read_config(folder), []
    changes = ((permute_factors, items), (distinct_factors, groups))
    for number, (kind, (change, owners)) in enumerate(zip(KINDS, changes, strict=True)):
        for draw in range(1, n_draws + 1):
            rng = np.random.default_rng([random_state, number, draw])
            twin = _refit(
                CFRegressor.load(folder), inputs, change(factors, owners, rng), groups
            )
            written.append(Path(folder) / CONTROLS / f"{kind.replace(' ', '-')}-{draw}")
            twin.save(written[-1], training_data=_notes(config, kind, draw))
    return written


def _refit(teacher, inputs, factors, groups):
    with warnings.catch_warnings():  # that the estimates have moved, as they should
        warnings.filterwarnings("ignore", "The estimates have a mean cosine")
        teacher.refit(inputs, factors, groups=groups)
    teacher.space_ = None
    return teacher


def _notes(config, kind, draw):
    """Training data of a twin: the teacher's, and that it is none."""
    data = {k: v for k, v in config["training_data"].items() if k != "factors"}
    description = (
        f"A control for comparisons, not for features: it learned {KINDS[kind][1]} in "
        f"the place of the teacher's. The teacher: {data['description']}"
    )
    control = {"kind": kind, "draw": draw, "teacher_sha256": config["sha256"]}
    return {**data, "description": description, "control": control}


def prepare_ready(
    teachers: Any,
    X: Any,
    *,
    student: Any,
    n_seeds: int,
    X_is_features: bool = False,
    teacher_X: Any = None,
    arms: Sequence[str] | None = None,
) -> Any:
    """Return ready teachers by arm, with the twins that a saved teacher brings.

    Parameters
    ----------
    teachers : object
        The argument of ``compare``, no TeacherData. A name, folder or embedder alone is
        the teacher of ``"kd"``.
    X : array-like of n_clips
    student : estimator
    n_seeds : int
    X_is_features : bool
        Whether X holds numbers that no teacher of audio can read.
    teacher_X : array-like of n_clips, optional
        Clips as the teachers read them, where not X: they become targets.
    arms : str or sequence of str, optional
        None for all that suit.

    Returns
    -------
    dict
        Or `teachers` as they are, where they are of another kind.

    Raises
    ------
    ValueError
        If a teacher cannot read X, or `teacher_X` has another length.
    ModelError
        If there is no teacher of that name.
    """
    if _is_saved(teachers):
        teachers = {"kd": teachers}
    if not isinstance(teachers, dict):
        return teachers
    if teacher_X is not None and n_rows(teacher_X) != n_rows(X):
        raise ValueError(
            f"Got teacher_X of {n_rows(teacher_X)} clips and X of {n_rows(X)}, "
            "expected the same clips in the same order."
        )
    ready, teacher = dict(teachers), teachers.get("kd")
    if X_is_features and teacher_X is None:
        for arm, one in ready.items():
            _check_reads(one, arm, student)
    if _is_saved(teacher):
        clips = X if teacher_X is None else teacher_X
        twins = _read_twins(teacher, ready, arms)
        if twins:
            ready |= _estimate_all(teacher, twins, clips, student, n_seeds)
            if teacher_X is None:
                ready.setdefault("fix", teacher)
            if teacher_X is None and (arms is not None or _same(teacher, student)):
                ready.setdefault("init", teacher)
    if teacher_X is None:
        return ready
    return {arm: _as_targets(one, teacher_X, student) for arm, one in ready.items()}


def _is_saved(teacher):
    """Whether a teacher is a saved model: its name or folder, or its embedder."""
    if isinstance(teacher, str | os.PathLike):
        return bool(str(teacher))
    return hasattr(teacher, "weights") and hasattr(type(teacher), "layer_scales")


def _resolve(teacher, student):
    """The teacher as the student reads it, or with its own settings."""
    from userlogfeat.estimators._teacher import resolve_teacher

    if hasattr(student, "_teacher"):
        return clone(student).set_params(teacher=teacher)._teacher()
    return resolve_teacher(teacher)


def _check_reads(teacher, arm, student):
    """Raise if a teacher of audio would be given features."""
    if _is_saved(teacher) and _resolve(teacher, student).reads_audio:
        raise ValueError(
            f"The teacher of {arm!r} reads audio, and X has features of clips. Pass "
            "the clips as well: compare(..., teacher_X=paths), in the order of X."
        )


def _read_twins(teacher, ready, arms):
    """Networks of a teacher's twins by arm, of those that are asked for."""
    from userlogfeat.weights import NonCommercialWarning, find_controls, load_model

    name, twins = getattr(teacher, "weights", teacher), {}
    arms = (arms,) if isinstance(arms, str) else arms
    for kind, folders in find_controls(name).items():
        arm = KINDS[kind][0] if kind in KINDS else None
        asked = arms is None or any(
            arm == one or (one in ARMS and ARMS[one].like == arm) for one in arms
        )
        if arm is not None and arm not in ready and asked:
            with warnings.catch_warnings():  # the teacher warns of their licence
                warnings.simplefilter("ignore", NonCommercialWarning)
                twins[arm] = [load_model(folder).network for folder in folders]
    return twins


def _estimate_all(teacher, twins, clips, student, n_seeds):
    """Targets by teacher and twins: they share an encoder, which runs once."""
    from userlogfeat.estimators._model_embedder import read_features

    resolved = _resolve(teacher, student)
    inputs = resolved.head_inputs(clips)
    ready = {"kd": read_features(resolved.network, inputs, "the teacher")}
    for arm, networks in twins.items():
        draws = [read_features(twin, inputs, "its twin") for twin in networks]
        ready[arm] = [draws[seed % len(draws)] for seed in range(n_seeds)]
    return ready


def _same(teacher, student):
    """Whether a student may start from the teacher's network."""
    name = _resolve(teacher, student).spec["name"]
    return name == getattr(student, "network", None)


def _as_targets(ready, clips, student):
    """Targets for a ready teacher, for each in a list or a dict of these."""
    from userlogfeat.estimators._teacher import embed_by

    if isinstance(ready, list | tuple):
        return [_as_targets(one, clips, student) for one in ready]
    if isinstance(ready, dict):
        return {key: _as_targets(one, clips, student) for key, one in ready.items()}
    if isinstance(ready, np.ndarray):
        return ready
    return embed_by(_resolve(ready, student), clips)
