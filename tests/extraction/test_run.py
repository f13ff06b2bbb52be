"""Extraction in one process: every clip once, whatever happens on the way."""

import importlib.util
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from userlogfeat import FeatureLookup, MusicnnEmbedder, audio, tables
from userlogfeat.extraction import ExtractionSummary, extract
from userlogfeat.extraction import run as extraction_run
from userlogfeat.tables import FeatureTable, TableError

FAKE = Path(__file__).parents[1] / "fake_embedder.py"
_spec = importlib.util.spec_from_file_location("fake_embedder", FAKE)
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)
make_clips = fake.make_clips


@pytest.fixture
def clips(tmp_path):
    return make_clips(tmp_path / "clips", 10)


def run(clips, table, *, embedder=None, **settings):
    embedder = embedder or fake.FakeEmbedder()
    return extract(clips, table, embedder=embedder, **settings), embedder.log


def check_complete(folder, clips):
    """Each clip is one row on disk, with its own features, and nothing is left over."""
    frame = pl.read_parquet(folder / "*.parquet")
    assert sorted(frame["clip"]) == sorted(clips)
    table = FeatureTable(folder)
    found = table.lookup(clips)
    for name in table.layer_sizes:
        expected = np.stack([fake.features_of(clip)[name] for clip in clips])
        np.testing.assert_array_equal(found.layers[name], expected)
    assert {p.name[:5] for p in folder.iterdir()} <= {"part-", ".lock"}


def test_every_clip_is_a_row(tmp_path, clips):
    summary, log = run(clips, tmp_path / "t")
    assert log == clips
    check_complete(tmp_path / "t", clips)
    assert (summary.n_done, summary.n_skipped, summary.n_failed) == (10, 0, 0)
    assert summary.audio_seconds == 10.0
    table = FeatureTable(tmp_path / "t")
    assert table.made_by == "FakeEmbedder()"
    assert table.layer_scales == {"mean": 2.0, "max": 0.5}
    stamps = table.read(["size", "modified_ns"]).to_pylist()[3]
    status = os.stat(clips[3])
    assert stamps == {"size": status.st_size, "modified_ns": status.st_mtime_ns}


def test_second_run_does_what_is_missing(tmp_path, clips):
    run(clips[:4], tmp_path / "t")
    summary, log = run(clips, tmp_path / "t")
    assert log == clips[4:]
    assert (summary.n_done, summary.n_skipped) == (6, 4)
    summary, log = run(clips, tmp_path / "t")
    assert (log, summary.n_done, summary.n_skipped) == ([], 0, 10)
    check_complete(tmp_path / "t", clips)


def test_an_embedder_is_not_called_where_nothing_is_missing(tmp_path, clips):
    """Embedders refuse an empty list of clips."""

    class Unused(fake.FakeEmbedder):
        def iter_features(self, X, *, on_error="raise"):
            raise AssertionError("no clip was to be embedded")

    run(clips, tmp_path / "t")
    summary, _ = run(clips, tmp_path / "t", embedder=Unused(), progress=False)
    assert (summary.n_done, summary.n_skipped, summary.failed) == (0, 10, {})


def test_repeated_paths_are_one_row(tmp_path, clips):
    summary, log = run([clips[0], Path(clips[0]), clips[0].encode()], tmp_path / "t")
    assert log == clips[:1]
    assert summary.n_done == 1


def test_folders_files_and_iterables(tmp_path, clips):
    for given in (tmp_path / "clips", [str(tmp_path / "clips"), clips[2]], iter(clips)):
        _, log = run(given, tmp_path / f"t{type(given).__name__}")
        assert log == clips


def test_changed_files_are_embedded_again(tmp_path, clips):
    run(clips, tmp_path / "t")
    Path(clips[1]).write_bytes(b"another clip")
    os.utime(clips[2], ns=(1, 1))
    Path(clips[3]).unlink()  # cannot be read again: its features are kept
    _, log = run(clips, tmp_path / "t")
    assert log == [clips[1], clips[2]]
    found = FeatureTable(tmp_path / "t").lookup(clips)
    assert found.found.all()
    np.testing.assert_array_equal(
        found.layers["max"][1], fake.features_of(clips[1])["max"]
    )


