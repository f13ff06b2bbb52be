"""Ctrl-C and SIGTERM: what is kept, what is said, how it exits."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from userlogfeat import FeatureTable, cli, factor_files, logs

FAKE = Path(__file__).parents[1] / "fake_embedder.py"
COMMAND = """
import sys
sys.path.insert(0, {folder!r})
from fake_embedder import FakeEmbedder
from userlogfeat import cli
from userlogfeat.estimators import user_log

class Reporting(FakeEmbedder):
    def iter_features(self, X, **settings):
        for clip in super().iter_features(X, **settings):
            yield clip
            if clip.index == 5:
                print("at work", flush=True)

user_log.UserLogEmbedder = lambda *_, **settings: Reporting(delay=0.02)
cli.main()
"""


def start(*arguments):
    code = COMMAND.format(folder=str(FAKE.parent))
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, cli.INTERRUPTED, "Interrupted"),
        pytest.param(
            *(signal.SIGTERM, cli.TERMINATED, "Terminated"), marks=pytest.mark.long
        ),
    ],
)
def test_stopped_by_a_signal_keeps_what_was_done(clips, number, code, word):
    for i in range(10, 300):
        Path(f"clips/{i}.wav").write_bytes(b"clip %d" % i)
    with start("extract", "clips", "-o", "t") as process:
        assert process.stdout.readline() == "at work\n"
        time.sleep(0.1)
        process.send_signal(number)
        _, message = process.communicate()
    assert process.returncode == code
    assert f"{word}. What was done is kept in t: run the same again." in message
    assert "Traceback" not in message
    assert 6 <= len(FeatureTable("t")) < 300
    assert not list(Path("t").glob(".part*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit-cf", "x", "-o", "out"],
        ["fit-teacher", "x", "y", "-o", "out"],
        ["fit-users", "x", "-o", "out"],
        ["recommend", "x", "y", "-o", "out.csv", "--exclude", "z"],
    ],
)
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, cli.INTERRUPTED, "Interrupted"),
        (signal.SIGTERM, cli.TERMINATED, "Terminated"),
    ],
)
def test_stopped_learning_keeps_nothing(
    run, tmp_path, monkeypatch, arguments, number, code, word
):
    """Ctrl-C promised that what was done is kept; SIGTERM killed without a word."""
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("not handled"))
    # Shells start background jobs with SIGINT ignored; tests may run in one.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    for module, name in ((logs, "read_logs"), (factor_files, "read_factors")):
        monkeypatch.setattr(module, name, lambda *_, **__: signal.raise_signal(number))
    try:
        result = run(*arguments, code=code)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, ignored)
    assert result.stderr == f"{word}. Nothing was written.\n"


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "code"), [("clips/gone.wav", 1), ("clips/1.wav", 0), ("--unknown", 2)]
)
def test_exit_codes_of_the_command_itself(clips, name, code):
    with start("extract", clips[0], name, "-o", "t") as process:
        assert process.wait() == code
