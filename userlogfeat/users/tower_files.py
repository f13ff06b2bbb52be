"""A saved user tower: model.safetensors and config.json in a folder, checked on load.

As for audio models (``weights``): no code is run, SHA-256 and shapes are compared, and
the *fingerprint* is the embedding of a fixed input, here of a user who played every
item and is otherwise unknown.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, Field, PositiveInt, ValidationError
from safetensors.torch import load as load_tensors

from userlogfeat._typing import PathLike
from userlogfeat.networks.user_tower import UserBatch, UserTower
from userlogfeat.users.demographics import Demographics
from userlogfeat.weights.config import (
    CONFIG,
    TENSORS,
    ModelError,
    check_training_data,
    explained,
    library_versions,
    missing_files,
    read_sealed,
    read_weights,
    write_folder,
)

FORMAT = "userlogfeat user tower 1"
MEAN = "mean_embedding"  # the tensor that is not the network's
TOLERANCE = 1e-3  # relative difference of the fingerprint between machines
MAX_TENSOR_BYTES = 1 << 34  # of model.safetensors: 40 units of 50 million items
MAX_LAYERS = 64  # fully connected ones
MAX_NUMBER = 1e300  # of a mean or a scale


def _are_groups(names):
    """Require histories of plays, and perhaps of likes and dislikes, in this order."""
    if names not in [["user_items", *rest] for rest in _VERDICTS]:
        raise ValueError(f"unknown groups {names}")
    return names


def _are_different(columns):
    """Require that no name, and no value of a category, comes twice."""
    names = [column.name for column in columns]
    values = [column.values for column in columns if isinstance(column, _Category)]
    if any(len(set(names)) < len(names) for names in [names, *values]):
        raise ValueError("a name comes twice")
    return columns


_VERDICTS = ([], ["liked"], ["disliked"], ["liked", "disliked"])


class _Number(BaseModel, strict=True, extra="forbid"):
    name: str
    mean: Annotated[float, Field(gt=-MAX_NUMBER, lt=MAX_NUMBER)]
    scale: Annotated[float, Field(gt=0, lt=MAX_NUMBER)]


class _Category(BaseModel, strict=True, extra="forbid"):
    name: str
    values: list[str]


class _Config(BaseModel, strict=True):
    """The entries of config.json that are used."""

    sha256: str
    parameters: dict[str, Any]
    versions: dict[str, Any]
    fingerprint: list[float]
    n_units: PositiveInt
    hidden: Annotated[list[int], Field(max_length=MAX_LAYERS)]
    attributes: list[str]
    groups: Annotated[list[str], AfterValidator(_are_groups)]
    demographics: Annotated[list[_Number | _Category], AfterValidator(_are_different)]


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
    tensors[MEAN] = torch.from_numpy(mean_embedding)
    write_folder(folder, tensors, config)


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
    """Read and check the config.json of a tower's folder."""
    folder = Path(folder)
    if missing := missing_files(folder):
        raise ModelError(
            f"There is no saved tower in {folder}: it lacks {missing[0]}. It is "
            "written by UserEmbedding.save(folder)."
        )
    config = read_sealed(folder / CONFIG, FORMAT)
    wrong = None
    try:
        checked = _Config.model_validate(config)
    except ValidationError as error:
        wrong = error.errors()[0]["loc"][0]
    else:
        if checked.parameters.get("n_units") != checked.n_units:
            wrong = "parameters"
    if wrong is not None:
        raise ModelError(
            f"{folder / CONFIG} has no proper entry {wrong!r}. It was edited, or "
            "written by another version of userlogfeat."
        )
    return config


def _build(config, tensors):
    """Build the network with the tensors of the file, which determine its size."""
    demographics = Demographics(config["demographics"])
    n_tables = 1 + len(config["attributes"])
    codes = [tensors[f"codes_{index}"] for index in range(n_tables)]
    if any(c.dtype != torch.int64 or c.ndim != 1 or len(c) == 0 for c in codes):
        raise ValueError("codes of items are not whole numbers, one per item")
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
    """Embed a user who played every item and is otherwise unknown."""
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
