"""The calls of the contract that are the same for all files, wherever they lie.

A connector says how its files are found, opened and sent as they are; what is read of them as
tables, and the SQL over them, is here.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import grpc
import pyarrow as pa

from connectorkit.access import Gate
from connectorkit.bounds import Bounds, effective
from connectorkit.fetching import framed, table_header
from connectorkit.files import profiling, sending
from connectorkit.files.csvs import Enough
from connectorkit.files.errors import QueryTimeout, TooSlow
from connectorkit.files.members import Member
from connectorkit.files.readers import kind_of
from connectorkit.files.receiving import heard_out
from connectorkit.files.sending import Events, Work, part_of
from connectorkit.files.sizes import check_sizes
from connectorkit.files.sql.querying import Queries, Rows
from connectorkit.files.sql.serving import Ranged
from connectorkit.files.tables import SHOWN_MEMBERS, M, Sample, Table, Tables
from connectorkit.pieces import Event
from connectorkit.previews import preview, rows_wanted
from connectorkit.tables import columns
from grants.claims import Grant
from grants.scope import permits, reaches
from isobath.connector.v1 import connector_pb2 as pb
from isobath.connector.v1 import connector_pb2_grpc as rpc
from servicekit.limits import Limiter
from servicekit.status import InvalidField, Unsupported

MAX_TOLD_MEMBERS = 1000
Context = grpc.aio.ServicerContext[Any, Any]
R = TypeVar("R", bound=Ranged)


class SizeLimits(Protocol):
    """What a connector's settings say of sizes; 0 = no limit."""

    @property
    def sample_bytes(self) -> int: ...
    @property
    def max_request_bytes(self) -> int: ...
    @property
    def query_timeout_s(self) -> float: ...


@dataclass(frozen=True)
class Reading(Generic[R, M]):
    """What files are read with. `max_file_bytes` = of one file, for which the settings of each
    service have a word of their own."""

    gate: Gate
    threads: Limiter
    tables: Tables[R, M]
    queries: Queries
    limits: SizeLimits
    max_file_bytes: int


