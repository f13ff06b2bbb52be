"""Fold lists of a MIREX task: training clips, test clips, and the truth.

A folder has, for every fold, ``NAME_train.txt`` (path TAB class; for tags, a line for
each pair) and ``NAME_evaluate.txt`` (the truth of the test clips, alike). Where there
is a ``NAME_test.txt`` (one path per line), its order is that of the test. Groups are
optional: ``NAME_train_groups.txt`` and ``NAME_evaluate_groups.txt`` (path TAB artist).
Without a name, ``train.txt`` and ``evaluate.txt`` are one fold.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from userlogfeat._typing import PathLike
from userlogfeat.evaluation.leaks import LeakReport, leak_report
from userlogfeat.mirex.lists import read_clips, read_labels, read_tags

TRAIN, TEST, TRUTH = "train.txt", "test.txt", "evaluate.txt"


@dataclass(frozen=True)
class Fold:
    """One fold.

    Attributes
    ----------
    name : str
    train : dict of str to str, or to set of str
        Class or tags of each training clip, by path as in the lists.
    truth : dict of str to str, or to set of str
        Class or tags of each test clip, in the order of the test.
    groups : dict of str to str or None
        Artist of each clip, of training and test.
    """

    name: str
    train: dict
    truth: dict
    groups: dict | None

    def leaks(self) -> LeakReport:
        """Report the tracks, and with groups the artists, of both training and test.

        Returns
        -------
        LeakReport
        """
        clips = [*self.train, *self.truth]
        n = len(self.train)
        artists = None
        if self.groups is not None:
            artists = [self.groups.get(clip, "") for clip in clips]
        tracks, test = list(map(os.path.normpath, clips)), range(n, len(clips))
        return leak_report(range(n), test, tracks=tracks, artists=artists)


def read_folds(folder: PathLike, *, tags: bool = False) -> list[Fold]:
    """Read all folds of a folder, in the order of their names (f2 before f10).

    Parameters
    ----------
    folder : str or Path
    tags : bool
        Whether clips may have several labels.

    Returns
    -------
    list of Fold

    Raises
    ------
    FileNotFoundError
        Where there are none, or a truth is missing.
    ValueError
        Where lists do not fit together.
    """
    folder = Path(folder)
    lists = sorted(folder.glob(f"*_{TRAIN}"), key=_natural)
    lists += [folder / TRAIN] if (folder / TRAIN).is_file() else []
    if not lists:
        raise FileNotFoundError(
            f"There is no fold in {folder}, expected f1_train.txt, f1_evaluate.txt, "
            "and so on, or train.txt and evaluate.txt."
        )
    return [_read_fold(path, tags) for path in lists]


def _read_fold(path, tags):
    prefix = str(path)[: -len(TRAIN)]
    if not os.path.isfile(prefix + TRUTH):
        raise FileNotFoundError(
            f"There is {path}, but no {prefix}{TRUTH}, which has the classes of the "
            "test clips."
        )
    read = read_tags if tags else read_labels
    train, truth = read(path), read(prefix + TRUTH)
    if os.path.isfile(prefix + TEST):
        order = list(dict.fromkeys(read_clips(prefix + TEST)))
        odd = sorted(set(order) ^ set(truth))
        if odd:
            raise ValueError(
                f"{prefix}{TEST} and {prefix}{TRUTH} differ in {len(odd)} clips, such "
                f"as {odd[0]!r}, expected the same ones."
            )
        truth = {clip: truth[clip] for clip in order}
    name = os.path.basename(prefix).rstrip("_") or "fold"
    return Fold(name, train, truth, _read_groups(prefix))


def _read_groups(prefix):
    """Artist of each clip, of the lists that are there; None where none is."""
    groups = {}
    for part in ("train", "evaluate", "test"):
        path = f"{prefix}{part}_groups.txt"
        if os.path.isfile(path):
            groups |= read_labels(path)
    return groups or None


def _natural(path):
    """f2 before f10."""
    return [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", path.name)]
