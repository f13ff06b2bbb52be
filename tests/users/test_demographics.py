"""Demographics: numbers with gaps, categories, what was never seen, what is refused."""

from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pytest

from userlogfeat.users.demographics import Demographics


def test_numbers_are_standardised_over_the_users_learned_from():
    """By hand: ages 20, 40 of rows 0 and 1; row 2 is not learned from."""
    frame = pl.DataFrame({"age": [20.0, 40.0, 100.0, None, np.nan]})
    numbers, categories = Demographics.learn(frame, [0, 1]).encode(frame)
    assert numbers.tolist() == [[-1, 0], [1, 0], [7, 0], [0, 1], [0, 1]]
    assert categories.shape == (5, 0)


def test_categories_are_counted_from_one_and_zero_is_unknown():
    frame = pl.DataFrame({"land": ["no", None, "is", "xx"]})
    encoded = Demographics.learn(frame, [0, 1, 2]).encode(frame)[1]
    assert encoded.ravel().tolist() == [2, 0, 1, 0]


def test_categories_of_any_type():
    kinds = {
        "enum": pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
        "categorical": pl.Series(["a", "b"], dtype=pl.Categorical),
        "told": pl.Series([True, False]),
        "nothing": pl.Series([None, None]),
    }
    learned = Demographics.learn(pl.DataFrame(kinds))
    assert learned.n_categories == [2, 2, 2, 0]
    assert learned.encode(kinds)[1].tolist() == [[1, 1, 2, 0], [2, 2, 1, 0]]


def test_a_column_that_is_always_the_same_or_missing_is_no_division_by_zero():
    frame = pl.DataFrame({"a": [3, 3], "b": pl.Series([None, None], dtype=pl.Float64)})
    numbers, _ = Demographics.learn(frame).encode(frame)
    assert numbers.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1]]


def test_columns_in_any_order_of_any_frame():
    frame = pd.DataFrame({"age": [20, 30], "land": ["is", None]})
    learned = Demographics.learn(frame)
    expected = learned.encode(frame)
    turned = pl.from_pandas(frame).select("land", "age")
    for other in (turned, turned.lazy(), turned.to_dict(as_series=False)):
        for found, known in zip(learned.encode(other), expected, strict=True):
            np.testing.assert_array_equal(found, known)


def test_nobody_known():
    frame = pl.DataFrame({"age": [20, 30], "land": ["is", "no"]})
    learned = Demographics.learn(frame)
    missing = pl.DataFrame({"age": [None], "land": [None]}).cast(
        {"age": pl.Int64, "land": pl.String}
    )
    for found, known in zip(learned.unknown(1), learned.encode(missing), strict=True):
        np.testing.assert_array_equal(found, known)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"age": ["old"]}, TypeError, "'age' .* held numbers in fit"),
        ({"land": [1]}, TypeError, "'land' .* held categories in fit"),
        ({"age": [np.inf]}, ValueError, "'age' .* infinite in row 0"),
        ({"height": [1]}, ValueError, r"columns \['age', 'land', 'height'\]"),
    ],
)
def test_what_is_refused(changed, error, message):
    learned = Demographics.learn(pl.DataFrame({"age": [20, 30], "land": ["is", "no"]}))
    with pytest.raises(error, match=message):
        learned.encode({"age": [20], "land": ["is"]} | changed)


def test_dates_and_lists_are_no_demographics():
    with pytest.raises(TypeError, match=r"'born' .* type Date.*the age"):
        Demographics.learn({"born": [date(1990, 1, 1)]})
    with pytest.raises(TypeError, match="of type list, expected a frame"):
        Demographics.learn([1, 2])


@pytest.mark.parametrize("kind", [pl.Null, pl.String, pl.Float64, pl.Int64])
def test_a_column_without_any_value_is_missing(kind):
    """Whatever type it came with: csv makes text of it, pandas floats."""
    learned = Demographics.learn(pl.DataFrame({"age": [20, 30], "land": ["is", "no"]}))
    nothing = pl.Series([None, None], dtype=kind)
    if kind == pl.Float64:
        nothing = nothing.fill_null(np.nan)
    encoded = learned.encode(pl.DataFrame({"age": nothing, "land": nothing}))
    for found, unknown in zip(encoded, learned.unknown(2), strict=True):
        np.testing.assert_array_equal(found, unknown)
