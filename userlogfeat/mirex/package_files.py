"""The scripts of a submission, in MIREX's calling formats, as templates."""

import re
from collections import deque
from contextlib import suppress
from importlib import metadata

REQUIREMENTS = """\
# What ran when this folder was made, down to what needs nothing more. userlogfeat and
# musicnn's weights are in lib/."""

# Where a package is imported by another name than it is installed by.
_MODULES = {"huggingface-hub": "huggingface_hub", "scikit-learn": "sklearn"}

ENVIRONMENT = """\
# Sourced by the scripts: which Python, and this folder's library, offline.
if [ -n "${USERLOGFEAT_PYTHON:-}" ]; then
    PYTHON=$USERLOGFEAT_PYTHON
elif [ -x "$HERE/env/bin/python" ]; then
    PYTHON=$HERE/env/bin/python
else
    PYTHON=python3
fi
export PYTHONPATH="$HERE/lib"
export PYTHONDONTWRITEBYTECODE=1
export HF_HUB_OFFLINE=1

# Say what to do where that Python lacks the requirements; nothing is imported here.
require_python() {
    "$PYTHON" -P -c 'import sys
from importlib.util import find_spec
sys.exit(any(find_spec(name) is None for name in sys.argv[1:]))' @MODULES@ && return
    echo "$PYTHON lacks what requirements.txt lists: run $HERE/setup.sh once, or set" \
        "USERLOGFEAT_PYTHON to a Python that has it." >&2
    exit 2
}
"""

SETUP = """\
#!/bin/sh
# Once, with network: an environment in env/ beside this script. Python @PYTHON@ made
# the folder; 3.11 or newer is needed. Another one: setup.sh /path/to/python
set -eu
HERE=$(dirname -- "$(readlink -f -- "$0")")
"${1:-python3}" -m venv "$HERE/env"
"$HERE/env/bin/python" -m pip install --requirement "$HERE/requirements.txt"
"""

_SCRIPT = """\
#!/bin/sh
# {usage}
set -eu
HERE=$(dirname -- "$(readlink -f -- "$0")")
. "$HERE/lib/environment.sh"
require_python
exec "$PYTHON" -P -m userlogfeat mirex {command} --quiet \\
    --pipeline "$HERE/@PIPELINE@" "$@"
"""

_EXTRACT = "extractFeatures.sh [-numThreads N] SCRATCH FEATURELIST"
_TRAIN = "Train.sh [-numThreads N] SCRATCH TRAINLIST"
_CLASSIFY = "Classify.sh [-numThreads N] SCRATCH TESTLIST {output}"
_BOTH = "TrainAndClassify.sh [-numThreads N] SCRATCH TRAINLIST TESTLIST {output}"
OUTPUTS = {False: "OUTPUT", True: "AFFINITIES BINARY"}  # by whether it is of tags


def _scripts(tags):
    output = OUTPUTS[tags]
    commands = {
        _EXTRACT: "extract",
        _TRAIN: "train --tags" if tags else "train",
        _CLASSIFY.format(output=output): "classify",
        _BOTH.format(output=output): "train-and-classify",
    }
    return {
        usage.partition(" ")[0]: _SCRIPT.format(usage=usage, command=command)
        for usage, command in commands.items()
    }


SCRIPTS = {tags: _scripts(tags) for tags in (False, True)}
USAGES = {
    tags: [
        usage.format(output=OUTPUTS[tags])
        for usage in (_EXTRACT, _BOTH, _TRAIN, _CLASSIFY)
    ]
    for tags in (False, True)
}


def direct_requirements() -> list[str]:
    """What this library itself asks for, as installed here: ``numpy==2.4.6``, ...

    Returns
    -------
    list of str
        Without what marks a local build, such as "+cpu" of torch.
    """
    return sorted(_pin(name) for name, _ in _needs("userlogfeat"))


def required_modules() -> list[str]:
    """What of it is imported by name: list of str."""
    names = sorted(name for name, _ in _needs("userlogfeat"))
    return [_MODULES.get(name, name) for name in names]


def pinned_requirements() -> list[str]:
    """All that this library needs, and what that needs in turn, as installed here.

    Returns
    -------
    list of str
        What is for some systems only keeps the condition that says for which:
        ``nvidia-nccl-cu12==2.28.9; platform_system == "Linux"``.
    """
    found = {}
    todo = deque((name, marker) for name, marker in _needs("userlogfeat"))
    while todo:
        name, marker = todo.popleft()
        if name in found:
            continue
        found[name] = marker
        for needed, own in _needs(name):
            both = [part for part in (marker, own) if part]
            condition = " and ".join(f"({part})" for part in both) if both[1:] else ""
            condition = condition or "".join(both)
            # What is needed everywhere is met first, and stays so.
            (todo.append if condition else todo.appendleft)((needed, condition))
    pins = {name: _pin(name) for name in sorted(found)}
    return [
        f"{pins[name]}; {found[name]}" if found[name] else pins[name] for name in pins
    ]


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
