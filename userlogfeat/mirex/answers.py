"""Read the outputs of a submission: answers to the clips of a fold, and their faults.

Classes: one answer a clip. A clip without an answer, with two different ones, or with
a class that is not in the training list, is wrong.

Tags: a file of 0|1 answers and one of affinities. Both may be sparse, as in MIREX's
calling formats: a pair of clip and tag that is not listed has affinity 0 and is not
relevant, and a line of the 0|1 file without a value is relevant. A pair whose lines
cannot be read, or contradict each other, is not relevant and has no affinity, which is
ranked where that is worst.

A run that failed or was over the time limit gave no answers, whatever it wrote.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from userlogfeat._typing import PathLike
from userlogfeat.mirex.lists import read_lines

NO_ANSWER, SEVERAL = "(none)", "(several)"
_RELEVANCE = {"0": 0.0, "1": 1.0, "": 1.0}


@dataclass(frozen=True)
class Answers:
    """Answers to the clips of a fold.

    Attributes
    ----------
    frame : polars.DataFrame
        Classes: a row for each clip, with `clip`, `class` (the truth), `answer` and
        `correct`. An answer is ``"(none)"`` or ``"(several)"`` where there is not one.
        Tags: a row for each pair, with `clip`, `tag`, `relevant` (the truth), `given`
        and `affinity`, null where there is none.
    faults : list of str
        Faults of the output files, and the number of pairs that are not listed.
    """

    frame: pl.DataFrame
    faults: list


def read_answers(
    path: PathLike,
    truth: dict[str, str],
    classes: set[str],
    *,
    listed: dict[str, str] | None = None,
) -> Answers:
    """Read an output file of classes.

    Parameters
    ----------
    path : str or Path
    truth : dict of str to str
        Class of each clip, in the order of the test list.
    classes : set of str
        Classes of the training list.
    listed : dict of str to str, optional
        Path of each clip in the test list, where it has another one there.

    Returns
    -------
    Answers
    """
    try:
        lines = _lines(path, "there is no output file")
    except ValueError as error:
        return no_answers(truth, str(error))
    asked = [(listed or {}).get(clip, clip) for clip in truth]
    found, written = {}, [clip for clip, _ in lines]
    for clip, rest in lines:
        label = rest[0] if rest else ""
        found[clip] = label if found.get(clip, label) == label else SEVERAL
    answers = [found.get(clip) or NO_ANSWER for clip in asked]
    n_strange = len(set(written) - set(asked))
    unknown = ", ".join(sorted(set(answers) - classes - {NO_ANSWER, SEVERAL}))
    of = f"of {len(truth)} clips have"
    counts = {
        f"{of} no answer": answers.count(NO_ANSWER),
        f"{of} different answers, which is wrong": answers.count(SEVERAL),
        "lines are of clips that were not asked for": n_strange,
    }
    faults = _counted(counts)
    if not faults and written != asked:
        faults.append("lines are repeated or in another order than the test list")
    if unknown:
        faults.append(f"classes that are not in the training list: {unknown}")
    return _class_answers(truth, answers, faults)


def no_answers(truth: dict[str, str], fault: str) -> Answers:
    """Make the answers of a run that gave none.

    Parameters
    ----------
    truth : dict of str to str
    fault : str
        Why there are none.

    Returns
    -------
    Answers
    """
    return _class_answers(truth, [NO_ANSWER] * len(truth), [fault])


def read_tag_answers(
    affinity_path: PathLike,
    binary_path: PathLike,
    truth: dict[str, set[str]],
    tags: list[str],
    *,
    listed: dict[str, str] | None = None,
) -> Answers:
    """Read both output files of tags.

    Parameters
    ----------
    affinity_path, binary_path : str or Path
        ``path TAB tag TAB affinity``, and ``path TAB tag TAB 0|1``, where the value 1
        may be left out.
    truth : dict of str to set of str
        Tags of each clip, in the order of the test list.
    tags : list of str
        Tags of the training list.
    listed : dict of str to str, optional
        Path of each clip in the test list, where it has another one there.

    Returns
    -------
    Answers
    """
    asked = [(listed or {}).get(clip, clip) for clip in truth]
    pairs = [(clip, tag) for clip in asked for tag in tags]
    affinities, faults = _values(affinity_path, pairs, _number, "affinity")
    given, more = _values(binary_path, pairs, _RELEVANCE.get, "0|1")
    return _tag_answers(truth, tags, given, affinities, [*faults, *more])


def no_tag_answers(truth: dict[str, set[str]], tags: list[str], fault: str) -> Answers:
    """Make the answers of a run that gave none.

    Parameters
    ----------
    truth : dict of str to set of str
    tags : list of str
    fault : str
        Why there are none.

    Returns
    -------
    Answers
    """
    nothing = [None] * len(truth) * len(tags)
    return _tag_answers(truth, tags, nothing, nothing, [fault])


def printable(names: Iterable[str]) -> list[str]:
    r"""Write names of files, or classes, that are not UTF-8 with backslashes.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> printable(["é", "caf\udce9"])
    ['é', 'caf\\udce9']
    """
    return [name.encode("utf-8", "backslashreplace").decode() for name in names]


def _class_answers(truth, answers, faults):
    columns = {
        "clip": printable(truth),
        "class": printable(truth.values()),
        "answer": printable(answers),
        "correct": [a == b for a, b in zip(truth.values(), answers, strict=True)],
    }
    return Answers(pl.DataFrame(columns), printable(faults))


def _tag_answers(truth, tags, given, affinities, faults):
    columns = {
        "clip": [clip for clip in printable(truth) for _ in tags],
        "tag": printable(tags) * len(truth),
        "relevant": [tag in own for own in truth.values() for tag in tags],
        "given": [value == 1 for value in given],
        "affinity": pl.Series(affinities, dtype=pl.Float64),
    }
    return Answers(pl.DataFrame(columns), printable(faults))


def _values(path, pairs, parse, value_name):
    """Read the values of pairs, None where lines cannot be read or differ; faults."""
    file = {"affinity": "affinities", "0|1": "0|1 answers"}[value_name]
    try:
        lines = _lines(path, f"there is no file of {file}")
    except ValueError as error:
        return [None] * len(pairs), [str(error)]
    values = dict.fromkeys(pairs, ())  # those found of each pair
    n_faulty = n_strange = 0
    for clip, rest in lines:
        tag, text, *more = *rest, "", ""
        value = None if any(more) or not tag else parse(text)
        pair = (clip, tag)
        n_faulty += value is None
        n_strange += value is not None and pair not in values
        if pair in values:
            values[pair] = {*values[pair], value}
    read = [set(found) - {None} for found in values.values()]
    n_unlisted = list(values.values()).count(())
    n_unclear = sum(len(v) > 1 for v in read)
    counts = {
        f"lines are not path TAB tag TAB {value_name}": n_faulty,
        "lines are of clips or tags that were not asked for": n_strange,
        "pairs have two different values, which count as none": n_unclear,
        f"of {len(pairs)} pairs are not listed and count as 0": n_unlisted,
    }
    result = {
        pair: 0.0 if found == () else known.pop() if len(known) == 1 else None
        for (pair, found), known in zip(values.items(), read, strict=True)
    }
    faults = [f"{file}: {fault}" for fault in _counted(counts)]
    return [result[pair] for pair in pairs], faults


def _lines(path, missing):
    """Read clip and further columns of every line."""
    if not Path(path).is_file():
        raise ValueError(missing)
    return [(clip, rest) for _, clip, rest in read_lines(path)]


def _counted(counts):
    """Words with their number, where it is not 0."""
    return [f"{n} {words}" for words, n in counts.items() if n]


def _number(text):
    """Return a finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
