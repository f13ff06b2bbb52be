"""What a worker does with a chunk, in this process: no Spark is needed."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import userlogfeat
from userlogfeat.audio import EmptyAudioError, MissingAudioError
from userlogfeat.extraction import spark_tasks
from userlogfeat.extraction.chunks import Todo, as_row, read_chunk, write_chunks
from userlogfeat.extraction.spark_tasks import Assignment, embed_chunk, embed_chunks
from userlogfeat.tables import FeatureTable, file_stamp

NAMES = [f"{i}.wav" for i in range(7)]


class Clip:
    """What an embedder yields."""

    def __init__(self, index, clip, error=None):
        self.index, self.clip, self.error = index, clip, error
        self.seconds = float("nan") if error else 1.0
        self.layers = None if error else {"mean": np.full(2, index)}


class Embedder:
    """Reads nothing; files that are not there fail."""

    fingerprint = "f"
    at_work = staticmethod(lambda: None)

    def iter_features(self, X, *, on_error):
        for index, clip in enumerate(X):
            self.at_work()
            yield Clip(index, clip, self.error(clip))

    def error(self, clip):
        if not os.path.exists(clip):
            return MissingAudioError(clip, "no such file", "Bring it.")
        empty = os.path.getsize(clip) == 0
        return EmptyAudioError(clip, "0 bytes", "Fill it.") if empty else None


class Unmounted(Embedder):
    """As on a machine where the disk is not mounted."""

    def error(self, clip):
        return super().error(f"{clip}.elsewhere")


@pytest.fixture
def assign(tmp_path, monkeypatch):
    """A function that prepares a run, of seven clips in chunks of three."""
    monkeypatch.setattr(spark_tasks, "set_threads", lambda n: None)
    audio, folder = tmp_path / "audio", tmp_path / "run"
    audio.mkdir()
    folder.mkdir()
    for name in NAMES:
        (audio / name).write_bytes(b"x")

    def assign(embedder=None, names=NAMES, fingerprint="f", **changed):
        spark_tasks._unpickle.cache_clear()
        monkeypatch.setattr(spark_tasks.pickle, "loads", lambda _: embedder)
        stamps = np.array([file_stamp(audio / name) for name in names])
        write_chunks(folder, Todo(list(names), stamps), 3)
        with FeatureTable(tmp_path / "t").writer(
            fingerprint="f", layer_sizes={"mean": 2}
        ) as writer:
            notes = writer.notes | {"fingerprint": fingerprint}
        settings = {
            "folder": str(folder),
            "working_folder": str(audio),
            "embedder": pickle.dumps("stands for one"),
            "notes": notes,
            "on_error": "row",
        }
        return Assignment(**settings | changed)

    yield assign
    spark_tasks._unpickle.cache_clear()


def left(assignment):
    return sorted(path.name for path in Path(assignment.folder).iterdir())


def test_clips_are_handed_out_in_chunks(tmp_path):
    names = ["a.wav", "caf\udce9.wav", "new\nline.wav", "ütf.wav", "b.wav"]
    stamps = np.arange(10).reshape(5, 2)
    assert write_chunks(tmp_path, Todo(names, stamps), 2) == [2, 2, 1]
    chunks = [read_chunk(tmp_path, number) for number in (2, 0, 1)]
    assert [chunk.clips for chunk in chunks] == [names[4:], names[:2], names[2:4]]
    np.testing.assert_array_equal(chunks[2].stamps, stamps[2:4])


def test_row_of_a_clip():
    todo = Todo(["a.wav", "b.wav"], np.array([[5, 6], [7, 8]]))
    row = as_row(Clip(1, "elsewhere/b.wav"), todo)
    assert (row["clip"], row["status"], row["size"]) == ("b.wav", "ok", 7)
    error = EmptyAudioError("b.wav", "0 bytes", "Fill it.")
    row = as_row(Clip(0, "a.wav", error), todo)
    assert (row["status"], row["layers"]) == ("EmptyAudioError", None)
    assert (row["message"], row["modified_ns"]) == ("'b.wav': 0 bytes. Fill it.", 6)


def test_a_chunk_leaves_one_part(assign):
    assignment = assign(Embedder())
    here = os.getcwd()
    reports = list(embed_chunks(assignment, [numbers([1]), numbers([2])]))
    assert os.getcwd() == here
    assert [report.to_pydict()["clips"] for report in reports] == [[3], [1]]
    assert left(assignment) == ["00000001.parquet", "00000002.parquet", "clips.arrow"]
    rows = pq.read_table(Path(assignment.folder) / "00000001.parquet")
    assert rows["clip"].to_pylist() == NAMES[3:6]
    assert embed_chunk(assignment, 1) == 3  # a second try puts the same again
    assert len(left(assignment)) == 3


class OfAFile(Embedder):
    """Its weights have a relative path: a bug read it from the worker's own folder."""

    @property
    def fingerprint(self):
        return Path("weights").read_text()


