"""The feature table: what is written is read, once, whatever happened in between."""

import contextlib
import copy
import errno
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from userlogfeat import FeatureLookup, _parquet
from userlogfeat.tables import (
    FeatureTable,
    TableError,
    as_matrix,
    file_stamp,
)
from userlogfeat.tables import parts as table_parts
from userlogfeat.tables import writer as table_writer

SIZES = {"mean": 3, "max": 2}


def vector(value):
    return {"mean": np.full(3, value), "max": np.full(2, -value)}


def write(folder, clips, *, fingerprint="f", start=0, **settings):
    table = FeatureTable(folder)
    settings = {"fingerprint": fingerprint, "layer_sizes": SIZES} | settings
    with table.writer(**settings) as writer:
        for number, clip in enumerate(clips, start):
            writer.add(clip, layers=vector(number), seconds=number + 0.5)
    return table


def parts(folder):
    return sorted(path.name for path in folder.glob("part-*.parquet"))


def test_rows_come_back_as_they_were_written(tmp_path):
    table = FeatureTable(tmp_path / "t")
    with table.writer(fingerprint="f", layer_sizes=SIZES, made_by="me") as writer:
        writer.add("a.wav", layers=vector(1), seconds=2.5, size=10, modified_ns=20)
        writer.add("b.wav", status="EmptyAudioError", message="0 bytes")
    assert (table.fingerprint, table.layer_sizes, table.made_by) == ("f", SIZES, "me")
    rows = table.read().to_pydict()
    assert rows["clip"] == ["a.wav", "b.wav"]
    assert rows["status"] == ["ok", "EmptyAudioError"]
    assert rows["message"] == ["", "0 bytes"]
    assert (rows["seconds"][0], rows["size"], rows["modified_ns"]) == (
        2.5,
        [10, -1],
        [20, -1],
    )
    assert rows["mean"][0] == [1, 1, 1]
    assert np.isnan(rows["mean"][1]).all()
    assert table.status_counts() == {"ok": 1, "EmptyAudioError": 1}


def test_other_tools_read_the_folder(tmp_path):
    write(tmp_path, ["a.wav", "b.wav"])
    frame = pl.read_parquet(tmp_path / "*.parquet")
    assert frame["clip"].to_list() == ["a.wav", "b.wav"]
    assert frame["mean"].dtype == pl.Array(pl.Float32, 3)


@pytest.mark.parametrize(
    "name",
    ["new\nline.wav", 'tab\tquote".wav', "ütf-8 ♫.wav", b"caf\xe9.wav", "\udcff.wav"],
)
def test_any_path_survives(tmp_path, name):
    table = write(tmp_path, ["plain.wav", name])
    expected = os.fsdecode(name)
    assert table.clips() == ["plain.wav", expected]
    assert table.lookup([name]).statuses == ["ok"]
    assert os.fsencode(table.clips()[1]) == os.fsencode(name)


def test_a_path_by_both_slashes_of_windows(tmp_path, monkeypatch):
    """`find_audio` has one there, users write the other, and nothing was found."""
    monkeypatch.setattr(table_parts, "_BACKSLASHES", True)
    table = write(
        tmp_path, [r"C:\music\a.wav", b"C:\\music\\b.wav", Path("c") / "d.wav"]
    )
    assert table.clips() == ["C:/music/a.wav", "C:/music/b.wav", "c/d.wav"]
    names = ["C:/music/a.wav", r"C:\music/b.wav", r"c\d.wav"]
    assert table.lookup(names).statuses == ["ok"] * 3
    monkeypatch.setattr(table_parts, "_BACKSLASHES", False)
    assert table.lookup([r"c\d.wav"]).statuses == [None]  # a name like any other


def test_odd_paths_are_readable_in_the_column(tmp_path):
    rows = write(tmp_path, [b"caf\xe9.wav", "caf\\xe9.wav"]).read().to_pydict()
    assert rows["clip"] == ["caf\\xe9.wav", "caf\\xe9.wav"]
    assert rows["clip_bytes"] == [b"caf\xe9.wav", None]
    assert len(FeatureTable(tmp_path)) == 2


