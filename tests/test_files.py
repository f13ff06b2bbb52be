"""Whole files and locks."""

import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import filelock
import pytest

from userlogfeat import _files
from userlogfeat._files import (
    fill_folder,
    is_described,
    make_below,
    read_described,
    remove_file,
    remove_temporaries,
    replace_file,
    replace_pair,
)
from userlogfeat._locks import file_lock
from userlogfeat._stamps import sha256
from userlogfeat._untrusted import parse_json, read_whole


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
    with pytest.raises(NotADirectoryError, match=r"mine\.txt is a file: the result"):
        fail(folder / "mine.txt")


def test_fill_folder_moves_all_files_or_none(tmp_path, monkeypatch):
    """Ctrl-C between two files left new ones beside old ones."""
    (tmp_path / "b.txt").mkdir()  # as Spark writes tables
    (tmp_path / "b.txt" / "part").touch()
    genuine = _files.move_file

    def stopped(path, target):
        monkeypatch.setattr(_files, "move_file", genuine)
        genuine(path, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(_files, "move_file", stopped)

    def fill():
        with fill_folder(tmp_path) as folder:
            for name in ("a.txt", "b.txt"):
                (folder / name).write_text("new")

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt"]
    assert (tmp_path / "b.txt").read_text() == "new"


def rewrite(path):
    """As safetensors does: a file for its owner alone is renamed onto `path`."""
    own = path.with_name(".tmpAbCdEf")
    own.touch(mode=0o600)
    own.write_text("weights")
    own.replace(path)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_rights_follow_the_umask(tmp_path, umask):
    """Saved weights could be read by their owner alone, and their config by all."""
    before = os.umask(umask)
    try:
        (tmp_path / "plain").touch()
        with replace_file(tmp_path / "replaced") as temporary:
            rewrite(temporary)
        pair(tmp_path, "", write=rewrite)
        with fill_folder(tmp_path / "filled") as folder:
            pair(folder, "", write=rewrite)
        with file_lock(tmp_path / "lock"):
            pass
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 7
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~umask}
    assert (tmp_path / "filled").stat().st_mode & 0o777 == 0o777 & ~umask


def test_two_writers_of_one_file_whose_library_renames(tmp_path):
    """The second took what the first one's library had renamed for a leftover."""
    with replace_file(tmp_path / "a") as first:
        rewrite(first)
        with replace_file(tmp_path / "a") as second:
            rewrite(second)
            second.write_text("second")
        first.write_text("first")
    assert (tmp_path / "a").read_text() == "first"
    assert os.listdir(tmp_path) == ["a"]


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    """Each killed writer left a temporary file for good."""
    for name in (".a.txt.0123abcd", ".a.txt.note", ".b.txt.0123abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("of a process that was killed")
    with replace_file(tmp_path / "a.txt") as first:
        first.write_text("first")
        with replace_file(tmp_path / "a.txt") as second:  # does not remove `first`
            second.write_text("second")
    assert (tmp_path / "a.txt").read_text() == "first"
    names = {".a.txt.note", ".b.txt.0123abcd", "a.txt"}
    assert set(os.listdir(tmp_path)) == names


def pair(folder, content, **calls):
    settings = {
        "write": lambda path: path.write_text(content),
        "describe": lambda digest: f"{content}: {digest}",
    }
    replace_pair(folder / "a", folder / "text", **(settings | calls))


def described(folder):
    """The content that the text speaks of, and the content that is found."""
    content, _, digest = (folder / "text").read_text().partition(": ")
    return content, read_described(folder / "a", digest).decode()


class Killed(BaseException):
    """Nothing reaches the disk from here on, as after kill -9."""


def test_a_pair_is_whole_whenever_its_writer_dies(tmp_path, monkeypatch):
    """The file had been replaced before its text: for a moment they disagreed."""
    pair(tmp_path, "old")
    outcomes = []
    for n_calls in range(20):
        left = n_calls

        def count(call):
            def counted(*args, **settings):
                nonlocal left
                left -= 1
                if left < 0:
                    raise Killed
                return call(*args, **settings)

            return counted

        with monkeypatch.context() as patch:
            for owner, name in ((type(tmp_path), "unlink"), (os, "fsync")):
                patch.setattr(owner, name, count(getattr(owner, name)))
            patch.setattr(type(tmp_path), "replace", count(type(tmp_path).replace))
            try:
                pair(tmp_path, f"new {n_calls}")
                outcomes.append("done")
            except Killed:
                outcomes.append("killed")
        said, found = described(tmp_path)
        assert said == found
        if outcomes[-1] == "done":
            assert said == f"new {n_calls}"
    assert outcomes.count("killed") > 5
    assert outcomes[-1] == "done"
    assert sorted(os.listdir(tmp_path)) == ["a", "text"]


def test_a_pair_is_read_once_and_only_as_described(tmp_path):
    pair(tmp_path, "old")
    digest = sha256(tmp_path / "a")
    assert read_described(tmp_path / "a", digest) == b"old"
    (tmp_path / "a").write_text("older")
    assert read_described(tmp_path / "a", digest) is None
    (tmp_path / "a").unlink()
    assert read_described(tmp_path / "a", digest) is None
    assert not is_described(tmp_path / "a")


def test_a_pair_that_cannot_be_described_is_left_as_it_was(tmp_path):
    pair(tmp_path, "old")

    def fail(digest):
        raise RuntimeError("no words")

    with pytest.raises(RuntimeError, match="no words"):
        pair(tmp_path, "new", describe=fail)
    (tmp_path / "text").rename(tmp_path / "kept")
    (tmp_path / "text").mkdir()  # cannot be replaced by a file
    with pytest.raises(OSError, match="directory"):
        pair(tmp_path, "new")
    assert sorted(os.listdir(tmp_path)) == ["a", "kept", "text"]
    assert (tmp_path / "a").read_text() == "old"


def test_errors_of_the_system_are_its_own(tmp_path):
    """safetensors made a full disk a SafetensorError, which nobody expects."""

    def fail(path):
        raise RuntimeError("I/O error: No space left on device (os error 28)")

    with pytest.raises(OSError, match="No space left") as caught:
        pair(tmp_path, "new", write=fail)
    assert caught.value.errno == 28
    assert os.listdir(tmp_path) == []


def test_what_is_read_at_once_is_a_file_and_not_too_long(tmp_path):
    (tmp_path / "a").write_text("12345")
    assert read_whole(tmp_path / "a", max_bytes=5) == b"12345"
    with pytest.raises(
        ValueError, match="too long to be read, expected at most 4 bytes"
    ):
        read_whole(tmp_path / "a", max_bytes=4)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ValueError, match="not a regular file, but a pipe"):
            read_whole(path)


