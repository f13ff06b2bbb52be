"""Ctrl-C and SIGTERM: what is kept, what is said, how it exits."""

import contextlib
import dataclasses
import importlib
import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from userlogfeat import FeatureTable, cli, factor_files, logs
from userlogfeat.factor_files import read_plays

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
    assert result.stderr == f"{word}. No output was written: run the same again.\n"


def test_a_reader_that_ends_is_no_error(tmp_path):
    """`userlogfeat table ls features | head` ended in "Error: Broken pipe", code 2."""
    with FeatureTable(tmp_path / "t").writer(
        fingerprint="x", layer_sizes={"mean": 1}
    ) as writer:
        for i in range(20_000):  # more than a pipe holds
            writer.add(f"clip {i}.wav", layers={"mean": np.ones(1)})
    with start("table", "ls", str(tmp_path / "t")) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 141


@pytest.fixture
def stop_in(monkeypatch):
    """Ctrl-C instead of the n-th call of a function, and how to take that back."""
    # Shells start background jobs with SIGINT ignored; tests may run in one.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextlib.contextmanager
    def stopped(name, call=1):
        calls = itertools.count(1)
        module, _, function = name.rpartition(".")
        genuine = getattr(importlib.import_module(module), function)

        def maybe(*arguments, **settings):
            if next(calls) == call:
                signal.raise_signal(signal.SIGINT)
            return genuine(*arguments, **settings)

        with monkeypatch.context() as patch:
            patch.setattr(name, maybe)
            yield
        assert next(calls) > call

    yield stopped
    signal.signal(signal.SIGINT, ignored)


