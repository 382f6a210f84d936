"""Several replicas of every service, as processes on this machine, behind one balancer."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from dev import certs
from dev.assembly import Parts, load, logging_to, start_parts
from dev.console import Board
from dev.home import Home
from dev.identities import issue
from dev.names import NAMES
from dev.registration import api, healthy, register, sources
from dev.samples import generate
from dev.scale_out.balancer import balancing
from dev.scale_out.roster import Layout, laid_out, replicas, shared_state
from dev.settings import Settings
from dev.supervisor import Listener, Supervisor, supervised
from servicekit.secrets import Secret


@dataclass(frozen=True)
class Cluster:
    """One that answers."""

    home: Home
    layout: Layout
    parts: Parts
    key: Secret
    sources: Mapping[str, str]
    supervisor: Supervisor
    database_url: Secret

    @property
    def front(self) -> str:
        """The balancer's URL."""
        return f"http://127.0.0.1:{self.layout.front.http}"

    @property
    def front_grpc(self) -> str:
        return f"127.0.0.1:{self.layout.front.grpc}"

    @property
    def urls(self) -> list[str]:
        """Of each gateway itself."""
        return [f"http://127.0.0.1:{port}" for port in self.layout.http]


@asynccontextmanager
async def cluster(
    settings: Settings,
    home: Home,
    counts: Mapping[str, int],
    board: Board,
    given: Mapping[str, str],
) -> AsyncIterator[Cluster]:
    """Start so many of each, and stop them on leaving. `given`: variables that go before ours."""
    async with AsyncExitStack() as stack:
        stack.enter_context(home.held())
        stack.enter_context(logging_to(home.logs / "supervisor.log", settings.log_level))
        layout = laid_out(counts)
        parts = await start_parts(stack, home.scratch, board)
        company = await asyncio.to_thread(generate)
        login = await load(parts, home, company, board)
        shared = {**await shared_state(parts, home), **given}
        shown = await asyncio.to_thread(certs.issue, home.certs) if settings.mtls else None
        who = issue(NAMES, home.run, shown)
        wanted = replicas(settings, home, layout, who, shared)
        with board.step("services", f"{len(wanted)} processes"):
            supervisor = await stack.enter_async_context(
                supervised(wanted, home.run, home.logs, _listener(board))
            )
        await stack.enter_async_context(balancing(layout.gateways, layout.front))
        key = Secret(home.first_key())
        with board.step("sources", "sales, lake, files"):
            async with api(f"http://127.0.0.1:{layout.front.http}", key) as client:
                await healthy(client)
                registered = {
                    source.name: await register(client, source)
                    for source in sources(parts.postgres, login, parts.azurite)
                }
        url = parts.postgres.dsn_of("isobath_gateway").replace("sql:", "sql+asyncpg:")
        yield Cluster(home, layout, parts, key, registered, supervisor, Secret(url))


def _listener(board: Board) -> Listener:
    def ignored(*_: object) -> None:
        """Told by the step as a whole."""

    return Listener(ready=ignored, told=board.say, changed=ignored)
