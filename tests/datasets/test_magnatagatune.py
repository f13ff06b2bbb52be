"""Magnatagatune: tags as indicators, songs, artists, the usual split, bad files."""

import numpy as np
import polars as pl
import pytest

from userlogfeat.datasets.magnatagatune import EMPTY, TaggedClips, read_magnatagatune
from userlogfeat.training.label_sets import read_label_sets

CLIPS = (
    (2, (1, 0, 0), "f/a_band-an_album-01-a_song-30-59"),
    (6, (1, 1, 0), "f/a_band-an_album-01-a_song-59-88"),
    (10, (0, 0, 0), "c/other_band-99-02-its_song__live_-0-29"),
    (11, (1, 1, 1), "0/third-album-10-song-146-175"),
    (12, (0, 1, 0), EMPTY[0]),
)
INFO = (
    "clip_id\ttrack_number\ttitle\tartist\talbum\turl\tsegmentStart\tsegmentEnd\t"
    "original_url\tmp3_path\n"
    '2\t1\tA Song\tA Band\t"An Album, ""live"""\thttp\t30\t59\thttp\tf/a.mp3\n'
    "11\t10\tSong\tThird\tAlbum\thttp\t146\t175\thttp\t0/b.mp3\n"
)


def annotations(clips=CLIPS, names=("guitar", "no vocals", "slow")):
    lines = ["\t".join(f'"{name}"' for name in ("clip_id", *names, "mp3_path"))]
    for clip, tags, path in clips:
        cells = (clip, *tags, f"{path}.mp3")
        lines.append("\t".join(f'"{cell}"' for cell in cells))
    return "\n".join(lines) + "\n"


@pytest.fixture
def magna(tmp_path):
    (tmp_path / "annotations_final.csv").write_text(annotations())
    (tmp_path / "clip_info_final.csv").write_text(INFO)
    for _, _, path in CLIPS:
        file = tmp_path / "mp3" / f"{path}.mp3"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def test_the_set(magna):
    clips = read_magnatagatune(magna)
    assert isinstance(clips, TaggedClips)
    assert repr(clips) == (
        "TaggedClips(Magnatagatune: 4 clips, 3 tags, 1 known to be bad left out)"
    )
    assert clips.left_out == EMPTY[:1]
    assert clips.X[0] == str(magna / "mp3" / f"{CLIPS[0][2]}.mp3")
    assert clips.tag_names == ("guitar", "no vocals", "slow")
    np.testing.assert_array_equal(clips.y, [tags for _, tags, _ in CLIPS[:4]])
    assert clips.labels.tolist() == [
        ("guitar",),
        ("guitar", "no vocals"),
        (),
        ("guitar", "no vocals", "slow"),
    ]
    assert clips.items[0] == clips.items[1] == "a_band-an_album-01-a_song"
    assert clips.artists.tolist() == ["A Band", "a band", "other band", "Third"]
    assert clips.albums.tolist() == ['An Album, "live"', None, None, "Album"]
    assert clips.split.tolist() == ["test", "test", "validation", "train"]


def test_without_clip_info(magna):
    (magna / "clip_info_final.csv").unlink()
    clips = read_magnatagatune(magna)
    assert clips.artists.tolist() == ["a band", "a band", "other band", "third"]
    assert clips.albums is None


def test_the_most_frequent_tags(magna):
    clips = read_magnatagatune(magna, n_tags=2)
    assert clips.tag_names == ("guitar", "no vocals")
    assert clips.y.shape == (4, 2)


def test_parts_and_their_split(magna):
    clips = read_magnatagatune(magna)
    [(train, test)] = clips.cv()
    assert (train.tolist(), test.tolist()) == ([2, 3], [0, 1])
    part = clips.subset([3, 0])
    assert part.tag_names == clips.tag_names
    assert part.y.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_labels_are_targets_of_a_shared_space(magna):
    clips = read_magnatagatune(magna)
    by_name = read_label_sets(list(clips.labels), 4)
    by_matrix = read_label_sets(clips.y, 4)
    assert by_name.labels.tolist() == list(clips.tag_names)
    assert (by_name.indicators != by_matrix.indicators).nnz == 0


def test_missing_clips(magna):
    (magna / "mp3" / f"{CLIPS[3][2]}.mp3").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 4 clips of Magnatagatune"):
        read_magnatagatune(magna)
    clips = read_magnatagatune(magna, missing="ignore")
    assert clips.missing == (CLIPS[3][2],)
    assert len(clips) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (annotations([(1, (0, 2, 0), "f/a")]), "1 rows with other tags than 0 or 1"),
        ("clip_id,guitar,mp3_path\n1,0,f/a.mp3\n", "has no column"),
        ("clip_id\tmp3_path\n1\tf/a.mp3\n", "in 0 columns"),
    ],
)
def test_other_tables(text, message, magna):
    (magna / "annotations_final.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_magnatagatune(magna)


def test_wrong_folder_and_n_tags(magna, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match="and folders of audio named"):
        read_magnatagatune(tmp_path_factory.mktemp("empty"))
    with pytest.raises(ValueError, match="Got n_tags=0"):
        read_magnatagatune(magna, n_tags=0)


def test_a_frame_of_all(magna):
    frame = read_magnatagatune(magna).frame
    assert frame["guitar"].dtype == pl.Int8
    assert frame.columns[:2] == ["clip", "item"]
