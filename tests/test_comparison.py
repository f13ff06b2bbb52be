"""Comparisons: what each arm sees, what no teacher is trained on, and resuming."""

import importlib.util
import json
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, KFold
from sklearn.neighbors import KNeighborsClassifier

from userlogfeat import CFRegressor
from userlogfeat.comparison import (
    DEFAULT_ARMS,
    PLAIN_ARMS,
    SCHEMA,
    TeacherData,
    compare,
    summarise,
)
from userlogfeat.comparison.arms import CONTROLS, PLAIN_CONTROLS, STUDENT_ARMS
from userlogfeat.comparison.artist_overlap import (
    check_teacher_data,
    find_artist_overlap,
)
from userlogfeat.comparison.projection import input_statistics, random_projection
from userlogfeat.comparison.result_store import identify
from userlogfeat.comparison.teachers import (
    FoldTeacher,
    choices_of,
    distinct_factors,
    permute_factors,
)
from userlogfeat.estimators.kd_student import KDStudentClassifier, KDStudentRegressor
from userlogfeat.evaluation import significance
from userlogfeat.evaluation.folds import stratified_folds

FAKE = Path(__file__).with_name("fake_student.py")
_spec = importlib.util.spec_from_file_location("fake_student", FAKE)
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)

N_FACTORS = 3
KD = ("kd", "kd permuted logs")
KD_AGAINST = ("base", "kd permuted logs")
CELLS = "[0-9a-f]" * 24 + ".json"


@pytest.fixture(autouse=True)
def forget_fits():
    fake.STUDENTS.clear()
    fake.TEACHERS.clear()


@pytest.fixture
def task():
    """60 clips of 15 artists, who have three classes."""
    return fake.make_task()


