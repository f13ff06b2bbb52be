"""1517-Artists, Homburg, Unique: folders of genres, whole and in part."""

import numpy as np
import pytest

from userlogfeat.datasets import artists1517, homburg, unique
from userlogfeat.datasets.artists1517 import read_artists1517
from userlogfeat.datasets.genre_folders import split_name
from userlogfeat.datasets.homburg import read_homburg
from userlogfeat.datasets.unique import read_unique

HOMBURG = (
    "alternative/50_Minutes-Colours",
    "alternative/50_Minutes-Nightwalk",
    "blues/Big_Steve___the_Trainwreck-That_Train",
    "raphiphop/no hyphen",
)
ARTISTS = (
    "Alternative & Punk/A Band - A Song - Live",
    "R&B & Soul/Somebody - Something",
    "World/untitled",
)


def lay_out(folder, names, suffix=".mp3"):
    for name in names:
        path = folder / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_homburg(tmp_path):
    root = lay_out(tmp_path / "homburg", HOMBURG)
    clips = read_homburg(root, missing="ignore")
    assert clips.X == [str(root / f"{name}.mp3") for name in HOMBURG]
    assert clips.y.tolist() == ["alternative", "alternative", "blues", "raphiphop"]
    artists = ["50 Minutes", "50 Minutes", "Big Steve the Trainwreck", None]
    assert clips.artists.tolist() == artists
    titles = ["Colours", "Nightwalk", "That Train", "no hyphen"]
    assert clips.frame["title"].to_list() == titles
    assert clips.items.tolist() == list(HOMBURG)
    assert "rock" in clips.missing
    assert "blues" not in clips.missing
    assert clips.split is clips.folds is None


def test_1517_artists(tmp_path):
    lay_out(tmp_path / "1517-Artists", ARTISTS)
    clips = read_artists1517(tmp_path, missing="ignore")  # one level too high
    assert clips.labels.tolist() == ["Alternative & Punk", "R&B & Soul", "World"]
    assert clips.artists.tolist() == ["A Band", "Somebody", None]
    assert clips.frame["title"].to_list() == ["A Song - Live", "Something", "untitled"]


def test_unique_takes_every_folder_for_a_genre(tmp_path):
    root = lay_out(tmp_path / "unique", ("jazz/1", "schlager/2", "schlager/3"))
    (root / "notes").mkdir()
    (root / "notes" / "readme.txt").touch()
    (root / ".hidden").mkdir()
    clips = read_unique(root, missing="ignore")
    assert clips.y.tolist() == ["jazz", "schlager", "schlager"]


def test_converted_and_in_capitals(tmp_path):
    root = lay_out(tmp_path, ("Blues/a-b", "ROCK/c-d"), suffix=".wav")
    clips = read_homburg(root, missing="ignore")
    assert clips.y.tolist() == ["blues", "rock"]
    assert clips.X[0].endswith("a-b.wav")


def test_genres_are_the_published_ones():
    assert len(artists1517.GENRES) == 19
    assert len(homburg.GENRES) == 9
    assert unique.N_GENRES == 14
    counts = (artists1517.N_CLIPS, homburg.N_CLIPS, unique.N_CLIPS)
    assert counts == (3180, 1886, 3115)


def test_a_whole_set_needs_no_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(homburg, "N_CLIPS", 9)
    lay_out(tmp_path, [f"{genre}/a-b" for genre in homburg.GENRES])
    assert len(read_homburg(tmp_path)) == 9
    monkeypatch.setattr(unique, "N_CLIPS", 14)
    lay_out(tmp_path / "unique", [f"genre {i:02d}/a" for i in range(14)])
    assert len(read_unique(tmp_path / "unique")) == 14


def test_missing_clips_are_reported(tmp_path, monkeypatch):
    lay_out(tmp_path, HOMBURG)
    with pytest.raises(
        FileNotFoundError, match=r"holds 4 clips of Homburg, of which 1886"
    ):
        read_homburg(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'electronic', .* have none"):
        read_homburg(tmp_path)
    monkeypatch.setattr(unique, "N_CLIPS", 2)
    lay_out(tmp_path / "u", ("a/1", "b/2"))
    with pytest.raises(ValueError, match="2 genres \\(a, b\\), expected 14"):
        read_unique(tmp_path / "u")


@pytest.mark.parametrize("read", [read_homburg, read_artists1517, read_unique])
def test_wrong_folders(read, tmp_path):
    with pytest.raises(FileNotFoundError, match="not downloaded by this library"):
        read(tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file.mp3").touch()
    with pytest.raises(FileNotFoundError, match="does not hold"):
        read(tmp_path / "other")
    with pytest.raises(ValueError, match="Got missing='skip'"):
        read(tmp_path, missing="skip")


def test_unique_is_only_where_it_is_said_to_be(tmp_path):
    """A folder of texts had the genres of what lay beside it."""
    genres = ("jazz/1", "schlager/2")
    lay_out(tmp_path / "mine" / "homburg", genres)
    lay_out(tmp_path / "mine" / "gtzan", genres)
    lists = tmp_path / "mine" / "lists"
    lists.mkdir()
    (lists / "all.txt").touch()
    for folder in (tmp_path, tmp_path / "mine", lists, tmp_path / "mine/homburg/jazz"):
        with pytest.raises(FileNotFoundError, match="for 14 folders of audio files"):
            read_unique(folder, missing="ignore")
    root = lay_out(tmp_path / "mine" / "Unique", genres)
    for folder in (root, tmp_path / "mine", root / "jazz"):
        clips = read_unique(folder, missing="ignore")
        assert clips.X == [str(root / f"{name}.mp3") for name in genres]
    with pytest.raises(FileNotFoundError, match=rf"seems to be in '{root}'"):
        read_unique(tmp_path, missing="ignore")


def test_a_folder_beside_the_genres_is_another(tmp_path):
    root = lay_out(tmp_path, HOMBURG)
    (root / "notes").mkdir()
    with pytest.raises(FileNotFoundError, match="does not hold Homburg"):
        read_homburg(root / "notes", missing="ignore")
    assert len(read_homburg(root / "blues", missing="ignore")) == len(HOMBURG)


def test_split_name():
    assert split_name("A_B-c_d-e", "-") == ("A B", "c d-e")
    assert split_name("-x", "-") == (None, "x")
    assert np.array_equal(split_name("x", "-"), (None, "x"))
