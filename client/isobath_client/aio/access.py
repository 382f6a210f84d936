"""Who may call, how much, and what was used: `isobath.access`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

from isobath.analyst.v1 import access_pb2 as messages
from isobath.analyst.v1.access_pb2_grpc import AccessServiceStub
from isobath_client.aio.calls import AsyncCalls


class AsyncAccess:
    """Keys, quotas and usage. What needs the scope admin raises `NotAllowed` without it."""

    def __init__(self, stub: AccessServiceStub, calls: AsyncCalls) -> None:
        self._stub, self._calls = stub, calls

    async def caller(self) -> messages.GetCallerResponse:
        """Who is calling, and what this caller may use."""
        request, reply = messages.GetCallerRequest(), messages.GetCallerResponse
        return await self._calls.one(self._stub.GetCaller, request, reply, safe=True)

    async def create_key(
        self,
        owner: str = "",
        *,
        name: str = "",
        scope: str = "analyst",
        teams: Sequence[str] = (),
        quota: Mapping[str, int] | None = None,
        lifetime: timedelta | None = None,
    ) -> messages.CreateKeyResponse:
        """Make a key for `owner` (empty = the caller's own), shown this once as `secret`. `quota`
        by the names of `Quota`'s fields. Needs the scope admin."""
        request = messages.CreateKeyRequest(
            owner=owner,
            name=name,
            scope="SCOPE_" + scope.upper().replace("-", "_"),
            teams=teams,
            quota=messages.Quota(**(quota or {})),
            lifetime=lifetime,
        )
        return await self._calls.one(self._stub.CreateKey, request, messages.CreateKeyResponse)

    async def keys(self, *, ended: bool = False) -> AsyncIterator[messages.ApiKey]:
        """Keys, newest first: all for an admin, those of the owner for others. `ended` = revoked
        and expired ones too."""
        request = messages.ListKeysRequest(include_ended=ended)
        pages = self._calls.pages(
            self._stub.ListKeys, request, messages.ListKeysResponse, lambda page: page.keys
        )
        async for key in pages:
            yield key

    async def update_key(
        self,
        id: str,
        *,
        name: str | None = None,
        teams: Sequence[str] | None = None,
        quota: Mapping[str, int] | None = None,
    ) -> messages.ApiKey:
        """Change a key, from the next request on; None = as it is. Needs the scope admin."""
        request = messages.UpdateKeyRequest(
            id=id,
            name=name,
            teams=None if teams is None else messages.Teams(names=teams),
            quota=None if quota is None else messages.Quota(**quota),
        )
        return (
            await self._calls.one(self._stub.UpdateKey, request, messages.UpdateKeyResponse)
        ).key

    async def revoke_key(self, id: str) -> messages.ApiKey:
        """End a key, from the next request on. Others' need the scope admin."""
        request, reply = messages.RevokeKeyRequest(id=id), messages.RevokeKeyResponse
        return (await self._calls.one(self._stub.RevokeKey, request, reply, safe=True)).key

    async def usage(
        self, since: str = "", until: str = "", *, everybody: bool = False
    ) -> messages.GetUsageResponse:
        """What was used, by day, owner and key; days are such as "2026-11-24", of UTC, and 30 where
        `since` is not told. Everybody's needs the scope admin."""
        request = messages.GetUsageRequest(to=until, everybody=everybody, **{"from": since})
        reply = messages.GetUsageResponse
        return await self._calls.one(self._stub.GetUsage, request, reply, safe=True)
