"""One HTML file that reports a comparison: no scripts, no network, any browser.

It has what a reader needs to judge a claim: the arms in words, verdicts worded from
the intervals, every number behind them, the controls, the leaks, the settings chosen
by the search and the versions of the libraries.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from userlogfeat._files import replace_file
from userlogfeat._typing import PathLike
from userlogfeat.report import tables
from userlogfeat.report.frames import (
    checked,
    contrasts,
    has_fits,
    ordered_arms,
    settings,
    summarised,
)
from userlogfeat.report.markup import (
    bullets,
    document,
    figures,
    heading,
    paragraph,
    picture,
    preformatted,
    table,
)
from userlogfeat.report.style import new_figure
from userlogfeat.report.transfer import AXES, SIZE, TransferDisplay
from userlogfeat.report.verdicts import sentences, tally
from userlogfeat.report.words import ALL, place

if TYPE_CHECKING:
    from userlogfeat.evaluation.leaks import LeakReport


LIBRARIES = (
    "userlogfeat",
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "skorch",
    "implicit",
    "polars",
    "matplotlib",
)
MAX_SETTINGS = 6  # with more, only kd is worded in each of them
# Columns of compare's frame -> what a leak is called.
_LEAKS = {
    "n_shared_train": "artists of the test clips are in the training part",
    "n_shared_teacher": "artists of the test clips taught the teacher",
}


def write_html(
    frame: pl.DataFrame,
    path: PathLike,
    *,
    title: str = "Knowledge transfer: a comparison",
    summary: pl.DataFrame | None = None,
    leaks: LeakReport
    | pl.DataFrame
    | Mapping[str, Any]
    | str
    | list[str]
    | None = None,
    notes: str | Sequence[str] = (),
    metric: str | None = None,
) -> Path:
    """Write a report of a comparison.

    Parameters
    ----------
    frame : polars.DataFrame
        Of :func:`userlogfeat.comparison.compare`, or of
        :func:`userlogfeat.comparison.summarise`. A summary does not know the settings
        chosen and the times, and the page says so.
    path : str or Path
        The file to write; replaced where it is there. Its folder must exist.
    title : str
        Heading of the page.
    summary : polars.DataFrame, optional
        Of `summarise` with settings of your own. By default `frame` is summarised.
    leaks : LeakReport, polars.DataFrame, mapping, str or list of str, optional
        What teacher, training and test clips share: of
        :func:`userlogfeat.evaluation.leaks.leak_report`, or in words of your own. A
        mapping may hold one report a fold.
    notes : str or list of str
        Paragraphs to add: data, licence, what was changed.
    metric : str, optional
        Which one, where the frame has several; the score's name, where it has none.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    TypeError, ValueError
        Where the frame is not one of a comparison, has one arm or scores that are NaN.
    FileNotFoundError
        Where the folder of `path` is missing.
    ImportError
        Where matplotlib is missing.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(path.parent)!r} for the report. Make it first."
        )
    frame, scores = checked(frame, metric)
    fits = frame if has_fits(frame) else None
    known = summarised(frame if summary is None else summary, scores.name)[0]
    notes = [notes] if isinstance(notes, str) else list(notes)
    parts = [
        *_verdicts(known, scores),
        *_compared(known, fits, scores),
        *_pictures(known, scores),
        *_scores(known, scores),
        *_differences(known, scores),
        *_chosen(fits),
        *_leaks(leaks, fits),
        *([heading("Notes"), *map(paragraph, notes)] if notes else []),
    ]
    page = document(title, parts, _written())
    with replace_file(path) as temporary:
        # Names of undecodable files have surrogates, which UTF-8 has not.
        temporary.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")
    return path


def _verdicts(summary, metric):
    """In words: what is above what, setting by setting."""
    found = contrasts(summary)
    parts = [heading("In short")]
    if not found:
        return [*parts, paragraph("The summary has no differences between arms.")]
    counted = tally(found)
    parts += [bullets(counted)] if counted else []
    by_setting = {}
    for contrast in found:
        setting = (contrast.n_labels, contrast.channels)
        by_setting.setdefault(setting, []).append(contrast)
    several = len({channels for _, channels in by_setting}) > 1
    for (n_labels, channels), group in by_setting.items():
        where = place(n_labels, channels if several else None)
        lines = sentences(group, metric, where, brief=len(by_setting) > MAX_SETTINGS)
        parts += [bullets(lines)] if lines else []
    return [*parts, paragraph(_HOW_TO_READ)]