def test_path_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no file can be called"):
        write(tmp_path, ["\ud800.wav"])


def test_later_row_replaces_earlier_one(tmp_path):
    write(tmp_path, ["a", "b", "a"], max_small_parts=9)
    table = write(tmp_path, ["b"], start=7, max_small_parts=9)
    assert len(parts(tmp_path)) == 2
    rows = table.read(["clip", "mean"]).to_pydict()
    assert rows == {"clip": ["a", "b"], "mean": [[2] * 3, [7] * 3]}
    assert len(table) == 2
    assert table.status_counts() == {"ok": 2}
    np.testing.assert_array_equal(
        table.lookup(["b", "a"]).layers["max"][:, 0], [-7, -2]
    )


def test_lookup_keeps_the_order_asked_for(tmp_path):
    write(
        tmp_path, [f"{i}.wav" for i in range(50)], flush_bytes=200, max_small_parts=99
    )
    assert len(parts(tmp_path)) > 3
    order = np.random.default_rng(0).permutation(50)
    found = FeatureTable(tmp_path).lookup([f"{i}.wav" for i in order], ["mean"])
    assert list(found.layers) == ["mean"]
    np.testing.assert_array_equal(found.layers["mean"], np.repeat(order[:, None], 3, 1))
    np.testing.assert_array_equal(found.seconds, order + 0.5)


def test_lookup_of_failed_and_missing_clips(tmp_path):
    table = FeatureTable(tmp_path)
    assert table.lookup(["a"]).statuses == [None]
    with table.writer(fingerprint="f", layer_sizes=SIZES) as writer:
        writer.add("a", status="EmptyAudioError", message="0 bytes")
        writer.add("b", layers=vector(1))
    found = table.lookup(["a", "b", "c"])
    assert found.statuses == ["EmptyAudioError", "ok", None]
    assert found.found.tolist() == [False, True, False]
    assert np.isnan(found.layers["mean"][[0, 2]]).all()
    with pytest.raises(ValueError, match=r"Got \['min'\], but .* \['mean', 'max'\]"):
        table.lookup(["b"], ["min"])


def test_lookup_notices_changed_files(tmp_path):
    clips = [tmp_path / "same.wav", tmp_path / "longer.wav", tmp_path / "touched.wav"]
    table = FeatureTable(tmp_path / "t")
    with table.writer(fingerprint="f", layer_sizes=SIZES) as writer:
        for clip in clips:
            clip.write_bytes(b"123")
            size, modified_ns = file_stamp(clip)
            writer.add(clip, layers=vector(1), size=size, modified_ns=modified_ns)
    clips[1].write_bytes(b"1234")
    os.utime(clips[2], ns=(1, 1))
    assert table.lookup(clips, unchanged=True).found.tolist() == [True, False, False]
    assert table.lookup(clips).found.all()


def test_matrix_shares_memory_with_the_column(tmp_path):
    column = write(tmp_path, "abc").read(["mean"])["mean"].chunk(0)
    matrix = as_matrix(column)
    np.testing.assert_array_equal(matrix, [[0] * 3, [1] * 3, [2] * 3])
    assert matrix.ctypes.data == column.values.buffers()[1].address
    np.testing.assert_array_equal(as_matrix(column.slice(1)), [[1] * 3, [2] * 3])
    both = pa.chunked_array([column, column.slice(2)])
    np.testing.assert_array_equal(as_matrix(both)[:, 0], [0, 1, 2, 2])


def test_batches_are_bounded_and_complete(tmp_path):
    table = write(tmp_path, [str(i % 25) for i in range(30)], max_small_parts=9)
    batches = list(table.iter_batches(["clip", "mean"], batch_size=7))
    assert max(len(batch) for batch in batches) <= 7
    rows = pa.Table.from_batches(batches)
    assert sorted(rows["clip"].to_pylist(), key=int) == [str(i) for i in range(25)]
    assert set(as_matrix(rows["mean"])[:, 0]) == set(range(5, 30))


