"""The files of the task, byte by byte."""

import os
import unicodedata

import pytest

from userlogfeat.mirex.lists import (
    find_clip,
    read_clips,
    read_labels,
    read_tags,
    write_labels,
    write_tags,
)


def written(folder, raw):
    path = folder / "list.txt"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a.wav\nb.wav\n", ["a.wav", "b.wav"]),
        (b"a.wav\nb.wav", ["a.wav", "b.wav"]),  # no last line end
        (b"a.wav\r\nb.wav\r\n", ["a.wav", "b.wav"]),
        (b"a.wav\rb.wav\tx\r", ["a.wav", "b.wav"]),  # old Macs: was one path
        (b"\xef\xbb\xbfa.wav\r\n", ["a.wav"]),  # byte order mark
        (b"\n  \na.wav\n\r\n", ["a.wav"]),  # blank lines
        (b"my dir/a b .wav\n", ["my dir/a b .wav"]),
        (b"a.wav\t\nb.wav\tjazz\nc.wav\tx\ty\n", ["a.wav", "b.wav", "c.wav"]),
        (b"a.wav\na.wav\nb.wav\na.wav\n", ["a.wav", "a.wav", "b.wav", "a.wav"]),
        ("Café/雨.wav\n".encode(), ["Café/雨.wav"]),
        (b"caf\xe9.wav\n", ["caf\udce9.wav"]),  # no UTF-8
        (b"a\x0bb.wav\nc\xe2\x80\xa8d.wav\n", ["a\x0bb.wav", "c\u2028d.wav"]),
    ],
)
def test_clips_are_read_as_they_are_written(tmp_path, raw, expected):
    assert read_clips(written(tmp_path, raw)) == expected


def test_labels(tmp_path):
    raw = b"\xef\xbb\xbfa b.wav\thip hop\r\nc.wav\t jazz \r\na b.wav\thip hop\r\n"
    labels = read_labels(written(tmp_path, raw))
    assert labels == {"a b.wav": "hip hop", "c.wav": "jazz"}
    assert list(labels) == ["a b.wav", "c.wav"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty, expected one path per line"),
        (b"\n \r\n", "is empty"),
        (b"a.wav\tjazz\nb.wav\n", "no class in line 2, expected a path, a TAB"),
        (b"a.wav jazz\nb.wav rock\n", "no class in line 1, 2"),
        (b"a.wav\tjazz\n\nb.wav\t \n", "no class in line 3"),
        (b"\tjazz\n", "no path in line 1"),
        (b"a.wav\tjazz\t12\n", "more than two columns in line 1"),
        (
            b"a\trock\nb\tpop\na\tpop\n",
            "'a' the class 'rock' in line 1 and 'pop' in li",
        ),
        ("\ufeffa.wav\tjazz\n".encode("utf-16-le"), "in UTF-16, expected UTF-8"),
    ],
)
def test_faulty_training_lists(tmp_path, raw, message):
    with pytest.raises(ValueError, match=message):
        read_labels(written(tmp_path, raw))


def test_a_folder_is_no_list(tmp_path):
    with pytest.raises(ValueError, match="which is a folder, expected a file"):
        read_clips(tmp_path)


def test_lists_have_a_most(tmp_path, monkeypatch):
    monkeypatch.setattr("userlogfeat.mirex.lists.MAX_LINES", 3)
    assert len(read_clips(written(tmp_path, b"a\nb\nc\n"))) == 3
    with pytest.raises(ValueError, match="4 lines, expected at most 3"):
        read_clips(written(tmp_path, b"a\nb\nc\nd\n"))


def test_tags(tmp_path):
    raw = b"a.wav\tloud\r\nb.wav\tslow\na.wav\tfast\nc.wav\na.wav\tloud\n"
    tags = read_tags(written(tmp_path, raw))
    assert tags == {"a.wav": {"loud", "fast"}, "b.wav": {"slow"}, "c.wav": set()}
    with pytest.raises(ValueError, match="has no tags, expected a path, a TAB"):
        read_tags(written(tmp_path, b"a.wav\nb.wav\n"))


def test_output_keeps_paths_exactly(tmp_path):
    raw = "\ufeffmy dir/é.wav\r\n./x.wav\tx\r\n./x.wav\r\n".encode() + b"caf\xe9\n"
    clips = read_clips(written(tmp_path, raw))
    output = tmp_path / "new" / "folder" / "out.txt"
    write_labels(output, clips, ["pop", "hip hop", "hip hop", "jazz"])
    assert output.read_bytes() == (
        "my dir/é.wav\tpop\n./x.wav\thip hop\n./x.wav\thip hop\n".encode()
        + b"caf\xe9\tjazz\n"
    )
    assert os.listdir(output.parent) == ["out.txt"]


def test_tag_output(tmp_path):
    affinity, binary = tmp_path / "a.txt", tmp_path / "b.txt"
    scores = [[0.25, 1.0], [0.5, 0.0]]
    answers = [[False, True], [True, False]]
    write_tags(affinity, binary, ["x.wav", "y.wav"], ["fast", "low"], scores, answers)
    assert affinity.read_text() == (
        "x.wav\tfast\t0.250000\nx.wav\tlow\t1.000000\n"
        "y.wav\tfast\t0.500000\ny.wav\tlow\t0.000000\n"
    )
    assert binary.read_text() == (
        "x.wav\tfast\t0\nx.wav\tlow\t1\ny.wav\tfast\t1\ny.wav\tlow\t0\n"
    )
    with pytest.raises(ValueError, match="expected two files"):
        write_tags(affinity, affinity, ["x"], ["fast"], [[1]], [[1]])


def test_output_in_place_of_a_folder(tmp_path):
    with pytest.raises(ValueError, match="which is a folder, expected a file"):
        write_labels(tmp_path, ["a.wav"], ["pop"])


def test_relative_paths(tmp_path, monkeypatch):
    """From the present folder; else from that of the list."""
    lists, here = tmp_path / "lists", tmp_path / "here"
    for folder in (lists, here):
        folder.mkdir()
        (folder / "both.wav").touch()
    (lists / "listed.wav").touch()
    monkeypatch.chdir(here)
    assert find_clip("./both.wav", lists) == str(here / "both.wav")
    assert find_clip("listed.wav", lists) == str(lists / "listed.wav")
    assert find_clip("../lists/listed.wav", "/nowhere") == str(lists / "listed.wav")
    assert find_clip("gone.wav", lists) == str(here / "gone.wav")
    assert find_clip("nul\0.wav", lists) == str(here / "nul\0.wav")
    assert find_clip("listed.wav  ", lists) == str(lists / "listed.wav")


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_in_either_form(tmp_path, forms):
    on_disk, in_list = (unicodedata.normalize(form, "é.wav") for form in forms)
    (tmp_path / on_disk).touch()
    assert find_clip(in_list, tmp_path) == str(tmp_path / on_disk)
