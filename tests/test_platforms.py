"""Windows and macOS, as far as they can be had here."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import userlogfeat

PACKAGE = Path(userlogfeat.__file__).parent
SCRIPT = Path(__file__).with_name("without_posix.py")


@pytest.mark.long
@pytest.mark.slow
def test_the_main_job_without_posix(tmp_path):
    """Nothing could be saved, loaded or extracted on Windows, which has no fcntl."""
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def opens_text(call):
    """Whether a call opens a file as text, or reads or writes one whole."""
    name = getattr(call.func, "attr", getattr(call.func, "id", None))
    if name in ("read_text", "write_text"):
        n_before = 0 if name == "read_text" else 1  # arguments before the encoding
        return isinstance(call.func, ast.Attribute) and len(call.args) <= n_before
    if name in ("run", "Popen") and isinstance(call.func, ast.Attribute):
        return any(keyword.arg == "text" for keyword in call.keywords)
    if not (name == "open" and isinstance(call.func, ast.Name)):
        return False
    modes = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mode")]
    return not any("b" in getattr(mode, "value", "b") for mode in modes)


def without_encoding(source):
    """Lines of a module's source that leave the encoding of text to the system."""
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    return [
        call.lineno
        for call in calls
        if opens_text(call) and not any(k.arg == "encoding" for k in call.keywords)
    ]


def test_text_has_an_encoding():
    """Windows writes it in that of the country: names of artists came out as others."""
    found = {
        str(path.relative_to(PACKAGE)): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := without_encoding(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_text_without_encoding_is_found():
    source = """open(a)
open(a, "rb")
open(a, "w")
open(a, encoding="utf-8")
path.read_text()
path.write_text(a, encoding="utf-8")
read_text(a)
subprocess.run(a, text=True)
"""
    assert without_encoding(source) == [1, 3, 5, 8]
