"""Extended Ballroom: the xml beside the folders, repeats, and audio without the xml."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold

from userlogfeat.datasets.ballroom import read_ballroom

XML = """<ballroom>
  <Waltz>
    <song album="A" artist="Sherman" bpm="90" id="101003" title="Hushabye" hash="0c">
        <version id="101018"/><version id="113108"/>
    </song>
    <song album="A" artist="Sherman" bpm="90" id="101018" title="Hushabye" hash="50">
        <version id="101003"/></song>
    <song album="B" artist="Manuel &amp; the Music" bpm="87" id="104801" title="T"
        hash="06"><exact id="999999"/></song>
    <song album="C" artist="Izzy" bpm="" id="106602" title="Una" hash="cb"/>
  </Waltz>
  <Wcswing>
    <song album="D" artist="Various" bpm="92" id="116901" title="Velvet" hash="7e"/>
    <song album="D" artist="Various Artists " bpm="96" id="113108" title="M" hash="d6">
        <time id="106602"/></song>
  </Wcswing>
</ballroom>
"""
SONGS = [
    "Waltz/101003",
    "Waltz/101018",
    "Waltz/104801",
    "Waltz/106602",
    "Wcswing/116901",
    "Wcswing/113108",
]


@pytest.fixture
def ballroom(tmp_path):
    folder = tmp_path / "sets" / "extendedballroom_v1.1"
    for song in SONGS:
        (folder / song).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{song}.mp3").touch()
    (folder / "extendedballroom_v1.1.xml").write_text(XML)
    return folder


def test_labels_and_metadata(ballroom):
    clips = read_ballroom(ballroom)
    assert clips.X == [str(ballroom / f"{song}.mp3") for song in SONGS]
    assert clips.y.tolist() == ["Waltz"] * 4 + ["Wcswing"] * 2
    assert clips.artists.tolist() == [
        "Sherman",
        "Sherman",
        "Manuel & the Music",
        "Izzy",
        None,
        None,
    ]
    assert clips.albums.tolist() == list("AABCDD")
    assert clips.frame["bpm"].to_list() == [90, 90, 87, None, 92, 96]
    assert clips.frame["song"].to_list() == [song.split("/")[1] for song in SONGS]
    assert clips.left_out == clips.missing == ()


def test_repeats_are_one_item_over_any_number_of_links(ballroom):
    """101018 - 101003 - 113108 - 106602; the link to a song that is not there."""
    clips = read_ballroom(ballroom)
    first = "101003"
    assert clips.items.tolist() == [first, first, "104801", first, "116901", first]
    groups = clips.catalogue().groups("item")
    for train, test in GroupKFold(3).split(clips.X, clips.y, groups):
        assert not set(groups[train]) & set(groups[test])


def test_one_level_too_high_or_too_low(ballroom):
    paths = read_ballroom(ballroom).X
    assert read_ballroom(ballroom.parent).X == paths
    assert read_ballroom(ballroom / "Waltz").X == paths


def test_the_xml_above_or_elsewhere(ballroom, tmp_path):
    xml = ballroom / "extendedballroom_v1.1.xml"
    xml = xml.rename(ballroom.parent / xml.name)
    assert read_ballroom(ballroom).albums.tolist() == list("AABCDD")
    xml = xml.rename(tmp_path / "meta.xml")
    assert read_ballroom(ballroom, metadata=xml).albums.tolist() == list("AABCDD")


def test_without_the_xml_folders_are_the_labels(ballroom):
    (ballroom / "extendedballroom_v1.1.xml").unlink()
    clips = read_ballroom(ballroom)
    assert sorted(clips.X) == sorted(str(ballroom / f"{song}.mp3") for song in SONGS)
    assert np.unique(clips.y).tolist() == ["Waltz", "Wcswing"]
    assert clips.artists is None
    assert clips.items.tolist() == clips.frame["song"].to_list()


def test_converted_to_wav(ballroom):
    for song in SONGS:
        (ballroom / f"{song}.mp3").rename(ballroom / f"{song}.wav")
    assert read_ballroom(ballroom).X[0].endswith("101003.wav")


def test_missing_clips(ballroom):
    (ballroom / "Wcswing" / "116901.mp3").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 6 .* is 'Wcswing/116901'"):
        read_ballroom(ballroom)
    clips = read_ballroom(ballroom, missing="ignore")
    assert clips.missing == ("Wcswing/116901",)
    assert len(clips) == 5


def test_a_song_in_the_folder_of_another_dance_is_missing(ballroom):
    (ballroom / "Tango").mkdir()
    (ballroom / "Waltz" / "106602.mp3").rename(ballroom / "Tango" / "106602.mp3")
    with pytest.raises(FileNotFoundError, match="is 'Waltz/106602'"):
        read_ballroom(ballroom)


def test_wrong_xml(ballroom, tmp_path):
    other = tmp_path / "other.xml"
    other.write_text("Waltz;1\n")
    with pytest.raises(ValueError, match="is not an xml file"):
        read_ballroom(ballroom, metadata=other)
    other.write_text("<ballroom><Polka><song id='1'/></Polka></ballroom>")
    with pytest.raises(ValueError, match="lists 1 songs with the unknown dances Polka"):
        read_ballroom(ballroom, metadata=other)
    other.write_text("<root/>")
    with pytest.raises(ValueError, match="lists 0 songs"):
        read_ballroom(ballroom, metadata=other)


def test_wrong_folder(tmp_path):
    (tmp_path / "ChaChaCha").mkdir()  # of the older Ballroom set
    with pytest.raises(
        FileNotFoundError, match=r"not hold Extended Ballroom.*ChaChaCha"
    ):
        read_ballroom(tmp_path)
