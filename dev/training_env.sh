#!/usr/bin/env bash
# Make the environment of training, of what requirements/training.txt pins.
#
#     bash dev/training_env.sh VENV_DIR
#
# Run again, it does nothing until this file or the lock changes. PyTorch goes first, by pip, which takes a
# build for CPU (200 MB) where its index has one of this version, and one for CUDA with its libraries (3 GB)
# elsewhere; then the rest, without those libraries. On a machine with a GPU,
# `pip install --require-hashes -r requirements/training.txt` gives the same, all of it by hash.
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: bash dev/training_env.sh VENV_DIR" >&2
  exit 2
fi
venv=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pins=$here/../requirements/training.txt
own=$here/../.venv/bin/python
stamp=$venv/.installed

if [ -f "$stamp" ] && [ "$stamp" -nt "$pins" ] && [ "$stamp" -nt "${BASH_SOURCE[0]}" ]; then
  exit 0
fi

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

test -x "$venv/bin/python" || "${PYTHON:-python3}" -m venv "$venv"
rm -f "$stamp"
pip install --quiet "$(grep --extended-regexp --only-matching '^torch==[^ ;]+' "$pins")"
rest=$(mktemp)
trap 'rm -f "$rest"' EXIT
# a package of the lock is a line of its own, then its hashes
awk '/^[a-z]/ { brought = /^(torch|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==/ } !brought' "$pins" >"$rest"
if [ -x "$own" ] && "$own" -m uv --version >/dev/null 2>&1; then
  "$own" -m uv pip install --quiet --compile-bytecode --python "$venv/bin/python" --no-deps --require-hashes --requirements "$rest"
else
  pip install --quiet --no-deps --require-hashes -r "$rest"
fi
touch "$stamp"
