"""What X is, and what it cannot be."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch

from userlogfeat._check import (
    check_audio,
    check_choice,
    check_number,
    check_positive,
    check_weights,
)


@pytest.mark.parametrize(
    "X",
    [
        ["a.wav", "b.wav"],
        ("a.wav", "b.wav"),
        [Path("a.wav"), Path("b.wav")],
        [b"a.wav", b"b.wav"],
        np.array(["a.wav", "b.wav"]),
        np.array([["a.wav"], ["b.wav"]], dtype=object),
        pd.Series(["a.wav", "b.wav"], index=[7, 3]),
        pd.DataFrame({"clip": ["a.wav", "b.wav"]}),
        pl.Series(["a.wav", "b.wav"]),
    ],
    ids=lambda X: f"{type(X).__module__}.{type(X).__name__}",
)
def test_paths(X):
    clips = check_audio(X)
    assert clips.kind == "paths"
    assert [str(getattr(row, "decode", lambda r=row: r)()) for row in clips.rows] == [
        "a.wav",
        "b.wav",
    ]


def test_waveform_rows_and_log_mel():
    assert check_audio(np.ones((2, 5))).kind == "waveforms"
    assert check_audio([[1.0, 2.0], [3.0, 4.0]]).kind == "waveforms"
    assert check_audio(np.ones((2, 5, 3))).kind == "log_mel"
    assert check_audio(np.ones((2, 5))).rows.dtype == np.float32


@pytest.mark.parametrize("shape", [(4, 2, 800), (4, 800, 2), (4, 1, 800)])
@pytest.mark.parametrize("make", [np.asarray, list])
def test_channels_are_no_bands(shape, make):
    with pytest.raises(ValueError, match=r"waveforms of several channels.*the mean"):
        check_audio(make(np.zeros(shape, np.float32)))


def test_ragged_waveforms():
    clips = check_audio([np.ones(3), torch.ones(5)])
    assert [len(row) for row in clips.rows] == [3, 5]
    assert all(row.dtype == np.float32 for row in clips.rows)


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        ("a.wav", TypeError, "expected a list of paths"),
        (["a.wav", 3.0], TypeError, "row 1 is 3.0"),
        (["a.wav", ""], ValueError, "Row 1 of X is an empty path"),
        ([], ValueError, "0 sample"),
        (np.ones(4), ValueError, "Reshape your data"),
        (np.ones((1, 1, 1, 1)), ValueError, r"shape \(1, 1, 1, 1\), expected a list"),
        (np.array([[1.0, np.nan]]), ValueError, "NaN"),
        ([np.ones(3), np.array([1.0, np.inf])], ValueError, "Waveform 1 .* infinity"),
        ([np.ones(3), np.ones(0)], ValueError, "Waveform 1 of X has 0 samples"),
        (sp.csr_matrix(np.ones((2, 2))), TypeError, "[Ss]parse"),
        (None, TypeError, "Got X of type NoneType, expected a list of paths"),
        ({"a": 1}, TypeError, "Got X of type dict"),
        ((path for path in ["a.wav"]), TypeError, "Got X of type generator"),
        (np.zeros((2, 96, 0)), ValueError, r"shape \(2, 96, 0\)"),
        (np.full((2, 5), 20000, np.int16), ValueError, "divide by 32768"),
        ([np.full(5, 20000, np.int16)], ValueError, "Waveform 0 .* divide by 32768"),
        (np.full((2, 5), 100, np.int8), ValueError, "pass X / 128"),
        (np.full((2, 5), 200, np.uint8), ValueError, r"pass \(X - 128.0\) / 128"),
        (np.full((2, 5), 20000, np.int64), ValueError, "pass X / 32768"),
        (np.full((2, 5), 1 << 30, np.int32), ValueError, "pass X / 2147483648"),
    ],
    ids=range(20),
)
def test_what_x_cannot_be(X, error, words):
    with pytest.raises(error, match=words):
        check_audio(X)


def test_choice_and_positive():
    check_choice("a", "letter", ("a", "b"))
    with pytest.raises(ValueError, match="Got letter='c', expected one of 'a', 'b'"):
        check_choice("c", "letter", ("a", "b"))
    check_positive(2, "n", integer=True)
    for value in (0, -1, float("nan"), float("inf"), "2", None, True):
        with pytest.raises(ValueError, match="expected a positive finite number"):
            check_positive(value, "n")
    with pytest.raises(ValueError, match="positive finite integer"):
        check_positive(1.5, "n", integer=True)


def test_weights_of_clips():
    assert check_weights(None, 2).tolist() == [1, 1]
    assert check_weights(3, 2, dtype=np.float64).tolist() == [3, 3]
    assert check_weights([1, 2], 2).dtype == np.float32
    for weight, message in (
        ([1, -1], "Negative values in data passed to `sample_weight`"),
        ([0, 0], "at least one non-zero number"),
        ([1], r"shape \(1,\), expected \(2,\)"),
        ([1, np.nan], "sample_weight contains NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            check_weights(weight, 2)


def test_masked_values_and_dates_are_no_samples():
    """Masks were dropped, and dates read as nanoseconds."""
    wave = np.linspace(-1, 1, 9)
    for X in (np.ma.masked_greater([wave], 0.5), [np.ma.masked_greater(wave, 0.5)]):
        with pytest.raises(ValueError, match=r"masked array.*X.filled\(0\)"):
            check_audio(X)
    with pytest.raises(TypeError, match=r"datetime64.*expected numbers"):
        check_audio(np.array([[0, 1]], "datetime64[s]"))


@pytest.mark.parametrize(
    ("value", "ends", "fits"),
    [
        *((0, "[]", True), (0, "(]", False), (1, "[)", False), (1, "(]", True)),
        *((0.5, "()", True), (1.1, "[]", False), (float("nan"), "[]", False)),
        *((True, "[]", False), ("auto", "()", True), ("much", "[]", False)),
    ],
)
def test_numbers_of_an_interval(value, ends, fits):
    if fits:
        check_number(value, "share", 0, 1, ends=ends, also="auto")
        return
    expected = re.escape(f"'auto' or a number in {ends[0]}0, 1{ends[1]}")
    with pytest.raises(ValueError, match=f"Got share=.*, expected {expected}"):
        check_number(value, "share", 0, 1, ends=ends, also="auto")


def test_infinity_is_no_number_and_integers_may_be_asked_for():
    with pytest.raises(ValueError, match=r"n=inf, expected a number in \[2, inf\)"):
        check_number(float("inf"), "n", 2)
    with pytest.raises(ValueError, match=r"n=2\.0, expected an integer in \[2, inf\)"):
        check_number(2.0, "n", 2, integer=True)
    with pytest.raises(ValueError, match=r"Got n=array\(\[3, 4\]\), expected a number"):
        check_number(np.array([3, 4]), "n", 2)


@pytest.mark.parametrize(
    ("X", "match"),
    [
        ([np.ones((2, 9)), np.ones((2, 8))], r"\(2, 8\) and \(2, 9\).*mean\(axis=0\)"),
        ([(np.ones(9), 16000)], "a waveform and its rate.*sample_rate="),
        (
            [{"array": np.ones(9), "sampling_rate": 16000}],
            r"row\['array'\] for row in X",
        ),
        ([None, None], "Row 0 of X is None, expected"),
    ],
)
def test_what_other_libraries_return(X, match):
    """NumPy's errors came through, of inhomogeneous shapes."""
    with pytest.raises((TypeError, ValueError), match=match):
        check_audio(X)
