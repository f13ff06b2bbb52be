"""A saved user tower: model.safetensors and config.json in a folder, checked on load.

As for models that hear audio (``weights``): no code is run, SHA-256 and shapes are
compared, and the *fingerprint* is the answer to a fixed input, here that of a user who
played every item and is otherwise unknown.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from userlogfeat._files import replace_file, sha256
from userlogfeat.networks.user_tower import UserBatch, UserTower
from userlogfeat.users.demographics import Demographics
from userlogfeat.weights.config import (
    CONFIG,
    MAX_CONFIG_BYTES,
    ModelError,
    check_training_data,
    digest_of,
    library_versions,
)

FORMAT = "userlogfeat user tower 1"
TENSORS = "model.safetensors"
MEAN = "mean_embedding"  # the tensor that is not the network's
TOLERANCE = 1e-3  # relative difference of the fingerprint between machines


def save_tower(folder, network, mean_embedding, entries):
    """Write a tower to a folder; each file is written whole or not at all.

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
    with replace_file(folder / TENSORS) as temporary:
        save_file({**tensors, MEAN: torch.from_numpy(mean_embedding)}, temporary)
    config["sha256"] = sha256(folder / TENSORS)
    config["config_sha256"] = digest_of(config)
    with replace_file(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def load_tower(folder):
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
    if sha256(folder / TENSORS) != config["sha256"]:
        raise ModelError(
            f"{folder / TENSORS} has another SHA-256 than its config says: it is "
            "damaged, or from another model. Copy the folder again."
        )
    try:
        tensors = load_file(folder / TENSORS)
        mean_embedding = tensors.pop(MEAN).numpy()
        network = _build(config, tensors)
        network.load_state_dict(tensors)
        finite = all(torch.isfinite(tensor).all() for tensor in tensors.values())
        distance = _distance(_fingerprint(network), config["fingerprint"])
    except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{folder} does not describe a tower this version can build "
            f"({type(error).__name__}: {error}). It was edited, or written by another "
            "version of userlogfeat."
        ) from error
    if not (finite and distance <= TOLERANCE):
        raise ModelError(
            f"The tower in {folder} does not embed its test user as it did when it was "
            f"saved (relative difference {distance:.2g}, expected at most "
            f"{TOLERANCE:g}): a library differs from those in its config, or it holds "
            "NaN. Train it again."
        )
    return network, mean_embedding, config


def read_tower_config(folder):
    """The checked config.json of a tower's folder, as a dict."""
    folder = Path(folder)
    for name in (CONFIG, TENSORS):
        if not (folder / name).is_file():
            raise ModelError(
                f"There is no saved tower in {folder}: it lacks {name}. It is written "
                "by UserEmbedding.save(folder)."
            )
    try:
        if (folder / CONFIG).stat().st_size > MAX_CONFIG_BYTES:
            raise ValueError(f"longer than {MAX_CONFIG_BYTES} bytes")
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        form, digest = config["format"], config["config_sha256"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
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
    return config


def _build(config, tensors):
    demographics = Demographics(config["demographics"])
    n_tables = 1 + len(config["attributes"])
    return UserTower(
        [tensors[f"codes_{index}"] for index in range(n_tables)],
        n_groups=len(config["groups"]),
        n_numbers=demographics.n_numbers,
        n_categories=demographics.n_categories,
        n_units=config["n_units"],
        hidden=config["hidden"],
    ).eval()


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
