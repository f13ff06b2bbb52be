"""Columns of labels: types kept, missing ones and mixtures reported."""

import datetime

import numpy as np
import pytest

from userlogfeat._labels import as_labels, is_null, natural, to_python

NAN = float("nan")


def read(values, **settings):
    return as_labels(values, name="y", of="labels", **settings)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["b", "a"], "U"),
        ([np.str_("b"), "a"], "U"),
        ([2, True], "i"),
        (np.array(["b", "a"], dtype=object), "O"),
        (np.array([1.0, 2.0]), "f"),
        ([datetime.date(2018, 9, 23), datetime.date(2013, 11, 4)], "O"),
    ],
)
def test_columns_keep_their_types(values, kind):
    column = read(values)
    assert column.dtype.kind == kind
    assert column.tolist() == list(values)


def test_a_column_of_pandas():
    pd = pytest.importorskip("pandas")
    assert read(pd.Series(["b", "a"]).astype("category")).tolist() == ["b", "a"]
    assert read(pd.Series([2, 1], dtype="Int64")).tolist() == [2, 1]
    with pytest.raises(ValueError, match=r"labels of 1 clips are missing.*row 1\)"):
        read(pd.Series([2, None], dtype="Int64"))


@pytest.mark.parametrize(
    ("values", "held", "row"),
    [
        (["a", NAN], "NaN", 1),
        ([None, "a"], "None", 0),
        (np.array([1, NAN, NAN]), "NaN", 1),
        (np.array(["a", NAN], dtype=object), "NaN", 1),
    ],
)
def test_missing_ones(values, held, row):
    with pytest.raises(ValueError, match=rf"y contains {held} \(first: row {row}\)"):
        read(values)


def test_what_is_missing_may_be_said():
    def is_blank(value):
        return value == ""

    message = r"contains an empty name \(first: row 1\)\. Name it\."
    with pytest.raises(ValueError, match=message):
        read(["a", ""], is_missing=is_blank, advice="Name it.")
    assert read(["a", None], is_missing=is_blank).tolist() == ["a", None]


@pytest.mark.parametrize(
    "values",
    [[1, "a"], [None, 1, "a"], np.array(["a", 1.5], dtype=object), ["a", b"a"]],
)
def test_mixtures(values):
    with pytest.raises(TypeError, match="labels in y cannot be compared"):
        read(values, is_missing=lambda _: False)


def test_other_shapes():
    with pytest.warns(UserWarning, match="column-vector"):
        assert read([["a"], ["b"]]).tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="1d array"):
        read(np.eye(2))


def test_single_values():
    assert [is_null(value) for value in (None, NAN, np.datetime64("NaT"))] == [True] * 3
    assert not any(map(is_null, (0, "", "nan", np.zeros(2))))
    assert type(to_python(np.str_("a"))) is str
    assert type(to_python(np.int64(1))) is int
    assert natural(np.array([1, None], dtype=object)).tolist() == [1, None]


def test_words_for_missing_labels_give_a_warning():
    """NumPy makes a class of NaN beside names."""
    with pytest.warns(UserWarning, match="labels 'nan' may stand for a missing one"):
        as_labels(np.array(["rock", np.nan]), name="y", of="labels")