def test_many_threads_look_at_files_in_their_order(clips, monkeypatch):
    monkeypatch.setattr(extraction_run, "_BLOCK", 3)
    given = [*clips, "gone.wav"]
    expected = [tables.file_stamp(clip) for clip in given]
    assert list(extraction_run._stamps(given, 4)) == expected
    assert list(extraction_run._stamps(given, 1)) == expected


def test_failures_are_rows_and_are_tried_again(tmp_path, clips):
    empty, missing = Path(clips[2]), str(tmp_path / "missing.wav")
    empty.write_bytes(b"")
    summary, _ = run([*clips, missing], tmp_path / "t")
    assert summary.n_done == 9
    assert summary.failed == {"EmptyAudioError": 1, "MissingAudioError": 1}
    assert summary.examples[0] == (
        clips[2],
        "EmptyAudioError",
        f"'{clips[2]}': 0 bytes. Fill it.",
    )
    assert "EmptyAudioError: 1" in str(summary)
    rows = FeatureTable(tmp_path / "t").read(["status", "message"]).to_pylist()
    assert rows[2] == {
        "status": "EmptyAudioError",
        "message": f"'{clips[2]}': 0 bytes. Fill it.",
    }
    assert rows[10]["status"] == "MissingAudioError"

    summary, log = run([*clips, missing], tmp_path / "t", retry_failed=False)
    assert log == []
    assert summary.failed == {"EmptyAudioError": 1, "MissingAudioError": 1}
    empty.write_bytes(b"no longer empty")
    summary, log = run([*clips, missing], tmp_path / "t", retry_failed=False)
    assert log == [clips[2]]  # a changed file is tried in any case
    assert summary.failed == {"MissingAudioError": 1}
    Path(missing).write_bytes(b"found")
    summary, log = run([*clips, missing], tmp_path / "t")
    assert (log, summary.n_failed, summary.n_skipped) == ([missing], 0, 10)
    check_complete(tmp_path / "t", [*clips, missing])


def test_on_error_raise_keeps_what_was_done(tmp_path, clips):
    Path(clips[6]).write_bytes(b"")
    with pytest.raises(audio.EmptyAudioError, match=r"0006\.wav': 0 bytes"):
        run(clips, tmp_path / "t", on_error="raise")
    assert FeatureTable(tmp_path / "t").clips() == clips[:6]


def test_programming_errors_are_not_swallowed(tmp_path, clips):
    class Broken(fake.FakeEmbedder):
        def _embed(self, index, clip):
            if index == 5:
                raise RuntimeError("out of memory")
            return super()._embed(index, clip)

    with pytest.raises(RuntimeError, match="out of memory"):
        run(clips, tmp_path / "t", embedder=Broken())
    assert FeatureTable(tmp_path / "t").clips() == clips[:4]  # whole batches


def test_another_model_is_refused(tmp_path, clips):
    run(clips, tmp_path / "t")
    other = fake.FakeEmbedder()
    other.fingerprint = "other"
    with pytest.raises(TableError, match="another model"):
        run(clips, tmp_path / "t", embedder=other)
    check_complete(tmp_path / "t", clips)


@pytest.mark.parametrize("bad", [{"on_error": "skip"}, {"on_locked": "maybe"}])
def test_bad_settings_are_explained(tmp_path, clips, bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"Got {name}='{bad[name]}', expected"):
        run(clips, tmp_path / "t", **bad)
    with pytest.raises(ValueError, match="Got no clips"):
        run([], tmp_path / "t")


def test_progress_bar_is_off_outside_a_terminal(tmp_path, clips, capsys):
    run(clips, tmp_path / "t")
    assert capsys.readouterr().err == ""
    run(clips, tmp_path / "t2", progress=True)
    assert "10/10" in capsys.readouterr().err


def test_rate_is_seconds_of_audio_a_second():
    summary = ExtractionSummary(audio_seconds=120.0, elapsed_seconds=2.0)
    assert summary.rate == 60.0
    assert "2.0 min of audio in 2.0 s (60 x real time)" in str(summary)


def test_odd_names_of_files(tmp_path):
    names = [b"caf\xe9.wav", b"new\nline.wav", "ütf.wav".encode(), b"plain.wav"]
    folder = os.fsencode(tmp_path / "clips")
    os.mkdir(folder)
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(name)
    given = [os.fsdecode(os.path.join(folder, name)) for name in names]
    summary, _ = run(given, tmp_path / "t")
    assert summary.n_done == 4
    assert FeatureTable(tmp_path / "t").clips() == given
    summary, log = run(given, tmp_path / "t")
    assert log == []


