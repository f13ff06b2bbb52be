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

# If that Python lacks the requirements, print what to do; nothing is imported here.
require_python() {
    "$PYTHON" -P -c 'import sys
from importlib.util import find_spec
sys.exit(any(find_spec(name) is None for name in sys.argv[1:]))' {{ modules|join(" ") }} && return
    echo "$PYTHON lacks what requirements.txt lists: run $HERE/setup.sh once, or set" \
        "USERLOGFEAT_PYTHON to a Python that has it." >&2
    exit 2
}
