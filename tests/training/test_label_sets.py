"""Labels in every form give the same indicators; several sets are distinguished."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from userlogfeat.training.label_sets import read_label_sets

MATRIX = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0]])


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (MATRIX, [0, 1, 2]),
        (MATRIX.astype(bool), [0, 1, 2]),
        (sparse.coo_matrix(MATRIX), [0, 1, 2]),
        (sparse.csr_array(MATRIX), [0, 1, 2]),
        (pl.DataFrame(MATRIX, schema=["a", "b", "c"]), ["a", "b", "c"]),
        ([{"a", "c"}, "b", None, ["a", "b"]], ["a", "b", "c"]),
        ([("c", "a"), ["b"], [], np.array(["b", "a", "a"])], ["a", "b", "c"]),
    ],
)
def test_every_form(y, names):
    sets = read_label_sets(y, 4)
    assert sets.labels.tolist() == names
    np.testing.assert_array_equal(sets.indicators.toarray(), MATRIX)
    assert sets.datasets == [None]
    assert sets.columns(0) == slice(0, 3)


def test_one_label_a_clip():
    sets = read_label_sets(np.array(["rock", "jazz", "rock"]), 3)
    assert sets.labels.tolist() == ["jazz", "rock"]
    assert sets.indicators.toarray().tolist() == [[0, 1], [1, 0], [0, 1]]
    with_none = np.array(["rock", None, "jazz"], dtype=object)
    assert read_label_sets(with_none, 3).indicators.toarray().sum(1).tolist() == [
        1,
        0,
        1,
    ]


def test_datasets_have_labels_of_their_own():
    y = ["rock", "jazz", "rock", {"rock", "loud"}]
    sets = read_label_sets(y, 4, ["B", "B", "A", "A"])
    assert sets.datasets == ["A", "B"]
    assert list(zip(sets.label_datasets, sets.labels, strict=True)) == [
        ("A", "loud"),
        ("A", "rock"),
        ("B", "jazz"),
        ("B", "rock"),
    ]
    assert sets.clip_datasets.tolist() == [1, 1, 0, 0]
    assert (sets.columns(0), sets.columns(1)) == (slice(0, 2), slice(2, 4))
    expected = [[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [1, 1, 0, 0]]
    assert sets.indicators.toarray().tolist() == expected


def test_ten_thousand_sparse_labels():
    rng = np.random.default_rng(0)
    columns = np.r_[rng.integers(10000, size=1998), 0, 9999]
    y = sparse.csr_matrix((np.ones(2000), (np.arange(2000) // 4, columns)))
    sets = read_label_sets(y, 500)
    assert sets.indicators.sum() == len(
        np.unique(np.c_[np.arange(2000) // 4, columns], axis=0)
    )
    assert set(sets.labels.tolist()) == set(columns.tolist())


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([[0.3, 0], [0, 1]]), "holds 0.3"),
        (np.zeros((2, 3)), "without any label"),
        (["rock", "rock"], "have 1 class"),
        (["rock"], "inconsistent numbers"),
        (np.array([0.5, 1.5]), "continuous"),
        (np.array([[1, np.nan], [0, 1]]), "NaN"),
    ],
)
def test_bad_labels(y, message):
    with pytest.raises(ValueError, match=message):
        read_label_sets(y, 2)


def test_bad_datasets():
    with pytest.raises(ValueError, match="data set 'B' have 1 class"):
        read_label_sets(["a", "b", "a"], 3, ["A", "A", "B"])
    with pytest.raises(ValueError, match="Got 2 entries of dataset for 3 clips"):
        read_label_sets(["a", "b", "a"], 3, ["A", "A"])
    with pytest.raises(TypeError, match="cannot be compared"):
        read_label_sets([{"a", 1}, {"b"}], 2)
    with pytest.raises(TypeError, match="cannot be compared: 1 is of kind number, 'b'"):
        read_label_sets([1, "b"], 2)
    y = ["a", "b", "a", "b"]
    with pytest.raises(TypeError, match="data sets in dataset cannot be compared"):
        read_label_sets(y, 4, [1, 1, "x", "x"])
    for missing in (None, float("nan")):
        with pytest.raises(ValueError, match="data sets of 1 clips are missing"):
            read_label_sets(y, 4, ["A", "A", "B", missing])


def frame_of(matrix, names, dtype=None):
    pd = pytest.importorskip("pandas")
    return pd.DataFrame(matrix, columns=list(names), dtype=dtype)


@pytest.mark.parametrize(
    "rows",
    [
        MATRIX.tolist(),
        MATRIX.astype(bool).tolist(),
        [tuple(row) for row in MATRIX.astype(float)],
        [*MATRIX],
    ],
)
def test_a_list_of_rows_is_an_indicator(rows):
    """It was read as collections of the labels 0 and 1, of which no clip lacks any."""
    sets = read_label_sets(rows, 4)
    assert sets.labels.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(sets.indicators.toarray(), MATRIX)


def test_lists_of_numbers_that_are_collections():
    sets = read_label_sets([[0], [1], [0, 1]], 3)
    assert sets.labels.tolist() == [0, 1]
    assert sets.indicators.toarray().tolist() == [[1, 0], [0, 1], [1, 1]]
    assert read_label_sets([[0], [1], [0]], 3).labels.tolist() == [0, 1]
    assert read_label_sets([{0, 1}, {1}], 2).labels.tolist() == [0, 1]
    assert read_label_sets([[3, 4], [4, 5]], 2).labels.tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[1, 0], None, [0, 1]], "of which row 1 is None"),
        ([[0, 0, 2], [1, 0, 0], [0, 1, 0]], r"one is \[0, 0, 2\]"),
        ([[0.2, 0.8], [0.6, 0.4], [1, 0]], "a collection in y holds 0.2"),
    ],
)
def test_lists_that_may_be_two_things(y, message):
    with pytest.raises(ValueError, match=message):
        read_label_sets(y, 3)


def test_nothing_to_distinguish():
    """Loss 0, and the labels stayed where they began."""
    with pytest.raises(ValueError, match="Every clip that has labels has all 3"):
        read_label_sets(np.ones((4, 3)), 4)
    with pytest.raises(ValueError, match="has all 2 of them"):
        read_label_sets([{"a", "b"}, None, {"a", "b"}], 3)
    y = ["a", "b", {"c", "d"}, {"c", "d"}]
    with pytest.raises(ValueError, match="clip of data set 'B' that has labels"):
        read_label_sets(y, 4, ["A", "A", "B", "B"])


@pytest.mark.parametrize("kind", ["series", "objects", "list", "sets", "inside"])
def test_labels_that_are_missing(kind):
    y = ["rock", "jazz", None, float("nan")]
    if kind == "series":
        y = pytest.importorskip("pandas").Series(y[:2] + y[3:], index=[5, 4, 3])
    elif kind == "objects":
        y = np.array(y, dtype=object)
    elif kind == "sets":
        y = [{"rock"}, {"jazz"}, None, float("nan")]
    elif kind == "inside":
        y = [{"rock"}, {"jazz"}, None, {"rock", float("nan")}]
    row = len(y) - 1
    message = rf"labels of 1 clips are missing: y contains NaN \(first: row {row}\)"
    with pytest.raises(ValueError, match=message):
        read_label_sets(y, len(y))


def test_numbers_beside_none():
    sets = read_label_sets([3, None, 7], 3)
    assert sets.labels.tolist() == [3, 7]
    assert sets.indicators.toarray().tolist() == [[1, 0], [0, 0], [0, 1]]


def test_frames():
    indicator = frame_of(MATRIX, "abc")
    for frame in (indicator, indicator.astype(object), indicator.astype("boolean")):
        sets = read_label_sets(frame, 4)
        assert sets.labels.tolist() == ["a", "b", "c"]
        np.testing.assert_array_equal(sets.indicators.toarray(), MATRIX)
    indicator["b"] = indicator["b"].astype(bool)  # objects, as NumPy sees them
    np.testing.assert_array_equal(
        read_label_sets(indicator, 4).indicators.sum(1).T, [[2, 1, 0, 2]]
    )
    genres = frame_of([["rock"], ["jazz"], ["rock"]], ["genre"])
    assert read_label_sets(genres, 3).labels.tolist() == ["jazz", "rock"]
    genres["genre"] = [{"rock"}, {"jazz"}, {"rock", "loud"}]
    assert read_label_sets(genres, 3).labels.tolist() == ["jazz", "loud", "rock"]


@pytest.mark.parametrize(
    ("names", "dtype", "value", "message"),
    [
        ("aba", None, 1, "2 columns named 'a'"),
        ("abc", object, "rock", "holds 'rock', expected an indicator"),
        ("abc", object, None, "NaN"),
        ("abc", None, np.nan, "NaN"),
        ([("x", 1), ("x", 2), ("y", 1)], None, 1, "columns have several levels"),
    ],
)
def test_bad_frames(names, dtype, value, message):
    frame = frame_of(MATRIX.astype(float), names, dtype)
    frame.iloc[0, 0] = value
    with pytest.raises(ValueError, match=message):
        read_label_sets(frame, 4)


def test_names_are_pythons_own():
    """Whatever form they came in: they were NumPy's in some."""
    names = np.array(["a", "b", "a"])
    forms = [names, list(names), names.astype(object), [{name} for name in names]]
    for y in forms:
        sets = read_label_sets(y, 3, dataset=["A", "A", "A"])
        assert {type(name) for name in (*sets.labels, *sets.label_datasets)} == {str}
    numbers = read_label_sets([{np.int64(3)}, {np.int64(4)}], 2)
    assert {type(name) for name in numbers.labels} == {int}