def make_teacher(task, *, other=40, **settings):
    """The task's clips of artists 0 to 9, and `other` clips of artists 100, 101, ...

    The first factor is 1 (so that means of artists do not differ), the second the
    number of the artist, the third of the clip's row in the teacher's X.
    """
    X, _, artists = task
    own = np.flatnonzero(artists < 10)
    others = np.zeros((other, X.shape[1]))
    others[:, 0] = 1000 + np.arange(other)
    items = np.concatenate([artists[own], 100 + np.arange(other) // 4])
    factors = np.stack([np.ones(len(items)), items, np.zeros(len(items))], axis=1)
    settings = {"estimator": fake.FakeTeacher(), "items": items, **settings}
    return TeacherData(X=np.vstack([X[own], others]), factors=factors, **settings)


def run(task, **settings):
    X, y, groups = task
    settings = {"cv": 3, "seeds": 2, "groups": groups, **settings}
    return compare(settings.pop("student", fake.FakeStudent()), X, y, **settings)


def same(frame, other):
    """Whether two frames are equal but for the time that fits took."""
    return frame.drop("seconds").equals(other.drop("seconds"))


def test_frame_has_a_row_for_each_cell(task):
    frame = run(
        task, teachers=make_teacher(task), n_labels=(2, None), channels=(32, 64)
    )
    assert frame.schema == pl.Schema(SCHEMA)
    assert len(frame) == len(DEFAULT_ARMS) * 2 * 2 * 2 * 3
    cells = frame.select("arm", "n_labels", "channels", "seed", "fold")
    assert cells.is_unique().all()
    assert frame["arm"].unique(maintain_order=True).to_list() == list(DEFAULT_ARMS)
    assert set(frame.filter(n_labels=2)["n_train"]) == {6}
    for row in frame.iter_rows(named=True):
        assert row["n_test"] == len(row["clips"]) == len(row["outcome"])
        assert row["score"] == pytest.approx(np.mean(row["outcome"]))
    folds = frame.filter(arm="kd", seed=1, n_labels=2, channels=32)["clips"]
    assert sorted(clip for fold in folds for clip in fold) == list(range(60))


def test_score_is_what_the_student_scores(task):
    X, y, groups = task
    folds = stratified_folds(y, 3, groups=groups, seed=4)
    frame = run(task, arms=("base",), cv=folds, seeds=1)
    for (train, test), score in zip(folds, frame["score"], strict=True):
        student = fake.FakeStudent(mode="base").fit(X[train], y[train])
        assert score == pytest.approx(student.score(X[test], y[test]))
        assert 0.4 < score < 1


def test_every_arm_sees_the_same_clips(task):
    run(task, teachers=make_teacher(task), n_labels=(3, None))
    cells = {}
    for fit in fake.STUDENTS:
        # Every arm of a cell has the same number of labels, seed and rows.
        key = (fit["random_state"], fit["rows"].tobytes())
        cells.setdefault(key, []).append(fit)
    assert len(cells) == 2 * 2 * 3
    for fits in cells.values():
        assert sorted(fit["mode"] for fit in fits) == sorted(
            a.split()[0] for a in DEFAULT_ARMS
        )
        for fit in fits:
            np.testing.assert_array_equal(fit["y"], task[1][fit["rows"]])
            np.testing.assert_array_equal(fit["groups"], task[2][fit["rows"]])
            assert (fit["targets"] is not None) == (fit["mode"] in ("fix", "kd"))
            assert isinstance(fit["teacher"], FrozenEstimator) == (
                fit["mode"] in ("fix", "init")
            )


def test_seeds_draw_labels_and_share_folds(task):
    frame = run(task, arms=("base",), n_labels=2)
    assert frame.filter(seed=0)["clips"].equals(frame.filter(seed=1)["clips"])
    first, second = (
        [f["rows"].tolist() for f in fake.STUDENTS if f["random_state"] == seed]
        for seed in (0, 1)
    )
    assert first != second


def test_no_teacher_hears_an_artist_of_the_test(task):
    """Each fix student has its fold's whole teacher: look at what that learned."""
    frame = run(task, teachers=make_teacher(task), arms=("fix", *KD), seeds=1)
    artists = task[2]
    fits = [fit for fit in fake.STUDENTS if fit["mode"] == "fix"]
    for fit, row in zip(fits, frame.filter(arm="fix").iter_rows(named=True)):  # noqa: B905
        teacher = fake.TEACHERS[fit["teacher"].estimator.number_]
        trained = teacher["rows"][teacher["rows"] < 1000]
        assert not set(artists[trained]) & set(artists[row["clips"]])
        assert set(trained) == set(np.flatnonzero(artists < 10)) - set(row["clips"])
        assert row["n_teacher_clips"] == len(teacher["rows"])
    assert (frame["n_shared_teacher"] == 0).all()
    assert (frame["n_shared_train"] == 0).all()
    # Heads and teachers of permuted logs are trained on nothing else either.
    for fold, row in enumerate(frame.filter(arm="kd").iter_rows(named=True)):
        kd = [fit for fit in fake.STUDENTS if fit["mode"] == "kd"][2 * fold :][:2]
        for number in np.concatenate([fit["targets"][:, 0] for fit in kd]):
            trained = fake.TEACHERS[int(number)]["rows"]
            trained = trained[trained < 1000]
            assert not set(artists[trained]) & set(artists[row["clips"]])


def test_targets_of_own_clips_are_out_of_fold(task):
    """The first column of the targets says which fit of a teacher estimated a clip."""
    artists = task[2]
    run(task, teachers=make_teacher(task), arms=("fix", *KD), seeds=1)
    kd = [fit for fit in fake.STUDENTS if fit["targets"] is not None]
    assert [fit["mode"] for fit in kd] == ["fix", "kd", "kd"] * 3
    n_own = 0
    for fit in kd:
        for clip, number in zip(fit["rows"], fit["targets"][:, 0], strict=True):
            trained = fake.TEACHERS[int(number)]["rows"]
            trained = trained[trained < 1000]
            assert artists[clip] not in artists[trained]
            n_own += artists[clip] < 10
    assert n_own == 3 * 2 * 40  # arms; every clip is in training twice
    # A clip that the teacher was not trained on is estimated by the full teacher.
    whole = {int(f["targets"][:, 0][artists[f["rows"]] >= 10][0]) for f in kd}
    assert len(whole) == 3 * 2


def test_each_teacher_is_trained_once(task):
    teachers = make_teacher(task, other=4)
    run(task, teachers=teachers, n_labels=(2, 3, None), arms=("init",))
    assert len(fake.TEACHERS) == 2 * 3  # seeds, folds
    n_fits = {}
    for n_labels in (None, (2, 3, None)):  # with heads, for estimates out of fold
        fake.TEACHERS.clear()
        run(task, teachers=teachers, n_labels=n_labels, arms=("fix", "init", *KD))
        n_fits[n_labels] = len(fake.TEACHERS)
    assert n_fits[None] == n_fits[2, 3, None] > 2 * 3 * 2
    fake.TEACHERS.clear()
    estimator = fake.FakeTeacher(random_state=7)
    teachers = make_teacher(task, other=4, estimator=estimator)
    run(task, teachers=teachers, n_labels=(2, None), arms=("init",))
    assert len(fake.TEACHERS) == 3  # a fixed random_state: one for all seeds
    assert {teacher["random_state"] for teacher in fake.TEACHERS} == {7}


def test_strangers_have_one_teacher(task):
    """No artist is on both sides: nothing is excluded, one teacher serves all folds."""
    X, y, groups = task
    stated = {"groups": 100 + np.arange(40) // 4, "clips": np.full(40, -1)}
    teachers = make_teacher((X[:0], y[:0], groups[:0]), **stated)
    frame = run(task, teachers=teachers, arms=("kd",))
    assert (frame["n_shared_teacher"] == 0).all()  # stated, so nothing is warned of
    assert len(fake.TEACHERS) == 2  # a teacher for each seed
    assert {teacher["random_state"] for teacher in fake.TEACHERS} == {0, 1}


def test_permuted_teacher_learns_whole_artists_exchanged(task):
    run(task, teachers=make_teacher(task), arms=("kd permuted logs",), seeds=2)
    permutations = set()
    for teacher in fake.TEACHERS:
        rows = teacher["rows"]
        artist = np.where(rows < 1000, rows // 4, 100 + (rows - 1000) // 4)
        got = teacher["factors"][:, 1]
        assert (got != artist).all()  # none has its own
        pairs = set(zip(artist.tolist(), got.tolist(), strict=True))
        assert len(pairs) == len(set(artist)) == len(set(got))
        permutations.add(tuple(sorted(pairs)))
    assert len(permutations) > 6  # of folds, and of seeds


def test_true_teacher_learns_true_factors(task):
    run(task, teachers=make_teacher(task), arms=("kd",))
    for teacher in fake.TEACHERS:
        rows = teacher["rows"]
        artist = np.where(rows < 1000, rows // 4, 100 + (rows - 1000) // 4)
        np.testing.assert_array_equal(teacher["factors"][:, 1], artist)
        # Heads and teachers see artists whole, for their own validation.
        assert len(set(zip(artist, teacher["groups"]))) == len(set(artist))  # noqa: B905


def test_same_artist_learns_one_random_factor_an_artist(task):
    """Also where items are tracks: then artists are those of `groups`."""
    data = make_teacher(task)
    tracks = np.arange(len(data.items))
    run(
        task,
        teachers=replace(data, items=tracks, groups=data.items),
        arms=("kd same artist",),
        seeds=2,
    )
    assert len(fake.TEACHERS) > 0
    drawn = set()
    for fit in fake.TEACHERS:
        _, artist = np.unique(fit["groups"], return_inverse=True)
        rows = np.unique(np.column_stack([artist, fit["factors"]]), axis=0)
        assert len(rows) == artist.max() + 1 == len(np.unique(rows[:, 1:], axis=0))
        drawn.add(fit["factors"][0, 0])
    assert len(drawn) > 1  # seeds draw their own


@pytest.mark.parametrize("arms", [PLAIN_ARMS, ("plain + same artist",)])
def test_controls_have_what_the_teacher_chose(task, columns, arms):
    """They chose their own: another machine than the one that they control for."""
    teachers = make_teacher(task, estimator=fake.ChoosingTeacher())
    run(task, student=columns, teachers=teachers, arms=arms, seeds=1)
    true, last = [], None
    for number, fit in enumerate(fake.TEACHERS):
        if fit["head"] == "auto":  # of the true factors, once per fold
            rows = fit["rows"]
            artist = np.where(rows < 1000, rows // 4, 100 + (rows - 1000) // 4)
            np.testing.assert_array_equal(fit["factors"][:, 1], artist)
            true.append(fit)
            last = f"chosen {number}"
        assert fit["loss"] == (None if fit["head"] == "auto" else last)
    assert len(true) == 3
    # In each fold: the teacher, each control and their heads for own clips.
    assert len(fake.TEACHERS) > 3 * len(set(arms) & {*CONTROLS, *PLAIN_CONTROLS})


def test_controls_say_as_much_as_their_strength_allows(columns):
    """They took the strongest regularisation, and said the same of every clip.

    Features of n clips say nothing of random factors. Least squares on d features then
    give estimates of d / n of the factors' variance; a ridge of strength s >> n gives
    n / s of that deviation, here a ten-thousandth.
    """
    rng = np.random.default_rng(0)
    n_artists, d = 60, 6
    X = np.repeat(rng.normal(size=(n_artists, d)), 2, axis=0)
    factors = X @ np.linalg.qr(rng.normal(size=(d, d)))[0]
    artists = np.arange(120) // 2
    data = TeacherData(
        CFRegressor("mlp", head="ridge", factor_norm="raw", alphas=(1.0, 1e6)),
        X, factors, items=artists, groups=artists, clips=np.full(120, -1),
    )  # fmt: skip
    new = rng.normal(size=(90, d))
    y, groups = np.tile(["a", "b", "c"], 30), 1000 + np.arange(90)
    settings = {"arms": PLAIN_ARMS, "seeds": 1, "cv": [(np.arange(60), range(60, 90))]}
    run((new, y, groups), student=columns, teachers=data, **settings)
    said = [seen[:, d:] for seen, _ in Columns.seen]
    said = dict(zip(PLAIN_ARMS, said, strict=True))
    assert said["plain + estimate"].std() == pytest.approx(1, rel=0.15)
    for arm in ("plain + permuted logs", "plain + same artist"):
        assert said[arm].std() == pytest.approx((d / n_artists) ** 0.5, rel=0.4)


def test_choices_of_a_teacher_that_had_none():
    rng = np.random.default_rng(0)
    X, factors = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    settings = {"max_epochs": 1, "random_state": 0}
    assert choices_of(CFRegressor("mlp", head="mlp", **settings).fit(X, factors)) == {}
    ridge = CFRegressor("mlp", head="ridge", alphas=(3.0,)).fit(X, factors)
    assert choices_of(ridge) == {"alphas": (3.0,)}


def test_distinct_factors_are_as_long_and_know_nothing():
    rng = np.random.default_rng(0)
    factors = np.repeat(rng.normal(size=(500, 1)), 8, axis=1) + 3
    random = distinct_factors(factors, np.arange(500), rng)
    assert np.square(random).mean() == pytest.approx(np.square(factors).mean(), rel=0.1)
    assert abs(np.corrcoef(random[:, 0], factors[:, 0])[0, 1]) < 0.15


# --- any estimator, with estimates as columns ---------------------------------------


class Columns(KNeighborsClassifier):
    """Notes the columns that it reads."""

    seen: list = []

    def __init__(self, n_neighbors=5, random_state=None):
        super().__init__(n_neighbors)
        self.random_state = random_state

    def fit(self, X, y):
        self.seen.append((np.array(X), self.random_state))
        return super().fit(X, y)


@pytest.fixture
def columns():
    Columns.seen.clear()
    return Columns()


def test_estimates_are_columns_of_any_estimator(task, columns):
    X, y, _ = task
    teachers = {
        "kd": np.full((60, 2), 1.0),
        "kd permuted logs": [np.full((60, 2), seed + 2.0) for seed in range(2)],
        "kd same artist": np.full((60, 2), 9.0),
    }
    frame = run(task, student=columns, teachers=teachers, teacher_artists=())
    assert frame["arm"].unique(maintain_order=True).to_list() == list(PLAIN_ARMS)
    fits = iter(Columns.seen)  # one seed and fold after the other
    for row in frame.sort("seed", "fold", maintain_order=True).iter_rows(named=True):
        seen, seed = next(fits)
        rows = seen[:, 0].astype(int)
        np.testing.assert_array_equal(seen[:, :6], X[rows])
        assert not set(rows) & set(row["clips"])
        assert seed == row["seed"]
        beside = {
            "plain": None,
            "plain + estimate": 1.0,
            "plain + permuted logs": row["seed"] + 2.0,
            "plain + same artist": 9.0,
        }.get(row["arm"], "random")
        if beside is None:
            assert seen.shape[1] == 6
        elif beside == "random":
            assert seen.shape[1] == 6 + 2
            assert np.linalg.norm(seen[:, 6:], axis=1) == pytest.approx(1)
        else:
            assert (seen[:, 6:] == beside).all()
    model = KNeighborsClassifier().fit(X[rows], y[rows])
    plain = frame.filter(arm="plain").row(-1, named=True)
    test = plain["clips"]
    assert plain["score"] == pytest.approx(model.score(X[test], y[test]))


def test_plain_arms_stand_beside_a_student_and_are_searched(task, columns, tmp_path):
    data = make_teacher(task)
    settings = {"teachers": data, "cv": 2, "seeds": 1, "folder": tmp_path}
    alone = run(task, **settings)
    both = run(
        task,
        **settings,
        plain=columns,
        plain_X=task[0][:, :3],
        plain_search={"n_neighbors": [1, 5]},
    )
    assert both.head(len(alone)).equals(alone)  # read from the folder, with its times
    assert set(both.tail(-len(alone))["arm"]) == set(PLAIN_ARMS)
    counted = both.filter(pl.col("arm").str.starts_with("plain"))["n_candidates"]
    assert set(counted) == {2}
    assert {seen.shape[1] for seen, _ in Columns.seen} == {3, 3 + N_FACTORS}
    # A fold's teacher knows no artist of its test part.
    assert set(both.filter(arm="plain + estimate")["n_shared_teacher"]) == {0}
    again = run(task, **settings, plain=columns, arms=("plain",))
    assert not again["seconds"].equals(both.filter(arm="plain")["seconds"])


def test_the_plain_estimator_is_an_svm_if_not_chosen(task):
    frame = run(task, arms=("plain",), cv=2, seeds=1)
    assert "svc__C" in frame["params"][0]
    X = task[0]
    frame = compare(Ridge(), X, X[:, 1] ** 2, cv=2, seeds=1, arms=("plain",))
    assert frame["metric"].unique().to_list() == ["r2"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"plain": Ridge()}, "plain=Ridge.* and a student that is a FakeStudent"),
        ({"plain": KMeans()}, "plain=KMeans.*neither classifies nor regresses"),
        ({"plain_X": np.zeros((3, 2))}, "plain_X of 3 rows for 60 clips"),
        ({"plain_X": ["a.wav"] * 60}, "need features.*Pass plain_X="),
        (
            {"plain": KNeighborsClassifier(), "plain_search": {"C": [1]}},
            "Invalid parameter",
        ),
        (
            {"student": KNeighborsClassifier(), "arms": ("base",)},
            "arm 'base' for a KNeighborsClassifier, which has no parameter `mode`",
        ),
    ],
)
def test_plain_estimators_that_cannot_work(task, settings, message):
    with pytest.raises(ValueError, match=message):
        run(task, **{"arms": ("plain",), **settings})


def test_one_item_cannot_be_permuted(task):
    """Was: it kept its factors, so that the control was the teacher itself."""
    one = make_teacher(task, items=np.ones(80, int), groups=200 + np.arange(80) // 4)
    with pytest.raises(
        ValueError, match=r"All 44 clips .* the item 1, .*two or more it"
    ):
        run(task, teachers=one, arms=("kd permuted logs",), groups=None)
    assert fake.STUDENTS == fake.TEACHERS == []


def test_permute_factors_is_a_cycle_of_items():
    items = np.array(["a", "b", "a", "c", "c", "c"])
    factors = np.array([[1.0], [2.0], [1.0], [3.0], [3.0], [3.0]])
    for seed in range(20):
        got = permute_factors(factors, items, np.random.default_rng(seed)).ravel()
        assert got[0] == got[2]
        assert got[3] == got[4] == got[5]
        assert sorted([got[0], got[1], got[3]]) == [1, 2, 3]
        assert (got != factors.ravel()).all()


def test_permute_factors_of_tracks_takes_another_artists_in_turn():
    """Where the clips of an item differ in their factors, none is lost without need."""
    items, factors = np.array([0, 0, 1]), np.array([[1.0], [2.0], [3.0]])
    got = permute_factors(factors, items, np.random.default_rng(0))
    assert got.ravel().tolist() == [3, 3, 1]


def test_heads_share_strength_and_mean_of_the_teacher():
    """Loop version of the out-of-fold estimate, with plain ridge regression.

    CFRegressor's ridge head standardises the input with its own training clips and has
    an unpenalised intercept, so each head is Ridge on standardised columns.
    """
    rng = np.random.default_rng(1)
    X = rng.normal(size=(48, 5))
    factors = X @ rng.normal(size=(5, 4)) + 3 + rng.normal(size=(48, 4))
    artists = np.arange(48) // 4
    data = TeacherData(CFRegressor(network="mlp"), X, factors, artists, n_folds=4)
    data = check_teacher_data(data, 48)
    overlap = find_artist_overlap(data, X, artists)
    teacher = FoldTeacher(data, overlap, X, excluded=(), seed=0)
    unit = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    expected = np.empty_like(factors)
    for train, held in GroupKFold(4).split(X, groups=overlap.teacher):
        mean, scale = X[train].mean(axis=0), X[train].std(axis=0)
        ridge = Ridge(alpha=teacher.estimator.alpha_)
        ridge.fit((X[train] - mean) / scale, unit[train])
        expected[held] = ridge.predict((X[held] - mean) / scale)
        expected[held] += unit.mean(axis=0) - unit[train].mean(axis=0)
    np.testing.assert_allclose(teacher.targets, expected, atol=1e-5)


def test_folds_cannot_be_told_by_the_mean_of_targets():
    """Without the shared mean, a head's mean is what the held-out factors are not."""
    rng = np.random.default_rng(2)
    X, artists = rng.normal(size=(60, 3)), np.arange(60) // 3
    factors = rng.normal(size=(20, 5))[artists]  # unrelated to the audio
    alphas = (1e9,)
    data = TeacherData(
        CFRegressor(network="mlp", factor_norm="raw", alphas=alphas),
        X, factors, artists, n_folds=5,
    )  # fmt: skip
    data = check_teacher_data(data, 60)
    overlap = find_artist_overlap(data, X, artists)
    teacher = FoldTeacher(data, overlap, X, excluded=(), seed=0)
    np.testing.assert_allclose(
        teacher.targets, np.tile(factors.mean(axis=0), (60, 1)), atol=1e-5
    )


def test_links_by_id_by_clip_and_by_both():
    X = np.arange(12.0).reshape(6, 2)
    teacher_X = np.vstack([X[[5, 0]], np.full((2, 2), -1.0)])
    data = TeacherData(fake.FakeTeacher(), teacher_X, np.ones((4, 1)), list("qxyz"))
    data = check_teacher_data(data, 6)
    # Clip 5 is in the teacher as artist q; clip 4 is by the same artist as clip 5.
    groups = ["x", "x", "b", "z", "e", "e"]
    overlap = find_artist_overlap(data, X, groups)
    q, x, y, z = overlap.teacher
    assert overlap.student[[4, 5]].tolist() == [q, q]
    assert overlap.student[[0, 1]].tolist() == [x, x]
    assert overlap.student[3] == z
    assert overlap.student[2] not in (q, x, y, z)
    assert overlap.common([2, 3, 4]).tolist() == sorted([q, z])
    alone = find_artist_overlap(data, X)  # by equal clips alone
    assert np.isin(alone.student, alone.teacher).tolist() == [1, 0, 0, 0, 0, 1]
    stated = check_teacher_data(
        TeacherData(
            fake.FakeTeacher(), teacher_X, data.factors, data.items, [2, -1, -1, -1]
        ),
        6,
    )
    stated = find_artist_overlap(stated, X)
    assert np.isin(stated.student, stated.teacher).tolist() == [0, 0, 1, 0, 0, 0]


def test_links_of_paths(tmp_path):
    data = TeacherData(
        fake.FakeTeacher(), ["a/x.wav", "y.wav"], np.ones((2, 1)), [None, None]
    )
    data = check_teacher_data(data, 3)
    overlap = find_artist_overlap(data, ["z.wav", Path("a/./x.wav"), "w.wav"])
    assert np.isin(overlap.student, overlap.teacher).tolist() == [False, True, False]
    assert len(set(overlap.teacher)) == 2  # missing artists are different ones


def test_ids_of_another_type_are_refused(task):
    X, y, groups = task
    teachers = make_teacher((X + 0.5, y, groups))
    with pytest.raises(ValueError, match=r"'0' and 0.*Bring both to one type"):
        compare(fake.FakeStudent(), X, y, teachers=teachers, groups=groups.astype(str))


@pytest.mark.parametrize("change", [{}, {"clips": np.full(80, -1)}])
def test_ids_in_another_spelling_are_warned_of(task, change):
    """Was: artists of other names and clips, so 0 test artists were counted."""
    X, y, groups = task
    teachers = make_teacher((X + 1e-4, y, groups), **change)
    names = np.array([f"artist {number}" for number in groups])
    message = r"None of `groups` \('artist 0', .*among the items .*\(0, 1, 2, .*full\("
    with pytest.warns(UserWarning, match=message) as caught:
        frame = run((X, y, names), teachers=teachers, arms=("base", *KD))
    assert len(caught) == 1
    assert caught[0].filename == __file__  # the line that called compare
    assert frame["n_shared_teacher"].is_null().all()
    assert (frame.filter(arm="kd")["n_teacher_clips"] == 80).all()


def test_links_that_are_certain(task):
    X, y, artists = task
    names = np.array([f"artist {number}" for number in artists])

    def certain(task, names, **settings):
        data = check_teacher_data(make_teacher(task, **settings), 60)
        return find_artist_overlap(data, X, names).certain

    other = (X + 1e-4, y, artists)
    assert certain(other, artists)  # ids are shared
    assert certain(other, None)  # no artists: nothing is counted
    assert certain(task, names, other=0)  # every training clip is the student's
    assert not certain(task, names)  # those of artists 100, 101, ... are not
    stated = {"clips": np.full(80, -1), "groups": np.arange(80)}
    assert certain(other, names, **stated)
    assert not certain(other, names, groups=np.arange(80))


def test_teacher_that_would_know_too_few_artists(task):
    X, _, artists = task
    data = TeacherData(fake.FakeTeacher(), X, np.ones((60, 2)), artists)
    with pytest.raises(RuntimeError, match=r"arm='kd'.*1 artists are left to train"):
        run(task, teachers=data, arms=("kd",), cv=[(np.arange(4), np.arange(4, 60))])


def test_teacher_has_its_own_view_of_the_clips(task):
    """The student's clips in the teacher's features, where these are not X."""
    X, y, groups = task
    teachers = make_teacher(task, student_X=X)
    frame = compare(
        fake.FakeStudent(), X + 1e6, y, teachers=teachers, arms=("kd",), groups=groups
    )
    assert (frame["n_teacher_clips"] < 80).all()
    assert (frame["n_shared_teacher"] == 0).all()


def test_weights_and_groups_reach_the_teacher(task):
    weight = np.linspace(1, 2, 80)
    teachers = make_teacher(task, sample_weight=weight, groups=np.arange(80) // 8)
    X, y, _ = task
    compare(fake.FakeStudent(), X, y, teachers=teachers, cv=3, seeds=1, arms=("kd",))
    for teacher in fake.TEACHERS:
        rows = np.where(teacher["rows"] < 1000, teacher["rows"], teacher["rows"] - 960)
        np.testing.assert_array_equal(teacher["weight"], weight[rows])
        pairs = set(zip(rows // 8, teacher["groups"], strict=True))
        assert len(pairs) == len(set(rows // 8))


def test_search_is_the_same_for_all_arms_but_for_kd_weight(task):
    search = {"kd_weight": [0.1, 1.0], "shrink": [0.0, 0.9]}
    frame = run(task, teachers=make_teacher(task), search=search, seeds=1)
    n_candidates = dict(frame.select("arm", "n_candidates").unique().iter_rows())
    assert n_candidates == {
        arm: 4 if arm.startswith("kd") else 2 for arm in DEFAULT_ARMS
    }
    chosen = [json.loads(params) for params in frame.filter(arm="kd")["params"]]
    assert all(settings.keys() == search.keys() for settings in chosen)
    assert json.loads(frame["params"][0]).keys() == {"shrink"}
    # shrink moves the class means to the origin: no arm should choose 0.9
    assert all(json.loads(params)["shrink"] == 0.0 for params in frame["params"])


def test_inner_folds_keep_artists_whole_and_slice_targets(task):
    search = {"shrink": [0.0, 0.5]}
    run(task, teachers=make_teacher(task), search=search, seeds=1, arms=("base", "kd"))
    artists = task[2]
    by_mode = {"base": [], "kd": []}
    for fit in fake.STUDENTS:
        by_mode[fit["mode"]].append(fit["rows"].tolist())
        np.testing.assert_array_equal(fit["groups"], artists[fit["rows"]])
    assert by_mode["base"] == by_mode["kd"]  # same inner folds, same order
    assert len(by_mode["kd"]) == 3 * (2 * 3 + 1)
    for *inner, last in np.array_split(np.array(by_mode["kd"], dtype=object), 3):
        assert {len(rows) for rows in inner} != {len(last)}
        for rows in inner:
            held = set(last) - set(rows)
            assert not set(artists[list(held)]) & set(artists[rows])
    for fit in fake.STUDENTS:
        if fit["mode"] == "kd":  # the target's estimator never saw the clip's artist
            trained = [fake.TEACHERS[int(n)]["rows"] for n in fit["targets"][:, 0]]
            for clip, rows in zip(fit["rows"], trained, strict=True):
                assert artists[clip] not in artists[rows[rows < 1000]]


def test_random_projection_is_linear_and_knows_the_training_part_alone():
    rng = np.random.default_rng(0)
    features = rng.normal(3, 5, size=(30, 4))
    train = np.arange(20)
    settings = {"n_factors": 7, "seed": 3}
    targets = random_projection(features, train, length=2.0, **settings)
    assert targets.shape == (30, 7)
    assert np.linalg.matrix_rank(targets - targets[0]) == 4
    assert np.square(targets[train]).sum(axis=1).mean() == pytest.approx(4.0)
    unit = random_projection(features, train, length=None, **settings)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1)
    np.testing.assert_allclose(
        unit, targets / np.linalg.norm(targets, axis=1, keepdims=True)
    )
    other = features.copy()
    other[25] += 100
    again = random_projection(other, train, length=None, **settings)
    np.testing.assert_allclose(np.delete(again, 25, 0), np.delete(unit, 25, 0))
    shifted = random_projection(2 * features + 9, train, length=None, **settings)
    np.testing.assert_allclose(shifted, unit)


def test_projection_has_the_shape_of_the_factors(task):
    run(task, teachers=make_teacher(task), arms=("kd random projection",), seeds=2)
    targets = [fit["targets"] for fit in fake.STUDENTS]
    assert {t.shape[1] for t in targets} == {N_FACTORS}
    assert not np.allclose(targets[0][:3], targets[3][:3])  # another seed, another map
    assert fake.TEACHERS == []  # nobody is trained for it


def test_statistics_of_audio_are_of_its_bands():
    from userlogfeat import LogMel

    class Features(fake.FakeStudent):
        def __init__(self, *, network="se_cnn", frontend="musicnn", duration=None):
            self.network = network
            self.frontend = frontend
            self.duration = duration

    rng = np.random.default_rng(0)
    waveforms = rng.uniform(-1, 1, size=(3, 16000)).astype(np.float32)
    log_mels = LogMel("musicnn").fit_transform(waveforms)
    expected = np.hstack([log_mels.mean(axis=2), log_mels.std(axis=2)])
    for X in (waveforms, list(waveforms), log_mels):
        np.testing.assert_allclose(input_statistics(X, Features()), expected, rtol=1e-4)
    features = input_statistics(waveforms, Features(network="mlp"))
    np.testing.assert_array_equal(features, waveforms)


def test_regression(task):
    X = task[0]

    class Line(fake.FakeTeacher):
        """A student that estimates the mean of what it learned."""

        _estimator_type = "regressor"

        def __init__(self, teacher=None, mode=None, *, random_state=None):
            self.teacher = teacher
            self.mode = mode
            self.random_state = random_state

        def fit(self, X, y):
            self.mean_ = y.mean()
            return self

        def predict(self, X):
            return np.full(len(X), self.mean_)

    y = np.arange(60.0)
    frame = compare(Line(), X, y, arms=("base",), seeds=1, cv=KFold(3))
    assert set(frame["metric"]) == {"r2"}
    # Fold 0 tests 0..19 and learns the mean of 20..59, which is 39.5.
    assert frame["outcome"][0].to_list() == [(i - 39.5) ** 2 for i in range(20)]
    truth = np.arange(20)
    expected = 1 - ((truth - 39.5) ** 2).sum() / ((truth - 9.5) ** 2).sum()
    assert frame["score"][0] == pytest.approx(expected)
    with pytest.raises(ValueError, match="n_labels=3 for a regression"):
        compare(Line(), X, y, arms=("base",), n_labels=3)


def test_ready_targets(task):
    rng = np.random.default_rng(0)
    true, permuted = rng.normal(size=(60, 4)), rng.normal(size=(2, 60, 4))
    teachers = {"kd": true, "kd permuted logs": list(permuted), "kd twice": 2 * true}
    arms = ("base", *teachers, "kd random projection")
    frame = run(task, teachers=teachers, arms=arms, teacher_artists=())
    assert frame["arm"].unique(maintain_order=True).to_list() == list(arms)
    for fit in fake.STUDENTS:
        if fit["mode"] == "kd":
            source = [true, *permuted, 2 * true]
            found = [np.array_equal(fit["targets"], s[fit["rows"]]) for s in source]
            assert sum(found) == 1 or fit["targets"].shape[1] == 4
            if found[1] or found[2]:
                assert found[1 + fit["random_state"]]
    seen = [fit["targets"] for fit in fake.STUDENTS if fit["mode"] == "kd"]
    assert len(seen) == 4 * 2 * 3


def test_ready_teachers_reach_the_student(task):
    ready = FrozenEstimator(fake.FakeTeacher().fit(np.ones((2, 3)), np.ones((2, 2))))
    wide = FrozenEstimator(fake.FakeTeacher().fit(np.ones((2, 3)), np.ones((2, 2))))
    teachers = {"kd": {32: ready, 64: wide}}
    run(
        task,
        teachers=teachers,
        arms=("fix", "init", "kd"),
        channels=(32, 64),
        teacher_artists=(),
    )
    for fit in fake.STUDENTS:
        expected = ready if fit["channels"] == 32 else wide
        assert fit["teacher"].estimator.number_ == expected.estimator.number_
        assert fit["targets"] is None


def test_artists_of_ready_teachers_are_counted(task):
    targets = {"kd": np.zeros((60, 2))}
    with pytest.warns(UserWarning, match=r"4 artists of the test folds are in"):
        frame = run(
            task,
            teachers=targets,
            arms=("base", "kd"),
            teacher_artists=[0, 1, 2, 3, 99],
        )
    assert frame.filter(arm="kd", seed=0)["n_shared_teacher"].sum() == 4
    nobody = np.where(
        task[2] == 0, -1, task[2]
    )  # a missing artist is in no training data
    arms = {"teachers": targets, "arms": ("base", "kd")}
    frame = run(task, groups=nobody, teacher_artists=[-1], **arms)
    assert frame.filter(arm="kd", seed=0)["n_shared_teacher"].sum() == 0
    with pytest.warns(UserWarning, match=r"not known.*teacher_artists=\(\)"):
        frame = run(task, teachers=targets, arms=("base", "kd"))
    assert frame["n_shared_teacher"].is_null().all()


def test_artists_on_both_sides_of_a_split_are_warned_of(task):
    with pytest.warns(
        UserWarning, match="1[0-5] artists are in the training and the test"
    ):
        frame = run(task, arms=("base",), cv=KFold(2, shuffle=True, random_state=0))
    assert (frame["n_shared_train"] > 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arms": ("bas",)}, "Got the arm 'bas', expected one of 'base', 'fix'"),
        ({"arms": ("kd",)}, "'kd' needs a teacher. Pass teachers=TeacherData"),
        ({"arms": ("base", "kd other logs")}, "Got the arm 'kd other logs'"),
        ({"search": {"mode": ["kd"]}}, "Got 'mode' in `search`"),
        ({"search": {"channels": [3]}, "channels": 4}, "in `search`, expected one"),
        ({"n_labels": 21}, "has 12 clips|has 16 clips|expected n=21"),
        ({"n_labels": 0}, "Got n_labels=0"),
        ({"channels": (0,)}, "Got channels=0"),
        ({"seeds": 0}, "Got seeds=0"),
        ({"seeds": [1, 1]}, r"Got seeds=\(1, 1\)"),
        ({"groups": [1, 2]}, "Got 2 rows of groups for 60 clips"),
        ({"seeds": [0.5, 1.7]}, r"Got seeds=\(0.5, 1.7\), expected .* different integ"),
        ({"seeds": [2**33]}, "different integers from 0 to 4294967295"),
        ({"arms": ("base", "base")}, r"Got arms=\('base', 'base'\), expected one or"),
        ({"arms": ()}, r"Got arms=\(\), expected one or more different"),
        ({"n_labels": [2, np.int64(2)]}, r"Got n_labels=\(2, 2\)"),
        ({"channels": ()}, r"Got channels=\(\)"),
        ({"cv": [([0, 1], [1, 2])]}, "1 of 1 folds of `cv` train on test clips"),
        ({"cv": []}, "a `cv` without folds"),
        ({"cv": [np.arange(60)]}, "Fold 0 of `cv` is of type ndarray, expected a pair"),
        ({"cv": [([0, 1], [60])]}, "The test part of fold 0 .* from 60 to 60.*0 to 59"),
        ({"cv": [([0, -1], [5])]}, "The training part of fold 0 .* rows from -1 to 0"),
        ({"cv": [([0], [1]), ([0], [])]}, "The test part of fold 1 of `cv` is empty"),
        ({"cv": [(np.zeros(60, bool), [1])]}, "training part of fold 0 .* is empty"),
        ({"cv": [([0], np.ones(59, bool))]}, r"is a mask of shape \(59,\), expected"),
        ({"cv": [([0.0], [1.0])]}, "dtype float64, expected row numbers"),
        (
            {"search": {"shrink": [0, 1]}, "n_labels": 2, "groups": None},
            "n_labels=2 and inner_cv=3",
        ),
    ],
)  # fmt: skip
def test_bad_arguments(task, settings, message):
    with pytest.raises(ValueError, match=message):
        run(task, **{"arms": ("base",), **settings})
    assert fake.STUDENTS == []


def test_masks_are_folds(task):
    artists = task[2]
    test = artists < 5
    rows = [(np.flatnonzero(~test), np.flatnonzero(test))]
    frames = [run(task, arms=("base",), cv=cv) for cv in ([(~test, test)], rows)]
    assert same(*frames)
    assert frames[0]["clips"][0].to_list() == list(range(20))


def test_arms_without_a_ready_teacher_are_left_out_and_named(task):
    targets = np.random.default_rng(0).normal(size=(60, 2))
    settings = {"student": KNeighborsClassifier(3), "teacher_artists": ()}
    with pytest.warns(UserWarning, match=r"Without 'plain \+ permuted logs', 'plain"):
        frame = run(task, teachers={"kd": targets}, seeds=1, **settings)
    arms = ("plain", "plain + estimate", "plain + random projection")
    assert tuple(frame["arm"].unique(maintain_order=True)) == arms
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(task, teachers={"kd": targets}, seeds=1, arms=arms, **settings)


@pytest.mark.parametrize(
    ("teachers", "arms", "error", "message"),
    [
        ({"kd": np.ones((59, 2))}, "kd", ValueError, r"shape \(59, 2\).*\(60, n_fac"),
        ({"kd": np.full((60, 2), np.nan)}, "kd", ValueError, "contain NaN"),
        ({"kd": np.ones((60, 2))}, "fix", ValueError, "needs a teacher's network"),
        ({"kd": [1, 2, 3]}, "kd", ValueError, "list of 3 teachers for 'kd' and 2 see"),
        (
            3,
            "kd",
            TypeError,
            "teachers of type int, expected TeacherData.*a saved teacher",
        ),
        ({"estimate": np.ones((60, 2))}, None, ValueError, "'estimate', expected the"),
        ({}, "kd", ValueError, "'kd' needs a teacher. Pass"),
    ],
)
def test_bad_ready_teachers(task, teachers, arms, error, message):
    with pytest.raises(error, match=message):
        run(task, teachers=teachers, arms=arms, teacher_artists=())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factors": np.ones(80)}, r"factors of shape \(80,\)"),
        ({"items": np.ones(3)}, "items of 3 rows for a teacher's X of 80"),
        ({"clips": np.full(80, 60)}, r"maximum 60, expected rows of.*\(0 to 59\)"),
        ({"clips": np.full(80, 0.5)}, "clips of dtype float64"),
        ({"student_X": np.ones((3, 6))}, "student_X of 3 rows"),
        ({"factors": np.where(np.arange(80) == 7, np.nan, 1)[:, None]}, "1 clips.*s 7"),
        ({"factors": np.full((80, 2), np.inf)}, r"80 clips .*\(rows 0, 1, 2, \.\.\.\)"),
        ({"n_folds": 1}, r"n_folds=1, expected an integer in \[2, inf\)"),
        ({"n_folds": 2.5}, "n_folds=2.5, expected an integer"),
    ],
)
def test_bad_teacher_data(task, change, message):
    data = make_teacher(task)
    data = TeacherData(**{**vars(data), **change})
    with pytest.raises(ValueError, match=message):
        run(task, teachers=data)
    assert fake.STUDENTS == []


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (None, "estimator None, expected an estimator to be trained"),
        ("lastfm2k-musicnn", "estimator 'lastfm2k-musicnn', .*are passed as a dict"),
        (fake.FakeTeacher, "estimator the class .*FakeTeacher"),
    ],
)
def test_teacher_data_without_an_estimator(task, estimator, message):
    with pytest.raises(TypeError, match=message):
        run(task, teachers=make_teacher(task, estimator=estimator))
    assert fake.STUDENTS == []


def mlp_student(**settings):
    return KDStudentClassifier(network="mlp", max_epochs=2, **settings)


@pytest.mark.parametrize(
    ("student", "teacher", "settings", "message"),
    [
        (
            mlp_student(),
            {},
            {},
            r"'init' .* hidden='auto' and the student hidden=\(256,\)",
        ),
        (
            mlp_student(hidden=(8,)),
            {"head": "mlp", "hidden": (8, 8)},
            {},
            r"hidden=\(8, 8\) and the student hidden=\(8,\)",
        ),
        (mlp_student(), {"network": "musicnn"}, {}, "network='musicnn' and the stud"),
        (
            KDStudentClassifier(max_epochs=2),
            {"network": "se_cnn", "channels": 8},
            {},
            "channels=8 and the student channels=64",
        ),
        (mlp_student(), {}, {"channels": (8, 16)}, "all widths would be the same fits"),
        (mlp_student(), {}, {"search": {"size": [3]}}, "Invalid parameter 'size'"),
        (mlp_student(), {}, {"search": {"lr": [0.1, -1]}}, "Got lr=-1"),
        (
            mlp_student(),
            {},
            {"search": {"kd_epochs": [2]}, "arms": ("base", "kd")},
            "kd_epochs=2 and max_epochs=2",
        ),
    ],
)
def test_what_no_fit_could_do_is_refused_before_the_first(
    task, tmp_path, student, teacher, settings, message
):
    """Was: the comparison ended at "init", with the fits of one fold."""
    X, _, artists = task
    estimator = CFRegressor(**{"network": "mlp", **teacher})
    teachers = TeacherData(estimator, X, np.ones((len(X), 2)), artists)
    settings = {"teachers": teachers, "folder": tmp_path / "c", **settings}
    with pytest.raises(ValueError, match=message):
        run(task, student=student, **settings)
    assert not (tmp_path / "c").exists()


def test_teachers_that_init_can_start_from(task):
    X, _, artists = task
    factors = np.random.default_rng(0).normal(size=(15, 4))[artists]
    estimator = CFRegressor("mlp", head="mlp", hidden=[8], max_epochs=1)
    fitted = FrozenEstimator(clone(estimator).fit(X, factors))
    plain = FrozenEstimator(Ridge().fit(X, factors))
    data = TeacherData(estimator, X, factors, artists)
    settings = {"student": mlp_student(hidden=(8,)), "seeds": 1, "teacher_artists": ()}
    for teachers in (data, {"kd": fitted}):
        settings["teachers"] = teachers
        assert len(run(task, arms=("init", "fix"), **settings)) == 6
    settings["teachers"] = {"kd": plain}
    with pytest.raises(ValueError, match="has no network to start from"):
        run(task, arms=("init",), **settings)


def test_the_frame_carries_its_groups(task, tmp_path):
    """Was: a report of the frame had intervals over clips, not over artists."""
    frame = run(task, arms=("base", "kd random projection"), folder=tmp_path / "c")
    artists = task[2]
    for row in frame.iter_rows(named=True):
        np.testing.assert_array_equal(row["groups"], artists[row["clips"]])
    own = summarise(frame)
    assert own.equals(summarise(frame, groups=artists))
    assert own["n_groups"].to_list() == [15, 15]
    frame.write_parquet(tmp_path / "frame.parquet")
    assert summarise(pl.read_parquet(tmp_path / "frame.parquet")).equals(own)
    again = run(task, arms=("base", "kd random projection"), folder=tmp_path / "c")
    assert summarise(again).equals(own)
    clips = summarise(frame.drop("groups"))
    assert clips["n_groups"].to_list() == [None, None]
    assert not clips["low"].equals(own["low"])
    other = frame.with_columns(
        pl.col("groups").list.eval(pl.element() + 1), pl.col("seed") + 9
    )
    with pytest.raises(ValueError, match="clip 0 in several groups"):
        summarise(pl.concat([frame, other]))


def test_a_failing_cell_is_named_and_the_others_kept(task, tmp_path):
    student = fake.FakeStudent(fail_on="init")
    settings = {"teachers": make_teacher(task), "seeds": 1, "cv": 2}
    with pytest.raises(
        RuntimeError,
        match=r"arm='init', n_labels=None, channels=None, seed=0, fold=0 failed: Value",
    ):
        run(task, student=student, folder=tmp_path, **settings)
    assert len(list(tmp_path.glob(CELLS))) == 2  # base and fix


def test_resumed_equals_uninterrupted_and_fits_nothing_twice(task, tmp_path):
    settings = {"teachers": make_teacher(task), "n_labels": (3, None)}
    whole = run(task, **settings)
    n_fits = len(fake.STUDENTS)
    fake.STUDENTS.clear()
    part = run(task, **settings, folder=tmp_path / "c", arms=("base", "kd"))
    assert part.height == 2 * n_fits // len(DEFAULT_ARMS)
    fake.STUDENTS.clear()
    resumed = run(task, **settings, folder=tmp_path / "c")
    assert same(resumed, whole)
    assert len(fake.STUDENTS) == n_fits - part.height
    fake.STUDENTS.clear()
    fake.TEACHERS.clear()
    again = run(task, **settings, folder=tmp_path / "c", seeds=[1])
    assert fake.STUDENTS == fake.TEACHERS == []
    assert same(again, whole.filter(seed=1))
    assert again["seconds"].equals(resumed.filter(seed=1)["seconds"])


def test_a_folder_of_an_earlier_version_is_read(task, tmp_path):
    """Its column n_teacher_clips had another name, and students had no kd_loss."""
    settings = {"teachers": make_teacher(task), "arms": ("kd",)}
    fitted = run(task, **settings, folder=tmp_path)
    for file in tmp_path.glob(CELLS):
        row = json.loads(file.read_text())
        row["n_taught"] = row.pop("n_teacher_clips")
        file.write_text(json.dumps(row))
    fake.STUDENTS.clear()
    assert same(run(task, **settings, folder=tmp_path), fitted)
    assert fake.STUDENTS == []
    X, y, _ = task
    digests = []
    for loss in ({}, {"kd_loss": "mse_cosine"}, {"kd_loss": "mse"}):
        student = fake.FakeStudent()
        known = student.get_params(deep=False) | loss
        student.get_params = lambda deep=True, known=known: known
        problem = SimpleNamespace(X=X, y=y, groups=None, student=student, folds=[])
        problem.search, problem.inner_cv, problem.teachers = [{}], 3, None
        digests.append(identify(problem)["student"])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("moment", range(6))
def test_interrupted_before_any_fit(task, tmp_path, moment):
    class Stopped(fake.FakeStudent):
        def fit(self, X, y, *, groups=None, teacher_targets=None):
            if len(fake.STUDENTS) == 3 * moment:
                raise KeyboardInterrupt
            return super().fit(X, y, groups=groups, teacher_targets=teacher_targets)

    Stopped.__qualname__ = "FakeStudent"
    settings = {"teachers": make_teacher(task), "cv": 2}
    whole = run(task, **settings)
    n_fits = len(fake.STUDENTS)
    fake.STUDENTS.clear()
    with pytest.raises(KeyboardInterrupt):
        run(task, student=Stopped(), **settings, folder=tmp_path)
    assert same(run(task, **settings, folder=tmp_path), whole)
    assert len(fake.STUDENTS) == n_fits


@pytest.mark.long
def test_killed_comparison_loses_the_running_fit_at_most(tmp_path):
    folder, log = tmp_path / "c", tmp_path / "log"
    command = [sys.executable, str(FAKE), str(folder), str(log), "0.05"]
    finished = [0]
    for _ in range(2):
        process = subprocess.Popen(command)
        try:
            limit = time.monotonic() + 60
            while time.monotonic() < limit:
                n_fits = len(log.read_text().split()) if log.exists() else 0
                if n_fits >= finished[-1] + len(finished) + 4:
                    break
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        finished.append(len(list(folder.glob(CELLS))))
    assert all(b > a for a, b in pairwise(finished))
    subprocess.run(command, check=True)
    n_cells = 2 * 5 * 3
    assert len(list(folder.glob(CELLS))) == n_cells
    n_lost = len(log.read_text().split()) - n_cells
    assert 0 <= n_lost <= 2  # the running one of each kill


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cv": 2}, "differs in folds"),
        ({"student": fake.FakeStudent(shrink=0.1)}, "differs in student"),
        ({"search": {"shrink": [0, 1]}}, "differs in search"),
        ({"groups": None, "cv": 3}, "differs in groups, folds"),
    ],
)
def test_a_folder_of_another_comparison_is_refused(task, tmp_path, change, message):
    run(task, arms=("base",), folder=tmp_path)
    with pytest.raises(ValueError, match=f"holds another comparison: it {message}"):
        run(task, **{"arms": ("base",), "folder": tmp_path, **change})
    X, y, groups = task
    with pytest.raises(ValueError, match=r"differs in X\."):
        run((X + 1, y, groups), arms=("base",), folder=tmp_path)


def test_other_folders_are_refused(task, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"holds other files and no comparison\.json"):
        run(task, arms=("base",), folder=tmp_path)


def test_a_damaged_fit_in_a_folder_is_named(task, tmp_path):
    """Was: an error of JSON without the file's name."""
    run(task, arms=("base",), folder=tmp_path)
    damaged = next(tmp_path.glob(CELLS))
    damaged.write_text(damaged.read_text()[:40])
    with pytest.raises(ValueError, match=rf"{damaged.name} is damaged .*Delete it"):
        run(task, arms=("base",), folder=tmp_path)
    damaged.unlink()
    assert run(task, arms=("base",), folder=tmp_path).height == 3 * 2


def test_what_does_not_matter_does_not_refuse_a_folder(task, tmp_path):
    first = run(task, arms=("base",), folder=tmp_path)
    fake.STUDENTS.clear()
    student = fake.FakeStudent(random_state=3, mode="kd")
    assert run(task, student=student, arms=("base",), folder=tmp_path).equals(first)
    assert fake.STUDENTS == []


@pytest.mark.long
def test_processes_give_what_one_gives(task, tmp_path):
    """With real teachers, whose class other processes can import."""
    X, _, artists = task
    estimator = CFRegressor(network="mlp")
    factors = np.random.default_rng(0).normal(size=(15, 4))[artists]
    teachers = TeacherData(estimator, X, factors, artists)
    one = run(task, teachers=teachers, student=fake.FakeStudent(), arms=DEFAULT_ARMS)
    two = run(task, teachers=teachers, arms=DEFAULT_ARMS, n_jobs=2, folder=tmp_path)
    assert same(one, two)
    fake.STUDENTS.clear()
    assert same(one, run(task, teachers=teachers, folder=tmp_path))
    assert fake.STUDENTS == []


def test_the_student_given_is_left_alone(task):
    student = fake.FakeStudent()
    before = clone(student).get_params()
    run(task, student=student, teachers=make_teacher(task), seeds=1)
    assert student.get_params() == before
    assert not hasattr(student, "means_")


def make_frame(outcomes, *, metric="accuracy", n_labels=None):
    """A frame of compare from {arm: outcomes (n_seeds, n_folds, n_test)}."""
    rows = []
    for arm, table in outcomes.items():
        for (seed, fold), outcome in (
            ((s, f), table[s, f]) for s, f in np.ndindex(table.shape[:2])
        ):
            n_test = len(outcome)
            rows.append(
                {
                    "arm": arm, "n_labels": n_labels, "channels": None,
                    "seed": seed, "fold": fold,
                    "score": outcome.mean(), "metric": metric,
                    "n_train": n_test * (table.shape[1] - 1), "n_test": n_test,
                    "clips": list(range(fold * n_test, (fold + 1) * n_test)),
                    "outcome": outcome.tolist(),
                }
            )  # fmt: skip
    schema = {name: SCHEMA[name] for name in rows[0]}
    return pl.DataFrame(rows, schema=schema)


@pytest.fixture
def outcomes():
    """Base is right half of the time; kd in eight of ten clips; permuted as base."""
    rng = np.random.default_rng(0)
    draws = rng.random((8, 5, 40))
    return {
        "base": (draws < 0.5).astype(float),
        "kd": (rng.random((8, 5, 40)) < 0.8).astype(float),
        "kd permuted logs": (rng.random((8, 5, 40)) < 0.5).astype(float),
    }


def test_summary_finds_what_is_there_and_only_that(outcomes):
    summary = summarise(make_frame(outcomes), against=KD_AGAINST)
    assert summary["arm"].to_list() == list(outcomes)
    for arm, row in zip(outcomes, summary.iter_rows(named=True), strict=True):
        assert row["mean"] == pytest.approx(outcomes[arm].mean())
        assert row["low"] < row["mean"] < row["high"]
        assert (row["n_clips"], row["n_seeds"]) == (200, 8)
    base, kd, permuted = summary.iter_rows(named=True)
    for other in ("base", "kd permuted logs"):
        assert kd[f"diff_low to {other}"] > 0.2
        for test in ("p_ttest", "p_ttest_holm", "p_wilcoxon", "p_wilcoxon_holm"):
            assert kd[f"{test} to {other}"] < 0.001
        assert kd[f"effect_size to {other}"] > 1
    assert permuted["diff_low to base"] < 0 < permuted["diff_high to base"]
    assert permuted["p_ttest_holm to base"] > 0.05
    assert base["difference to kd permuted logs"] == pytest.approx(
        -permuted["difference to base"]
    )
    assert base["difference to base"] is base["p_ttest_holm to base"] is None
    assert permuted["effect_size to kd permuted logs"] is None


def test_summary_uses_the_tests_of_evaluation_and_holm_over_the_table(outcomes):
    frame = make_frame(outcomes)
    summary = summarise(frame, against=KD_AGAINST)
    scores = {arm: table.mean(axis=2).ravel() for arm, table in outcomes.items()}
    plain, corrected = [], []
    for row in summary.iter_rows(named=True):
        for other in ("base", "kd permuted logs"):
            if row["arm"] == other:
                continue
            pair = scores[row["arm"]], scores[other]
            test = significance.paired_ttest(*pair, n_train=160, n_test=40)
            assert row[f"p_ttest to {other}"] == pytest.approx(test.p_value)
            assert row[f"p_wilcoxon to {other}"] == pytest.approx(
                significance.wilcoxon(*pair).p_value
            )
            assert row[f"effect_size to {other}"] == pytest.approx(
                significance.cohens_dz(*pair)
            )
            plain.append(row[f"p_ttest to {other}"])
            corrected.append(row[f"p_ttest_holm to {other}"])
    assert len(plain) == 4
    np.testing.assert_allclose(corrected, significance.holm(plain))
    uncorrected = summarise(frame, against=KD_AGAINST, corrected=False)
    name = "p_ttest to base"
    assert uncorrected[name][2] < summary[name][2]
    assert uncorrected[name][1] == pytest.approx(
        significance.paired_ttest(scores["kd"], scores["base"]).p_value
    )


def test_summary_compares_by_default_what_matters():
    """Arms with their baseline; those that are no controls with all three as well."""
    rng = np.random.default_rng(0)
    arms = (*STUDENT_ARMS, *PLAIN_ARMS)
    outcomes = {arm: (rng.random((2, 2, 10)) < 0.5).astype(float) for arm in arms}
    summary = summarise(make_frame(outcomes))
    pairs = {
        (row["arm"], name.removeprefix("difference to "))
        for row in summary.iter_rows(named=True)
        for name, value in row.items()
        if name.startswith("difference to ") and value is not None
    }
    expected = {(arm, "base") for arm in STUDENT_ARMS[1:]}
    expected |= {(arm, c) for arm in ("fix", "init", "kd") for c in CONTROLS}
    expected |= {(arm, "plain") for arm in PLAIN_ARMS[1:]}
    expected |= {("plain + estimate", c) for c in PLAIN_CONTROLS}
    assert pairs == expected


def test_summary_keeps_settings_apart(outcomes):
    few = {arm: table * 0 for arm, table in outcomes.items()}
    frame = pl.concat([make_frame(few, n_labels=5), make_frame(outcomes)])
    summary = summarise(frame)
    assert summary["n_labels"].to_list() == [5] * 3 + [None] * 3
    assert summary.filter(n_labels=5)["mean"].to_list() == [0.0] * 3
    assert summary.filter(n_labels=5, arm="kd")["p_ttest to base"].to_list() == [1.0]
    assert summary["mean"][4] == pytest.approx(outcomes["kd"].mean())


def test_summary_pairs_what_both_arms_have(outcomes):
    """A comparison that is half done, or an arm that was run on fewer seeds."""
    frame = make_frame(outcomes)
    part = frame.filter((pl.col("arm") != "kd") | (pl.col("seed") < 3))
    row = summarise(part).row(by_predicate=pl.col("arm") == "kd", named=True)
    assert row["n_seeds"] == 3
    assert row["difference to base"] == pytest.approx(
        outcomes["kd"][:3].mean() - outcomes["base"][:3].mean()
    )
    apart = frame.filter((pl.col("arm") == "kd") == (pl.col("seed") < 3))
    summary = summarise(apart).filter(arm="kd")
    assert summary["difference to base"].to_list() == [None]
    assert summary["p_ttest_holm to base"].to_list() == [None]
    assert summary["mean"][0] == pytest.approx(outcomes["kd"][:3].mean())


def test_summary_of_r2_is_the_mean_over_clips_and_seeds():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(5, 40))
    rows = []
    for arm, spread in (("base", 1.0), ("kd", 0.5)):
        for seed, fold in np.ndindex(4, 5):
            predicted = y[fold] + spread * rng.normal(size=40)
            rows.append(
                {
                    "arm": arm, "n_labels": None, "channels": 64, "seed": seed,
                    "fold": fold, "score": r2_score(y[fold], predicted),
                    "metric": "r2", "n_train": 160, "n_test": 40,
                    "clips": list(range(40 * fold, 40 * fold + 40)),
                    "outcome": ((y[fold] - predicted) ** 2).tolist(),
                }
            )  # fmt: skip
    schema = {name: SCHEMA[name] for name in rows[0]}
    frame = pl.DataFrame(rows, schema=schema)
    summary = summarise(frame)
    for arm, mean in zip(summary["arm"], summary["mean"], strict=True):
        assert mean == pytest.approx(frame.filter(arm=arm)["score"].mean())
    assert summary["diff_low to base"][1] > 0


