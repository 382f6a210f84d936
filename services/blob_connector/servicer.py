"""isobath.connector.v1 over Azure Blob Storage: decode, one call, encode."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pyarrow as pa

from connectorkit.access import STATUSES as GRANT_STATUSES
from connectorkit.access import Gate
from connectorkit.bounds import Bounds, effective
from connectorkit.fetching import framed, table_header
from connectorkit.pieces import Event
from connectorkit.previews import preview, rows_wanted
from connectorkit.tables import columns
from grants.claims import Grant
from grants.scope import permits, reaches
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.limits import Limiter
from servicekit.status import InvalidField, Status, StatusTable, Unsupported, outcome
from services.blob_connector import errors, fetching, profiling
from services.blob_connector.accounts import Accounts
from services.blob_connector.azure import Blob, Container
from services.blob_connector.checking import check
from services.blob_connector.csvs import Enough
from services.blob_connector.describing import described
from services.blob_connector.downloads import Window
from services.blob_connector.fetching import Events, Work
from services.blob_connector.listing import browse, entry_of
from services.blob_connector.members import check_sizes, members, require_online
from services.blob_connector.readers import kind_of
from services.blob_connector.settings import Settings
from services.blob_connector.sql.querying import Queries, Rows
from services.blob_connector.storing import store
from services.blob_connector.tables import SHOWN_MEMBERS, Sample, Table, Tables

SERVICE = str(pb.DESCRIPTOR.services_by_name["ConnectorService"].full_name)
MAX_TOLD_MEMBERS = 1000
Context = grpc.aio.ServicerContext[Any, Any]
_Code = grpc.StatusCode
STATUSES: StatusTable = {
    **GRANT_STATUSES,
    errors.BadConfig: Status(_Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.AddressNotAllowed: Status(_Code.FAILED_PRECONDITION, "ADDRESS_NOT_ALLOWED"),
    errors.AuthenticationFailed: Status(_Code.FAILED_PRECONDITION, "SOURCE_AUTHENTICATION_FAILED"),
    errors.Forbidden: Status(_Code.PERMISSION_DENIED, "SOURCE_FORBIDDEN"),
    errors.Unreachable: Status(_Code.UNAVAILABLE, "SOURCE_UNREACHABLE"),
    errors.BlobNotFound: Status(_Code.NOT_FOUND, "PATH_NOT_FOUND"),
    errors.Archived: Status(_Code.PERMISSION_DENIED, "SOURCE_FORBIDDEN"),
    errors.TooLarge: Status(_Code.OUT_OF_RANGE, "TOO_LARGE"),
    errors.Changed: Status(_Code.ABORTED, "CHANGED_MEANWHILE"),
    errors.Torn: Status(_Code.DATA_LOSS, "CHECKSUM_MISMATCH"),
    errors.Unreadable: Status(_Code.FAILED_PRECONDITION, "UNREADABLE_FORMAT"),
    errors.Exists: Status(_Code.ALREADY_EXISTS, "ALREADY_EXISTS"),
    errors.QueryFailed: Status(_Code.FAILED_PRECONDITION, "QUERY_FAILED"),
    errors.QueryNotReadOnly: Status(_Code.FAILED_PRECONDITION, "QUERY_NOT_READ_ONLY"),
    errors.QueryTimeout: Status(_Code.DEADLINE_EXCEEDED, "QUERY_TIMEOUT"),
    errors.QueriesBusy: Status(_Code.RESOURCE_EXHAUSTED, "TOO_BUSY"),
    errors.TooSlow: Status(_Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
}


class BlobServicer(rpc.ConnectorServiceServicer):
    """All calls of the contract."""

    def __init__(
        self,
        gate: Gate,
        accounts: Accounts,
        threads: Limiter,
        settings: Settings,
        queries: Queries,
    ) -> None:
        self._gate = gate
        self._accounts = accounts
        self._threads = threads
        self._tables = Tables(threads)
        self._settings = settings
        self._queries = queries
        self._window = Window.of(settings)

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        return described()

    async def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        grant = self._gate.admit(request.grant, "list")
        return await check(
            self._held(grant, "list"), lambda fault: outcome(fault, STATUSES, "").reason
        )

    async def Browse(self, request: pb.BrowseRequest, context: Context) -> pb.BrowseResponse:
        grant = self._gate.admit(request.grant, "list")

        def shown(name: str) -> bool:
            if name.endswith("/"):
                return reaches(grant, name)
            return permits(grant, "list", name)

        async with self._held(grant, "list") as container:
            return await browse(container, request, shown)

    async def Inspect(self, request: pb.InspectRequest, context: Context) -> pb.InspectResponse:
        grant = self._admit(request.grant, "list", request.path)
        async with self._held(grant, "list") as container:
            found = await self._members(grant, "list", container, request.path, request.version)
            if len(found) == 1 and not kind_of(found[0].name, found[0].content_type):
                # no table: there is nothing to tell of it but the blob itself
                return pb.InspectResponse(entry=entry_of(found[0]))
            table = await self._tables.inspect(container, found, most=SHOWN_MEMBERS)
        entry = entry_of(found[0]) if len(found) == 1 else _family(request.path, found)
        entry.properties.update(table.told)
        return pb.InspectResponse(
            entry=entry,
            columns=columns(table.schema),
            members=[blob.name for blob in found[:MAX_TOLD_MEMBERS]] if len(found) > 1 else [],
            rows=table.rows,
            rows_exact=table.rows is not None,
        )

    async def Preview(self, request: pb.PreviewRequest, context: Context) -> pb.PreviewResponse:
        rows = rows_wanted(request)
        if request.selection.HasField("query"):
            _require_now(request.selection)
            return await self._query_preview(request, rows)
        path = _path(request.selection)
        grant = self._admit(request.grant, "read", path)
        async with self._held(grant, "read") as container:
            found = await self._members(grant, "read", container, path, request.selection.version)
            _, sample = await self._sampled(container, found, rows)
        return await self._threads.run(preview, sample.rows, rows, more=sample.more)

    async def Profile(self, request: pb.ProfileRequest, context: Context) -> pb.ProfileResponse:
        grant = self._admit(request.grant, "read", request.path)
        async with self._held(grant, "read") as container:
            found = await self._members(grant, "read", container, request.path)
            table, sample = await self._sampled(container, found, profiling.ROWS)
            extents = await self._tables.extents(container, table) if sample.more else {}
        return await self._threads.run(profiling.profiled, table, sample, extents)

    async def Fetch(self, request: pb.FetchRequest, context: Context) -> AsyncIterator[Event]:
        if request.selection.HasField("query"):
            _require_now(request.selection)
            async with aclosing(self._query(request)) as events:
                async for event in events:
                    yield event
            return
        path = _path(request.selection)
        grant = self._admit(request.grant, "read", path)
        limits = effective(request.limits, grant)
        try:
            async with asyncio.timeout(limits.max_seconds or None) as clock:
                async with (
                    self._gate.share(grant, limits) as mine,
                    self._held(grant, "read") as container,
                ):
                    found = await self._members(
                        grant, "read", container, path, request.selection.version
                    )
                    work = Work(container, found, request, mine.bounds, lambda: self._stand(grant))
                    async with aclosing(self._events(work, grant)) as events:
                        async for event in events:
                            yield mine.counted(event)
        except TimeoutError as exc:
            if clock.expired():
                raise fetching.too_slow(limits.max_seconds) from exc
            raise

    def _events(self, work: Work, grant: Grant) -> Events:
        """Sizes are held against the limits before bytes move."""
        require_online(work.container, work.found)
        most, blob = self._settings.max_request_bytes, self._settings.max_blob_bytes
        if work.request.format in (pb.FORMAT_UNSPECIFIED, pb.FORMAT_RAW):
            length = fetching.part_of(work.request, work.found)
            most = min(most, work.limits.max_bytes or most)
            check_sizes(work.found, blob, most, length=length)
            return fetching.raw(work, self._window, self._threads)
        if work.request.format == pb.FORMAT_UNPACKED:
            if fetching.part_of(work.request, work.found) is not None:
                raise InvalidField("offset_bytes", "a part can be asked for in FORMAT_RAW only")
            most = min(most, work.limits.max_bytes or most)
            check_sizes(work.found, blob, most)
            return fetching.unpacked(work, self._tables, self._threads, most)
        # the request's own bound cuts the rows that are given, and that is told
        check_sizes(work.found, blob, min(most, grant.max_bytes or most))
        return fetching.table(work, self._tables, self._threads)

    # SQL over files

    async def _query_preview(self, request: pb.PreviewRequest, rows: int) -> pb.PreviewResponse:
        grant = self._gate.admit(request.grant, "read")
        limits = self._query_limits(pb.Limits(), grant)
        wanted = min(rows, limits.max_rows or rows)
        async with (
            self._answer(grant, request.selection.query, limits, wanted) as answer,
            aclosing(answer.batches()) as batches,
        ):
            kept = [batch async for batch in batches]
        table = pa.Table.from_batches(kept, answer.schema)
        return await self._threads.run(preview, table, wanted, more=table.num_rows > wanted)

    async def _query(self, request: pb.FetchRequest) -> AsyncGenerator[Event, None]:
        if request.format in (pb.FORMAT_RAW, pb.FORMAT_UNPACKED):
            raise Unsupported(
                "the answer of a query is a table",
                ability="format",
                remedy="Ask for FORMAT_CSV, FORMAT_PARQUET or FORMAT_ARROW.",
            )
        grant = self._gate.admit(request.grant, "read")
        limits, query = self._query_limits(request.limits, grant), request.selection.query
        async with (
            self._gate.share(grant, limits) as mine,
            self._answer(grant, query, limits, mine.bounds.max_rows) as answer,
        ):
            events = framed(
                answer.batches(),
                header=table_header("query", answer.schema, request.format),
                schema=answer.schema,
                limits=mine.bounds,
                threads=self._threads,
            )
            async with aclosing(events) as opened:
                async for event in opened:
                    self._stand(grant)
                    yield mine.counted(event)

    @asynccontextmanager
    async def _answer(
        self, grant: Grant, query: pb.Query, limits: Bounds, most: int
    ) -> AsyncIterator[Rows]:
        """The rows of a query, one more than `most` so that it is known whether there are more."""
        try:
            async with (
                asyncio.timeout(limits.max_seconds) as clock,
                self._held(grant, "read") as container,
            ):

                async def resolve(path: str) -> list[Blob]:
                    self._gate.check(grant, "read", _whole(path))
                    return await self._members(grant, "read", container, path)

                wanted = most + 1 if most else 0
                async with self._queries.running(
                    container, query, resolve, most_rows=wanted
                ) as rows:
                    yield rows
        except TimeoutError as exc:
            if clock.expired():
                raise errors.QueryTimeout(limits.max_seconds) from exc
            raise

    def _query_limits(self, limits: pb.Limits, grant: Grant) -> Bounds:
        longest = Bounds(max_seconds=self._settings.query_timeout_s)
        return effective(limits, grant, default=longest, ceiling=longest)

    async def Store(
        self, request_iterator: AsyncIterator[pb.StoreRequest], context: Context
    ) -> pb.StoreResponse:
        first = await anext(aiter(request_iterator), pb.StoreRequest())
        if not first.HasField("start"):
            raise InvalidField("start", "the first message must be start")
        grant = self._gate.admit(first.start.grant, "write", first.start.path or None)
        if first.start.overwrite:
            self._gate.check(grant, "overwrite", first.start.path or None)
        limits = effective(pb.Limits(), grant, ceiling=self._ceiling())
        async with self._held(grant, "write") as container:
            return await store(
                container,
                first.start,
                request_iterator,
                config=grant.config,
                max_bytes=limits.max_bytes,
                is_gone=lambda: context.cancelled(),
            )

    def _ceiling(self) -> Bounds:
        most = min(self._settings.max_request_bytes, self._settings.max_blob_bytes)
        return Bounds(max_bytes=most)

    async def Disconnect(
        self, request: pb.DisconnectRequest, context: Context
    ) -> pb.DisconnectResponse:
        grant = self._gate.admit(request.grant, "list")
        return pb.DisconnectResponse(closed=await self._accounts.disconnect(grant.source_id))

    # Grants and what they reach

    def _admit(self, token: str, operation: str, path: str) -> Grant:
        return self._gate.admit(token, operation, _whole(path))

    @asynccontextmanager
    async def _held(self, grant: Grant, operation: str) -> AsyncIterator[Container]:
        try:
            async with self._accounts.held(grant) as container:
                yield container
        except Exception:
            # of a source that was revoked meanwhile the connections are closed under the call
            self._gate.check(grant, operation)
            raise

    def _stand(self, grant: Grant) -> None:
        self._gate.check(grant, "read")

    async def _members(
        self, grant: Grant, operation: str, container: Container, path: str, version: str = ""
    ) -> list[Blob]:
        found = await members(container, path, version)
        if grant.scopes:
            for blob in found:
                self._gate.check(grant, operation, blob.name)
        return found

    async def _sampled(
        self, container: Container, found: list[Blob], rows: int
    ) -> tuple[Table, Sample]:
        most = self._settings.sample_bytes
        looked = await self._tables.inspect(
            container, found, Enough(rows, most), most=SHOWN_MEMBERS
        )
        return looked, await self._tables.sample(container, looked, rows, max_bytes=most)


def _whole(path: str) -> str | None:
    """A path for the grant to judge; None: braces and sets are checked name by name."""
    return None if "[" in path or "{" in path else path


def _require_now(selection: pb.Selection) -> None:
    if selection.version:
        raise InvalidField("selection.version", "a version is of a path; a query reads what is now")


def _path(selection: pb.Selection) -> str:
    if not selection.path:
        raise InvalidField("selection.path", "selection.path is missing")
    return str(selection.path)


def _family(path: str, found: list[Blob]) -> pb.Entry:
    total = sum(blob.size_bytes for blob in found)
    return pb.Entry(path=path, name=path, kind=pb.ENTRY_KIND_BLOB, size_bytes=total, readable=True)
