"""Scores of submissions, fold by fold, as tables.

Classes: accuracy. Tags: precision, recall and F of the 0|1 answers, and the area under
the ROC curve (AUC) of the affinities, for each tag over clips and for each clip over
tags. A pair without affinity is on the wrong side of all others, so a run that gave
none has an AUC of 0, not the 0.5 of equal affinities. Tags that no test clip has are
not scored, nor the ranking of clips with all tags or none.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from userlogfeat.mirex.answers import Answers
from userlogfeat.mirex.black_box import Run
from userlogfeat.mirex.folds import Fold

EXTRACT = "extractFeatures.sh"
ALL, MEAN = "(all)", "(mean)"  # rows of a whole fold, in place of a class or tag
MEASURES = ("precision", "recall", "f", "auc")
_COUNTS = ("n_relevant", "n_given", "n_correct")
_COSTS = ("seconds", "cpu_seconds", "peak_mib")


@dataclass(frozen=True)
class FoldResult:
    """Answers and costs of a submission on a fold.

    Attributes
    ----------
    submission : str
    fold : Fold
    answers : Answers
    runs : dict of str to Run
        Runs by script.
    status : str
        Name and status of the script that failed; "ok" where none did.
    """

    submission: str
    fold: Fold
    answers: Answers
    runs: dict[str, Run]
    status: str

    @property
    def accuracy(self) -> float:
        """Part of the clips whose class is right."""
        return self.answers.frame["correct"].mean()

    @property
    def artists(self) -> list[str] | None:
        """Artist of each test clip; None where the fold has no groups."""
        if self.fold.groups is None:
            return None
        return [self.fold.groups.get(clip, "") for clip in self.fold.truth]


@dataclass(frozen=True)
class Evaluation:
    """Results of submissions.

    Attributes
    ----------
    folds : list of Fold
    results : list of FoldResult
        By submission, then by fold.
    extractions : dict of str to Run or None
        Run of each submission's ``extractFeatures.sh``; None where it has none.
    scratch_bytes : dict of str to int
        Size of each submission's scratch folder, in the end.
    found_bytes : dict of str to int
        Size of an earlier evaluation's files there; 0 where it began empty.
    tags : bool
        Whether clips have several labels.
    """

    folds: list[Fold]
    results: list[FoldResult]
    extractions: dict
    scratch_bytes: dict[str, int]
    found_bytes: dict[str, int]
    tags: bool

    def of(self, submission: str) -> list[FoldResult]:
        """Return the results of one submission, in the order of folds."""
        return [result for result in self.results if result.submission == submission]

    @cached_property
    def answers(self) -> pl.DataFrame:
        """Answers of all results, with `result` (a number), `submission`, `fold`."""
        return pl.concat(
            result.answers.frame.select(
                pl.lit(number).alias("result"),
                pl.lit(result.submission).alias("submission"),
                pl.lit(result.fold.name).alias("fold"),
                pl.all(),
                pl.lit(result.status).alias("status"),
            )
            for number, result in enumerate(self.results)
        )

    def to_frame(self) -> pl.DataFrame:
        """Return scores, tidy.

        Returns
        -------
        polars.DataFrame
            Classes: a row for each submission, fold and class, with `n_clips`,
            `n_correct`, `accuracy` and `status`; class ``"(all)"`` is the whole fold.
            Tags: a row for each submission, fold and tag, with `n_clips`, `n_relevant`,
            `n_given`, `n_correct`, `precision`, `recall`, `f`, `auc` and `status`; null
            where a tag cannot be scored. Tag ``"(mean)"`` has the means over tags, and
            `clip_auc`, the mean over clips.
        """
        if not self.tags:
            return score_classes(self.answers).drop("result")
        clips = score_clips(self.answers).group_by("result")
        means = clips.agg(clip_auc=pl.mean("auc"), tag=pl.lit(MEAN))
        frame = score_tags(self.answers).join(means, on=["result", "tag"], how="left")
        frame = frame.sort("result", pl.col("tag") != MEAN, "tag")
        columns = ["submission", "fold", "tag", "n_clips", *_COUNTS, *MEASURES]
        return frame.select(*columns, "clip_auc", "status")

    def clips_frame(self) -> pl.DataFrame:
        """Return the area under the ROC curve of each clip, over its tags.

        Returns
        -------
        polars.DataFrame
            `submission`, `fold`, `clip`, `auc`: null for clips with all tags or none.
        """
        return score_clips(self.answers).drop("result")

    def confusion_frame(self) -> pl.DataFrame:
        """Return the confusions over all folds, tidy.

        Returns
        -------
        polars.DataFrame
            `submission`, `truth`, `answer`, `n_clips`.
        """
        return count_confusions(self.answers)

    def runs_frame(self) -> pl.DataFrame:
        """Return the costs of every script.

        Returns
        -------
        polars.DataFrame
            `submission`, `fold` ("(all)" for the extraction), `script`, `status`,
            `exit_code`, `seconds`, `cpu_seconds`, `peak_mib`.
        """
        runs = [(name, ALL, EXTRACT, run) for name, run in self.extractions.items()]
        runs += [
            (result.submission, result.fold.name, script, run)
            for result in self.results
            for script, run in result.runs.items()
        ]
        names = ("status", "exit_code", *_COSTS)
        rows = [
            (*where, *(getattr(run, name) for name in names))
            for *where, run in runs
            if run is not None
        ]
        texts = ("submission", "fold", "script", "status")
        schema = dict.fromkeys(texts, pl.String) | {"exit_code": pl.Int64}
        schema |= dict.fromkeys(_COSTS, pl.Float64)
        return pl.DataFrame(rows, schema=schema, orient="row")

    @property
    def frames(self) -> dict[str, pl.DataFrame]:
        """Tables of the evaluation, by the name of their files."""
        frames = {"results.csv": self.to_frame(), "runs.csv": self.runs_frame()}
        if self.tags:
            return frames | {"clips.csv": self.clips_frame()}
        return frames | {"confusion.csv": self.confusion_frame()}


def score_classes(answers: pl.DataFrame) -> pl.DataFrame:
    """Return accuracies of each result, of all clips and of each class.

    Parameters
    ----------
    answers : polars.DataFrame
        See :attr:`Evaluation.answers`.

    Returns
    -------
    polars.DataFrame
        See :meth:`Evaluation.to_frame`; by `result`.
    """
    both = pl.concat([answers.with_columns(pl.lit(ALL).alias("class")), answers])
    scores = both.group_by("result", "submission", "fold", "class").agg(
        n_clips=pl.len(),
        n_correct=pl.sum("correct"),
        accuracy=pl.mean("correct"),
        status=pl.first("status"),
    )
    return scores.sort("result", pl.col("class") != ALL, "class")


def count_confusions(answers: pl.DataFrame) -> pl.DataFrame:
    """Count how often each class was given each answer.

    Parameters
    ----------
    answers : polars.DataFrame
        See :attr:`Evaluation.answers`.

    Returns
    -------
    polars.DataFrame
        See :meth:`Evaluation.confusion_frame`.
    """
    order = pl.min("result").alias("result")
    pairs = answers.rename({"class": "truth"}).group_by("submission", "truth", "answer")
    counts = pairs.agg(order, n_clips=pl.len())
    first = order.over("submission")
    return counts.sort(first, "truth", "answer").drop("result")


def score_tags(answers: pl.DataFrame) -> pl.DataFrame:
    """Return measures of each result, of each tag and as means over tags.

    Parameters
    ----------
    answers : polars.DataFrame
        See :attr:`Evaluation.answers`.

    Returns
    -------
    polars.DataFrame
        See :meth:`Evaluation.to_frame`; by `result`. Precision is 0 where a tag is
        never given.
    """
    n_relevant, n_given, n_correct = (pl.col(name) for name in _COUNTS)
    scored = pl.when(n_relevant > 0)
    by = ["result", "submission", "fold"]
    scores = (
        answers.group_by(*by, "tag")
        .agg(
            n_clips=pl.len(),
            n_relevant=pl.sum("relevant"),
            n_given=pl.sum("given"),
            n_correct=(pl.col("relevant") & pl.col("given")).sum(),
            auc=_auc(),
            status=pl.first("status"),
        )
        .with_columns(
            precision=scored.then(n_correct / n_given.clip(1)),
            recall=scored.then(n_correct / n_relevant),
            f=scored.then(2 * n_correct / (n_given + n_relevant)),
        )
    )
    means = scores.group_by(*by).agg(
        pl.lit(MEAN).alias("tag"),
        pl.first("n_clips", "status"),
        pl.sum(*_COUNTS),
        pl.mean(*MEASURES),
    )
    return pl.concat([means, scores], how="diagonal")


def score_clips(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the area under the ROC curve of each clip, over its tags.

    Parameters
    ----------
    answers : polars.DataFrame
        See :attr:`Evaluation.answers`.

    Returns
    -------
    polars.DataFrame
        See :meth:`Evaluation.clips_frame`; by `result`.
    """
    by = ("result", "submission", "fold", "clip")
    return answers.group_by(*by, maintain_order=True).agg(auc=_auc())


def _auc():
    """Area under the ROC curve, from ranks (Mann and Whitney 1947); null if undefined.

    A relevant pair is counted where it ranks above another one, a tie half. Ranks of
    the n relevant among themselves add up to n (n + 1) / 2.
    """
    relevant = pl.col("relevant")
    worst = pl.when(relevant).then(-math.inf).otherwise(math.inf)
    ranks = pl.col("affinity").fill_null(worst).rank("average")
    n = relevant.sum().cast(pl.Float64)
    n_above = ranks.filter(relevant).sum() - n * (n + 1) / 2
    return (n_above / (n * (pl.len() - n))).fill_nan(None)
