"""``compare``: the fits of a comparison, in several processes, kept and resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import polars as pl
from joblib import Parallel, delayed, effective_n_jobs, parallel_config

from userlogfeat._check import check_positive
from userlogfeat._progress import progress_bar, resumable
from userlogfeat._typing import ArrayLike, Audio, Labels, PathLike
from userlogfeat.comparison.arms import PLAIN_PROJECTION, PROJECTION
from userlogfeat.comparison.artist_overlap import TeacherData
from userlogfeat.comparison.checks import (
    check_clips,
    check_fits,
    check_leaks,
    check_ready,
    check_search,
    check_seeds,
    check_training,
)
from userlogfeat.comparison.fitting import run_fit
from userlogfeat.comparison.plain import choose_plain, has_modes, reads_features
from userlogfeat.comparison.problem import Problem, find_ready
from userlogfeat.comparison.result_store import open_store
from userlogfeat.comparison.splits import check_folds
from userlogfeat.comparison.supervision import Supervision
from userlogfeat.comparison.twins import prepare_ready

SCHEMA = {
    "arm": pl.String,
    "n_labels": pl.Int64,
    "channels": pl.Int64,
    "seed": pl.Int64,
    "fold": pl.Int64,
    "score": pl.Float64,
    "metric": pl.String,
    "n_train": pl.Int64,
    "n_test": pl.Int64,
    "clips": pl.List(pl.Int64),
    "groups": pl.List(pl.Int64),
    "outcome": pl.List(pl.Float64),
    "params": pl.String,
    "seconds": pl.Float64,
    "n_candidates": pl.Int64,
    "n_teacher_clips": pl.Int64,
    "n_shared_train": pl.Int64,
    "n_shared_teacher": pl.Int64,
}


def compare(
    student: Any,
    X: Audio,
    y: ArrayLike,
    *,
    teachers: TeacherData | dict[str, Any] | Any = None,
    cv: Any = 5,
    seeds: int | Sequence[int] = 8,
    groups: Labels | None = None,
    arms: Sequence[str] | None = None,
    n_labels: int | Sequence[int | None] | None = (None,),
    channels: int | Sequence[int | None] | None = (None,),
    search: dict[str, Any] | list[dict[str, Any]] | None = None,
    inner_cv: int = 3,
    plain: Any = None,
    plain_X: ArrayLike | None = None,
    plain_search: dict[str, Any] | list[dict[str, Any]] | None = None,
    teacher_artists: Labels | None = None,
    teacher_X: Audio | None = None,
    folder: PathLike | None = None,
    n_jobs: int = 1,
    verbose: int = 0,
) -> pl.DataFrame:
    """Fit a student with a teacher, without one, and with the controls.

    Parameters
    ----------
    student : KDStudentClassifier, KDStudentRegressor, or any estimator
        Student, not fitted. Its `teacher`, `mode` and `random_state` are set for each
        fit. Any other classifier or regressor of scikit-learn is compared as `plain`.
    X : array-like of n_clips
        The labelled clips, as the student takes them.
    y : array-like (n_clips,) or (n_clips, n_outputs)
        Their classes or values.
    teachers : TeacherData, str, Path, UserLogEmbedder or dict
        :class:`TeacherData`: a teacher is trained again for every fold, without its
        test artists. Or a saved teacher, such as ``"lastfm-mpd-musicnn"``: it brings
        permuted logs and same artist if it has twins (:func:`save_controls`; that one
        does). Or ready teachers by arm: whatever the student's `teacher` takes,
        or targets (n_clips, n_factors), or a list of these, one for each seed; that of
        ``"kd"`` serves ``"fix"``, ``"init"`` and ``"plain + estimate"`` too. Nothing
        is held out from ready teachers. None: for base and random projection only.
    cv : int, splitter or iterable
        Outer folds, the same for all arms and seeds. A number gives folds by artist
        where there are `groups`, with the classes in proportion. An iterable has pairs
        (train, test) of row numbers, or of masks over X.
    seeds : int or sequence of int
        Seeds, or how many. Each draws its own labels (`n_labels`), initial weights,
        permutation of the logs and projection.
    groups : array-like (n_clips,), optional
        Artist of each clip, in the ids that the teacher has. Outer and inner folds
        keep artists together, and so does the student's validation split.
    arms : sequence of str, optional
        Names of registered arms: see ``ARMS`` and :func:`register_arm`. By default all
        that suit `student`, and those of `plain` where it is given; with ready
        teachers, those that have one, and a warning names the others. With these
        also names of your own that begin with a mode, such as ``"kd other
        logs"``.
    n_labels : sequence of int or None
        Number of labelled training clips of each class; None for all of the training
        part. The subsets of a seed are nested.
    channels : sequence of int or None
        Widths of the student (and of a teacher that has this parameter); None leaves
        it as it is.
    search : dict or list of dict, optional
        Parameter grid for the student. Every arm is searched by cross-validation inside
        its training clips. Parameters that a mode does not use (those that begin with
        ``kd_``, except in kd) are left out, so that the arms differ in the number of
        candidates (column `n_candidates`).
    inner_cv : int
        Number of folds of that search.
    plain : estimator, optional
        Any classifier or regressor of scikit-learn, not fitted: the alternative to a
        student. The arm ``"plain"`` fits it on the features alone, ``"plain +
        estimate"`` on features and the teacher's estimate of each clip as further
        columns, and three more on those of the controls. By default an RBF SVM on
        standardised columns, its C searched.
    plain_X : array-like (n_clips, n_features), optional
        Features of the clips for `plain`; by default X, which must then be features.
    plain_search : dict or list of dict, optional
        Parameter grid for `plain`, searched as `search`, for all of its arms alike.
    teacher_artists : array-like, optional
        Artists that ready teachers were trained on, in the ids of `groups`: those in a
        test fold are counted, with a warning.
    teacher_X : array-like of n_clips, optional
        The same clips as ready teachers read them, where X is features: paths of files.
    folder : str or Path, optional
        Folder that keeps each finished fit. The same call continues after an
        interruption; with other arms, seeds, `n_labels` or `channels` it adds to the
        folder.
    n_jobs : int
        Number of processes, of one thread each if there are several. A process works on
        one seed and fold, so that its teachers are trained once.
    verbose : int
        1 shows a progress bar also in logs; else see
        :func:`userlogfeat.show_progress`.

    Returns
    -------
    polars.DataFrame
        One row per fit, with the columns of ``SCHEMA``: `arm`, `n_labels`, `channels`,
        `seed`, `fold`; `score` by `metric`, "accuracy" or "r2"; `n_train`, `n_test`;
        `clips`, the rows of X in the test fold; `groups`, the artist of each as a
        number, null if not known; and `outcome` of each: 1 where correct and 0
        where not, or the squared error; `params`, the settings that the
        search chose, as JSON; `seconds` of search, fit and test, without the
        teacher's training; `n_candidates` of the search; `n_teacher_clips`, the
        teacher's training clips; `n_shared_train` and `n_shared_teacher`, artists of
        the test fold that are in the training data of the student and of the teacher
        (null: unknown).

    Raises
    ------
    ValueError
        If the arguments do not go together, something is named twice, or `folder` is of
        another comparison.
    TypeError
        If `teachers` is of another type.
    RuntimeError
        If a fit fails; the message names its arm, seed and fold. Finished fits are in
        `folder`.

    Warns
    -----
    UserWarning
        If test artists are in the training data of the student or the teacher, or if
        that cannot be known: `n_shared_teacher` is then null.

    Notes
    -----
    The targets of ``"fix"``, ``"kd"`` and permuted logs are out of fold where the
    teacher was trained on the clip's artist. ``"init"`` starts from the network itself,
    which was trained on these training clips (never on a test artist).

    Permuted logs: the items exchange their factors, none keeps its own, and the
    teacher is trained again. Random projection: a random linear map of the
    standardised input (features; of audio, mean and standard deviation over time of
    the log-mel bands), with rows of the factors' length. Same artist: the teacher is
    trained again, on random factors that are distinct for each artist. It is what is
    left of a teacher when listeners are taken away, but not which clips are by one
    artist. A gain is knowledge from the logs only where it is beyond all three.

    Inside the search, the targets are those of the outer training part. They contain no
    information on labels.

    References
    ----------
    .. [1] D. Lee, J. Lee, J. Park, K. Lee, "Enhancing music features by knowledge
       transfer from user-item log data", ICASSP 2019.
    """
    y, artists = check_clips(X, y, groups)
    seeds, overlap = check_seeds(seeds), None
    if isinstance(teachers, TeacherData):
        teachers, overlap = check_training(teachers, X, groups, teacher_X)
    elif teachers is not None:
        ready = prepare_ready(
            teachers,
            X,
            student=student,
            n_seeds=len(seeds),
            X_is_features=reads_features(student, plain_X),
            teacher_X=teacher_X,
            arms=arms,
        )
        teachers = check_ready(ready, len(y), seeds)
    check_positive(inner_cv, "inner_cv", integer=True)
    chosen, plain_search = choose_plain(student, plain, plain_search, search)
    problem = Problem(
        student=student,
        X=X,
        y=y,
        groups=artists,
        folds=check_folds(student, y, cv, artists),
        teachers=teachers,
        overlap=overlap,
        seeds=seeds,
        search=check_search(search),
        inner_cv=inner_cv,
        plain=chosen,
        plain_given=plain is not None or not has_modes(student),
        plain_X=plain_X,
        plain_search=check_search(plain_search),
    )
    problem = check_leaks(problem, groups, teacher_artists)
    fits = check_fits(problem, arms, n_labels, channels)
    kept = "Without a folder, nothing is kept: pass folder= to go on next time."
    opened: Any = contextlib.nullcontext()
    if folder is not None:
        kept = f"Finished fits are kept in {folder}: the same call goes on."
        opened = open_store(folder, problem)
    with opened as store, resumable(kept):
        rows = _run(problem, fits, store, n_jobs, verbose)
    return pl.DataFrame(
        [rows[fit] | {"groups": _groups_of(problem, fit)} for fit in fits],
        schema=SCHEMA,
    )


def _groups_of(problem, fit):
    """Artists of a fit's test clips, which its summary needs."""
    if problem.groups is None:
        return None
    return problem.groups[problem.folds[fit.fold][1]].tolist()


