"""Results for people and for machines, and exit codes: one way for all commands."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from userlogfeat import cli
from userlogfeat.cli.console import Result, print_result
from userlogfeat.cli.errors import EXIT_CODES

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "command_line.md"


def commands(group=None, before=()):
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


def test_every_command_has_json_and_quiet():
    found = dict(commands())
    assert {"evaluate", "extract", "table ls", "mirex train", "info"} <= set(found)
    for name, command in found.items():
        options = {option for one in command.params for option in one.opts}
        assert {"--json", "--quiet"} <= options, name


def test_every_command_ends_in_an_object(run, tmp_path, monkeypatch):
    """All are given paths that are not there: no other line is on stdout."""
    monkeypatch.chdir(tmp_path)
    for name, command in commands():
        given = []
        for one in (one for one in command.params if one.required):
            flag = [one.opts[0]] if one.opts[0].startswith("-") else []
            given += [*flag, *["gone/away.csv"] * max(1, one.nargs)]
        result = CliRunner().invoke(cli.app, [*name.split(), *given, "--json"])
        found = [json.loads(line) for line in result.stdout.splitlines()]
        if not given:  # info, weights
            assert found
            continue
        assert result.exit_code in (cli.SOME_FAILED, cli.USAGE), (name, result.output)
        assert found[-1]["exit_code"] == result.exit_code, name
        assert result.stderr.strip().endswith(found[-1]["error"].strip()), name


def test_values_are_json(capsys):
    values = {"path": Path("a"), "n": np.int64(3), "x": np.nan, "y": np.float32(0.5)}
    code = print_result(Result([values, {"z": [(1, 2)]}], "two", 1), as_json=True)
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == {"path": "a", "n": 3, "x": None, "y": 0.5}
    assert json.loads(second) == {"z": [[1, 2]]}
    assert code == 1


def test_values_without_text_are_a_table(capsys):
    rows = [{"metric": "auc", "value": 0.5}, {"metric": "ndcg@10", "value": 1.0}]
    print_result(Result(iter(rows)), quiet=True)
    lines = ["metric   value", "auc      0.500", "ndcg@10  1.000"]
    assert capsys.readouterr().out.splitlines() == lines
    print_result(Result([], "nothing"), quiet=True)
    assert capsys.readouterr().out == ""


def test_results_and_errors_are_objects(run, clips):
    Path("clips/3.wav").unlink()
    names = [*clips, "clips/3.wav"]
    done = run("extract", *names, "-o", "t", "--json", code=cli.SOME_FAILED)
    found = json.loads(done.stdout)
    assert (found["n_done"], found["failed"]) == (9, {"MissingAudioError": 1})
    assert "MissingAudioError: " in done.stderr
    assert json.loads(run("info", "t", "--json").stdout)["feature table"] == "t"
    refused = run("extract", "clips", "-o", "clips", "--json", code=cli.USAGE)
    error = json.loads(refused.stdout)
    assert (error["exit_code"], error["error"] + "\n") == (cli.USAGE, refused.stderr)


@pytest.mark.skipif(not GUIDE.is_file(), reason="no checkout")
def test_exit_codes_are_those_of_help_and_guide(run):
    text = run("--help").stdout
    assert all(f"{code:3}  {what}" in text for code, what in EXIT_CODES.items())
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert {int(code): what for code, what in rows} == EXIT_CODES
    commands_of_guide = re.findall(r"^\| `([\w -]+)` ", GUIDE.read_text("utf-8"), re.M)
    assert sorted(commands_of_guide) == sorted(name for name, _ in commands())
