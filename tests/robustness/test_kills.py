"""kill -9 at random moments of all who write: nothing lost, doubled or unreadable.

``benchmarks/robustness.py --kills 250`` kills each a good deal more often.
"""

from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")


@pytest.fixture
def kills(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import robustness_kills

    return robustness_kills


@pytest.mark.long
@pytest.mark.parametrize("name", ["Extraction", "Fit", "SavedWeights", "MirexFeatures"])
def test_killed_and_started_again(kills, name, tmp_path):
    n_kills, n_runs, faults = kills.kill_writer(getattr(kills, name), 4, tmp_path)
    assert n_kills >= 4
    assert n_runs >= 1
    assert faults.total() == 0, faults
