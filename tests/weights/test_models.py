"""Saved models: whole, checked, and refused where anything is off."""

import hashlib
import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from userlogfeat import CFRegressor, list_weights, load_model
from userlogfeat.weights import TENSORS, NonCommercialWarning
from userlogfeat.weights.config import CONFIG, ModelError, digest_of

DATA = {"description": "planted", "licence": "none", "non_commercial": False}


@pytest.fixture
def folder(tmp_path):
    """A small saved model of features, one hidden layer."""
    rng = np.random.default_rng(0)
    teacher = CFRegressor(
        "mlp", head="mlp", hidden=(5,), max_epochs=2, factor_norm="raw", random_state=0
    )
    teacher.fit(rng.normal(size=(40, 4)), rng.normal(size=(40, 3)))
    teacher.save(tmp_path / "model", training_data=DATA)
    return tmp_path / "model"


def edit(folder, **changes):
    """Change entries of the config, and make it vouch for them."""
    config = json.loads((folder / CONFIG).read_text()) | changes
    config["config_sha256"] = digest_of(config)
    (folder / CONFIG).write_text(json.dumps(config))


def rehash(folder):
    """Make the config vouch for whatever the weights are now."""
    digest = hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()
    edit(folder, sha256=digest)


def test_another_account_may_load_it(folder):
    """The weights had mode 0600 whatever the umask, config.json 0644."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    (folder / "plain").touch()
    assert modes == dict.fromkeys(
        (CONFIG, TENSORS), (folder / "plain").stat().st_mode & 0o777
    )


def test_what_is_saved(folder):
    config = json.loads((folder / CONFIG).read_text())
    assert config["class"] == "CFRegressor"
    assert config["network"] == {"name": "mlp", "head": [4, 5, 3]}
    assert config["layers"].keys() == {"embedding"}
    assert config["training_data"] == DATA
    assert {"python", "torch", "userlogfeat"} <= config["versions"].keys()
    tensors = load_file(folder / TENSORS)
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "head.0.weight": (5, 4),
        "head.0.bias": (5,),
        "head.2.weight": (3, 5),
        "head.2.bias": (3,),
    }


def test_loaded_once_and_again_after_a_change(folder):
    first = load_model(folder)
    assert load_model(folder) is first
    assert first.layer_sizes == {"embedding": 3}
    assert not first.reads_audio
    edit(folder, layers={"embedding": {"size": 3, "scale": 9.0}})
    again = load_model(folder)
    assert again.layer_scales == {"embedding": 9.0}
    assert again.fingerprint != first.fingerprint


def flip_a_byte(folder):
    content = bytearray((folder / TENSORS).read_bytes())
    content[-3] ^= 1
    (folder / TENSORS).write_bytes(content)


def truncate(folder):
    (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:-20])


def make_pickle(folder):
    (folder / TENSORS).write_bytes(pickle.dumps({"head.0.weight": torch.zeros(5, 4)}))
    rehash(folder)


def other_shapes(folder):
    tensors = load_file(folder / TENSORS)
    tensors["head.2.bias"] = torch.zeros(4)
    save_file(tensors, folder / TENSORS)
    rehash(folder)


def not_finite(folder):
    tensors = load_file(folder / TENSORS)
    tensors["head.2.bias"][0] = float("nan")
    save_file(tensors, folder / TENSORS)
    rehash(folder)


def other_weights(folder):
    tensors = load_file(folder / TENSORS)
    tensors["head.2.bias"] += 1
    save_file(tensors, folder / TENSORS)
    rehash(folder)


def huge_network(folder):
    edit(folder, network={"name": "mlp", "head": [10**6, 10**7, 10**6]})


def without_licence(folder):
    config = json.loads((folder / CONFIG).read_text())
    config["training_data"]["non_commercial"] = True
    (folder / CONFIG).write_text(json.dumps(config))


def scaled(folder):
    text = (folder / CONFIG).read_text()
    (folder / CONFIG).write_text(text.replace('"scale": ', '"scale": 1'))


def deep_json(folder):
    (folder / CONFIG).write_text("[" * 100_000)


def long_json(folder):
    (folder / CONFIG).write_text(" " * (1 << 20) + "{}")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_byte, "the weights are damaged or from another model"),
        (truncate, "the weights are damaged"),
        (make_pickle, "is not a safetensors file"),
        (other_shapes, "but the network needs"),
        (huge_network, "but the network needs"),
        (not_finite, "NaN or infinite weights"),
        (other_weights, "does not answer its test tone as it did"),
        (deep_json, "is not valid JSON"),
        (long_json, "expected at most 1048576"),
        (lambda f: (f / CONFIG).write_text("not JSON"), "is not valid JSON"),
        (lambda f: (f / CONFIG).write_text("[1]"), "has format <class 'list'>"),
        (lambda f: (f / CONFIG).write_bytes(b"\xff\xfe"), "is not valid JSON"),
        (without_licence, "was edited, or damaged, after it was written"),
        (scaled, "was edited, or damaged, after it was written"),
        (lambda f: edit(f, training_data={}), "Got training_data={}, expected a dict"),
        (lambda f: edit(f, layers={"embedding": {"size": 3, "scale": -1}}), "positive"),
        (lambda f: edit(f, format="pickle 4"), "has format 'pickle 4'"),
        (lambda f: edit(f, network={"name": "os.system"}), "this version builds"),
        (lambda f: edit(f, network={"name": "mlp"}), "does not describe a model"),
        (lambda f: edit(f, network=None), "does not describe a model"),
        (lambda f: edit(f, fingerprint=["a"]), "does not describe a model"),
        (lambda f: edit(f, layers={"embedding": {"size": 8, "scale": 1}}), "lists lay"),
        (lambda f: (f / CONFIG).unlink(), "it lacks config.json"),
        (lambda f: (f / TENSORS).unlink(), "it lacks model.safetensors"),
    ],
    ids=range(24),
)
def test_a_damaged_folder_is_refused(folder, damage, words):
    damage(folder)
    with pytest.raises(ModelError, match=words):
        load_model(folder)


def test_nothing_in_the_folder_is_run(folder, tmp_path):
    """Python files, and names of modules in the config, are only looked at."""
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w')"
    (folder / "__init__.py").write_text(trap)
    (folder / "modeling.py").write_text(trap)
    edit(folder, **{"class": "modeling.Trap", "auto_map": {"AutoModel": "modeling.X"}})
    load_model(folder)
    assert not (tmp_path / "sprung").exists()


def test_a_half_written_model_is_no_model(folder, monkeypatch):
    """A save that fails leaves the old weights, and no temporary files."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("userlogfeat.weights.config.save_file", full)
    rng = np.random.default_rng(1)
    teacher = CFRegressor("mlp", random_state=0)
    teacher.fit(rng.normal(size=(40, 4)), rng.normal(size=(40, 3)))
    with pytest.raises(OSError, match="No space left"):
        teacher.save(folder, training_data=DATA)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "data", [{}, "my logs", None, DATA | {"non_commercial": "no"}], ids=range(4)
)
def test_the_training_data_must_be_stated(folder, data):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    teacher = CFRegressor.load(folder)
    with pytest.raises(ValueError, match=r"Got training_data=.*who loads the model"):
        teacher.save(folder, training_data=data)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_json_cannot_hold_leaves_the_old_model(folder):
    teacher = CFRegressor.load(folder)
    with pytest.raises(TypeError, match="not JSON serializable"):
        teacher.save(folder, training_data=DATA | {"n": np.int64(3)})
    load_model(folder)


