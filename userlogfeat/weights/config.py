"""config.json of a saved model: what must be in it, and whether it was changed."""

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path

CONFIG = "config.json"
FORMAT = "userlogfeat model 1"
MAX_CONFIG_BYTES = 1 << 20


class ModelError(ValueError):
    """A saved model that is missing, damaged, foreign or changed."""


def read_config(folder):
    """The checked config.json of a model folder, as a dict."""
    path = Path(folder) / CONFIG
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ModelError(
            f"{path} has {path.stat().st_size} bytes, expected at most "
            f"{MAX_CONFIG_BYTES}: it is not a config this library wrote."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not valid JSON ({error}). The file is damaged: copy the model "
            "folder again."
        ) from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config)
        raise ModelError(
            f"{path} has format {found!r}, expected {FORMAT!r}. It was written by "
            "another program, or by another version of userlogfeat."
        )
    if config.get("config_sha256") != digest_of(config):
        raise ModelError(
            f"{path} was edited, or damaged, after it was written: its own SHA-256 "
            "does not fit. Copy the model folder again, or save the model with what "
            "you want to change."
        )
    check_training_data(config.get("training_data"), ModelError)
    return config


def digest_of(config):
    """SHA-256 of a config without the entry that holds it, in hexadecimal."""
    entries = {key: value for key, value in config.items() if key != "config_sha256"}
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def check_training_data(data, error):
    """Raise `error` unless the entry says what the model learned from."""
    expected = {"description": str, "licence": str, "non_commercial": bool}
    if not isinstance(data, dict) or any(
        not isinstance(data.get(key), kind) for key, kind in expected.items()
    ):
        raise error(
            f"Got training_data={data!r}, expected a dict with description (str), "
            "licence (str) and non_commercial (bool): who loads the model must know."
        )


def library_versions():
    """Versions of what the numbers depend on, for configs and benchmarks."""
    libraries = ("userlogfeat", "torch", "numpy", "scikit-learn", "soundfile", "soxr")
    versions = {library: metadata.version(library) for library in libraries}
    return {"python": platform.python_version(), **versions}
