"""Parquet that would fill the memory is refused; what is read is what was written."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from userlogfeat import _parquet, read_logs
from userlogfeat._parquet import (
    decode_text,
    most_bytes,
    open_parquet,
    read_parquet,
    write_parquet,
)


def test_how_large_a_file_may_become():
    assert most_bytes(0) == 1 << 26
    assert most_bytes(1_000_000) == (1 << 26) + 1_000_000_000
    assert most_bytes(10**9) == 1 << 32
    assert most_bytes(10**9, at_most=5) == 5


def test_what_is_read_is_what_was_written(tmp_path):
    words = pa.array(["ann", None, "bob", "ann"])
    columns = {
        "text": words,
        "large": words.cast(pa.large_string()),
        "bytes": pa.array([b"\xff", None, b"", b"a"]),
        "number": [1, 2, 3, 4],
        "list": pa.array([[1.0], [2.0], [3.0], [4.0]], pa.list_(pa.float32(), 1)),
    }
    table = pa.table(columns).replace_schema_metadata({b"note": b"mine"})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    found = read_parquet(tmp_path / "a.parquet")
    assert found.to_pydict() == table.to_pydict()
    assert found.schema.metadata[b"note"] == b"mine"


def test_categories_become_text(tmp_path):
    table = pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet")["a"].to_pylist() == ["x", "y", "x"]


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    for name, value in (("b", 2), ("a", 1), (".c", 3), ("_d", 4)):
        pq.write_table(pa.table({"n": [value]}), tmp_path / f"{name}.parquet")
    assert read_parquet(tmp_path)["n"].to_pylist() == [1, 2]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no \.parquet file"):
        read_parquet(tmp_path / "empty")


@pytest.mark.parametrize("values", [["x" * 500] * 20_000, list(range(9)) * 200_000])
def test_what_fills_the_memory_is_refused(tmp_path, monkeypatch, values):
    """10 MB of one word, 14 MB of nine numbers: a few kB on disk."""
    monkeypatch.setattr(_parquet, "FREE_BYTES", 1 << 20)
    monkeypatch.setattr(_parquet, "MAX_RATIO", 2)
    pq.write_table(pa.table({"a": values}), tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(ValueError, match="bytes in memory"):
        read_parquet(tmp_path / "a.parquet")


def test_checksums_are_compared(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"a": list(range(1000))})
    pq.write_table(table, path, write_page_checksum=True, use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match="checksum"):
        read_parquet(path)


def test_text_that_is_no_utf8(tmp_path):
    raw = pa.array([b"caf\xe9"])
    text = pa.Array.from_buffers(pa.string(), 1, raw.buffers())
    pq.write_table(pa.table({"a": text}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="UTF8"):
        read_parquet(tmp_path / "a.parquet")


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="not a regular file"):
        read_parquet(tmp_path / "a.parquet")


def test_only_text_is_decoded(tmp_path):
    pq.write_table(pa.table({"a": ["x"], "n": [1]}), tmp_path / "a.parquet")
    with open_parquet(tmp_path / "a.parquet") as file:
        rows = file.read()
    assert pa.types.is_dictionary(rows.schema.field("a").type)
    assert decode_text(rows, 1).to_pydict() == {"a": ["x"], "n": [1]}
    with pytest.raises(ValueError, match="'a' is longer than 0 bytes"):
        decode_text(rows, 0)


def test_names_that_are_no_utf8(tmp_path):
    """pyarrow cannot encode them: neither tables nor factors could be there."""
    path = tmp_path / "caf\udce9.parquet"
    table = pa.table({"a": ["x", None]})
    write_parquet(path, table, compression="zstd")
    assert read_parquet(path).equals(table)


NESTED = {
    "list": pa.array([["x", "y"], None, ["x"]]),
    "large": pa.array([["x"], [], [None]], pa.large_list(pa.large_string())),
    "fixed": pa.array([["x", "y"], None, ["z", None]], pa.list_(pa.string(), 2)),
    "struct": pa.array([{"word": "x", "number": 1}, None, {"word": None, "number": 2}]),
    "map": pa.array([[("k", "v")], None, []], pa.map_(pa.string(), pa.string())),
    "deep": pa.array([[[b"x"]], [[None], []], None]),
    "decimal": pa.array([1, 2, None]).cast(pa.decimal128(30, 2)),
}

if int(pa.__version__.partition(".")[0]) < 26:
    del NESTED["fixed"]  # earlier releases write no null among lists of a fixed size


def test_nested_text_is_read_as_it_was_written(tmp_path):
    pq.write_table(pa.table(NESTED), tmp_path / "a.parquet")
    found = read_parquet(tmp_path / "a.parquet")
    assert found.to_pydict() == pa.table(NESTED).to_pydict()


@pytest.mark.parametrize("kind", ["list", "struct", "map"])
def test_nested_text_is_counted(tmp_path, monkeypatch, kind):
    """It was written out before anybody knew how long it was."""
    word = "x" * 1000
    value = {"list": [word], "struct": {"a": word}, "map": [(word, 1)]}[kind]
    of_map = pa.map_(pa.string(), pa.int64()) if kind == "map" else None
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"tags": pa.array([value] * 90, of_map)}), path)
    monkeypatch.setattr(_parquet, "MAX_RATIO", 0)
    monkeypatch.setattr(_parquet, "FREE_BYTES", 100_000)
    assert len(read_parquet(path)) == 90
    monkeypatch.setattr(_parquet, "FREE_BYTES", 80_000)
    with pytest.raises(ValueError, match="its text up to the column 'tags'"):
        read_parquet(path)


LONG = {
    "lists": pa.array([[0.0] * 20_000] * 20, pa.list_(pa.float32())),
    "bytes": pa.array([bytes(80_000)] * 20, pa.binary(80_000)),
    "small": pa.array([[0] * 80_000] * 20, pa.list_(pa.int8())),
}


@pytest.mark.parametrize("name", LONG)
def test_rows_of_any_length_are_counted_before_they_are_read(
    tmp_path, monkeypatch, name
):
    """A row of a million numbers came in one batch with others: 12 kB had 4 GB."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({name: LONG[name]}), path, compression="zstd")
    monkeypatch.setattr(_parquet, "MAX_RATIO", 0)
    monkeypatch.setattr(_parquet, "FREE_BYTES", 2_000_000)
    assert len(read_parquet(path)) == 20
    monkeypatch.setattr(_parquet, "FREE_BYTES", 1_500_000)
    with pytest.raises(ValueError, match=r"lists of 1.6e\+06 bytes"):
        open_parquet(path)


def hide_rows(path):
    """Let the footer note 65 rows; the row groups still hold their 1111."""
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    # A number of 64 bits in thrift: its type, and 2 * 1111 or 2 * 65 in two bytes.
    footer = data[start:].replace(b"\x16\xae\x11", b"\x16\x82\x01", 1)
    path.write_bytes(data[:start] + footer)
    assert pq.read_metadata(path).num_rows == 65


def test_rows_are_those_that_the_footer_notes(tmp_path):
    path = tmp_path / "plays.parquet"
    plays = {"user": [f"u{i}" for i in range(1111)], "item": ["x"] * 1111}
    pq.write_table(pa.table(plays), path)
    assert read_logs(path).user_items.shape == (1111, 1)
    assert len(read_parquet(path)) == 1111
    hide_rows(path)
    with pytest.raises(ValueError, match=r"other than the 65 rows that it notes"):
        read_parquet(path)
    with pytest.raises(ValueError, match=r"has 1111 rows, and notes 65.* damaged"):
        read_logs(path)
