"""A short year of a service: killed jobs lose and double nothing, and quality stays."""

from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def year_of_a_service(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import year_of_a_service

    return year_of_a_service


@pytest.mark.long
def test_six_weeks(year_of_a_service, tmp_path):
    """One with a full disk, and one with two jobs at once; kills in the others."""
    world = year_of_a_service.World(n_users=150, n_items=200, n_artists=30, n_weeks=6)
    scores, _, events, faults = year_of_a_service.year(world, tmp_path)
    assert faults == []
    assert events["kills"] > 0
    assert events["full disk"] == events["refused beside another"] == 1
    # The disturbed service is its twin; see the benchmark for the oracle.
    for group in year_of_a_service.GROUPS:
        ours = [week[group] for week in scores["service"]]
        np.testing.assert_array_equal(ours, [week[group] for week in scores["twin"]])


def test_a_damaged_partition_is_named(year_of_a_service, tmp_path):
    world = year_of_a_service.World(n_users=20, n_items=30, n_artists=5, n_weeks=1)
    world.deliver(tmp_path, 0)
    path = tmp_path / "plays" / "week-00.parquet"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"week-00\.parquet could not be read"):
        year_of_a_service.run_week(tmp_path, 0)
    assert not (tmp_path / "factors-00").exists()