def test_small_parts_are_merged_when_the_writer_closes(tmp_path):
    for number in range(5):
        table = write(tmp_path, [f"{number}"], start=number)
        assert len(parts(tmp_path)) == 1
    assert table.clips() == list("01234")
    assert as_matrix(table.read(["mean"])["mean"])[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_cache_may_keep_some_small_parts(tmp_path):
    counts = []
    for number in range(9):
        write(tmp_path, [f"{number}"], max_small_parts=4)
        counts.append(len(parts(tmp_path)))
    assert counts == [1, 2, 3, 4, 1, 2, 3, 4, 1]
    assert FeatureTable(tmp_path).clips() == list("012345678")


def test_long_runs_merge_while_they_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(table_writer, "MAX_SMALL_PARTS", 4)
    clips = [f"{i}" for i in range(30)]
    seen = []
    table = FeatureTable(tmp_path)
    with table.writer(fingerprint="f", layer_sizes=SIZES, flush_bytes=1) as writer:
        for clip in clips:
            writer.add(clip, layers=vector(1))
            seen.append(len(parts(tmp_path)))
    assert max(seen) <= 5
    assert table.clips() == clips


def test_big_parts_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(table_writer, "PART_BYTES", 50_000)
    values = np.random.default_rng(0).standard_normal((8, 2000))
    table = FeatureTable(tmp_path)
    settings = {"fingerprint": "f", "layer_sizes": {"x": 2000}}
    with table.writer(**settings) as writer:  # 8 kB per row: not small
        for row in range(4):
            writer.add(str(row), layers={"x": values[row]})
    (first,) = parts(tmp_path)
    with table.writer(**settings) as writer:
        writer.add("4", layers={"x": values[4]})
    assert parts(tmp_path) == [first, "part-00000001.parquet"]
    with table.writer(**settings) as writer:
        writer.add("5", layers={"x": values[5]})
    assert parts(tmp_path) == [first, "part-00000003.parquet"]
    with table.writer(**settings) as writer:  # a replaced row is dropped on disk too
        writer.add("1", layers={"x": values[7]})
    assert pl.read_parquet(tmp_path / "*.parquet")["clip"].sort().to_list() == list(
        "012345"
    )
    np.testing.assert_array_equal(
        table.lookup(list("012345")).layers["x"],
        values[[0, 7, 2, 3, 4, 5]].astype(np.float32),
    )


def test_killed_between_merge_and_removal_doubles_nothing(tmp_path, monkeypatch):
    for number in range(3):
        write(tmp_path, [f"{number}"], start=number, max_small_parts=9)

    genuine = type(tmp_path).unlink

    def killed(path, **settings):
        if path.name.startswith("part-"):
            raise KeyboardInterrupt
        genuine(path, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, ["3"], start=3)
    assert len(parts(tmp_path)) == 5  # four and what they were merged into
    table = FeatureTable(tmp_path)
    assert table.read(["clip"])["clip"].to_pylist() == list("0123")
    assert len(table) == 4
    write(tmp_path, ["4"], start=4, max_small_parts=9)
    assert len(parts(tmp_path)) == 2
    assert pl.read_parquet(tmp_path / "*.parquet")["clip"].to_list() == list("01234")


def test_stale_temporaries_are_removed_by_the_next_writer(tmp_path):
    write(tmp_path, ["a"])
    stale = tmp_path / ".part-00000007.parquet.ab12"
    stale.write_bytes(b"half a part")
    assert FeatureTable(tmp_path).clips() == ["a"]
    write(tmp_path, ["b"])
    assert not stale.exists()


def test_what_was_added_before_an_exception_is_kept(tmp_path):
    table = FeatureTable(tmp_path)
    with contextlib.suppress(KeyboardInterrupt):
        with table.writer(fingerprint="f", layer_sizes=SIZES) as writer:
            writer.add("a", layers=vector(1))
            raise KeyboardInterrupt
    assert table.clips() == ["a"]


def test_a_part_is_flushed_after_a_while(tmp_path):
    table = FeatureTable(tmp_path)
    with table.writer(fingerprint="f", layer_sizes=SIZES, flush_seconds=0.01) as writer:
        writer.add("a", layers=vector(1))
        time.sleep(0.02)
        writer.add("b", layers=vector(1))
        assert FeatureTable(tmp_path).clips() == ["a", "b"]


def test_other_model_or_layers_are_refused(tmp_path):
    write(tmp_path, ["a"])
    with pytest.raises(TableError, match=r"another model.*fingerprint f, now g"):
        write(tmp_path, ["b"], fingerprint="g")
    with pytest.raises(TableError, match=r"has layers .*'mean': 3.*run makes"):
        write(tmp_path, ["b"], layer_sizes={"mean": 3})
    assert FeatureTable(tmp_path).clips() == ["a"]


def test_parts_of_two_models_are_noticed(tmp_path):
    write(tmp_path / "one", ["a"])
    write(tmp_path / "two", ["b"], fingerprint="g")
    os.rename(
        tmp_path / "two" / "part-00000000.parquet",
        tmp_path / "one" / "part-00000009.parquet",
    )
    with pytest.raises(TableError, match="Two tables were copied into one folder"):
        len(FeatureTable(tmp_path / "one"))


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_part_is_named(tmp_path, keep):
    write(tmp_path, [f"{i}" for i in range(100)])
    part = tmp_path / parts(tmp_path)[0]
    raw = part.read_bytes()
    part.write_bytes(raw[: int(keep * len(raw))])
    with pytest.raises(TableError, match=r"part-00000000\.parquet is damaged.*Delete"):
        FeatureTable(tmp_path).clips()
    with pytest.raises(TableError, match="is damaged"):
        write(tmp_path, ["x"])


def test_flipped_bits_are_noticed(tmp_path):
    values = np.random.default_rng(0).standard_normal((200, 3))
    table = FeatureTable(tmp_path)
    with table.writer(fingerprint="f", layer_sizes={"x": 3}) as writer:
        for row, value in enumerate(values):
            writer.add(str(row), layers={"x": value})
    part = tmp_path / parts(tmp_path)[0]
    raw = bytearray(part.read_bytes())
    column = pq.read_metadata(part).row_group(0).column(7)
    raw[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    part.write_bytes(raw)
    with pytest.raises(TableError, match="is damaged"):
        table.read()


def test_foreign_parquet_is_named(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "part-00000000.parquet")
    with pytest.raises(TableError, match="not of a 'userlogfeat table 1'"):
        FeatureTable(tmp_path).clips()


def test_files_of_other_names_are_ignored(tmp_path):
    """They were counted, and then broke the writer."""
    table = write(tmp_path, ["a"])
    (tmp_path / "part-xyz.parquet").write_bytes(
        (tmp_path / "part-00000000.parquet").read_bytes()
    )
    write(tmp_path, ["b"])
    assert table.clips() == ["a", "b"]
    assert len(table.parts()) == 1
    assert (tmp_path / "part-xyz.parquet").exists()


def test_folder_with_the_name_of_a_part_is_named(tmp_path):
    write(tmp_path, ["a"])
    (tmp_path / "part-00000001.parquet").mkdir()
    with pytest.raises(TableError, match=r"00000001\.parquet is a folder.*Move it out"):
        len(FeatureTable(tmp_path))


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "written before are kept. Make room and run"),
        (errno.EIO, "written before are kept. Run the same again"),
        (errno.EACCES, "Permission denied. Make the folder writable"),
        (errno.EROFS, "Make the folder writable"),
        (errno.ENOENT, "No such file or directory. Part of its path is missing"),
    ],
)
def test_advice_fits_what_the_system_refused(tmp_path, monkeypatch, code, advice):
    """All were asked to make room."""

    def refuse(*_arguments, **_settings):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(pq, "ParquetWriter", refuse)
    with pytest.raises(OSError, match=f"Could not write.*{advice}") as caught:
        write(tmp_path, ["a"])
    assert caught.value.errno == code


