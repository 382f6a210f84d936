#!/usr/bin/env bash
# Make an environment apart from the platform's own, of what a lock pins: requirements/NAME.txt. For what pins
# too much to live beside our packages: what asks the gateway from outside (clients), checkov (manifests), Axolotl.
#
#     bash dev/locked_env.sh VENV_DIR NAME
#
# Run again, it does nothing until this file or the lock changes. Where the platform's own environment is
# there, its uv installs them, in a fifth of the time that pip takes.
#
# PyTorch goes first where it is among them, and by pip, which takes a build for CPU (0.2 GB) where its index has
# one of that version, and one for CUDA with its libraries (3 GB) elsewhere; it is the one package without a hash.
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
torch=$(grep --extended-regexp --only-matching '^torch==[^ ;]+' "$pins" || true)
if [ -n "$torch" ]; then
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$torch"
  rest=$(mktemp)
  trap 'rm -f "$rest"' EXIT
  # a package of the lock is a line of its own, then its hashes; what CUDA is made of came with PyTorch, or is not needed
  awk '/^[a-z]/ { brought = /^(torch|cuda-[a-z]+|nvidia-[a-z0-9-]+)==/ } !brought' "$pins" >"$rest"
  pins=$rest
  alone=--no-deps
fi
if [ -x "$own" ] && "$own" -m uv --version >/dev/null 2>&1; then
  "$own" -m uv pip install --quiet --python "$venv/bin/python" ${alone:+"$alone"} --require-hashes --requirements "$pins"
else
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check ${alone:+"$alone"} --require-hashes -r "$pins"
fi
touch "$stamp"
