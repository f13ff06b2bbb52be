"""An evaluation as a page, as text and as tables for further work.

Means over all folds have a 95 % interval, over test clips or, where groups are known,
over artists with all their clips.
"""

from typing import Any

import numpy as np
import polars as pl

from userlogfeat._files import make_folder, replace_file
from userlogfeat._typing import PathLike
from userlogfeat.evaluation.friedman import friedman_test
from userlogfeat.evaluation.intervals import mean_interval
from userlogfeat.mirex.answers import NO_ANSWER, SEVERAL, printable
from userlogfeat.mirex.black_box import mib_text
from userlogfeat.mirex.scores import ALL, MEAN, MEASURES, Evaluation
from userlogfeat.report.page import Pictures, Section, Table, render_page
from userlogfeat.report.plots import draw_plots

TITLE = "MIREX train/test evaluation"
_HEADS = ("precision", "recall", "F", "AUC")
_CLASS_NOTES = [
    "A clip without an answer, or with two, is wrong, and so are all clips of a run "
    "that failed or was over the time limit.",
    "Time is wall time; memory is the peak of all processes of a script together.",
]
_TAG_NOTES = [
    "Precision, recall and F of the 0|1 answers, and the area under the ROC curve "
    "(AUC) of the affinities, are means over tags, then over folds. Tags that no test "
    "clip of a fold has are not scored there.",
    "A pair of clip and tag that is not listed has affinity 0 and is not relevant. One "
    "whose lines cannot be read or differ is ranked where that is worst, and so are "
    "all pairs of a run that failed or was over the time limit, whatever it wrote.",
]


def write_report(evaluation: Evaluation, folder: PathLike) -> None:
    """Write results.csv and the other tables, report.txt and report.html.

    Parameters
    ----------
    evaluation : Evaluation
    folder : str or Path
        Made where it is missing.
    """
    folder = make_folder(folder, "a report")
    sections = report_sections(evaluation)
    pictures = draw_plots("mirex", evaluation)
    figures = [Section("Figures", [Pictures(pictures)])] if pictures else []
    footer = "Made by userlogfeat mirex evaluate."
    texts = {name: frame.write_csv() for name, frame in evaluation.frames.items()}
    texts["report.txt"] = _as_text(sections)
    texts["report.html"] = render_page(TITLE, [*figures, *sections], footer)
    for name, text in texts.items():
        with replace_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def report_sections(evaluation: Evaluation) -> list[Section]:
    """Make the sections of the report, each a table and notes below it.

    Parameters
    ----------
    evaluation : Evaluation

    Returns
    -------
    list of Section
    """
    make = _tag_sections if evaluation.tags else _class_sections
    return [*make(evaluation), _costs(evaluation), _leaks(evaluation)]


def _class_sections(evaluation):
    frame = evaluation.to_frame()
    by_class = (
        frame.filter(pl.col("class") != ALL)
        .group_by("submission", "class", maintain_order=True)
        .agg(pl.sum("n_clips", "n_correct"))
        .with_columns(accuracy=pl.col("n_correct") / pl.col("n_clips"))
    )
    wide = by_class.pivot("submission", index=["class", "n_clips"], values="accuracy")
    wide = wide.sort("class")
    scores = wide.drop("class", "n_clips")
    rows = []
    for name in evaluation.extractions:
        own = evaluation.answers.filter(submission=name)
        interval = _interval(own["correct"].cast(float), evaluation.of(name))
        mean = scores[name].mean()
        rows.append([name, *interval, mean, len(own), _n_ok(evaluation, name)])
    head = ["submission", "accuracy", "95 %", "mean of classes", "clips", "folds ok"]
    notes = [*_CLASS_NOTES, _varied(evaluation)]
    folds = frame.filter(pl.col("class") == ALL).select("accuracy").rows()
    return [
        _section("Accuracy", head, rows, notes),
        *_differences("Differences", scores, measure="accuracy", cases="classes"),
        _folds(evaluation, ["accuracy"], folds),
        _section("Classes", ["class", "clips", *scores.columns], wide.rows()),
        *(_confusion(evaluation, name) for name in evaluation.extractions),
    ]


def _confusion(evaluation, name):
    counts = evaluation.confusion_frame().filter(submission=name)
    truths, given = counts["truth"].unique().sort(), set(counts["answer"])
    last = [answer for answer in (SEVERAL, NO_ANSWER) if answer in given]
    answers = sorted({*truths, *given} - set(last)) + last
    n_clips = {(truth, answer): n for _, truth, answer, n in counts.rows()}
    rows = [[truth, *(n_clips.get((truth, a), 0) for a in answers)] for truth in truths]
    return _section(f"Confusion of {name}", ["truth, given", *answers], rows)