def test_what_is_no_folder_or_no_list_is_refused(tmp_path):
    with pytest.raises(TypeError, match="Got None as a feature table, expected"):
        FeatureLookup(None).fit(["a.wav"])
    table = write(tmp_path, ["a"])
    for clip in ("a", b"a", Path("a")):
        with pytest.raises(TypeError, match=r"single path .* expected a list of paths"):
            table.lookup(clip)


def test_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "song.wav").write_bytes(b"")
    with pytest.raises(TableError, match=r"not a feature table.*'song\.wav'"):
        write(tmp_path, ["a"])
    with pytest.raises(TableError, match="is a file, but a feature table is a folder"):
        write(tmp_path / "song.wav", ["a"])


def test_missing_table_says_how_to_make_one(tmp_path):
    table = FeatureTable(tmp_path / "none")
    assert not table.exists()
    assert len(table) == 0
    with pytest.raises(TableError, match=r"no feature table in .*userlogfeat extract"):
        table.read()


def test_rows_must_fit_the_layers(tmp_path):
    table = FeatureTable(tmp_path)
    with table.writer(fingerprint="f", layer_sizes=SIZES) as writer:
        with pytest.raises(ValueError, match=r"shape \(2,\), expected \(3,\)"):
            writer.add("a", layers={"mean": np.ones(2), "max": np.ones(2)})
        with pytest.raises(ValueError, match="an error and None"):
            writer.add("a")
    with pytest.raises(ValueError, match=r"cannot be called \['size'\]"):
        table.writer(fingerprint="f", layer_sizes={"size": 3})