def start(clips, table, delay, flush_seconds, **settings):
    arguments = [
        sys.executable,
        str(FAKE),
        clips,
        table,
        str(delay),
        str(flush_seconds),
    ]
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
    )


def n_rows(folder):
    try:
        return len(FeatureTable(folder))
    except FileNotFoundError:
        return 0


@pytest.mark.long
def test_killed_at_twenty_random_moments(tmp_path, monkeypatch):
    """Every clip once, no part unreadable, and finished rows are never done again."""
    monkeypatch.syspath_prepend(FAKE.parent)
    import fake_embedder

    # Processes forked by a server that has the imports done: 20 starts in a second.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["fake_embedder", "userlogfeat.audio", "polars"])
    clips = make_clips(tmp_path / "clips", 800)
    folder = tmp_path / "t"
    rng = np.random.default_rng(2024)
    kills, rows = 0, [0]
    while kills < 20:
        pipe, far_end = server.Pipe()
        process = server.Process(
            target=fake_embedder.extract_in_process,
            args=(tmp_path / "clips", folder, far_end),
        )
        process.start()
        assert pipe.poll(120)
        time.sleep(rng.uniform(0, 0.1))
        kills += process.is_alive()
        process.kill()
        process.join()
        rows.append(n_rows(folder))  # also: no part is unreadable
        assert rows[-1] >= rows[-2], "rows were lost"
        if rows[-1] == len(clips):  # done too soon: the other kills hit a fresh table
            run(clips, folder)
            check_complete(folder, clips)
            shutil.rmtree(folder)
            rows.append(0)
    assert len(set(rows)) > 5, "the kills hit no run that was at work"
    assert run(clips, folder)[0].n_skipped == rows[-1]
    check_complete(folder, clips)


class Killed(BaseException):
    """Nothing reaches the disk from here on, as after kill -9."""


def test_killed_before_any_call_that_changes_the_folder(tmp_path, monkeypatch):
    """At each in turn, parts being written, merged or removed: nothing is doubled."""
    clips = make_clips(tmp_path / "clips", 5)
    left = 0

    def counted(call):
        def wrapper(*args, **settings):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return call(*args, **settings)

        return wrapper

    n_calls, seen = 0, Counter()
    while not seen["finished"]:
        folder = tmp_path / f"t{n_calls}"
        left = n_calls
        with monkeypatch.context() as patch:
            for owner, name in ((Path, "unlink"), (Path, "replace"), (os, "fsync")):
                patch.setattr(owner, name, counted(getattr(owner, name)))
            try:
                run(clips, folder, flush_seconds=0)
                seen["finished"] += 1
            except Killed:
                seen["killed"] += 1
        names = FeatureTable(folder).clips() if folder.exists() else []
        on_disk = [
            name
            for path in sorted(folder.glob("part-*"))
            for name in pl.read_parquet(path)["clip"]
        ]
        assert sorted(names) == sorted(set(on_disk))
        seen["replaced parts beside their merger"] += len(on_disk) > len(names)
        summary, _ = run(clips, folder)
        assert summary.n_skipped == len(names)
        check_complete(folder, clips)
        n_calls += 1
    assert seen["killed"] > 4 * len(clips)
    assert seen["replaced parts beside their merger"] >= len(clips)


def test_stopped_and_resumed_equals_uninterrupted(tmp_path, clips):
    class Stopped(fake.FakeEmbedder):
        def iter_features(self, X, *, on_error="raise"):
            for clip in super().iter_features(X, on_error=on_error):
                if clip.index == 5:
                    raise KeyboardInterrupt
                yield clip

    with pytest.raises(KeyboardInterrupt) as stop:
        run(clips, tmp_path / "t", embedder=Stopped())
    kept = f"What was done is kept in {tmp_path / 't'}: the same call goes on."
    assert stop.value.__notes__ == [kept]
    assert FeatureTable(tmp_path / "t").clips() == clips[:5]
    run(clips, tmp_path / "t")
    run(clips, tmp_path / "whole")
    assert (
        FeatureTable(tmp_path / "t")
        .read()
        .equals(FeatureTable(tmp_path / "whole").read())
    )


