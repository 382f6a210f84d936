"""A copy of the service's home: the store as it is at one moment, and the keys that lie beside it.

Blocking; the service may run meanwhile."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from servicekit import archives
from servicekit.archives import Archive
from servicekit.status import Fault
from services.credentials.home import Home

_KIND = "credentials"
_ATTEMPTS, _PAUSE_S = 50, 0.05
# of the service at work, and of SQLite at work
_PASSING = ("lock",)
_BESIDE = ("-wal", "-shm", "-journal", ".new")
_PIECE_BYTES = 1024 * 1024


class CopyRefused(Fault):
    """What stands in the way; nothing was changed then."""


def make(home: Home, folder: Path) -> Archive:
    """Into an empty folder. Raises `ArchiveTaken`, `CopyRefused`."""
    if not home.database.is_file():
        remedy = "Set HOME as the service has it."
        raise CopyRefused(f"there is no store of this service in {home.folder}", remedy=remedy)
    archive = archives.created(folder)
    with TemporaryDirectory(prefix=".snapshot-", dir=folder) as beside:
        copy = Path(beside) / home.database.name
        for name, content in _copied(home, copy).items():
            with archive.adding(name) as sink:
                sink.write(content)
        with archive.adding(home.database.name) as sink, copy.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                sink.write(piece)
    archive.seal({"what": _KIND})
    return archive


def _copied(home: Home, copy: Path) -> dict[str, bytes]:
    """The store into a file; and those beside it, which open it: not of before keys were rotated
    where the store is of afterwards."""
    for _ in range(_ATTEMPTS):
        before = _keys(home)
        copy.unlink(missing_ok=True)
        _copy(home.database, copy)
        if _keys(home) == before:
            return before
        time.sleep(_PAUSE_S)
    remedy = "Wait until RotateKeys is done, and try again."
    raise CopyRefused("the store's keys change all the time", remedy=remedy)


def _keys(home: Home) -> dict[str, bytes]:
    """The home's other files."""
    return {
        path.name: path.read_bytes()
        for path in sorted(home.folder.iterdir())
        if path.is_file() and path.name not in (*_PASSING, home.database.name)
        if not path.name.endswith(_BESIDE)
    }


def _copy(source: Path, copy: Path) -> None:
    """By SQLite's own backup, which takes what is in its log too."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as read, closing(sqlite3.connect(copy)) as written:
        read.backup(written)


def check(folder: Path) -> Archive:
    """Whether a copy is whole, and what was written. Raises `ArchiveUnusable`, `CopyRefused`."""
    archive = archives.found(folder)
    if archive.told.get("what") != _KIND:
        remedy = "Restore it with the service that it is of."
        raise CopyRefused(f"{folder} is no backup of the credential service", remedy=remedy)
    archive.verify()
    return archive


def restore(home: Home, folder: Path) -> Archive:
    """Into a home that is not there, or empty. Raises `ArchiveUnusable`, `CopyRefused`."""
    archive = check(folder)
    home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # the store comes last: a restore that was cut off leaves none, and may be repeated
    if home.database.exists():
        remedy = "Name a new home: a restore never overwrites."
        raise CopyRefused(f"there is a store in {home.folder} already", remedy=remedy)
    home.prepare()
    for name in sorted(archive.entries, key=lambda each: each == home.database.name):
        home.keep(name, b"".join(archive.read(name)))
    return archive
