"""README's examples run, and print what it says."""

import doctest
from pathlib import Path

import pytest

from userlogfeat.datasets.synthetic import make_listening_corpus

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.slow
def test_readme(tmp_path):
    made = make_listening_corpus(400, 200, folder=tmp_path / "corpus", random_state=0)
    failures, attempts = doctest.testfile(
        str(README),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        globs={
            "folder": tmp_path,
            "corpus": tmp_path / "corpus",
            "paths": made.audio,
            "labels": made.catalogue.labels,
        },
    )
    assert attempts > 20
    assert failures == 0
