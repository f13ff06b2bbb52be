"""Fixtures that many tests share."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from userlogfeat.weights.tensorflow_files import MUSICNN_COMMAND

DATA = Path(
    os.environ.get(
        "USERLOGFEAT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"
    )
)


@pytest.fixture(scope="session")
def data():
    """The folder with the real data sets; the test is skipped where it is missing."""
    if not DATA.is_dir():
        pytest.skip(f"no real data in {DATA} (set USERLOGFEAT_DATA to its folder)")
    return DATA


@pytest.fixture(scope="session")
def musicnn():
    """Whether the weights of the musicnn package are installed; else a skip."""
    if find_spec("musicnn") is None:
        pytest.skip(f"no musicnn weights here: {MUSICNN_COMMAND}")
