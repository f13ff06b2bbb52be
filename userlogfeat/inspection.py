"""Describe what this library has written: tables, factors, models, indexes."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import torch

from userlogfeat._ids import examples
from userlogfeat._onnx import read_onnx
from userlogfeat._typing import PathLike
from userlogfeat.factor_files import ITEMS, read_factors
from userlogfeat.recommendation.index import CONFIG as INDEX
from userlogfeat.recommendation.index import ItemIndex
from userlogfeat.tables import OK, FeatureTable
from userlogfeat.users.tower_files import read_tower_config
from userlogfeat.weights import (
    CONFIG,
    ModelError,
    find_controls,
    find_model,
    library_versions,
    list_weights,
    read_config,
)


def describe(path: PathLike | None = None) -> dict[str, Any]:
    """Describe a feature table, factors, an index or a model in a few lines.

    Parameters
    ----------
    path : str or Path, optional
        A feature table, a folder of factors, a saved index, a saved model or its name,
        or a model that was exported to ONNX. None describes the installation.

    Returns
    -------
    dict of str to object
        One line each.

    Raises
    ------
    ValueError
        Where it is none of these.
    """
    if path is None:
        return _installation()
    if not str(path):
        raise ValueError('Got an empty path. For the present folder pass ".".')
    if Path(path).is_file() and Path(path).suffix == ".onnx":
        return _onnx(path)
    if Path(path).is_file():
        raise ValueError(
            f"{path} is a file, but feature tables, factors and saved models are "
            "folders. Pass the folder that it is in."
        )
    if FeatureTable(path).exists():
        return _table(FeatureTable(path))
    if (Path(path) / ITEMS).exists():
        return _factors(path) | _tower(path)
    if (Path(path) / INDEX).exists():
        return _index(path)
    tables = _tables_below(Path(path))
    if tables:
        raise ValueError(
            f"{path} is a folder of feature tables, such as the cache of an estimator: "
            "one for each model and setting. Pass one of them: "
            f"{examples(tables, write=str)}."
        )
    try:
        return _model(path)
    except ModelError as error:
        if (Path(path) / CONFIG).exists():
            raise
        raise ValueError(
            f"There is no feature table and there are no factors in {str(path)!r}. "
            f"{error}"
        ) from error


def _tables_below(folder):
    children = sorted(folder.iterdir()) if folder.is_dir() else []
    return [c for c in children if c.is_dir() and FeatureTable(c).exists()]


def _table(table):
    rows = table.read(["status", "seconds"])
    seconds = pc.sum(rows.filter(pc.equal(rows["status"], OK))["seconds"]).as_py() or 0
    counts, parts = table.status_counts(), table.parts()
    n_bytes = sum(part.n_bytes for part in parts)
    return {
        "feature table": table.folder,
        "clips": ", ".join(f"{count} {status}" for status, count in counts.items()),
        "audio": f"{seconds / 3600:.2f} h",
        "layers": _sizes(table.layer_sizes),
        "fingerprint": table.fingerprint,
        "made by": " ".join(table.made_by.split()),
        "on disk": f"{n_bytes / 1e6:.1f} MB, {len(parts)} parts",
    }


def _factors(folder):
    factors = read_factors(folder)
    return {
        "factors": folder,
        "users": len(factors.user_ids),
        "items": len(factors.item_ids),
        "length": factors.n_factors,
        **factors.made_by,
    }


def _index(folder):
    index = ItemIndex.load(folder)
    return {
        "index": folder,
        "items": len(index.ids),
        "metric": index.metric,
        "search": index.method,
        "recall": f"{index.recall:.3f}",
    }


def _tower(folder):
    """Lines on the tower that made a folder of factors, if one did."""
    if not (Path(folder) / CONFIG).exists():
        return {}
    config = read_tower_config(folder)
    known = [column["name"] for column in config["demographics"]]
    return {
        "attributes": ", ".join(config["attributes"]) or "none",
        "demographics": ", ".join(known) or "none",
        "groups": ", ".join(config["groups"]),
        **_data(config),
    }


def _model(name):
    config = read_config(find_model(name))
    twins = [f"{len(t)} of {kind}" for kind, t in find_controls(name).items()]
    return {
        "saved model": name,
        "class": config["class"],
        "network": config["network"]["name"],
        **_encoder(config),
        "layers": _sizes({k: layer["size"] for k, layer in config["layers"].items()}),
        **({"control twins": ", ".join(twins)} if twins else {}),
        **_data(config),
    }


def _onnx(path):
    """Lines on an exported model."""
    model = read_onnx(path, "cpu")
    rate = model.metadata["sample_rate"]
    return {
        "ONNX file": path,
        "class": model.metadata["class"],
        "reads": f"{model.input} at {rate} Hz" if rate else model.input,
        "layers": _sizes(model.layer_sizes),
        "weights": model.metadata["precision"],
        **_data(model.metadata),
    }


def _encoder(config):
    """The line on the encoder that a model names, if it is on one."""
    encoder = config["network"].get("encoder")
    if encoder is None:
        return {}
    revision = f", revision {encoder['revision']}" if encoder["revision"] else ""
    return {"encoder": f"{encoder['name']}{revision} ({encoder['weights_hash'][:12]})"}


def _data(config):
    """Lines on the data and the libraries of a model or a tower."""
    data = config["training_data"]
    feedback = {"feedback": data["feedback"]} if "feedback" in data else {}
    return {
        "learned from": data["description"],
        **feedback,
        "licence": data["licence"],
        "non-commercial": "yes" if data["non_commercial"] else "no",
        "saved with": ", ".join(f"{k} {v}" for k, v in config["versions"].items()),
    }


def _installation():
    return {
        **library_versions(),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "weights": ", ".join(list_weights()) or "none",
    }


def _sizes(layers):
    return ", ".join(f"{name} ({size})" for name, size in layers.items())
