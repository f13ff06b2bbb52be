from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_score

from userlogfeat.evaluation.folds import (
    StratifiedArtistKFold,
    _fill_empty_folds,
    artist_groups,
    n_per_class,
    stratified_folds,
)


@pytest.fixture
def clips():
    """Labels and artists of 300 clips: 3 genres, each with 20 artists of 1 to 9."""
    rng = np.random.default_rng(0)
    y = np.repeat(["blues", "disco", "metal"], 100)
    artists = np.array([f"{label} {rng.integers(20)}" for label in y])
    return y, artists


def assert_folds(folds, n):
    """Every row is tested once, and learned in all other folds."""
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(
        range(n)
    )
    for train, test in folds:
        assert len(test) > 0
        assert sorted([*train, *test]) == list(range(n))


def test_groups_number_artists_in_order():
    assert artist_groups(["b", "a", "b"]).tolist() == [0, 1, 0]
    assert artist_groups(np.array([7, 3, 7])).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "artists",
    [
        ["a", None, "a", None],
        np.array(["a", "", "a", " "]),
        np.array([5.0, np.nan, 5.0, np.nan]),
        np.array([5, -1, 5, -1]),
        np.array([5, float("nan"), 5, None], dtype=object),
    ],
)
def test_every_missing_artist_is_a_group_of_its_own(artists):
    assert artist_groups(artists).tolist() == [0, 1, 0, 2]


def test_groups_of_nothing_are_refused():
    with pytest.raises(ValueError, match=r"artists of shape \(0,\)"):
        artist_groups([])
    with pytest.raises(ValueError, match=r"artists of shape \(2, 2\)"):
        artist_groups(np.ones((2, 2)))


def test_stratified_folds_keep_proportions():
    y = np.repeat([0, 1], [70, 30])
    folds = stratified_folds(y)
    assert_folds(folds, 100)
    assert [np.bincount(y[test]).tolist() for _, test in folds] == [[7, 3]] * 10


def test_stratified_folds_depend_on_the_seed_only():
    y = np.repeat([0, 1], 20)
    first, again, other = (stratified_folds(y, 4, seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert any(
        not np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True)
    )


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 12 + ["b"] * 9, r"Class 'b' has 9 clips for 10 folds"),
        ([], r"y of shape \(0,\)"),
        (["a", None, "b"], "missing labels"),
        (np.array([1.0, np.nan]), "missing labels"),
        (np.linspace(0, 1, 40), "'continuous'.*KFold"),
    ],
)
def test_labels_without_folds(y, message):
    with pytest.raises(ValueError, match=message):
        stratified_folds(y)


def test_artists_stay_together_and_classes_in_proportion(clips):
    y, artists = clips
    folds = list(StratifiedArtistKFold(5, random_state=0).split(y, y, artists))
    assert_folds(folds, len(y))
    for train, test in folds:
        assert not set(artists[train]) & set(artists[test])
        for label in np.unique(y):
            assert 12 <= (y[test] == label).sum() <= 28  # 20 in proportion


def test_as_scikit_learn_where_nothing_is_missing(clips):
    """The class adds to StratifiedGroupKFold and takes nothing away."""
    y, artists = clips
    ours = StratifiedArtistKFold(5, random_state=3).split(y, y, artists)
    judge = StratifiedGroupKFold(5, shuffle=True, random_state=3)
    # The same groups under the same numbers, since that search goes by their order.
    theirs = judge.split(y, y, artist_groups(artists))
    for (train, test), (judge_train, judge_test) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(train, judge_train)
        np.testing.assert_array_equal(test, judge_test)


def test_clips_without_artist_are_spread():
    """One group of all missing ones would make one fold of 40 of the 60 clips."""
    y = np.tile([0, 1], 30)
    artists = [None] * 40 + ["a", "b", "c", "d"] * 5
    folds = stratified_folds(y, 4, groups=artists)
    assert_folds(folds, 60)
    assert all(14 <= len(test) <= 16 for _, test in folds)


