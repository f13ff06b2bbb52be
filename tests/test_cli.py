"""The command: what it writes, what it says, how it exits."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from userlogfeat import (
    FeatureLookup,
    FeatureTable,
    __version__,
    cli,
    factor_files,
    logs,
)
from userlogfeat.datasets.synthetic import make_listening_corpus
from userlogfeat.estimators import user_log
from userlogfeat.factor_files import read_factors
from userlogfeat.weights import NonCommercialWarning

FAKE = Path(__file__).with_name("fake_embedder.py")
_spec = importlib.util.spec_from_file_location("fake_embedder", FAKE)
fake = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake)


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Ten files below the present folder, and an embedder that needs no audio."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        user_log, "UserLogEmbedder", lambda *_, **settings: fake.FakeEmbedder()
    )
    Path("clips").mkdir()
    names = [f"clips/{i}.wav" for i in range(10)]
    for i, name in enumerate(names):
        Path(name).write_bytes(b"clip %d" % i)
    return names


def run(*arguments, code=0, stdin=None):
    """Output and errors of the command, which must end with `code`."""
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def test_extract_files_and_folders(clips):
    assert (
        "10 done, 0 were there, 0 failed" in run("extract", "clips", "-o", "t").stdout
    )
    assert FeatureTable("t").clips() == clips
    result = run("extract", *clips[:3], "clips", "-o", "t", "--quiet")
    assert result.output == ""


def test_failed_files_are_told_and_counted(clips):
    Path(clips[4]).write_bytes(b"")
    result = run("extract", *clips, "gone.wav", "-o", "t", code=cli.SOME_FAILED)
    assert "9 done, 0 were there, 2 failed" in result.stdout
    assert f"EmptyAudioError: '{clips[4]}': 0 bytes. Fill it." in result.stderr
    assert "MissingAudioError: 'gone.wav': no such file" in result.stderr
    run("extract", *clips, "-o", "t", "--no-retry-failed", code=cli.SOME_FAILED)
    run("extract", *clips[5:], "-o", "t")


def test_on_error_raise_ends_the_run(clips):
    Path(clips[4]).write_bytes(b"")
    arguments = ("extract", *clips, "-o", "t", "--on-error", "raise")
    result = run(*arguments, code=cli.SOME_FAILED)
    assert result.stderr == f"Error: '{clips[4]}': 0 bytes. Fill it.\n"
    assert FeatureTable("t").clips() == clips[:4]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_list_of_files(clips, ends):
    lines = [b"\xef\xbb\xbf" + clips[0].encode(), b"", b"  ", *map(str.encode, clips)]
    Path("list.txt").write_bytes(ends.join(lines))
    run("extract", "--list", "list.txt", "-o", "t")
    assert FeatureTable("t").clips() == clips
    run("extract", "--list", "-", "-o", "t2", stdin=ends.join(lines))
    assert FeatureTable("t2").clips() == clips


def test_list_of_odd_names(clips):
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


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_list_in_utf_16_is_refused(clips, encoding):
    """It was read as one path of odd bytes."""
    Path("list.txt").write_bytes("\ufeffclips/0.wav\n".encode(encoding))
    result = run("extract", "--list", "list.txt", "-o", "t", code=cli.USAGE)
    assert "'list.txt' in UTF-16, expected UTF-8" in result.stderr
    assert not Path("t").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract", "-o", "t"], "Got no files"),
        (["extract", "--list", "none.txt", "-o", "t"], "none.txt', which is not there"),
        (["extract", "--list", "clips", "-o", "t"], "'clips', which is a folder"),
        (["extract", "clips", "-o", ""], "'--output'.*empty"),
        (["extract", "clips", "-o", "clips"], "clips is not a feature table"),
        (["extract", "clips", "-o", "clips/0.wav"], "0.wav is a file"),
        (["extract", "clips"], "Missing option '--output'"),
        (["extract", "clips", "-o", "t", "--on-error", "skip"], "'--on-error'"),
        (["extract", "clips", "-o", "t", "--jobs", "0"], "'--jobs'"),
        (["extract", "clips", "-o", "t", "--lairs", "x"], "No such option"),
        (["info", ""], "Got an empty path"),
        (["info", "nowhere"], "no feature table.*no factors in 'nowhere'.*no model"),
        (["info", "clips"], "no feature table.*no factors in 'clips'.*no saved model"),
        (["info", "clips/0.wav"], "0.wav is a file, but feature tables"),
        (["fit-cf", "", "-o", "f"], "'LOGS'.*empty"),
        (["fit-cf", "none.csv", "-o", "f", "--seed", "-1"], "'--seed'"),
        (["fit-cf", "none.csv", "-o", "f"], "no file or folder none.csv"),
        (["fit-cf", "none.csv", "-o", "clips"], "clips is not empty.*--overwrite"),
        (["fit-teacher", "a.csv", "clips", "-o", "m"], "no factors in clips.*fit-cf"),
    ],
)
def test_wrong_use_exits_with_2_and_one_line(clips, arguments, message):
    import re

    result = run(*arguments, code=cli.USAGE)
    assert re.search(message, " ".join(result.stderr.split()))
    assert "Traceback" not in result.output


def test_bad_weights_and_layers_are_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options, message in (
        (["--weights", "./nowhere"], "There is no model './nowhere'"),
        (["--device", "abacus"], "Got device='abacus'"),
    ):
        result = run("extract", "a.wav", "-o", "t", *options, code=cli.USAGE)
        assert message in result.stderr
    assert not Path("t").exists()


def test_table_of_another_model_is_refused(clips, monkeypatch):
    run("extract", "clips", "-o", "t")
    monkeypatch.setattr(fake.FakeEmbedder, "fingerprint", "other")
    result = run("extract", "clips", "-o", "t", code=cli.USAGE)
    assert "another model" in result.stderr


def test_full_disk_has_its_own_exit_code(clips, monkeypatch):
    import pyarrow.parquet as pq

    def full(*_args, **_settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    result = run("extract", "clips", "-o", "t", code=cli.STOPPED)
    assert "Error: Could not write to the feature table t: No space" in result.stderr


def test_foreign_errors_are_one_line(clips, monkeypatch):
    """They were tracebacks, with the exit code of failed files."""
    errors = {
        RuntimeError("CUDA broke.\nAt once."): "RuntimeError: CUDA broke. At once.",
        KeyError("x"): "KeyError: 'x'.",
        MemoryError(): "MemoryError.",
    }
    for error, text in errors.items():

        def fail(*_arguments, error=error, **_settings):
            raise error

        monkeypatch.setattr(fake.FakeEmbedder, "iter_features", fail)
        result = run("extract", "clips", "-o", "t", code=cli.USAGE)
        assert result.stderr == (
            f"Error: unexpected {text} Set USERLOGFEAT_DEBUG=1 to see where it arose.\n"
        )
    monkeypatch.setenv("USERLOGFEAT_DEBUG", "1")
    with pytest.raises(MemoryError):
        run("extract", "clips", "-o", "t")


@pytest.mark.filterwarnings("always::userlogfeat.weights.NonCommercialWarning")
def test_licence_is_a_line_where_the_work_went_well(clips, monkeypatch):
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


def test_notes_give_no_advice_in_python(capsys):
    cli.show_warning(UserWarning('Ho hum. Pass by="x" to stop this warning.'))
    assert capsys.readouterr().err == "Note: Ho hum.\n"


def test_every_help_has_examples():
    for command in ("extract", "fit-cf", "fit-teacher"):
        text = run(command, "--help").stdout
        assert f"Examples:\n    userlogfeat {command} " in text
    assert "Exit codes: 0 all well" in run("--help").stdout
    assert run("--version").stdout == f"userlogfeat {__version__}\n"


def test_info(clips, tmp_path):
    run("extract", "clips", "-o", "t")
    text = run("info", "t").stdout
    assert "feature table  t\n" in text
    assert "clips          10 ok\n" in text
    assert "layers         mean (8), max (3)\n" in text
    assert "torch" in run("info").stdout


def test_fit_cf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Two tastes that never meet: half of the people play tracks 0-9, half 10-19.
    rng = np.random.default_rng(0)
    plays = [(u, 10 * (u % 2) + i) for u in range(40) for i in rng.choice(10, 6, False)]
    pl.DataFrame(plays, ["who", "track"], orient="row").write_csv("plays.csv")
    columns = ("--user", "who", "--item", "track")
    result = run("fit-cf", "plays.csv", "-o", "f", *columns, "--factors", 2)
    assert "-> 2 factors each, in f" in result.stdout
    factors = read_factors("f")
    assert factors.item_ids.tolist() == list(range(20))
    assert factors.user_factors.shape == (40, 2)
    scores = factors.user_factors @ factors.item_factors.T
    own = (np.arange(40)[:, None] % 2) == (np.arange(20) >= 10)
    assert scores[own].min() > scores[~own].max()
    run("fit-cf", "plays.csv", "-o", "f2", *columns, "--factors", 2)
    np.testing.assert_array_equal(read_factors("f2").item_factors, factors.item_factors)
    run("fit-cf", "plays.csv", "-o", "f", *columns, code=cli.USAGE)
    run("fit-cf", "plays.csv", "-o", "f", *columns, "--overwrite", "--factors", 3)
    assert read_factors("f").n_factors == 3
    text = run("info", "f").stdout
    assert "users" in text
    assert "alpha           40.0\n" in text


COMMAND = """
import sys
sys.path.insert(0, {folder!r})
from fake_embedder import FakeEmbedder
from userlogfeat import cli
from userlogfeat.estimators import user_log

