"""The organisers' side: run submissions on folds as black boxes, and score them.

A submission is a folder with ``extractFeatures.sh`` (if it needs one) and
``TrainAndClassify.sh``, or ``Train.sh`` and ``Classify.sh``. It gets absolute paths,
never the truth, and one scratch folder for all folds.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from userlogfeat._check import check_positive
from userlogfeat.mirex.black_box import folder_bytes, run_script
from userlogfeat.mirex.folds import Fold, read_folds
from userlogfeat.mirex.lists import write_labels
from userlogfeat.mirex.scores import (
    Answers,
    class_accuracies,
    confusion,
    no_answers,
    read_answers,
)

EXTRACT, BOTH = "extractFeatures.sh", "TrainAndClassify.sh"
TRAIN, CLASSIFY = "Train.sh", "Classify.sh"
_COSTS = ("seconds", "cpu_seconds", "peak_mib")
TIME_LIMIT = 86400.0  # s of one call; MIREX gives a whole submission one to three days


@dataclass(frozen=True)
class FoldResult:
    """What a submission did with a fold.

    Attributes
    ----------
    submission : str
    fold : Fold
    answers : Answers
    runs : dict of str to Run
        By script.
    status : str
        What became of the script that failed; "ok" where none did.
    """

    submission: str
    fold: Fold
    answers: Answers
    runs: dict
    status: str

    @property
    def correct(self):
        """Whether each answer is right: list of bool."""
        pairs = zip(self.fold.truth.values(), self.answers.labels, strict=True)
        return [truth == label for truth, label in pairs]

    @property
    def accuracy(self):
        """Part of the clips that is right."""
        return sum(self.correct) / len(self.correct)


@dataclass(frozen=True)
class Evaluation:
    """Results of submissions, folds and scripts.

    Attributes
    ----------
    folds : list of Fold
    results : list of FoldResult
    extractions : dict of str to Run or None
        Of each submission; None where it has no such script.
    scratch_bytes : dict of str to int
        Size of each submission's scratch folder, in the end.
    """

    folds: list
    results: list
    extractions: dict
    scratch_bytes: dict

    def of(self, submission):
        """Results of one submission, in the order of folds."""
        return [result for result in self.results if result.submission == submission]

    def to_frame(self):
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

    def confusion_frame(self):
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

    def runs_frame(self):
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
            (*where, run.status, run.exit_code, *_cost_of(run))
            for *where, run in runs
            if run is not None
        ]
        schema = {
            name: pl.String for name in ("submission", "fold", "script", "status")
        }
        schema |= {"exit_code": pl.Int64, **dict.fromkeys(_COSTS, pl.Float64)}
        return pl.DataFrame(rows, schema=schema, orient="row")


def evaluate(
    folder,
    submissions,
    output,
    *,
    audio_root=None,
    time_limit=TIME_LIMIT,
    n_threads=None,
):
    """Run submissions on the folds of a folder.

    Parameters
    ----------
    folder : str or Path
        Lists: see :mod:`userlogfeat.mirex.folds`.
    submissions : dict of str to (str or Path)
        Folder of each submission, by name.
    output : str or Path
        Gets lists, scratch folders, logs and outputs, ``results.csv``,
        ``confusion.csv``, ``runs.csv``, ``report.txt`` and ``report.html``. What an
        earlier evaluation left of features is used again.
    audio_root : str or Path, optional
        Where relative paths of the lists start; by default `folder`.
    time_limit : float
        In s, for every call of a script.
    n_threads : int, optional
        Passed as -numThreads.

    Returns
    -------
    Evaluation

    Raises
    ------
    FileNotFoundError, ValueError
        Where folds or scripts are missing.
    """
    check_positive(time_limit, "time_limit")
    folds, root = read_folds(folder), Path(audio_root or folder)
    submissions = {name: Path(path).resolve() for name, path in submissions.items()}
    for path in submissions.values():
        _scripts_of(path)
    threads = [] if n_threads is None else ["-numThreads", n_threads]
    results, extractions, sizes = [], {}, {}
    for name, path in submissions.items():
        work = Path(output).resolve() / name
        work.mkdir(parents=True, exist_ok=True)
        box = _Box(path, work, threads, time_limit)
        extractions[name] = box.extract(_all_clips(folds, root))
        for fold in folds:
            results.append(_run_fold(box, name, fold, root, extractions[name]))
        sizes[name] = folder_bytes(work / "scratch")
    evaluation = Evaluation(folds, results, extractions, sizes)
    from userlogfeat.mirex.report import write_report

    write_report(evaluation, output)
    return evaluation


@dataclass(frozen=True)
class _Box:
    """A submission at work."""

    folder: Path
    work: Path
    threads: list
    time_limit: float

    def call(self, script, *arguments, log):
        """Run one script in the work folder."""
        command = [self.folder / script, *self.threads, self.work / "scratch"]
        return run_script(
            [*command, *arguments],
            time_limit=self.time_limit,
            log=self.work / log,
            cwd=self.work,
        )

    def extract(self, clips):
        """Features of all clips; None where there is no such script."""
        (self.work / "scratch").mkdir(exist_ok=True)
        if not (self.folder / EXTRACT).is_file():
            return None
        _write_list(self.work / "all.txt", clips)
        return self.call(EXTRACT, self.work / "all.txt", log="extract.log")


def _run_fold(box, name, fold, root, extraction):
    """Train and classify; answers are read where all scripts did well."""
    paths = {clip: _absolute(clip, root) for clip in [*fold.train, *fold.truth]}
    train, test, output = (
        box.work / f"{fold.name}_{part}.txt" for part in ("train", "test", "output")
    )
    labels = list(fold.train.values())
    write_labels(train, [paths[clip] for clip in fold.train], labels)
    _write_list(test, [paths[clip] for clip in fold.truth])
    output.unlink(missing_ok=True)
    calls = {BOTH: [train, test, output]}
    if BOTH not in _scripts_of(box.folder):
        calls = {TRAIN: [train], CLASSIFY: [test, output]}
    runs, status = {}, _status_of(EXTRACT, extraction)
    for script, arguments in calls.items():
        if status != "ok":
            break
        runs[script] = box.call(script, *arguments, log=f"{fold.name}.log")
        status = _status_of(script, runs[script])
    clips = [paths[clip] for clip in fold.truth]
    if status == "ok":
        answers = read_answers(output, clips, set(labels))
    else:  # also where it wrote an output: it may have been cut, or be a guess
        answers = no_answers(clips, "all clips count as wrong")
    return FoldResult(name, fold, answers, runs, status)


def _status_of(script, run):
    """Which script did not end well, and how; or "ok"."""
    return "ok" if run is None or run.status == "ok" else f"{script} {run.status}"


def _cost_of(run):
    return [getattr(run, name) for name in _COSTS]


def _scripts_of(folder):
    """The scripts of a submission; an error where it cannot be run."""
    found = [s for s in (EXTRACT, BOTH, TRAIN, CLASSIFY) if (folder / s).is_file()]
    if BOTH not in found and not {TRAIN, CLASSIFY} <= set(found):
        raise FileNotFoundError(
            f"The submission {folder} has {', '.join(found) or 'no scripts'}, expected "
            f"{BOTH}, or {TRAIN} and {CLASSIFY}."
        )
    return found


def _all_clips(folds, root):
    clips = [clip for fold in folds for clip in [*fold.train, *fold.truth]]
    return list(dict.fromkeys(_absolute(clip, root) for clip in clips))


def _absolute(clip, root):
    return os.path.abspath(os.path.join(root, clip))


def _write_list(path, clips):
    text = "".join(f"{clip}\n" for clip in clips)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
