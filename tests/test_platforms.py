"""Windows and macOS, as far as they can be had here."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("without_posix.py")


@pytest.mark.slow
def test_the_main_job_without_posix(tmp_path):
    """Nothing could be saved, loaded or extracted on Windows, which has no fcntl."""
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