class Telling(FakeEmbedder):
    def iter_features(self, X, **settings):
        for clip in super().iter_features(X, **settings):
            yield clip
            if clip.index == 5:
                print("at work", flush=True)

user_log.UserLogEmbedder = lambda *_, **settings: Telling(delay=0.02)
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
        (signal.SIGTERM, cli.TERMINATED, "Terminated"),
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


@pytest.mark.parametrize("arguments", [["fit-cf", "x"], ["fit-teacher", "x", "y"]])
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, cli.INTERRUPTED, "Interrupted"),
        (signal.SIGTERM, cli.TERMINATED, "Terminated"),
    ],
)
def test_stopped_learning_keeps_nothing(
    tmp_path, monkeypatch, arguments, number, code, word
):
    """Ctrl-C promised that what was done is kept; SIGTERM killed without a word."""
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("not handled"))
    # Shells start background jobs with SIGINT ignored; tests may run in one.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    for module, name in ((logs, "read_logs"), (factor_files, "read_factors")):
        monkeypatch.setattr(module, name, lambda *_, **__: signal.raise_signal(number))
    try:
        result = run(*arguments, "-o", "out", code=code)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, ignored)
    assert result.stderr == f"{word}. Nothing was written.\n"


def test_exit_codes_of_the_command_itself(clips):
    with start("extract", *clips[:2], "-o", "t") as process:
        assert process.wait() == 0
    with start("extract", clips[0], "gone.wav", "-o", "t") as process:
        assert process.wait() == 1
    with start("extract", "-o", "t") as process:
        assert process.wait() == 2


