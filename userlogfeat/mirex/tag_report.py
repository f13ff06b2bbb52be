"""Tables of an evaluation of tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from userlogfeat.evaluation.intervals import mean_interval
from userlogfeat.mirex.report_parts import artists_of, differences_table
from userlogfeat.mirex.tag_results import MEAN
from userlogfeat.mirex.tag_scores import MEASURES

if TYPE_CHECKING:
    from userlogfeat.mirex.tag_results import TagEvaluation


_HEADS = ["precision", "recall", "F", "AUC"]
_NOTES = [
    "Precision, recall and F of the 0|1 answers, and the area under the ROC curve "
    "(AUC) of the affinities, are means over tags, then over folds. Tags that no test "
    "clip of a fold has are not scored there.",
    "A pair of clip and tag that is not listed has affinity 0 and is not relevant. One "
    "whose lines cannot be read or differ is ranked where that is worst, and so are "
    "all pairs of a run that failed or was over the time limit, whatever it wrote.",
]


def tag_sections(
    evaluation: TagEvaluation,
) -> list[tuple[str, list[str], list[list[str]], list[str]]]:
    """Tables that only tags have.

    Parameters
    ----------
    evaluation : TagEvaluation

    Returns
    -------
    As `report_sections`.
    """
    names, frame = list(evaluation.extractions), evaluation.to_frame()
    means = {name: _means_of_tags(frame, name) for name in names}
    sections = [_overall(evaluation, frame), _by_fold(evaluation, frame)]
    if len(names) > 1:
        for measure, words in (("auc", "AUC"), ("f", "F")):
            scores = np.array(
                [[row[measure] for row in means[n].values()] for n in names]
            )
            scores = scores[:, ~np.isnan(scores).any(axis=0)].T
            if len(scores):
                table = differences_table(names, scores, measure=words, cases="tags")
                sections.insert(-1, (f"Differences of {words}", *table[1:]))
    return [*sections, _by_tag(names, means)]


def _overall(evaluation, frame):
    rows = []
    for name in evaluation.extractions:
        results = evaluation.of(name)
        own = frame.filter(submission=name, tag=MEAN)
        n_ok = sum(result.status == "ok" for result in results)
        rows.append(
            [
                name,
                *(_text(_mean(own[measure])) for measure in MEASURES),
                *_interval(results),
                str(own["n_clips"].sum()),
                f"{n_ok} of {len(results)}",
            ]
        )
    columns = ["submission", *_HEADS, "AUC of clips", "95 %", "clips", "folds ok"]
    drawn = "clips" if artists_of(evaluation.results) is None else "artists"
    return "Tags", columns, rows, [*_NOTES, f"Intervals are over {drawn}."]


def _interval(results):
    """Mean over clips of the area of each, and its interval, in words."""
    values = np.concatenate([result.clip_aucs for result in results])
    known, artists = ~np.isnan(values), artists_of(results)
    if not known.any():
        return ["-", "-"]
    if artists is not None:
        artists = [a for a, ok in zip(artists, known, strict=True) if ok]
    found = mean_interval(values[known], groups=artists, bounds=(0, 1))
    return [_text(found.mean), f"{_text(found.low)} to {_text(found.high)}"]


def _by_fold(evaluation, frame):
    means = frame.filter(tag=MEAN).to_dicts()
    rows = [
        [
            result.submission,
            result.fold.name,
            *(_text(row[measure]) for measure in (*MEASURES, "clip_auc")),
            str(len(result.fold.train)),
            str(len(result.fold.truth)),
            "; ".join([result.status, *result.answers.faults]),
        ]
        for result, row in zip(evaluation.results, means, strict=True)
    ]
    columns = ["submission", "fold", *_HEADS, "AUC of clips", "training clips"]
    return (
        "Folds",
        [*columns, "test clips", "status"],
        rows,
        _untaught(evaluation.folds),
    )


def _untaught(folds):
    """Notes of tags that only the truth has."""
    notes = []
    for fold in folds:
        tested = set().union(*fold.truth.values())
        odd = sorted(tested - set().union(*fold.train.values()))
        if odd:
            notes.append(f"Not taught in {fold.name}, so not scored: {', '.join(odd)}.")
    return notes


def _by_tag(names, means):
    rows = [
        [
            tag,
            str(first["n_relevant"]),
            *(_text(means[n][tag][m]) for n in names for m in MEASURES),
        ]
        for tag, first in means[names[0]].items()
    ]
    heads = [f"{name}: {head}" for name in names for head in _HEADS]
    return "By tag", ["tag", "clips", *heads], rows, []


def _means_of_tags(frame, name):
    """Of each tag, its clips, and means over folds of its measures."""
    rows = frame.filter((frame["submission"] == name) & (frame["tag"] != MEAN))
    found = {}
    for (tag,), own in sorted(rows.group_by("tag"), key=lambda pair: pair[0]):
        means = {measure: _mean(own[measure]) for measure in MEASURES}
        found[tag] = {"n_relevant": own["n_relevant"].sum(), **means}
    return found


def _mean(values):
    """Of what could be scored; NaN where nothing could."""
    mean = values.mean()
    return float("nan") if mean is None else mean


def _text(value):
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"
