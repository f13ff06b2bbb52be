"""Models in a scratch folder that somebody else wrote to."""

import hashlib
import json

import numpy as np
import pytest

from userlogfeat.mirex.classifier import Affine, ArrayClassifier, SupportVectors
from userlogfeat.mirex.features import Features
from userlogfeat.mirex.models import Model, _text_of, choose_model, save_model
from userlogfeat.mirex.pipeline import default_pipeline


def make_model():
    """One affine step and a support vector machine of three classes."""
    rng = np.random.default_rng(0)
    machine = SupportVectors(
        rng.normal(size=(6, 4)),
        rng.normal(size=(2, 6)),
        rng.normal(size=3),
        np.array([2, 2, 2]),
        np.array([0.5]),
    )
    affine = Affine(rng.normal(size=(5, 4)), rng.normal(size=4))
    return Model(
        ArrayClassifier([affine], [machine]),
        ["a", "b", "c"],
        np.full(3, 1 / 3),
        False,
        {f"/a/{i}.wav": "abc"[i % 3] for i in range(6)},
        "fp",
        _text_of(default_pipeline()),
    )


def choose(scratch):
    features = Features(
        X=np.zeros((1, 5)),
        statuses=["ok"],
        reasons=[""],
        paths=["/t"],
        fingerprint="fp",
    )
    return choose_model(scratch, features, default_pipeline(), tags=False)


def reseal(path, **changes):
    """A model.json that vouches for itself."""
    config = json.loads(path.read_text()) | changes
    del config["digest"]
    text = json.dumps(config, sort_keys=True)
    config["digest"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "changes",
    [
        {"shares": [float("nan")] * 3},
        {"shares": [-1, 1, 1]},
        {"names": ["a", "a", "c"]},
        {"labels": {"/a.wav": ["a"]}},
        {"made": -1},
        {"made": 1 << 80},
    ],
)
def test_entries_of_a_stranger(tmp_path, changes):
    path = save_model(tmp_path, make_model()) / "model.json"
    assert choose(tmp_path).names == ["a", "b", "c"]
    reseal(path, **changes)
    with pytest.raises(ValueError, match=f"its entry '{next(iter(changes))}' is none"):
        choose(tmp_path)


@pytest.mark.parametrize("made", [[], {}, None, 1e999, "x", 1 << 80])
def test_other_files_beside_it_do_no_harm(tmp_path, made):
    """When a model of another format was made might be no number: saving raised."""
    other = tmp_path / "models" / "other"
    other.mkdir(parents=True)
    (other / "model.json").write_text(json.dumps({"format": "x", "made": made}))
    save_model(tmp_path, make_model())
    assert choose(tmp_path).names == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_folder_in_the_place_of_a_file(tmp_path, name):
    path = save_model(tmp_path, make_model()) / name
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=r"[Tt]rain again"):
        choose(tmp_path)


def test_models_is_a_link_to_elsewhere(tmp_path):
    ours, scratch = tmp_path / "ours", tmp_path / "scratch"
    ours.mkdir()
    scratch.mkdir()
    (scratch / "models").symlink_to(ours)
    with pytest.raises(OSError, match="symbolic link"):
        save_model(scratch, make_model())
    assert list(ours.iterdir()) == []
