from pathlib import Path

import numpy as np
import pytest

from userlogfeat.datasets.gtzan import (
    artist_filtered,
    fault_filtered,
    gtzan_tracks,
    read_gtzan,
)

GENRES = "blues classical country disco hiphop jazz metal pop reggae rock".split()
ALL = [f"{genre}.{k:05d}" for genre in GENRES for k in range(100)]


@pytest.fixture
def lists(tmp_path):
    """Lists of a tiny fault-filtered split and of two artist-filtered folds."""
    files = {
        "fault_filtered_train.txt": "blues/blues.00000.wav\npop/pop.00002.wav\n",
        "fault_filtered_valid.txt": "blues/blues.00001.wav\n",
        "fault_filtered_test.txt": "hiphop/hiphop.00004.wav\r\n\n",
        "f1_train.txt": "./blues_00000.wav\tblues\n./hiphop_00004.wav\thiphop\n",
        "f1_test.txt": "./blues_00001.wav\n./pop_00002.wav\n",
        "f2_train.txt": "./blues_00001.wav\tblues\n./pop_00002.wav\tpop\n",
        "f2_test.txt": "./blues_00000.wav\n./hiphop_00004.wav\n",
        "f1_train_groups.txt": "./blues_00000.wav\t0\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


CLIPS = ["pop.00002", "blues.00001", "blues.00000", "rock.00000", "hiphop.00004"]


@pytest.mark.parametrize(
    "clip",
    [
        "blues.00042",
        "blues_00042.flac",
        "/data/rock/genres/blues/blues.00042.au",
        Path("pop.00001") / "blues" / "blues-00042.wav",
        r"C:\gtzan\blues\BLUES.00042.WAV",
        b"blues/00042.mp3",
        "gtzan_blues_42.wav",
        "blues00042.30s.ogg",
    ],
)
def test_names_of_tracks(clip):
    assert gtzan_tracks([clip]).tolist() == ["blues.00042"]
    assert gtzan_tracks([]).dtype.kind == "U"


def test_hip_hop_has_many_spellings():
    names = ["hiphop.00001", "Hip-Hop/hip-hop.00001.wav", "hip_hop_00001"]
    assert set(gtzan_tracks(names)) == {"hiphop.00001"}


@pytest.mark.parametrize("clip", ["folk.00001", "blues.wav", "blues.123456.wav"])
def test_clips_that_are_not_gtzan(clip):
    with pytest.raises(ValueError, match=f"clip '{clip}'.*such as 'blues.00000'"):
        gtzan_tracks(["blues.00000", clip])


def test_a_single_name_is_no_list():
    with pytest.raises(TypeError, match=r"expected a list: \['blues.00000'\]"):
        gtzan_tracks("blues.00000")


def test_fault_filtered_by_hand(lists):
    train, valid, test = fault_filtered(CLIPS, lists)
    assert (train.tolist(), valid.tolist(), test.tolist()) == ([0, 2], [1], [4])
    assert train.dtype == np.int64


def test_lists_may_begin_with_a_mark(lists):
    path = lists / "fault_filtered_test.txt"
    path.write_text("\ufeffhiphop.00004\n", encoding="utf-8")
    assert fault_filtered(CLIPS, lists)[2].tolist() == [4]


def test_clips_of_one_track_stay_together(lists):
    train, _, _ = fault_filtered([*CLIPS, "part2/pop.00002.wav"], lists)
    assert train.tolist() == [0, 2, 5]


def test_lists_under_their_other_name(lists):
    for part in ("train", "valid", "test"):
        (lists / f"fault_filtered_{part}.txt").rename(lists / f"{part}_filtered.txt")
    assert fault_filtered(CLIPS, lists)[2].tolist() == [4]
    (lists / "valid_filtered.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"fault_filtered_valid.txt, and no va"):
        fault_filtered(CLIPS, lists)


def test_missing_tracks_are_named(lists):
    with pytest.raises(ValueError, match=r"1 of 4 listed.*missing: pop\.00002\. Pass"):
        fault_filtered(CLIPS[1:], lists)
    with pytest.warns(UserWarning, match=r"pop\.00002"):
        fault_filtered(CLIPS[1:], lists, missing="warn")
    assert fault_filtered(CLIPS[1:], lists, missing="ignore")[0].tolist() == [1]
    with pytest.raises(ValueError, match=r"None of the 4 clips is a track of .*test"):
        fault_filtered(CLIPS[:4], lists, missing="ignore")
    with pytest.raises(ValueError, match="missing='no'"):
        fault_filtered(CLIPS, lists, missing="no")


def test_lists_that_overlap_are_refused(lists):
    (lists / "fault_filtered_valid.txt").write_text("pop.00002\nblues.00001\n")
    with pytest.raises(ValueError, match=r"pop\.00002 are in several of"):
        fault_filtered(CLIPS, lists)


def test_artist_filtered_by_hand(lists):
    folds = artist_filtered(CLIPS, lists)
    assert [(train.tolist(), test.tolist()) for train, test in folds] == [
        ([2, 4], [0, 1]),
        ([0, 1], [2, 4]),
    ]
    with pytest.raises(ValueError, match=r"missing: hiphop\.00004"):
        artist_filtered(CLIPS[:4], lists)
    with pytest.raises(ValueError, match="missing='no'"):
        artist_filtered(CLIPS, lists, missing="no")


def test_artist_filtered_without_lists(lists, tmp_path):
    (lists / "f2_test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no list .*f2_test\.txt"):
        artist_filtered(CLIPS, lists)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected f1_train\.txt"):
        artist_filtered(CLIPS, tmp_path / "empty")


def test_the_splits_of_a_set(lists, tmp_path):
    """Was: `cv` of GTZAN named no split, and the lists did not fit the clips read."""
    for track in ("blues.00000", "blues.00001", "hiphop.00004", "pop.00002"):
        folder = tmp_path / "genres" / track.split(".")[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{track}.wav").touch()
    clips = read_gtzan(tmp_path, missing="ignore")  # in the order of the names
    assert clips.split_names == ("fault_filtered", "artist_filtered")
    with pytest.raises(
        ValueError, match=r"'fault_filtered' and 'artist_filtered': cho"
    ):
        clips.cv()
    with pytest.raises(ValueError, match=r"cv\('fault_filtered', FOLDER\)"):
        clips.cv("fault_filtered")
    with pytest.raises(ValueError, match="split='official', expected one of 'fault_f"):
        clips.cv("official")
    ((train, test),) = clips.cv("fault_filtered", lists)
    assert (train.tolist(), test.tolist()) == ([0, 1, 3], [2])
    ((train, valid),) = clips.cv("fault_filtered", lists, test="validation")
    assert (train.tolist(), valid.tolist()) == ([0, 3], [1])
    folds = clips.cv("artist_filtered", lists)
    assert [test.tolist() for _, test in folds] == [[1, 3], [0, 2]]


@pytest.mark.real
def test_published_lists_of_gtzan(data):
    """443/197/290 tracks, and three disjoint test sets of 948 tracks in all."""
    rng = np.random.default_rng(0)
    clips = rng.permutation([f"x/{track[:-6]}/{track}.au" for track in ALL])
    parts = fault_filtered(clips, data / "gtzan_splits")
    assert [len(part) for part in parts] == [443, 197, 290]
    assert len(set(np.concatenate(parts))) == 930
    folds = artist_filtered(clips, data / "gtzan_splits" / "artist_filtered_3fold")
    assert [len(test) for _, test in folds] == [315, 316, 317]
    assert [len(train) for train, _ in folds] == [633, 632, 631]
    assert len(set(np.concatenate([test for _, test in folds]))) == 948


@pytest.mark.real
def test_the_copy_without_its_broken_track(data):
    clips = [track for track in ALL if track != "jazz.00054"]
    with pytest.raises(ValueError, match=r"1 of 930.*missing: jazz\.00054\."):
        fault_filtered(clips, data / "gtzan_splits")
