"""Full and read-only disks, two writers, odd names, loops, clocks that go back."""

import contextlib
import multiprocessing
import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from userlogfeat import extract, read_audio, read_logs
from userlogfeat.audio import AudioError, MissingAudioError, find_audio
from userlogfeat.audio import files as audio_files
from userlogfeat.factor_files import Factors, read_factors, write_factors
from userlogfeat.mirex.features import read_features
from userlogfeat.mirex.lists import read_labels, write_labels
from userlogfeat.recommendation.files import write_recommendations
from userlogfeat.tables import FeatureTable, TableError
from userlogfeat.training.checkpoints import Checkpoint
from userlogfeat.weights import load_model

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")


@pytest.fixture
def kills(monkeypatch):
    """Cheap embedders and small models, of the benchmark."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import robustness_kills

    return robustness_kills


@pytest.fixture
def save(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from robustness_models import save_small_model

    return save_small_model


@contextlib.contextmanager
def full_disk(n_bytes):
    """No file can be longer, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_what_was_there(tmp_path, save):
    """Of a model, a list, a checkpoint and recommendations."""
    save(tmp_path / "m", seed=0)
    fingerprint = load_model(tmp_path / "m").fingerprint
    clips = [f"{i}.wav" for i in range(500)]
    write_labels(tmp_path / "list.txt", clips[:2], ["a", "b"])
    checkpoint = Checkpoint(tmp_path / "c", {}, [np.arange(3)])
    checkpoint.write({"epoch": 1})
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    users = [str(i) for i in range(300)], np.ones((300, 2))
    with full_disk(1000):
        with pytest.raises(OSError, match="large"):
            save(tmp_path / "m", seed=1)
        with pytest.raises(OSError, match="large"):
            write_labels(tmp_path / "list.txt", clips, ["a"] * 500)
        with pytest.raises(OSError, match="large"):
            checkpoint.write({"epoch": list(range(5000))})
        with pytest.raises(OSError, match="large"):
            write_recommendations(tmp_path / "r.csv", users, users, 5, metric="dot")
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before
    assert load_model(tmp_path / "m").fingerprint == fingerprint
    assert read_labels(tmp_path / "list.txt") == {"0.wav": "a", "1.wav": "b"}
    assert checkpoint.read() == {"epoch": 1}


@pytest.fixture
def read_only(tmp_path):
    """A folder that turns read-only when it is called, also for root."""
    folder = tmp_path / "locked"
    folder.mkdir()

    def lock():
        for options in (["--bind"], ["-o", "remount,ro,bind"]):
            command = ["mount", *options, str(folder), str(folder)]
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode:
                pytest.skip("no rights to mount a folder read-only")

    yield folder, lock
    while (
        subprocess.run(["umount", folder], capture_output=True, check=False).returncode
        == 0
    ):
        pass


def test_a_read_only_folder_is_read_and_not_written(read_only, save, kills):
    folder, lock = read_only
    kills.make_clips(folder / "clips")
    settings = {"embedder": kills.CheapEmbedder(), "progress": False}
    extract(folder / "clips", folder / "table", **settings)
    save(folder / "m", seed=0)
    lock()
    with pytest.raises(OSError, match="Make the folder writable"):
        extract(folder / "clips", folder / "table", **settings)
    with pytest.raises(OSError, match="Read-only"):
        save(folder / "m", seed=1)
    assert len(FeatureTable(folder / "table")) == kills.N_CLIPS
    assert load_model(folder / "m").layer_sizes["embedding"] == 3