_HOW_TO_READ = (
    "Brackets hold 95 % intervals. An arm is called above or below another where the "
    "interval of their difference leaves out zero and its p value, corrected after "
    "Holm for the number of comparisons, is below 0.05; “not distinguishable” does not "
    "mean equal."
)


def _compared(summary, fits, metric):
    return [
        heading("What was compared"),
        table([], tables.overview(summary, fits, metric)),
        table(*tables.arm_table(summary, fits)),
    ]


def _pictures(summary, metric):
    """A drawing by labels for each number of channels, and the other way round."""
    channels, labels = settings(summary, "channels"), settings(summary, "n_labels")
    wanted = []
    if len(labels) > 1 or len(channels) == 1:
        wanted += [("n_labels", value) for value in channels]
    if len(channels) > 1 and None not in channels:
        wanted += [("channels", value) for value in labels]
    drawn = [_picture(summary, metric, x, value) for x, value in wanted]
    return [heading("Figures"), figures(drawn)]


def _picture(summary, metric, x, value):
    figure = new_figure(SIZE)
    display = TransferDisplay.from_comparison(
        summary,
        x=x,
        at=ALL if value is None else value,
        metric=metric.name,
        ax=figure.subplots(),
    )
    arms = ", ".join(ordered_arms(summary))
    alt = f"{metric.label} of {arms} by {AXES[x].lower()}"
    where = f", {display.setting}" if display.setting else ""
    return picture(figure, f"{alt}{where}. The numbers are in the table of scores.")


def _scores(summary, metric):
    parts = [heading(f"Scores: {metric.label}")]
    for caption, header, rows in tables.score_tables(summary, metric):
        parts += [heading(caption, 3)] if caption else []
        parts.append(table(header, rows, numbers=True))
    return [
        *parts,
        paragraph(f"Means with 95 % intervals, over {_varied(summary)} and seeds."),
    ]


def _varied(summary):
    """What intervals are over beside seeds, where the summary says it."""
    by_artist = "n_groups" in summary.columns and summary["n_groups"].count() > 0
    return "artists" if by_artist else "clips"


def _differences(summary, metric):
    """A table of differences to each arm that was compared against."""
    by_arm = {}
    for contrast in contrasts(summary):
        by_arm.setdefault(contrast.against, []).append(contrast)
    parts = [heading("Differences")] if by_arm else []
    for against, group in by_arm.items():
        parts.append(heading(f"To {against}", 3))
        header, rows = tables.contrast_table(group, metric)
        parts.append(table(header, rows, numbers=True))
    return parts


def _chosen(fits):
    parts = [heading("Settings chosen")]
    if fits is None or "params" not in fits.columns:
        text = (
            "Not known: the report was made from a summary, which does not have them."
        )
        return [*parts, paragraph(text)]
    header, rows = tables.setting_table(fits)
    if not rows:
        return [*parts, paragraph("None: nothing was searched.")]
    return [*parts, table(header, rows)]


def _leaks(leaks, fits):
    """What a leak report says, and what the fits counted themselves."""
    parts = [heading("Leaks")]
    for column, words in _LEAKS.items():
        if fits is None or column not in fits.columns:
            continue
        counts = fits[column].drop_nulls()
        if len(counts):
            parts.append(paragraph(f"At most {counts.max()} {words} of a fit."))
    if leaks is not None:
        return [*parts, *_as_markup(leaks)]
    if len(parts) == 1:
        parts.append(
            paragraph(
                "No leak report was given: whether teacher, training and test clips "
                "share tracks or artists is not known."
            )
        )
    return parts


def _as_markup(leaks):
    """A leak report of any of the kinds that write_html takes."""
    if isinstance(leaks, str):
        return [preformatted(leaks)]
    if isinstance(leaks, pl.DataFrame):
        return [table(leaks.columns, [list(map(str, row)) for row in leaks.rows()])]
    if isinstance(leaks, Mapping):
        pairs = ((str(k).replace("_", " "), str(v)) for k, v in leaks.items())
        return [table([], pairs)]
    if isinstance(leaks, list | tuple) and all(isinstance(x, str) for x in leaks):
        return [bullets(leaks)]
    if type(leaks).__str__ is not object.__str__:
        return [preformatted(str(leaks))]
    raise TypeError(
        f"Got leaks of type {type(leaks).__name__}, expected a LeakReport, a "
        "polars.DataFrame, a mapping, a str or a list of str."
    )


def _written():
    """Date and versions."""
    found = [f"Python {platform.python_version()}"]
    for library in LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            continue
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"Written on {today} with {', '.join(found)}."
