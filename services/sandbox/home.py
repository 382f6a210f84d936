"""The service's folder: slots, workspaces, and the library that kernels read."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servicekit import logs
from servicekit.settings import SettingsError
from services.sandbox.isolation.port import KERNEL_PACKAGE, Account
from services.sandbox.kernel.libraries import FONTS
from services.sandbox.pool import end_leftovers
from services.sandbox.workspace import remove_tree

_log = logs.get(__name__)


class Home:
    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.slots = self.path / "slots"
        self.workspaces = self.path / "workspaces"
        self.library = self.path / "library"
        self.fonts = self.library / FONTS

    @contextmanager
    def held(self, account: Account) -> Iterator[None]:
        """Keeps it to this process, tidy. Raises SettingsError where it cannot be used."""
        self._make()
        self._reachable(account)
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                raise SettingsError([f"another sandbox uses {self.path}"]) from exc
            self._tidy()
            try:
                yield
            finally:
                remove_tree(self.slots)
                remove_tree(self.workspaces)

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            found = self.path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                raise SettingsError([f"{self.path} is not this account's own folder"])
            self.path.chmod(0o711)
        except OSError as exc:
            raise SettingsError([f"{self.path} cannot be used: {exc.strerror}"]) from exc

    def _reachable(self, account: Account) -> None:
        """Kernels run as other accounts have to get through every folder on the way."""
        if not account.switch:
            return
        for folder in self.path.resolve().parents:
            if not folder.stat().st_mode & stat.S_IXOTH:
                raise SettingsError(
                    [
                        f"ISOBATH_SANDBOX_HOME is {self.path}, but kernels, which run as uid "
                        f"{account.uid}, cannot pass {folder}: choose a folder that every account "
                        f"can reach, such as /var/lib/isobath/sandbox, or chmod o+x {folder}"
                    ]
                )

    def _tidy(self) -> None:
        """What a killed service left."""
        left = end_leftovers(self.slots)
        if left:
            _log.warning("leftovers_ended", processes=left)
        for folder in (self.slots, self.workspaces):
            remove_tree(folder)
            folder.mkdir(mode=0o711)
            folder.chmod(0o711)
        install_kernel(Path(__file__).parent / "kernel", self.library, KERNEL_PACKAGE)

    def keep_fonts(self, files: dict[str, bytes]) -> None:
        self.fonts.mkdir(exist_ok=True)
        self.fonts.chmod(0o755)
        for name, content in files.items():
            (self.fonts / name).write_bytes(content)
            (self.fonts / name).chmod(0o644)


def install_kernel(source: Path, library: Path, package: str) -> None:
    """Copies the kernel's code to where a sandbox can read it."""
    target = library / package
    target.mkdir(parents=True, exist_ok=True)
    for folder in (library, target):
        folder.chmod(0o755)
    for file in source.glob("*.py"):
        copy = target / file.name
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o644)
