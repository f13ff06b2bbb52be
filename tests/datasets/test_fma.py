"""FMA: the three header rows, subsets, split, short clips, folders of the archives."""

import csv

import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import cross_val_score

from userlogfeat.datasets.fma import SHORT_CLIPS, read_fma

HEADER = [
    ("", ""),
    ("album", "id"),
    ("album", "information"),
    ("artist", "bio"),
    ("artist", "id"),
    ("artist", "name"),
    ("set", "split"),
    ("set", "subset"),
    ("track", "genre_top"),
    ("track", "genres"),
    ("track", "title"),
]
BIO = 'Born in "Gary",\nIndiana.\r\n\n<p>Played, and\tsang</p>'
# id, album, artist, split, subset, genre, title
TRACKS = [
    (2, 1, (1, "AWOL"), "training", "small", "Hip-Hop", "Food"),
    (3, 1, (1, "AWOL"), "training", "medium", "Hip-Hop", "Electric, Ave"),
    (20, 4, (4, "Nicky Cook"), "training", "large", "", "Spiritual"),
    (148, -1, (52, "Contradiction"), "validation", "small", "Rock", 'Black "X"'),
    (98566, 9, (60, "Đỗ"), "training", "medium", "Rock", "Y"),
    (98567, 9, (60, "Đỗ"), "training", "small", "Rock", "Z"),
    (155066, 7, (70, "Nico"), "test", "small", "Rock", ""),
]


def write_tracks(path, tracks=TRACKS):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([group for group, _ in HEADER])
        writer.writerow([name for _, name in HEADER])
        writer.writerow(["track_id"] + [""] * (len(HEADER) - 1))
        for item, album, artist, split, subset, genre, title in tracks:
            writer.writerow(
                [item, album, BIO, BIO, *artist, split, subset, genre, "[21]", title]
            )


def touch(folder, items):
    for item in items:
        place = folder / f"{item:06d}"[:3] / f"{item:06d}.mp3"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


@pytest.fixture
def fma(tmp_path):
    folder = tmp_path / "sets" / "fma"
    write_tracks(folder / "fma_metadata" / "tracks.csv")
    touch(folder / "fma_small", [2, 148, 98567, 155066])
    touch(folder / "fma_medium", [2, 3, 148, 98566, 98567, 155066])
    (folder / "fma_small" / "checksums").touch()
    return folder


def test_small(fma):
    clips = read_fma(fma)
    assert clips.items.tolist() == [2, 148, 155066]
    assert clips.X[0] == str(fma / "fma_small" / "000" / "000002.mp3")
    assert clips.y.tolist() == ["Hip-Hop", "Rock", "Rock"]
    assert clips.split.tolist() == ["train", "validation", "test"]
    assert clips.artists.tolist() == ["AWOL", "Contradiction", "Nico"]
    assert clips.albums.tolist() == [1, None, 7]
    assert clips.frame["artist_id"].to_list() == [1, 52, 70]
    assert clips.frame["title"].to_list() == ["Food", 'Black "X"', None]
    assert clips.left_out == (98567,)


def test_medium_has_small(fma):
    clips = read_fma(fma, "medium")
    assert clips.items.tolist() == [2, 3, 148, 155066]
    assert clips.X[0] == str(fma / "fma_medium" / "000" / "000002.mp3")
    assert clips.left_out == (98566, 98567)
    clips = read_fma(fma, "medium", keep_bad=True)
    assert clips.items.tolist() == [2, 3, 148, 98566, 98567, 155066]
    assert clips.left_out == ()
    with pytest.raises(ValueError, match="subset='large', expected one of 'small'"):
        read_fma(fma, "large")


def test_the_published_short_clips():
    """21 in medium; the six of small are those of issues 8 and 44."""
    assert len(SHORT_CLIPS) == 21
    assert {98565, 98567, 98569, 99134, 108925, 133297} < set(SHORT_CLIPS)
    assert all(0 <= seconds < 30 for seconds in SHORT_CLIPS.values())


def test_split_as_folds(fma):
    clips = read_fma(fma)
    assert [rows.tolist() for rows in clips.cv()[0]] == [[0, 1], [2]]
    assert [rows.tolist() for rows in clips.cv(test="validation")[0]] == [[0], [1]]
    scores = cross_val_score(DummyClassifier(), clips.X, clips.y, cv=clips.cv())
    assert scores.tolist() == [0.0]  # ties go to the first in the alphabet, Hip-Hop


def test_small_from_the_folder_of_medium(fma):
    (fma / "fma_small").rename(fma.parent / "gone")
    clips = read_fma(fma)
    assert clips.items.tolist() == [2, 148, 155066]
    assert clips.X[0] == str(fma / "fma_medium" / "000" / "000002.mp3")


def test_folders_of_archives_in_folders_of_their_name(fma):
    (fma / "fma_small").rename(fma / "x")
    (fma / "fma_small").mkdir()
    (fma / "x").rename(fma / "fma_small" / "fma_small")
    assert read_fma(fma).X[0].endswith("fma_small/fma_small/000/000002.mp3")


def test_one_level_too_high_or_too_low(fma):
    paths = read_fma(fma).X
    for folder in (fma.parent, fma / "fma_small", fma / "fma_metadata"):
        assert read_fma(folder).X == paths


def test_metadata_elsewhere(fma, tmp_path):
    (fma / "fma_metadata" / "tracks.csv").rename(tmp_path / "t.csv")
    with pytest.raises(
        FileNotFoundError, match=r"fma_metadata/tracks\.csv and fma_sma"
    ):
        read_fma(fma)
    assert len(read_fma(fma, metadata=tmp_path / "t.csv")) == 3


def test_missing_clips(fma):
    (fma / "fma_small" / "155" / "155066.mp3").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 3 clips .* is '155066'"):
        read_fma(fma)
    clips = read_fma(fma, missing="ignore")
    assert clips.missing == ("155066",)
    with pytest.raises(ValueError, match="2 clips to learn from, 0 to test"):
        clips.cv()


def test_wrong_tables(fma):
    tracks = fma / "fma_metadata" / "tracks.csv"
    tracks.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:2\nsize 9\n"
    )
    with pytest.raises(ValueError, match=r"three header rows .* pointer"):
        read_fma(fma)
    tracks.write_text("track_id,genre\n2,Rock\n")
    with pytest.raises(ValueError, match="ends after 2 of 3 lines that name"):
        read_fma(fma)
    tracks.write_text(",set,track\n,split,genre_top\ntrack_id,,\n2,training,Rock\n")
    with pytest.raises(ValueError, match="no column 'artist/name'"):
        read_fma(fma)


def test_strange_tracks(fma):
    tracks = fma / "fma_metadata" / "tracks.csv"
    write_tracks(tracks, [(2, 1, (1, "A"), "training", "small", "", "T")])
    with pytest.raises(
        ValueError, match="track 2 has no top genre or an unknown split"
    ):
        read_fma(fma)
    write_tracks(tracks, [(2, 1, (1, "A"), "training", "large", "Rock", "T")])
    with pytest.raises(ValueError, match="no track is of the subset small"):
        read_fma(fma)
    write_tracks(tracks, [*TRACKS, TRACKS[0]])
    with pytest.raises(ValueError, match="track 2 is listed twice, expected once"):
        read_fma(fma)
