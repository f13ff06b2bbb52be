"""Digests: short texts that differ where what they were made of differs."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from userlogfeat._typing import ArrayLike


def json_digest(value: Any, *, sort_keys: bool = True) -> str:
    """SHA-256 of a value as JSON, 64 hexadecimal letters.

    Parameters
    ----------
    value : object
        Anything that JSON can hold.
    sort_keys : bool
        Whether dicts of the same entries in another order have the same digest.

    Returns
    -------
    str
    """
    text = json.dumps(value, sort_keys=sort_keys)
    return hashlib.sha256(text.encode()).hexdigest()


def array_digest(
    arrays: Iterable[ArrayLike], *, text: str = "", n_bytes: int = 8
) -> str:
    """BLAKE2 digest of a text and of arrays: their types, shapes and values.

    Parameters
    ----------
    arrays : iterable of array-like
    text : str
    n_bytes : int
        Length of the digest; each is two letters.

    Returns
    -------
    str
    """
    digest = hashlib.blake2b(text.encode(), digest_size=n_bytes)
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(array.view(np.uint8).reshape(-1).data)
    return digest.hexdigest()
