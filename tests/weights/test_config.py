"""config.json: its own digest, and required facts about the training data."""

import json
from dataclasses import replace

import pytest

from userlogfeat import FRONTENDS
from userlogfeat.weights.config import (
    FORMAT,
    ModelError,
    check_front_end,
    check_training_data,
    digest_of,
    library_versions,
    read_config,
)

DATA = {"description": "planted", "licence": "none", "non_commercial": False}


@pytest.fixture
def config():
    config = {
        "format": FORMAT,
        "class": "CFRegressor",
        "parameters": {},
        "network": {"name": "mlp", "head": [4, 3]},
        "layers": {"a": {"size": 1, "scale": 1.0}},
        "training_data": DATA,
        "versions": {},
        "sha256": "0",
        "fingerprint": [1.0],
    }
    return config | {"config_sha256": digest_of(config)}


def test_a_config_reads_back(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config, indent=3))
    assert read_config(tmp_path) == config


def test_the_digest_knows_entries_not_layout(config):
    turned = dict(reversed(config.items()))
    assert digest_of(turned) == digest_of(config) == config["config_sha256"]
    assert digest_of(config | {"layers": {"b": 1}}) != digest_of(config)
    assert digest_of(config | {"more": 1}) != digest_of(config)


def test_any_edit_is_seen(tmp_path, config):
    text = json.dumps(config)
    edits = (('"scale": 1', '"scale": 2'), ("none", "mine"), ("false", "true"))
    for old, new in edits:
        (tmp_path / "config.json").write_text(text.replace(old, new))
        with pytest.raises(ModelError, match="was edited, or damaged"):
            read_config(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"class": 3},
        {"parameters": None},
        {"network": []},
        {"network": {"head": [4, 3]}},
        {"network": {"name": "mlp", "head": [1] * 100_000}},
        {"layers": {"a": 3}},
        {"layers": {"a": {"size": "1", "scale": 1.0}}},
        {"sha256": None},
        {"fingerprint": "1"},
    ],
    ids=range(9),
)
def test_entries_of_another_kind_are_refused(tmp_path, config, changes):
    """Whoever edits a config can also write its digest anew."""
    config |= changes
    config["config_sha256"] = digest_of(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="does not describe a model: its entry"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("changes", "absurd"),
    [
        ({}, False),
        ({"n_fft": 1 << 20}, True),
        ({"sample_rate": 10**9}, True),
        ({"n_bands": 10**6}, True),
    ],
)
def test_a_front_end_has_bounds(changes, absurd):
    front_end = replace(FRONTENDS["lee2019"], **changes)
    if not absurd:
        check_front_end(front_end)
        return
    with pytest.raises(ModelError, match="n_fft of at most 65536"):
        check_front_end(front_end)


@pytest.mark.parametrize("missing", DATA)
def test_training_data_must_be_whole(missing):
    check_training_data(DATA, ValueError)
    part = {key: value for key, value in DATA.items() if key != missing}
    with pytest.raises(ValueError, match="expected a dict with description"):
        check_training_data(part, ValueError)


def test_versions_name_what_numbers_depend_on():
    assert {"python", "userlogfeat", "torch", "numpy"} <= library_versions().keys()
