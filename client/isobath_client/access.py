"""Who may call, how much, and what was used: `Isobath.access`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from isobath.analyst.v1 import access_pb2 as messages
from isobath.analyst.v1.access_pb2_grpc import AccessServiceStub
from isobath_client.calls import Calls

SCOPES = ("read-only", "analyst", "admin")


class Access:
    """Keys, quotas and usage. What needs the scope admin raises `IsobathError` NOT_ALLOWED without
    it."""

    def __init__(self, stub: AccessServiceStub, calls: Calls) -> None:
        self._stub, self._calls = stub, calls

    def caller(self) -> messages.GetCallerResponse:
        """Who is calling, and what this caller may use."""
        request = messages.GetCallerRequest()
        return self._calls.one(self._stub.GetCaller, request, messages.GetCallerResponse)

    def create_key(
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
        return self._calls.one(self._stub.CreateKey, request, messages.CreateKeyResponse)

    def keys(self, *, ended: bool = False) -> Iterator[messages.ApiKey]:
        """Keys, newest first: all for an admin, those of the owner for others. `ended` = revoked
        and expired ones too."""
        request = messages.ListKeysRequest(include_ended=ended)
        return self._calls.pages(
            self._stub.ListKeys, request, messages.ListKeysResponse, lambda page: page.keys
        )

    def revoke_key(self, id: str) -> messages.ApiKey:
        """End a key, from the next request on. Others' need the scope admin."""
        request = messages.RevokeKeyRequest(id=id)
        return self._calls.one(self._stub.RevokeKey, request, messages.RevokeKeyResponse).key

    def usage(
        self, since: str = "", until: str = "", *, everybody: bool = False
    ) -> messages.GetUsageResponse:
        """What was used, by day, owner and key; days are such as "2026-11-24", of UTC, and 30 where
        `since` is not told. Everybody's needs the scope admin."""
        request = messages.GetUsageRequest(to=until, everybody=everybody, **{"from": since})
        return self._calls.one(self._stub.GetUsage, request, messages.GetUsageResponse)
