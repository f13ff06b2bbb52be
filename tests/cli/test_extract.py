"""`userlogfeat extract`: lists, failures, licences, full disks."""

import os
import sys
import warnings
from pathlib import Path

import pytest

from userlogfeat import FeatureTable, cli
from userlogfeat.estimators import user_log
from userlogfeat.weights import NonCommercialWarning


def test_extract_files_and_folders(run, clips):
    assert (
        "10 done, 0 were there, 0 failed" in run("extract", "clips", "-o", "t").stdout
    )
    assert FeatureTable("t").clips() == clips
    result = run("extract", *clips[:3], "clips", "-o", "t", "--quiet")
    assert result.output == ""


def test_failed_files_are_printed_and_counted(run, clips):
    Path(clips[4]).write_bytes(b"")
    result = run("extract", *clips, "gone.wav", "-o", "t", code=cli.SOME_FAILED)
    assert "9 done, 0 were there, 2 failed" in result.stdout
    assert f"EmptyAudioError: '{clips[4]}': 0 bytes. Fill it." in result.stderr
    assert "MissingAudioError: 'gone.wav': no such file" in result.stderr
    run("extract", *clips, "-o", "t", "--no-retry-failed", code=cli.SOME_FAILED)
    run("extract", *clips[5:], "-o", "t")


def test_on_error_raise_ends_the_run(run, clips):
    Path(clips[4]).write_bytes(b"")
    arguments = ("extract", *clips, "-o", "t", "--on-error", "raise")
    result = run(*arguments, code=cli.SOME_FAILED)
    assert result.stderr == f"Error: '{clips[4]}': 0 bytes. Fill it.\n"
    assert FeatureTable("t").clips() == clips[:4]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_list_of_files(run, clips, ends):
    lines = [b"\xef\xbb\xbf" + clips[0].encode(), b"", b"  ", *map(str.encode, clips)]
    Path("list.txt").write_bytes(ends.join(lines))
    run("extract", "--list", "list.txt", "-o", "t")
    assert FeatureTable("t").clips() == clips
    run("extract", "--list", "-", "-o", "t2", stdin=ends.join(lines))
    assert FeatureTable("t2").clips() == clips


def test_list_of_odd_names(run, clips):
    names = [b"clips/caf\xe9.wav", b"clips/new\nline.wav"]
    for name in names:
        Path(os.fsdecode(name)).write_bytes(name)
    gone = b"clips/gone\xe9.wav"
    result = run(
        *("extract", "--null", "--list", "-", "-o", "t"),
        stdin=b"\0".join([*names, gone, b""]),
        code=cli.SOME_FAILED,
    )
    assert FeatureTable("t").clips() == [os.fsdecode(name) for name in [*names, gone]]
    assert "MissingAudioError: 'clips/gone\\udce9.wav'" in result.stderr


def test_a_table_is_no_list(run, clips):
    """Its lines were taken for paths, and all of them failed."""
    Path("tracks.csv").write_text("clip,item\nclips/0.wav,7\n")
    result = run("extract", "--list", "tracks.csv", "-o", "t", code=cli.USAGE)
    assert "is a table" in result.stderr
    assert "cut -d ',' -f 1" in result.stderr


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_list_in_utf_16_is_refused(run, clips, encoding):
    """It was read as one path of odd bytes."""
    Path("list.txt").write_bytes("\ufeffclips/0.wav\n".encode(encoding))
    result = run("extract", "--list", "list.txt", "-o", "t", code=cli.USAGE)
    assert "list.txt could not be read: it is in UTF-16, exp" in result.stderr
    assert not Path("t").exists()


