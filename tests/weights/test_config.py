"""config.json: its own digest, and what must be told of the training data."""

import json

import pytest

from userlogfeat.weights.config import (
    FORMAT,
    ModelError,
    check_training_data,
    digest_of,
    library_versions,
    read_config,
)

DATA = {"description": "planted", "licence": "none", "non_commercial": False}


@pytest.fixture
def config():
    config = {"format": FORMAT, "layers": {"a": 1}, "training_data": DATA}
    return config | {"config_sha256": digest_of(config)}


def test_a_config_reads_back(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config, indent=3))
    assert read_config(tmp_path) == config


def test_the_digest_knows_entries_not_layout(config):
    turned = dict(reversed(config.items()))
    assert digest_of(turned) == digest_of(config) == config["config_sha256"]
    assert digest_of(config | {"layers": {"a": 2}}) != digest_of(config)
    assert digest_of(config | {"more": 1}) != digest_of(config)


def test_any_edit_is_seen(tmp_path, config):
    text = json.dumps(config)
    for old, new in (('"a": 1', '"a": 2'), ("none", "mine"), ("false", "true")):
        (tmp_path / "config.json").write_text(text.replace(old, new))
        with pytest.raises(ModelError, match="was edited, or damaged"):
            read_config(tmp_path)


@pytest.mark.parametrize("missing", DATA)
def test_training_data_must_be_whole(missing):
    check_training_data(DATA, ValueError)
    part = {key: value for key, value in DATA.items() if key != missing}
    with pytest.raises(ValueError, match="expected a dict with description"):
        check_training_data(part, ValueError)


def test_versions_name_what_numbers_depend_on():
    assert {"python", "userlogfeat", "torch", "numpy"} <= library_versions().keys()
