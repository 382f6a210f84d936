"""The folder that holds the store: closed to others, used by one service, with its key."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.credentials.errors import StoreUnusable

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Home:
    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "store.db"

    def prepare(self) -> None:
        """Makes what is missing; refuses what others can reach. Raises StoreUnusable."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in (self.folder, *sorted(self.folder.iterdir())):
                _require_closed(path)
        except OSError as exc:
            raise StoreUnusable(f"{self.folder} cannot be used: {exc.strerror}") from exc

    @contextmanager
    def held(self) -> Iterator[None]:
        """Revocations are fanned out within one process, so two on one folder would not hear
        each other."""
        number = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock(number)
            yield
        finally:
            os.close(number)

    def _lock(self, number: int) -> None:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StoreUnusable(f"{self.folder} is in use by another credential service") from exc

    def require_new(self, name: str) -> None:
        """A new key for a store that is there would lock everybody out of it."""
        if self.database.exists():
            raise StoreUnusable(
                f"{self.database} is there, but {self.folder / name} is not: bring it back, "
                "or set KEY, PASSPHRASE or VAULT_TRANSIT_KEY to what it was made with"
            )

    def kept(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""
        path = self.folder / name
        return path.read_bytes() if path.exists() else None

    def keep(self, name: str, content: bytes) -> None:
        """All or nothing, also when the machine stops in the middle."""
        path = self.folder / name
        beside = path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(number)
        beside.rename(path)
        _sync(self.folder)


def _require_closed(path: Path) -> None:
    found = path.lstat()
    if found.st_uid != os.geteuid():
        raise StoreUnusable(f"{path} belongs to another user")
    if found.st_mode & _OTHERS:
        mode = "700" if path.is_dir() else "600"
        raise StoreUnusable(f"{path} is open to other users: chmod {mode} it")


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
