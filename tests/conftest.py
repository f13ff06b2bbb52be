"""Fixtures that many tests share."""

import os
from pathlib import Path

import pytest

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