def _run(problem, fits, store, n_jobs, verbose):
    """Return the row of each fit: read if it is finished, else computed."""
    found = {} if store is None else {fit: store.read(fit) for fit in fits}
    rows = {fit: row for fit, row in found.items() if row is not None}
    pending = [fit for fit in fits if fit not in rows]
    projects = any(fit.arm in (PROJECTION, PLAIN_PROJECTION) for fit in pending)
    if projects and find_ready(problem.teachers, PROJECTION) is None:
        _ = problem.statistics  # computed once, before there are several processes
    tasks = _split(problem, pending, effective_n_jobs(n_jobs))
    progress = progress_bar(
        total=len(fits),
        initial=len(rows),
        desc="compare",
        unit="fit",
        asked=bool(verbose),
        leave=True,
    )
    with progress:
        for fit, row in _run_tasks(problem, tasks, store, n_jobs):
            rows[fit] = row
            progress.update()
    return rows


def _split(problem, fits, n_jobs):
    """Group fits that can share a teacher: tasks for the processes.

    A teacher belongs to the artists it must not see, and to a seed. One of a fixed
    `random_state` belongs to all seeds: they are one task if enough tasks remain.
    """
    folds = range(len(problem.folds)) if problem.overlap is None else problem.excluded
    keys = [(fit.channels, folds[fit.fold]) for fit in fits]
    estimator = getattr(problem.teachers, "estimator", None)
    fixed = getattr(estimator, "random_state", None) is not None
    by_seed = not fixed or len(set(keys)) < n_jobs
    tasks = {}
    for fit, key in zip(fits, keys, strict=True):
        tasks.setdefault((key, fit.seed if by_seed else None), []).append(fit)
    return list(tasks.values())


def _run_tasks(problem, tasks, store, n_jobs):
    """Yield (fit, row) of all tasks, in any order."""
    if effective_n_jobs(n_jobs) == 1:
        for task in tasks:
            yield from _run_task(problem, task, store)
        return
    with parallel_config("loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        calls = (delayed(_run_task_alone)(problem, task, store) for task in tasks)
        for rows in parallel(calls):
            yield from rows


def _run_task_alone(problem, fits, store):
    """Run the fits of a task in a process that shares the processor with others."""
    import torch

    torch.set_num_threads(1)
    return list(_run_task(problem, fits, store))


def _run_task(problem, fits, store):
    """Yield (fit, row) for fits that may share teachers."""
    supervision = Supervision(problem)
    for fit in fits:
        try:
            row = run_fit(problem, supervision, fit)
        except Exception as error:
            raise RuntimeError(
                f"The fit {fit} failed: {type(error).__name__}: {error}"
            ) from error
        if store is not None:
            store.write(fit, row)
        yield fit, row
