"""Another data set, with its splits, is one file and its registration."""

import importlib.util
import sys

import pytest

import userlogfeat.datasets as datasets
from userlogfeat.datasets import DATASETS, list_datasets

FILE = '''"""Birds: three songs of two birds.

Citation: A. Author, "Birds", 1999.

Licence: CC0.

Splits: "by season", lists of the authors.
"""

import polars as pl

from userlogfeat.datasets import LabelledClips, register_dataset
from userlogfeat.datasets.folders import audio_by_name


def _by_season(items, lists, test):
    summer = (lists / "summer.txt").read_text().split()
    rows = [k for k, item in enumerate(items) if item in summer]
    return [([k for k in range(len(items)) if k not in rows], rows)]


@register_dataset("Birds")
def read_birds(folder):
    found = audio_by_name([folder])
    frame = pl.DataFrame(
        {
            "clip": list(found.values()),
            "item": list(found),
            "label": [name.split("_")[0] for name in found],
        }
    )
    return LabelledClips("Birds", frame, published_splits={"by season": _by_season})
'''


@pytest.fixture
def birds(tmp_path):
    """The module of the set, as of another package."""
    (tmp_path / "birds.py").write_text(FILE)
    spec = importlib.util.spec_from_file_location("birds", tmp_path / "birds.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["birds"] = module
    spec.loader.exec_module(module)
    yield tmp_path
    del DATASETS["Birds"], sys.modules["birds"]


def test_a_set_from_outside(birds):
    from userlogfeat.datasets import read_birds

    for name in ("owl_1.wav", "owl_2.wav", "wren_1.wav"):
        (birds / name).touch()
    (birds / "summer.txt").write_text("owl_2")
    clips = read_birds(birds)
    assert clips.y.tolist() == ["owl", "owl", "wren"]
    assert clips.split_names == ("by season",)
    ((train, test),) = clips.cv("by season", birds)
    assert (train, test) == ([0, 2], [1])
    assert "read_birds" in dir(datasets)
    assert DATASETS["Birds"].citation == 'A. Author, "Birds", 1999.'
    row = "| Birds | `read_birds` | three songs of two birds | "
    assert row in list_datasets()
    assert "| Birds | CC0. | A. Author" in list_datasets()


def test_a_set_that_is_not_described(birds):
    sys.modules["birds"].__doc__ = "Birds: songs."
    with pytest.raises(ValueError, match=r"birds, .* has no paragraph 'Citation: "):
        datasets.register_dataset("Other birds")(sys.modules["birds"].read_birds)


def test_ours_are_all_exported():
    for one in DATASETS.values():
        assert getattr(datasets, one.function.__name__) is one.function
    assert len(DATASETS) >= 9
    with pytest.raises(ImportError, match="cannot import name 'read_nothing'"):
        from userlogfeat.datasets import read_nothing  # noqa: F401
