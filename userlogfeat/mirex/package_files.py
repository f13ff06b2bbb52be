"""The scripts of a submission, in MIREX's calling formats, as templates."""

import re
from importlib import metadata

REQUIREMENTS = """\
# What ran when this folder was made. userlogfeat and musicnn's weights are in lib/."""

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


def pinned_requirements():
    """What this library needs, as installed here: ``numpy==2.4.6``, ...

    Returns
    -------
    list of str
        Without what marks a local build, such as "+cpu" of torch.
    """
    lines = []
    for requirement in metadata.requires("userlogfeat") or ():
        if ";" in requirement:  # an extra
            continue
        name = re.match(r"[\w.-]+", requirement)[0]
        version = metadata.version(name).partition("+")[0]
        lines.append(f"{name}=={version}")
    return sorted(lines)
