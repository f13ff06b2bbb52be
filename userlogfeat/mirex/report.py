"""An evaluation as a page, as text and as tables for further work.

Accuracies over all folds have a 95 % interval, over test clips or, where groups are
known, over artists with all their clips.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from userlogfeat._files import replace_file
from userlogfeat._typing import PathLike
from userlogfeat.evaluation.intervals import mean_interval
from userlogfeat.mirex.report_parts import (
    artists_of,
    cost_table,
    differences_table,
    leaks_table,
)
from userlogfeat.mirex.scores import NO_ANSWER, SEVERAL
from userlogfeat.mirex.tag_report import tag_sections
from userlogfeat.mirex.tag_results import TagEvaluation
from userlogfeat.report.page import Pictures, Section, Table, render_page
from userlogfeat.report.plots import draw_plots

if TYPE_CHECKING:
    from userlogfeat.mirex.results import Evaluation


TITLE = "MIREX train/test evaluation"
_NOTES = [
    "A clip without an answer, or with two, is wrong, and so are all clips of a run "
    "that failed or was over the time limit.",
    "Time is wall time; memory is the peak of all processes of a script together.",
]


def write_report(evaluation: Evaluation | TagEvaluation, folder: PathLike) -> None:
    """Write results.csv and the other tables, report.txt and report.html.

    Parameters
    ----------
    evaluation : Evaluation or TagEvaluation
    folder : str or Path
        Made where it is missing.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sections = report_sections(evaluation)
    texts = {name: frame.write_csv() for name, frame in evaluation.frames.items()}
    texts["report.txt"] = _as_text(sections)
    texts["report.html"] = _as_page(sections, draw_plots("mirex", evaluation))
    for name, text in texts.items():
        with replace_file(folder / name) as temporary:
            temporary.write_text(_printable(text), encoding="utf-8")


def report_sections(
    evaluation: Evaluation | TagEvaluation,
) -> list[tuple[str, list[str], list[list[str]], list[str]]]:
    """All tables of the report.

    Parameters
    ----------
    evaluation : Evaluation or TagEvaluation

    Returns
    -------
    list of (str, list of str, list of list of str, list of str)
        Heading, head and rows of the table, notes below it.
    """
    if isinstance(evaluation, TagEvaluation):
        sections = tag_sections(evaluation)
    else:
        sections = _class_sections(evaluation)
    return [*sections, cost_table(evaluation), leaks_table(evaluation)]


def _class_sections(evaluation):
    names = list(evaluation.extractions)
    sections = [_overall(evaluation), _by_fold(evaluation), _by_class(evaluation)]
    if len(names) > 1:
        scores = np.stack([_class_means(evaluation, name) for name in names], axis=1)
        table = differences_table(names, scores, measure="accuracy", cases="classes")
        sections.insert(1, table)
    return sections + [_confusion(evaluation, name) for name in names]


def _overall(evaluation):
    rows = []
    for name in evaluation.extractions:
        results = evaluation.of(name)
        correct = [right for result in results for right in result.correct]
        interval = mean_interval(np.array(correct, float), groups=artists_of(results))
        failed = [r for r in results if r.status != "ok"]
        rows.append(
            [
                name,
                f"{interval.mean:.3f}",
                f"{interval.low:.3f} to {interval.high:.3f}",
                f"{np.mean(_class_means(evaluation, name)):.3f}",
                str(len(correct)),
                f"{len(results) - len(failed)} of {len(results)}",
            ]
        )
    columns = ["submission", "accuracy", "95 %", "mean of classes", "clips", "folds ok"]
    drawn = "artists" if artists_of(evaluation.results) is not None else "clips"
    return "Accuracy", columns, rows, [*_NOTES, f"Intervals are over {drawn}."]


def _class_means(evaluation, name):
    """Accuracy of each class over all folds, in the order of names."""
    frame = evaluation.to_frame().filter(submission=name)
    sums = _sum_over_folds(frame, "class").sort("class")
    return (sums["n_correct"] / sums["n_clips"]).to_numpy()


def _sum_over_folds(frame, *keys):
    """Clips and right answers of each class."""
    frame = frame.filter(frame["class"] != "(all)")
    return frame.group_by(*keys).agg(pl.col("n_clips", "n_correct").sum())


def _by_fold(evaluation):
    rows = [
        [
            result.submission,
            result.fold.name,
            f"{result.accuracy:.3f}",
            str(len(result.fold.train)),
            str(len(result.fold.truth)),
            "; ".join([result.status, *result.answers.faults]),
        ]
        for result in evaluation.results
    ]
    columns = [
        "submission",
        "fold",
        "accuracy",
        "training clips",
        "test clips",
        "status",
    ]
    return "Folds", columns, rows, []


def _by_class(evaluation):
    names = list(evaluation.extractions)
    sums = _sum_over_folds(evaluation.to_frame(), "submission", "class")
    classes = sorted(set(sums["class"]))
    cells = {
        (row["submission"], row["class"]): row["n_correct"] / row["n_clips"]
        for row in sums.to_dicts()
    }
    counts = {
        row["class"]: row["n_clips"]
        for row in sums.filter(sums["submission"] == names[0]).to_dicts()
    }
    rows = [
        [label, str(counts[label]), *(f"{cells[name, label]:.3f}" for name in names)]
        for label in classes
    ]
    return "Classes", ["class", "clips", *names], rows, []


def _confusion(evaluation, name):
    frame = evaluation.confusion_frame().filter(submission=name)
    counts = {(r["truth"], r["answer"]): r["n_clips"] for r in frame.to_dicts()}
    truths = sorted(set(frame["truth"]))
    given, last = set(frame["answer"]), [SEVERAL, NO_ANSWER]
    answers = sorted({*truths, *given} - {*last})
    answers += [answer for answer in last if answer in given]
    rows = [
        [truth, *(str(counts.get((truth, answer), 0)) for answer in answers)]
        for truth in truths
    ]
    return f"Confusion of {name}", ["truth, given", *answers], rows, []


def _as_text(sections):
    lines = [TITLE, "=" * len(TITLE), ""]
    for heading, header, rows, notes in sections:
        widths = [
            max(len(row[i]) for row in [header, *rows]) for i in range(len(header))
        ]
        lines += [heading, "-" * len(heading)]
        for row in [header, *rows]:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append("  ".join(cells).rstrip())
        lines += [*notes, ""]
    return "\n".join(lines)


def _as_page(sections, pictures):
    figures = [Section("Figures", [Pictures(pictures)])] if pictures else []
    tables = [
        Section(_printable(heading), [Table(header, rows, numbers=True), *notes])
        for heading, header, rows, notes in sections
    ]
    footer = "Made by userlogfeat mirex evaluate."
    return render_page(TITLE, [*figures, *tables], footer)


def _printable(text):
    """Names that are no UTF-8, as any page can show them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
