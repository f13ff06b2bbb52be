"""`userlogfeat mirex`: the calls of a MIREX submission, its folder, and its judge."""

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import App, app
from userlogfeat.cli.console import Result, print_line
from userlogfeat.cli.errors import SOME_FAILED

LOG = "userlogfeat.log"  # in the scratch folder
KEPT = "What was written to {scratch} is kept: run the same again."

mirex = App(
    no_args_is_help=True,
    help="MIREX train/test submissions: run, package and evaluate them.",
)
app.add_typer(mirex, name="mirex")

TrainList = Annotated[
    Path, typer.Argument(metavar="TRAINLIST", help="path TAB class per line.")
]
TestList = Annotated[
    Path, typer.Argument(metavar="TESTLIST", help="One path per line.")
]
OutputFile = Annotated[
    Path,
    typer.Argument(
        metavar="OUTPUT",
        help="Gets path TAB class; of tags, path TAB tag TAB affinity.",
    ),
]
BinaryFile = Annotated[
    Path | None,
    typer.Argument(metavar="[BINARY]", help="Of tags: gets path TAB tag TAB 0|1."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "-numThreads",
        "--num-threads",
        metavar="N",
        min=1,
        help="Default: one for each processor this process may use.",
    ),
]
Tags = Annotated[
    bool,
    typer.Option("--tags", help="Clips have several labels: path TAB tag per line."),
]


@dataclass(kw_only=True)
class Run:
    """Options of commands that run a pipeline.

    Parameters
    ----------
    pipeline
        module:function or file.py:function (your own code: it is run), or a .json
        description. Default: UserLogEmbedder, PCA(128), SVC.
    n_threads
        Default: one for each processor this process may use.
    """

    pipeline: str | None = None
    n_threads: Threads = None


@dataclass(kw_only=True)
class Call(Run):
    """A call in the format of MIREX.

    Parameters
    ----------
    scratch
        Folder for features and models; made if missing.
    """

    scratch: Path

    def __call__(self, name: str, *files: Path | None, **settings: Any) -> Any:
        """Call a function of `mirex.submission`, and log to the scratch folder."""
        with _logged(self.scratch):
            from userlogfeat.mirex import submission

            run = {"pipeline": self.pipeline, "n_threads": self.n_threads}
            return getattr(submission, name)(self.scratch, *files, **run, **settings)


@mirex.command(kept=KEPT)
def extract(
    call: Call,
    feature_list: Annotated[Path, typer.Argument(metavar="LIST")],
) -> Result:
    """Extract features of the clips of a list, and keep them in SCRATCH.

    Run it again after any stop: it does what is missing. Clips that cannot be read are
    warned of, here and in SCRATCH/userlogfeat.log.

    Parameters
    ----------
    feature_list
        One path per line.
    """
    n_read, n_failed = call("extract_features", feature_list)
    return Result(
        {"output": call.scratch, "read": n_read, "failed": n_failed},
        f"{n_read} clips have features in {call.scratch}, {n_failed} cannot be read",
    )


@mirex.command(kept=KEPT)
def train(
    call: Call,
    train_list: TrainList,
    tags: Tags = False,
) -> Result:
    """Learn the classes, or tags, of a training list; keep the model in SCRATCH."""
    folder = call("train", train_list, tags=tags)
    return Result({"output": folder}, f"{train_list} was learned: {folder}")


@mirex.command(kept=KEPT)
def classify(
    call: Call,
    test_list: TestList,
    output: OutputFile,
    binary: BinaryFile = None,
    train_list: Path | None = None,
) -> Result:
    """Give each clip of a test list a class, or affinities and 0|1 for all tags.

    Of the models in SCRATCH, that is taken which learned from no clip of TESTLIST; of
    several such, the newest.

    Parameters
    ----------
    train_list
        Take the model of this training list.
    """
    call("classify", test_list, output, binary, train_list=train_list)
    return Result({"output": output}, "")


@mirex.command("train-and-classify", kept=KEPT)
def train_and_classify(
    call: Call,
    train_list: TrainList,
    test_list: TestList,
    output: OutputFile,
    binary: BinaryFile = None,
) -> Result:
    """Learn from TRAINLIST and classify TESTLIST, in one run."""
    call("train_and_classify", train_list, test_list, output, binary)
    return Result({"output": output}, "")


