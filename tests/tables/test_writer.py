"""Parts that other processes made: taken once, by the holder of the lock alone."""

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from userlogfeat.tables import PARTS, FeatureTable, TableError
from userlogfeat.tables import writer as table_writer
from userlogfeat.tables.parts import Rows, write_part

SIZES = {"mean": 3}
SETTINGS = {"fingerprint": "f", "layer_sizes": SIZES}


def put(path, clips, value, notes):
    """A part as a worker makes it."""
    rows = Rows(notes["layers"])
    for clip in clips:
        rows.add(clip, layers={"mean": np.full(3, value)}, seconds=1.0)
    write_part(path, [rows.as_arrow()], notes)


def on_disk(folder):
    return sorted(pl.read_parquet(folder / "*.parquet")["clip"])


def test_adopted_parts_are_rows_of_the_table(tmp_path):
    table = FeatureTable(tmp_path / "t")
    settings = SETTINGS | {"made_by": "me", "users_digest": "these"}
    with table.writer(**settings, layer_scales={"mean": 2.0}) as writer:
        writer.add("a", layers={"mean": np.zeros(3)})
        writer.flush()
        with writer.staging() as folder:
            assert folder.parent == tmp_path / "t"
            put(folder / "0.parquet", ["b", "c"], 1, writer.notes)
            assert table.clips() == ["a"]  # not before it is adopted
            writer.adopt(folder / "0.parquet")
            assert table.clips() == ["a", "b", "c"]
            put(folder / "1.parquet", ["a"], 2, writer.notes)
            writer.adopt(folder / "1.parquet")
        assert not folder.exists()
    assert table.lookup(["a", "b", "c"]).layers["mean"][:, 0].tolist() == [2, 1, 1]
    assert on_disk(tmp_path / "t") == ["a", "b", "c"]  # the older row of a is gone
    assert (table.made_by, table.users_digest) == ("me", "these")
    assert table.layer_scales == {"mean": 2.0}


def test_rows_of_a_batch_are_written_together(tmp_path):
    """The first rows of a batch do not leave the others to wait for the next."""
    table = FeatureTable(tmp_path)
    with table.writer(**SETTINGS, flush_seconds=0.0) as writer:
        writer.add("a", layers={"mean": np.zeros(3)}, more=True)
        writer.add("b", layers={"mean": np.zeros(3)}, more=True)
        assert table.clips() == []
        writer.add("c", layers={"mean": np.zeros(3)})
        assert table.clips() == ["a", "b", "c"]
        assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_small_parts_are_merged_as_they_come(tmp_path, monkeypatch):
    """Without reading the index, which grows with the table."""
    monkeypatch.setattr(table_writer, "PART_BYTES", 10_000)
    reads = []
    genuine = FeatureTable.index
    monkeypatch.setattr(
        FeatureTable, "index", lambda self: reads.append(1) or genuine(self)
    )
    table = FeatureTable(tmp_path)
    with table.writer(**SETTINGS) as writer, writer.staging() as folder:
        for number in range(40):
            put(folder / "x.parquet", [f"{number}"], number, writer.notes)
            writer.adopt(folder / "x.parquet")
        n_parts = len(table.parts())
        assert reads == []
    assert 4 < n_parts < 15
    assert on_disk(tmp_path) == sorted(map(str, range(40)))
    found = table.lookup([str(number) for number in range(40)]).layers["mean"]
    np.testing.assert_array_equal(found[:, 0], np.arange(40))


@pytest.mark.parametrize("other", [{"fingerprint": "g"}, {"layers": {"mean": 4}}])
def test_part_of_another_model_is_refused(tmp_path, other):
    table = FeatureTable(tmp_path)
    with table.writer(**SETTINGS) as writer, writer.staging() as folder:
        rows = Rows(other.get("layers", {"mean": 3}))
        rows.add("a", status="EmptyAudioError")
        write_part(folder / "0.parquet", [rows.as_arrow()], writer.notes | other)
        with pytest.raises(TableError, match="this run makes f with"):
            writer.adopt(folder / "0.parquet")
    assert table.parts() == []


def test_what_a_killed_run_left_is_no_part_and_goes(tmp_path):
    """Also half removed, and while a worker of that run still writes."""
    table = FeatureTable(tmp_path)
    with table.writer(**SETTINGS) as writer:
        notes = writer.notes
    left = [tmp_path / ".staging-01", tmp_path / ".removed-02"]
    for folder in left:
        folder.mkdir()
        put(folder / "00000000.parquet", ["a"], 1, notes)
    assert table.parts() == []
    with table.writer(**SETTINGS):
        assert not any(folder.exists() for folder in left)
        with pytest.raises(FileNotFoundError):
            put(left[0] / "00000001.parquet", ["b"], 1, notes)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_staging_goes_when_the_run_fails(tmp_path):
    table = FeatureTable(tmp_path)
    folders = []

    def fail():
        with table.writer(**SETTINGS) as writer, writer.staging() as folder:
            folders.append(folder)
            put(folder / "0.parquet", ["a"], 1, writer.notes)
            writer.adopt(folder / "0.parquet")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert not folders[0].exists()
    assert table.clips() == ["a"]


def test_the_last_number_of_a_part(tmp_path):
    """The next part had nine digits, and nobody read it."""
    settings = {"fingerprint": "f", "layer_sizes": {"mean": 1}}
    table = FeatureTable(tmp_path / "t")
    with table.writer(**settings) as writer:
        writer.add("a.wav", layers={"mean": [1.0]})
    (path,) = table.folder.glob(PARTS)
    path.rename(table.folder / "part-99999999.parquet")
    with pytest.raises(TableError, match="no parts could follow"):
        table.writer(**settings).__enter__()
    assert table.clips() == ["a.wav"]
    (table.folder / "part-99999999.parquet").rename(path)
    with table.writer(**settings) as writer:  # the lock was given back
        writer.add("b.wav", layers={"mean": [2.0]})
    assert table.clips() == ["a.wav", "b.wav"]


def test_merged_parts_have_whole_row_groups(tmp_path, monkeypatch):
    """Small parts have small groups; a merged one would be slow to read with them."""
    monkeypatch.setattr("userlogfeat.tables.parts.GROUP_BYTES", 12 * 8)  # eight rows
    table = FeatureTable(tmp_path)
    clips = [str(number) for number in range(21)]
    with table.writer(**SETTINGS) as writer:
        for number, clip in enumerate(clips):
            writer.add(clip, layers={"mean": np.full(3, number)})
            if number % 3 == 0:
                writer.flush()
    (part,) = tmp_path.glob(PARTS)
    metadata = pq.read_metadata(part)
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [8, 8, 5]
    found = table.lookup(clips).layers["mean"]
    np.testing.assert_array_equal(found[:, 0], np.arange(21))
