"""EmoMusic: tables with tabs about their fields, targets, split, both layouts."""

import numpy as np
import pytest

from userlogfeat.datasets.emomusic import read_emomusic

INFO = (
    "song_id,file_name,Artist,Song title,start of the segment (min.sec),"
    "end of the segment (min.sec),Genre,Mediaeval 2013 set\r\n"
    "2,2.mp3\t,\tThe Kyoto Connection\t,\tHachiko (The Faithful Dog)\t,1.08,1.53,"
    "\tElectronic\t,development\r\n"
    '3,3.mp3\t,"\tEarl, Johnson and Band\t","\tA ""Song""\t",0.1,0.55,'
    "Country ,evaluation\r\n"
    " 10,10.mp3,\t\t,\t\t,0.1,0.55,\tCountry\t, development\r\n"
    ",,,,,,,\r\n"
)
STATIC = (
    "song_id,mean_arousal,std_arousal,mean_valence,std_valence\n"
    "10,4.7,1.8,4,1.6\n"
    "3,3.3,1.7,3.5,1.7\n"
    "2,3.1,0.9,3.0,0.6\n"
    "11,9,0,9,0\n"
)


@pytest.fixture
def emomusic(tmp_path):
    folder = tmp_path / "sets" / "emoMusic"
    clips = folder / "clips_45sec" / "clips_45seconds"
    clips.mkdir(parents=True)
    for song in (2, 3, 10, 11):  # 11 is not in songs_info.csv any more
        (clips / f"{song}.mp3").touch()
    (folder / "annotations").mkdir()
    (folder / "annotations" / "songs_info.csv").write_bytes(INFO.encode())
    (folder / "annotations" / "static_annotations.csv").write_text(STATIC)
    return folder


def test_fields_without_their_tabs(emomusic):
    clips = read_emomusic(emomusic)
    place = emomusic / "clips_45sec" / "clips_45seconds"
    assert clips.X == [str(place / name) for name in ("2.mp3", "3.mp3", "10.mp3")]
    assert clips.y.tolist() == ["Electronic", "Country", "Country"]
    assert clips.items.tolist() == [2, 3, 10]
    assert clips.artists.tolist() == [
        "The Kyoto Connection",
        "Earl, Johnson and Band",
        None,
    ]
    assert clips.frame["title"].to_list() == [
        "Hachiko (The Faithful Dog)",
        'A "Song"',
        None,
    ]
    assert clips.split.tolist() == ["train", "test", "train"]


def test_targets(emomusic):
    ratings = np.array([[3.0, 3.1], [3.5, 3.3], [4.0, 4.7]])  # valence, arousal
    clips = read_emomusic(emomusic)
    assert clips.target_names == ("valence", "arousal")
    np.testing.assert_array_equal(clips.targets, ratings)
    np.testing.assert_array_equal(read_emomusic(emomusic, target="both").y, ratings)
    for k, name in enumerate(clips.target_names):
        y = read_emomusic(emomusic, target=name).y
        np.testing.assert_array_equal(y, ratings[:, k])
    with pytest.raises(ValueError, match="expected one of 'genre', 'valence'"):
        read_emomusic(emomusic, target="mood")


def test_the_split_as_folds(emomusic):
    ((train, test),) = read_emomusic(emomusic).cv()
    assert train.tolist() == [0, 2]
    assert test.tolist() == [1]
    with pytest.raises(ValueError, match="2 clips to learn from, 0 to test"):
        read_emomusic(emomusic).cv(test="validation")


def test_flat_archives(emomusic):
    """Some versions of annotations.tar.gz have no folder, and clips one less."""
    for file in (emomusic / "annotations").iterdir():
        file.rename(emomusic / file.name)
    (emomusic / "annotations").rmdir()
    (emomusic / "clips_45sec" / "clips_45seconds").rename(emomusic / "clips_45seconds")
    (emomusic / "clips_45sec").rmdir()
    assert read_emomusic(emomusic).X[0] == str(emomusic / "clips_45seconds" / "2.mp3")


def test_one_level_too_high_or_too_low(emomusic):
    paths = read_emomusic(emomusic).X
    assert read_emomusic(emomusic.parent).X == paths
    assert read_emomusic(emomusic / "annotations").X == paths
    assert read_emomusic(emomusic / "clips_45sec").X == paths


def test_missing_clips(emomusic):
    (emomusic / "clips_45sec" / "clips_45seconds" / "3.mp3").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 3 .* is '3'"):
        read_emomusic(emomusic)
    clips = read_emomusic(emomusic, target="both", missing="ignore")
    assert clips.missing == ("3",)
    assert clips.y.tolist() == [[3.0, 3.1], [4.0, 4.7]]


def test_no_audio_at_all_is_an_error_always(emomusic):
    for file in (emomusic / "clips_45sec" / "clips_45seconds").iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match=r"All of 3 .* unpacked there"):
        read_emomusic(emomusic, missing="ignore")


def write_static(folder, text):
    (folder / "annotations" / "static_annotations.csv").write_text(text)


def test_faults_of_the_tables(emomusic):
    write_static(emomusic, STATIC.replace("3.3,", "n/a,"))
    with pytest.raises(ValueError, match="mean_arousal 'n/a' for song 3, expected"):
        read_emomusic(emomusic)
    write_static(emomusic, STATIC.replace("4.7,", "0.52,"))
    with pytest.raises(ValueError, match=r"'0\.52' for song 10, .* from 1 to 9"):
        read_emomusic(emomusic)
    write_static(emomusic, STATIC.replace("2,3.1", "12,3.1"))
    with pytest.raises(ValueError, match="no row for song 2, which songs_info"):
        read_emomusic(emomusic)
    write_static(emomusic, "song_id, valence_mean, arousal_mean\n2,3,3\n")
    with pytest.raises(ValueError, match=r"no column 'mean_arousal'.*not of DEAM"):
        read_emomusic(emomusic)
    write_static(emomusic, STATIC.replace("10,4.7", "ten,4.7"))
    with pytest.raises(ValueError, match="song_id 'ten', expected a number"):
        read_emomusic(emomusic)
    (emomusic / "annotations" / "static_annotations.csv").unlink()
    with pytest.raises(FileNotFoundError, match="belong into one folder"):
        read_emomusic(emomusic)


def test_an_unknown_part_of_the_split(emomusic):
    info = emomusic / "annotations" / "songs_info.csv"
    info.write_text(INFO.replace("evaluation", "test"))
    with pytest.raises(ValueError, match="song 3 into the set 'test', expected devel"):
        read_emomusic(emomusic)


def test_wrong_folder(tmp_path):
    (tmp_path / "DEAM").mkdir()
    with pytest.raises(FileNotFoundError, match=r"EmoMusic .* It holds DEAM"):
        read_emomusic(tmp_path)
