"""The published protocols of `benchmarks/genre_chen2021.py` on tiny trees."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
HEADER = (
    ",album,artist,artist,set,set,track,track\n"
    ",id,id,name,split,subset,genre_top,title\n"
    "track_id,,,,,,,\n"
)


@pytest.fixture(scope="module")
def genre():
    """The script as a module, and what it imports from its folder."""
    sys.path.insert(0, str(FOLDER))
    import genre_chen2021

    yield genre_chen2021
    sys.path.remove(str(FOLDER))


@pytest.fixture
def plays():
    """Logs of 40 users and the artists 11 to 19."""
    played = np.random.default_rng(0).random((40, 9)) < 0.3
    return sparse.csr_matrix(played.astype(np.float32)), np.arange(11, 20)


@pytest.fixture
def gtzan(genre, tmp_path, monkeypatch):
    """A folder with 12 tracks of two genres, lists, and who plays some of them."""
    import genre_tasks

    for name in ("blues", "rock"):
        (tmp_path / "genres" / name).mkdir(parents=True)
        for i in range(6):
            (tmp_path / "genres" / name / f"{name}.{i:05d}.wav").touch()
    parts = {"train": (0, 1, 2), "valid": (3,), "test": (4, 5)}
    for part, numbers in parts.items():
        names = [f"{g}/{g}.{i:05d}.wav" for g in ("blues", "rock") for i in numbers]
        (tmp_path / f"fault_filtered_{part}.txt").write_text("\n".join(names))
    (tmp_path / "gtzan_lastfm_join.csv").write_text(
        "track,hetrec_artist_id\nblues.00000,11\nblues.00001,12\nblues.00004,13\n"
        "rock.00000,14\n"
    )
    monkeypatch.setattr(genre_tasks, "data_folder", lambda: tmp_path)
    return genre_tasks.full_gtzan(tmp_path / "genres", tmp_path)


def test_the_fault_filtered_split(gtzan):
    train, test = gtzan.published[0]
    names = np.array([Path(path).stem for path in gtzan.paths])
    assert gtzan.title == "GTZAN, fault-filtered: 6/2/4"
    assert set(names[test]) == {
        "blues.00004",
        "blues.00005",
        "rock.00004",
        "rock.00005",
    }
    assert len(train) == 6
    # Of the blues artists 11 and 12 the second teaches; 13 is tested, 14 alone.
    assert gtzan.excluded == {11, 13, 14}
    learned = gtzan.folds[0][0]
    assert set(names[train]) - set(names[learned]) == {"blues.00001"}


def test_seven_to_three_in_every_genre(genre, tmp_path):
    import genre_tasks

    (tmp_path / "fma_small" / "000").mkdir(parents=True)
    rows = ""
    for track in range(1, 41):
        (tmp_path / "fma_small" / "000" / f"{track:06d}.mp3").touch()
        label = "Rock" if track <= 30 else "Folk"
        rows += f"{track},1,{track % 7},a{track % 7},training,small,{label},t\n"
    (tmp_path / "tracks.csv").write_text(HEADER + rows)
    task = genre_tasks.full_fma(tmp_path)
    ((train, test),) = task.folds
    assert len(train) == 28
    assert len(test) == 12
    assert (task.labels[test] == "Rock").sum() == 9


def test_the_whole_pipeline_on_made_up_patches(
    genre, gtzan, plays, monkeypatch, tmp_path
):
    """Patches of max_pool tell the genres; every arm is run on the same clips."""
    rng = np.random.default_rng(0)
    side = np.where(gtzan.labels == "rock", 1.0, -1.0)
    max_pool = [s + 0.1 * rng.normal(size=(12, 3)) for s in side]
    tags = [rng.normal(size=(12, 50)) for _ in side]
    import genre_embedding

    frames = genre_embedding.Frames(
        rng.normal(size=(90, 50)).astype(np.float32), np.repeat(np.arange(9), 10)
    )
    monkeypatch.setattr(genre, "embed_patches", lambda paths, name: (max_pool, tags))
    monkeypatch.setattr(genre, "read_frames", lambda *_: frames)
    monkeypatch.setattr(genre_embedding, "read_plays", lambda: plays)
    users = rng.normal(size=(40, 6)).astype(np.float32)
    monkeypatch.setattr(genre_embedding, "read_users", lambda: users)
    monkeypatch.setattr(genre_embedding, "MAX_EPOCHS", 1)
    monkeypatch.setattr(genre_embedding, "FOLDER", tmp_path)
    found, _ = genre.run("tiny", gtzan, 1)
    assert len(found) == 11
    tested = np.sort(gtzan.folds[0][1])
    for right in found.values():
        np.testing.assert_array_equal(np.flatnonzero(~np.isnan(right[0])), tested)
    assert np.nanmean(found["max_pool"]) == 1


def test_artists_that_teach_are_neither_learned_from_nor_tested(genre):
    """Of a genre's three artists one teaches, of one artist or a tested one none."""
    import genre_tasks

    labels = np.array(["blues"] * 8 + ["rock"] * 4)
    artists = np.array([1, 1, 2, 2, 3, -1, 3, 1, 5, 5, -1, 5])
    train, test = np.array([0, 1, 2, 3, 4, 5, 8, 9, 10]), np.array([6, 7, 11])
    learned, excluded = genre_tasks.split_artists(labels, artists, train, test)
    assert excluded == {1, 2, 3, 5}  # 1, 3 and 5 are tested; 2 is left alone
    assert learned.tolist() == train.tolist()
    learned, excluded = genre_tasks.split_artists(labels, artists, train, test[2:])
    assert excluded == {1, 3, 5}
    assert learned.tolist() == [0, 1, 4, 5, 8, 9, 10]