def _tag_sections(evaluation):
    frame, names = evaluation.to_frame(), list(evaluation.extractions)
    fold_means = frame.filter(tag=MEAN)
    clips = evaluation.clips_frame()
    rows = []
    for name in names:
        own = fold_means.filter(submission=name)
        means = own.select(pl.mean(*MEASURES)).row(0)
        aucs = clips.filter(submission=name)["auc"]
        interval = _interval(aucs, evaluation.of(name))
        n_clips = own["n_clips"].sum()
        rows.append([name, *means, *interval, n_clips, _n_ok(evaluation, name)])
    head = ["submission", *_HEADS, "AUC of clips", "95 %", "clips", "folds ok"]
    by_tag = (
        frame.filter(pl.col("tag") != MEAN)
        .group_by("submission", "tag")
        .agg(pl.sum("n_relevant"), pl.mean(*MEASURES))
    )
    wide = by_tag.pivot("submission", index=["tag", "n_relevant"], values=MEASURES)
    wide = wide.sort("tag")
    differences = []
    for measure, words in (("auc", "AUC"), ("f", "F")):
        scores = wide.select(pl.col(f"{measure}_{n}").alias(n) for n in names)
        heading = f"Differences of {words}"
        differences += _differences(heading, scores, measure=words, cases="tags")
    columns = [f"{measure}_{name}" for name in names for measure in MEASURES]
    heads = [f"{name}: {head}" for name in names for head in _HEADS]
    by_tag = wide.select("tag", "n_relevant", *columns)
    scores = fold_means.select(*MEASURES, "clip_auc").rows()
    return [
        _section("Tags", head, rows, [*_TAG_NOTES, _varied(evaluation)]),
        *differences,
        _folds(evaluation, [*_HEADS, "AUC of clips"], scores, _not_trained(evaluation)),
        _section("By tag", ["tag", "clips", *heads], by_tag.rows()),
    ]


def _not_trained(evaluation):
    """Notes on tags that only the truth has."""
    notes = []
    for fold in evaluation.folds:
        odd = set().union(*fold.truth.values()) - set().union(*fold.train.values())
        if odd:
            names = ", ".join(printable(sorted(odd)))
            notes.append(f"Not trained in {fold.name}, so not scored: {names}.")
    return notes


def _interval(values, results):
    """Mean of a score from 0 to 1 over clips, and its interval in words."""
    known, groups = values.is_not_null().to_numpy(), None
    if not known.any():
        return [None, None]
    if all(result.artists is not None for result in results):
        groups = np.concatenate([result.artists for result in results])[known]
    found = mean_interval(values.to_numpy()[known], groups=groups, bounds=(0, 1))
    return [found.mean, f"{found.low:.3f} to {found.high:.3f}"]


def _varied(evaluation):
    known = all(fold.groups is not None for fold in evaluation.folds)
    return f"Intervals are over {'artists' if known else 'clips'}."


def _n_ok(evaluation, name):
    results = evaluation.of(name)
    return f"{sum(r.status == 'ok' for r in results)} of {len(results)}"


def _folds(evaluation, heads, scores, notes=()):
    """Section of every fold's scores, number of clips, status and faults."""
    rows = []
    for result, own in zip(evaluation.results, scores, strict=True):
        fold, status = result.fold, "; ".join([result.status, *result.answers.faults])
        sizes = len(fold.train), len(fold.truth)
        rows.append([result.submission, fold.name, *own, *sizes, status])
    head = ["submission", "fold", *heads, "training clips", "test clips", "status"]
    return _section("Folds", head, rows, notes)


def _differences(heading, scores, *, measure, cases):
    """Friedman's test on scores (cases x submissions), and all pairs of submissions."""
    scores, names = scores.drop_nulls(), scores.columns
    if len(names) < 2 or not len(scores):
        return []
    values = scores.to_numpy()
    test = friedman_test(values)
    rows = []
    for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
        change = f"{np.mean(values[:, i] - values[:, j]):+.3f}"
        ranks = f"{test.mean_ranks[i] - test.mean_ranks[j]:+.2f}"
        p = f"{test.p_values[i, j]:.3g}"
        rows.append([f"{names[i]} - {names[j]}", change, ranks, p])
    note = (
        f"Friedman's test on the {measure} of {len(scores)} {cases}: chi-squared "
        f"{test.statistic:.2f}, p = {test.p_value:.3g}; pairs by the studentised range "
        "of mean ranks (Tukey, Nemenyi), which is corrected for the number of pairs."
    )
    return [_section(heading, ["submissions", measure, "mean rank", "p"], rows, [note])]


def _costs(evaluation):
    rows = [
        [*where, f"{seconds:.1f}", f"{cpu:.1f}", mib_text(peak)]
        for *where, _, seconds, cpu, peak in evaluation.runs_frame().rows()
    ]
    notes = [
        f"Scratch folder of {name}: {size / 2**20:.2f} MiB."
        for name, size in evaluation.scratch_bytes.items()
    ]
    notes += [
        f"The scratch folder of {name} held {size / 2**20:.2f} MiB of an earlier "
        "evaluation: the costs here are less than all."
        for name, size in evaluation.found_bytes.items()
        if size
    ]
    head = ["submission", "fold", "script", "status", "s", "processor s", "memory"]
    return _section("Time and memory", head, rows, notes)


def _leaks(evaluation):
    rows, notes = [], []
    for fold in evaluation.folds:
        rows += [
            [fold.name, leak.kind, leak.n_shared, str(leak)]
            for leak in fold.leaks().leaks
            if leak.kind != "artist" or fold.groups is not None
        ]
    if any(fold.groups is None for fold in evaluation.folds):
        notes.append("Artists were not compared: there are no groups files.")
    head = ["fold", "kind", "shared", ""]
    return _section("Overlap of training and test", head, rows, notes)


def _section(heading: str, head: list[str], rows: Any, notes: Any = ()) -> Section:
    """Make a section of one table, its entries as text, and notes."""
    table = Table(head, [[_text(v) for v in row] for row in rows], numbers=True)
    return Section(heading, [table, *notes])


def _text(value):
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _as_text(sections):
    """Write the sections as text, the columns of tables below each other."""
    lines = [TITLE, "=" * len(TITLE), ""]
    for section in sections:
        table, *notes = section.blocks
        rows = [table.header, *table.rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += [section.heading, "-" * len(section.heading)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append("  ".join(cells).rstrip())
        lines += [*notes, ""]
    return "\n".join(lines)
