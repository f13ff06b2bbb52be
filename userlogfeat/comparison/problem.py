"""The fits of a comparison, and the data and settings that they share."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import GroupKFold, KFold

from userlogfeat.comparison.arms import ARMS, mode_of
from userlogfeat.comparison.artist_overlap import ArtistOverlap
from userlogfeat.comparison.plain import has_modes
from userlogfeat.comparison.projection import input_statistics
from userlogfeat.evaluation.folds import n_per_class, stratified_folds


@dataclass(frozen=True)
class Fit:
    """One fit of a comparison."""

    arm: str
    n_labels: int | None
    channels: int | None
    seed: int
    fold: int

    @property
    def mode(self) -> str:
        """The student's mode, base, fix, init or kd; or plain."""
        return mode_of(self.arm)

    def __str__(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in vars(self).items())


@dataclass(frozen=True, eq=False)
class Problem:
    """The data and settings that all fits of a comparison share.

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
    overlap : ArtistOverlap or None
        Artists of student and teacher, where `teachers` is TeacherData.
    seeds : tuple of int
    search : list of dict
        Candidate settings of the student.
    inner_cv : int
    plain : estimator
        The plain estimator of the arms of mode "plain", not fitted.
    plain_given : bool
        Whether it was passed, and is not the default.
    plain_X : ndarray (n_clips, n_features) or None
        Its features; None where they are X.
    plain_search : list of dict
        Its candidate settings.
    teacher_artists : ndarray or None
        Artists that ready teachers were trained on, where known.
    """

    student: Any
    X: Any
    y: np.ndarray
    groups: np.ndarray | None
    folds: list
    teachers: Any
    overlap: ArtistOverlap | None
    seeds: tuple
    search: list
    inner_cv: int
    plain: Any
    plain_given: bool
    plain_X: Any
    plain_search: list
    teacher_artists: np.ndarray | None = None

    @cached_property
    def statistics(self) -> np.ndarray:
        """Input of a random projection, (n_clips, n): see `input_statistics`."""
        X = self.X if has_modes(self.student) else self.plain_features
        return input_statistics(X, self.student)

    @cached_property
    def plain_features(self) -> np.ndarray:
        """Features of the plain estimator (n_clips, n_features)."""
        return np.asarray(self.X if self.plain_X is None else self.plain_X)

    @property
    def classifies(self) -> bool:
        """Whether the task is classification."""
        return is_classifier(self.student)

    @cached_property
    def excluded(self) -> list[tuple[Any, ...]]:
        """For each fold, the artists of `overlap` that a teacher must not see."""
        if self.overlap is None:
            return [()] * len(self.folds)
        return [tuple(self.overlap.common(test).tolist()) for _, test in self.folds]

    def training_rows(self, fit: Fit) -> np.ndarray:
        """Return the rows of X that a student learns from: the same for all arms."""
        train = self.folds[fit.fold][0]
        if fit.n_labels is None:
            return train
        groups = None if self.groups is None else self.groups[train]
        return train[
            n_per_class(self.y[train], fit.n_labels, seed=fit.seed, groups=groups)
        ]


def make_folds(
    student: Any, y: np.ndarray, n_splits: int, groups: np.ndarray | None, *, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw folds for a student's task: by artist where `groups` are known.

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
    """Return the ready teacher of an arm, or of the arm that it is like."""
    if not isinstance(teachers, dict) or arm in ("base", "plain"):
        return None
    if arm in teachers or arm not in ARMS:
        return teachers.get(arm)
    ready = teachers.get(ARMS[arm].like)
    first = ready[0] if isinstance(ready, list) else ready
    needs_network = ARMS[arm].mode in ("fix", "init")
    return None if needs_network and isinstance(first, np.ndarray) else ready
