"""Eight processes at once on one machine: no deadlock, nothing lost, few threads."""

import multiprocessing
import os
from pathlib import Path

import pytest

from userlogfeat.tables import FeatureTable

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")
# What the threat model says: this one, one per processor and eight for input and output
# of pyarrow, and one for a bar.
MOST_THREADS = 1 + (os.cpu_count() or 1) + 8 + 1


@pytest.fixture
def kills(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import robustness_kills

    return robustness_kills


@pytest.mark.long
def test_eight_processes_extract_and_read(tmp_path, kills):
    """Four into one table, two into others, two that read all the time."""
    clips = kills.make_clips(tmp_path / "clips")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(kills.PRELOADED)
    results = context.SimpleQueue()
    tables = ["one", "one", "one", "one", "two", "three"]
    works = [("extract", table) for table in tables] + [
        ("read", "one"),
        ("read", "two"),
    ]
    processes = [
        context.Process(
            target=kills.work_in_a_crowd, args=(results, str(tmp_path), *work)
        )
        for work in works
    ]
    for process in processes:
        process.start()
    answers = [results.get() for _ in processes]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert max(n_threads for _, n_threads in answers) <= MOST_THREADS
    expected = kills.rows_of(tmp_path / "one")[0]
    assert len(expected) == len(clips)
    for table in ("two", "three"):
        assert kills.rows_of(tmp_path / table)[0] == expected
        assert FeatureTable(tmp_path / table).status_counts() == {"ok": len(clips)}
