"""A folder that is written whole or not at all, and what can be told of one."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

GIB = 2**30


class CannotWrite(Exception):
    """The text says what to do."""


@contextmanager
def whole(output: Path) -> Iterator[Path]:
    """A folder to write to, which takes the name `output` when it is left without an error; else
    nothing stays. Raises CannotWrite where there is something already."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise CannotWrite(f"{output} is there already: name another --output, or remove it")
    output.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}-"))
    try:
        yield made
        _finished(made)
        # takes the place of an empty folder too
        made.rename(output)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _finished(folder: Path) -> None:
    """Readable, and on the disk before it has its name: a machine that fails then leaves no half of
    it."""
    for each in (*folder.iterdir(), folder):
        # some libraries write files for their own account only; servers run as another
        each.chmod(0o755 if each.is_dir() else 0o644)
        opened = os.open(each, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def require_room(output: Path, wanted_bytes: int) -> None:
    """Raises CannotWrite where the disk has less left than what is to be written."""
    there = next(each for each in (output, *output.resolve().parents) if each.exists())
    free = shutil.disk_usage(there).free
    if free < wanted_bytes:
        raise CannotWrite(
            f"{there} has {free / GIB:.1f} GiB left, and {wanted_bytes / GIB:.1f} GiB are to be "
            "written: make room, or name an --output on another disk"
        )


def available_memory_bytes(meminfo: str) -> int:
    """From the text of /proc/meminfo; 0 = not told."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def weights_bytes(folder: Path) -> int:
    return sum(each.stat().st_size for each in weights(folder))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, by name."""
    found = {}
    for each in sorted(folder.iterdir()):
        if each.is_file():
            with each.open("rb") as opened:
                found[each.name] = hashlib.file_digest(opened, "sha256").hexdigest()
    return found


def versions(*packages: str) -> Mapping[str, str]:
    """Of those that are installed."""
    found = {}
    for each in packages:
        try:
            found[each] = version(each)
        except PackageNotFoundError:
            continue
    return found
