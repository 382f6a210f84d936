"""The whole platform on this machine: real parts, sample company, services, three sources."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev import certs
from dev.azurite import Azurite, azurite
from dev.console import Board, Step
from dev.home import Home
from dev.identities import issue
from dev.names import NAMES
from dev.postgres import Postgres, postgres
from dev.registration import api, healthy, register, sources
from dev.roster import Ports, operator, ports, services
from dev.samples import Company, generate
from dev.samples.load import Login, load_blobs, load_files, load_postgres
from dev.settings import Settings
from dev.supervisor import Listener, Service, Supervisor, supervised
from servicekit import logs
from servicekit.secrets import Secret


@dataclass(frozen=True)
class Parts:
    """What stands in for a customer's own servers."""

    postgres: Postgres
    azurite: Azurite


@dataclass(frozen=True)
class Platform:
    """A platform that answers."""

    home: Home
    ports: Ports
    key: Secret
    sources: dict[str, str]
    company: Company
    parts: Parts
    supervisor: Supervisor

    def write_ready(self) -> None:
        """Tell others where everything is; anew after each restart, since pids change."""
        self.home.write_ready(
            {
                "http": self.ports.url,
                "grpc": self.ports.address("gateway"),
                "api_key": self.key.reveal(),
                "sources": self.sources,
                "pids": self.supervisor.pids
                | {"postgres": self.parts.postgres.pid, "azurite": self.parts.azurite.pid},
            }
        )


@asynccontextmanager
async def platform(
    settings: Settings, home: Home, board: Board, given: Mapping[str, str]
) -> AsyncIterator[Platform]:
    """Start everything, and stop it on leaving, also when cancelled half way. For `given` see
    `dev.roster.services`.

    Raises AlreadyRunning, or what the part, service or source raised that failed, alone or in an
    ExceptionGroup.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(home.held())
        stack.enter_context(logging_to(home.logs / "supervisor.log", settings.log_level))
        places = ports(settings)
        parts = await start_parts(stack, home.scratch, board)
        listener = _Listener(board)
        with board.step("sample company", "Meridian Outdoor"):
            company = await asyncio.to_thread(generate)
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(load(parts, home, company, board))
            shown = await asyncio.to_thread(certs.issue, home.certs) if settings.mtls else None
            who = issue((*NAMES, certs.OPERATOR), home.run, shown)
            home.write_environment(certs.OPERATOR, operator(places, who))
            wanted = services(settings, home, places, who, given)
            supervisor = await _start_services(stack, home, wanted, listener)
        key = Secret(home.first_key())
        registered = await _register(parts, loading.result(), places, key, board)
        running = Platform(home, places, key, registered, company, parts, supervisor)
        listener.running = running
        yield running


class _Listener:
    """Shows what happens to services, and keeps ready.json true once there is one."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._ready: list[str] = []
        self.step: Step | None = None
        self.running: Platform | None = None

    def ready(self, name: str) -> None:
        self._ready.append(name)
        if self.step is not None:
            self.step.at(len(self._ready), len(NAMES), ", ".join(self._ready))

    def changed(self) -> None:
        if self.running is not None:
            self.running.write_ready()

    def told(self, sentence: str) -> None:
        self._board.say(sentence)

    @contextmanager
    def showing(self) -> Iterator[None]:
        with self._board.step("services") as step:
            self.step = step
            yield


async def start_parts(stack: AsyncExitStack, folder: Path, board: Board) -> Parts:
    with board.step("PostgreSQL"):
        database = await stack.enter_async_context(postgres(folder / "postgres"))
    with board.step("Azurite"):
        storage = await stack.enter_async_context(azurite(folder / "azurite"))
    return Parts(database, storage)


async def load(parts: Parts, home: Home, company: Company, board: Board) -> Login:
    with board.step("shop", "rows into PostgreSQL") as rows:
        login = await load_postgres(
            parts.postgres, company, lambda _, done, all_: rows.at(done, all_, f"{done:,} rows")
        )
    with board.step("lake", "blobs into Azurite") as blobs:
        await load_blobs(
            parts.azurite, company, lambda _, done, all_: blobs.at(done, all_, f"{done} blobs")
        )
    with board.step("files", "into a folder"):
        await asyncio.to_thread(load_files, home.files)
    return login


async def _start_services(
    stack: AsyncExitStack, home: Home, wanted: list[Service], listener: _Listener
) -> Supervisor:
    for service in wanted:
        home.write_environment(service.name, service.environment)
    hears = Listener(ready=listener.ready, told=listener.told, changed=listener.changed)
    with listener.showing():
        return await stack.enter_async_context(supervised(wanted, home.run, home.logs, hears))


async def _register(
    parts: Parts, login: Login, places: Ports, key: Secret, board: Board
) -> dict[str, str]:
    with board.step("sources", "sales, lake, files"):
        async with api(places.url, key) as client:
            await healthy(client)
            return {
                source.name: await register(client, source)
                for source in sources(parts.postgres, login, parts.azurite)
            }


@contextmanager
def logging_to(path: Path, level: str) -> Iterator[None]:
    path.touch(mode=0o600)
    with path.open("a", buffering=1) as stream:
        logs.configure("supervisor", level=level, stream=stream)
        try:
            yield
        finally:
            logs.configure("supervisor", level="CRITICAL")
