"""What became of an evaluation: answers and costs of submissions, fold by fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from userlogfeat.mirex.folds import Fold
from userlogfeat.mirex.scores import class_accuracies, confusion

if TYPE_CHECKING:
    import polars as pl


EXTRACT = "extractFeatures.sh"
_COSTS = ("seconds", "cpu_seconds", "peak_mib")


@dataclass(frozen=True)
class FoldRun:
    """What a submission did with a fold.

    Attributes
    ----------
    submission : str
    fold : Fold
    answers : Answers or TagAnswers
    runs : dict of str to Run
        By script.
    status : str
        What became of the script that failed; "ok" where none did.
    """

    submission: str
    fold: Fold
    answers: Any
    runs: dict
    status: str


@dataclass(frozen=True)
class FoldResult(FoldRun):
    """What became of a fold of classes: its answers are `Answers`."""

    @property
    def correct(self) -> list[bool]:
        """Whether each answer is right: list of bool."""
        pairs = zip(self.fold.truth.values(), self.answers.labels, strict=True)
        return [truth == label for truth, label in pairs]

    @property
    def accuracy(self) -> float:
        """Part of the clips that is right."""
        return sum(self.correct) / len(self.correct)


@dataclass(frozen=True)
class Runs:
    """What became of submissions, folds and scripts.

    Attributes
    ----------
    folds : list of Fold
    results : list of FoldRun
    extractions : dict of str to Run or None
        Of each submission; None where it has no such script.
    scratch_bytes : dict of str to int
        Size of each submission's scratch folder, in the end.
    found_bytes : dict of str to int
        Size of what an earlier evaluation had left there; 0 where it began empty.
    """

    folds: list
    results: list
    extractions: dict
    scratch_bytes: dict
    found_bytes: dict

    def of(self, submission: str) -> list[Any]:
        """Results of one submission, in the order of folds."""
        return [result for result in self.results if result.submission == submission]

    def runs_frame(self) -> pl.DataFrame:
        """What every script took.

        Returns
        -------
        polars.DataFrame
            `submission`, `fold` ("(all)" for the extraction), `script`, `status`,
            `exit_code`, `seconds`, `cpu_seconds`, `peak_mib`.
        """
        import polars as pl

        runs = [(name, "(all)", EXTRACT, run) for name, run in self.extractions.items()]
        runs += [
            (result.submission, result.fold.name, script, run)
            for result in self.results
            for script, run in result.runs.items()
        ]
        rows = [
            (
                *where,
                run.status,
                run.exit_code,
                *(getattr(run, cost) for cost in _COSTS),
            )
            for *where, run in runs
            if run is not None
        ]
        schema = {
            name: pl.String for name in ("submission", "fold", "script", "status")
        }
        schema |= {"exit_code": pl.Int64, **dict.fromkeys(_COSTS, pl.Float64)}
        return pl.DataFrame(rows, schema=schema, orient="row")


@dataclass(frozen=True)
class Evaluation(Runs):
    """Results of submissions to a task of classes: its results are `FoldResult`."""

    def to_frame(self) -> pl.DataFrame:
        """Accuracies, tidy.

        Returns
        -------
        polars.DataFrame
            One row for each submission, fold and class, with `n_clips`, `n_correct`,
            `accuracy` and `status`; class ``"(all)"`` is the whole fold.
        """
        import polars as pl

        rows = []
        for result in self.results:
            truth = list(result.fold.truth.values())
            classes = class_accuracies(truth, result.answers.labels)
            classes = {"(all)": (len(truth), sum(result.correct)), **classes}
            for name, (n, right) in classes.items():
                row = (result.submission, result.fold.name, name, n, right, right / n)
                rows.append((*row, result.status))
        columns = ["submission", "fold", "class", "n_clips", "n_correct", "accuracy"]
        return pl.DataFrame(rows, schema=[*columns, "status"], orient="row")

    def confusion_frame(self) -> pl.DataFrame:
        """Confusions over all folds, tidy.

        Returns
        -------
        polars.DataFrame
            `submission`, `truth`, `answer`, `n_clips`.
        """
        import polars as pl

        rows = []
        for name in self.extractions:
            truth = [t for r in self.of(name) for t in r.fold.truth.values()]
            labels = [label for r in self.of(name) for label in r.answers.labels]
            counts = confusion(truth, labels)
            rows += [(name, *pair, count) for pair, count in counts.items()]
        columns = ["submission", "truth", "answer", "n_clips"]
        return pl.DataFrame(rows, schema=columns, orient="row")

    @property
    def frames(self) -> dict[str, pl.DataFrame]:
        """All tables of the evaluation, by the name of their files."""
        return {
            "results.csv": self.to_frame(),
            "confusion.csv": self.confusion_frame(),
            "runs.csv": self.runs_frame(),
        }
