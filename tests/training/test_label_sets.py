"""Labels in every form give the same indicators; several sets are told apart."""

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
