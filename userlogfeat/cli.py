"""The `userlogfeat` command: from logs to factors, to a teacher, to features of files.

Heavy imports are inside the commands, so that ``--help`` is instant.
"""

import codecs
import contextlib
import errno
import os
import re
import signal
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

SOME_FAILED, USAGE, STOPPED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
DEFAULT_LAYERS = ["max_pool", "embedding"]
_SHOWN = 5  # failures that the summary describes

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Audio features for small music tasks, learned from listening logs.",
    epilog="""\b
From nothing to features:
  userlogfeat extract my_music/ -o features          with the bundled weights
  userlogfeat fit-cf plays.csv -o factors            or learn from your own logs:
  userlogfeat fit-teacher tracks.csv factors -o teacher
  userlogfeat extract my_music/ -o features --weights teacher

\b
Exit codes: 0 all well, 1 some files failed, 2 wrong usage or input,
3 stopped because the output could not be written, 130 interrupted, 143 terminated.

`userlogfeat COMMAND --help` explains a command, with examples.
With USERLOGFEAT_DEBUG=1 in the environment, errors show where they arose.""",
)


class OnError(StrEnum):
    """What to do with a file that cannot be read."""

    row = "row"
    raise_ = "raise"


class OnLocked(StrEnum):
    """What to do while another process writes."""

    error = "error"
    wait = "wait"


class Precision(StrEnum):
    """Of matrix products."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Weights(StrEnum):
    """What the logs' matrix holds."""

    count = "count"
    binary = "binary"


class Head(StrEnum):
    """What learns the factors."""

    ridge = "ridge"
    mlp = "mlp"


class Network(StrEnum):
    """What hears the clips."""

    musicnn = "musicnn"
    se_cnn = "se_cnn"


class By(StrEnum):
    """What the items of the logs are."""

    item = "item"
    artist = "artist"
    album = "album"


def _path(value):
    if not str(value):
        raise typer.BadParameter('it is empty. For the present folder pass ".".')
    return Path(value)


Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="Folder to write; made if missing.", parser=_path
    ),
]
Device = Annotated[str, typer.Option(help='"auto", "cpu", "cuda", "cuda:1", ...')]
BatchSize = Annotated[int, typer.Option(min=1, help="Clips per pass of the network.")]
Jobs = Annotated[int, typer.Option(min=1, help="Threads that decode files.")]
Seconds = Annotated[
    float | None, typer.Option(help="Hear only so much of the middle of each clip.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No bar and no summary.")]
Overwrite = Annotated[bool, typer.Option(help="Replace what is in OUTPUT.")]
Seed = Annotated[
    int,
    typer.Option(min=0, max=2**32 - 1, help="Same seed, same result (on one machine)."),
]


def _version(value):
    if value:
        import userlogfeat

        typer.echo(f"userlogfeat {userlogfeat.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it."),
    ] = False,
):
    """Options of all commands."""