@pytest.fixture
def plays(tmp_path, monkeypatch):
    """The present folder, with the logs of two tastes: plays.csv."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    pairs = [(u, 10 * (u % 2) + i) for u in range(40) for i in rng.choice(10, 6, False)]
    pl.DataFrame(pairs, ["user", "item"], orient="row").write_csv("plays.csv")


def files(folder):
    """Bytes of the files in a folder, hidden ones too; None where there is none."""
    if not Path(folder).is_dir():
        return None
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


AGAIN = "Interrupted. No output was written: run the same again.\n"


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("fit-cf", "userlogfeat.factorization.als.solve_exactly"),
        ("fit-cf", "userlogfeat.estimators._cf_files.write_plays"),
        ("fit-users", "userlogfeat.factor_files.write_plays"),
    ],
)
def test_a_stopped_fit_begins_again(run, plays, stop_in, command, place):
    """fit-cf left users and items without their plays, and said it wrote nothing."""
    fit = (command, "plays.csv", *(["--epochs", "2"] * (command == "fit-users")))
    run(*fit, "-o", "whole", "--seed", "1")
    with stop_in(place):
        result = run(*fit, "-o", "out", "--seed", "1", code=cli.INTERRUPTED)
    assert result.stderr == AGAIN
    assert files("out") is None
    run(*fit, "-o", "out", "--seed", "2")
    before = files("out")
    again = (*fit, "-o", "out", "--seed", "1", "--overwrite")
    with stop_in(place):
        run(*again, code=cli.INTERRUPTED)
    assert files("out") == before  # the old one, whole
    run(*again)
    assert files("out") == files("whole") != before


ENCODED = "userlogfeat.estimators._factor_head.replace"  # called once per clip
TWINS = "userlogfeat.comparison.twins._refit"


@pytest.mark.slow
def test_a_stopped_teacher_goes_on(run, plays, stop_in, monkeypatch, musicnn):
    """Clips were encoded anew, whatever --checkpoint; half a teacher stayed in OUTPUT,
    where twins or the items were missing, and the same command refused it."""
    rng = np.random.default_rng(0)
    for i in range(6):
        soundfile.write(f"{i}.wav", 0.1 * (i + 1) * rng.normal(size=16000), 16000)
    catalogue = {"clip": [f"{i}.wav" for i in range(6)], "item": range(6)}
    pl.DataFrame(catalogue).write_csv("tracks.csv")
    run("fit-cf", "plays.csv", "-o", "f", "--factors", "2")
    fit = ("fit-teacher", "tracks.csv", "f", "--set", "alphas=[1.0]", "--controls", "1")
    run(*fit, "-o", "whole")
    advice = " Nothing of the training is kept: pass --checkpoint FOLDER to go on next"
    kept = "Clips done so far are kept in kept: the same goes on."
    with stop_in(ENCODED, call=4):
        stopped = run(*fit, "-o", "out", code=cli.INTERRUPTED)
    assert stopped.stderr.splitlines()[-1] == f"{AGAIN.strip()}{advice} time."
    assert files("out") is None
    fit += ("--checkpoint", "kept")
    with stop_in(ENCODED, call=4):
        stopped = run(*fit, "-o", "out", code=cli.INTERRUPTED)
    assert stopped.stderr.splitlines()[-1] == f"{AGAIN.strip()} {kept}"
    encoded, genuine = [], dataclasses.replace

    def noted(clip, **layers):
        encoded.append(Path(clip.clip).name)
        return genuine(clip, **layers)

    monkeypatch.setattr(ENCODED, noted)
    with stop_in(TWINS):
        run(*fit, "-o", "out", code=cli.INTERRUPTED)
    assert encoded[:4] == ["3.wav", "4.wav", "5.wav", "0.wav"]  # the last for the twins
    assert files("out") is None
    assert files("kept") == {}  # the fit of the teacher had ended
    run(*fit, "-o", "out")
    assert files("out") == files("whole")


@pytest.mark.slow
def test_a_stopped_export_leaves_no_file(run, tmp_path, stop_in, musicnn):
    pytest.importorskip("onnxruntime")
    export = ("export", "MTT_musicnn", "-o", tmp_path / "model.onnx")
    with stop_in("userlogfeat.export.onnx._compare"):
        result = run(*export, code=cli.INTERRUPTED)
    assert result.stderr == AGAIN
    assert files(tmp_path) == {}
    run(*export)
    assert list(files(tmp_path)) == ["model.onnx"]


@pytest.mark.parametrize(
    ("where", "advice"),
    [
        (
            ["-o", "page.html"],
            "What was done is kept in page.features/fake: the",
        ),
        (["--serve"], "Features are kept beside a page alone: see --output."),
    ],
)
def test_a_stopped_page_keeps_features(run, clips, stop_in, monkeypatch, where, advice):
    """With --serve they were promised as well, in a folder that was gone."""
    monkeypatch.setattr("userlogfeat.weights.read_config", lambda _: {"layers": ["a"]})
    monkeypatch.setattr("userlogfeat.weights.find_model", lambda _: None)
    with stop_in("userlogfeat.extraction.run.as_row", call=3):
        result = run("explore", "model", *clips, *where, code=cli.INTERRUPTED)
    assert f"{AGAIN.strip()} {advice}" in result.stderr
    assert not Path("page.html").exists()


def test_stopped_before_all_have_forgotten(run, plays, stop_in):
    """Ctrl-C before the plays were written lost those of all users."""
    run("fit-cf", "plays.csv", "-o", "f", "--factors", "2")
    run("fit-cf", "plays.csv", "-o", "whole", "--factors", "2")
    forget = ("forget", "plays.csv", "f", "--id", "7")
    for place in ("write_plays", "write_side"):
        with stop_in(f"userlogfeat.forgetting.{place}"):
            result = run(*forget, code=cli.INTERRUPTED)
        told = "Interrupted. Some paths may still hold these users: run the same again."
        assert result.stderr.strip() == told
        assert read_plays("f").nnz == 240  # as before
    assert "f: 1 rows removed" in run(*forget).stdout
    run("forget", "whole", "--id", "7")
    assert files("f") == files("whole")
    assert read_plays("f").nnz == 234


def test_a_stopped_compaction_loses_nothing(run, tmp_path, stop_in):
    for i in range(3):
        writer = FeatureTable(tmp_path / "t").writer(
            fingerprint="x", layer_sizes={"a": 1}, max_small_parts=9
        )
        with writer:
            writer.add(f"{i}", layers={"a": np.ones(1, np.float32)})
    with stop_in("userlogfeat.tables.writer.replace_file"):
        result = run("table", "compact", tmp_path / "t", code=cli.INTERRUPTED)
    assert result.stderr == (
        "Interrupted. The table holds all its rows: run the same again.\n"
    )
    assert FeatureTable(tmp_path / "t").clips() == ["0", "1", "2"]
    run("table", "compact", tmp_path / "t")
    assert FeatureTable(tmp_path / "t").clips() == ["0", "1", "2"]
    assert len(list((tmp_path / "t").glob("*.parquet"))) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "code"), [("clips/gone.wav", 1), ("clips/1.wav", 0), ("--unknown", 2)]
)
def test_exit_codes_of_the_command_itself(clips, name, code):
    with start("extract", clips[0], name, "-o", "t") as process:
        assert process.wait() == code
