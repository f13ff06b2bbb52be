#!/bin/sh
# Run once, with network: an environment in env/ beside this script. The folder was made
# by Python {{ python }}; 3.11 or newer is needed. Another one: setup.sh /path/to/python
set -eu
HERE=$(dirname -- "$(readlink -f -- "$0")")
"${1:-python3}" -m venv "$HERE/env"
"$HERE/env/bin/python" -m pip install --requirement "$HERE/requirements.txt"