def test_an_artist_with_most_of_a_class():
    """GTZAN's reggae: 35 clips of Bob Marley, and few of anyone else."""
    y = np.repeat(["reggae", "rock"], 50)
    artists = ["marley"] * 35 + [f"a{k}" for k in range(15)] + list(range(50))
    folds = stratified_folds(y, 5, groups=artists, seed=1)
    assert_folds(folds, 100)
    assert sum(0 in test for _, test in folds) == 1
    assert all({"reggae", "rock"} == set(y[train]) for train, _ in folds)


def test_an_artist_with_a_whole_class():
    y = np.repeat(["a", "b"], 12)
    artists = ["one"] * 12 + [f"b{k}" for k in range(12)]
    folds = stratified_folds(y, 3, groups=artists)
    assert_folds(folds, 24)
    assert sum(set(range(12)) <= set(test.tolist()) for _, test in folds) == 1


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_no_fold_is_empty():
    """An old bug of StratifiedGroupKFold: a fold of these clips is empty.

    Where that is mended, this holds as well.
    """
    artists = np.array([0, 1, 2, 3, 2, 1, 2, 2, 1, 0, 2, 2, 2, 2, 0])
    y = np.array([0, 3, 3, 0, 3, 1, 2, 2, 3, 0, 0, 3, 1, 1, 2])
    folds = list(StratifiedArtistKFold(4, shuffle=False).split(y, y, artists))
    assert_folds(folds, 15)  # 4 artists, so one of them in each fold
    for _, test in folds:
        assert len(set(artists[test])) == 1


def test_folds_of_any_draw_are_complete_and_disjoint():
    rng = np.random.default_rng(0)
    for seed in range(100):
        n_groups = rng.integers(3, 7)
        y = np.r_[np.zeros(5, int), np.ones(5, int), rng.integers(0, 2, 20)]
        artists = np.r_[np.arange(n_groups), rng.integers(0, n_groups, 30 - n_groups)]
        folds = stratified_folds(y, 3, groups=artists, seed=seed)
        assert_folds(folds, 30)
        for train, test in folds:
            assert not set(artists[train]) & set(artists[test])


def test_an_empty_fold_gets_a_group():
    from userlogfeat.evaluation.folds import _fill_empty_folds

    groups = np.array([0] * 5 + [1] * 4 + [2] + [3] * 3)
    fold_of = np.array([0] * 10 + [2] * 3)
    _fill_empty_folds(fold_of, groups, 3)
    # Fold 0 has 10 clips; its groups have 5, 4 and 1: half of it goes.
    assert fold_of.tolist() == [1] * 5 + [0] * 5 + [2] * 3


def test_as_cv_of_scikit_learn(clips):
    y, artists = clips
    X = np.random.default_rng(1).normal(size=(300, 4)) + (y == "metal")[:, None]
    cv = StratifiedArtistKFold(5, random_state=0)
    model = LogisticRegression()
    scores = cross_val_score(model, X, y, cv=cv, groups=artists)
    assert len(scores) == cv.get_n_splits() == 5
    search = GridSearchCV(model, {"C": [0.1, 1]}, cv=cv).fit(X, y, groups=artists)
    assert search.n_splits_ == 5
    assert repr(cv) == "StratifiedArtistKFold(n_splits=5, random_state=0, shuffle=True)"


def test_artist_folds_that_cannot_be():
    cv = StratifiedArtistKFold(3)
    y = [0, 1, 0, 1, 0, 1]
    with pytest.raises(ValueError, match=r"groups=None.*Pass groups=artists"):
        next(cv.split(y, y))
    with pytest.raises(ValueError, match="2 artists for 3 folds"):
        next(cv.split(y, y, ["a", "b"] * 3))
    with pytest.raises(ValueError, match="2 artists for 6 labels"):
        next(cv.split(y, y, ["a", "b"]))


