"""Several gateways on one PostgreSQL, among the same doubles, as a load balancer has them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from dev.postgres import Postgres
from servicekit.secrets import Secret
from servicekit.testing import free_port, open_channel, running
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
        first = await stack.enter_async_context(platform_of(folder, **shared, **overrides))
        others = [await stack.enter_async_context(beside(first)) for _ in range(1, number)]
        yield [first, *others]


@asynccontextmanager
async def beside(platform: Platform, **overrides: Any) -> AsyncIterator[Platform]:
    """One more gateway beside that of a platform."""
    bind = f"127.0.0.1:{free_port()}"
    settings = replace(platform.settings, http_bind=bind, **overrides)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running((mount, settings)))
        http = httpx.AsyncClient(
            base_url=f"http://{bind}",
            headers={"authorization": f"Bearer {KEY}"},
            timeout=30,
            trust_env=False,
        )
        await stack.enter_async_context(http)
        channel = await stack.enter_async_context(open_channel(server, token=Secret(KEY)))
        yield replace(
            platform, settings=settings, http=http, grpc=channel, grpc_address=server.address
        )