@app.command(
    epilog="""\b
Examples:
  userlogfeat extract song.mp3 more/ -o features
  find . -name '*.flac' -print0 | userlogfeat extract --list - --null -o features
  userlogfeat extract --list clips.txt -o features --layer max_pool --jobs 4

\b
Then, in Python:
  FeatureLookup("features").transform(["song.mp3"])
  polars.read_parquet("features/*.parquet")"""
)
def extract(
    output: Output,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES|FOLDERS", help="Folders are walked for audio."),
    ] = None,
    list_file: Annotated[
        str | None,
        typer.Option("--list", help='File with one path a line; "-" reads stdin.'),
    ] = None,
    null: Annotated[
        bool, typer.Option("--null", help="NUL ends the paths of --list, not newline.")
    ] = False,
    weights: Annotated[
        str,
        typer.Option(
            help="Bundled name (`userlogfeat weights`), folder, hub owner/model, "
            "or a plain musicnn, such as MSD_musicnn."
        ),
    ] = "lastfm2k-musicnn",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Layer to keep; may be repeated. Default: max_pool, embedding"
        ),
    ] = None,
    duration: Seconds = None,
    device: Device = "auto",
    precision: Annotated[
        Precision, typer.Option(help="auto: bf16 on a GPU, fp32 elsewhere.")
    ] = Precision.auto,
    batch_size: BatchSize = 16,
    jobs: Jobs = 2,
    on_error: Annotated[
        OnError, typer.Option(help="A bad file makes a row, or ends the run.")
    ] = OnError.row,
    on_locked: Annotated[
        OnLocked, typer.Option(help="While another process writes to OUTPUT.")
    ] = OnLocked.error,
    retry_failed: Annotated[
        bool, typer.Option(help="Try clips again that failed in an earlier run.")
    ] = True,
    quiet: Quiet = False,
):
    """Features of audio files, into a table of Parquet parts.

    Run the same command again after any stop: it does what is missing. Files that
    changed, and files that failed, are done again. A path is the row's name just as it
    is given.
    """
    with _explained(f"What was done is kept in {output}: run the same again."):
        from userlogfeat.estimators.musicnn import MODELS, MusicnnEmbedder
        from userlogfeat.estimators.user_log import UserLogEmbedder
        from userlogfeat.extraction import extract as extract_clips

        clips = [*(sources or []), *_read_list(list_file, null)]
        if not clips:
            raise ValueError(
                "Got no files: name files or folders, or pass --list FILE."
            )
        plain = weights in MODELS  # the tagger itself, without what logs taught
        embedder = (MusicnnEmbedder if plain else UserLogEmbedder)(
            weights,
            layer=tuple(layer or (["max_pool"] if plain else DEFAULT_LAYERS)),
            duration=duration,
            device=device,
            precision=precision.value,
            batch_size=batch_size,
            n_jobs=jobs,
        )
        with _licence_told_last(quiet):
            summary = extract_clips(
                clips,
                output,
                embedder=embedder,
                on_error=on_error.value,
                on_locked=on_locked.value,
                retry_failed=retry_failed,
                progress=False if quiet else None,
            )
    if not quiet:
        _tell(str(summary))
    _tell_failures(summary)
    raise typer.Exit(SOME_FAILED if summary.n_failed else 0)


@app.command()
def weights():
    """List the bundled weights, and what they were learned from."""
    with _explained():
        from userlogfeat.weights import find_model, list_weights, read_config

        for name in list_weights():
            data = read_config(find_model(name))["training_data"]
            typer.echo(f"{name}\n  {data['description']}\n  licence: {data['licence']}")


@app.command(
    "fit-cf",
    epilog="""\b
Examples:
  userlogfeat fit-cf plays.csv -o factors --user user_id --item track_id --count n
  userlogfeat fit-cf hetrec2011-lastfm-2k/ -o factors --format hetrec-lastfm-2k \\
      --alpha 10

\b
OUTPUT gets user_factors.parquet and item_factors.parquet, one row an id:
  polars.read_parquet("factors/item_factors.parquet")     columns id, factors""",
)
def fit_cf(
    logs: Annotated[
        Path,
        typer.Argument(
            metavar="LOGS", help="csv, tsv or parquet; or a data set.", parser=_path
        ),
    ],
    output: Output,
    format: Annotated[
        str | None, typer.Option(help="A published data set, such as lastfm-360k.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Column. Default: user")] = None,
    item: Annotated[str | None, typer.Option(help="Column. Default: item")] = None,
    count: Annotated[
        str | None, typer.Option(help="Column of plays. Default: a row is one play")
    ] = None,
    weights: Annotated[
        Weights, typer.Option(help="Learn from numbers of plays, or from ones.")
    ] = Weights.count,
    min_users_per_item: Annotated[int, typer.Option(min=0)] = 1,
    min_items_per_user: Annotated[int, typer.Option(min=0)] = 1,
    factors: Annotated[int, typer.Option(min=1, help="Length of a factor.")] = 40,
    alpha: Annotated[
        float, typer.Option(help="Confidence of a play: c = 1 + alpha * count.")
    ] = 40.0,
    regularization: Annotated[float, typer.Option(help="Of the factors.")] = 0.01,
    iterations: Annotated[int, typer.Option(min=1, help="Of ALS.")] = 15,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
):
    """Learn factors of users and items from listening logs (Hu et al. 2008).

    Alpha matters: try a few, and compare how well plays you held out are ranked.
    """
    with _explained():
        from userlogfeat.estimators.cf import CFEmbedding
        from userlogfeat.factor_files import Factors, write_factors
        from userlogfeat.logs import read_logs

        _check_output(output, overwrite)
        columns = {"user": user, "item": item, "count": count}
        interactions = read_logs(
            logs,
            format,
            **{role: name for role, name in columns.items() if name is not None},
            weights=weights.value,
            min_users_per_item=min_users_per_item,
            min_items_per_user=min_items_per_user,
        )
        cf = CFEmbedding(
            n_factors=factors,
            regularization=regularization,
            alpha=alpha,
            iterations=iterations,
            random_state=seed,
        ).fit(interactions.user_items)
        made_by = {"logs": logs.name, "weights": weights.value, **cf.get_params()}
        write_factors(
            output,
            Factors(
                interactions.user_ids,
                cf.user_factors_,
                interactions.item_ids,
                cf.item_factors_,
                made_by=made_by,
            ),
        )
    if not quiet:
        _tell(f"{interactions} -> {factors} factors each, in {output}")


