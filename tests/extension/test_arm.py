"""Another arm of a comparison is one function and its registration."""

import numpy as np
import polars as pl
import pytest
from sklearn.neighbors import NearestCentroid

from userlogfeat.comparison import ARMS, TeacherData, compare, register_arm
from userlogfeat.report import write_html
from userlogfeat.report.frames import make_results
from userlogfeat.report.style import arm_styles
from userlogfeat.report.tables import arm_table


class Student(NearestCentroid):
    """Classes by their centroids; it notes the targets that it is given."""

    seen: list = []

    def __init__(self, teacher=None, mode=None, random_state=None):
        super().__init__()
        self.teacher, self.mode, self.random_state = teacher, mode, random_state

    def fit(self, X, y, *, teacher_targets=None):
        self.seen.append(teacher_targets)
        return super().fit(X, y)


class Teacher(Student):
    """It answers the mean of its factors for every clip."""

    def fit(self, X, y):
        self.mean_ = np.mean(y, axis=0)
        return self

    def predict(self, X):
        return np.tile(self.mean_, (len(X), 1))


@pytest.fixture
def far_artist():
    """A control: random factors for each artist, far from all others."""

    def factors_of_artists(factors, items, rng):
        _, artist = np.unique(items, return_inverse=True)
        return 100 + rng.normal(size=(artist.max() + 1, factors.shape[1]))[artist]

    @register_arm(
        "kd far artist",
        mode="kd",
        description="control: as kd, from random factors, one for each artist",
        look=("#009E73", "P", "-"),
        is_control=True,
    )
    def far_artist(supervision, fit):
        return None, supervision.teacher(fit, change=factors_of_artists).targets

    yield
    del ARMS["kd far artist"]


@pytest.mark.usefixtures("far_artist")
def test_an_arm_from_outside(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(24, 3)), np.tile([0, 1], 12)
    artists = np.arange(24) // 4
    teachers = TeacherData(Teacher(), X, np.ones((24, 2)), artists, n_folds=2)
    Student.seen.clear()
    frame = compare(
        Student(),
        X,
        y,
        teachers=teachers,
        arms=("base", "kd", "kd far artist"),
        cv=2,
        seeds=2,
        groups=artists,
    )
    base, kd, ours = (Student.seen[i::3] for i in range(3))  # by seed and fold
    assert base == [None] * 4
    assert all((np.abs(targets - 1) < 1e-9).all() for targets in kd)
    assert all((targets > 90).all() for targets in ours)
    assert (frame.filter(arm="kd far artist")["n_shared_teacher"] == 0).all()
    # The report knows its name, its description and its look.
    text = write_html(frame, tmp_path / "r.html").read_text()
    assert "from random factors, one for each artist" in text
    assert arm_table(make_results(frame))[1][2][0] == "kd far artist"
    look = arm_styles(["kd far artist"])["kd far artist"]
    assert (look["color"], look["markerfacecolor"]) == ("#009E73", "white")
    assert isinstance(frame, pl.DataFrame)


@pytest.mark.usefixtures("far_artist")
def test_names_are_given_once():
    with pytest.raises(ValueError, match="name 'kd' is taken by another arm, of userl"):
        register_arm("kd", mode="kd", description="")(lambda supervision, fit: None)