@pytest.mark.long
def test_second_run_is_refused_or_waits(tmp_path):
    clips = make_clips(tmp_path / "clips", 40)
    with start(tmp_path / "clips", tmp_path / "t", 0.02, 0.05) as first:
        deadline = time.monotonic() + 120
        while not n_rows(tmp_path / "t") and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(BlockingIOError, match=r'Another .* on_locked="wait"'):
            run(clips, tmp_path / "t")
        summary, log = run(clips, tmp_path / "t", on_locked="wait")
        assert (log, summary.n_skipped) == ([], 40)
        assert first.wait() == 0
    check_complete(tmp_path / "t", clips)


def test_full_disk_keeps_what_was_done(tmp_path, clips):
    """On a file system of 256 kB, where one can be mounted."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no rights to mount a small file system")
    try:
        run(clips[:4], small / "t")
        (small / "ballast").write_bytes(bytes(230_000))
        many = make_clips(tmp_path / "many", 2000)
        with pytest.raises(OSError, match=r"No space left.*written before are kept"):
            run(many, small / "t")
        check_complete(small / "t", clips[:4])
        (small / "ballast").unlink()
        run(many, small / "t")
        check_complete(small / "t", [*clips[:4], *many])
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.long
def test_limited_file_size_keeps_what_was_done(tmp_path, clips):
    """What a full disk does, for those who cannot mount one."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    run(clips[:4], tmp_path / "t")
    with start(tmp_path / "clips", tmp_path / "t", 0, 9, preexec_fn=limit) as process:
        _, message = process.communicate()
    assert process.returncode == 1
    assert "File too large. Parts that were written before are kept" in message
    check_complete(tmp_path / "t", clips[:4])


def test_merge_without_room_is_left_for_later(tmp_path, clips, monkeypatch, caplog):
    run(clips[:4], tmp_path / "t")

    def full(self, part, mask):  # only a merge reads whole parts
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables.FeatureTable, "iter_part", full)
    assert run(clips, tmp_path / "t")[0].n_done == 6
    assert "Small parts stay unmerged" in caplog.text
    assert FeatureTable(tmp_path / "t").lookup(clips).found.all()


def test_unwritable_folder_is_explained(tmp_path, clips):
    with pytest.raises(OSError, match=r"Not a directory\. Part of its path"):
        run(clips, Path(clips[0]) / "t")
    if os.geteuid() == 0:
        return  # root may write anywhere
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with pytest.raises(PermissionError, match=r"Make the folder writable"):
        run(clips, locked / "t")


@pytest.mark.real
def test_features_of_real_clips_are_those_of_transform(tmp_path, data):
    clips = sorted(str(path) for path in (data / "gtzan_clips").glob("*.flac"))[::30]
    broken = tmp_path / "broken.flac"
    broken.write_bytes(Path(clips[0]).read_bytes()[:2000])
    text = tmp_path / "text.mp3"
    text.write_text("not music")
    embedder = MusicnnEmbedder(layer=("taggram", "max_pool"), duration=5.0)
    summary = extract([*clips, broken, text], tmp_path / "t", embedder=embedder)
    assert (summary.n_done, summary.n_failed) == (4, 2)
    assert summary.audio_seconds == pytest.approx(20.0)
    np.testing.assert_array_equal(
        FeatureLookup(tmp_path / "t").transform(clips), embedder.transform(clips)
    )
    statuses = FeatureTable(tmp_path / "t").lookup([broken, text]).statuses
    assert all(status.endswith("AudioError") for status in statuses)


def test_a_file_is_one_row_however_its_path_is_given(tmp_path, monkeypatch):
    """`few`, `./few` and `$PWD/few` were three."""
    (tmp_path / "music" / "few").mkdir(parents=True)
    (tmp_path / "music" / "few" / "a.wav").write_bytes(b"a")
    monkeypatch.chdir(tmp_path / "music")
    folder = tmp_path / "t"
    for given in ("few", "./few", tmp_path / "music" / "few", "few/../few/a.wav"):
        summary = extract(given, folder, embedder=fake.FakeEmbedder(), relative_to=".")
    assert summary.n_skipped == 1
    assert list(FeatureTable(folder).index().rows) == ["few/a.wav"]
    monkeypatch.chdir(tmp_path)  # the table is continued from elsewhere
    more = extract("music", folder, embedder=fake.FakeEmbedder(), relative_to="music")
    assert (more.n_done, more.n_skipped) == (0, 1)
    with pytest.raises(ValueError, match="is not below"):
        extract("music", folder, embedder=fake.FakeEmbedder(), relative_to=folder)