@app.command(
    "fit-teacher",
    epilog="""\b
Examples:
  userlogfeat fit-teacher tracks.csv factors -o teacher
  userlogfeat fit-teacher tracks.csv factors -o teacher --by artist \\
      --artist artist_id --licence "CC BY 4.0" --description "plays of 2024"

\b
Then:
  userlogfeat extract my_music/ -o features --weights teacher
  UserLogEmbedder("teacher")                            in Python""",
)
def fit_teacher(
    catalogue: Annotated[
        Path,
        typer.Argument(
            metavar="CATALOGUE",
            help="csv, tsv or parquet: which clip is which item.",
            parser=_path,
        ),
    ],
    factors: Annotated[
        Path,
        typer.Argument(
            metavar="FACTORS", help="Folder that fit-cf wrote.", parser=_path
        ),
    ],
    output: Output,
    clip: Annotated[str, typer.Option(help="Column of paths.")] = "clip",
    item: Annotated[str, typer.Option(help="Column of the logs' items.")] = "item",
    artist: Annotated[str | None, typer.Option(help="Column. Default: artist")] = None,
    by: Annotated[By, typer.Option(help="What the items of the logs are.")] = By.item,
    network: Annotated[
        Network, typer.Option(help="se_cnn is trained whole: 10,000 clips or more.")
    ] = Network.musicnn,
    model: Annotated[str, typer.Option(help="The musicnn that hears.")] = "MSD_musicnn",
    head: Annotated[Head, typer.Option(help="What learns on musicnn.")] = Head.ridge,
    channels: Annotated[int, typer.Option(help="Of se_cnn: 32 to 256.")] = 64,
    epochs: Annotated[int, typer.Option(help="At most so many.")] = 100,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder: a killed training goes on from it.")
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="bf16 trains se_cnn about twice as fast.")
    ] = Precision.auto,
    licence: Annotated[str, typer.Option(help="Of logs and audio.")] = "not stated",
    description: Annotated[str | None, typer.Option(help="Of logs and audio.")] = None,
    non_commercial: Annotated[
        bool, typer.Option("--non-commercial", help="Loading the model then warns.")
    ] = False,
    duration: Seconds = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    jobs: Jobs = 2,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
):
    """Teach a network to hear the factors, and save it.

    The frozen musicnn network hears the clips; a small head learns the factors. Its
    regularisation is chosen with every artist on one side of each split, where the
    catalogue has artists. Or the network of Lee et al. (2019), se_cnn, is trained on
    the middle 30 s of each clip. Clips whose item the logs do not know are left out.
    """
    with _explained():
        from userlogfeat.catalogue import read_catalogue
        from userlogfeat.estimators.cf_regressor import CFRegressor
        from userlogfeat.factor_files import read_factors

        _check_output(output, overwrite)
        known = read_factors(factors)
        table = read_catalogue(catalogue, clip=clip, item=item, artist=artist)
        rows, targets = table.align(known.item_factors, known.item_ids, by=by.value)
        table = table.subset(rows)
        groups = table.groups("artist") if "artist" in table.frame.columns else None
        teacher = CFRegressor(
            network=network.value,
            model=model,
            head=head.value,
            channels=channels,
            max_epochs=epochs,
            checkpoint=checkpoint,
            precision=precision.value,
            verbose=0 if quiet or network is Network.musicnn else 1,
            duration=duration,
            device=device,
            batch_size=batch_size,
            n_jobs=jobs,
            random_state=seed,
        ).fit(list(table.clips), targets, groups=groups)
        default = f"{len(rows)} clips of {catalogue.name}, factors of {factors.name}"
        teacher.save(
            output,
            training_data={
                "description": description or default,
                "licence": licence,
                "non_commercial": non_commercial,
                "factors": known.made_by,
            },
        )
    if not quiet:
        chosen = ""
        if hasattr(teacher, "alpha_"):
            chosen = f", regularisation {teacher.alpha_:g}"
        _tell(f"{len(rows)} clips taught the teacher in {output}{chosen}")


