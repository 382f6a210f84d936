"""What every gRPC servicer of the gateway begins with: who calls."""

from typing import Any

import grpc

from services.gateway.access.scopes import Scope
from services.gateway.callers import Caller
from services.gateway.gateway import Gateway

Context = grpc.aio.ServicerContext[Any, Any]


class Authenticated:
    """A servicer over the gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def caller(self, context: Context, needs: Scope) -> Caller:
        """Who calls, let in. Raises `Unauthenticated`, `NotAllowed`, `QuotaExceeded`."""
        headers = {str(key): value for key, value in context.invocation_metadata() or ()}
        return await self.gateway.admit(str(headers.get("authorization", "")), needs)
