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
from userlogfeat.mirex.black_box import folder_bytes, run_script
from userlogfeat.mirex.folds import read_folds
from userlogfeat.mirex.lists import write_labels
from userlogfeat.mirex.results import EXTRACT, Evaluation, FoldResult
from userlogfeat.mirex.scores import no_answers, read_answers
from userlogfeat.mirex.tag_results import TagEvaluation, TagFoldResult
from userlogfeat.mirex.tag_scores import no_tag_answers, read_tag_answers

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
) -> Evaluation | TagEvaluation:
    """Run submissions on the folds of a folder.

    Parameters
    ----------
    folder : str or Path
        Lists: see :mod:`userlogfeat.mirex.folds`.
    submissions : dict of str to (str or Path)
        Folder of each submission, by name.
    output : str or Path
        Gets lists, scratch folders, logs and outputs, ``results.csv``,
        ``confusion.csv`` (of tags: ``clips.csv``), ``runs.csv``, ``report.txt`` and
        ``report.html``.
    audio_root : str or Path, optional
        Where relative paths of the lists start; by default `folder`.
    time_limit : float
        In s, for every call of a script.
    n_threads : int, optional
        Passed as -numThreads.
    tags : bool
        Whether clips have several labels: lists have a line for each pair, and scripts
        are given two outputs.
    keep_scratch : bool
        Whether what an earlier evaluation left in the scratch folders of `output` is
        used again; the report then says so. By default it is deleted.

    Returns
    -------
    Evaluation or TagEvaluation

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
    threads = [] if n_threads is None else ["-numThreads", n_threads]
    results, extractions, sizes, found = [], {}, {}, {}
    for name, path in submissions.items():
        work = Path(output).resolve() / name
        found[name] = _make_scratch(work / "scratch", keep_scratch)
        box = _Box(path, work, threads, time_limit, tags)
        extractions[name] = box.extract(_all_clips(folds, root))
        for fold in folds:
            results.append(_run_fold(box, name, fold, root, extractions[name]))
        sizes[name] = folder_bytes(work / "scratch")
    kind = TagEvaluation if tags else Evaluation
    evaluation = kind(folds, results, extractions, sizes, found)
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

    def extract(self, clips):
        """Features of all clips; None where there is no such script."""
        if not (self.folder / EXTRACT).is_file():
            return None
        _write_list(self.work / "all.txt", clips)
        return self.call(EXTRACT, self.work / "all.txt", log="extract.log")


def _run_fold(box, name, fold, root, extraction):
    """Train and classify; answers are read where all scripts did well."""
    paths = {clip: _absolute(clip, root) for clip in [*fold.train, *fold.truth]}
    parts = ("affinity", "binary") if box.tags else ("output",)
    train, test, *outputs = (
        box.work / f"{fold.name}_{part}.txt" for part in ("train", "test", *parts)
    )
    pairs = list(_training_pairs(fold))
    write_labels(train, [paths[clip] for clip, _ in pairs], [own for _, own in pairs])
    _write_list(test, [paths[clip] for clip in fold.truth])
    for output in outputs:
        output.unlink(missing_ok=True)
    calls = {BOTH: [train, test, *outputs]}
    if BOTH not in _scripts_of(box.folder):
        calls = {TRAIN: [train], CLASSIFY: [test, *outputs]}
    runs, status = {}, _status_of(EXTRACT, extraction)
    for script, arguments in calls.items():
        if status != "ok":
            break
        runs[script] = box.call(script, *arguments, log=f"{fold.name}.log")
        status = _status_of(script, runs[script])
    clips = [paths[clip] for clip in fold.truth]
    answers = _judge(fold, clips, outputs, tags=box.tags, ended_well=status == "ok")
    kind = TagFoldResult if box.tags else FoldResult
    return kind(name, fold, answers, runs, status)


def _training_pairs(fold):
    """Clip and label of every line of the training list."""
    for clip, labels in fold.train.items():
        for label in [labels] if isinstance(labels, str) else sorted(labels) or [""]:
            yield clip, label


def _judge(fold, clips, outputs, *, tags, ended_well):
    """Answers of outputs; none of a run that did not end well, whatever it wrote."""
    fault = "all clips count as wrong"  # outputs may have been cut, or be guesses
    if tags:
        names = sorted(set().union(*fold.train.values()))
        if not ended_well:
            return no_tag_answers(clips, names, fault)
        return read_tag_answers(*outputs, clips, names)
    if not ended_well:
        return no_answers(clips, fault)
    return read_answers(*outputs, clips, set(fold.train.values()))


def _check_work(work, submission):
    """Refuse to run a submission in the folder that has its scripts."""
    if work == submission or submission.is_relative_to(work):
        raise ValueError(
            f"The results of {submission} would go to {work}, where the submission "
            "itself is. Pass another output folder."
        )


def _make_scratch(folder, keep):
    """Make a scratch folder, empty unless it is kept; the bytes that it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    if not keep:
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    return folder_bytes(folder)


def _status_of(script, run):
    """Which script did not end well, and how; or "ok"."""
    return "ok" if run is None or run.status == "ok" else f"{script} {run.status}"


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