@app.command()
def info(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH", help="Feature table, factors, saved model or weights' name."
        ),
    ] = None,
):
    """Say what something is. Without PATH: versions, and what is installed."""
    with _explained():
        from userlogfeat.inspection import describe

        lines = describe(path)
        width = max(map(len, lines))
        for name, value in lines.items():
            _tell(f"{name:{width}}  {value}")


def main():
    """Run the command; the entry point of the package."""
    warnings.showwarning = _show_warning
    app()


def _read_list(name, null):
    """Paths of a list: UTF-8 or any bytes, either line end, blank lines left out."""
    if name is None:
        return []
    if name == "-":
        raw = sys.stdin.buffer.read()
    elif Path(name).is_dir() or not Path(name).exists():
        fact = "a folder" if Path(name).is_dir() else "not there"
        raise ValueError(
            f"Got --list {name!r}, which is {fact}, expected a file with one path a "
            "line. Audio, and folders of it, are named without --list."
        )
    else:
        raw = Path(name).read_bytes()
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"Got --list {name!r} in UTF-16, expected UTF-8: convert it.")
    lines = raw.removeprefix(codecs.BOM_UTF8).split(b"\0" if null else b"\n")
    if not null:
        lines = [line.removesuffix(b"\r") for line in lines]
    return [os.fsdecode(line) for line in lines if line.strip()]


def _check_output(folder, overwrite):
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, expected the name of a folder.")
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise ValueError(
            f"The folder {folder} is not empty. Pass another one, or --overwrite."
        )


class _Terminated(KeyboardInterrupt):
    """SIGTERM: stop as for Ctrl-C."""


@contextlib.contextmanager
def _sigterm_stops():
    """Let SIGTERM end the block as Ctrl-C does: files are left whole."""

    def stop(number, frame):
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _licence_told_last(quiet):
    """Tell the licence of weights in one line, once the work went well; or not."""
    from userlogfeat.weights import NonCommercialWarning

    notes, show = [], warnings.showwarning

    def keep(message, category, *where, **more):
        if issubclass(category, NonCommercialWarning):
            notes.append(message)
        else:
            show(message, category, *where, **more)

    with warnings.catch_warnings():
        warnings.showwarning = keep
        yield
    for note in notes if not quiet else ():
        _show_warning(note)


@contextlib.contextmanager
def _explained(kept="Nothing was written."):
    """Turn errors into one line and an exit code; `kept` is said of a stopped run."""
    try:
        with _sigterm_stops():
            yield
    except KeyboardInterrupt as error:
        terminated = isinstance(error, _Terminated)
        _tell(f"{'Terminated' if terminated else 'Interrupted'}. {kept}", err=True)
        raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from None
    except Exception as error:
        if os.environ.get("USERLOGFEAT_DEBUG"):
            raise
        text, code = _explanation(error)
        _tell(f"Error: {text}", err=True)
        raise typer.Exit(code) from None


def _explanation(error):
    """What to tell of an error, and the exit code."""
    from userlogfeat.audio_errors import AudioError

    if isinstance(error, AudioError):
        return str(error), SOME_FAILED
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        if error.filename is not None:
            text = f"{text}: {error.filename}"
        return text, STOPPED if error.errno in _NO_ROOM else USAGE
    if isinstance(error, ValueError | TypeError | ImportError):
        return str(error), USAGE
    text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
    return (
        f"unexpected {text}. Set USERLOGFEAT_DEBUG=1 to see where it arose.",
        USAGE,
    )


def _tell_failures(summary):
    for _, status, message in summary.examples[:_SHOWN]:
        _tell(f"{status}: {message}", err=True)
    more = summary.n_failed - min(len(summary.examples), _SHOWN)
    if more:
        _tell(f"... and {more} more: see `status` and `message` in the table", err=True)


def _tell(text, *, err=False):
    typer.echo(_printable(text), err=err)


def _printable(text):
    """Paths that are no UTF-8, shown as any terminal can."""
    raw = text.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def _show_warning(message, *_where, **_more):
    """One line, without what it advises to those who write Python."""
    text = re.split(r" (?:To silence|Pass \w+=\S+ to stop) this", str(message))[0]
    _tell(f"Note: {text}", err=True)
