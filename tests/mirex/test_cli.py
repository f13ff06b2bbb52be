"""`userlogfeat mirex`: what its commands take, say and write."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from userlogfeat import cli
from userlogfeat.mirex.lists import read_labels

TOY = Path(__file__).with_name("toy.py")
_spec = importlib.util.spec_from_file_location("toy", TOY)
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

OWN = ("--pipeline", f"{TOY}:pipeline")


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips = toy.write_clips(tmp_path / "audio", np.arange(12) % 2)
    lines = [f"{clip}\tclass {i % 2}\n" for i, clip in enumerate(clips)]
    Path("train.txt").write_text("".join(lines[:6]))
    Path("test.txt").write_text("".join(f"{clip}\n" for clip in clips[6:]))
    return clips


def run(*arguments, code=0):
    result = CliRunner().invoke(cli.app, ["mirex", *(str(a) for a in arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def test_the_calls(clips):
    said = run("extract", "s", "test.txt", "-numThreads", 2, *OWN).stdout
    assert said == "6 clips have features in s, 0 cannot be read\n"
    assert (
        "train.txt was learned: s/models/"
        in run("train", "s", "train.txt", *OWN).stdout
    )
    assert run("classify", "s", "test.txt", "two.txt", *OWN).output == ""
    lists = ("s", "train.txt", "test.txt")
    run("train-and-classify", "-numThreads", 1, *lists, "one.txt", *OWN)
    answers = list(read_labels("one.txt").items())
    assert answers == [(clip, f"class {i % 2}") for i, clip in enumerate(clips[6:])]
    assert Path("one.txt").read_bytes() == Path("two.txt").read_bytes()


@pytest.mark.parametrize("form", [("-numThreads", "2"), ("--num-threads", "2")])
@pytest.mark.parametrize("first", [True, False])
def test_threads_as_organisers_write_them(clips, form, first):
    arguments = ["s", "test.txt", *OWN]
    run("extract", *([*form, *arguments] if first else [*arguments, *form]))


def test_tags(clips):
    tagger = ("--pipeline", f"{TOY}:tagger")
    run("train", "s", "train.txt", "--tags", *tagger)
    run("classify", "s", "test.txt", "affinity.txt", "binary.txt", *tagger)
    lists = ("s", "train.txt", "test.txt", "a.txt", "b.txt")
    run("train-and-classify", *lists, *tagger)
    assert len(Path("binary.txt").read_text().splitlines()) == 12
    assert Path("a.txt").read_text() == Path("affinity.txt").read_text()
    assert Path("b.txt").read_text() == Path("binary.txt").read_text()


def test_warnings_are_printed_and_logged(clips):
    Path("test.txt").write_text(f"{clips[7]}\ngone.wav\n")
    lists = ("s", "train.txt", "test.txt", "out.txt")
    result = run("train-and-classify", *lists, *OWN, "--quiet")
    line = "MissingAudioError: 'gone.wav' cannot be read, gets class 0: there is no"
    assert result.stderr == f"Warning: {line} such file. Bring it.\n"
    assert result.stdout == ""
    log = Path("s/userlogfeat.log").read_text()
    assert line in log
    assert "7 done" in log or "6 done" in log


def test_errors_are_one_line(clips):
    result = run("classify", "s", "test.txt", "out.txt", *OWN, code=cli.USAGE)
    assert result.stderr.startswith("Error: There is no model of this pipeline in s/")
    result = run("train", "train.txt", "s", *OWN, code=cli.USAGE)
    assert (
        "Got the scratch folder train.txt, which is a file. It comes" in result.stderr
    )
    result = run("train", "s", "none.txt", *OWN, code=cli.USAGE)
    assert result.stderr == "Error: No such file or directory: none.txt\n"
    assert not Path("out.txt").exists()


def test_package(clips, monkeypatch):
    # That it loads by itself is tested in test_package.py.
    monkeypatch.setattr("userlogfeat.mirex.package._check_alone", lambda *_: None)
    result = run("package", "sub", *OWN, "--measure", "none", "--name", "Toys")
    assert result.stdout.startswith("sub is ready: read its README.md")
    assert Path("sub/README.md").read_text().startswith("# Toys: a MIREX")
    result = run("package", "sub", *OWN, code=cli.USAGE)
    assert "sub is not empty, expected a new folder" in result.stderr


@pytest.mark.long
def test_a_package_whose_scripts_fail(clips):
    """The words of the script are shown, not only that it failed."""
    source = TOY.read_text().replace("def iter_features", "def nothing_like_that")
    Path("broken.py").write_text(source + "\nToyEmbedder.iter_features = None\n")
    own = ("--pipeline", "broken.py:pipeline", "--measure", "train.txt")
    result = run("package", "sub", *own, code=cli.USAGE)
    assert "extractFeatures.sh failed, exit code 2" in result.stderr
    assert "'NoneType' object is not callable" in result.stderr


def test_evaluate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folds").mkdir()
    for part in ("train", "evaluate"):
        Path(f"folds/f1_{part}.txt").write_text(f"{part}.wav\tpop\n")
    for name, label in (("good", "pop"), ("bad", "rock")):
        Path(name).mkdir()
        script = Path(name, "TrainAndClassify.sh")
        script.write_text(f'#!/bin/sh\nsed \'s/$/\\t{label}/\' "$3" > "$4"\n')
        script.chmod(0o755)
    folder = ("folds", "--audio-root", tmp_path)
    said = run("evaluate", *folder, "good", "bad", "-o", "out").stdout
    assert "good        1.000" in said
    assert "bad         0.000" in said
    assert "A page of this is in out/report.html" in said
    assert Path("out/report.html").is_file()
    Path("bad/TrainAndClassify.sh").write_text("#!/bin/sh\nsleep 9\n")
    limits = ("--time-limit", 0.2)
    said = run("evaluate", "folds", "bad", "-o", "o", *limits, code=cli.SOME_FAILED)
    assert "TrainAndClassify.sh timed out" in said.stdout
    Path("x").mkdir()
    Path("x/good").mkdir()
    twice = ("good", "x/good")
    result = run("evaluate", "folds", *twice, "-o", "o", code=cli.USAGE)
    assert "two submissions of one name" in result.stderr
    result = run("evaluate", "folds", "none", "-o", "o", code=cli.USAGE)
    assert "has no scripts, expected TrainAndClassify.sh" in result.stderr
