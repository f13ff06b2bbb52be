"""Digests are known texts, and differ where what they are made of differs."""

import hashlib

import numpy as np

from userlogfeat._digests import array_digest, json_digest


def test_the_digest_of_json():
    assert json_digest([1]) == hashlib.sha256(b"[1]").hexdigest()
    assert json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
    orders = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert len({json_digest(order, sort_keys=False) for order in orders}) == 2


def test_the_digest_of_arrays():
    zeros = np.zeros((2, 3))
    others = [
        ([], {}),
        ([zeros], {}),
        ([zeros.T], {}),
        ([zeros.astype(np.float32)], {}),
        ([zeros + 1], {}),
        ([zeros], {"text": "settings"}),
        ([np.zeros(())], {}),
    ]
    assert len({array_digest(arrays, **more) for arrays, more in others}) == len(others)
    assert array_digest([zeros]) == array_digest([np.zeros((3, 2)).T])
    assert len(array_digest([zeros], n_bytes=16)) == 32
