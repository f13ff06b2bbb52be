"""Parts of strangers: refused before they fill the memory, and where notes changed."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from userlogfeat import _parquet
from userlogfeat.tables import FeatureTable, TableError
from userlogfeat.tables.footers import FIELDS, METADATA, layer_fields, sealed_notes

NOTES = {
    "format": "userlogfeat table 1",
    "fingerprint": "fp",
    "layers": {"mean": 2},
    "scales": {},
    "made_by": "me",
    "users_digest": None,
    "replaces": [],
}


def put(folder, rows, notes=NOTES, *, text=None, **settings):
    """A part with these rows, whatever they are."""
    folder.mkdir(exist_ok=True)
    metadata = {METADATA: text or sealed_notes(notes)}
    path = folder / "part-00000000.parquet"
    pq.write_table(rows.replace_schema_metadata(metadata), path, **settings)
    return FeatureTable(folder)


def make_rows(n_rows, size=2, *, clip=None, names=None):
    """Rows of one number each."""
    names = [f"{i}.wav" for i in range(n_rows)] if names is None else names
    small = [names, [None] * n_rows, ["ok"] * n_rows, [""] * n_rows]
    arrays = [pa.array(c, f.type) for c, f in zip(small, FIELDS[:4], strict=True)]
    arrays += [pa.array(np.zeros(n_rows), field.type) for field in FIELDS[4:]]
    flat = pa.array(np.zeros(n_rows * size, np.float32))
    arrays.append(pa.FixedSizeListArray.from_arrays(flat, size))
    schema = pa.schema([*FIELDS, *layer_fields({"mean": size})])
    return pa.Table.from_arrays(arrays, schema=schema)


def test_an_ordinary_part(tmp_path):
    table = put(tmp_path / "t", make_rows(3))
    assert table.clips() == ["0.wav", "1.wav", "2.wav"]
    assert table.lookup(["1.wav"]).layers["mean"].tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "its format is 'other'"),
        ({"layers": {"mean": 10**12}}, "no proper entry 'layers'"),
        ({"layers": {"mean": 10**6}}, "other types"),
        ({"layers": [2]}, "no proper entry 'layers'"),
        ({"layers": {"clip": 2}}, "no proper entry 'layers'"),
        ({"scales": {"mean": "2"}}, "no proper entry 'scales'"),
        ({"replaces": "part-00000000.parquet"}, "no proper entry 'replaces'"),
        ({"fingerprint": None}, "no proper entry 'fingerprint'"),
    ],
)
def test_notes_are_checked(tmp_path, changes, words):
    """A layer's size was believed: 10 ** 12 numbers for each clip looked up."""
    table = put(tmp_path / "t", make_rows(3), NOTES | changes)
    with pytest.raises(TableError, match=words):
        table.lookup(["1.wav"])


def test_notes_that_were_changed_or_nested(tmp_path):
    text = sealed_notes(NOTES | {"scales": {"mean": 2.0}}).replace("2.0", "3.0")
    with pytest.raises(TableError, match="their digest does not fit"):
        len(put(tmp_path / "t", make_rows(3), text=text))
    with pytest.raises(TableError, match="nested more than 100 times"):
        len(put(tmp_path / "t", make_rows(3), text="[" * 100_000))
    old = json.dumps(NOTES)  # of the first tables, which had none
    assert len(put(tmp_path / "t", make_rows(3), text=old)) == 3


def test_rows_that_fill_the_memory_are_refused(tmp_path, monkeypatch):
    """Two million equal rows of 4 kB take 2 MB on disk and 8 GB in memory."""
    monkeypatch.setattr(_parquet, "FREE_BYTES", 1 << 16)
    monkeypatch.setattr(_parquet, "MAX_RATIO", 20)
    rows = make_rows(4_000, 1000, names=["a.wav"] * 4_000)
    notes = NOTES | {"layers": {"mean": 1000}}
    table = put(tmp_path / "t", rows, notes, compression="zstd")
    with pytest.raises(TableError, match=r"4000 rows of layers .* need more than"):
        table.clips()


