"""The report of a comparison as one HTML file: ``write_html``.

It has what a reader needs to judge a claim: the arms in words, sentences that follow
the intervals, every number behind them, the controls, the leaks, the settings chosen by
the search and the versions of the libraries.
"""

import datetime
import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import polars as pl

from userlogfeat._typing import PathLike
from userlogfeat.comparison.arms import ARMS
from userlogfeat.evaluation.leaks import LeakReport
from userlogfeat.report import tables
from userlogfeat.report.findings import count_settings, sentences
from userlogfeat.report.frames import contrasts, make_results, setting_text
from userlogfeat.report.page import Lines, Pictures, Section, Table, write_page
from userlogfeat.report.plots import draw_plots

LIBRARIES = (
    "userlogfeat numpy scipy scikit-learn torch implicit polars matplotlib"
).split()
MAX_SETTINGS = 6  # if there are more, only kd is described in each of them
_HOW_TO_READ = (
    "Brackets hold 95 % intervals. An arm is called above or below another where the "
    "interval of their difference leaves out zero and its p value, corrected after "
    "Holm for the number of comparisons, is below 0.05; “not distinguishable” does not "
    "mean equal."
)
# Columns of compare's frame that count leaks, in words.
_LEAKS = {
    "n_shared_train": "artists of the test clips are in the training part",
    "n_shared_teacher": "artists of the test clips are in the teacher's training data",
}


def write_html(
    frame: pl.DataFrame,
    path: PathLike,
    *,
    title: str = "Knowledge transfer: a comparison",
    summary: pl.DataFrame | None = None,
    leaks: LeakReport | pl.DataFrame | Mapping | str | list[str] | None = None,
    notes: str | Sequence[str] = (),
    metric: str | None = None,
) -> Path:
    """Write a report of a comparison.

    Parameters
    ----------
    frame : polars.DataFrame
        Frame of :func:`userlogfeat.comparison.compare`, or of
        :func:`userlogfeat.comparison.summarise`. A summary lacks the chosen settings
        and the times, and the page says so.
    path : str or Path
        The file to write; an existing one is replaced. Its folder must exist.
    title : str
        Heading of the page.
    summary : polars.DataFrame, optional
        Result of `summarise` with settings of your own. By default `frame` is
        summarised.
    leaks : LeakReport, polars.DataFrame, mapping, str or list of str, optional
        Overlap of teacher, training and test clips: a report of
        :func:`userlogfeat.evaluation.leaks.leak_report`, or words of your own. A
        mapping may hold one report per fold.
    notes : str or list of str
        Paragraphs to add: data, licence, what was changed.
    metric : str, optional
        Name of the metric, where the frame has several; name of the score, where the
        frame does not name it.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    TypeError, ValueError
        If the frame is not one of a comparison, has one arm or scores that are NaN.
    FileNotFoundError
        If the folder of `path` is missing.
    ImportError
        If matplotlib is missing.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(path.parent)!r} for the report. Make it first."
        )
    results = make_results(frame, metric, summary)
    notes = [notes] if isinstance(notes, str) else list(notes)
    sections = [
        _findings(results),
        Section(
            "What was compared",
            [Table([], tables.overview(results)), Table(*tables.arm_table(results))],
        ),
        Section("Figures", [Pictures(draw_plots("comparison", results))]),
        _scores(results),
        *_differences(results),
        _chosen_settings(results),
        _leaks(leaks, results.fits),
        *([Section("Notes", notes)] if notes else []),
    ]
    write_page(path, title, sections, _versions())
    return path


def _findings(results):
    """Describe the differences in sentences, setting by setting."""
    found = contrasts(results.summary)
    if not found:
        return Section("In short", ["The summary has no differences between arms."])
    by_setting = defaultdict(list)
    for contrast in found:
        by_setting[contrast.n_labels, contrast.channels].append(contrast)
    lists = [count_settings(found)]
    several = len({channels for _, channels in by_setting}) > 1
    for (n_labels, channels), group in by_setting.items():
        where = setting_text(n_labels, channels if several else None)
        brief = len(by_setting) > MAX_SETTINGS
        lists.append(sentences(group, results.metric, where, brief=brief))
    return Section("In short", [*filter(None, lists), _HOW_TO_READ])


def _scores(results):
    varied = "clips"
    if "n_groups" in results.summary.columns and results.summary["n_groups"].count():
        varied = "artists"
    note = f"Means with 95 % intervals, over {varied} and seeds."
    title = f"Scores: {results.metric.label}"
    return Section(title, [*tables.score_tables(results), note])


def _differences(results):
    """Tables of differences, one for each arm that was compared against."""
    by_arm = defaultdict(list)
    for contrast in contrasts(results.summary):
        by_arm[contrast.against].append(contrast)
    blocks = [
        tables.contrast_table(group, results.metric, caption=f"To {against}")
        for against, group in by_arm.items()
    ]
    return [Section("Differences", blocks)] if blocks else []


def _chosen_settings(results):
    if results.fits is None or "params" not in results.fits.columns:
        text = (
            "Not known: the report was made from a summary, which does not have them."
        )
    else:
        header, rows = tables.setting_table(results.fits)
        text = Table(header, rows) if rows else "None: nothing was searched."
    return Section("Settings chosen", [text])


def _leaks(leaks, fits):
    """The leak report, and the artist overlap that the fits counted themselves."""
    blocks = []
    for column, words in _LEAKS.items():
        if fits is not None and column in fits.columns:
            counts = fits[column].drop_nulls()
            if len(counts):
                blocks.append(f"At most {counts.max()} {words} of a fit.")
    if blocks and _has_teacher(fits) and _LEAKS["n_shared_teacher"] not in blocks[-1]:
        blocks.append(
            "Whether artists of the test clips are in the teacher's training data is "
            "not known."
        )
    if leaks is not None:
        blocks.append(_leak_block(leaks))
    elif not blocks:
        blocks.append(
            "No leak report was given: whether teacher, training and test clips "
            "share tracks or artists is not known."
        )
    return Section("Leaks", blocks)


def _has_teacher(fits):
    arms = fits["arm"].unique().to_list()
    return any(arm not in ARMS or ARMS[arm].needs_teacher for arm in arms)


def _leak_block(leaks):
    """A leak report of any type that write_html takes, as a block of the page."""
    if isinstance(leaks, pl.DataFrame):
        return Table(leaks.columns, [list(map(str, row)) for row in leaks.rows()])
    if isinstance(leaks, Mapping):
        pairs = ((str(k).replace("_", " "), str(v)) for k, v in leaks.items())
        return Table([], list(pairs))
    if isinstance(leaks, list | tuple) and all(isinstance(x, str) for x in leaks):
        return list(leaks)
    if isinstance(leaks, str) or type(leaks).__str__ is not object.__str__:
        return Lines(str(leaks))
    raise TypeError(
        f"Got leaks of type {type(leaks).__name__}, expected a LeakReport, a "
        "polars.DataFrame, a mapping, a str or a list of str."
    )


def _versions():
    """Date and versions."""
    found = [f"Python {platform.python_version()}"]
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            found.append(f"{library} {version(library)}")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"Written on {today} with {', '.join(found)}."
