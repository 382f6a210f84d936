#!/usr/bin/env bash
# Make an environment apart from the platform's own, of what a lock pins: requirements/NAME.txt. For what pins
# too much to live beside our packages: what asks the gateway from outside (clients), checkov (manifests).
#
#     bash dev/locked_env.sh VENV_DIR NAME
#
# Run again, it does nothing until this file or the lock changes. Where the platform's own environment is
# there, its uv installs them, in a fifth of the time that pip takes.
set -euo pipefail

if [ $# -ne 2 ]; then
  echo "usage: bash dev/locked_env.sh VENV_DIR NAME" >&2
  exit 2
fi
venv=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pins=$here/../requirements/$2.txt
own=$here/../.venv/bin/python
stamp=$venv/.installed

if [ -f "$stamp" ] && [ "$stamp" -nt "$pins" ] && [ "$stamp" -nt "${BASH_SOURCE[0]}" ]; then
  exit 0
fi

test -x "$venv/bin/python" || "${PYTHON:-python3}" -m venv "$venv"
rm -f "$stamp"
if [ -x "$own" ] && "$own" -m uv --version >/dev/null 2>&1; then
  "$own" -m uv pip install --quiet --python "$venv/bin/python" --require-hashes --requirements "$pins"
else
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$pins"
fi
touch "$stamp"
