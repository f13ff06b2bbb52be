"""`userlogfeat extract`: features of files."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from userlogfeat.cli import options as opt
from userlogfeat.cli.application import app
from userlogfeat.cli.console import Result, print_failures
from userlogfeat.cli.errors import SOME_FAILED

WEIGHTS = "lastfm-mpd-musicnn"
DEFAULT_LAYERS = ["max_pool", "embedding"]


@app.command(kept="What was done is kept in {output}: run the same again.")
def extract(
    output: opt.Output,
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="FILES|FOLDERS")
    ] = None,
    list_file: Annotated[str | None, typer.Option("--list")] = None,
    relative_to: Path | None = None,
    null: Annotated[bool, typer.Option("--null")] = False,
    weights: str = WEIGHTS,
    encoder: str | None = None,
    pooling: Literal["mean", "max", "meanstd"] | None = None,
    layer: list[str] | None = None,
    duration: float | None = None,
    device: opt.Device = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    batch_size: opt.BatchSize = 16,
    n_jobs: opt.Jobs = 2,
    on_error: Literal["row", "raise"] = "row",
    on_locked: Literal["error", "wait"] = "error",
    retry_failed: bool = True,
    *,
    spark: opt.Spark,
    clips_per_task: Annotated[int | None, typer.Option(min=1)] = None,
) -> Result:
    r"""Extract features of audio files into a table of Parquet parts.

    Run the same command again after any stop: it does what is missing. Files that
    changed, and files that failed, are done again. A path is the row's name just as it
    is given, or relative to --relative-to.

    Parameters
    ----------
    sources
        Folders are walked for audio.
    list_file
        File with one path per line; "-" reads stdin.
    relative_to
        Name rows by their path from this folder, however it is given: one row per file,
        and the table can move with its audio.
    null
        NUL ends the paths of --list, not newline.
    weights
        Bundled name (`userlogfeat weights`), folder, hub owner/model, a plain musicnn,
        such as MSD_musicnn, or an exported model.onnx.
    encoder
        A pretrained encoder in place of --weights: hf:owner/model, hf:FOLDER,
        torchaudio:NAME, onnx:FILE, MSD_musicnn.
    pooling
        Of an encoder's frames over the clip. Default: mean
    layer
        Layer to keep; may be repeated. Default: max_pool, embedding, those that the
        model has; the encoder's own, or all by --layer all.
    duration
        Seconds of each clip to use, from its middle.
    precision
        auto: bf16 on a GPU, fp32 elsewhere.
    on_error
        A bad file makes a row, or ends the run.
    on_locked
        While another process writes to OUTPUT.
    retry_failed
        Try clips again that failed in an earlier run.
    clips_per_task
        Files of a Spark task. Default: 16 to 64.

    Examples
    --------
      userlogfeat extract song.mp3 more/ -o features
      find . -name '*.flac' -print0 | userlogfeat extract --list - --null -o features
      userlogfeat extract --list clips.txt -o features --layer max_pool --jobs 4
      userlogfeat extract more/ -o features --encoder hf:facebook/hubert-base-ls960
      userlogfeat extract /shared/music -o /shared/features --backend spark \
          --master spark://host:7077

    Then, in Python:
      FeatureLookup("features").transform(["song.mp3"])
      polars.read_parquet("features/*.parquet")
    """
    from userlogfeat.extraction import extract as extract_clips

    clips = [*(sources or []), *read_list(list_file, null)]
    if not clips:
        raise ValueError("Got no files: name files or folders, or pass --list FILE.")
    settings = {
        "duration": duration,
        "device": device,
        "batch_size": batch_size,
        "n_jobs": n_jobs,
    }
    if encoder is not None:
        if weights != WEIGHTS:
            raise ValueError(f"Got {encoder=} and {weights=}: pass one of them.")
        settings |= {"pooling": pooling or "mean", "precision": precision}
        embedder = _make_encoder_embedder(encoder, layer, **settings)
    elif pooling is not None:
        raise ValueError(
            f"Got {pooling=}, which is of an encoder, and none. Saved models have a "
            "pooling of their own. Leave pooling= out, or pass encoder=."
        )
    else:
        embedder = _make_embedder(weights, layer, precision, **settings)
    summary = extract_clips(
        clips,
        output,
        embedder=embedder,
        on_error=on_error,
        on_locked=on_locked,
        retry_failed=retry_failed,
        backend=spark.backend,
        session=spark.session(spark__ui__showConsoleProgress="false"),
        clips_per_task=clips_per_task,
        relative_to=relative_to,
    )
    where = ": see `status` and `message` in the table"
    print_failures(summary.examples, summary.n_failed, where)
    code = SOME_FAILED if summary.n_failed else 0
    return Result({"output": output} | asdict(summary), str(summary), code)


def _make_embedder(weights, layer, precision, **settings):
    """The embedder of a saved model, a plain musicnn or an ONNX file."""
    if weights.endswith(".onnx"):
        from userlogfeat.estimators.onnx import OnnxEmbedder

        if precision == "bf16":
            raise ValueError(
                f"Got --precision bf16 with {weights}: an ONNX file has the precision "
                "that it was exported with. Leave the option out."
            )
        return OnnxEmbedder(weights, layer=tuple(layer) if layer else None, **settings)
    from userlogfeat.estimators.musicnn import MODELS, MusicnnEmbedder
    from userlogfeat.estimators.user_log import UserLogEmbedder

    settings["precision"] = precision
    if weights in MODELS:  # without a learned head
        return MusicnnEmbedder(weights, layer=tuple(layer or ["max_pool"]), **settings)
    layers = tuple(layer or _own_layers(weights))
    return UserLogEmbedder(weights, layer=layers, **settings)


def _make_encoder_embedder(encoder, layer, **settings):
    """The embedder of a pretrained encoder; digits are places of layers."""
    from userlogfeat.estimators.encoder import EncoderEmbedder

    names = [int(x) if x.lstrip("-").isdigit() else x for x in layer or ()]
    chosen = "all" if names == ["all"] else tuple(names) or None
    return EncoderEmbedder(encoder, layer=chosen, **settings)


def _own_layers(weights):
    """The default layers that a model has; all of them where it has none."""
    from userlogfeat.weights import find_model, read_config

    layers = read_config(find_model(weights))["layers"]
    return [name for name in DEFAULT_LAYERS if name in layers] or DEFAULT_LAYERS


def read_list(name: str | None, null: bool) -> list[Any]:
    """Read a list of paths: UTF-8 or any bytes, either line end, no blank lines.

    Parameters
    ----------
    name : str or None
        File with the list; ``"-"`` is stdin. None gives no paths.
    null : bool
        Whether NUL ends the paths, and not a line end.
    """
    from userlogfeat._text_lines import list_lines, without_mark

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
    if null:
        raw = without_mark(raw, f"--list {name}")
        names = [os.fsdecode(path) for path in raw.split(b"\0")]
    else:
        names = list_lines(raw, f"--list {name}")
        _refuse_table(name, names[0])
    return [name for name in names if name.strip()]


def _refuse_table(name, first):
    """Refuse a list that is a table with columns, such as a catalogue."""
    from userlogfeat._text_tables import separator_of

    separator = separator_of(Path(name))
    if separator is None or separator not in first or os.path.exists(first):
        return
    cut = "cut -f 1" if separator == "\t" else f"cut -d '{separator}' -f 1"
    raise ValueError(
        f"Got --list {name}, which is a table (its first line: {first[:60]!r}), "
        "expected a file with one path per line. Write the paths to one, without the "
        f"column's name, as by: {cut} {name} | tail -n +2 > clips.txt"
    )
