"""Run time, memory and scratch space of a submission: its scripts, run on clips."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from userlogfeat._typing import PathLike
from userlogfeat.mirex.black_box import folder_bytes, mib_text, run_script
from userlogfeat.mirex.lists import (
    find_clip,
    read_labels,
    read_tags,
    write_clips,
    write_labels,
)

N_PLANTED, PLANTED_SECONDS = 24, 30.0
EXTRACT, BOTH = "extractFeatures.sh", "TrainAndClassify.sh"


@dataclass(frozen=True)
class Measured:
    """Costs of the scripts.

    Attributes
    ----------
    clips : str
        The measured clips, in words.
    n_clips : int
    audio_seconds : float
        Length of all clips; NaN where unknown.
    n_threads : int or None
        Number passed with -numThreads; None: not passed.
    runs : dict of str to Run
        Runs by script.
    scratch_bytes : int
        Size of the scratch folder after all scripts.
    """

    clips: str
    n_clips: int
    audio_seconds: float
    n_threads: int | None
    runs: dict
    scratch_bytes: int

    @property
    def rows(self) -> list[list[str]]:
        """Rows of a table: script, clips, wall and processor time, memory."""
        half = f"about {self.n_clips // 2}"
        counts = {EXTRACT: str(self.n_clips), BOTH: f"{half} each"}
        rows = []
        for script, run in self.runs.items():
            costs = f"{run.seconds:.1f} s", f"{run.cpu_seconds:.1f} s"
            count = counts.get(script, half)
            rows.append([script, count, *costs, mib_text(run.peak_mib)])
        return rows


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
        Folder of the submission.
    train_list : str or Path, optional
        Training list of the clips; by default planted ones are made.
    tags : bool
        Whether the submission is to the tag task.
    n_threads : int, optional
        Number to pass with -numThreads.

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
        python, runs = {"USERLOGFEAT_PYTHON": sys.executable}, {}
        for script, rest in arguments.items():
            command = [folder / script, *threads, work / "scratch", *rest]
            run = run_script(
                command, log=work / "log.txt", cwd=work, environment=python
            )
            if run.status != "ok":
                raise RuntimeError(
                    f"{folder / script} {run} on {len(labels)} {words}. Its output:\n"
                    f"{run.output_tail.strip()}"
                )
            runs[script] = run
        scratch = folder_bytes(work / "scratch")
    return Measured(words, len(labels), seconds, n_threads, runs, scratch)


def _plant(folder):
    """Write planted clips into a folder; return their labels."""
    from userlogfeat.datasets.synthetic import make_listening_corpus

    sound = {"duration": PLANTED_SECONDS, "sample_rate": 22050}
    corpus = make_listening_corpus(
        20, N_PLANTED, 2, **sound, folder=folder, random_state=0
    )
    catalogue = corpus.catalogue
    clips = [str(clip) for clip in catalogue.clips]
    return dict(zip(clips, catalogue.labels.tolist(), strict=True))


def _read(train_list, tags):
    """Read labels, one per clip, by absolute path; of several tags the first."""
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
    """Write lists of all clips, and of halves of each class; return arguments."""
    halves = ([], [])
    seen = {}
    for clip, label in labels.items():
        seen[label] = seen.get(label, -1) + 1
        halves[seen[label] % 2].append(clip)
    train, test = halves if halves[1] else (halves[0], halves[0])
    write_labels(work / "train.txt", train, [labels[clip] for clip in train])
    write_clips(work / "test.txt", test)
    write_clips(work / "all.txt", labels)
    output = ["out.txt", "binary.txt"] if tags else ["out.txt"]
    output = [work / name for name in output]
    lists = [work / "train.txt", work / "test.txt"]
    return {
        EXTRACT: [work / "all.txt"],
        BOTH: [*lists, *output],
        "Train.sh": lists[:1],
        "Classify.sh": [lists[1], *output],
    }
