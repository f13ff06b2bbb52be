"""Keeping tables: what is asked for happens, and a kill at any step loses nothing."""

import json
import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from userlogfeat import _files
from userlogfeat.cli import app
from userlogfeat.tables import (
    FeatureTable,
    TableError,
    compact,
    merge_tables,
    prune,
    rename_clips,
)

SIZES = {"mean": 2}
GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "many_files.md"


def fill(folder, *parts, fingerprint="f"):
    """A table of parts: {clip: value}; each part of its own, as after kills."""
    table = FeatureTable(folder)
    settings = {"layer_sizes": SIZES, "max_small_parts": 99, "made_by": "me"}
    with table.writer(fingerprint=fingerprint, **settings) as writer:
        for part in parts:
            for clip, value in part.items():
                writer.add(clip, layers={"mean": np.full(2, value)}, seconds=value)
            writer.flush()
    return table


def values(table):
    """Each clip's value; the rows on disk of a tidy table are as many."""
    table = FeatureTable(table) if not isinstance(table, FeatureTable) else table
    found = table.lookup(table.clips())
    np.testing.assert_array_equal(found.layers["mean"][:, 0], found.seconds)
    return dict(zip(table.clips(), found.seconds.tolist(), strict=True))


def n_rows_on_disk(table):
    return sum(part.n_rows for part in table.parts())


def test_compact(tmp_path):
    table = fill(tmp_path, {"a": 1, "b": 2}, {"a": 3}, {"c": 4})
    change = compact(tmp_path)
    assert (change.n_parts_before, change.n_parts) == (3, 1)
    assert values(table) == {"a": 3, "b": 2, "c": 4}
    assert n_rows_on_disk(table) == 3
    assert table.made_by == "me"


@pytest.fixture
def audio(tmp_path):
    """A folder with the files of some clips: b, in the first part, is gone."""
    for name in ("a", "c"):
        (tmp_path / "audio").mkdir(exist_ok=True)
        (tmp_path / "audio" / name).touch()
    return tmp_path / "audio"


def test_prune(tmp_path, audio):
    table = fill(tmp_path / "t", {"a": 1, "b": 2}, {"b": 5, "c": 4})
    assert prune(tmp_path / "t", base=audio, dry_run=True) == ["b"]
    assert len(values(table)) == 3
    assert prune(tmp_path / "t", base=audio) == ["b"]
    assert values(table) == {"a": 1, "c": 4}  # nor does b's older row come back
    assert n_rows_on_disk(table) == 2
    assert prune(tmp_path / "t", base=audio) == []


def test_a_disk_that_is_not_mounted(tmp_path):
    table = fill(tmp_path / "t", {"a": 1}, {"b": 2})
    with pytest.raises(ValueError, match=r"all 2 clips .* are gone.*not mounted"):
        prune(tmp_path / "t", base=tmp_path / "nowhere")
    assert len(values(table)) == 2
    assert prune(tmp_path / "t", base=tmp_path / "nowhere", all_gone=True) == ["a", "b"]
    assert values(table) == {}
    assert table.fingerprint == "f"  # an empty table is still that model's
    fill(tmp_path / "t", {"a": 7})
    assert values(table) == {"a": 7}


def test_one_file_under_three_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    absolute = str(tmp_path / "few")
    fill("t", {"few": 1, "x/../other": 9}, {absolute: 3}, {"./few": 2})
    change = rename_clips("t")
    assert values("t") == {absolute: 2, str(tmp_path / "other"): 9}
    assert (change.n_clips_before, change.n_clips, change.n_renamed) == (4, 2, 2)
    assert n_rows_on_disk(FeatureTable("t")) == 2
    assert rename_clips("t").n_renamed == 0