@mirex.command(kept="What was written is in {folder}.")
def package(
    folder: Annotated[Path, typer.Argument(metavar="OUT")],
    run: Run,
    tags: Tags = False,
    name: str = "userlogfeat",
    contact: str = "(fill in)",
    measure: str = "planted",
) -> Result:
    r"""Write the folder to hand in: scripts, model files, requirements, README.

    The scripts are run once, so that the README has measured figures.

    Parameters
    ----------
    folder
        New folder.
    name
        Name of the submission.
    contact
        Address for the README.
    measure
        Training list to measure run time and memory with; "planted": 24 planted clips
        of 30 s; "none".

    Examples
    --------
      userlogfeat mirex package submission --name "My team" --contact me@example.org
      userlogfeat mirex package submission --pipeline my_pipeline.py:make \
          --measure my_clips.txt -numThreads 4
    """
    from userlogfeat.mirex.package import write_package

    try:
        write_package(
            folder,
            **vars(run),
            tags=tags,
            name=name,
            contact=contact,
            measure=None if measure == "none" else measure,
        )
    except RuntimeError as error:  # a script failed; its own words follow
        raise ValueError(str(error)) from error
    text = f"{folder} is ready: read its README.md, then run its setup.sh once"
    return Result({"output": folder}, text)


@mirex.command(
    kept="What was done is kept in {output}; --keep-scratch uses its features again."
)
def evaluate(
    folds: Annotated[Path, typer.Argument(metavar="FOLDER")],
    submissions: Annotated[list[Path], typer.Argument(metavar="SUBMISSION...")],
    output: opt.Output,
    audio_root: Path | None = None,
    time_limit: Annotated[float, typer.Option(min=0.1)] = 86400.0,
    tags: Tags = False,
    keep_scratch: bool = False,
    n_threads: Threads = None,
) -> Result:
    r"""Run submissions on folds, as the organisers do, and report.

    Accuracy by fold and class, confusion, time, peak memory, and artists that train and
    test share; of tags, precision, recall, F and AUC. The scripts are run: evaluate
    only what you trust, or in a container.

    Parameters
    ----------
    folds
        f1_train.txt, f1_evaluate.txt, ...; f1_test.txt, f1_train_groups.txt and
        f1_evaluate_groups.txt if there are any.
    submissions
        Folders of scripts.
    audio_root
        Start of relative paths in the lists. Default: FOLDER
    time_limit
        Limit of one call of a script, in s.
    keep_scratch
        Use again what an earlier evaluation left in OUTPUT's scratch folders; by
        default it is deleted.

    Examples
    --------
      userlogfeat mirex evaluate folds submission -o results
      userlogfeat mirex evaluate folds ours theirs -o results --audio-root gtzan \
          --time-limit 3600 -numThreads 4
    """
    from userlogfeat.mirex.evaluate import evaluate as run

    names = {path.resolve().name: path for path in submissions}
    if len(names) < len(submissions):
        raise ValueError("Got two submissions of one name: rename a folder.")
    evaluation = run(
        folds,
        names,
        output,
        audio_root=audio_root,
        time_limit=time_limit,
        n_threads=n_threads,
        tags=tags,
        keep_scratch=keep_scratch,
    )
    text = (output / "report.txt").read_text(encoding="utf-8").rstrip()
    text += f"\n\nA page of this is in {output / 'report.html'}"
    failed = any(result.status != "ok" for result in evaluation.results)
    rows = evaluation.to_frame().iter_rows(named=True)
    return Result(rows, text, SOME_FAILED if failed else 0)


@contextlib.contextmanager
def _logged(scratch):
    """Log to a file in the scratch folder, and warnings to stderr."""
    if scratch.exists() and not scratch.is_dir():
        raise ValueError(
            f"Got the scratch folder {scratch}, which is a file. It comes first, "
            "before the lists."
        )
    scratch.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("userlogfeat")
    file = logging.FileHandler(scratch / LOG, encoding="utf-8", errors="replace")
    file.setFormatter(logging.Formatter("%(asctime)s %(process)d %(message)s"))
    level = logger.level
    handlers = [file, _Printer(logging.WARNING)]
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _Printer(logging.Handler):
    """Log records as lines of the command."""

    def emit(self, record):
        print_line(f"Warning: {record.getMessage()}", err=True)