def test_a_lock_is_no_way_out_of_its_folder(tmp_path):
    """A link in a stranger's table made a file wherever it pointed."""
    folder = tmp_path / "table"
    folder.mkdir()
    (folder / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        file_lock(folder / ".lock").__enter__()
    assert os.listdir(tmp_path) == ["table"]
    (folder / ".lock").unlink()
    os.mkfifo(folder / ".lock")  # had been waited for, for ever
    with pytest.raises(OSError, match="No such device"):
        file_lock(folder / ".lock").__enter__()


def test_sha256_of_a_known_text(tmp_path):
    (tmp_path / "abc").write_text("abc")  # the example of FIPS 180-2, B.1
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def hold(path, seconds, started):
    with file_lock(path):
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
            file_lock(tmp_path / "lock").__enter__()
    finally:
        holder.kill()
    with file_lock(tmp_path / "lock", on_locked="wait"):  # freed by the kill
        pass
    holder.join()


def test_lock_checks_its_choice(tmp_path):
    with pytest.raises(ValueError, match="on_locked='queue'"):
        file_lock(tmp_path / "lock", on_locked="queue").__enter__()


@pytest.mark.parametrize("depth", [99, 101, 5000, 100_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_json_has_a_bounded_depth(depth, brackets):
    opened, closed = brackets
    text = opened * depth + "1" + closed * depth
    if depth < 100:
        assert parse_json(text) == json.loads(text)
        return
    with pytest.raises(ValueError, match="nested more than 100 times"):
        parse_json(text)


def test_links_below_a_folder_are_not_followed(tmp_path):
    """A folder of a stranger: what belonged below it was written to ours."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    (theirs / "users").symlink_to(ours)

    def fill():
        with fill_folder(theirs) as folder:
            (folder / "users").mkdir()
            (folder / "a.json").write_text("new")
            (folder / "users" / "b.json").write_text("new")

    with pytest.raises(OSError, match="symbolic link"):
        fill()
    assert os.listdir(theirs) == ["users"]
    assert os.listdir(ours) == []
    (tmp_path / "name").symlink_to(ours)  # the folder that was named may be a link
    assert make_below(tmp_path / "name", "a", "b").is_dir()
    assert (ours / "a" / "b").is_dir()


def test_what_a_kill_left_of_a_folder_goes(tmp_path):
    """It stayed, as large as what was being written."""
    left = tmp_path / ".filling.0123abcd"
    left.mkdir()
    (left / "a.json").write_text("old")
    with fill_folder(tmp_path) as first:
        assert not left.exists()
        with fill_folder(tmp_path):  # that of a process which lives stays
            assert first.is_dir()
        (first / "a.json").write_text("new")
    assert os.listdir(tmp_path) == ["a.json"]


def test_models_are_saved_into_a_folder_that_is_being_filled(tmp_path):
    """Who writes a pair waits for others in its folder: not for who fills this one."""
    with fill_folder(tmp_path / "model") as folder:
        handle = os.open(folder, os.O_RDONLY)
        assert filelock.lock_descriptor(handle, blocking=False)
        os.close(handle)
        replace_pair(
            folder / "a.bin",
            folder / "a.json",
            write=lambda path: path.write_bytes(b"weights"),
            describe=lambda digest: digest,
        )
    assert sorted(os.listdir(tmp_path / "model")) == ["a.bin", "a.json"]


def test_all_leftovers_of_a_folder(tmp_path):
    for name in (".a.json.0123abcd", ".b.json.0123abcd", ".b.txt.0123abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    (tmp_path / ".c.json.half").touch()
    (tmp_path / ".d.json.link").symlink_to(tmp_path / ".b.txt.0123abcd")
    remove_temporaries(tmp_path, "*.json")
    assert os.listdir(tmp_path) == [".b.txt.0123abcd"]
    assert (tmp_path / ".b.txt.0123abcd" / "half").exists()


class TestWithoutFcntl:
    """As on Windows, where no folder can be locked; the lock files of filelock do."""

    @pytest.fixture(autouse=True)
    def _without(self, monkeypatch):
        monkeypatch.setattr(filelock, "has_fcntl", False)
        monkeypatch.setattr(filelock, "FileLock", filelock.SoftFileLock)
        monkeypatch.setattr(_files, "_FOLDER", 0)

    def test_nothing_stays_behind(self, tmp_path):
        (tmp_path / ".a.0123abcd").mkdir()
        with fill_folder(tmp_path):
            pair(tmp_path, "new")
        assert described(tmp_path) == ("new", "new")
        assert sorted(os.listdir(tmp_path)) == ["a", "text"]

    def test_the_living_keep_what_they_write(self, tmp_path):
        with replace_file(tmp_path / "a") as first:
            first.write_text("first")
            with replace_file(tmp_path / "a") as second:
                second.write_text("second")
        assert (tmp_path / "a").read_text() == "first"
        assert os.listdir(tmp_path) == ["a"]

    def test_two_who_write_a_pair_take_turns(self, tmp_path):
        order = []

        def write(path):
            order.append("first")
            later.start()
            time.sleep(0.2)
            order.append("first")
            path.write_text("first")

        def write_later(path):
            order.append("second")
            path.write_text("second")

        settings = {"args": (tmp_path, "second"), "kwargs": {"write": write_later}}
        later = threading.Thread(target=pair, **settings)
        pair(tmp_path, "first", write=write)
        later.join()
        assert order == ["first", "first", "second"]
        assert described(tmp_path) == ("second", "second")

    def test_a_lock_refuses(self, tmp_path):
        with file_lock(tmp_path / "lock"):
            with pytest.raises(BlockingIOError, match="Another process is writing"):
                file_lock(tmp_path / "lock").__enter__()


class TestOpenFilesOnWindows:
    """It neither replaces nor removes a file that a reader has open."""

    @pytest.fixture(autouse=True)
    def _on_windows(self, monkeypatch):
        monkeypatch.setattr(_files, "_WINDOWS", True)
        monkeypatch.setattr(_files, "_WAIT", 0.001)

    def refuse(self, monkeypatch, name, n_times):
        genuine, left = getattr(Path, name), [n_times]

        def call(path, *args, **settings):
            left[0] -= 1
            if left[0] >= 0:
                raise PermissionError(13, "used by another process")
            return genuine(path, *args, **settings)

        monkeypatch.setattr(type(Path()), name, call)

    def test_a_reader_is_waited_for(self, tmp_path, monkeypatch):
        (tmp_path / "a").write_text("old")
        self.refuse(monkeypatch, "replace", 3)
        with replace_file(tmp_path / "a") as path:
            path.write_text("new")
        assert (tmp_path / "a").read_text() == "new"

    def test_but_not_for_ever(self, tmp_path, monkeypatch):
        (tmp_path / "a").write_text("old")
        self.refuse(monkeypatch, "replace", 10**6)
        with pytest.raises(PermissionError):
            with replace_file(tmp_path / "a"):
                pass
        assert (tmp_path / "a").read_text() == "old"
        assert os.listdir(tmp_path) == ["a"]

    def test_what_is_superseded_may_stay(self, tmp_path, monkeypatch):
        (tmp_path / "a").write_text("old")
        self.refuse(monkeypatch, "unlink", 1)
        remove_file(tmp_path / "a")
        assert (tmp_path / "a").exists()
        remove_file(tmp_path / "a")
        remove_file(tmp_path / "a")
        assert not (tmp_path / "a").exists()
        monkeypatch.setattr(_files, "_WINDOWS", False)
        self.refuse(monkeypatch, "unlink", 1)
        with pytest.raises(PermissionError):
            remove_file(tmp_path / "a")
