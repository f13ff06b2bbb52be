"""Wrong usage and foreign errors: one line and an exit code."""

import errno
import re
import signal

import pytest
import typer

from userlogfeat import FeatureTable, __version__, cli
from userlogfeat.cli.errors import explained


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
        (
            ["info", "clips"],
            "no feature table.*no factors in 'clips'.*not a saved model",
        ),
        (["info", "clips/0.wav"], "0.wav is a file, but feature tables"),
        (["fit-cf", "", "-o", "f"], "'LOGS'.*empty"),
        (["fit-cf", "none.csv", "-o", "f", "--seed", "-1"], "'--seed'"),
        (["fit-cf", "none.csv", "-o", "f"], "no file or folder none.csv"),
        (["fit-cf", "none.csv", "-o", "clips"], "clips is not empty.*--overwrite"),
        (["fit-teacher", "a.csv", "clips", "-o", "m"], "no factors in clips.*fit-cf"),
    ],
)
def test_wrong_use_exits_with_2_and_one_line(run, clips, arguments, message):
    result = run(*arguments, code=cli.USAGE)
    assert re.search(message, " ".join(result.stderr.split()))
    assert "Traceback" not in result.output


def test_foreign_errors_are_one_line(run, fake, clips, monkeypatch):
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


def test_a_read_only_disk_is_no_wrong_option(capsys):
    with pytest.raises(typer.Exit) as stopped, explained("Kept.", as_json=False):
        raise OSError(errno.EROFS, "Read-only file system", "factors")
    assert stopped.value.exit_code == cli.STOPPED
    assert capsys.readouterr().err == "Error: Read-only file system: factors\n"


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["extract", "clips", "-o", "t"], " Or pass --on-locked wait.\n"),
        (["table", "compact", "t"], "Wait until it ends.\n"),  # has no such option
    ],
)
def test_a_locked_table(run, clips, words, advice):
    """The option was there twice, "pass --on-locked wait (--on-locked wait)"."""
    run("extract", "clips", "-o", "t")
    table = FeatureTable("t")
    with table.writer(fingerprint=table.fingerprint, layer_sizes=table.layer_sizes):
        found = run(*words, code=cli.USAGE).stderr
    assert found.startswith("Error: Another process is writing to t. Wait until it")
    assert found.endswith(advice)


def test_notes_give_no_advice_in_python(capsys):
    cli.show_warning(UserWarning('Ho hum. Pass by="x" to stop this warning.'))
    assert capsys.readouterr().err == "Note: Ho hum.\n"


def test_every_help_has_examples(run):
    learn = ("fit-cf", "fit-teacher", "fit-users", "fit-metric")
    for command in ("extract", *learn, "recommend"):
        text = run(command, "--help").stdout
        assert f"Examples:\n    userlogfeat {command} " in text
    assert run("--version").stdout == f"userlogfeat {__version__}\n"


def test_every_option_is_described():
    """A text in a docstring under another name than the parameter's would be lost."""
    todo = [typer.main.get_command(cli.app)]
    for command in todo:
        todo += getattr(command, "commands", {}).values()
        assert [p.name for p in command.params if not p.help] == [], command.name
    assert len(todo) > 25


@pytest.mark.parametrize("as_json", [False, True])
def test_a_signal_is_told_of_where_tidying_up_fails(capsys, as_json):
    """Spark's session answered `finally` with None, and the exit code was 2."""

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            None.is_stopped()

    with pytest.raises(typer.Exit) as stopped, explained("Kept.", as_json=as_json):
        work()
    assert stopped.value.exit_code == cli.TERMINATED
    printed = capsys.readouterr()
    assert printed.err == "Terminated. Kept.\n"
    assert ('"exit_code": 143' in printed.out) == as_json