def test_the_seed_decides_which_artists_are_tested(clips):
    y, artists = clips
    one, again, other = (
        stratified_folds(y, 5, groups=artists, seed=seed)[0][1] for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_as_many_folds_as_clips_of_a_class():
    folds = stratified_folds(["a"] * 3 + ["b"] * 6, 3)
    assert [len(test) for _, test in folds] == [3, 3, 3]


def test_an_empty_fold_gets_half_of_the_largest():
    """Fold 0 has artists of one, two and one clips; fold 2, the last, has none."""
    fold_of, groups = np.array([0, 0, 0, 0, 1]), np.array([0, 1, 1, 2, 3])
    _fill_empty_folds(fold_of, groups, 3)
    assert fold_of.tolist() == [0, 2, 2, 0, 1]


def test_n_per_class_takes_n_of_each():
    y = np.random.default_rng(0).permutation(np.repeat(list("abc"), [30, 40, 50]))
    rows = n_per_class(y, 20)
    assert np.unique(y[rows], return_counts=True)[1].tolist() == [20, 20, 20]
    assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize("grouped", [False, True])
def test_subsets_are_nested(clips, grouped):
    y, artists = clips
    groups = artists if grouped else None
    subsets = [set(n_per_class(y, n, groups=groups, seed=2)) for n in (1, 5, 20, 100)]
    assert [len(subset) for subset in subsets] == [3, 15, 60, 300]
    assert all(few < many for few, many in pairwise(subsets))
    assert subsets[1] != set(n_per_class(y, 5, groups=groups, seed=3))


def test_no_class_disturbs_the_draw_of_another():
    """Clips of one class more or less, and the other's stay the same ones."""
    for seed in range(5):
        draws = [
            n_per_class(["a"] * n + ["b"] * 30, 3, seed=seed) - n for n in (5, 9, 30)
        ]
        assert len({tuple(rows[rows >= 0]) for rows in draws}) == 1


def test_every_class_has_a_draw_of_its_own():
    """Two classes of as many clips are not given clips at the same places."""
    draws = [n_per_class(["a"] * 30 + ["b"] * 30, 3, seed=s) for s in range(5)]
    same = [(rows[:3] == rows[3:] - 30).all() for rows in draws]
    assert not any(same)  # by chance one in 4060


def test_subsets_are_spread_over_artists():
    """30 clips of one artist, 2 of another, one of a third, and two of nobody."""
    artists = ["a"] * 30 + ["b"] * 2 + ["c", None, None]
    y = ["x"] * 35
    for seed in range(5):
        rows = n_per_class(y, 5, groups=artists, seed=seed)
        assert (rows < 30).sum() == 1
        assert (rows >= 32).sum() == 3
        rows = n_per_class(y, 7, groups=artists, seed=seed)
        assert (rows < 30).sum() == 2
        assert ((rows >= 30) & (rows < 32)).sum() == 2


def test_draws_of_one_artist_each_are_fair():
    """Whose clip is the first does not depend on the order of the artists."""
    artists = np.repeat(np.arange(4), 5)
    first = [n_per_class([0] * 20, 1, groups=artists, seed=s)[0] for s in range(400)]
    assert np.bincount(artists[first]).min() > 70  # 100 expected, sd 8.7
    assert np.bincount(first, minlength=20).min() > 4  # 20 expected


def test_a_class_with_fewer_clips():
    y = ["a"] * 3 + ["b"] * 9
    with pytest.raises(ValueError, match=r"Class 'a' has 3 clips, expected n=5"):
        n_per_class(y, 5)
    assert n_per_class(y, 5, fewer="all")[:3].tolist() == [0, 1, 2]
    assert len(n_per_class(y, 5, fewer="all")) == 8
    for n in (0, 1.5):
        with pytest.raises(ValueError, match=rf"n={n}"):
            n_per_class(y, n)
    with pytest.raises(ValueError, match="fewer='skip'"):
        n_per_class(y, 1, fewer="skip")
