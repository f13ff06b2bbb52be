"""Catalogues: what is read, what is refused, alignment with factors, groups."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from userlogfeat import read_catalogue, read_logs
from userlogfeat.audio import find_audio
from userlogfeat.audio.formats import AUDIO_SUFFIXES

ROWS = {
    "clip": ["a.wav", "b.wav", "c.wav", "d.wav"],
    "item": [7, 9, 7, 11],
    "artist": ["Nico", "Can", "Nico", "Neu!"],
    "album": ["Greatest Hits", "Greatest Hits", "Desertshore", "Neu!"],
    "label": ["folk", "rock", "folk", "rock"],
}


def read(rows=ROWS, **settings):
    return read_catalogue(pl.DataFrame(rows), check_files=False, **settings)


@pytest.fixture
def folder(tmp_path):
    for name in ROWS["clip"]:
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", "polars", "pandas"])
def test_every_source_gives_the_same_catalogue(folder, suffix, monkeypatch):
    frame, path = pl.DataFrame(ROWS), folder / f"catalogue{suffix}"
    if suffix == ".parquet":
        frame.write_parquet(path)
    elif suffix in (".csv", ".tsv"):
        frame.write_csv(path, separator="," if suffix == ".csv" else "\t")
    else:
        monkeypatch.chdir(folder)
        path = frame if suffix == "polars" else pd.DataFrame(ROWS)
    catalogue = read_catalogue(path)
    assert [Path(clip).name for clip in catalogue.clips] == ROWS["clip"]
    assert all(Path(clip).is_file() for clip in catalogue.clips)
    np.testing.assert_array_equal(catalogue.items, [7, 9, 7, 11])
    assert catalogue.items.dtype == np.int64
    for name in ("artists", "albums", "labels"):
        assert getattr(catalogue, name).tolist() == ROWS[name[:-1]]
    assert len(catalogue) == 4
    assert repr(catalogue) == "Catalogue(4 clips, 3 items, 3 artists, 2 labels)"


def test_clips_are_relative_to_the_table(folder, tmp_path_factory, monkeypatch):
    pl.DataFrame(ROWS).write_csv(folder / "catalogue.csv")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert read_catalogue(folder / "catalogue.csv").clips[0] == str(folder / "a.wav")
    kept = read_catalogue(folder / "catalogue.csv", check_files=False)
    assert kept.clips.tolist() == ROWS["clip"]


def test_text_ids_keep_their_zeros(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("clip,item,n\n1,007,3\n2,12,\n")
    catalogue = read_catalogue(path, check_files=False)
    assert catalogue.items.tolist() == ["007", "12"]
    assert catalogue.clips.tolist() == ["1", "2"]
    assert catalogue.column("n").tolist() == [3, None]


def test_short_rows_and_lists_are_refused(tmp_path):
    """The artist of a short row was None."""
    path = tmp_path / "t.csv"
    path.write_text("clip,item,artist\na.wav,1\nb.wav,2,y\n")
    with pytest.raises(ValueError, match=r"t\.csv .* line 2 \('a\.wav,1'\) with 2"):
        read_catalogue(path, check_files=False)
    path.write_text("clip;item\na.wav;1\n")
    with pytest.raises(ValueError, match=r"separated by ';'\?"):
        read_catalogue(path, check_files=False)
    frame = pl.DataFrame({"clip": ["a"], "item": [[1]]})
    with pytest.raises(ValueError, match=r"'item' of the catalogue .*holds lists"):
        read_catalogue(frame, check_files=False)


def test_ids_of_frames_are_kept_as_they_are():
    assert read({**ROWS, "item": ["7", "9", "7", "11"]}).items.tolist()[0] == "7"


def test_pandas_floats_with_gaps_are_integers():
    """pandas reads an integer column with an empty cell as float: 7 becomes 7.0."""
    frame = pd.DataFrame({"clip": ["a", "b"], "item": [7, None], "artist": ["x", None]})
    catalogue = read_catalogue(frame, check_files=False)
    assert catalogue.items.tolist() == [7, None]
    assert catalogue.artists.tolist() == ["x", None]


def test_columns_can_be_named_and_others_stay():
    frame = pl.DataFrame(
        {"path": ["a", "b"], "artist": ["x", "y"], "genre": ["p", "q"], "year": [1, 2]}
    )
    catalogue = read_catalogue(
        frame, clip="path", item="artist", label="genre", check_files=False
    )
    assert catalogue.items.tolist() == catalogue.artists.tolist() == ["x", "y"]
    assert catalogue.labels.tolist() == ["p", "q"]
    assert catalogue.column("year").tolist() == [1, 2]


def test_folder_layout(tmp_path):
    for name in ("Can/Tago Mago/1 Paperhouse.flac", "Can/Tago Mago/cd2/Aumgn.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "Neu!").mkdir()
    for name in ("Neu!/Hero.wav", "loose.ogg", "Neu!/cover.jpg", "Neu!/._Hero.wav"):
        (tmp_path / name).touch()
    catalogue = read_catalogue(tmp_path)
    assert catalogue.items.tolist() == [
        "Can/Tago Mago/1 Paperhouse",
        "Can/Tago Mago/cd2/Aumgn",
        "Neu!/Hero",
        "loose",
    ]
    assert catalogue.artists.tolist() == ["Can", "Can", "Neu!", None]
    assert catalogue.albums.tolist() == ["Tago Mago", "Tago Mago", None, None]
    tracks = ["1 Paperhouse", "Aumgn", "Hero", "loose"]
    assert catalogue.column("track").tolist() == tracks
    assert read_catalogue(tmp_path, item="artist").items.tolist()[0] == "Can"


def test_folder_without_audio(tmp_path):
    with pytest.raises(ValueError, match="has no audio files"):
        read_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": ["a", "b", " ", None]}, r"2 rows .* have no clip: 2, 3"),
        ({"clip": ["a", "b", "a", "d"]}, r"'a' is in rows 0 and 2 .* both as item 7"),
        ({"clip": ["a", "b", "c", "a"]}, r"rows 0 and 3 .* as items 7 and 11"),
    ],
)
def test_bad_clips_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        read({**ROWS, **change})


def test_one_file_under_two_names_is_one_clip(folder):
    path = folder / "c.csv"
    path.write_text("clip,item\na.wav,1\n./a.wav,1\n")
    with pytest.raises(ValueError, match="is in rows 0 and 1"):
        read_catalogue(path)
    with pytest.raises(ValueError, match="is in rows 0 and 1"):
        read_catalogue(path, check_files=False)


def test_clips_are_the_items_of_a_table_without_any(folder):
    table = folder / "lists" / "labels.csv"
    table.parent.mkdir()
    table.write_text("file,mood\na.wav,calm\nb.wav,loud\n")
    catalogue = read_catalogue(table, clip="file", label="mood", folder=folder)
    assert list(catalogue.clips) == [str(folder / "a.wav"), str(folder / "b.wav")]
    assert list(catalogue.items) == ["a.wav", "b.wav"]
    with pytest.raises(FileNotFoundError, match=r"2 of 2 clips .* Pass folder="):
        read_catalogue(table, clip="file")
    with pytest.raises(ValueError, match=r"The items are the clips .*item=\.\.\."):
        catalogue.align(np.ones((1, 2)), ["A"])


def test_missing_columns_say_what_is_there():
    with pytest.raises(ValueError, match=r"clip='path'.*'clip', 'item', 'artist'"):
        read(clip="path")
    with pytest.raises(ValueError, match="label='genre'"):
        read(label="genre")
    with pytest.raises(ValueError, match=r"no column 'label'.*label=\.\.\."):
        _ = read({"clip": ["a"], "item": [1]}).labels


def test_missing_files_are_counted(folder):
    path = folder / "c.csv"
    path.write_text("clip,item\na.wav,1\ngone.wav,2\nb.wav,3\n")
    with pytest.raises(FileNotFoundError, match=r"1 of 3 clips.*gone\.wav.*\(Python: "):
        read_catalogue(path)
    (folder / "gone.wav").mkdir()
    with pytest.raises(FileNotFoundError, match="are not files"):
        read_catalogue(path)


def test_sources_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no catalogue"):
        read_catalogue(tmp_path / "x.csv")
    for name, content in (("x.json", b"{}"), ("x.parquet", b"no"), ("x.csv", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            read_catalogue(tmp_path / name)
    with pytest.raises(TypeError, match="type int"):
        read_catalogue(3)
    with pytest.raises(ValueError, match="no rows"):
        read({"clip": [], "item": []})


def test_an_item_with_two_artists():
    rows = {**ROWS, "artist": ["Nico", "Can", "Neu!", None]}
    with pytest.warns(UserWarning, match=r"1 items.*7 is by 'Nico', 'Neu!'"):
        read(rows)
    with pytest.raises(ValueError, match="several artists"):
        read(rows, artist_conflicts="error")
    assert len(read(rows, artist_conflicts="ignore")) == 4


def test_align_gives_every_clip_the_factor_of_its_item():
    factors = np.arange(6.0).reshape(3, 2)
    rows, Y = read().align(factors, np.array([11, 7, 9]))
    np.testing.assert_array_equal(rows, [0, 1, 2, 3])
    np.testing.assert_array_equal(Y, [[2, 3], [4, 5], [2, 3], [0, 1]])


def test_align_reports_what_the_logs_do_not_know():
    catalogue = read({**ROWS, "item": [7, 9, None, 11]})
    with pytest.warns(
        UserWarning,
        match=r"3 of 4 clips \(75%\).*2 of 2 items.*\(9, 11\), 1 without item",
    ):
        rows, Y = catalogue.align([[1.0]], [7])
    assert rows.tolist() == [0]
    assert Y.tolist() == [[1.0]]
    with pytest.raises(ValueError, match="3 of 4 clips"):
        catalogue.align([[1.0]], [7], unknown="error")
    assert len(catalogue.align([[1.0]], [7], unknown="ignore")[0]) == 1


def test_align_by_artist():
    _, Y = read().align([[1.0], [2.0], [3.0]], ["Can", "Neu!", "Nico"], by="artist")
    assert Y.ravel().tolist() == [3.0, 1.0, 3.0, 2.0]


def test_align_with_ids_of_another_type():
    with pytest.raises(
        ValueError, match=r"7, 9, 11 \(int\).*'7', '8' \(str\).*bring both to one type"
    ):
        read().align([[1.0], [2.0]], ["7", "8"])
    with pytest.raises(ValueError, match="both use the same ids"):
        read().align([[1.0], [2.0]], [70, 80])


def test_align_takes_whole_floats_for_integers():
    rows, _ = read().align(np.ones((3, 1)), np.array([7.0, 9.0, 11.0]))
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("factors", "ids", "message"),
    [
        (np.ones((2, 1)), [7, 7], "item 7 is 2 times"),
        (np.ones((2, 1)), [7], r"shape \(2, 1\) and 1 item_ids"),
        (np.ones(1), [7], r"shape \(1,\)"),
        (np.array([[1.0], [np.nan]]), [7, 9], r"item 9 \(row 1\) contain NaN"),
    ],
)
def test_align_refuses_what_does_not_belong_together(factors, ids, message):
    with pytest.raises(ValueError, match=message):
        read().align(factors, ids)


def test_groups():
    catalogue = read({**ROWS, "artist": ["Nico", "Can", "Nico", None]})
    assert catalogue.groups("artist").tolist() == [0, 1, 0, 2]
    assert catalogue.groups("item").tolist() == [0, 1, 0, 2]
    # Nico's and Can's "Greatest Hits" are two albums.
    assert catalogue.groups("album").tolist() == [0, 1, 2, 3]


def test_every_missing_artist_is_a_group_of_its_own():
    catalogue = read({**ROWS, "artist": [None, "Can", None, "Can"]})
    assert catalogue.groups().tolist() == [0, 1, 2, 1]


def test_subset_by_mask_and_by_rows():
    catalogue = read()
    assert catalogue.subset(catalogue.labels == "rock").clips.tolist() == [
        "b.wav",
        "d.wav",
    ]
    assert catalogue.subset([3, 0]).items.tolist() == [11, 7]
    assert len(catalogue.subset([])) == 0
    with pytest.raises(ValueError, match=r"mask of shape \(2,\) for 4 clips"):
        catalogue.subset([True, False])
    with pytest.raises(IndexError, match="out of bounds"):
        catalogue.subset([4])
    with pytest.raises(TypeError, match="dtype float64"):
        catalogue.subset([0.5])


def test_frames_of_pathlib_and_with_two_columns_of_a_name():
    """Errors of polars and pandas came through."""
    frame = {"clip": [Path("a.wav"), Path("b.wav")], "item": [1, 2]}
    for library in (pd, pl):
        catalogue = read_catalogue(library.DataFrame(frame), check_files=False)
        assert list(catalogue.clips) == ["a.wav", "b.wav"]
    mixed = pl.Series("clip", [Path("a.wav"), 1], dtype=pl.Object)
    mixed = pl.DataFrame([mixed, pl.Series("item", [1, 2])])
    with pytest.raises(ValueError, match=r"types \w+Path, int: make them text"):
        read_catalogue(mixed)
    twice = pd.DataFrame([["a.wav", 1, 2]], columns=["clip", "item", "item"])
    with pytest.raises(ValueError, match=r"columns of one name: \['item'\]"):
        read_catalogue(twice)


def test_a_folder_holds_what_find_audio_finds(tmp_path):
    """It had a list of its own, and left opus, oga, m4a and caf out."""
    for suffix in AUDIO_SUFFIXES:
        (tmp_path / f"a{suffix.upper()}").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "b.wav").touch()
    clips = read_catalogue(tmp_path).clips
    assert len(clips) == len(AUDIO_SUFFIXES)
    assert sorted(clips) == sorted(find_audio([tmp_path]))


@pytest.mark.real
def test_gtzan_clips(data):
    """Of 100 tracks by 44 artists, 78 are of the 30 artists that the logs know."""
    catalogue = read_catalogue(
        data / "gtzan_clips" / "clips.csv",
        clip="file",
        item="lastfm_artist_id",
        label="genre",
    )
    logs = read_logs(data / "hetrec2011-lastfm-2k", "hetrec-lastfm-2k")
    factors = np.arange(float(len(logs.item_ids)))[:, None]
    with pytest.warns(UserWarning, match=r"22 of 100 clips .*: 22 without item\."):
        rows, Y = catalogue.align(factors, logs.item_ids)
    found = logs.item_ids[Y.ravel().astype(int)]
    assert found.tolist() == catalogue.items[rows].tolist()
    assert len(set(found)) == 30
    assert len(set(catalogue.groups("artist"))) == 44
    assert len(set(catalogue.labels)) == 10


@pytest.mark.parametrize("place", [4, 60, 200, -9])
def test_a_damaged_parquet_is_no_panic(tmp_path, place):
    """polars' own reader panicked on some, or gave other rows."""
    path = tmp_path / "a.parquet"
    pl.DataFrame(ROWS).write_parquet(path)
    data = bytearray(path.read_bytes())
    data[place : place + 3] = b"\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.parquet.* could not be read"):
        read_catalogue(path, check_files=False)


def test_a_column_whose_name_is_no_utf8(tmp_path):
    """polars panicked on such a name."""
    path = tmp_path / "a.parquet"
    pl.DataFrame(ROWS | {"columnname": [1, 2, 3, 4]}).write_parquet(path)
    path.write_bytes(
        path.read_bytes().replace(b"columnname", b"column\xff\xfe\xfd\xfc")
    )
    with pytest.raises(ValueError, match=r"a\.parquet.* could not be read"):
        read_catalogue(path, check_files=False)
