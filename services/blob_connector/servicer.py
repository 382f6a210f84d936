"""isobath.connector.v1 over Azure Blob Storage: decode, one call, encode."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from connectorkit.access import STATUSES as GRANT_STATUSES
from connectorkit.access import Gate
from connectorkit.bounds import Bounds, effective
from connectorkit.fetching import Item, complete, framed, table_header
from connectorkit.previews import preview, rows_wanted
from connectorkit.profiles import profile
from connectorkit.tables import PIECE_BYTES, columns
from grants.claims import Grant
from grants.scope import permits, reaches
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.limits import Limiter
from servicekit.status import InvalidField, Status, StatusTable, Unsupported, outcome
from services.blob_connector import errors
from services.blob_connector.accounts import Accounts
from services.blob_connector.azure import Blob, Container
from services.blob_connector.describing import described
from services.blob_connector.listing import browse, entry_of
from services.blob_connector.members import Tables, check_sizes, members, selected
from services.blob_connector.paths import is_pattern, name_of
from services.blob_connector.settings import Settings

SERVICE = str(pb.DESCRIPTOR.services_by_name["ConnectorService"].full_name)
PROFILE_ROWS = 20_000
MAX_TOLD_MEMBERS = 1000
Context = grpc.aio.ServicerContext[Any, Any]
_Code = grpc.StatusCode
STATUSES: StatusTable = {
    **GRANT_STATUSES,
    errors.BadConfig: Status(_Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.AuthenticationFailed: Status(_Code.FAILED_PRECONDITION, "SOURCE_AUTHENTICATION_FAILED"),
    errors.Forbidden: Status(_Code.PERMISSION_DENIED, "SOURCE_FORBIDDEN"),
    errors.Unreachable: Status(_Code.UNAVAILABLE, "SOURCE_UNREACHABLE"),
    errors.BlobNotFound: Status(_Code.NOT_FOUND, "PATH_NOT_FOUND"),
    errors.Archived: Status(_Code.FAILED_PRECONDITION, "SOURCE_FORBIDDEN"),
    errors.TooLarge: Status(_Code.OUT_OF_RANGE, "TOO_LARGE"),
    errors.Changed: Status(_Code.ABORTED, "CHANGED_MEANWHILE"),
    errors.Torn: Status(_Code.DATA_LOSS, "CHECKSUM_MISMATCH"),
    errors.Unreadable: Status(_Code.FAILED_PRECONDITION, "UNREADABLE_FORMAT"),
    errors.Exists: Status(_Code.ALREADY_EXISTS, "ALREADY_EXISTS"),
}


class BlobServicer(rpc.ConnectorServiceServicer):
    """All calls of the contract."""

    def __init__(
        self, gate: Gate, accounts: Accounts, threads: Limiter, settings: Settings
    ) -> None:
        self._gate = gate
        self._accounts = accounts
        self._threads = threads
        self._tables = Tables(threads)
        self._settings = settings

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        return described()

    async def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        grant = self._gate.admit(request.grant, "list")
        began = time.monotonic()
        try:
            container = await self._accounts.of(grant)
            await container.reach()
        except errors.BlobFault as fault:
            return _check_failed(fault)
        latency = Duration()
        latency.FromMilliseconds(int((time.monotonic() - began) * 1000))
        steps = [pb.CheckStep(name=name, passed=True) for name in ("reach", "authenticate", "read")]
        expiry = container.place.sas_expiry
        return pb.CheckResponse(
            steps=steps,
            latency=latency,
            server_version="Azure Blob Storage",
            writable=container.place.way != "sas_token",
            warnings=[f"the SAS token ends at {expiry}"] if expiry else [],
        )

    async def Browse(self, request: pb.BrowseRequest, context: Context) -> pb.BrowseResponse:
        grant = self._gate.admit(request.grant, "list")

        def shown(name: str) -> bool:
            if name.endswith("/"):
                return reaches(grant, name)
            return permits(grant, "list", name)

        return await browse(await self._accounts.of(grant), request, shown)

    async def Inspect(self, request: pb.InspectRequest, context: Context) -> pb.InspectResponse:
        container, found = await self._members(request.grant, "list", request.path)
        table = await self._tables.inspect(container, found)
        entry = entry_of(found[0]) if len(found) == 1 else _family(request.path, found)
        return pb.InspectResponse(
            entry=entry,
            columns=columns(table.schema),
            members=[blob.name for blob in found[:MAX_TOLD_MEMBERS]] if len(found) > 1 else [],
            rows=table.rows,
            rows_exact=table.rows is not None,
        )

    async def Preview(self, request: pb.PreviewRequest, context: Context) -> pb.PreviewResponse:
        rows = rows_wanted(request)
        container, found = await self._members(request.grant, "read", _path(request.selection))
        table = await self._tables.inspect(container, found)
        sample, more = await self._tables.sample(container, table, rows)
        return await self._threads.run(preview, sample, rows, more=more)

    async def Profile(self, request: pb.ProfileRequest, context: Context) -> pb.ProfileResponse:
        container, found = await self._members(request.grant, "read", request.path)
        table = await self._tables.inspect(container, found)
        sample, more = await self._tables.sample(container, table, PROFILE_ROWS)
        told = await self._threads.run(profile, sample)
        basis = f"the first {sample.num_rows:,} rows" if more else "exact"
        response = pb.ProfileResponse(
            rows=table.rows if more else sample.num_rows,
            basis=basis,
            sampled_rows=sample.num_rows if more else None,
            columns=told,
        )
        response.taken_at.GetCurrentTime()
        return response

    async def Fetch(
        self, request: pb.FetchRequest, context: Context
    ) -> AsyncIterator[pb.FetchResponse]:
        path = _path(request.selection)
        grant = self._gate.admit(request.grant, "read", _granted(path))
        container, found = await self._members(request.grant, "read", path)
        limits = effective(request.limits, grant, ceiling=self._ceiling())
        check_sizes(found, self._settings.max_blob_bytes, limits.max_bytes)
        if request.format in (pb.FORMAT_UNSPECIFIED, pb.FORMAT_RAW):
            events = self._raw(grant, container, found, request)
        else:
            events = self._table(container, found, request, limits)
        async with aclosing(events) as opened:
            async for event in opened:
                yield event

    def _ceiling(self) -> Bounds:
        return Bounds(max_bytes=self._settings.max_request_bytes)

    async def _raw(
        self, grant: Grant, container: Container, found: list[Blob], request: pb.FetchRequest
    ) -> Any:
        if len(found) > 1 and (request.offset_bytes or request.length_bytes):
            raise InvalidField("offset_bytes", "a part can be asked of one blob only")
        items: list[Item] = []
        for number, blob in enumerate(found):
            self._gate.check(grant, "read", blob.name if grant.scopes else None)
            items.append(item := Item(number))
            yield item.header(_raw_header(blob))
            length = request.length_bytes or None
            async with aclosing(container.read(blob, request.offset_bytes, length)) as parts:
                async for part in parts:
                    for piece in _cut(part):
                        yield item.piece(piece)
                    yield item.progress()
            yield item.summary(of_rows=False)
        yield complete(items)

    async def _table(
        self,
        container: Container,
        found: list[Blob],
        request: pb.FetchRequest,
        limits: Bounds,
    ) -> Any:
        table = await self._tables.inspect(container, found)
        batches = self._tables.batches(container, table, tuple(request.columns))
        schema = selected(table.schema, tuple(request.columns))
        header = table_header(_table_name(request.selection.path, found), schema, request.format)
        if table.rows is not None:
            header.row_estimate = table.rows
        events = framed(batches, header=header, schema=schema, limits=limits, threads=self._threads)
        async with aclosing(events) as opened:
            async for event in opened:
                yield event

    async def Store(
        self, request_iterator: AsyncIterator[pb.StoreRequest], context: Context
    ) -> pb.StoreResponse:
        first = await anext(aiter(request_iterator), pb.StoreRequest())
        if not first.HasField("start"):
            raise InvalidField("start", "the first message must be start")
        start = first.start
        if not start.path or start.path.endswith("/") or is_pattern(start.path):
            raise InvalidField("start.path", "start.path must be the name of one blob")
        grant = self._gate.admit(start.grant, "write", start.path)
        container = await self._accounts.of(grant)
        limit = effective(pb.Limits(), grant, ceiling=self._ceiling()).max_bytes
        written = await container.write(
            start.path,
            _stored(request_iterator, start.path, limit),
            content_type=start.content_type,
            overwrite=start.overwrite,
        )
        return pb.StoreResponse(path=written.name, size_bytes=written.size_bytes, etag=written.etag)

    async def Disconnect(
        self, request: pb.DisconnectRequest, context: Context
    ) -> pb.DisconnectResponse:
        grant = self._gate.admit(request.grant, "list")
        return pb.DisconnectResponse(closed=await self._accounts.close(grant.source_id))

    async def _members(self, token: str, operation: str, path: str) -> tuple[Container, list[Blob]]:
        grant = self._gate.admit(token, operation, _granted(path))
        container = await self._accounts.of(grant)
        found = await members(container, path)
        if grant.scopes:
            for blob in found:
                self._gate.check(grant, operation, blob.name)
        return container, found


def _path(selection: pb.Selection) -> str:
    if selection.HasField("query"):
        raise Unsupported(
            "blobs are not queried by SQL",
            ability="query",
            remedy="Give a path, and query the file in code, with DuckDB or pandas.",
        )
    if not selection.path:
        raise InvalidField("selection.path", "selection.path is missing")
    return str(selection.path)


def _granted(path: str) -> str | None:
    """The path to hold against the grant's scopes: braces and sets are checked name by name."""
    return None if "[" in path or "{" in path else path


