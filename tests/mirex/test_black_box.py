"""Scripts that do well, fail, hang, leave children behind and use memory."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from userlogfeat.mirex.black_box import folder_bytes, run_script

needs_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc here")


def test_a_script_that_does_well(tmp_path):
    code = "echo to stdout; echo to stderr >&2; pwd; echo $EXTRA"
    run = run_script(
        ["sh", "-c", code],
        log=tmp_path / "log.txt",
        cwd=tmp_path,
        environment={"EXTRA": "more"},
    )
    assert (run.status, run.exit_code) == ("ok", 0)
    assert run.output_tail.split("\n")[:4] == [
        "to stdout",
        "to stderr",
        str(tmp_path.resolve()),
        "more",
    ]
    run_script(["echo", "again"], log=tmp_path / "log.txt")
    assert (tmp_path / "log.txt").read_text().endswith("more\nagain\n")


def test_a_script_that_fails():
    run = run_script(["sh", "-c", "exit 3"])
    assert (run.status, run.exit_code) == ("failed", 3)
    assert str(run).startswith("failed, exit code 3, 0.")


def test_a_script_that_is_not_there(tmp_path):
    run = run_script([tmp_path / "none.sh"])
    assert (run.status, run.exit_code) == ("cannot start", None)
    assert "No such file" in run.output_tail
    assert str(run) == "cannot start, 0.0 s, not seen"  # it was "0 MiB"


@pytest.mark.parametrize("deaf", [False, True])
def test_the_time_limit_ends_all_that_was_started(tmp_path, monkeypatch, deaf):
    """Also a grandchild, and one that ignores SIGTERM."""
    monkeypatch.setattr("userlogfeat.mirex.black_box._GRACE", 0.2)
    trap = "trap '' TERM; " if deaf else ""
    code = (
        f"{trap}sh -c '{trap.replace(chr(39), chr(34))}echo $$ > pid; sleep 60' & wait"
    )
    start = time.monotonic()
    run = run_script(["sh", "-c", code], time_limit=0.5, cwd=tmp_path)
    assert (run.status, run.exit_code) == ("timed out", None)
    assert 0.5 <= time.monotonic() - start < 10
    grandchild = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not is_alive(grandchild):
            return
        time.sleep(0.02)
    pytest.fail("the grandchild lives on")


def is_alive(pid):
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_what_a_script_leaves_behind_ends_with_it(tmp_path):
    run = run_script(["sh", "-c", "sleep 60 & echo $! > pid"], cwd=tmp_path)
    assert run.status == "ok"
    time.sleep(0.1)
    assert not is_alive(int((tmp_path / "pid").read_text()))


@needs_proc
def test_peak_memory_is_that_of_the_script_not_ours():
    """200 MiB that are freed again; a shell alone has a few, whatever we hold."""
    ours = bytearray(300 << 20)
    code = "x = bytearray(200 << 20); del x; import time; time.sleep(0.3)"
    run = run_script([sys.executable, "-c", code])
    assert 200 < run.peak_mib < 260
    assert run_script(["sleep", "0.2"]).peak_mib < 20
    assert len(ours) == 300 << 20


@needs_proc
def test_memory_of_several_processes_is_added():
    code = "import time; x = bytearray(60 << 20); time.sleep(1)"
    each = f'"{sys.executable}" -c "{code}" & '
    run = run_script(["sh", "-c", 3 * each + "wait"])
    assert 180 < run.peak_mib < 300


class TestWithoutSessions:
    """As on Windows: what was started is found by who started it, and ended."""

    @pytest.fixture(autouse=True)
    def _without(self, monkeypatch):
        for name in ("getsid", "killpg"):
            monkeypatch.delattr(os, name)

    def test_the_time_limit_ends_all_that_was_started(self, tmp_path):
        code = "sh -c 'echo $$ > pid; sleep 60; true' & wait"
        run = run_script(["sh", "-c", code], time_limit=0.5, cwd=tmp_path)
        assert run.status == "timed out"
        time.sleep(0.1)
        assert not is_alive(int((tmp_path / "pid").read_text()))

    def test_an_orphan_that_was_seen_ends_too(self, tmp_path):
        code = "sleep 60 & echo $! > pid; sleep 0.4"
        assert run_script(["sh", "-c", code], cwd=tmp_path).status == "ok"
        time.sleep(0.1)
        assert not is_alive(int((tmp_path / "pid").read_text()))

    def test_memory_and_time_of_a_child_are_seen(self):
        code = "x = bytearray(60 << 20); sum(range(10**7)); import time; time.sleep(.3)"
        run = run_script(["sh", "-c", f'"{sys.executable}" -c "{code}" & wait'])
        assert 60 < run.peak_mib < 150
        assert run.cpu_seconds > 0.05


def test_processor_time_is_not_wall_time():
    run = run_script(["sleep", "0.5"])
    assert run.seconds >= 0.5
    assert run.cpu_seconds < 0.2
    assert not math.isnan(run.cpu_seconds)


def test_folder_bytes(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_bytes(bytes(1000))
    (tmp_path / "y").write_bytes(bytes(24))
    os.symlink("gone", tmp_path / "link")
    assert folder_bytes(tmp_path) == 1024
