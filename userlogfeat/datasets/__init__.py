"""Published data sets, a file each, and corpora with known truth.

A set's file has its citation, licence, layout and splits, and ``read_...``, which is a
name of this package: ``from userlogfeat.datasets import read_gtzan``. ``DATASETS`` has
them all. None is downloaded here.

================  ====================================================================
registry          ``register_dataset``, ``DATASETS``
labelled_clips    ``LabelledClips``: paths, labels, groups and splits
folders           finding a set in a folder; ``genre_folders`` reads a folder a genre
synthetic         ``make_listening_corpus``: logs and audio whose truth is known;
                  ``synthesis`` makes its sounds
================  ====================================================================

All other files are a set each.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from userlogfeat.datasets.labelled_clips import LabelledClips
from userlogfeat.datasets.registry import DATASETS, list_datasets, register_dataset
from userlogfeat.datasets.synthetic import make_listening_corpus

__all__ = [
    "DATASETS",
    "LabelledClips",
    "list_datasets",
    "make_listening_corpus",
    "register_dataset",
]

for _module in iter_modules(__path__):  # each file of a set registers its reader
    import_module(f"{__name__}.{_module.name}")


def _readers():
    return {one.function.__name__: one.function for one in DATASETS.values()}


def __getattr__(name: str) -> Any:
    if name.startswith("__") or name not in _readers():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _readers()[name]


def __dir__() -> list[str]:
    return sorted([*__all__, *_readers()])