def _raw_header(blob: Blob) -> pb.Header:
    header = pb.Header(
        name=blob.name,
        format=pb.FORMAT_RAW,
        size_bytes=blob.size_bytes,
        etag=blob.etag,
        content_type=blob.content_type,
    )
    if blob.modified_at is not None:
        header.modified_at.FromDatetime(blob.modified_at)
    return header


def _table_name(path: str, found: list[Blob]) -> str:
    """A name for the file: the blob's own, or what a pattern's folders say."""
    if len(found) == 1:
        return name_of(found[0].name).split(".")[0]
    folders = [part for part in path.split("/")[:-1] if not is_pattern(part)]
    return folders[-1] if folders else "table"


def _family(path: str, found: list[Blob]) -> pb.Entry:
    total = sum(blob.size_bytes for blob in found)
    return pb.Entry(path=path, name=path, kind=pb.ENTRY_KIND_BLOB, size_bytes=total, readable=True)


def _cut(part: bytes) -> list[bytes]:
    return [part[at : at + PIECE_BYTES] for at in range(0, len(part), PIECE_BYTES)]


async def _stored(
    requests: AsyncIterator[pb.StoreRequest], path: str, limit: int
) -> AsyncIterator[bytes]:
    total = 0
    async for request in requests:
        total += len(request.piece)
        if limit and total > limit:
            raise errors.TooLarge(
                f"{path} is larger than {limit:,} bytes", path=path, limit_bytes=str(limit)
            )
        yield request.piece


# how far a check came before each kind of fault
_PASSED = {
    errors.Unreachable: (),
    errors.BadConfig: (),
    errors.AuthenticationFailed: ("reach",),
}


def _check_failed(fault: errors.BlobFault) -> pb.CheckResponse:
    """The steps that passed, and the one that did not with its reason."""
    order = ("reach", "authenticate", "read")
    passed = _PASSED.get(type(fault), ("reach", "authenticate"))
    failed = pb.CheckStep(
        name=order[len(passed)],
        message=fault.message,
        remedy=fault.remedy,
        reason=outcome(fault, STATUSES, "").reason,
    )
    return pb.CheckResponse(
        steps=[*(pb.CheckStep(name=each, passed=True) for each in passed), failed]
    )
