"""Tables of published sets are read by the rules of logs, or refused with line numbers.

Each had a reader of its own: rows that were too short lost values, tables that were
joined or written otherwise lost rows, and what two rows said of a clip was the last.
"""

import pytest

from userlogfeat.datasets.dcase2016 import read_dcase2016
from userlogfeat.datasets.emomusic import read_emomusic
from userlogfeat.datasets.fma import read_fma
from userlogfeat.datasets.gtzan import read_gtzan
from userlogfeat.datasets.magnatagatune import read_magnatagatune

FMA = (
    ",album,artist,artist,set,set,track,track,track\n"
    ",id,id,name,split,subset,genre_top,information,title\n"
    "track_id,,,,,,,,\n"
    "2,1,1,AWOL,training,small,Rock,,Food\n"
    "3,1,1,ĐỗX,training,small,Rock,,Sky\n"
    "5,1,1,AWOL,test,small,Rock,,This\n"
)
INFO = (
    "song_id,Artist,Song title,Genre,Mediaeval 2013 set\n"
    "2,\tAWOL\t,\tA\t,\tRock\t,development\n"
    "3,\tĐỗX\t,\tB\t,\tRock\t,development\n"
    "5,\tAWOL\t,\tC\t,\tRock\t,evaluation\n"
)
STATIC = "song_id,mean_arousal,mean_valence\n2,3,4\n3,3,4\n5,3,4\n"
TAGS = (
    '"clip_id"\t"loud"\t"mp3_path"\n'
    '"2"\t"1"\t"f/x-y-01-a-0-29.mp3"\n'
    '"3"\t"0"\t"f/x-y-01-b-0-29.mp3"\n'
    '"5"\t"0"\t"f/x-y-01-c-0-29.mp3"\n'
)
CLIP_INFO = (
    "clip_id\tartist\talbum\ttitle\tmp3_path\n"
    '2\tAWOL\t"An ""album"""\tA\t\n'
    "3\tĐỗX\tZ\tB\t\n"
    "5\tAWOL\tZ\tC\t\n"
)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture(params=["fma", "emomusic", "static", "tags", "clip_info"])
def table(request, tmp_path):
    """A set of three clips: the path of a table, its text, and what reads it."""
    kind = request.param
    if kind == "fma":
        touch(tmp_path, *[f"fma_small/000/00000{k}.mp3" for k in (2, 3, 5)])
        (tmp_path / "tracks.csv").write_text(FMA, "utf-8")
        return tmp_path / "tracks.csv", FMA, lambda: read_fma(tmp_path)
    if kind in ("emomusic", "static"):
        touch(tmp_path, *[f"clips/{k}.mp3" for k in (2, 3, 5)])
        (tmp_path / "songs_info.csv").write_text(INFO, "utf-8")
        (tmp_path / "static_annotations.csv").write_text(STATIC)
        name, text = ("songs_info.csv", INFO)
        if kind == "static":
            name, text = ("static_annotations.csv", STATIC)
        return tmp_path / name, text, lambda: read_emomusic(tmp_path)
    touch(tmp_path, *[f"f/x-y-01-{k}-0-29.mp3" for k in "abc"])
    (tmp_path / "annotations_final.csv").write_text(TAGS)
    (tmp_path / "clip_info_final.csv").write_text(CLIP_INFO, "utf-8")
    name, text = ("annotations_final.csv", TAGS)
    if kind == "clip_info":
        name, text = ("clip_info_final.csv", CLIP_INFO)
    return tmp_path / name, text, lambda: read_magnatagatune(tmp_path)


def test_the_same_clips_in_any_writing(table):
    path, text, read = table
    expected = read().frame
    assert expected.height == 3
    raw = text.encode()
    for written in (
        b"\xef\xbb\xbf" + raw,
        raw.replace(b"\n", b"\r\n"),
        raw.replace(b"\n", b"\r"),
        raw.replace(b"\n", b"\n\n")[:-2],
    ):
        path.write_bytes(written)
        assert read().frame.equals(expected)


