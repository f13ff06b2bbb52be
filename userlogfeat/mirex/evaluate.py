"""The organisers' side: run submissions on folds as black boxes, and score them.

A submission is a folder with ``extractFeatures.sh`` (if it needs one) and
``TrainAndClassify.sh``, or ``Train.sh`` and ``Classify.sh``. It gets absolute paths,
never the truth, and one scratch folder for all folds, which is empty at first: else the
time would be that of a second run.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from userlogfeat._check import check_positive
from userlogfeat._typing import PathLike
from userlogfeat.mirex.answers import (
    no_answers,
    no_tag_answers,
    read_answers,
    read_tag_answers,
)
from userlogfeat.mirex.black_box import folder_bytes, run_script
from userlogfeat.mirex.folds import read_folds
from userlogfeat.mirex.lists import write_clips, write_labels
from userlogfeat.mirex.scores import EXTRACT, Evaluation, FoldResult

BOTH, TRAIN, CLASSIFY = "TrainAndClassify.sh", "Train.sh", "Classify.sh"
TIME_LIMIT = 86400.0  # s of one call; MIREX gives a whole submission one to three days


def evaluate(
    folder: PathLike,
    submissions: Mapping[str, PathLike],
    output: PathLike,
    *,
    audio_root: PathLike | None = None,
    time_limit: float = TIME_LIMIT,
    n_threads: int | None = None,
    tags: bool = False,
    keep_scratch: bool = False,
) -> Evaluation:
    """Run submissions on the folds of a folder.

    Parameters
    ----------
    folder : str or Path
        Folder of lists: see :mod:`userlogfeat.mirex.folds`.
    submissions : dict of str to (str or Path)
        Folder of each submission, by name.
    output : str or Path
        Folder for lists, scratch folders, logs and outputs, ``results.csv``,
        ``confusion.csv`` (for tags ``clips.csv``), ``runs.csv``, ``report.txt`` and
        ``report.html``.
    audio_root : str or Path, optional
        Where relative paths of the lists start; by default `folder`.
    time_limit : float
        Longest time of each call of a script, in s.
    n_threads : int, optional
        Passed as -numThreads.
    tags : bool
        Whether clips have several labels: lists have a line for each pair, and scripts
        are given two outputs.
    keep_scratch : bool
        Whether to use again what an earlier evaluation left in the scratch folders of
        `output`; the report then says so. By default it is deleted.

    Returns
    -------
    Evaluation

    Raises
    ------
    FileNotFoundError, ValueError
        Where folds or scripts are missing, or `output` has a submission in it where
        its results would go.
    """
    check_positive(time_limit, "time_limit")
    folds, root = read_folds(folder, tags=tags), Path(audio_root or folder)
    submissions = {name: Path(path).resolve() for name, path in submissions.items()}
    for name, path in submissions.items():
        _scripts_of(path)
        _check_work(Path(output).resolve() / name, path)
    from userlogfeat.mirex.report import write_report

    threads = [] if n_threads is None else ["-numThreads", n_threads]
    results, extractions, sizes, found = [], {}, {}, {}
    for name, path in submissions.items():
        work = Path(output).resolve() / name
        found[name] = _make_scratch(work / "scratch", keep_scratch)
        box = _Box(path, work, threads, time_limit, tags)
        extractions[name] = box.extract(folds, root)
        status = _status_of({EXTRACT: extractions[name]})
        results += [box.run(name, fold, root, status) for fold in folds]
        sizes[name] = folder_bytes(work / "scratch")
    evaluation = Evaluation(folds, results, extractions, sizes, found, tags)
    write_report(evaluation, output)
    return evaluation


@dataclass(frozen=True)
class _Box:
    """A submission and the folder that it works in."""

    folder: Path
    work: Path
    threads: list
    time_limit: float
    tags: bool

    def call(self, script, *arguments, log):
        """Run one script in the work folder."""
        command = [self.folder / script, *self.threads, self.work / "scratch"]
        return run_script(
            [*command, *arguments],
            time_limit=self.time_limit,
            log=self.work / log,
            cwd=self.work,
        )

    def extract(self, folds, root):
        """Extract features of all clips; None where there is no such script."""
        if not (self.folder / EXTRACT).is_file():
            return None
        clips = [_absolute(clip, root) for f in folds for clip in [*f.train, *f.truth]]
        write_clips(self.work / "all.txt", dict.fromkeys(clips))
        return self.call(EXTRACT, self.work / "all.txt", log="extract.log")

    def run(self, name, fold, root, status):
        """Train and classify; answers are read where all scripts ended well."""
        parts = ("affinity", "binary") if self.tags else ("output",)
        train, test, *outputs = (
            self.work / f"{fold.name}_{part}.txt" for part in ("train", "test", *parts)
        )
        pairs = list(_training_pairs(fold))
        clips = [_absolute(clip, root) for clip, _ in pairs]
        write_labels(train, clips, [label for _, label in pairs])
        write_clips(test, [_absolute(clip, root) for clip in fold.truth])
        for output in outputs:
            output.unlink(missing_ok=True)
        calls = {BOTH: [train, test, *outputs]}
        if BOTH not in _scripts_of(self.folder):
            calls = {TRAIN: [train], CLASSIFY: [test, *outputs]}
        runs = {}
        for script, arguments in calls.items():
            if status == "ok":
                runs[script] = self.call(script, *arguments, log=f"{fold.name}.log")
                status = _status_of(runs)
        answers = self._answers(fold, root, outputs if status == "ok" else None)
        return FoldResult(name, fold, answers, runs, status)

    def _answers(self, fold, root, outputs):
        """Read answers; none of a run that did not end well, whatever it wrote."""
        fault = "all clips count as wrong"  # outputs may have been cut, or be guesses
        truth, listed = fold.truth, {c: _absolute(c, root) for c in fold.truth}
        if self.tags:
            names = sorted(set().union(*fold.train.values()))
            if outputs is None:
                return no_tag_answers(truth, names, fault)
            return read_tag_answers(*outputs, truth, names, listed=listed)
        if outputs is None:
            return no_answers(truth, fault)
        return read_answers(*outputs, truth, set(fold.train.values()), listed=listed)


def _training_pairs(fold):
    """Yield clip and label of every line of the training list."""
    for clip, labels in fold.train.items():
        for label in [labels] if isinstance(labels, str) else sorted(labels) or [""]:
            yield clip, label


def _check_work(work, submission):
    """Refuse to run a submission in the folder that has its scripts."""
    if work == submission or submission.is_relative_to(work):
        raise ValueError(
            f"The results of {submission} would go to {work}, where the submission "
            "itself is. Pass another output folder."
        )


def _make_scratch(folder, keep):
    """Make a scratch folder, empty unless it is kept; return the bytes it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in [] if keep else folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return folder_bytes(folder)


def _status_of(runs):
    """Name the script that did not end well, and how; or "ok"."""
    for script, run in runs.items():
        if run is not None and run.status != "ok":
            return f"{script} {run.status}"
    return "ok"


def _scripts_of(folder):
    """The scripts of a submission; an error where it cannot be run."""
    found = [s for s in (EXTRACT, BOTH, TRAIN, CLASSIFY) if (folder / s).is_file()]
    if BOTH not in found and not {TRAIN, CLASSIFY} <= set(found):
        raise FileNotFoundError(
            f"The submission {folder} has {', '.join(found) or 'no scripts'}, expected "
            f"{BOTH}, or {TRAIN} and {CLASSIFY}."
        )
    return found


def _absolute(clip, root):
    return os.path.abspath(os.path.join(root, clip))
