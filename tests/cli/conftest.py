"""The command in this process, with an embedder that needs no audio."""

import importlib.util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from userlogfeat import cli
from userlogfeat.estimators import user_log

FAKE = Path(__file__).parents[1] / "fake_embedder.py"


@pytest.fixture
def run():
    """Output and errors of the command, which must end with `code`."""

    def run(*arguments, code=0, stdin=None):
        arguments = [str(argument) for argument in arguments]
        result = CliRunner().invoke(cli.app, arguments, input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture(scope="session")
def fake():
    """The module of the embedder that needs no audio."""
    spec = importlib.util.spec_from_file_location("fake_embedder", FAKE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clips(tmp_path, monkeypatch, fake):
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
