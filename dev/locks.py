"""Write `requirements/<name>.txt`: every package pinned with its hashes, no registry named."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# what is in the image of a service beside its own extra
MORE = {"sandbox": ("science",)}
EXTRAS = (
    "gateway",
    "credentials",
    "pg-connector",
    "blob-connector",
    "file-connector",
    "sandbox",
    "inference",
    "client",
    "dev",
)
# environments apart from the platform's own
GROUPS = ("axolotl", "clients", "manifests", "sbom", "training")


def lock(name: str) -> None:
    """Resolve one extra or group for every platform and supported Python."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet"]
    if name in GROUPS:
        command += ["--group", name]
    else:
        command.append("pyproject.toml")
        for each in (name, *MORE.get(name, ())):
            command += ["--extra", each]
    command += ["--universal", "--generate-hashes", "--no-annotate"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.11"]
    command += ["--custom-compile-command", "make locks"]
    command += ["--output-file", f"requirements/{name}.txt"]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    for each in (*EXTRAS, *GROUPS):
        lock(each)
