"""FeatureLookup: the rows of a table, in the order asked for."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from userlogfeat import FeatureLookup, FeatureTable
from userlogfeat.tables import TableError

N = 40


@pytest.fixture
def table(tmp_path):
    """Clip i has mean (i, i, i) and max (-i, -i); two clips failed."""
    table = FeatureTable(tmp_path / "table")
    with table.writer(
        fingerprint="f",
        layer_sizes={"mean": 3, "max": 2},
        layer_scales={"mean": 10.0, "max": 0.5},
    ) as writer:
        for i in range(N):
            layers = {"mean": np.full(3, i), "max": np.full(2, -i)}
            writer.add(f"clips/{i}.wav", layers=layers)
        for name in ("short", "cut"):
            writer.add(name, status="EmptyAudioError", message="0 bytes")
    return table


def clips(numbers):
    return [f"clips/{i}.wav" for i in numbers]


@pytest.mark.parametrize("kind", [str, Path, str.encode, np.str_])
def test_rows_follow_the_paths(table, kind):
    X = [kind(clip) for clip in clips([7, 3, 7])]
    found = FeatureLookup(table, scale=False).fit(X).transform(X)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    expected = [[7, 7, 7, -7, -7], [3, 3, 3, -3, -3], [7, 7, 7, -7, -7]]
    np.testing.assert_array_equal(found, expected)


def test_layers_in_the_order_asked_for_and_scaled(table):
    lookup = FeatureLookup(table.folder, layer=("max", "mean"))
    np.testing.assert_array_equal(lookup.transform(clips([2])), [[-1, -1, 20, 20, 20]])
    names = ["max_0", "max_1", "mean_0", "mean_1", "mean_2"]
    assert lookup.get_feature_names_out().tolist() == names
    frame = lookup.set_output(transform="pandas").transform(clips([2, 3]))
    assert frame.columns.tolist() == names
    one = FeatureLookup(table.folder, layer="max", scale=False)
    np.testing.assert_array_equal(one.transform(clips([4])), [[-4, -4]])


def test_the_same_file_by_another_spelling(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = ["./clips/5.wav", tmp_path / "clips" / "6.wav", "clips/../clips/7.wav"]
    found = FeatureLookup(table, layer="mean", scale=False).transform(X)
    assert found[:, 0].tolist() == [5, 6, 7]


def test_works_in_a_pipeline_as_the_features_themselves_do(table):
    X, features = (
        np.array(clips(range(N))),
        FeatureLookup(table).transform(clips(range(N))),
    )
    y = np.arange(N) // 10
    tail = (PCA(1), LogisticRegression())
    model = make_pipeline(FeatureLookup(str(table.folder)), *tail)
    np.testing.assert_array_equal(
        cross_val_predict(model, X, y, cv=5),
        cross_val_predict(make_pipeline(*tail), features, y, cv=5),
    )
    assert clone(model).fit(X, y).score(X, y) > 0.9


def test_missing_and_failed_clips_are_named(table):
    X = [*clips([1]), *[f"new/{i}.wav" for i in range(8)], "short", "cut"]
    with pytest.raises(
        ValueError,
        match=r"8 of 11 clips are not in .*new/0\.wav.*and 3 more.*Extract them.*"
        r"2 of 11 clips failed in .*short \(EmptyAudioError\), cut .*message",
    ):
        FeatureLookup(table).transform(X)


def test_bad_use_is_explained(table, tmp_path):
    with pytest.raises(ValueError, match=r"layer='min', but .* \['mean', 'max'\]"):
        FeatureLookup(table, layer="min").fit(clips([1]))
    with pytest.raises(TypeError, match="Got waveforms, expected paths"):
        FeatureLookup(table).transform(np.zeros((2, 10)))
    with pytest.raises(TypeError, match="expected a list of paths"):
        FeatureLookup(table).transform("clips/1.wav")
    with pytest.raises(TableError, match="no feature table"):
        FeatureLookup(tmp_path / "none").fit(clips([1]))