def test_unknown_names():
    with pytest.raises(ModelError, match=r"There is no model 'nothing'.*lastfm2k"):
        load_model("nothing")
    with pytest.raises(ModelError, match="There is no model '/no/such/folder'"):
        load_model("/no/such/folder")


@pytest.mark.parametrize("name", [".", "../weights", "lastfm2k-musicnn/.."])
def test_a_relative_path_is_not_looked_for_in_the_package(name, tmp_path, monkeypatch):
    """Folders of the package were named as if they had been given."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ModelError) as caught:
        load_model(name)
    assert "pretrained" not in str(caught.value)


@pytest.mark.parametrize("name", ["C:/model", r"a\b/c", "/models", "./model"])
def test_a_path_is_not_asked_of_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="neither a folder nor one of the bundled"):
        load_model(name)


def test_the_hub_out_of_reach(monkeypatch):
    import huggingface_hub

    def offline(*args, **kwargs):
        raise huggingface_hub.errors.LocalEntryNotFoundError("cannot reach the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        ModelError, match=r"could not be fetched .* cannot reach the hub"
    ):
        load_model("somebody/some-model")


def test_a_model_of_the_hub(monkeypatch, folder):
    import huggingface_hub

    asked = {}

    def download(name, *, allow_patterns):
        asked[name] = allow_patterns
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load_model("somebody/some-model").layer_sizes == {"embedding": 3}
    assert asked == {"somebody/some-model": [CONFIG, TENSORS, "controls/*"]}


def test_the_licence_is_stated_once(folder):
    edit(folder, training_data=DATA | {"licence": "for love", "non_commercial": True})
    with pytest.warns(NonCommercialWarning, match="non-commercial use only .for love"):
        load_model(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(folder)


@pytest.mark.parametrize("name", ["lastfm-mpd-musicnn", "lastfm2k-musicnn"])
def test_bundled_weights(name):
    assert list_weights() == ["lastfm-mpd-musicnn", "lastfm2k-musicnn"]
    model = load_model(name)
    assert model.layer_sizes["max_pool"] == 753
    assert model.layer_sizes["embedding"] == 40
    assert model.config["training_data"]["non_commercial"]
    assert model.reads_audio


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"nonsense": 1}},
        {"parameters": {"network": "mlp", "frontend": {"hop": 1}}},
        {"fitted": None},
        {"fitted": {"single_output": False}},
    ],
    ids=range(4),
)
def test_an_estimator_of_a_strangers_config(folder, changes):
    """Its digests fit, its entries do not: these errors came out as they arose."""
    edit(folder, **changes)
    with pytest.raises(ModelError, match="does not describe a model"):
        CFRegressor.load(folder)


def test_a_loaded_model_names_no_folder_to_write(folder, tmp_path):
    config = json.loads((folder / CONFIG).read_text())
    elsewhere = {**config["parameters"], "checkpoint": str(tmp_path / "elsewhere")}
    edit(folder, parameters=elsewhere)
    assert CFRegressor.load(folder).checkpoint is None
