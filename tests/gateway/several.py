"""Several gateways on one PostgreSQL, among the same doubles, as a load balancer has them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from dev.postgres import Postgres
from servicekit.ports import free_port
from servicekit.secrets import Secret
from servicekit.server import ServerSettings
from servicekit.testing import open_channel, running
from services.gateway.app import mount
from tests.gateway.conftest import KEY, Platform, platform_of
from tests.gateway.stores import url_of


@asynccontextmanager
async def several(
    folder: Path, postgres: Postgres, number: int = 2, **overrides: Any
) -> AsyncIterator[list[Platform]]:
    """So many gateways, each with clients of its own; files lie in one folder that all have."""
    async with postgres.database() as name, AsyncExitStack() as stack:
        shared: dict[str, Any] = {
            "database_url": Secret(url_of(postgres, name)),
            "key_hash": Secret("of-tests"),
        }
        # nobody waits for runs that a test leaves
        overrides.setdefault("hand_over_s", 1.0)
        first = await stack.enter_async_context(platform_of(folder, **shared, **overrides))
        others = [await stack.enter_async_context(beside(first)) for _ in range(1, number)]
        yield [first, *others]


@asynccontextmanager
async def beside(
    platform: Platform, *, linger_s: float = 0.0, **overrides: Any
) -> AsyncIterator[Platform]:
    """One more gateway beside that of a platform; it stops as it does at SIGTERM."""
    serves = ServerSettings(drain_s=2.0, linger_s=linger_s)
    bind = f"127.0.0.1:{free_port()}"
    settings = replace(platform.settings, http_bind=bind, **overrides)
    async with AsyncExitStack() as stack:
        # the client goes last: it is there while the gateway stops
        http = httpx.AsyncClient(
            base_url=f"http://{bind}",
            headers={"authorization": f"Bearer {KEY}"},
            timeout=30,
            trust_env=False,
        )
        await stack.enter_async_context(http)
        server = await stack.enter_async_context(running((mount, settings), server_settings=serves))
        channel = await stack.enter_async_context(open_channel(server, token=Secret(KEY)))
        yield replace(
            platform, settings=settings, http=http, grpc=channel, grpc_address=server.address
        )
