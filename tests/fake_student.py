"""A student and a teacher that note what each fit saw, for the tests of comparisons.

Column 0 of X is the number of the clip, so a fit can say which clips it saw. Run as a
script it compares, slowly: ``fake_student.py FOLDER LOG DELAY``.
"""

import sys
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

STUDENTS, TEACHERS = [], []  # one dict a fit


class FakeStudent(ClassifierMixin, BaseEstimator):
    """The class whose mean is nearest, in all columns but the first."""

    def __init__(
        self,
        teacher=None,
        mode=None,
        kd_weight=1.0,
        *,
        channels=64,
        shrink=0.0,
        log=None,
        delay=0.0,
        fail_on=None,
        random_state=None,
    ):
        self.teacher = teacher
        self.mode = mode
        self.kd_weight = kd_weight
        self.channels = channels
        self.shrink = shrink
        self.log = log
        self.delay = delay
        self.fail_on = fail_on
        self.random_state = random_state

    def fit(self, X, y, *, groups=None, teacher_targets=None):
        if self.fail_on is not None and self.fail_on == self.mode:
            raise ValueError("the network fell over")
        time.sleep(self.delay)
        self.classes_ = np.unique(y)
        self.means_ = np.stack([X[y == c, 1:].mean(axis=0) for c in self.classes_])
        self.means_ *= 1 - self.shrink
        targets = None if teacher_targets is None else np.array(teacher_targets)
        STUDENTS.append(
            {
                **{n: v for n, v in vars(self).items() if not n.endswith("_")},
                "rows": X[:, 0].astype(int),
                "y": np.array(y),
                "groups": groups,
                "targets": targets,
            }
        )
        if self.log is not None:
            with Path(self.log).open("a") as file:
                file.write(f"{self.mode}\n")
        return self

    def predict(self, X):
        distances = ((X[:, None, 1:] - self.means_) ** 2).sum(axis=2)
        return self.classes_[distances.argmin(axis=1)]


class FakeTeacher(RegressorMixin, BaseEstimator):
    """Estimates the mean factor for every clip, in column 0 the number of its fit."""

    def __init__(self, *, factor_norm="raw", channels=64, random_state=None):
        self.factor_norm = factor_norm
        self.channels = channels
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None, *, groups=None):
        self.number_, self.mean_ = len(TEACHERS), y.mean(axis=0)
        TEACHERS.append(
            {
                **{n: v for n, v in vars(self).items() if not n.endswith("_")},
                "rows": X[:, 0].astype(int),
                "factors": np.array(y),
                "groups": groups,
                "weight": sample_weight,
            }
        )
        return self

    def predict(self, X):
        estimate = np.tile(self.mean_, (len(X), 1))
        estimate[:, 0] = self.number_
        return estimate


class ChoosingTeacher(FakeTeacher):
    """Chooses its head where that is left to it."""

    def __init__(self, *, head="auto", loss=None, alphas=(1.0, 2.0), random_state=None):
        super().__init__(random_state=random_state)
        self.head = head
        self.loss = loss
        self.alphas = alphas

    def fit(self, X, y, sample_weight=None, *, groups=None):
        if self.head == "auto":
            self.chosen_ = {"head": "mlp", "loss": f"chosen {len(TEACHERS)}"}
        return super().fit(X, y, sample_weight, groups=groups)


def make_task(n_clips=60, n_classes=3, per_artist=4, seed=0):
    """X, y and artists; an artist has one class."""
    rng = np.random.default_rng(seed)
    artists = np.arange(n_clips) // per_artist
    y = artists % n_classes
    X = rng.normal(size=(n_clips, 6)) + y[:, None]
    X[:, 0] = np.arange(n_clips)
    return X, y, artists


def main(folder, log, delay):
    from userlogfeat.comparison import compare

    X, y, artists = make_task()
    student = FakeStudent(log=log, delay=float(delay))
    arms = ("base", "kd random projection")
    compare(student, X, y, cv=3, seeds=5, groups=artists, arms=arms, folder=folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
