"""Files that were made to fill the memory: read within the bounds of the threat model.

Each is made and read in one other process, ``benchmarks/robustness_bounds.py``, which
says by how much its memory rose.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
READ = ("log_of_one_pair",)  # what is long, but nothing is wrong with


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What was said of each file, and by how much memory rose, in MB."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not report the peak memory of a process")
    script = str(BENCHMARKS / "robustness_bounds.py")
    found = subprocess.run(
        [sys.executable, script, str(tmp_path_factory.mktemp("bounds"))],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


@pytest.mark.long
def test_memory_stays_within_its_bound(measured):
    beyond = [line for line in measured if line["peak"] > line["bound"]]
    assert beyond == []
    assert len(measured) == 15


@pytest.mark.long
def test_all_but_one_are_refused_in_words(measured):
    clear = ("TooLongAudioError", "CorruptAudioError", "ModelError", "TableError")
    for line in measured:
        kind = "read" if line["name"] in READ else (*clear, "ValueError")
        assert line["said"].startswith(kind), line