@pytest.mark.slow
def test_the_whole_way(tmp_path, monkeypatch, musicnn):
    """Logs and audio of a planted corpus -> factors -> a saved teacher -> a table.

    The estimates of tracks that taught nothing must be near the factors that the logs
    give them: nearer than those of other tracks.
    """
    corpus = make_listening_corpus(
        500, 300, duration=3.0, folder=tmp_path / "corpus", random_state=0
    )
    monkeypatch.chdir(tmp_path)
    run(
        "fit-cf", "corpus/logs.csv", "--count", "count", "--alpha", "5", "-o", "factors"
    )
    frame = pl.read_csv("corpus/catalogue.csv")
    frame.head(260).write_csv("corpus/taught.csv")
    run("fit-teacher", "corpus/taught.csv", "factors", "-o", "teacher")
    unheard = corpus.audio[260:]
    run("extract", *unheard, "-o", "t", "--weights", "teacher", "--layer", "embedding")
    assert "CFRegressor" in run("info", "teacher").stdout
    assert "40 ok" in run("info", "t").stdout.replace("ok: 40", "40 ok")
    estimates = FeatureLookup("t", scale=False).transform(unheard)
    factors = read_factors("factors")
    rows, Y = corpus.catalogue.align(factors.item_factors, factors.item_ids)
    truth = Y[np.isin(rows, np.arange(260, 300))]

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    cosines = unit(estimates) @ unit(truth).T
    ranks = (cosines < np.diag(cosines)[:, None]).mean(axis=1)
    assert ranks.mean() > 0.65


def test_a_network_is_trained_on_spectrograms(tmp_path, monkeypatch):
    make_listening_corpus(60, 24, folder=tmp_path / "corpus", random_state=0)
    monkeypatch.chdir(tmp_path)
    run("fit-cf", "corpus/logs.csv", "--count", "count", "--factors", "4", "-o", "f")
    options = ["--network", "se_cnn", "--channels", "8", "--epochs", "1"]
    options += ["--duration", "7.6", "--checkpoint", "kept", "--quiet"]
    run("fit-teacher", "corpus/catalogue.csv", "f", "-o", "teacher", *options)
    shown = run("info", "teacher").stdout
    assert "se_cnn" in shown
    assert "block5" in shown
    assert list((tmp_path / "kept").iterdir()) == []  # the training has ended
