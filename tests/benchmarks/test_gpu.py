"""The figures of the GPU benchmark, and that it makes none up."""

import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    """The script as a module, that may record nothing."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import gpu

    def refuse(*args, **kwargs):
        raise AssertionError("recorded")

    monkeypatch.setattr(gpu.reporting, "record", refuse)
    yield gpu
    sys.modules.pop("gpu")


def test_without_a_gpu_nothing_is_measured(gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "measure", None)
    gpu.main([])
    assert capsys.readouterr().out.startswith("No GPU is at hand: nothing was measure")


def test_it_runs_and_prints_on_a_cpu(gpu, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "measure_musicnn", lambda *args: [])
    gpu.main(["--device", "cpu"])
    head, values, last = capsys.readouterr().out.splitlines()
    assert head.split(" | ") == gpu.COLUMNS
    assert values.startswith("SE-CNN 1 | ")
    assert all(float(cell) >= 0 for cell in values.split(" | ")[1:])
    assert last == "Tiny, on a CPU: not recorded."


def test_shares_are_of_the_limits(gpu):
    """10 clips per second of 3 operations and 4 bytes, where 60 and 80 are possible."""
    cells = gpu.row("name", (10, 9, 8, 7), 3, 4, (60, 80))
    assert cells == ["name", "10", "0.50", "0.50", "9", "8", "7"]
    assert gpu.row("name", (1, 1, 1, 1), 3, None, (60, 80))[3] == "not counted"


def test_bytes_are_those_of_the_maps(gpu):
    """With one map: in, between twice, out and to the pool; then the pooled maps."""
    sizes = [96 * 1280, 24 * 256, 8 * 64, 4 * 16, 2 * 4]
    assert gpu.least_bytes(1) == 2 * (5 * sum(sizes) + sum(sizes[1:]))


def test_the_best_pass_counts_and_not_the_first(gpu, monkeypatch):
    times = iter([0, 1, 10, 15, 20, 22])  # the first pass is quick, and not counted
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: next(times))
    calls = []
    taken = gpu.best(lambda: calls.append(1), torch.device("cpu"), rounds=2)
    assert (taken, len(calls)) == (2, 3)
