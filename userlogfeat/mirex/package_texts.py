"""Scripts and README of the folder to hand in, from the files in ``templates/``."""

import contextlib
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from sklearn.pipeline import Pipeline

from userlogfeat._typing import PathLike
from userlogfeat.audio.formats import describe_formats
from userlogfeat.mirex.measure import Measured
from userlogfeat.mirex.requirements import (
    direct_requirements,
    pinned_requirements,
    required_modules,
)

LIB = "lib"  # folder of this library and musicnn's weights
# Scripts in MIREX's calling formats: our command, and the arguments.
SCRIPTS = {
    "extractFeatures.sh": ("extract", "FEATURELIST"),
    "TrainAndClassify.sh": ("train-and-classify", "TRAINLIST TESTLIST {output}"),
    "Train.sh": ("train", "TRAINLIST"),
    "Classify.sh": ("classify", "TESTLIST {output}"),
}


def write_scripts(
    folder: Path, pipeline: str, *, tags: bool, needs: Sequence[str] = ()
) -> None:
    """Write the four scripts, setup.sh and requirements.txt.

    Parameters
    ----------
    folder : Path
        Folder of the submission, which has a folder `lib`.
    pipeline : str
        Name of the pipeline for ``--pipeline``, relative to `folder`.
    tags : bool
        Whether the submission is to the tag task.
    needs : sequence of str
        Packages that its encoder needs, beside those of this library.
    """
    for (name, (command, _)), usage in zip(SCRIPTS.items(), _usages(tags), strict=True):
        command += " --tags" if tags and name == "Train.sh" else ""
        text = _render("script.sh", usage=usage, command=command, pipeline=pipeline)
        _write_script(folder / name, text)
    text = _render("environment.sh", modules=required_modules(needs))
    _write_text(folder / LIB / "environment.sh", text)
    version = "{}.{}".format(*sys.version_info)
    _write_script(folder / "setup.sh", _render("setup.sh", python=version))
    text = _render("requirements.txt", pins=pinned_requirements(needs))
    _write_text(folder / "requirements.txt", text)


def write_readme(
    path: PathLike,
    *,
    name: str,
    contact: str,
    pipeline: Pipeline,
    tags: bool,
    measured: Measured | None,
    needs: Sequence[str] = (),
) -> None:
    """Write the README of a submission: the fields that organisers ask for.

    Parameters
    ----------
    path : str or Path
    name, contact : str
    pipeline : Pipeline
    tags : bool
        Whether the submission is to the tag task.
    measured : Measured or None
    needs : sequence of str
        Packages that its encoder needs, beside those of this library.
    """
    data = None
    if type(pipeline.steps[0][1]).__name__ == "UserLogEmbedder":
        from userlogfeat.weights import find_model, read_config

        data = read_config(find_model(pipeline.steps[0][1].weights))["training_data"]
    text = _render(
        "README.md",
        name=name,
        contact=contact,
        steps=[" ".join(repr(step).split()) for _, step in pipeline.steps],
        tags=tags,
        usages=_usages(tags),
        python=platform.python_version(),
        direct=direct_requirements(needs),
        formats=describe_formats(),
        measured=measured,
        machine=_machine(),
        has_musicnn=(Path(path).parent / LIB / "musicnn").is_dir(),
        data=data,
    )
    _write_text(path, text)


def _usages(tags):
    """How each script is called."""
    output = "AFFINITIES BINARY" if tags else "OUTPUT"
    return [
        f"{name} [-numThreads N] SCRATCH {arguments.format(output=output)}"
        for name, (_, arguments) in SCRIPTS.items()
    ]


def _machine():
    """Name of the processor, and how many there are."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # Linux has a better name
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if "model name" in line]
        name = next(iter(names), name)
    return f"{name}, {os.cpu_count()} processors"


def _render(template, **values):
    """Fill a template; nothing is escaped, for none is HTML."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("userlogfeat.mirex"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)


def _write_text(path, text):
    """Write a text with the line ends of Unix, where it will run."""
    Path(path).write_text(text, encoding="utf-8", newline="\n")


def _write_script(path, text):
    """Write a script, with the right to run it for all who may read it."""
    _write_text(path, text)
    path.chmod(path.stat().st_mode | (path.stat().st_mode & 0o444) >> 2)
