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


def test_a_job_that_is_killed_goes_on(year_of_a_service, tmp_path, monkeypatch):
    """Killed before it recommends, and as it writes the index: one year as its twin."""
    year = year_of_a_service
    monkeypatch.setattr(year, "FIRST", 1)
    world = year.World(n_users=30, n_items=60, n_artists=10, n_weeks=3)
    places = {name: tmp_path / name for name in ("twin", "service")}
    for name, place in places.items():
        world.deliver(place, 0)
        for week in (1, 2):
            world.deliver(place, week)
            if name == "service":
                for what in ("recommend_week", "json"):
                    with monkeypatch.context() as patch:
                        patch.setattr(year, what, None)  # it ends here
                        with pytest.raises((TypeError, AttributeError)):
                            year.run_week(place, week)
            year.run_week(place, week)
            year.run_week(place, week)  # again: it is done already
    assert year.find_faults(world, places) == []
    np.save(places["service"] / "audio" / "more.npy", world.audio[0])
    assert year.find_faults(world, places) == [
        "rows of the feature table are lost or too many",
        "rows of the feature table are doubled on disk",
    ]


@pytest.mark.long
def test_six_weeks(year_of_a_service, tmp_path, monkeypatch):
    """A full disk, two jobs at once, a damaged partition; kills in the other weeks."""
    monkeypatch.setattr(year_of_a_service, "FIRST", 2)
    world = year_of_a_service.World(n_users=150, n_items=200, n_artists=30, n_weeks=8)
    scores, _, events, faults = year_of_a_service.year(world, tmp_path)
    assert faults == []
    assert events.pop("kills") > 0
    assert set(events.values()) == {1}
    warm = {name: [week["warm"] for week in scores[name]] for name in scores}
    assert np.mean(warm["service"]) > 0.9 * np.mean(warm["oracle"])


def test_a_damaged_partition_is_named(year_of_a_service, tmp_path):
    world = year_of_a_service.World(n_users=20, n_items=30, n_artists=5, n_weeks=1)
    world.deliver(tmp_path, 0)
    path = tmp_path / "plays" / "week-00.parquet"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"week-00\.parquet could not be read"):
        year_of_a_service.run_week(tmp_path, 0)
    assert not (tmp_path / "factors-00").exists()