def test_a_table_moves_with_its_audio(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    odd = os.fsdecode(b"caf\xe9.wav")
    fill(tmp_path / "t", {str(old / "a.wav"): 1, str(old / "sub" / odd): 2})
    rename_clips(tmp_path / "t", relative_to=old)
    assert values(tmp_path / "t") == {"a.wav": 1, f"sub/{odd}": 2}
    rename_clips(tmp_path / "t", base=new)
    assert values(tmp_path / "t") == {str(new / "a.wav"): 1, str(new / "sub" / odd): 2}
    with pytest.raises(ValueError, match=r"is not below .*old"):
        rename_clips(tmp_path / "t", relative_to=old)
    assert len(values(tmp_path / "t")) == 2


def test_merge(tmp_path):
    fill(tmp_path / "1", {"a": 1, "b": 2}, {"a": 3})
    fill(tmp_path / "2", {"b": 5}, {"c": 6})
    merge_tables([tmp_path / "1", tmp_path / "2"], tmp_path / "out")
    out = FeatureTable(tmp_path / "out")
    assert values(out) == {"a": 3, "b": 5, "c": 6}
    assert n_rows_on_disk(out) == 3
    merge_tables([tmp_path / "2", tmp_path / "1"], tmp_path / "out")
    assert values(out) == {"a": 3, "b": 2, "c": 6}
    fill(tmp_path / "3", {"d": 1}, fingerprint="g")
    with pytest.raises(TableError, match=r"3 is of model g .*two models do not mix"):
        merge_tables([tmp_path / "1", tmp_path / "3"], tmp_path / "new")
    assert not (tmp_path / "new").exists()


class Killed(BaseException):
    """As SIGKILL: nothing that follows may be relied on."""


def kill_at(monkeypatch, step):
    """Raise at the step-th change of a file, before it happens."""
    steps = []

    def killed(genuine):
        def change(*args, **kwargs):
            steps.append(args)
            if len(steps) == step:
                raise Killed
            return genuine(*args, **kwargs)

        return change

    import userlogfeat.tables.writer as writer

    monkeypatch.setattr(_files, "move_file", killed(_files.move_file))
    for name in ("move_file", "remove_file"):
        monkeypatch.setattr(writer, name, killed(getattr(writer, name)))
    return steps


JOBS = {
    "prune": lambda folder, audio: prune(folder, base=audio),
    "rename": lambda folder, audio: rename_clips(folder, base=audio),
    "merge": lambda folder, audio: merge_tables([folder], audio.parent / "out"),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_kill_at_every_step(tmp_path, audio, monkeypatch, job):
    """Interrupted at each change of a file in turn: the next run ends as one alone."""
    clips = ({"a": 1, "b": 2}, {"b": 5, "c": 4}, {"./c": 6})
    expected = {
        "prune": {"a": 1, "c": 4, "./c": 6},
        "rename": {str(audio / "a"): 1, str(audio / "b"): 5, str(audio / "c"): 6},
        "merge": {"a": 1, "b": 5, "c": 4, "./c": 6},
    }[job]
    for step in range(1, 50):
        folder = tmp_path / f"t{step}"
        fill(folder, *clips)
        with monkeypatch.context() as patch:
            steps = kill_at(patch, step)
            try:
                JOBS[job](folder, audio)
            except Killed:
                pass
        names = {
            os.path.normpath(audio / clip) for clip in FeatureTable(folder).clips()
        }
        assert {str(audio / "a"), str(audio / "c")} <= names
        JOBS[job](folder, audio)
        out = tmp_path / "out" if job == "merge" else folder
        assert values(out) == expected
        assert n_rows_on_disk(FeatureTable(out)) == len(expected)
        if len(steps) < step:
            break
    assert step > 3


def test_commands(tmp_path, audio):
    fill(tmp_path / "t", {"a": 1, "b": 2})
    with FeatureTable(tmp_path / "t").writer(fingerprint="f", layer_sizes=SIZES) as out:
        out.add("c", status="EmptyAudioError", message="0 bytes")

    def run(*args):
        result = CliRunner().invoke(app, ["table", *map(str, args)])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert (
        run("ls", tmp_path / "t") == "ok\t1.0\ta\nok\t2.0\tb\nEmptyAudioError\t-\tc\n"
    )
    (line,) = run("ls", tmp_path / "t", "--status", "EmptyAudioError", "--json").split(
        "\n"
    )[:-1]
    assert json.loads(line) == {
        "clip": "c",
        "status": "EmptyAudioError",
        "message": "0 bytes",
        "seconds": None,
    }
    # The guide's advice for all that failed: it listed nothing, since no class is so.
    assert run("ls", tmp_path / "t", "--status", "AudioError").endswith("\tc\n")
    assert run("ls", tmp_path / "t", "--status", "CorruptAudioError") == ""
    assert run("ls", tmp_path / "t", "--status", "ok").count("\n") == 2
    assert run("prune", tmp_path / "t", "--base", audio, "--dry-run") == "b\n"
    assert run("prune", tmp_path / "t", "--base", audio) == "b\n"
    elsewhere = ("prune", tmp_path / "t", "--base", tmp_path / "nowhere")
    result = CliRunner().invoke(app, ["table", *map(str, elsewhere)])
    assert result.exit_code == 2
    assert "--all-gone" in result.output
    assert run(*elsewhere, "--all-gone", "--dry-run") == "a\nc\n"
    assert run("rename", tmp_path / "t", "--base", audio).endswith("2 renamed\n")
    assert run("compact", tmp_path / "t") == "2 -> 2 clips, 1 -> 1 parts\n"
    assert run("merge", tmp_path / "t", "-o", tmp_path / "o").startswith("0 -> 2 clips")
    result = CliRunner().invoke(app, ["table", "ls", str(tmp_path / "nothing")])
    assert result.exit_code == 2
    assert "There is no feature table" in result.output


@pytest.mark.skipif(not GUIDE.is_file(), reason="no checkout")
def test_other_programs_read_what_the_guide_says(tmp_path, monkeypatch):
    """The columns and the lines of docs/guide/many_files.md, run as they stand."""
    monkeypatch.chdir(tmp_path)
    fill("features", {"a": 1.0, "b": 2.0}, {"c": 3.0})
    table = FeatureTable("features")
    with table.writer(fingerprint="f", layer_sizes=SIZES, made_by="me") as writer:
        writer.add("bad", status="AudioError", message="no")
    compact("features")
    text = GUIDE.read_text("utf-8").replace("embedding", "mean")
    (line,) = re.findall(r"^polars\.read_parquet\(.*?\)", text, re.MULTILINE)
    frame = eval(line, {"polars": pl})
    assert frame["clip"].to_list() == ["a", "b", "c", "bad"]
    assert frame.schema["mean"] == pl.Array(pl.Float32, 2)
    rows = re.findall(
        r"^\| (`.*?`(?:, `\w+`)?) \| (string|binary|double|int64)", text, re.M
    )
    listed = {name: kind for names, kind in rows for name in re.findall(r"\w+", names)}
    types = {"string": pl.String, "binary": pl.Binary, "double": pl.Float64}
    types["int64"] = pl.Int64
    kinds = {name: types[kind] for name, kind in listed.items()}
    assert kinds == {n: t for n, t in frame.schema.items() if n != "mean"}
    duckdb = pytest.importorskip("duckdb")
    (query,) = re.findall(r"^SELECT .*;$", text, re.MULTILINE)
    found = duckdb.sql(query).fetchall()
    assert sorted((clip, *vector) for clip, vector in found) == [
        ("a", 1.0, 1.0),
        ("b", 2.0, 2.0),
        ("c", 3.0, 3.0),
    ]