def test_what_cannot_be_right_is_refused_with_its_line(table):
    path, text, read = table
    lines = text.split("\n")[:-1]
    n, separator = len(lines), "\t" if "\t" in lines[0] else ","
    begun = lines[-2].partition(separator)
    cases = [
        (text.encode("utf-16"), "is in UTF-16"),
        (text.encode("utf-16-le"), "NUL bytes"),
        (text.encode() + lines[-1].rpartition(separator)[0].encode(), f"line {n + 1} "),
        ("\n".join([*lines, lines[0], ""]).encode(), rf"line {n + 1} .* once more"),
        ((text + lines[-1] + separator).encode(), f"line {n + 1} .* fields, expected"),
        (text.encode() + lines[-1].encode(), "listed twice"),
        # A quote that opens in one row, and would close in the next.
        (
            "\n".join(
                [
                    *lines[:-2],
                    f'{begun[0]}{separator}"{begun[2].replace(chr(34), "")}',
                    lines[-1].replace(separator, f'{separator}"', 1),
                    "",
                ]
            ).encode(),
            rf"lines? {n - 1}\b.*quotes do not match",
        ),
    ]
    for raw, message in cases:
        path.write_bytes(raw)
        with pytest.raises(ValueError, match=rf"{path.name}.*{message}"):
            read()


def test_notes_with_line_breaks(tmp_path):
    """FMA has them; numbers of later lines stay those of the file."""
    touch(tmp_path, *[f"fma_small/000/00000{k}.mp3" for k in (2, 3, 5)])
    path = tmp_path / "tracks.csv"
    note = '"<p>A ""b"",\r\n\r\nc</p>"'
    text = FMA.replace("Rock,,Food", f'Rock,{note},"Fo\nod"')
    path.write_bytes(text.encode())
    assert read_fma(tmp_path).frame["title"].to_list() == ["Fo od", "Sky", "This"]
    path.write_bytes((text + "6,1,1,A\n").encode())
    with pytest.raises(ValueError, match=r"line 10 \('6,1,1,A'\) with 4 fields"):
        read_fma(tmp_path)
    path.write_bytes(text.replace("c</p>", 'c"</p>').encode())
    with pytest.raises(ValueError, match=r"line 4 .*quotes do not match"):
        read_fma(tmp_path)


def test_ids_of_fma(tmp_path):
    touch(tmp_path, *[f"fma_small/000/00000{k}.mp3" for k in (2, 3, 5)])
    path = tmp_path / "tracks.csv"
    path.write_text(FMA.replace("3,1,1,", "3,1.0,1,"), "utf-8")  # written by pandas
    assert read_fma(tmp_path).albums.tolist() == [1, 1, 1]
    path.write_text(FMA.replace("3,1,1,", "x,1,1,"), "utf-8")
    with pytest.raises(ValueError, match="a track has item 'x', expected a number"):
        read_fma(tmp_path)


def test_an_empty_tag_is_refused(tmp_path):
    """It was counted as a tag of 0."""
    touch(tmp_path, *[f"f/x-y-01-{k}-0-29.mp3" for k in "abc"])
    (tmp_path / "annotations_final.csv").write_text(TAGS.replace('"1"', '""'))
    with pytest.raises(ValueError, match="1 rows with other tags"):
        read_magnatagatune(tmp_path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_of_dcase_and_gtzan(tmp_path, end):
    touch(tmp_path, "dcase/audio/1.wav", "dcase/audio/2.wav", "gtzan/rock/x.txt")
    touch(tmp_path, "dcase/evaluation_setup/test.txt", "gtzan/rock/rock.00000.wav")
    meta, index = tmp_path / "dcase" / "meta.txt", tmp_path / "index.txt"
    text = f"\ufeffaudio/1.wav\tbus{end}{end}audio/2.wav\tcar\x85{end}"
    meta.write_bytes(text.encode())
    clips = read_dcase2016(tmp_path / "dcase", "evaluation")
    assert clips.y.tolist() == ["bus", "car"]
    meta.write_bytes((text + "audio/3.wav" + end).encode())
    with pytest.raises(ValueError, match=r"Line 4 of .*expected 2 fields"):
        read_dcase2016(tmp_path / "dcase", "evaluation")
    index.write_bytes(f"rock.00000.wav ::: Café ::: A{end}".encode("latin-1"))
    clips = read_gtzan(tmp_path / "gtzan", artists=index, missing="ignore")
    assert clips.artists.tolist() == ["Café"]
    index.write_bytes(text.encode("utf-16"))
    with pytest.raises(ValueError, match="is in UTF-16"):
        read_gtzan(tmp_path / "gtzan", artists=index, missing="ignore")
