"""What the two outputs of a tag submission are worth: 0|1 answers, and affinities.

Precision, recall and F of each tag are of its 0|1 answers; the area under the ROC curve
is of the affinities, for each tag over clips and for each clip over tags. Files may be
sparse, as MIREX's calling formats have it: a pair of clip and tag that is not listed
has affinity 0 and is not relevant, and a line of the 0|1 file without a value is
relevant.

A pair whose lines cannot be read, or contradict each other, is not relevant and is
ranked where that is worst. So are all pairs of a run that failed or wrote no
affinities: it scores 0 throughout, not the 0.5 of equal affinities. Tags that no test
clip has are not scored, nor the ranking of clips with all tags or none.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from userlogfeat._typing import PathLike
from userlogfeat.evaluation.recommendation_metrics import auc
from userlogfeat.mirex.lists import read_lines

MEASURES = ("precision", "recall", "f", "auc")
_AFFINITIES, _ANSWERS = "affinities", "0|1 answers"
_FORMS = {_AFFINITIES: "affinity", _ANSWERS: "0|1"}
_RELEVANCE = {"0": 0, "1": 1, "": 1}


@dataclass(frozen=True)
class TagAnswers:
    """Answers to the clips of a fold.

    Attributes
    ----------
    tags : list of str (n_tags,)
    given : ndarray (n_clips, n_tags), bool
        Whether a clip was given a tag.
    affinities : ndarray (n_clips, n_tags)
        NaN where there is none, which is ranked where that is worst.
    faults : list of str
        What the report says of the output files: faults, and the number of pairs that
        are not listed; empty where there is nothing to say.
    """

    tags: list
    given: np.ndarray
    affinities: np.ndarray
    faults: list


def no_tag_answers(clips: list[str], tags: list[str], fault: str) -> TagAnswers:
    """Answers of a run that gave none.

    Parameters
    ----------
    clips, tags : list of str
    fault : str
        Why.

    Returns
    -------
    TagAnswers
    """
    shape = (len(clips), len(tags))
    return TagAnswers(tags, np.zeros(shape, bool), np.full(shape, np.nan), [fault])


def read_tag_answers(
    affinity_path: PathLike, binary_path: PathLike, clips: list[str], tags: list[str]
) -> TagAnswers:
    """Read both output files as they should be, and note where they are not.

    Parameters
    ----------
    affinity_path, binary_path : str or Path
        ``path TAB tag TAB affinity``, and ``path TAB tag TAB 0|1``, of which the value
        may be left out: 1. Pairs that are not listed have affinity 0, and 0.
    clips, tags : list of str
        What is asked for.

    Returns
    -------
    TagAnswers
    """
    affinities, faults = _read(affinity_path, clips, tags, _number, _AFFINITIES)
    given, more = _read(binary_path, clips, tags, _RELEVANCE.get, _ANSWERS)
    return TagAnswers(tags, given == 1, affinities, [*faults, *more])


def _read(path, clips, tags, parse, words):
    """Read values of pairs, NaN where lines cannot be read or differ, and faults."""
    values = np.full((len(clips), len(tags)), np.nan)
    if not Path(path).is_file():
        return values, [f"there is no file of {words}"]
    try:
        lines = read_lines(path)
    except ValueError as error:
        return values, [str(error)]
    rows = {clip: row for row, clip in enumerate(clips)}
    columns = {tag: column for column, tag in enumerate(tags)}
    found, several, unread, faulty, strange = {}, set(), set(), 0, 0
    for _, clip, rest in lines:
        tag, text, *more = *(cell.strip() for cell in rest), "", ""
        value = None if any(more) or not tag else parse(text)
        pair = (rows.get(clip), columns.get(tag))
        faulty += value is None
        strange += value is not None and None in pair
        if None in pair:
            continue
        if value is None:
            unread.add(pair)
        elif found.setdefault(pair, value) != value:
            several.add(pair)
    values[:] = 0  # of pairs that are not listed
    for pair in unread | found.keys():
        values[pair] = np.nan if pair in several else found.get(pair, np.nan)
    n_unlisted = values.size - len(unread | found.keys())
    counts = {
        f"lines are not path TAB tag TAB {_FORMS[words]}": faulty,
        "lines are of clips or tags that were not asked for": strange,
        "pairs have two different values, which count as none": len(several),
        f"of {values.size} pairs are not listed and count as 0": n_unlisted,
    }
    return values, [f"{words}: {n} {text}" for text, n in counts.items() if n]


def _number(text):
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def tag_measures(truth: np.ndarray, answers: TagAnswers) -> dict[str, np.ndarray]:
    """Measures of each tag.

    Parameters
    ----------
    truth : ndarray (n_clips, n_tags), bool
    answers : TagAnswers

    Returns
    -------
    dict of str to ndarray (n_tags,)
        `n_relevant`, `n_given` and `n_correct` clips; `precision` (0 where none is
        given), `recall`, `f` and `auc`, NaN of tags that no clip has; `auc` also of
        those that all have.

    Examples
    --------
    >>> truth = np.array([[1, 0], [1, 1], [0, 0]], bool)
    >>> given = np.array([[1, 0], [0, 1], [1, 1]], bool)
    >>> affinities = np.array([[0.9, 0.2], [0.4, 0.9], [0.6, 0.8]])
    >>> found = tag_measures(truth, TagAnswers(["a", "b"], given, affinities, []))
    >>> {name: found[name].round(2).tolist() for name in MEASURES}
    {'precision': [0.5, 0.5], 'recall': [0.5, 1.0], 'f': [0.5, 0.67], 'auc': [0.5, 1.0]}
    """
    n_relevant, n_given = truth.sum(axis=0), answers.given.sum(axis=0)
    n_correct = (truth & answers.given).sum(axis=0)
    relevant = np.where(n_relevant, n_relevant, np.nan)
    return {
        "n_relevant": n_relevant,
        "n_given": n_given,
        "n_correct": n_correct,
        "precision": n_correct / np.maximum(n_given, 1) * (relevant / relevant),
        "recall": n_correct / relevant,
        "f": 2 * n_correct / (n_given + relevant),
        "auc": _aucs(truth.T, answers.affinities.T),
    }


def clip_aucs(truth: np.ndarray, answers: TagAnswers) -> np.ndarray:
    """Area under the ROC curve of each clip, over its tags: (n_clips,).

    Parameters
    ----------
    truth : ndarray (n_clips, n_tags), bool
    answers : TagAnswers
    """
    return _aucs(truth, answers.affinities)


def _aucs(truth, affinities):
    """Of each row; what has no affinity is on the wrong side of all others."""
    scores = np.where(
        np.isnan(affinities), np.where(truth, -np.inf, np.inf), affinities
    )
    rows = zip(truth, scores, strict=True)
    return np.array([auc(np.sort(row), row[wanted]) for wanted, row in rows])
