"""An adapter in the folder that replicas follow: all of it is there under its name, or nothing."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# the one that it was trained with, where it is not the base's own
TEMPLATE = "chat_template.jinja"
# what replicas read, and what tells people where it came from
_TAKEN = (".json", ".md", ".jinja", *(Path(name).suffix for name in WEIGHTS))


class CannotPlace(Exception):
    """The text says what to do."""


def place(adapter: Path, folder: Path, name: str) -> bool:
    """Copies it to `folder`/`name`; False where the same lies there already. Whoever follows the
    folder sees it whole: it is renamed into place. Raises CannotPlace, OSError."""
    if not folder.is_dir():
        raise CannotPlace(f"{folder} is no folder: create it, or mount it here")
    check(adapter)
    there = folder / name
    if there.exists():
        if digests(there) == digests(adapter):
            return False
        raise CannotPlace(
            f"{there} holds another adapter: choose a new name for a new version, or take that "
            "one away with --unload first"
        )
    # a name with a dot before it is passed over
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as made:
        coming = Path(made) / name
        coming.mkdir()
        for each in files(adapter):
            shutil.copyfile(each, coming / each.name)
        coming.chmod(0o755)
        coming.rename(there)
    return True


def remove(folder: Path, name: str) -> bool:
    """Tells whether it was there. Raises OSError."""
    if not (folder / name).is_dir():
        return False
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as leaving:
        (folder / name).rename(Path(leaving) / name)
    return True


def check(adapter: Path) -> None:
    """Raises CannotPlace for what is no adapter's folder."""
    if not (adapter / CONFIG).is_file():
        raise CannotPlace(f"{adapter} has no {CONFIG}: give the folder that training wrote")
    if not any((adapter / name).is_file() for name in WEIGHTS):
        raise CannotPlace(
            f"{adapter} has no {WEIGHTS[0]}: training did not end, or wrote elsewhere"
        )


def files(adapter: Path) -> Iterator[Path]:
    """Those that are copied, by name."""
    for each in sorted(adapter.iterdir()):
        if each.is_file() and each.suffix in _TAKEN and not each.name.startswith("."):
            yield each


def digests(adapter: Path) -> dict[str, str]:
    """SHA-256 of the files that count for what it answers."""
    found = {}
    for name in (CONFIG, TEMPLATE, *WEIGHTS):
        if (adapter / name).is_file():
            with (adapter / name).open("rb") as opened:
                found[name] = hashlib.file_digest(opened, "sha256").hexdigest()
    return found
