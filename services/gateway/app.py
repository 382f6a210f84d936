"""Joins the gateway's parts, and opens both its faces."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from servicekit.addresses import split_host_port
from servicekit.server import Server
from services.gateway.access.keys import KeyDraft
from services.gateway.access.scopes import Scope
from services.gateway.gateway import Gateway, opened
from services.gateway.http.app import application
from services.gateway.http.listener import Ending, listening
from services.gateway.servicer import register
from services.gateway.settings import Settings


@asynccontextmanager
async def mount(server: Server, settings: Settings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(opened(settings, server.tls, server.draining))
        await _first_key(gateway)
        register(server, gateway)
        host, port = split_host_port(settings.http_bind)
        watching = gateway.readiness.watching(server.draining, server.set_serving)
        await stack.enter_async_context(watching)
        ending = Ending(server.draining, server.closing, settings.server.drain_s)
        await stack.enter_async_context(listening(application(gateway), host, port, ending))
        yield


async def _first_key(gateway: Gateway) -> None:
    """Accept the key that is set; at a first start without one, make one and print it once."""
    settings = gateway.settings
    first = KeyDraft(settings.owner, name="first key", scope=Scope.ADMIN)
    if settings.api_key is not None:
        await gateway.keys.create(first, settings.api_key.reveal())
    elif key := await gateway.keys.first(first):
        print(f"API key (shown once): {key}", file=sys.stderr)  # noqa: T201
