"""Scripts, requirements and README to hand in, from the files in ``templates/``."""

import os
import platform
import re
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path

from sklearn.pipeline import Pipeline

from userlogfeat._templates import render_text
from userlogfeat._typing import PathLike
from userlogfeat.audio.formats import describe_formats
from userlogfeat.mirex.measure import Measured

LIB = "lib"  # folder of this library and musicnn's weights
# Scripts in MIREX's calling formats: our command, and the arguments.
SCRIPTS = {
    "extractFeatures.sh": ("extract", "FEATURELIST"),
    "TrainAndClassify.sh": ("train-and-classify", "TRAINLIST TESTLIST {output}"),
    "Train.sh": ("train", "TRAINLIST"),
    "Classify.sh": ("classify", "TESTLIST {output}"),
}

_render = partial(render_text, "userlogfeat.mirex")
# Where a package is imported by another name than it is installed by.
_MODULES = {"huggingface-hub": "huggingface_hub", "scikit-learn": "sklearn"}


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


def direct_requirements(more: Sequence[str] = ()) -> list[str]:
    """List what this library itself asks for: ``numpy==2.4.6``, ...

    Parameters
    ----------
    more : sequence of str
        Further packages, which an encoder needs.

    Returns
    -------
    list of str
        Without the mark of a local build, such as "+cpu" of torch.
    """
    return sorted(_pin(name) for name, _ in _direct(more))


def required_modules(more: Sequence[str] = ()) -> list[str]:
    """Return the modules to import of these packages: list of str."""
    names = sorted(name for name, _ in _direct(more))
    return [_MODULES.get(name, name) for name in names]


def pinned_requirements(more: Sequence[str] = ()) -> list[str]:
    """List all that this library needs, and what that needs in turn.

    Parameters
    ----------
    more : sequence of str
        Further packages, which an encoder needs.

    Returns
    -------
    list of str
        A package for some systems only keeps its condition:
        ``nvidia-nccl-cu12==2.28.9; platform_system == "Linux"``.
    """
    found = {}
    todo = deque(_direct(more))
    while todo:
        name, marker = todo.popleft()
        if name in found:
            continue
        found[name] = marker
        for needed, own in _needs(name):
            both = [part for part in (marker, own) if part]
            condition = " and ".join(f"({part})" for part in both) if both[1:] else ""
            condition = condition or "".join(both)
            # Packages that are needed everywhere come first, and keep no condition.
            (todo.append if condition else todo.appendleft)((needed, condition))
    pins = {name: _pin(name) for name in sorted(found)}
    return [
        f"{pins[name]}; {found[name]}" if found[name] else pins[name] for name in pins
    ]


def _direct(more):
    return [*_needs("userlogfeat"), *((name, "") for name in more)]


def _needs(name):
    """Packages that an installed one asks for and that are here, with conditions."""
    needs = []
    for line in metadata.requires(name) or ():
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        if re.search(r"\bextra\b", marker):
            continue
        needed = re.match(r"[\w.-]+", requirement)[0]
        with suppress(metadata.PackageNotFoundError):  # of another system
            metadata.distribution(needed)
            needs.append((re.sub(r"[-_.]+", "-", needed).lower(), marker))
    return needs


def _pin(name):
    return f"{name}=={metadata.version(name).partition('+')[0]}"


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
    with suppress(OSError):  # Linux has a better name
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if "model name" in line]
        name = next(iter(names), name)
    return f"{name}, {os.cpu_count()} processors"


def _write_text(path, text):
    """Write a text with the line ends of Unix, where it will run."""
    Path(path).write_text(text, encoding="utf-8", newline="\n")


def _write_script(path, text):
    """Write a script, with the right to run it for all who may read it."""
    _write_text(path, text)
    path.chmod(path.stat().st_mode | (path.stat().st_mode & 0o444) >> 2)
