"""Write `requirements/<extra>.txt`: every package pinned with its hashes, no registry named."""

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


def lock(extra: str) -> None:
    """Resolve one extra for every platform and supported Python."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "pyproject.toml"]
    for each in (extra, *MORE.get(extra, ())):
        command += ["--extra", each]
    command += ["--universal", "--generate-hashes", "--no-annotate"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.11"]
    command += ["--custom-compile-command", "make locks"]
    command += ["--output-file", f"requirements/{extra}.txt"]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    for each in EXTRAS:
        lock(each)
