"""Whole files and locks."""

import multiprocessing
import os
import time

import pytest

from userlogfeat._files import FileLock, fill_folder, replace_file, sha256


def test_replace_file_is_all_or_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replace_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"

    def fail():
        with replace_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_fill_folder_is_all_or_nothing(tmp_path):
    folder = tmp_path / "model"
    with fill_folder(folder) as temporary:
        (temporary / "below").mkdir()
        (temporary / "below" / "a.txt").write_text("new")
        assert not (folder / "below").exists()
    (folder / "mine.txt").write_text("kept")

    def fail(folder):
        with fill_folder(folder) as temporary:
            (temporary / "below").mkdir()
            (temporary / "below" / "a.txt").write_text("half")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail(folder)
    assert sorted(os.listdir(folder)) == ["below", "mine.txt"]
    assert (folder / "below" / "a.txt").read_text() == "new"
    with pytest.raises(RuntimeError, match="broken"):
        fail(tmp_path / "other")
    assert os.listdir(tmp_path) == ["model"]


def test_replaced_files_have_ordinary_rights(tmp_path):
    (tmp_path / "plain").write_text("")
    with replace_file(tmp_path / "replaced") as temporary:
        temporary.write_text("")
    modes = {(tmp_path / name).stat().st_mode for name in ("plain", "replaced")}
    assert len(modes) == 1


def test_sha256_of_a_known_text(tmp_path):
    (tmp_path / "abc").write_text("abc")  # the example of FIPS 180-2, B.1
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def hold(path, seconds, started):
    with FileLock(path):
        started.set()
        time.sleep(seconds)


def test_lock_refuses_waits_and_dies_with_its_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    holder = context.Process(target=hold, args=(tmp_path / "lock", 60, started))
    holder.start()
    try:
        assert started.wait(30)
        with pytest.raises(BlockingIOError, match="Another process is writing"):
            FileLock(tmp_path / "lock").__enter__()
    finally:
        holder.kill()
    with FileLock(tmp_path / "lock", on_locked="wait"):  # freed by the kill
        pass
    holder.join()


def test_lock_checks_its_choice(tmp_path):
    with pytest.raises(ValueError, match="on_locked='queue'"):
        FileLock(tmp_path / "lock", on_locked="queue")
