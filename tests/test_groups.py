"""A missing artist is the same thing everywhere: a group of its own."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from userlogfeat import TeacherData, read_catalogue, read_logs
from userlogfeat._groups import artist_groups, is_missing, warn_of_odd_ids
from userlogfeat.comparison.artist_overlap import (
    check_teacher_data,
    find_artist_overlap,
)
from userlogfeat.estimators import _artists
from userlogfeat.estimators._training import check_groups
from userlogfeat.evaluation.folds import stratified_folds
from userlogfeat.evaluation.leaks import leak_report
from userlogfeat.evaluation.similarity import nearest_clips

MISSING = [None, float("nan"), "", "  ", b"", -1, -1.0, np.float32(-1), pd.NA, pd.NaT]
names = pytest.mark.parametrize("missing", MISSING, ids=repr)


@names
def test_what_is_missing(missing):
    assert is_missing(missing)
    for present in ("-1", "nobody", 0, 1.5, -2, True, b"a"):
        assert not is_missing(present)


@pytest.mark.parametrize(
    "artists",
    [
        ["a", None, "a", np.nan],
        ("a", "", "a", -1),
        np.array([5, -1, 5, -1]),
        pd.Series(["a", pd.NA, "a", None], dtype="string"),
        pd.Series([5, None, 5, None], dtype="Int64"),
        pd.Series(["a", None, "a", None], dtype="category"),
        pl.Series(["a", None, "a", None]),
        pa.array(["a", None, "a", None]),
    ],
    ids=lambda artists: f"{type(artists).__module__}.{type(artists).__name__}",
)
def test_in_whatever_holds_them(artists):
    assert artist_groups(artists).tolist() == [0, 1, 0, 2]
    assert check_groups(artists, np.zeros((4, 1))).tolist() == [0, 1, 0, 2]


# Twenty clips without an artist: as one group they would be in one fold, or on one side
# of a split, and every clip would share its artist with all others.


@names
def test_folds(missing):
    y = np.repeat(["rock", "jazz"], 10)
    for _, test in stratified_folds(y, 5, groups=[missing] * 20):
        assert len(test) == 4


@names
def test_validation_splits(missing):
    assert len(set(check_groups([missing] * 20, np.zeros((20, 1))))) == 20


@names
def test_leaks_and_neighbours(missing):
    leaks = leak_report(range(10), range(10, 20), artists=[missing] * 20)
    assert leaks.get("train", "test", "artist").pairs == []
    features = np.random.default_rng(0).normal(size=(20, 3))
    neighbours = nearest_clips(features, 19, artists=[missing] * 20)
    assert (neighbours >= 0).all()


@names
def test_links(missing):
    X, rng = np.arange(6.0)[:, None], np.random.default_rng(0)
    items = ["a", missing, "b", "b"]
    data = TeacherData(_Estimator(), 10 + X[:4], rng.normal(size=(4, 2)), items)
    data = check_teacher_data(data, 6)
    overlap = find_artist_overlap(data, X, ["a", missing, missing, "c", "c", "b"])
    assert len(set(overlap.student)) == 5  # a, two nobodies, c, b
    assert len(set(overlap.teacher)) == 3
    assert set(overlap.student) & set(overlap.teacher) == {
        overlap.student[0],
        overlap.student[5],
    }


def test_nobody_on_both_sides_is_no_id_of_another_type():
    X = np.arange(4.0)[:, None]
    data = TeacherData(_Estimator(), 10 + X, X, ["a", "b", None, "c"])
    overlap = find_artist_overlap(check_teacher_data(data, 4), X, ["d", None, "e", "f"])
    assert not overlap.certain  # and no error


def test_catalogues(tmp_path):
    path = tmp_path / "tracks.csv"
    path.write_text("clip,item,artist\na,1,7\nb,2,-1\nc,3,7\nd,4,-1\n")
    catalogue = read_catalogue(path, artist="artist", check_files=False)
    assert catalogue.groups().tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("missing", [None, float("nan"), "", b" ", pd.NA], ids=repr)
def test_nobody_is_not_learned_as_an_artist(missing):
    y = np.array(["a", "a", missing, "b"], dtype=object)
    if not isinstance(missing, str | bytes):
        y[[0, 1, 3]] = 1, 1, 2
    with pytest.raises(ValueError, match="The artists of 1 clips are missing"):
        _artists.number_artists(y, np.zeros((4, 1)))
    names = _artists.number_artists([-1, 1], np.zeros((2, 1)))[0]
    assert names.tolist() == [-1, 1]  # classes, as scikit-learn calls two


class _Estimator:
    """What TeacherData asks of an estimator."""

    fit = predict = get_params = set_params = None


def test_words_for_a_missing_artist_give_a_warning():
    """NumPy makes text of NaN beside names; clips with it would be one artist's."""
    artists = np.array(["Can", np.nan, np.nan])
    with pytest.warns(UserWarning, match="artist 'nan' may stand for a missing one"):
        assert artist_groups(artists).tolist() == [0, 1, 1]
    frame = pl.DataFrame(
        {"clip": ["a", "b"], "item": [1, 2], "artist": ["NULL", "Can"]}
    )
    with pytest.warns(UserWarning, match="artist 'NULL' may stand"):
        read_catalogue(frame, check_files=False)


@pytest.mark.parametrize(
    "names",
    [
        ["Bj\u00f6rk", "Bjo\u0308rk"],  # composed or not
        ["Can", "C\u200ban"],  # a space of no width
        ["\u7da0", "\uf93d"],  # a letter that is in Unicode twice
    ],
)
def test_names_that_look_alike(names):
    others = ["Neu!", "Ann", "Ana\u00efs", None, 3]
    with pytest.warns(UserWarning, match=r"Names of the user look alike.*count apart"):
        warn_of_odd_ids([*others, *names, *names], "user", "")
    warn_of_odd_ids(others * 2, "user", "")  # is silent


def test_logs_of_one_user_in_two_forms_of_unicode():
    plays = pl.DataFrame(
        {"user": ["Zo\u00eb", "Zoe\u0308", "Zoe"], "item": list("aab")}
    )
    with pytest.warns(
        UserWarning, match=r"user look alike.*'Zoe\\u0308' and 'Zo\\xeb'"
    ):
        logs = read_logs(plays)
    assert len(logs.user_ids) == 3
