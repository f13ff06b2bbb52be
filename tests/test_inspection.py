"""What a folder is said to be."""

import numpy as np
import pytest

from userlogfeat import CFRegressor, FeatureTable
from userlogfeat.export import export_onnx
from userlogfeat.factor_files import Factors, write_factors
from userlogfeat.inspection import describe


def test_a_feature_table(tmp_path):
    settings = {"fingerprint": "print", "layer_sizes": {"mean": 2}}
    with FeatureTable(tmp_path).writer(**settings) as writer:
        writer.add("a.wav", layers={"mean": np.ones(2)}, seconds=1800.0)
        writer.add("b.wav", layers={"mean": np.ones(2)}, seconds=1800.0)
        writer.add("c.wav", status="EmptyAudioError", message="0 bytes")
    said = describe(tmp_path)
    assert said["clips"] == "2 ok, 1 EmptyAudioError"
    assert said["audio"] == "1.00 h"
    assert said["fingerprint"] == "print"


def test_factors(tmp_path):
    factors = Factors(
        np.arange(3), np.ones((3, 4), np.float32), np.arange(7), np.ones((7, 4), "f4")
    )
    write_factors(tmp_path, factors)
    text = " ".join(map(str, describe(tmp_path).values()))
    assert "3" in text
    assert "7" in text


def test_a_model(tmp_path):
    rng = np.random.default_rng(0)
    teacher = CFRegressor("mlp", random_state=0)
    teacher.fit(rng.normal(size=(40, 4)), rng.normal(size=(40, 3)))
    data = {"description": "planted", "licence": "none", "non_commercial": False}
    teacher.save(tmp_path, training_data=data)
    pytest.importorskip("onnx")
    exported = export_onnx(tmp_path, tmp_path / "model.onnx")
    for path in (tmp_path, exported):
        text = " ".join(map(str, describe(path).values()))
        assert "CFRegressor" in text
        assert "planted" in text
        assert "embedding (3)" in text
    assert describe(exported)["reads"] == "features"


def test_nothing_of_ours(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="no feature table and there are no factors"):
        describe(tmp_path)
    with pytest.raises(ValueError, match="is a file, but feature tables"):
        describe(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="Got an empty path"):
        describe("")
