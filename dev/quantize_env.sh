#!/usr/bin/env bash
# Make the environment of `python -m training.quantize`: llm-compressor, whose pins contradict vLLM's.
#
#     bash dev/quantize_env.sh VENV_DIR
#
# Run again, it does nothing until this file or requirements/dev.txt changes. PyTorch is the one that pip finds:
# for CUDA by itself, for CPU where PIP_EXTRA_INDEX_URL names an index that has it. Where the platform's own
# environment is there, its uv installs.
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: bash dev/quantize_env.sh VENV_DIR" >&2
  exit 2
fi
venv=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pins=$here/../requirements/dev.txt
own=$here/../.venv/bin/python
stamp=$venv/.installed

if [ -f "$stamp" ] && [ "$stamp" -nt "$pins" ] && [ "$stamp" -nt "${BASH_SOURCE[0]}" ]; then
  exit 0
fi

wanted=(torch==2.13.0 llmcompressor==0.14.0.1 compressed-tensors==0.19.0 transformers==5.17.0)
# of the tests and the command, in the platform's versions
for package in typer pytest pytest-asyncio pytest-timeout hypothesis; do
  wanted+=("$(grep --extended-regexp --only-matching "^$package==[^ ;]+" "$pins")")
done

test -x "$venv/bin/python" || "${PYTHON:-python3}" -m venv "$venv"
rm -f "$stamp"
if [ -x "$own" ] && "$own" -m uv --version >/dev/null 2>&1; then
  "$own" -m uv pip install --quiet --python "$venv/bin/python" "${wanted[@]}"
else
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${wanted[@]}"
fi
touch "$stamp"