def test_bad_weights_and_layers_are_explained(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options, message in (
        (["--weights", "./nowhere"], "There is no model './nowhere'"),
        (["--device", "abacus"], "Got --device abacus"),
    ):
        result = run("extract", "a.wav", "-o", "t", *options, code=cli.USAGE)
        assert message in result.stderr
    assert not Path("t").exists()


def test_options_that_would_have_no_effect_are_refused(run, clips):
    """Both used to be ignored."""
    base = ("extract", *clips[:1], "-o", "t")
    done = run(*base, "--encoder", "MSD_musicnn", "--weights", "teacher", code=2)
    assert "--encoder MSD_musicnn and --weights teacher: pass one" in done.stderr
    done = run(*base, "--pooling", "max", code=2)
    assert "Leave --pooling out, or pass --encoder" in done.stderr


def test_table_of_another_model_is_refused(run, fake, clips, monkeypatch):
    run("extract", "clips", "-o", "t")
    monkeypatch.setattr(fake.FakeEmbedder, "fingerprint", "other")
    result = run("extract", "clips", "-o", "t", code=cli.USAGE)
    assert "another model" in result.stderr


def test_full_disk_has_its_own_exit_code(run, clips, monkeypatch):
    import pyarrow.parquet as pq

    def full(*_args, **_settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "ParquetWriter", full)
    result = run("extract", "clips", "-o", "t", code=cli.STOPPED)
    assert "Error: Could not write to the feature table t: No space" in result.stderr


@pytest.mark.filterwarnings("always::userlogfeat.weights.NonCommercialWarning")
def test_licence_is_a_line_where_the_work_went_well(run, fake, clips, monkeypatch):
    """It advised Python code, also with --quiet and before errors of usage."""

    def fingerprint(self):
        text = "Weights 'w' for love only. To silence this once you have read it: f()"
        warnings.warn(text, NonCommercialWarning, stacklevel=1)
        return "fake"

    monkeypatch.setattr(fake.FakeEmbedder, "fingerprint", property(fingerprint))
    note = "Note: Weights 'w' for love only.\n"
    assert run("extract", "clips", "-o", "t").stderr == note
    assert run("extract", "clips", "-o", "t", "--quiet").output == ""
    result = run("extract", "clips", "-o", "clips", code=cli.USAGE)
    assert "love" not in result.stderr


def test_duration_reaches_the_embedder(run, fake, clips, monkeypatch):
    given = []
    monkeypatch.setattr(
        user_log,
        "UserLogEmbedder",
        lambda *_, **settings: given.append(settings) or fake.FakeEmbedder(),
    )
    run("extract", *clips, "-o", "t", "--duration", 3)
    assert [settings["duration"] for settings in given] == [3.0]


@pytest.mark.long
def test_extract_on_a_cluster(run, spark, clips):
    arguments = ("extract", "clips", "gone.wav", "-o", "t", "--backend", "spark")
    more = ("--master", spark.sparkContext.master, "--clips-per-task", 4)
    result = run(*arguments, *more, code=cli.SOME_FAILED)
    assert "10 done, 0 were there, 1 failed" in result.stdout
    assert "MissingAudioError: 'gone.wav': no such file" in result.stderr
    assert FeatureTable("t").lookup(clips).found.all()
    assert "0 done, 10 were there" in run(*arguments, code=cli.SOME_FAILED).stdout
    Path(clips[4]).write_bytes(b"")
    result = run(*arguments, "--on-error", "raise", code=cli.SOME_FAILED)
    assert result.stderr.startswith("Error: '")
    assert result.stderr.count("\n") == 1


def test_settings_of_a_cluster_are_explained(run, clips, monkeypatch):
    result = run("extract", "clips", "-o", "t", "--master", "yarn", code=cli.USAGE)
    assert "--master yarn is of no use without --backend spark" in result.stderr
    conf = ("--backend", "spark", "--conf", "memory")
    result = run("extract", "clips", "-o", "t", *conf, code=cli.USAGE)
    assert "Got --conf 'memory', expected KEY=VALUE" in result.stderr
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    result = run("extract", "clips", "-o", "t", "--backend", "spark", code=cli.USAGE)
    assert "pip install 'userlogfeat[spark]'" in result.stderr
    assert not Path("t").exists()
