#!/bin/sh
# {{ usage }}
set -eu
HERE=$(dirname -- "$(readlink -f -- "$0")")
. "$HERE/lib/environment.sh"
require_python
exec "$PYTHON" -P -m userlogfeat mirex {{ command }} --quiet \
    --pipeline "$HERE/{{ pipeline }}" "$@"
