"""The file from which a killed training continues; it is replaced after every epoch."""

import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from userlogfeat._digests import array_digest
from userlogfeat._files import replace_file
from userlogfeat._typing import PathLike

NO_CHECKPOINT = (
    "Nothing of the training is kept: pass checkpoint=FOLDER to go on next time."
)
_DIGEST_SIZE = 16  # bytes, at the beginning of a checkpoint


class Checkpoint:
    """File that keeps the state of an unfinished fit.

    Several fits may share a folder, as the candidates of a grid search do: the name of
    the file is a digest of settings and data, so each finds only its own.

    Parameters
    ----------
    folder : str or Path
        Created if missing.
    settings : dict
        Everything that decides the result, as JSON.
    arrays : iterable of ndarray
        The data.
    """

    def __init__(
        self, folder: PathLike, settings: dict[str, Any], arrays: Iterable[np.ndarray]
    ) -> None:
        text = json.dumps(settings, sort_keys=True, default=str)
        name = array_digest(arrays, text=text, n_bytes=12)
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(
                f"Got checkpoint={str(folder)!r}, which is a file, expected a folder: "
                "each fit keeps a file of its own in it."
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.checkpoint"

    def read(self) -> dict[str, Any] | None:
        """Read the state; None if there is no file."""
        if not self.path.is_file():
            return None
        data = self.path.read_bytes()
        if _checksum(data[_DIGEST_SIZE:]) != data[:_DIGEST_SIZE]:
            raise ValueError(
                f"The checkpoint {self.path} is damaged: its digest is not that of "
                "what it holds. Delete it to start that fit again."
            )
        state = io.BytesIO(data[_DIGEST_SIZE:])
        return torch.load(state, map_location="cpu", weights_only=True)

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file by one with `state`: tensors and plain values."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with replace_file(self.path) as temporary:
            data = buffer.getvalue()
            temporary.write_bytes(_checksum(data) + data)

    def remove(self) -> None:
        """Delete the file when the fit has ended."""
        self.path.unlink(missing_ok=True)


def _checksum(data):
    return hashlib.blake2b(data, digest_size=_DIGEST_SIZE).digest()
