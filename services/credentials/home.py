"""The folder that holds the store: closed to others, used by one service, with its key."""

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servicekit.secrets import Secret
from services.credentials.errors import StoreUnusable
from services.credentials.sealing import new_key, parse_keys

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Home:
    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "store.db"

    @property
    def key_file(self) -> Path:
        return self.folder / "store.key"

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

    def keys(self) -> tuple[Secret, ...]:
        """Those of the key file, which is made when the store is. Raises StoreUnusable."""
        if self.key_file.exists():
            return parse_keys(Secret(self.key_file.read_bytes()))
        if self.database.exists():
            raise StoreUnusable(
                f"{self.database} is there, but its key {self.key_file} is not: bring it back, "
                "or set KEY or KEY_FILE to it"
            )
        keys = (new_key(),)
        self.write_keys(keys)
        return keys

    def write_keys(self, keys: Sequence[Secret]) -> None:
        """All or nothing, also when the machine stops in the middle."""
        text = b"".join(key.reveal_bytes() + b"\n" for key in keys)
        beside = self.key_file.with_suffix(".new")
        beside.unlink(missing_ok=True)
        number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(number)
        beside.rename(self.key_file)
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
