"""The folder to hand in to MIREX: scripts, model files, requirements and a README.

It holds this library and musicnn's weights. Packages of PyPI are installed once by its
``setup.sh``; after that it runs offline, from any working directory, on a machine that
has never seen this library. Run time, memory and scratch space in its README are
measured: with the scripts themselves, on the machine that made the folder.
"""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

import userlogfeat
from userlogfeat._typing import PathLike
from userlogfeat.mirex.package_texts import LIB, write_readme, write_scripts
from userlogfeat.mirex.pipeline import (
    describe_pipeline,
    load_pipeline,
    source_file,
    write_description,
)

logger = logging.getLogger(__name__)

PIPELINE, WEIGHTS = "pipeline", "weights"
DESCRIPTION = "pipeline.json"


def write_package(
    folder: PathLike,
    *,
    pipeline: PathLike | Pipeline | None = None,
    tags: bool = False,
    name: str = "userlogfeat",
    contact: str = "(fill in)",
    measure: PathLike | None = "planted",
    n_threads: int | None = None,
) -> Path:
    """Write a submission.

    Parameters
    ----------
    folder : str or Path
        Missing or empty.
    pipeline : str, Path or Pipeline, optional
        As for :func:`~userlogfeat.mirex.load_pipeline`. The folder gets a description
        where one can hold it, else the file of ``file.py:function``, alone.
    tags : bool
        Whether the submission is to the tag task.
    name, contact : str
        Name and address for the README.
    measure : {"planted"}, str, Path or None
        Clips to measure run time and memory with: a training list of your own, or 24
        planted clips of 30 s. None: nothing is measured, and the README says so.
    n_threads : int, optional
        Number of threads of the measurement.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        Where the folder is not empty, or the pipeline cannot be handed in.
    RuntimeError
        Where the scripts fail on the measured clips; the folder is left to look at.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty, expected a new folder.")
    built = load_pipeline(pipeline, tags=tags)
    first = built.steps[0][1]
    if not hasattr(first, "iter_features"):
        raise ValueError(
            f"The pipeline starts with {type(first).__name__}, which knows the clips "
            "of its table alone. A submission needs an embedder that takes new ones."
        )
    (folder / PIPELINE).mkdir(parents=True, exist_ok=True)
    spec = _write_pipeline(folder / PIPELINE, pipeline, built)
    encoders = encoders_of(built)
    needs = sorted({n for encoder in encoders for n in getattr(encoder, "needs", ())})
    _write_library(folder / LIB, encoders)
    write_scripts(folder, spec, tags=tags, needs=needs)
    measured = None
    if measure is None:
        _check_alone(folder, spec)
    else:
        from userlogfeat.mirex.measure import measure_package

        source = None if measure == "planted" else measure
        measured = measure_package(folder, source, tags=tags, n_threads=n_threads)
    facts = {"name": name, "contact": contact, "tags": tags, "measured": measured}
    write_readme(folder / "README.md", pipeline=built, needs=needs, **facts)
    return folder


def _check_alone(folder, spec):
    """Make the pipeline in another process, from the folder alone."""
    if spec.endswith(DESCRIPTION):  # it needs no code but the library's
        return
    code = f"from userlogfeat.mirex import load_pipeline; load_pipeline({spec!r})"
    code = f"import os; os.chdir({str(folder.resolve())!r}); {code}"
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            cwd=elsewhere,
            env={**os.environ, "PYTHONPATH": str(folder.resolve() / LIB)},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    if done.returncode:
        raise ValueError(
            f"{spec.rpartition('/')[2]} runs here, but not from {folder} alone: "
            f"{done.stderr.strip().splitlines()[-1]}. That one file is copied, and the "
            "folders of weights beside it: put modules of your own that it imports "
            "into it."
        )


def _write_pipeline(folder, source, pipeline):
    """Write a description or code of the pipeline; return its name for scripts."""
    described = describe_pipeline(pipeline)
    if described is not None:
        copied = clone(pipeline)
        _copy_weights(copied.steps[0][1], folder)
        write_description(folder / DESCRIPTION, copied)
        return f"{PIPELINE}/{DESCRIPTION}"
    file = source_file(source)
    if file is None:
        raise ValueError(
            "The pipeline has steps of your own, so the folder needs their code: pass "
            "it as file.py:function, all in one file."
        )
    weights = getattr(pipeline.steps[0][1], "weights", None)
    if weights is not None and Path(weights).is_dir():
        weights, home = Path(weights).resolve(), file.resolve().parent
        if not weights.is_relative_to(home):
            raise ValueError(
                f"The pipeline of {file} reads {weights}, which the folder will not "
                f"have. Put it beside that file, and name it Path(__file__).parent / "
                f"{weights.name!r}."
            )
        _copy(weights, folder / weights.relative_to(home))
    shutil.copyfile(file, folder / file.name)
    return f"{PIPELINE}/{file.name}:{str(source).rpartition(':')[2]}"


def _copy_weights(embedder, folder):
    """Copy a saved model or encoder beside the description, which names the copy."""
    if type(embedder).__name__ == "EncoderEmbedder":
        _copy_encoder(embedder, folder)
    if type(embedder).__name__ == "UserLogEmbedder":
        from userlogfeat.weights import find_model

        _copy(find_model(embedder.weights), folder / WEIGHTS)
        embedder.set_params(weights=WEIGHTS)


def _copy_encoder(embedder, folder):
    """Copy the files of an encoder; those of musicnn come with its package."""
    encoder = embedder._encoder()
    if hasattr(encoder, "distribution"):
        return
    source = getattr(encoder, "folder", getattr(encoder, "path", None))
    if source is None:
        raise ValueError(
            f"The encoder {encoder.name!r} has no files that can be handed in: use one "
            "of transformers (hf:) or an ONNX file (onnx:)."
        )
    kind, place = encoder.name.partition(":")[0], WEIGHTS
    if Path(source).is_dir():
        _copy(Path(source), folder / WEIGHTS)
    else:
        place = f"{WEIGHTS}/{Path(source).name}"
        (folder / WEIGHTS).mkdir()
        shutil.copyfile(source, folder / place)
    embedder.set_params(encoder=f"{kind}:{place}")


def encoders_of(pipeline: Pipeline) -> list[Any]:
    """List the pretrained encoders that a pipeline uses.

    Parameters
    ----------
    pipeline : Pipeline

    Returns
    -------
    list of Encoder
        Empty if it needs none; those of musicnn if the embedder is not one of ours.
    """
    from userlogfeat.encoders import get_encoder
    from userlogfeat.estimators.musicnn import MODELS

    embedder = pipeline.steps[0][1]
    if type(embedder).__name__ == "MusicnnEmbedder":
        return [get_encoder(embedder.model)]
    if type(embedder).__name__ == "EncoderEmbedder":
        return [embedder._encoder()]
    if type(embedder).__name__ == "MelStatistics":
        return []
    if type(embedder).__name__ != "UserLogEmbedder":
        return [get_encoder(model) for model in MODELS]
    from userlogfeat.weights import find_model, read_config
    from userlogfeat.weights.builders import encoder_of

    encoder = encoder_of(read_config(find_model(embedder.weights))["network"])
    if encoder is not None and not hasattr(encoder, "distribution"):
        raise ValueError(
            f"The model {str(embedder.weights)!r} needs the encoder {encoder.name!r}, "
            "whose files are not part of it, so the folder would not run elsewhere. "
            "Use EncoderEmbedder in the pipeline: its files are copied."
        )
    return [] if encoder is None else [encoder]


def _write_library(folder, encoders):
    """Copy this library, and what the encoders need of the packages they come with."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    source = Path(userlogfeat.__file__).parent
    _copy(source, folder / "userlogfeat", ignore=ignore)
    _write_metadata(folder, "userlogfeat")
    for encoder in encoders:
        if hasattr(encoder, "distribution"):
            _write_distribution(folder, encoder)


def _write_distribution(folder, encoder):
    """Copy the weights of an encoder, and the licence of the package they are in."""
    name = encoder.distribution
    try:
        installed = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        logger.warning("%s is not installed: the folder has none of its weights", name)
        return
    if not (folder / name).is_dir():
        _write_metadata(folder, name)
    for file in encoder.files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(installed.locate_file(file)), folder / file)
    for file in installed.files or ():
        if file.name.upper().startswith("LICENSE"):
            shutil.copyfile(str(installed.locate_file(file)), folder / name / file.name)


def _write_metadata(folder, name):
    """The version that a library is asked for, as installers note it."""
    found = metadata.distribution(name)
    target = folder / f"{name}-{found.version}.dist-info"
    target.mkdir()
    text = found.read_text("METADATA") or found.read_text("PKG-INFO")
    (target / "METADATA").write_text(text, encoding="utf-8")


def _copy(source, target, **settings):
    """Copy a folder; the rights of its files follow the umask, as those of others."""
    shutil.copytree(source, target, copy_function=shutil.copyfile, **settings)
