"""``compare``: the cells of a comparison, shared out to processes, kept and resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from tqdm import tqdm

from userlogfeat._typing import ArrayLike, Audio, Labels, PathLike
from userlogfeat.comparison.arms import Teaching, fit_cell
from userlogfeat.comparison.cells import CellFolder, identify
from userlogfeat.comparison.checks import check_cells, make_problem
from userlogfeat.comparison.problem import ARMS, PROJECTION, find_ready

if TYPE_CHECKING:
    from userlogfeat.comparison.links import TeacherData


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
    "n_taught": pl.Int64,
    "n_shared_train": pl.Int64,
    "n_shared_teacher": pl.Int64,
}


def compare(
    student: Any,
    X: Audio,
    y: ArrayLike,
    *,
    teachers: TeacherData | dict[str, Any] | None = None,
    cv: Any = 5,
    seeds: int | Sequence[int] = 8,
    groups: Labels | None = None,
    arms: Sequence[str] = ARMS,
    n_labels: int | Sequence[int | None] | None = (None,),
    channels: int | Sequence[int | None] | None = (None,),
    search: dict[str, Any] | list[dict[str, Any]] | None = None,
    inner_cv: int = 3,
    taught: Labels | None = None,
    folder: PathLike | None = None,
    n_jobs: int = 1,
    verbose: int = 0,
) -> pl.DataFrame:
    """Fit a student with and without a teacher, and with what only looks like one.

    Parameters
    ----------
    student : KDStudentClassifier or KDStudentRegressor
        Not fitted. Its `teacher`, `mode` and `random_state` are set for each fit.
    X : array-like of n_clips
        The labelled clips, as the student takes them.
    y : array-like (n_clips,) or (n_clips, n_outputs)
        Their classes or values.
    teachers : TeacherData or dict
        :class:`TeacherData`: what teachers are trained from, again for every fold,
        without its test artists. Or ready teachers by arm: what the student's
        `teacher` takes, or targets (n_clips, n_factors), or a list of these, one for
        each seed; that of ``"kd"`` serves ``"fix"`` and ``"init"`` too. Ready teachers
        are believed: nothing is held out. None: for base and random projection only.
    cv : int, splitter or iterable
        The outer folds, the same for all arms and seeds. A number gives folds by
        artist where there are `groups`, with the classes in proportion. An iterable
        has pairs (train, test) of row numbers, or of masks over X.
    seeds : int or sequence of int
        Each draws its own labels (`n_labels`), initial weights, permutation of the
        logs and projection.
    groups : array-like (n_clips,), optional
        Artist of each clip, in the ids that the teacher has. Outer and inner folds
        keep artists together, and so does the student's validation split.
    arms : sequence of str
        Some of ``ARMS``; with ready teachers also names of your own that begin with a
        mode, such as ``"kd other logs"``.
    n_labels : sequence of int or None
        Labelled clips of each class that a student learns from; None for all of the
        training part. The subsets of a seed are nested.
    channels : sequence of int or None
        Widths of the student (and of a teacher that has this parameter); None leaves
        it as it is.
    search : dict or list of dict, optional
        A parameter grid for the student. Every arm is searched by cross-validation
        inside its training clips. What a mode does not use (`kd_weight` and
        `kd_epochs` but for kd) is left out, so that the arms differ in the number of
        candidates (column `n_candidates`).
    inner_cv : int
        Folds of that search.
    taught : array-like, optional
        Artists that taught ready teachers, in the ids of `groups`: those in a test
        fold are counted and warned of.
    folder : str or Path, optional
        Where each finished fit is kept. The same call goes on where it ended, killed
        or not; with other arms, seeds, `n_labels` or `channels` it adds to what is
        there.
    n_jobs : int
        Processes, of one thread each where there are several. A process works at one
        seed and fold, so that its teachers are trained once.
    verbose : int
        1 shows a progress bar.

    Returns
    -------
    polars.DataFrame
        One row a fit, with the columns of ``SCHEMA``: `arm`, `n_labels`, `channels`,
        `seed`, `fold`; `score` by `metric`, "accuracy" or "r2"; `n_train`, `n_test`;
        `clips`, the rows of X in the test fold; `groups`, the artist of each as a
        number, null where not known; and `outcome` of each: 1 where correct and 0
        where not, or the squared error; `params`, the settings that the
        search chose, as JSON; `seconds` of search, fit and test, without the
        teacher's training; `n_candidates` of the search; `n_taught`, clips that
        taught the teacher; `n_shared_train` and `n_shared_teacher`, artists of the
        test fold that are among the training clips and that taught (null: unknown).

    Raises
    ------
    ValueError
        Where the arguments do not go together, something is named twice, or `folder`
        is of another comparison.
    TypeError
        Where `teachers` is of another kind.
    RuntimeError
        Where a fit fails: it names the cell. What was finished is in `folder`.

    Warns
    -----
    UserWarning
        Where test artists are in the training part or taught, or where it cannot be
        known: `n_shared_teacher` is then null.

    Notes
    -----
    What ``"fix"``, ``"kd"`` and permuted logs are told of training clips is out of fold
    where the clip's artist taught the teacher. ``"init"`` starts from the network
    itself, which did hear these training clips (never a test artist).

    Permuted logs: the items exchange their factors, none keeps its own, and the
    teacher is trained again. Random projection: a random linear map of the
    standardised input (features; of audio, mean and standard deviation over time of
    the log-mel bands), with rows of the factors' length.

    Inside the search, the targets are those of the outer training part. They know no
    labels.

    References
    ----------
    .. [1] D. Lee, J. Lee, J. Park, K. Lee, "Enhancing music features by knowledge
       transfer from user-item log data", ICASSP 2019.
    """
    problem = make_problem(
        student,
        X,
        y,
        teachers=teachers,
        cv=cv,
        seeds=seeds,
        groups=groups,
        search=search,
        inner_cv=inner_cv,
        taught=taught,
    )
    cells = check_cells(problem, arms, n_labels, channels)
    with contextlib.ExitStack() as stack:
        store = None
        if folder is not None:
            store = stack.enter_context(CellFolder(folder, identify(problem)))
        rows = _run(problem, cells, store, n_jobs, verbose)
    return pl.DataFrame(
        [rows[cell] | {"groups": _groups_of(problem, cell)} for cell in cells],
        schema=SCHEMA,
    )


def _groups_of(problem, cell):
    """Artists of a cell's test clips: the frame has what its summary needs."""
    if problem.groups is None:
        return None
    return problem.groups[problem.folds[cell.fold][1]].tolist()


