"""GTZAN: the layout of the archive and of Kaggle, artists, and wrong folders."""

import numpy as np
import pytest
import soundfile

from userlogfeat import read_audio
from userlogfeat.datasets.gtzan import GENRES, UNREADABLE, read_gtzan

INDEX = """GTZAN index of artists and titles

blues.00000.wav ::: John Lee Hooker ::: One Bourbon, One Scotch, One Beer
blues.00001.wav ::: John Lee Hooker:::
blues.00002.wav :::  ::: ?
rock.00099.wav ::: Motörhead ::: Ace of Spades
"""


def lay_out(folder, tracks, suffix=".au"):
    for track in tracks:
        place = folder / track.split(".")[0]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{track}{suffix}").touch()
    return folder


def every_track():
    return [f"{genre}.{number:05d}" for genre in GENRES for number in range(100)]


@pytest.fixture
def genres(tmp_path):
    return lay_out(tmp_path / "gtzan" / "genres", every_track())


def test_the_whole_set(genres):
    clips = read_gtzan(genres)
    assert len(clips) == 999
    assert clips.left_out == UNREADABLE
    assert clips.missing == ()
    assert clips.X[0] == str(genres / "blues" / "blues.00000.au")
    assert dict(zip(*np.unique(clips.y, return_counts=True), strict=True)) == {
        genre: 99 if genre == "jazz" else 100 for genre in GENRES
    }
    assert clips.items.tolist() == [t for t in every_track() if t not in UNREADABLE]
    assert clips.artists is clips.albums is clips.split is clips.folds is None
    assert clips.targets is None
    assert len(read_gtzan(genres, keep_bad=True)) == 1000
    assert read_gtzan(genres, keep_bad=True).left_out == ()


def test_one_level_too_high_or_too_low(genres):
    paths = read_gtzan(genres).X
    assert read_gtzan(genres.parent).X == paths
    assert read_gtzan(genres / "rock").X == paths
    assert read_gtzan(str(genres)).X == paths


def test_the_current_folder(genres, monkeypatch):
    monkeypatch.chdir(genres / "rock")
    assert len(read_gtzan(".")) == 999
    monkeypatch.chdir(genres)
    assert read_gtzan(".").X[0] == "blues/blues.00000.au"


def test_kaggle_has_images_and_hidden_files_beside(tmp_path):
    """macOS's ._ files and spectrograms have the names of clips."""
    tracks = [t for t in every_track() if t not in UNREADABLE]
    sounds = lay_out(tmp_path / "Data" / "genres_original", tracks, ".wav")
    lay_out(tmp_path / "Data" / "images_original", tracks, ".png")
    (sounds / "blues" / "._blues.00000.wav").touch()
    (sounds / "blues" / "notes.wav").touch()
    clips = read_gtzan(tmp_path / "Data")
    assert len(clips) == 999
    assert all(path.startswith(str(sounds)) for path in clips.X)
    assert not any("._" in path for path in clips.X)


def test_missing_clips(genres):
    (genres / "disco" / "disco.00007.au").unlink()
    (genres / "pop" / "pop.00001.au").unlink()
    with pytest.raises(FileNotFoundError, match=r"2 of 999 .* first is 'disco\.00007'"):
        read_gtzan(genres)
    clips = read_gtzan(genres, missing="ignore")
    assert clips.missing == ("disco.00007", "pop.00001")
    assert len(clips) == 997
    with pytest.raises(ValueError, match="missing='warn'"):
        read_gtzan(genres, missing="warn")


def test_the_unreadable_clip_need_not_be_there(genres):
    (genres / "jazz" / "jazz.00054.au").unlink()
    assert len(read_gtzan(genres)) == 999


def test_wrong_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*GTZAN is not downloaded"):
        read_gtzan(tmp_path / "no")
    archive = tmp_path / "genres.tar.gz"
    archive.touch()
    with pytest.raises(NotADirectoryError, match="is an archive, unpack it"):
        read_gtzan(archive)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match="It holds nothing"):
        read_gtzan(empty)


def test_two_levels_off_the_error_says_where(tmp_path):
    sounds = lay_out(tmp_path / "a" / "b" / "genres", ["blues.00000"])
    with pytest.raises(FileNotFoundError, match=f"seems to be in '{sounds}'"):
        read_gtzan(tmp_path / "a")
    deep = sounds / "blues" / "x"
    deep.mkdir()
    with pytest.raises(FileNotFoundError, match=f"seems to be in '{sounds}'"):
        read_gtzan(deep)


def test_two_copies_are_not_guessed_between(tmp_path):
    for name in ("genres", "genres_original"):
        lay_out(tmp_path / name, ["blues.00000"])
    with pytest.raises(ValueError, match="holds GTZAN 2 times"):
        read_gtzan(tmp_path)


def test_artists_of_the_index(tmp_path):
    tracks = ["blues.00000", "blues.00001", "blues.00002", "rock.00099"]
    genres = lay_out(tmp_path / "genres", tracks)
    index = tmp_path / "GTZANindex.txt"
    for encoding in ("utf-8", "latin-1"):
        index.write_text(INDEX, encoding=encoding)
        clips = read_gtzan(genres, artists=index, missing="ignore")
        hooker = "John Lee Hooker"
        assert clips.artists.tolist() == [hooker, hooker, None, "Motörhead"]
        assert clips.catalogue().groups("artist").tolist() == [0, 0, 1, 2]
    clips = read_gtzan(genres, artists={"blues.00002": "BB King"}, missing="ignore")
    assert clips.artists.tolist() == [None, None, "BB King", None]


def test_an_index_of_another_set(genres, tmp_path):
    index = tmp_path / "other.txt"
    index.write_text("1.wav ::: Nico ::: Afraid\n")
    with pytest.raises(ValueError, match="names no artist of a GTZAN track"):
        read_gtzan(genres, artists=index)
    with pytest.raises(ValueError, match="The mapping names no artist"):
        read_gtzan(genres, artists={})


def test_subset_and_no_split(genres):
    clips = read_gtzan(genres)
    few = clips.subset(clips.y == "rock")
    assert len(few) == 100
    assert set(few.labels) == {"rock"}
    assert clips.subset([5, 0]).items.tolist() == ["blues.00005", "blues.00000"]
    with pytest.raises(ValueError, match=r"no split of its own.*StratifiedKFold"):
        clips.cv()


@pytest.mark.real
def test_the_real_clips(data, tmp_path):
    """100 clips of the set, laid out as the archive has them."""
    files = sorted((data / "gtzan_clips").glob("*.flac"))
    for file in files:
        place = tmp_path / "genres" / file.name.split(".")[0]
        place.mkdir(parents=True, exist_ok=True)
        (place / file.name).symlink_to(file)
    clips = read_gtzan(tmp_path, missing="ignore")
    assert len(clips) == len(files) == 100
    assert len(clips.missing) == 899
    assert [name.split(".")[0] for name in clips.items] == clips.y.tolist()
    assert (
        read_audio(clips.X[0], sample_rate=22050).size
        == soundfile.info(files[0]).frames
    )