def test_weights_of_a_relative_path(assign):
    assignment = assign(OfAFile())
    (Path(assignment.working_folder) / "weights").write_text("f")
    assert embed_chunk(assignment, 2) == 1


def numbers(values):
    import pyarrow as pa

    return pa.record_batch({"id": values})


def test_error_that_ends_the_run_is_left_beside_the_part(assign):
    assignment = assign(Embedder(), on_error="raise")
    Path(assignment.working_folder, "4.wav").write_bytes(b"")
    assert embed_chunk(assignment, 1) == 1
    assert left(assignment) == ["00000001.json", "00000001.parquet", "clips.arrow"]
    left_over = json.loads((Path(assignment.folder) / "00000001.json").read_text())
    assert left_over == {
        "class": "EmptyAudioError",
        "arguments": ["4.wav", "0 bytes", "Fill it."],
    }


def test_embedder_is_loaded_once(assign, monkeypatch):
    loads = []
    assignment = assign()
    monkeypatch.setattr(
        spark_tasks.pickle, "loads", lambda _: loads.append(1) or Embedder()
    )
    for number in range(3):
        embed_chunk(assignment, number)
    assert loads == [1]


def test_removed_files_are_rows_but_a_missing_disk_is_an_error(assign, tmp_path):
    assignment = assign(Embedder(), [*NAMES[:2], "gone.wav", "3.wav"])
    Path(assignment.working_folder, "1.wav").unlink()
    assert embed_chunk(assignment, 0) == 3
    Path(assignment.working_folder, "3.wav").unlink()
    assert embed_chunk(assignment, 1) == 1  # the only one of its chunk
    assignment = assign(Unmounted())
    with pytest.raises(FileNotFoundError, match=r"does not see '0\.wav'.*\(2 of 2\)"):
        embed_chunk(assignment, 0)
    assignment = assign(Embedder(), [str(tmp_path / "disk" / "a.wav")])
    todo = Todo([str(tmp_path / "disk" / "a.wav")], np.array([[5, 5]]))
    write_chunks(Path(assignment.folder), todo, 3)  # which the driver saw
    with pytest.raises(FileNotFoundError, match=r"disk/a\.wav'.*\(1 of 1\)"):
        embed_chunk(assignment, 0)


def test_folders_that_are_not_seen_are_named(assign, tmp_path):
    assignment = assign(Embedder(), folder=str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"does not see .*/nowhere, where the"):
        embed_chunk(assignment, 0)
    assignment = assign(Embedder(), working_folder="/nowhere")
    with pytest.raises(FileNotFoundError, match=r"Got '0\.wav', which starts from /no"):
        embed_chunk(assignment, 0)
    if os.geteuid():  # root may write anywhere
        Path(assign().folder).chmod(0o555)
        with pytest.raises(PermissionError, match="may not write to"):
            embed_chunk(assign(Embedder()), 0)


def test_another_model_or_version_is_refused(assign, monkeypatch):
    with pytest.raises(ValueError, match=r"\(fingerprint f, there g\)"):
        embed_chunk(assign(Embedder(), fingerprint="g"), 0)
    with pytest.raises(ValueError, match=r"but the driver 9\.9\. Install one version"):
        embed_chunk(assign(Embedder(), version="9.9"), 0)
    assert assign().version == userlogfeat.__version__


def test_a_task_ends_soon_after_its_run(assign, tmp_path, monkeypatch):
    """One of a killed driver; nothing of it gets anywhere."""
    monkeypatch.setattr(spark_tasks, "_LEASH_SECONDS", 0)
    embedder = Embedder()
    assignment = assign(embedder)
    embedder.at_work = lambda: Path(assignment.folder, "clips.arrow").unlink()
    with pytest.raises(RuntimeError, match="The run has ended"):
        embed_chunk(assignment, 0)
    assert left(assignment) == []
    assignment = assign(Embedder())
    parents = iter([1, 2])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    with pytest.raises(RuntimeError, match="the executor of this task died"):
        embed_chunk(assignment, 0)


def test_gpu_of_the_task_is_used(assign, monkeypatch):
    class Context:
        def resources(self):
            return {"gpu": type("Gpu", (), {"addresses": ["3"]})}

        def cpus(self):
            return 1

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(spark_tasks, "_task_context", Context)
    embed_chunk(assign(Embedder()), 0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