def test_words_that_fill_the_memory_are_refused(tmp_path, monkeypatch):
    """A long name that was there many times was written out many times."""
    monkeypatch.setattr(_parquet, "FREE_BYTES", 1 << 21)
    monkeypatch.setattr(_parquet, "MAX_RATIO", 2)
    rows = make_rows(20_000, names=["x" * 500] * 20_000)
    table = put(tmp_path / "t", rows, compression="zstd")
    with pytest.raises(TableError, match="'clip' is longer than"):
        table.clips()


@pytest.mark.parametrize("column", ["clip", "status"])
def test_rows_without_clip_or_status(tmp_path, column):
    rows = make_rows(3)
    place = rows.schema.get_field_index(column)
    rows = rows.set_column(place, column, pa.array(["a", None, "b"]))
    with pytest.raises(TableError, match="without clip or status"):
        put(tmp_path / "t", rows).clips()


def test_a_part_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "part-00000000.parquet")
    with pytest.raises(TableError, match="not a regular file"):
        FeatureTable(tmp_path).clips()


def test_failed_rows_are_merged_by_their_size_in_memory(tmp_path, monkeypatch):
    """They hardly take a byte on disk: a million of them became one part of 10 GB."""
    from userlogfeat.tables import writer as table_writer

    monkeypatch.setattr(table_writer, "PART_BYTES", 1 << 16)
    settings = {"fingerprint": "fp", "layer_sizes": {"mean": 1000}}
    with FeatureTable(tmp_path).writer(**settings, flush_bytes=800_000) as writer:
        for number in range(2000):  # 8 MB in memory, a few kB on disk
            writer.add(f"{number}.wav", status="EmptyAudioError", message="0 bytes")
    table = FeatureTable(tmp_path)
    assert len(table) == 2000
    parts = table.parts()
    assert max(part.n_rows for part in parts) * 4000 <= 2 << 20
    assert 4 <= len(parts) <= 12


def test_layers_that_a_lookup_would_fill_the_memory_with(tmp_path):
    """A part without rows promised layers of 2 GiB, and a lookup made them."""
    sizes = {"mean": 1 << 29}
    empty = pa.schema([*FIELDS, *layer_fields(sizes)]).empty_table()
    table = put(tmp_path / "t", empty, NOTES | {"layers": sizes})
    with pytest.raises(TableError, match="2147483648 bytes per clip"):
        table.lookup(["a.wav"])
    with pytest.raises(ValueError, match="a table keeps vectors"):
        FeatureTable(tmp_path / "new").writer(fingerprint="fp", layer_sizes=sizes)


def test_text_of_all_columns_counts(tmp_path, monkeypatch):
    """Each column of text might have as much as the whole file."""
    monkeypatch.setattr(_parquet, "FREE_BYTES", 100_000)
    monkeypatch.setattr(_parquet, "MAX_RATIO", 0)
    rows = make_rows(80, names=["x" * 1000] * 80)
    assert FeatureTable.clips(put(tmp_path / "one", rows)) == ["x" * 1000]
    again = rows.set_column(3, "message", rows["clip"])
    with pytest.raises(TableError, match="up to the column 'message'"):
        put(tmp_path / "two", again).read()


def test_a_footer_that_hides_rows(tmp_path, monkeypatch):
    """Rows were counted as the footer said, and read as the row groups said."""
    monkeypatch.setattr(_parquet, "FREE_BYTES", 50_000)
    monkeypatch.setattr(_parquet, "MAX_RATIO", 0)
    table = put(tmp_path / "t", make_rows(1111, names=["a"] * 1111))
    path = table.folder / "part-00000000.parquet"
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    # A number of 64 bits in thrift: its type, and 2 * 1111 or 2 * 65 in two bytes.
    footer = data[start:].replace(b"\x16\xae\x11", b"\x16\x82\x01", 1)
    path.write_bytes(data[:start] + footer)
    assert pq.read_metadata(path).num_rows == 65
    read = []
    monkeypatch.setattr(FeatureTable, "read_part", lambda *_: read.append(1))
    with pytest.raises(TableError, match="need more than 50000 bytes"):
        table.clips()
    assert not read


def test_a_part_that_replaces_itself(tmp_path):
    """It was left out in silence, and the table was empty."""
    notes = NOTES | {"replaces": ["part-00000000.parquet"]}
    with pytest.raises(TableError, match="not older than itself"):
        put(tmp_path / "t", make_rows(2), notes).clips()