def _run(problem, cells, store, n_jobs, verbose):
    """The row of each cell: read where it is finished, else fitted."""
    found = {} if store is None else {cell: store.read(cell) for cell in cells}
    rows = {cell: row for cell, row in found.items() if row is not None}
    pending = [cell for cell in cells if cell not in rows]
    projects = any(cell.arm == PROJECTION for cell in pending)
    if projects and find_ready(problem.teachers, PROJECTION) is None:
        _ = problem.statistics  # computed once, before the processes part
    tasks = _split(problem, pending, effective_n_jobs(n_jobs))
    progress = tqdm(
        total=len(cells), initial=len(rows), unit="fit", disable=not verbose
    )
    with progress:
        for cell, row in _fit_tasks(problem, tasks, store, n_jobs):
            rows[cell] = row
            progress.update()
    return rows


def _split(problem, cells, n_jobs):
    """Cells that can share a teacher, together: tasks for the processes.

    A teacher belongs to the artists it must not hear, and to a seed. One of a fixed
    `random_state` belongs to all seeds: they are one task where enough tasks remain.
    """

    def by_fold(cell):
        teaches = problem.links is not None
        shared = problem.excluded[cell.fold] if teaches else (cell.fold,)
        return (cell.channels, shared)

    def by_fold_and_seed(cell):
        return (*by_fold(cell), cell.seed)

    estimator = getattr(problem.teachers, "estimator", None)
    fixed = getattr(estimator, "random_state", None) is not None
    enough = len({by_fold(cell) for cell in cells}) >= n_jobs
    key, tasks = (by_fold if fixed and enough else by_fold_and_seed), {}
    for cell in cells:
        tasks.setdefault(key(cell), []).append(cell)
    return list(tasks.values())


def _fit_tasks(problem, tasks, store, n_jobs):
    """Yield (cell, row) of all tasks, in any order."""
    if effective_n_jobs(n_jobs) == 1:
        for task in tasks:
            yield from _fit_task(problem, task, store)
        return
    with parallel_config("loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        calls = (delayed(_fit_task_alone)(problem, task, store) for task in tasks)
        for rows in parallel(calls):
            yield from rows


def _fit_task_alone(problem, cells, store):
    """Fit the cells of a task in a process that shares the processor with others."""
    import torch

    torch.set_num_threads(1)
    return list(_fit_task(problem, cells, store))


def _fit_task(problem, cells, store):
    """Yield (cell, row) for cells that may share teachers."""
    teaching = Teaching(problem)
    for cell in cells:
        try:
            row = fit_cell(problem, teaching, cell)
        except Exception as error:
            raise RuntimeError(
                f"The cell {cell} failed: {type(error).__name__}: {error}"
            ) from error
        if store is not None:
            store.write(cell, row)
        yield cell, row
