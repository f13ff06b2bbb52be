"""What a submission costs: its own scripts, run on clips, measured from outside."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from userlogfeat._typing import PathLike
from userlogfeat.mirex.black_box import folder_bytes, run_script
from userlogfeat.mirex.lists import find_clip, read_labels, read_tags, write_labels

N_PLANTED, PLANTED_SECONDS = 24, 30.0


@dataclass(frozen=True)
class Measured:
    """What a run of the scripts took.

    Attributes
    ----------
    clips : str
        What was heard, in words.
    n_clips : int
    audio_seconds : float
        Of all clips; NaN where unknown.
    n_threads : int or None
        As passed with -numThreads; None: not passed.
    runs : dict of str to Run
        By script.
    scratch_bytes : int
        After all scripts.
    """

    clips: str
    n_clips: int
    audio_seconds: float
    n_threads: int | None
    runs: dict
    scratch_bytes: int


def measure_package(
    folder: PathLike,
    train_list: PathLike | None = None,
    *,
    tags: bool = False,
    n_threads: int | None = None,
) -> Measured:
    """Run all scripts of a submission on half of some clips, and on the other half.

    Parameters
    ----------
    folder : str or Path
        Of the submission.
    train_list : str or Path, optional
        Labelled clips; by default planted ones are made.
    tags : bool
    n_threads : int, optional
        Passed as -numThreads.

    Returns
    -------
    Measured

    Raises
    ------
    RuntimeError
        Where a script fails.
    """
    folder = Path(folder).resolve()
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        if train_list is None:
            labels, words = _plant(work / "planted"), "planted clips of 30 s"
            seconds = N_PLANTED * PLANTED_SECONDS
        else:
            labels, words = _read(train_list, tags), "clips"
            seconds = _seconds(labels)
        arguments = _write_lists(work, labels, tags)
        threads = [] if n_threads is None else ["-numThreads", n_threads]
        runs = {}
        for script, rest in arguments.items():
            command = [folder / script, *threads, work / "scratch", *rest]
            run = run_script(
                command,
                log=work / "log.txt",
                cwd=work,
                environment={"USERLOGFEAT_PYTHON": sys.executable},
            )
            if run.status != "ok":
                raise RuntimeError(
                    f"{folder / script} {run} on {len(labels)} {words}. It said:\n"
                    f"{run.output_tail.strip()}"
                )
            runs[script] = run
        scratch = folder_bytes(work / "scratch")
    return Measured(words, len(labels), seconds, n_threads, runs, scratch)


def _plant(folder):
    """Labels of planted clips, which are written into a folder."""
    from userlogfeat.datasets.synthetic import make_listening_corpus

    corpus = make_listening_corpus(
        20,
        N_PLANTED,
        2,
        duration=PLANTED_SECONDS,
        sample_rate=22050,
        folder=folder,
        random_state=0,
    )
    catalogue = corpus.catalogue
    clips = [str(clip) for clip in catalogue.clips]
    return dict(zip(clips, catalogue.labels.tolist(), strict=True))


def _read(train_list, tags):
    """Labels, one a clip, by absolute path; of tags the first one."""
    labels = read_tags(train_list) if tags else read_labels(train_list)
    parent = Path(train_list).parent
    return {
        find_clip(clip, parent): min(label, default="") if tags else label
        for clip, label in labels.items()
    }


def _seconds(clips):
    import soundfile

    try:
        return float(sum(soundfile.info(clip).duration for clip in clips))
    except (RuntimeError, OSError):
        return float("nan")


def _write_lists(work, labels, tags):
    """Lists of all clips, of each second one of a class and of the others."""
    halves = ([], [])
    seen = {}
    for clip, label in labels.items():
        seen[label] = seen.get(label, -1) + 1
        halves[seen[label] % 2].append(clip)
    train, test = halves if halves[1] else (halves[0], halves[0])
    write_labels(work / "train.txt", train, [labels[clip] for clip in train])
    (work / "test.txt").write_bytes(_lines(test))
    (work / "all.txt").write_bytes(_lines(labels))
    output = ["out.txt", "binary.txt"] if tags else ["out.txt"]
    output = [work / name for name in output]
    lists = [work / "train.txt", work / "test.txt"]
    return {
        "extractFeatures.sh": [work / "all.txt"],
        "TrainAndClassify.sh": [*lists, *output],
        "Train.sh": lists[:1],
        "Classify.sh": [lists[1], *output],
    }


def _lines(clips):
    text = "".join(f"{clip}\n" for clip in clips)
    return text.encode("utf-8", "surrogateescape")
