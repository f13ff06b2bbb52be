"""config.json of a saved model: what must be in it, and whether it was changed."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import (
    BaseModel,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)
from safetensors import SafetensorError
from safetensors.torch import save_file

from userlogfeat._digests import json_digest
from userlogfeat._files import is_described, make_folder, read_described, replace_pair
from userlogfeat._stamps import sha256
from userlogfeat._typing import PathLike
from userlogfeat._untrusted import parse_json, read_whole

if TYPE_CHECKING:
    from torch import Tensor

    from userlogfeat.frontends import FrontEnd


CONFIG, TENSORS = "config.json", "model.safetensors"
FORMAT = "userlogfeat model 1"
MAX_CONFIG_BYTES = 1 << 20
# What a config may ask for. Those of the papers need a hundredth of it.
MAX_ENTRIES = 256  # of a list that says how to build a network
MAX_RATE = 768_000  # Hz
MAX_TRANSFORM = 1 << 16  # samples
MAX_FILTERS = 1 << 24  # n_fft x n_bands of a front end


class ModelError(ValueError):
    """A saved model that is missing, damaged, foreign or changed."""


@contextlib.contextmanager
def explained(folder: PathLike) -> Iterator[None]:
    """Re-raise errors that the config of a folder causes as ModelError.

    Parameters
    ----------
    folder : str or Path
        Folder of a saved model.

    Raises
    ------
    ModelError
        In the place of errors that entries of another kind cause.
    """
    try:
        yield
    except ModelError:
        raise
    except (
        SafetensorError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        RuntimeError,
        ArithmeticError,
        AssertionError,
    ) as error:
        raise ModelError(
            f"{Path(folder) / CONFIG} does not describe a model this version can build "
            f"({type(error).__name__}: {error}). It was edited, or written by another "
            "version of userlogfeat."
        ) from error


def read_config(folder: PathLike) -> dict[str, Any]:
    """Read and check the config.json of a model folder."""
    path = Path(folder) / CONFIG
    config = read_sealed(path, FORMAT)
    check_training_data(config.get("training_data"), ModelError)
    _check_entries(path, config)
    return config


def read_sealed(path: Path, form: str) -> dict[str, Any]:
    """Read the text that :func:`sealed` made; compare its format and its digest."""
    config = _load_json(path)
    found = config.get("format") if isinstance(config, dict) else type(config)
    if found != form:
        raise ModelError(
            f"{path} has format {found!r}, expected {form!r}. It was written by "
            "another program, or by another version of userlogfeat. Models of audio "
            "are loaded by UserLogEmbedder, user towers by UserEmbedding."
        )
    if config.get("config_sha256") != digest_of(config):
        raise ModelError(
            f"{path} was edited, or damaged, after it was written: its own SHA-256 "
            "does not fit. Copy the model folder again, or save the model with your "
            "changes."
        )
    return config


def _load_json(path):
    """Read a JSON file of bounded length and depth."""
    try:
        text = read_whole(path, max_bytes=MAX_CONFIG_BYTES)
    except ValueError as error:
        raise ModelError(f"{error} It is not a config this library wrote.") from error
    try:
        return parse_json(text.decode("utf-8"))
    except ValueError as error:
        raise ModelError(
            f"{path} is not valid JSON ({error}). The file is damaged: copy the model "
            "folder again."
        ) from error


def check_front_end(front_end: FrontEnd) -> None:
    """Raise where a front end's filters, or a second of its frames, are absurdly large.

    Parameters
    ----------
    front_end : FrontEnd
    """
    large = (
        front_end.sample_rate > MAX_RATE
        or front_end.n_fft > MAX_TRANSFORM
        or front_end.n_fft * front_end.n_bands > MAX_FILTERS
    )
    if large:
        raise ModelError(
            f"Got the front end {front_end}, expected a sample_rate of at most "
            f"{MAX_RATE}, an n_fft of at most {MAX_TRANSFORM}, and n_fft * n_bands of "
            f"at most {MAX_FILTERS}: no model needs more. Do not use this folder."
        )


class _Network(BaseModel):
    name: StrictStr


class _Layer(BaseModel):
    size: StrictInt
    scale: StrictInt | StrictFloat


class _Entries(BaseModel):
    """The entries of every config; others are allowed."""

    model: StrictStr = Field(alias="class")
    parameters: dict[str, Any]
    network: _Network
    layers: dict[str, _Layer]
    versions: dict[str, Any]
    sha256: StrictStr
    fingerprint: list[Any]


def _check_entries(path, config):
    """Raise unless the entries that are always there are of the right types."""
    wrong = "network" if _longest_list(config.get("network")) > MAX_ENTRIES else None
    try:
        _Entries.model_validate(config)
    except ValidationError as error:
        wrong = error.errors()[0]["loc"][0]
    if wrong:
        raise ModelError(
            f"{path} does not describe a model: its entry {wrong!r} is missing, or of "
            "another kind. It was edited, or written by another version of userlogfeat."
        )


def _longest_list(value):
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return max([len(value), *map(_longest_list, inner)])


def read_weights(path: Path, digest: str, *, max_bytes: int) -> bytes:
    """The bytes of a file of weights, after comparing their SHA-256.

    Parameters
    ----------
    path : Path
    digest : str
        The SHA-256 that the config has.
    max_bytes : int
        The most the file may have.

    Returns
    -------
    bytes
    """
    try:
        data = read_described(path, digest, max_bytes=max_bytes)
    except ValueError as error:
        raise ModelError(f"{error} Do not use this folder.") from error
    if data is None:
        found = f"{sha256(path)[:12]}..." if path.is_file() else "no file"
        raise ModelError(
            f"{path} has another SHA-256 ({found}) than its config says "
            f"({digest[:12]}...): the weights are damaged or from another model. Copy "
            "the folder again."
        )
    return data


def write_folder(
    folder: PathLike, tensors: dict[str, Tensor], config: dict[str, Any]
) -> None:
    """Write tensors and config to a folder: at any moment the old ones or the new ones.

    Two processes that write to one folder take turns.
    """
    json.dumps(config)  # fails before any file is touched
    folder = make_folder(folder, "a model")
    replace_pair(
        folder / TENSORS,
        folder / CONFIG,
        write=lambda path: save_file(tensors, path),
        describe=lambda digest: sealed({**config, "sha256": digest}),
    )


def missing_files(folder: Path) -> list[str]:
    """Names of the files that a folder lacks to be one that :func:`write_folder` wrote.

    Of an update that was interrupted it has both.
    """
    missing = [] if (folder / CONFIG).is_file() else [CONFIG]
    return missing + ([] if is_described(folder / TENSORS) else [TENSORS])


def sealed(config: dict[str, Any]) -> str:
    """A config as the text of its file, with its own SHA-256."""
    config = {**config, "config_sha256": digest_of(config)}
    return json.dumps(config, indent=1) + "\n"


def digest_of(config: dict[str, Any]) -> str:
    """SHA-256 of a config without the entry that holds it, in hexadecimal."""
    entries = {key: value for key, value in config.items() if key != "config_sha256"}
    return json_digest(entries)


def check_training_data(data: Any, error: type[Exception]) -> None:
    """Raise `error` unless the entry says what the model learned from."""
    expected = {"description": str, "licence": str, "non_commercial": bool}
    if not isinstance(data, dict) or any(
        not isinstance(data.get(key), kind) for key, kind in expected.items()
    ):
        raise error(
            f"Got training_data={data!r}, expected a dict with description (str), "
            "licence (str) and non_commercial (bool): who loads the model must know."
        )


def library_versions() -> dict[str, str]:
    """Versions of what the numbers depend on, for configs and benchmarks."""
    libraries = ("userlogfeat", "torch", "numpy", "scikit-learn", "soundfile", "soxr")
    versions = {library: metadata.version(library) for library in libraries}
    return {"python": platform.python_version(), **versions}
