#!/usr/bin/env bash
# Make the environment of `make k8s-check`'s second half: checkov, in the version of requirements/manifests.txt.
# It pins much, so it has one of its own.
#
#     bash dev/manifests_env.sh VENV_DIR
#
# Run again, it does nothing until this file or the requirements change.
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: bash dev/manifests_env.sh VENV_DIR" >&2
  exit 2
fi
venv=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pins=$here/../requirements/manifests.txt
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
