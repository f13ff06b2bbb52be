"""What a comparison is about: its cells, and what they share."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import GroupKFold, KFold

from userlogfeat.comparison.links import Links
from userlogfeat.comparison.projection import input_statistics
from userlogfeat.evaluation.folds import n_per_class, stratified_folds

PERMUTED, PROJECTION = "kd permuted logs", "kd random projection"
ARMS = ("base", "fix", "init", "kd", PERMUTED, PROJECTION)


@dataclass(frozen=True)
class Cell:
    """One fit of a comparison."""

    arm: str
    n_labels: int | None
    channels: int | None
    seed: int
    fold: int

    @property
    def mode(self) -> str:
        """The student's mode: base, fix, init or kd."""
        return self.arm.split()[0]

    def __str__(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in vars(self).items())


@dataclass(frozen=True, eq=False)
class Problem:
    """What all cells of a comparison share.

    Attributes
    ----------
    student : estimator
        Not fitted.
    X : array-like of n_clips
    y : ndarray (n_clips,) or (n_clips, n_outputs)
    groups : ndarray (n_clips,) or None
        Artists.
    folds : list of (train, test)
        Rows of X.
    teachers : TeacherData, dict or None
        Checked.
    links : Links or None
        With TeacherData.
    seeds : tuple of int
    search : list of dict
        Candidate settings of the student.
    inner_cv : int
    taught : ndarray or None
        Artists that taught ready teachers, where known.
    """

    student: Any
    X: Any
    y: np.ndarray
    groups: np.ndarray | None
    folds: list
    teachers: Any
    links: Links | None
    seeds: tuple
    search: list
    inner_cv: int
    taught: np.ndarray | None = None

    @cached_property
    def statistics(self) -> np.ndarray:
        """What a random projection reads, (n_clips, n): see `input_statistics`."""
        return input_statistics(self.X, self.student)

    @property
    def classifies(self) -> bool:
        """Whether the task is to tell classes apart."""
        return is_classifier(self.student)

    @cached_property
    def excluded(self) -> list[tuple[Any, ...]]:
        """For each fold the artists that a teacher must not hear, by `links`."""
        if self.links is None:
            return [()] * len(self.folds)
        return [tuple(self.links.shared(test).tolist()) for _, test in self.folds]

    def training_rows(self, cell: Cell) -> np.ndarray:
        """Rows of X that a cell's student learns from: the same for all arms."""
        train = self.folds[cell.fold][0]
        if cell.n_labels is None:
            return train
        groups = None if self.groups is None else self.groups[train]
        return train[
            n_per_class(self.y[train], cell.n_labels, seed=cell.seed, groups=groups)
        ]


def make_folds(
    student: Any, y: np.ndarray, n_splits: int, groups: np.ndarray | None, *, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds for a student's task: by artist where `groups` are known.

    Parameters
    ----------
    student : estimator
        A classifier gets folds with the classes in proportion.
    y : ndarray (n_clips,) or (n_clips, n_outputs)
    n_splits : int
    groups : ndarray (n_clips,) or None
    seed : int

    Returns
    -------
    list of (train, test)
    """
    if is_classifier(student):
        return stratified_folds(y, n_splits, groups=groups, seed=seed)
    kind = KFold if groups is None else GroupKFold
    splitter = kind(n_splits, shuffle=True, random_state=seed)
    return list(splitter.split(y, groups=groups))


def find_ready(teachers: Any, arm: str) -> Any:
    """The ready teacher of an arm; that of "kd" also serves "fix" and "init"."""
    if not isinstance(teachers, dict):
        return None
    if arm in ("fix", "init") and arm not in teachers:
        ready = teachers.get("kd")
        first = ready[0] if isinstance(ready, list) else ready
        return None if isinstance(first, np.ndarray) else ready
    return teachers.get(arm)