def test_summary_of_artists_is_less_sure():
    """Ten artists whose clips are all right or all wrong: ten outcomes, not 200."""
    right = np.repeat([1.0, 0.0], 100).reshape(1, 5, 40)
    frame = make_frame({"base": right})
    clips = summarise(frame)
    artists = summarise(frame, groups=np.arange(200) // 20)
    width = [s["high"][0] - s["low"][0] for s in (clips, artists)]
    assert width[0] == pytest.approx(4 * 0.5 / np.sqrt(200), rel=0.15)
    assert width[1] == pytest.approx(4 * 0.5 / np.sqrt(10), rel=0.15)


def test_summary_averages_repeated_tests_of_a_clip(outcomes):
    """Repeated cross-validation tests a clip several times under one seed."""
    twice = {arm: table[:, [0, 1, 0, 1]] for arm, table in outcomes.items()}
    frame = make_frame(twice).with_columns(
        clips=pl.concat_list(pl.col("clips").list.eval(pl.element() % 80))
    )
    summary = summarise(frame)
    assert summary["n_clips"].to_list() == [80] * 3
    np.testing.assert_allclose(
        summary["mean"], [table[:, :2].mean() for table in outcomes.values()]
    )


def test_bad_frames(outcomes):
    frame = make_frame(outcomes)
    with pytest.raises(ValueError, match="no column 'outcome'"):
        summarise(frame.drop("outcome"))
    with pytest.raises(ValueError, match="no rows"):
        summarise(frame.clear())
    both = pl.concat([frame, frame.with_columns(metric=pl.lit("r2"))])
    with pytest.raises(ValueError, match="several metrics: 'accuracy', 'r2'"):
        summarise(both)
    for other in (frame.lazy(), [1, 2]):
        with pytest.raises(TypeError, match=r"expected the polars.DataFrame that comp"):
            summarise(other)


def test_frame_of_pandas_is_refused(outcomes):
    pytest.importorskip("pandas")
    frame = make_frame(outcomes).to_pandas()
    with pytest.raises(TypeError, match=r"type pandas\.DataFrame.*before to_pandas"):
        summarise(frame)


def test_a_fit_counts_once(outcomes):
    """Was: rows that are there twice made p-values smaller."""
    frame = make_frame(outcomes)
    with pytest.raises(ValueError, match=r"2 rows .* such as arm='base'.*seed=0"):
        summarise(pl.concat([frame, frame.head(1)]))
    twice = pl.concat([frame, frame])
    once = twice.unique(["arm", "n_labels", "channels", "seed", "fold"])
    assert summarise(once.sort("arm", "seed", "fold")).height == 3


def test_groups_of_a_summary_are_of_all_clips(outcomes):
    frame = make_frame(outcomes)
    with pytest.raises(ValueError, match="Got 3 groups, but clip 199 was tested"):
        summarise(frame, groups=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"Got groups of shape \(200, 1\)"):
        summarise(frame, groups=np.zeros((200, 1)))


def planted_task(n_artists=200, n_factors=2, n_bands=24):
    """Artists whose taste is a linear map of how they sound, and says their class."""
    rng = np.random.default_rng(0)
    sound = rng.normal(size=(n_artists, n_bands))
    taste = sound @ rng.normal(size=(n_bands, n_factors)) / np.sqrt(n_bands)
    artists = np.repeat(np.arange(n_artists), 2)
    X = sound[artists] + 0.3 * rng.normal(size=(2 * n_artists, n_bands))
    return X, np.where(taste[artists, 0] > 0, "calm", "loud"), artists, taste[artists]


def test_true_logs_help_a_student_of_few_labels_and_permuted_do_not():
    X, y, artists, factors = planted_task()
    estimator = CFRegressor(
        network="mlp", head="ridge", factor_norm="raw", random_state=0
    )
    student = KDStudentClassifier(
        kd_weight=3.0,
        network="mlp",
        hidden=(64,),
        lr=2e-2,
        max_epochs=25,
        batch_size=16,
        device="cpu",
    )
    frame = compare(
        student,
        X,
        y,
        teachers=TeacherData(estimator, X, factors, artists),
        groups=artists,
        cv=2,
        seeds=4,
        n_labels=20,
        arms=("base", "fix", *KD),
    )
    summary = summarise(frame, groups=artists)
    mean = dict(zip(summary["arm"], summary["mean"], strict=True))
    assert mean["kd"] > mean["base"] + 0.03
    assert mean["kd"] > mean["kd permuted logs"] + 0.05
    assert mean["fix"] > mean["base"] + 0.1
    kd = summary.row(by_predicate=pl.col("arm") == "kd", named=True)
    assert kd["diff_low to base"] > 0
    assert kd["p_wilcoxon to kd permuted logs"] < 0.05


@pytest.mark.long
def test_the_papers_network_in_all_arms_with_search(tmp_path):
    """Teachers and students of squeeze-excitation blocks on spectrograms, tiny ones."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 96, 16)).astype(np.float32)
    y, artists = np.arange(24) % 2, np.arange(24) // 2
    settings = {"pools": ((4, 2), (3, 2), (2, 2), (2, 2)), "max_epochs": 1}
    settings |= {"device": "cpu"}
    frame = compare(
        KDStudentClassifier(network="se_cnn", **settings),
        X,
        y,
        teachers=TeacherData(
            CFRegressor(network="se_cnn", random_state=0, **settings),
            X,
            rng.normal(size=(24, 3)),
            artists,
            n_folds=2,
        ),
        groups=artists,
        cv=[(np.arange(16), np.arange(16, 24))],
        seeds=1,
        channels=(8, 16),
        search={"kd_weight": [0.1, 1.0]},
        inner_cv=2,
        folder=tmp_path,
    )
    assert frame["arm"].unique(maintain_order=True).to_list() == list(DEFAULT_ARMS)
    assert frame.height == 2 * len(DEFAULT_ARMS)
    assert frame["score"].is_between(0, 1).all()
    assert frame["n_teacher_clips"].to_list() == (
        [None] * 2 + [16] * 8 + [None] * 2 + [16] * 2
    )
    assert frame["n_candidates"].to_list() == [1] * 6 + [2] * 8
    assert summarise(frame).height == 2 * len(DEFAULT_ARMS)


def test_regression_with_real_students():
    X, _, artists, factors = planted_task()
    estimator = CFRegressor(network="mlp", factor_norm="raw", random_state=0)
    student = KDStudentRegressor(network="mlp", hidden=(32,), lr=2e-2, max_epochs=10)
    frame = compare(
        student,
        X,
        factors[:, :2],
        teachers=TeacherData(estimator, X, factors, artists),
        groups=artists,
        cv=2,
        seeds=1,
        arms=("base", "fix", "kd"),
    )
    assert set(frame["metric"]) == {"r2"}
    assert (frame["score"] > 0.5).all()
    np.testing.assert_allclose(
        summarise(frame)["mean"],
        frame.group_by("arm", maintain_order=True).agg(pl.col("score").mean())["score"],
    )


@pytest.mark.long
def test_the_example_runs(capsys):
    path = FAKE.parents[1] / "examples" / "compare_transfer.py"
    spec = importlib.util.spec_from_file_location("compare_transfer", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    summary = example.main(items=120, seeds=1, labels=(3,))
    assert summary["arm"].to_list() == list(example.ARMS)
    printed = capsys.readouterr().out
    assert "kd random projection" in printed
    assert "none by a test artist" in printed