class FilesServicer(rpc.ConnectorServiceServicer, Generic[R, M]):
    """Browse, Inspect, Preview, Profile, Fetch and Store. Who makes a connector of it adds the
    other calls, and the methods below."""

    def __init__(self, reading: Reading[R, M]) -> None:
        self._reading = reading
        self._gate = reading.gate
        self._threads = reading.threads
        self._tables = reading.tables

    # What differs

    @abstractmethod
    def held(self, grant: Grant, operation: str) -> AbstractAsyncContextManager[R]:
        """Where the files of a grant's source lie, for the length of a call."""

    @abstractmethod
    async def members(self, store: R, path: str, version: str) -> list[M]:
        """The files that a path stands for, in name order, at least one."""

    @abstractmethod
    async def listed(
        self, store: R, request: pb.BrowseRequest, shown: Callable[[str], bool]
    ) -> pb.BrowseResponse:
        """A page of what lies there, of the names that are `shown`."""

    @abstractmethod
    async def stored(
        self,
        store: R,
        start: pb.StoreStart,
        requests: AsyncIterator[pb.StoreRequest],
        *,
        config: Mapping[str, Any],
        max_bytes: int,
        is_gone: Callable[[], bool],
    ) -> pb.StoreResponse:
        """Write a file of the pieces that come: whole or not at all."""

    @abstractmethod
    def entry(self, member: M) -> pb.Entry:
        """As Browse shows it."""

    @abstractmethod
    def raw(self, work: Work[R, M]) -> Events:
        """An item for each file, as it is."""

    def require_readable(self, store: R, found: Sequence[M]) -> None:
        """Told before the bytes of others move, where one of them cannot be read now."""

    # The calls

    async def Browse(self, request: pb.BrowseRequest, context: Context) -> pb.BrowseResponse:
        grant = self._gate.admit(request.grant, "list")

        def shown(name: str) -> bool:
            if name.endswith("/"):
                return reaches(grant, name)
            return permits(grant, "list", name)

        async with self.held(grant, "list") as store:
            return await self.listed(store, request, shown)

    async def Store(
        self, request_iterator: AsyncIterator[pb.StoreRequest], context: Context
    ) -> pb.StoreResponse:
        async with heard_out(request_iterator):
            return await self._store(request_iterator, context)

    async def _store(
        self, requests: AsyncIterator[pb.StoreRequest], context: Context
    ) -> pb.StoreResponse:
        first = await anext(aiter(requests), pb.StoreRequest())
        if not first.HasField("start"):
            raise InvalidField("start", "the first message must be start")
        grant = self._gate.admit(first.start.grant, "write", first.start.path or None)
        if first.start.overwrite:
            self._gate.check(grant, "overwrite", first.start.path or None)
        limits = effective(pb.Limits(), grant, ceiling=self.ceiling)
        async with self.held(grant, "write") as store:
            return await self.stored(
                store,
                first.start,
                requests,
                config=grant.config,
                max_bytes=limits.max_bytes,
                is_gone=lambda: context.cancelled(),
            )

    async def Inspect(self, request: pb.InspectRequest, context: Context) -> pb.InspectResponse:
        grant = self._admit(request.grant, "list", request.path)
        async with self.held(grant, "list") as store:
            found = await self._members(grant, "list", store, request.path, request.version)
            if len(found) == 1 and not kind_of(found[0].name, found[0].content_type):
                # no table: there is nothing to tell of it but the file itself
                return pb.InspectResponse(entry=self.entry(found[0]))
            table = await self._tables.inspect(store, found, most=SHOWN_MEMBERS)
        entry = self.entry(found[0]) if len(found) == 1 else _family(request.path, found)
        entry.properties.update(table.told)
        return pb.InspectResponse(
            entry=entry,
            columns=columns(table.schema),
            members=[each.name for each in found[:MAX_TOLD_MEMBERS]] if len(found) > 1 else [],
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
        async with self.held(grant, "read") as store:
            found = await self._members(grant, "read", store, path, request.selection.version)
            _, sample = await self._sampled(store, found, rows)
        return await self._threads.run(preview, sample.rows, rows, more=sample.more)

    async def Profile(self, request: pb.ProfileRequest, context: Context) -> pb.ProfileResponse:
        grant = self._admit(request.grant, "read", request.path)
        async with self.held(grant, "read") as store:
            found = await self._members(grant, "read", store, request.path)
            table, sample = await self._sampled(store, found, profiling.ROWS)
            extents = await self._tables.extents(store, table) if sample.more else {}
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
                    self.held(grant, "read") as store,
                ):
                    version = request.selection.version
                    found = await self._members(grant, "read", store, path, version)
                    work = Work(store, found, request, mine.bounds, lambda: self._stand(grant))
                    async with aclosing(self._events(work, grant)) as events:
                        async for event in events:
                            yield mine.counted(event)
        except TimeoutError as exc:
            if clock.expired():
                raise TooSlow(limits.max_seconds) from exc
            raise

    def _events(self, work: Work[R, M], grant: Grant) -> Events:
        """Sizes are held against the limits before bytes move."""
        self.require_readable(work.store, work.found)
        most, each = self._reading.limits.max_request_bytes, self._reading.max_file_bytes
        if work.request.format in (pb.FORMAT_UNSPECIFIED, pb.FORMAT_RAW):
            length = part_of(work.request, work.found)
            most = min(most, work.limits.max_bytes or most)
            check_sizes(work.found, each, most, length=length)
            return self.raw(work)
        if work.request.format == pb.FORMAT_UNPACKED:
            if part_of(work.request, work.found) is not None:
                raise InvalidField("offset_bytes", "a part can be asked for in FORMAT_RAW only")
            most = min(most, work.limits.max_bytes or most)
            check_sizes(work.found, each, most)
            return sending.unpacked(work, self._tables, self._threads, most)
        # the request's own bound cuts the rows that are given, and that is told
        check_sizes(work.found, each, min(most, grant.max_bytes or most))
        return sending.table(work, self._tables, self._threads)

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
                self.held(grant, "read") as store,
            ):

                async def resolve(path: str) -> list[M]:
                    self._gate.check(grant, "read", _whole(path))
                    return await self._members(grant, "read", store, path)

                wanted = most + 1 if most else 0
                queries = self._reading.queries
                async with queries.running(store, query, resolve, most_rows=wanted) as rows:
                    yield rows
        except TimeoutError as exc:
            if clock.expired():
                raise QueryTimeout(limits.max_seconds) from exc
            raise

    def _query_limits(self, limits: pb.Limits, grant: Grant) -> Bounds:
        longest = Bounds(max_seconds=self._reading.limits.query_timeout_s)
        return effective(limits, grant, default=longest, ceiling=longest)

    # Grants and what they reach

    def _admit(self, token: str, operation: str, path: str) -> Grant:
        return self._gate.admit(token, operation, _whole(path))

    def _stand(self, grant: Grant) -> None:
        self._gate.check(grant, "read")

    @property
    def ceiling(self) -> Bounds:
        """Of what Store takes."""
        limits = self._reading.limits
        return Bounds(max_bytes=min(limits.max_request_bytes, self._reading.max_file_bytes))

    async def _members(
        self, grant: Grant, operation: str, store: R, path: str, version: str = ""
    ) -> list[M]:
        found = await self.members(store, path, version)
        if grant.scopes:
            for each in found:
                self._gate.check(grant, operation, each.name)
        return found

    async def _sampled(self, store: R, found: list[M], rows: int) -> tuple[Table[M], Sample]:
        most = self._reading.limits.sample_bytes
        looked = await self._tables.inspect(store, found, Enough(rows, most), most=SHOWN_MEMBERS)
        return looked, await self._tables.sample(store, looked, rows, max_bytes=most)


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


def _family(path: str, found: Sequence[Member]) -> pb.Entry:
    total = sum(each.size_bytes for each in found)
    return pb.Entry(path=path, name=path, kind=pb.ENTRY_KIND_BLOB, size_bytes=total, readable=True)
