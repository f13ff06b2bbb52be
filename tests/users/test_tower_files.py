"""Towers of strangers, whose configs vouch for themselves."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from userlogfeat.networks.user_tower import UserTower
from userlogfeat.users.tower_files import load_tower, save_tower
from userlogfeat.weights.config import ModelError, digest_of

DATA = {"description": "planted", "licence": "none", "non_commercial": False}
AGE = {"name": "age", "mean": 30.0, "scale": 9.0}
LAND = {"name": "land", "values": ["fo", "is"]}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    codes = [torch.arange(9), torch.arange(9) // 3]
    tower = UserTower(codes, n_numbers=2, n_categories=[2], n_units=4, hidden=[6])
    entries = {
        "parameters": {"n_units": 4},
        "groups": ["user_items"],
        "attributes": ["artist"],
        "demographics": [AGE, LAND],
        "training_data": DATA,
        "history": [],
    }
    save_tower(tmp_path / "t", tower.eval(), np.ones(4, np.float32), entries)
    return tmp_path / "t"


def reseal(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    config["config_sha256"] = digest_of(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_a_tower_reads_back(folder):
    _, mean, config = load_tower(folder)
    assert mean.tolist() == [1, 1, 1, 1]
    assert config["demographics"] == [AGE, LAND]


@pytest.mark.parametrize(
    "columns",
    [
        *([AGE | {"scale": scale}, LAND] for scale in (0, -1, np.nan, np.inf, 10**400)),
        *([AGE | {"mean": mean}, LAND] for mean in (np.nan, -np.inf, 10**400)),
        [AGE, LAND | {"name": "age"}],
        [AGE, LAND | {"values": ["fo", "fo"]}],
    ],
)
def test_columns_that_make_no_numbers(folder, columns):
    """A scale of 0 or NaN was read, and new users were embedded as NaN."""
    reseal(folder, demographics=columns)
    with pytest.raises(ModelError, match="no proper entry 'demographics'"):
        load_tower(folder)


@pytest.mark.parametrize("parameters", [{}, {"n_units": 10**9}])
def test_parameters_of_another_size(folder, parameters):
    """Embeddings of items were made as long as the parameters said: 33 GiB."""
    reseal(folder, parameters=parameters)
    with pytest.raises(ModelError, match="no proper entry 'parameters'"):
        load_tower(folder)


@pytest.mark.parametrize(
    ("mean", "said"),
    [(torch.full((4,), torch.nan), "holds NaN"), (torch.ones(4).double(), "float64")],
)
def test_a_mean_embedding_that_is_none(folder, mean, said):
    """NaN in it was read, and users without history were embedded as NaN."""
    path = folder / "model.safetensors"
    save_file(load_file(path) | {"mean_embedding": mean}, path)
    reseal(folder, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(ModelError, match=said):
        load_tower(folder)


def test_nested_deeply(folder):
    text = (folder / "config.json").read_text()
    deep = "[" * 500 + "]" * 500
    (folder / "config.json").write_text(text.replace("[]", deep, 1))
    with pytest.raises(ModelError, match="nested more than 100 times"):
        load_tower(folder)