def run_together(target, arguments):
    """Processes that begin at the same time; their exit codes."""
    context = multiprocessing.get_context("forkserver")
    gate = context.Barrier(len(arguments))
    processes = [context.Process(target=target, args=(gate, *a)) for a in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    return [process.exitcode for process in processes]


@pytest.mark.long
def test_two_who_save_one_model(tmp_path, kills):
    save = kills.save_repeatedly
    codes = run_together(save, [(str(tmp_path / "m"), seed, 8) for seed in (0, 1)])
    assert codes == [0, 0]
    assert sorted(os.listdir(tmp_path / "m")) == ["config.json", "model.safetensors"]


def test_odd_names_are_kept_to_the_byte(tmp_path, kills):
    folder = tmp_path / "music\nof \udce9 and  blanks "
    folder.mkdir()
    wave = 0.1 * np.random.default_rng(0).normal(size=8000)
    names = ["new\nline.wav", "tab\t.wav", "\udcff\udcfe.wav", "-rf *.wav", "é.wav"]
    for name in names:
        soundfile.write(tmp_path / "plain.wav", wave, 8000)
        os.rename(tmp_path / "plain.wav", folder / name)
    found = find_audio([folder])
    assert sorted(found) == sorted(str(folder / name) for name in names)
    table = folder / "table"
    extract(found, table, embedder=kills.CheapEmbedder(), progress=False)
    assert sorted(FeatureTable(table).clips()) == sorted(found)
    assert FeatureTable(table).lookup(found).found.all()
    assert all(len(read_audio(path, sample_rate=8000)) == 8000 for path in found)
    listed = [path for path in found if not set(path) & {"\t"}]
    if "\n" not in str(folder):
        write_labels(folder / "list.txt", listed, ["a"] * len(listed))


def test_models_and_lists_under_odd_names(tmp_path, save):
    folder = tmp_path / "m\udcff\n"
    save(folder, seed=0)
    assert load_model(folder).layer_sizes["embedding"] == 3
    clips = ["caf\udce9.wav", " blanks .wav", "ü.wav"]
    write_labels(folder / "l\udcff.txt", clips, ["a", "b", "c"])
    assert list(read_labels(folder / "l\udcff.txt")) == clips


def test_loops_of_links(tmp_path, kills):
    clips = tmp_path / "clips"
    kills.make_clips(clips)
    (clips / "below").mkdir()
    (clips / "below" / "up").symlink_to(clips)
    (clips / "self.wav").symlink_to(clips / "self.wav")
    found = find_audio([clips])
    assert len(found) == kills.N_CLIPS + 1
    with pytest.raises(AudioError, match="system cannot open the file"):
        read_audio(clips / "self.wav", sample_rate=8000)
    table = tmp_path / "table"
    table.mkdir()
    (table / "part-00000000.parquet").symlink_to(table / "part-00000000.parquet")
    with pytest.raises(TableError, match="levels of symbolic links"):
        FeatureTable(table).clips()


def test_a_clock_that_goes_back(tmp_path, kills, monkeypatch):
    """Changed files are encoded again, and others not, whatever their times."""
    clips = kills.make_clips(tmp_path / "clips")
    settings = {"embedder": kills.CheapEmbedder(), "progress": False}
    for clip in clips[:5]:
        os.utime(clip, (4e9, 4e9))  # in the year 2096
    assert extract(clips, tmp_path / "t", **settings).n_done == len(clips)
    monkeypatch.setattr("time.time", lambda: 0.0)
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert extract(clips, tmp_path / "t", **settings).n_done == 0
    for clip in clips[5:8]:
        os.utime(clip, (1, 1))
    assert extract(clips, tmp_path / "t", **settings).n_done == 3
    assert len(FeatureTable(tmp_path / "t")) == len(clips)


def test_audio_that_is_cut_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(100_000), 8000, subtype="PCM_16")
    monkeypatch.setattr(audio_files, "BLOCK_SAMPLES", 10_000)
    genuine = audio_files.AudioFile._mean

    def cut(self, block, position):
        os.truncate(path, 30_000)
        return genuine(self, block, position)

    monkeypatch.setattr(audio_files.AudioFile, "_mean", cut)
    with pytest.raises(AudioError, match="ends after"):
        read_audio(path, sample_rate=8000)
    path.unlink()
    with pytest.raises(MissingAudioError):
        read_audio(path, sample_rate=8000)


@pytest.mark.parametrize("suffix", ["tsv", "parquet"])
def test_logs_that_change_while_they_are_read(tmp_path, monkeypatch, suffix):
    from userlogfeat.logs import sources

    path = tmp_path / f"plays.{suffix}"
    frame = pl.DataFrame({"user": ["a", "b"], "item": ["x", "y"]})
    if suffix == "tsv":
        frame.write_csv(path, separator="\t")
    else:
        frame.write_parquet(path)
    assert read_logs(path).user_items.sum() == 2
    name = "_text_chunks" if suffix == "tsv" else "_parquet_chunks"
    genuine = getattr(sources, name)

    def chunks_of_a_file_in_use(*args):
        yield from genuine(*args)
        os.utime(path, (1, 1))

    monkeypatch.setattr(sources, name, chunks_of_a_file_in_use)
    with pytest.raises(ValueError, match="changed while it was read"):
        read_logs(path)


def test_users_and_items_of_two_trainings(tmp_path):
    """A kill between the two files left them, and they were read as one."""
    ones = np.ones((3, 2), np.float32)
    for number in (1, 2):
        folder = tmp_path / f"{number}"
        made_by = {"users_digest": f"{number}"}
        write_factors(folder, Factors([1, 2, 3], ones, [4, 5, 6], ones, made_by))
    (tmp_path / "1" / "user_factors.parquet").replace(
        tmp_path / "2" / "user_factors.parquet"
    )
    with pytest.raises(ValueError, match="of different trainings"):
        read_factors(tmp_path / "2")


def test_nothing_is_written_through_links(tmp_path, kills, save):
    """A folder of a stranger that has links in it to files of ours."""
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "list.txt"):
        (folder / name).symlink_to(mine)
    save(folder, seed=0)
    write_labels(folder / "list.txt", ["a.wav"], ["b"])
    clips = kills.make_clips(tmp_path / "clips")
    scratch = tmp_path / "scratch"
    read_features(kills.CheapEmbedder(), scratch, clips, ".", progress=False)
    (lock,) = scratch.rglob(".lock")
    lock.unlink()
    lock.symlink_to(tmp_path / "new.txt")
    with pytest.raises(OSError, match="symbolic links"):
        read_features(
            kills.CheapEmbedder(), scratch, [*clips, "b"], ".", progress=False
        )
    assert mine.read_text() == "mine"
    assert not (tmp_path / "new.txt").exists()


@pytest.mark.parametrize("names", [("features",), ("features", "cheap")])
def test_features_are_not_written_through_links(tmp_path, kills, names):
    clips = kills.make_clips(tmp_path / "clips")
    mine, scratch = tmp_path / "mine", tmp_path / "scratch"
    mine.mkdir()
    link = scratch.joinpath(*names)
    link.parent.mkdir(parents=True)
    link.symlink_to(mine)
    with pytest.raises(OSError, match="symbolic link"):
        read_features(kills.CheapEmbedder(), scratch, clips, ".", progress=False)
    assert list(mine.iterdir()) == []
