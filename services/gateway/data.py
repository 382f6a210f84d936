"""What callers do with the data in a source: each call under a grant of its own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from isobath.connector.v1 import connector_pb2 as connector
from isobath.credentials.v1 import credentials_pb2 as credentials
from services.gateway import metrics
from services.gateway.access.usage import Usage, Used
from services.gateway.audit import Audit
from services.gateway.callers import Caller
from services.gateway.clients import Services, call, retried, stream
from services.gateway.registry import Registry
from services.gateway.source import Source

# a single call's grant: long enough for a slow source, short enough to be worthless later
CALL_GRANT_S = 15 * 60
UNARY_S = 120.0
T = TypeVar("T")
SERVICE_OF = "connector of {}"


class Grants:
    """Has grants minted by the credential service, and taken back."""

    def __init__(self, services: Services) -> None:
        self._credentials = services.credentials

    async def mint(
        self,
        caller: Caller,
        source: Source,
        operations: Sequence[str],
        *,
        scopes: Sequence[str] = (),
        run_id: str = "",
        thread_id: str = "",
        lifetime_s: float = CALL_GRANT_S,
        limits: connector.Limits | None = None,
    ) -> str:
        """A signed grant for one source, for no more than the limits. Raises `ServiceLost`."""
        bounds = limits or connector.Limits()
        request = credentials.MintGrantRequest(
            # of a shared source too, whose secret is its owner's
            owner=source.owner,
            caller=caller.key_id,
            source_id=source.id,
            source_type=source.type,
            source_version=source.version,
            config=ParseDict(dict(source.config), Struct()),
            operations=operations,
            scopes=scopes,
            # below 0: the connector tells, by the caller's own names
            max_rows=max(0, bounds.max_rows),
            max_bytes=max(0, bounds.max_bytes),
            max_time=bounds.timeout if bounds.timeout.ToNanoseconds() > 0 else None,
            run_id=run_id,
            thread_id=thread_id,
            lifetime=Duration(seconds=int(lifetime_s)),
        )
        minted = await retried("credentials", lambda: self._credentials.MintGrant(request))
        return str(minted.grant)

    async def revoke_run(self, run_id: str) -> None:
        """Void every grant of a run."""
        request = credentials.RevokeGrantRequest(run_id=run_id, cause="the run is over")
        await retried("credentials", lambda: self._credentials.RevokeGrant(request))


class Data:
    """Check, browse, inspect, preview, profile and fetch. All raise what the connector raises."""

    def __init__(
        self, registry: Registry, grants: Grants, services: Services, audit: Audit, usage: Usage
    ) -> None:
        self._registry = registry
        self._grants = grants
        self._connectors = services.connectors
        self._audit = audit
        self._usage = usage

    async def check(self, caller: Caller, source: str) -> connector.CheckResponse:
        """Try the source."""
        request = connector.CheckRequest()
        return await self._unary(
            caller, source, "Check", ("list", "read"), request, connector.CheckResponse
        )

    async def browse(
        self, caller: Caller, source: str, request: connector.BrowseRequest
    ) -> connector.BrowseResponse:
        """What lies in the source."""
        return await self._unary(
            caller, source, "Browse", ("list",), request, connector.BrowseResponse
        )

    async def inspect(
        self, caller: Caller, source: str, request: connector.InspectRequest
    ) -> connector.InspectResponse:
        """Columns, keys, sizes."""
        return await self._unary(
            caller, source, "Inspect", ("list", "read"), request, connector.InspectResponse
        )

    async def preview(
        self, caller: Caller, source: str, request: connector.PreviewRequest
    ) -> connector.PreviewResponse:
        """The first rows."""
        return await self._unary(
            caller, source, "Preview", ("list", "read"), request, connector.PreviewResponse
        )

    async def profile(
        self, caller: Caller, source: str, request: connector.ProfileRequest
    ) -> connector.ProfileResponse:
        """Statistics of columns."""
        return await self._unary(
            caller, source, "Profile", ("list", "read"), request, connector.ProfileResponse
        )

    @asynccontextmanager
    async def fetch(
        self, caller: Caller, source: str, request: connector.FetchRequest
    ) -> AsyncIterator[AsyncIterator[connector.FetchResponse]]:
        """The events of a Fetch; leaving stops it. Raises `QuotaExceeded`."""
        await self._usage.require_left(caller)
        found = await self._granted(caller, source, "Fetch", ("list", "read"), request)
        stub = await self._connectors.stub(found.type)
        meter = _Meter()
        try:
            async with stream(SERVICE_OF.format(found.type), stub.Fetch(request)) as events:
                yield meter.through(events)
        finally:
            metrics.FETCHED_BYTES.labels(found.type, "caller").inc(meter.used.bytes)
            metrics.FETCHED_ROWS.labels(found.type, "caller").inc(meter.used.rows)
            await self._usage.add(caller, meter.used)

    async def _unary(
        self,
        caller: Caller,
        source: str,
        method: str,
        operations: Sequence[str],
        request: Any,
        reply: type[T],
    ) -> T:
        found = await self._granted(caller, source, method, operations, request)
        stub = await self._connectors.stub(found.type)
        service = SERVICE_OF.format(found.type)
        answer = await call(service, getattr(stub, method)(request, timeout=UNARY_S))
        assert isinstance(answer, reply)
        return answer

    async def _granted(
        self, caller: Caller, source: str, method: str, operations: Sequence[str], request: Any
    ) -> Source:
        """Put a grant into the request; what is done is written down before it happens."""
        found = await self._registry.get(caller, source)
        await self._audit.write(caller, method.lower(), found.id, _path(request))
        limits = request.limits if hasattr(request, "limits") else None
        request.grant = await self._grants.mint(caller, found, operations, limits=limits)
        return found


class _Meter:
    """Counts what passes."""

    def __init__(self) -> None:
        self.used = Used()

    async def through(
        self, events: AsyncIterator[connector.FetchResponse]
    ) -> AsyncIterator[connector.FetchResponse]:
        async for event in events:
            self.used += Used(bytes=len(event.piece), rows=event.summary.rows)
            yield event


def _path(request: Any) -> str:
    """What the audit says was read: a path, or that it was a query, never its text or values."""
    if hasattr(request, "selection"):
        return "query" if request.selection.HasField("query") else str(request.selection.path)
    return str(getattr(request, "path", ""))
