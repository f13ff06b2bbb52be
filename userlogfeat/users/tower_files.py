"""A saved user tower: model.safetensors and config.json in a folder, checked on load.

As for models that hear audio (``weights``): no code is run, SHA-256 and shapes are
compared, and the *fingerprint* is the answer to a fixed input, here that of a user who
played every item and is otherwise unknown.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file

from userlogfeat._files import is_described, replace_pair
from userlogfeat._typing import PathLike
from userlogfeat.networks.user_tower import UserBatch, UserTower
from userlogfeat.users.demographics import Demographics
from userlogfeat.weights.config import (
    CONFIG,
    ModelError,
    check_training_data,
    digest_of,
    explained,
    library_versions,
    load_json,
    read_weights,
    sealed,
)

FORMAT = "userlogfeat user tower 1"
TENSORS = "model.safetensors"
MEAN = "mean_embedding"  # the tensor that is not the network's
TOLERANCE = 1e-3  # relative difference of the fingerprint between machines
MAX_TENSOR_BYTES = 1 << 34  # of model.safetensors: 40 units of 50 million items
MAX_LAYERS = 64  # fully connected ones
MAX_NUMBER = 1e300  # of a mean or a scale
_GROUPS = (
    ["user_items"],
    ["user_items", "liked"],
    ["user_items", "disliked"],
    ["user_items", "liked", "disliked"],
)


def save_tower(
    folder: PathLike,
    network: UserTower,
    mean_embedding: np.ndarray,
    entries: dict[str, Any],
) -> None:
    """Write a tower to a folder: at any moment it holds the old one or the new one.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing.
    network : UserTower
    mean_embedding : ndarray of float32, shape (n_units,)
    entries : dict
        ``parameters``, ``groups``, ``attributes``, ``demographics`` and
        ``training_data``, as JSON can hold them.
    """
    check_training_data(entries["training_data"], ValueError)
    network = network.cpu()
    tensors = {k: v.contiguous() for k, v in network.state_dict().items()}
    config = {
        "format": FORMAT,
        "class": "UserEmbedding",
        **entries,
        "hidden": [m.out_features for m in network.layers[:-1:2]],
        "n_units": network.n_units,
        "versions": library_versions(),
        "fingerprint": [float(f"{v:.6g}") for v in _fingerprint(network)],
    }
    json.dumps(config)  # fails before any file is touched
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors[MEAN] = torch.from_numpy(mean_embedding)
    replace_pair(
        folder / TENSORS,
        folder / CONFIG,
        write=lambda path: save_file(tensors, path),
        describe=lambda digest: sealed({**config, "sha256": digest}),
    )


def load_tower(folder: PathLike) -> tuple[UserTower, np.ndarray, dict[str, Any]]:
    """Read what :func:`save_tower` wrote.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    network : UserTower
        In evaluation mode.
    mean_embedding : ndarray of float32, shape (n_units,)
    config : dict

    Raises
    ------
    ModelError
        Where the folder is none, or is damaged, foreign or changed.
    """
    folder = Path(folder)
    config = read_tower_config(folder)
    data = read_weights(folder / TENSORS, config["sha256"], max_bytes=MAX_TENSOR_BYTES)
    with explained(folder):
        tensors = load_tensors(data)
        del data  # as large as they are
        finite = all(torch.isfinite(tensor).all() for tensor in tensors.values())
        mean_embedding = tensors.pop(MEAN).numpy()
        if mean_embedding.shape != (config["n_units"],):
            raise ValueError(f"{MEAN} has shape {mean_embedding.shape}")
        if mean_embedding.dtype != np.float32:
            raise ValueError(f"{MEAN} is of {mean_embedding.dtype}")
        network = _build(config, tensors)
        distance = _distance(_fingerprint(network), config["fingerprint"])
    if not (finite and distance <= TOLERANCE):
        raise ModelError(
            f"The tower in {folder} does not embed its test user as it did when it was "
            f"saved (relative difference {distance:.2g}, expected at most "
            f"{TOLERANCE:g}): a library differs from those in its config, or it holds "
            "NaN. Train it again."
        )
    return network, mean_embedding, config


def read_tower_config(folder: PathLike) -> dict[str, Any]:
    """The checked config.json of a tower's folder, as a dict."""
    folder = Path(folder)
    there = {
        CONFIG: (folder / CONFIG).is_file(),
        TENSORS: is_described(folder / TENSORS),
    }
    for name in there:
        if not there[name]:
            raise ModelError(
                f"There is no saved tower in {folder}: it lacks {name}. It is written "
                "by UserEmbedding.save(folder)."
            )
    config = load_json(folder / CONFIG)
    try:
        form, digest = config["format"], config["config_sha256"]
    except (LookupError, TypeError) as error:
        raise ModelError(
            f"{folder / CONFIG} is not a config that UserEmbedding wrote "
            f"({type(error).__name__}: {error}). Copy the folder again."
        ) from error
    if form != FORMAT:
        raise ModelError(
            f"{folder / CONFIG} has format {form!r}, expected {FORMAT!r}. A model that "
            "hears audio is loaded by UserLogEmbedder."
        )
    if digest != digest_of(config):
        raise ModelError(
            f"{folder / CONFIG} was edited, or damaged, after it was written: its own "
            "SHA-256 does not fit. Copy the folder again."
        )
    wrong = [name for name, check in _ENTRIES.items() if not check(config.get(name))]
    if not wrong and config["parameters"].get("n_units") != config["n_units"]:
        wrong = ["parameters"]
    if wrong:
        raise ModelError(
            f"{folder / CONFIG} has no proper entry {wrong[0]!r}. It was edited, or "
            "written by another version of userlogfeat."
        )
    return config


