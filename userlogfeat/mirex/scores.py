"""What the output of a submission is worth: one answer a test clip, or none.

A clip without an answer, with two different ones, or with a class that is not in the
training list, is wrong. So is every clip of a run that failed or was over the time
limit, whatever it wrote: its accuracy is 0, and its status says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from userlogfeat._typing import PathLike
from userlogfeat.mirex.lists import read_lines

NO_ANSWER, SEVERAL = "(none)", "(several)"


@dataclass(frozen=True)
class Answers:
    """Answers to the clips of a fold.

    Attributes
    ----------
    labels : list of str
        One a test clip; ``"(none)"`` where there is none, ``"(several)"`` where there
        are two different ones.
    faults : list of str
        What is wrong with the output file, in words; empty where nothing is.
    """

    labels: list
    faults: list


def read_answers(path: PathLike, clips: list[str], classes: set[str]) -> Answers:
    """Read an output file as it should be, and note where it is not.

    Parameters
    ----------
    path : str or Path
    clips : list of str
        Of the test list, in its order.
    classes : set of str
        Of the training list.

    Returns
    -------
    Answers
    """
    if not Path(path).is_file():
        return no_answers(clips, "there is no output file")
    try:
        lines = read_lines(path)
    except ValueError as error:
        return no_answers(clips, str(error))
    found, written = {}, [clip for _, clip, _ in lines]
    for _, clip, rest in lines:
        label = rest[0].strip() if rest else ""
        found[clip] = label if found.get(clip, label) == label else SEVERAL
    labels = [found.get(clip, NO_ANSWER) or NO_ANSWER for clip in clips]
    missing, several = labels.count(NO_ANSWER), labels.count(SEVERAL)
    unknown = set(labels) - classes - {NO_ANSWER, SEVERAL}
    strange = len(set(written) - set(clips))
    faults = []
    if missing:
        faults.append(f"{missing} of {len(clips)} clips have no answer")
    if several:
        faults.append(
            f"{several} of {len(clips)} clips have different answers, which is wrong"
        )
    if strange:
        faults.append(f"{strange} lines are of clips that were not asked for")
    if unknown:
        faults.append(f"classes that were not taught: {', '.join(sorted(unknown))}")
    if not missing and not strange and not several and written != clips:
        faults.append("lines are repeated or in another order than the test list")
    return Answers(labels, faults)


def no_answers(clips: list[str], fault: str) -> Answers:
    """Answers of a run that gave none.

    Parameters
    ----------
    clips : list of str
    fault : str
        Why.

    Returns
    -------
    Answers
    """
    return Answers([NO_ANSWER] * len(clips), [fault])


def class_accuracies(
    truth: Sequence[str], labels: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Clips and right answers of every class, in the order of names.

    Parameters
    ----------
    truth, labels : sequence of str (n_clips,)

    Returns
    -------
    dict of str to (int, int)
        Number of clips, and of right answers.

    Examples
    --------
    >>> class_accuracies(["pop", "pop", "rock"], ["pop", "rock", "rock"])
    {'pop': (2, 1), 'rock': (1, 1)}
    """
    truth, labels = np.asarray(truth, dtype=object), np.asarray(labels, dtype=object)
    return {
        str(name): (
            int((truth == name).sum()),
            int((labels[truth == name] == name).sum()),
        )
        for name in sorted(set(truth.tolist()))
    }


def confusion(
    truth: Sequence[str], labels: Sequence[str]
) -> dict[tuple[str, str], int]:
    """How often each class was given each answer.

    Parameters
    ----------
    truth, labels : sequence of str (n_clips,)

    Returns
    -------
    dict of (str, str) to int
        By true class and answer, for pairs that occur, sorted.

    Examples
    --------
    >>> confusion(["pop", "pop", "rock"], ["pop", "rock", "rock"])
    {('pop', 'pop'): 1, ('pop', 'rock'): 1, ('rock', 'rock'): 1}
    """
    counts = {}
    for pair in zip(truth, labels, strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    return dict(sorted(counts.items()))
