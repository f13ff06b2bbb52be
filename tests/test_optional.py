"""Libraries that are missing, and those that are there and do not load."""

import sys
from importlib import metadata

import numpy as np
import pytest

from userlogfeat._optional import import_optional
from userlogfeat.recommendation import ItemIndex


def load(name="lame"):
    return import_optional(name, extra="plots", purpose="A plot")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a module `lame`, of a distribution `lame-cpu` 1.2, that has this code."""

    def write(code, name="lame"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text(code, encoding="utf-8")
        notes = tmp_path / f"{name}_cpu-1.2.dist-info"
        notes.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}-cpu\nVersion: 1.2\n"
        (notes / "METADATA").write_text(text, encoding="utf-8")
        (notes / "top_level.txt").write_text(name, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        if name == "lame":  # the true one takes a second
            names = {"lame": ["lame-cpu"]}
            monkeypatch.setattr(metadata, "packages_distributions", lambda: names)

    yield write
    sys.modules.pop("lame", None)


def test_a_library_that_loads(install):
    install("answer = 42")
    assert load().answer == 42


def test_a_library_that_is_not_installed():
    with pytest.raises(
        ImportError, match=r"not installed\. Install it with: pip install"
    ) as caught:
        load()
    assert str(caught.value).endswith("'userlogfeat[plots]'")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "raise OSError('liblame.so: undefined symbol: _ZN3c10')",
            "OSError: liblame.so: undefined symbol: _ZN3c10",
        ),
        ("from math import no_such_thing", "ImportError: cannot import name"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such"),
        ("import math; math.no_such_thing", "AttributeError: module 'math' has no"),
        (
            "raise RuntimeError('Numpy is\\n not available')",
            "RuntimeError: Numpy is not",
        ),
    ],
)
def test_a_library_that_does_not_load(install, code, said):
    """A raw OSError had come through, which says nothing of what does not fit."""
    install(code)
    with pytest.raises(
        ImportError, match="lame, which is installed but does not load"
    ) as caught:
        load()
    message = str(caught.value)
    assert said in message
    assert f"Versions: lame-cpu 1.2, numpy {np.__version__}, torch " in message
    assert f"torch {metadata.version('torch')}, Python 3." in message
    assert "pip install 'userlogfeat[plots]' --upgrade" in message
    assert isinstance(caught.value.__cause__, Exception)


def test_a_part_that_a_library_lacks(install):
    """As an old release may."""
    install("")
    with pytest.raises(
        ImportError, match=r"does not load .*No module named 'lame.part'"
    ):
        load("lame.part")


def test_interrupts_are_not_the_library_s(install):
    install("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load()


def test_faiss_that_does_not_load(install):
    """Through a call that needs it, and with what its distribution is called."""
    install("raise OSError('libfaiss.so: cannot open shared object file')", "faiss")
    with pytest.raises(
        ImportError,
        match=r'method="approximate"\) needs faiss.*cannot open shared.*faiss-cpu 1\.2',
    ):
        ItemIndex.build(np.ones((3, 2)), method="approximate")
    sys.modules.pop("faiss", None)