def _is_column(column):
    """Whether an entry of "demographics" is a number or a category."""
    if not isinstance(column, dict) or not isinstance(column.get("name"), str):
        return False
    if "values" in column:
        return _is_list(column["values"], str) and "mean" not in column
    numbers = column.get("mean"), column.get("scale")
    if not all(isinstance(number, int | float) for number in numbers):
        return False
    return abs(numbers[0]) < MAX_NUMBER and 0 < numbers[1] < MAX_NUMBER


def _are_columns(value):
    if not (_is_list(value, dict) and all(map(_is_column, value))):
        return False
    lists = [[c["name"] for c in value], *(c.get("values", []) for c in value)]
    return all(len(set(names)) == len(names) for names in lists)


def _is_list(value, kind):
    return isinstance(value, list) and all(isinstance(entry, kind) for entry in value)


_ENTRIES = {
    "sha256": lambda value: isinstance(value, str),
    "parameters": lambda value: isinstance(value, dict),
    "versions": lambda value: isinstance(value, dict),
    "fingerprint": lambda value: _is_list(value, float | int),
    "n_units": lambda value: type(value) is int and value > 0,
    "hidden": lambda value: _is_list(value, int) and len(value) <= MAX_LAYERS,
    "attributes": lambda value: _is_list(value, str),
    "groups": lambda value: value in _GROUPS,
    "demographics": _are_columns,
}


def _build(config, tensors):
    """The network, with the tensors of the file, which say how large it is."""
    demographics = Demographics(config["demographics"])
    n_tables = 1 + len(config["attributes"])
    codes = [tensors[f"codes_{index}"] for index in range(n_tables)]
    if any(c.dtype != torch.int64 or c.ndim != 1 or len(c) == 0 for c in codes):
        raise ValueError("codes of items are not whole numbers, one an item")
    if len({len(c) for c in codes}) > 1:
        raise ValueError("codes are of different numbers of items")
    with torch.device("meta"):  # no memory before shapes are compared
        network = UserTower(
            codes,
            n_groups=len(config["groups"]),
            n_numbers=demographics.n_numbers,
            n_categories=demographics.n_categories,
            n_units=config["n_units"],
            hidden=config["hidden"],
        )
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != expected:
        raise ValueError(f"its tensors have shapes {found}, expected {expected}")
    network.load_state_dict(tensors, assign=True)
    return network.eval()


@torch.no_grad()
def _fingerprint(network):
    """The embedding of a user who played every item and is otherwise unknown."""
    every = torch.arange(len(network.codes_0))
    nothing = torch.zeros(0, dtype=torch.int64)
    n_others = network.n_groups - 1
    n_lookups = network.n_groups * len(network.tables) + len(network.categories)
    n_numbers = network.layers[0].in_features - n_lookups * network.n_units
    batch = UserBatch(
        (every, *[nothing] * n_others),
        (torch.zeros_like(every), *[nothing] * n_others),
        torch.zeros(1, n_numbers),
        torch.zeros(1, len(network.categories), dtype=torch.int64),
    )
    return network.eval()(batch)[0].numpy()


def _distance(found, expected):
    expected = np.asarray(expected, dtype=np.float64)
    if found.shape != expected.shape:
        return float("inf")
    return np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-12)