def test_table_is_copied_and_pickled_by_its_folder(tmp_path):
    table = write(tmp_path, ["a"])
    for other in (copy.deepcopy(table), pickle.loads(pickle.dumps(table))):
        assert other.folder == table.folder
        assert other.clips() == ["a"]
    assert repr(table) == f"FeatureTable({str(tmp_path)!r})"


def test_reader_waits_for_writers_that_merge_without_a_pause(tmp_path, monkeypatch):
    """Tries one right after the other all fell into the time of eight writers."""
    table = write(tmp_path, "ab")
    list_parts, until = FeatureTable.parts, time.monotonic() + 0.1

    def busy(self):
        if time.monotonic() < until:
            raise FileNotFoundError("changed while it was listed")
        return list_parts(self)

    monkeypatch.setattr(FeatureTable, "parts", busy)
    assert len(table.read()) == 2


def test_reader_tries_again_when_a_part_was_merged_away(tmp_path, monkeypatch):
    write(tmp_path, ["a"], max_small_parts=9)
    write(tmp_path, ["b"], max_small_parts=9)
    table = FeatureTable(tmp_path)
    genuine, calls = _parquet.pq.ParquetFile, []

    def merged_meanwhile(path, **settings):
        if not calls:
            calls.append(path)
            write(tmp_path, ["c"])
        return genuine(path, **settings)

    monkeypatch.setattr(_parquet.pq, "ParquetFile", merged_meanwhile)
    assert table.clips() == ["a", "b", "c"]


SECOND = """
import sys, time
from userlogfeat.tables import FeatureTable
table = FeatureTable(sys.argv[1])
with table.writer(fingerprint="f", layer_sizes={"x": 1}, on_locked=sys.argv[2]) as w:
    print("in", flush=True)
    w.add(sys.argv[3], layers={"x": [1.0]})
    sys.stdin.readline()
"""


def start_second(folder, on_locked, clip):
    return subprocess.Popen(
        [sys.executable, "-c", SECOND, folder, on_locked, clip],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_one_writer_at_a_time(tmp_path):
    with start_second(tmp_path, "error", "first") as first:
        assert first.stdout.readline() == "in\n"
        with start_second(tmp_path, "error", "second") as second:
            _, message = second.communicate()
        assert "BlockingIOError: Another process is writing to" in message
        with start_second(tmp_path, "wait", "third") as third:
            time.sleep(0.3)
            first.communicate("\n")
            assert third.communicate("\n")[0] == "in\n"
    assert FeatureTable(tmp_path).clips() == ["first", "third"]


def test_killed_writer_frees_the_lock(tmp_path):
    with start_second(tmp_path, "error", "first") as first:
        assert first.stdout.readline() == "in\n"
        first.kill()
    with start_second(tmp_path, "error", "second") as second:
        second.communicate("\n")
    assert FeatureTable(tmp_path).clips() == ["second"]
