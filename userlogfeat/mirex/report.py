"""An evaluation as a page, as text and as tables for further work.

Accuracies over all folds have a 95 % interval: the bootstrap over test clips or, where
groups are known, over artists with all their clips.
"""

from pathlib import Path

import numpy as np
import polars as pl

from userlogfeat._files import replace_file
from userlogfeat.evaluation.bootstrap import bootstrap_interval
from userlogfeat.evaluation.friedman import friedman_test
from userlogfeat.mirex.black_box import mib_text
from userlogfeat.mirex.scores import NO_ANSWER, SEVERAL
from userlogfeat.report import markup

TITLE = "MIREX train/test evaluation"
_NOTES = [
    "A clip without an answer, or with two, is wrong, and so are all clips of a run "
    "that failed or was over the time limit.",
    "Time is wall time; memory is the peak of all processes of a script together.",
]


def write_report(evaluation, folder):
    """Write results.csv, confusion.csv, runs.csv, report.txt and report.html.

    Parameters
    ----------
    evaluation : Evaluation
    folder : str or Path
        Made where it is missing.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    frames = {
        "results.csv": evaluation.to_frame(),
        "confusion.csv": evaluation.confusion_frame(),
        "runs.csv": evaluation.runs_frame(),
    }
    sections = report_sections(evaluation)
    texts = {name: frame.write_csv() for name, frame in frames.items()}
    texts["report.txt"] = _as_text(sections)
    texts["report.html"] = _as_page(sections)
    for name, text in texts.items():
        with replace_file(folder / name) as temporary:
            temporary.write_text(_printable(text), encoding="utf-8")


def report_sections(evaluation):
    """All tables of the report.

    Parameters
    ----------
    evaluation : Evaluation

    Returns
    -------
    list of (str, list of str, list of list of str, list of str)
        Heading, head and rows of the table, notes below it.
    """
    sections = [_overall(evaluation), _by_fold(evaluation), _by_class(evaluation)]
    sections += [_confusion(evaluation, name) for name in evaluation.extractions]
    sections += [_cost(evaluation), _leaks(evaluation)]
    if len(evaluation.extractions) > 1:
        sections.insert(1, _differences(evaluation))
    return sections


def _overall(evaluation):
    rows = []
    for name in evaluation.extractions:
        results = evaluation.of(name)
        correct = [right for result in results for right in result.correct]
        interval = bootstrap_interval(np.array(correct, float), groups=_groups(results))
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
    drawn = "artists" if _groups(evaluation.results) is not None else "clips"
    return "Accuracy", columns, rows, [*_NOTES, f"Intervals are over {drawn}."]


def _groups(results):
    """Artist of each tested clip, or None where a fold has no groups."""
    if any(result.fold.groups is None for result in results):
        return None
    return [r.fold.groups.get(clip, "") for r in results for clip in r.fold.truth]


def _class_means(evaluation, name):
    """Accuracy of each class over all folds, in the order of names."""
    frame = evaluation.to_frame().filter(submission=name)
    sums = _sum_over_folds(frame, "class").sort("class")
    return (sums["n_correct"] / sums["n_clips"]).to_numpy()


def _sum_over_folds(frame, *keys):
    """Clips and right answers of each class."""
    frame = frame.filter(frame["class"] != "(all)")
    return frame.group_by(*keys).agg(pl.col("n_clips", "n_correct").sum())


def _differences(evaluation):
    names = list(evaluation.extractions)
    scores = np.stack([_class_means(evaluation, name) for name in names], axis=1)
    test = friedman_test(scores)
    rows = [
        [
            f"{names[i]} - {names[j]}",
            f"{np.mean(scores[:, i] - scores[:, j]):+.3f}",
            f"{test.mean_ranks[i] - test.mean_ranks[j]:+.2f}",
            f"{test.p_values[i, j]:.3g}",
        ]
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    columns = ["submissions", "accuracy", "mean rank", "p"]
    note = (
        f"Friedman's test on the accuracies of {len(scores)} classes: chi-squared "
        f"{test.statistic:.2f}, p = {test.p_value:.3g}; pairs by the studentised range "
        "of mean ranks (Tukey, Nemenyi), which is corrected for the number of pairs."
    )
    return "Differences", columns, rows, [note]


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


def _cost(evaluation):
    rows = [
        [
            row["submission"],
            row["fold"],
            row["script"],
            row["status"],
            f"{row['seconds']:.1f}",
            f"{row['cpu_seconds']:.1f}",
            mib_text(row["peak_mib"]),
        ]
        for row in evaluation.runs_frame().to_dicts()
    ]
    notes = [
        f"Scratch folder of {name}: {size / 2**20:.2f} MiB."
        for name, size in evaluation.scratch_bytes.items()
    ]
    columns = ["submission", "fold", "script", "status", "s", "processor s", "memory"]
    return "Time and memory", columns, rows, notes


def _leaks(evaluation):
    rows = []
    for fold in evaluation.folds:
        report = fold.leaks()
        for leak in report.leaks:
            if leak.kind == "artist" and fold.groups is None:
                continue
            rows.append([fold.name, leak.kind, str(leak.n_shared), str(leak)])
    known = all(fold.groups is not None for fold in evaluation.folds)
    notes = [] if known else ["Artists were not compared: there are no groups files."]
    return "What train and test share", ["fold", "kind", "shared", ""], rows, notes


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


def _as_page(sections):
    parts = []
    for heading, header, rows, notes in sections:
        parts += [
            markup.heading(_printable(heading)),
            markup.table(header, rows, numbers=True),
            *(markup.paragraph(note) for note in notes),
        ]
    return markup.document(TITLE, parts, "Made by userlogfeat mirex evaluate.")


def _printable(text):
    """Names that are no UTF-8, as any page can show them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
