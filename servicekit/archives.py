"""Folders of files that are whole or worth nothing: a manifest with every file's size and checksum
is written last, so that one without it was cut off."""

import datetime
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from servicekit.status import Fault

MANIFEST = "manifest.json"
FORMAT = 1
_PIECE_BYTES = 1024 * 1024


class ArchiveUnusable(Fault):
    """Base: not to be written, or not to be read."""


class ArchiveTaken(ArchiveUnusable):
    """Something is there already; nothing is ever overwritten."""

    remedy = "Name a folder that is not there, or an empty one."

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} is not empty")


class ArchiveNotWhole(ArchiveUnusable):
    """No manifest, or one that cannot be read."""

    remedy = "Use another backup: this one was cut off, or is none."

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"{folder} is no whole backup: {why}")


class ArchiveDamaged(ArchiveUnusable):
    """A file is missing, or not what was written."""

    remedy = "Use another backup, or another copy of this one."

    def __init__(self, folder: Path, name: str, why: str) -> None:
        super().__init__(f"{folder} is damaged: {name} {why}")


@dataclass(frozen=True)
class Entry:
    """What a file of it holds."""

    size_bytes: int
    sha256: str


class Sink:
    """Takes the bytes of one file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._digest.update(data)
        self.size_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def entry(self) -> Entry:
        return Entry(self.size_bytes, self._digest.hexdigest())


@dataclass
class Archive:
    """One that is being written, or was read. Everything here blocks."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    # what else its manifest says
    told: Mapping[str, Any] = field(default_factory=dict)
    made_at: str = ""

    @contextmanager
    def adding(self, name: str) -> Iterator[Sink]:
        """A file of it, closed to others; one that fails is none of it."""
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "wb") as file:
            sink = Sink(file)
            yield sink
            file.flush()
            os.fsync(number)
        self.entries[name] = sink.entry

    def seal(self, told: Mapping[str, Any]) -> None:
        """It is whole from here on."""
        self.told = told
        self.made_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        content = {
            "format": FORMAT,
            "made_at": self.made_at,
            **told,
            "entries": {name: asdict(entry) for name, entry in sorted(self.entries.items())},
        }
        beside = self.folder / f"{MANIFEST}.new"
        with beside.open("x") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(0o600)
        beside.rename(self.folder / MANIFEST)

    def verify(self) -> None:
        """Every file, by size and checksum. Raises `ArchiveDamaged`."""
        for name, entry in self.entries.items():
            digest = hashlib.sha256()
            for piece in self.read(name):
                digest.update(piece)
            if digest.hexdigest() != entry.sha256:
                raise ArchiveDamaged(self.folder, name, "is not what was written")

    def read(self, name: str) -> Iterator[bytes]:
        """A file's bytes. Raises `ArchiveDamaged` where there are not as many as there were."""
        entry = self.entries[name]
        try:
            with (self.folder / name).open("rb") as file:
                if os.fstat(file.fileno()).st_size != entry.size_bytes:
                    raise ArchiveDamaged(self.folder, name, "is not as long as it was")
                while piece := file.read(_PIECE_BYTES):
                    yield piece
        except FileNotFoundError as exc:
            raise ArchiveDamaged(self.folder, name, "is missing") from exc


def created(folder: Path) -> Archive:
    """A new one, in a folder that is empty or made here. Raises `ArchiveTaken`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ArchiveTaken(folder)
    return Archive(folder)


def found(folder: Path) -> Archive:
    """One that was sealed; its files are not looked at. Raises `ArchiveNotWhole`."""
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        if content.pop("format") != FORMAT:
            raise ArchiveNotWhole(folder, "its form is that of another version")
        entries = {name: Entry(**entry) for name, entry in content.pop("entries").items()}
        made_at = content.pop("made_at")
    except (FileNotFoundError, NotADirectoryError):
        raise ArchiveNotWhole(folder, f"it has no {MANIFEST}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ArchiveNotWhole(folder, f"its {MANIFEST} cannot be read") from exc
    for name in entries:
        if name.startswith("/") or ".." in name.split("/"):
            raise ArchiveNotWhole(folder, f"its {MANIFEST} names files outside of it")
    return Archive(folder, entries, content, made_at)
