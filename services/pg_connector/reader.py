"""Everything that is asked of a source, from the grant to the answer."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TypeVar

from connectorkit.access import Gate
from connectorkit.bounds import Bounds, effective
from connectorkit.fetching import table_header
from connectorkit.pieces import Event
from connectorkit.previews import MAX_BYTES, preview, rows_wanted
from connectorkit.refusals import OutsideGrant
from connectorkit.tables import TABLE_FORMATS
from grants.claims import Grant, Operation
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.limits import Limiter
from servicekit.status import InvalidField, Unsupported
from services.pg_connector import browsing, checking, guard, memory, profiling
from services.pg_connector.checking import ReasonOf
from services.pg_connector.kept import Kept
from services.pg_connector.parallel import Most, split
from services.pg_connector.places import place_of
from services.pg_connector.pools import Pools
from services.pg_connector.reading import Reading, Share, reading
from services.pg_connector.resolving import Resolver
from services.pg_connector.securing import login_of
from services.pg_connector.selecting import require_now, selected, statement_of
from services.pg_connector.sending import sent
from services.pg_connector.settings import Settings
from services.pg_connector.streams import prepared

T = TypeVar("T", pb.BrowseResponse, pb.InspectResponse, pb.ProfileResponse)
# Longer than any listing takes; what is slower than this is broken.
_CATALOG_S = 30.0
_NO_LIMITS = pb.Limits()
# more than fits between what is in use
_MUCH_BYTES = 4 * 1024 * 1024


class Reader:
    def __init__(
        self, gate: Gate, pools: Pools, threads: Limiter, settings: Settings, kept: Kept[object]
    ) -> None:
        self._gate, self._pools, self._threads = gate, pools, threads
        self._settings, self._kept = settings, kept
        self._resolver = Resolver()
        self._share = Share(settings.lock_timeout_s, settings.work_mem_kb, settings.temp_files_kb)

    async def check(self, request: pb.CheckRequest, reason_of: ReasonOf) -> pb.CheckResponse:
        grant = self._gate.admit(request.grant, "list")
        login = login_of(await self._gate.secrets(grant))
        return await checking.check(place_of(grant.config), login, self._settings, reason_of)

    async def browse(self, request: pb.BrowseRequest) -> pb.BrowseResponse:
        """What a listing shows depends on what the grant reaches."""
        require_now(*request.include)
        grant = self._gate.admit(request.grant, "list")
        page = (request.glob, str(request.page_size), request.page_token)
        key = (*_key(grant, "browse", request.path), *page, *grant.scopes)
        if (known := self._known(key, request.refresh, pb.BrowseResponse)) is not None:
            return known
        async with self._reading(grant, _CATALOG_S) as work:
            answer = await browsing.browse(work, grant, request)
        self._kept.put(key, answer)
        return answer

    async def inspect(self, request: pb.InspectRequest) -> pb.InspectResponse:
        require_now(request.version)
        grant = self._gate.admit(request.grant, "list")
        key = _key(grant, "inspect", request.path)
        if (known := self._known(key, request.refresh, pb.InspectResponse)) is not None:
            self._gate.check(grant, "list", known.entry.path)
            return known
        async with self._reading(grant, _CATALOG_S) as work:
            relation = await browsing.found(work, self._gate, grant, request.path, "list")
            answer = await browsing.inspect(work, relation)
        self._kept.put(key, answer)
        return answer

    async def profile(self, request: pb.ProfileRequest) -> pb.ProfileResponse:
        grant = self._gate.admit(request.grant, "read")
        limits = self._limits(_NO_LIMITS, grant)
        async with self._reading(grant, limits.max_seconds) as work:
            relation = await browsing.found(work, self._gate, grant, request.path, "read")
            key = _key(grant, "profile", relation.path)
            known = self._known(key, request.refresh, pb.ProfileResponse)
            if known is not None:
                return known
            await self._require_reading(work, grant, f"TABLE {relation.sql}")
            answer = await profiling.profile(work, relation, self._threads)
        self._kept.put(key, answer)
        return answer

    async def preview(self, request: pb.PreviewRequest) -> pb.PreviewResponse:
        grant = self._admit(request.grant, request.selection)
        wanted = rows_wanted(request)
        limits = self._limits(_NO_LIMITS, grant)
        wanted = min(wanted, limits.max_rows) if limits.max_rows else wanted
        async with self._reading(grant, limits.max_seconds) as work:
            chosen = await selected(work, self._gate, grant, request.selection)
            await self._require_reading(work, grant, chosen.work.sql)
            rows = await prepared(work, chosen.work)
            table, more = await rows.table(self._threads, wanted, max_bytes=2 * MAX_BYTES)
        return await self._threads.run(preview, table, wanted, more=more)

    async def fetch(self, request: pb.FetchRequest) -> AsyncGenerator[Event, None]:
        grant = self._admit(request.grant, request.selection)
        _require_table_format(request)
        limits = self._limits(request.limits, grant)
        async with (
            self._gate.share(grant, limits) as mine,
            self._reading(grant, limits.max_seconds) as work,
        ):
            chosen = await selected(
                work, self._gate, grant, request.selection, columns=request.columns
            )
            await self._require_reading(work, grant, chosen.work.sql)
            rows = await prepared(work, chosen.work)
            header = table_header(chosen.name, rows.schema, request.format)
            if chosen.row_estimate is not None:
                header.row_estimate = chosen.row_estimate
            # Parquet takes longer to be written than one connection takes to be read
            may_split = rows.may_copy and request.format != pb.FORMAT_PARQUET
            more = partial(self._reading, grant, limits.max_seconds) if may_split else None
            async with split(work, chosen.work.sql, more, self._most(mine.bounds)) as parts:
                rows = rows.over(parts)
                answer = sent(rows, header=header, limits=mine.bounds, threads=self._threads)
                size = 0
                async with aclosing(answer) as events:
                    async for event in events:
                        size += len(event.piece)
                        yield mine.counted(event)
            if size > _MUCH_BYTES:
                await self._threads.run(memory.give_back)

    async def store(self, requests: AsyncIterator[pb.StoreRequest]) -> pb.StoreResponse:
        async for request in requests:
            if request.WhichOneof("event") == "start":
                self._gate.admit(request.start.grant, "write")
            break
        raise Unsupported(
            "a PostgreSQL source is never written to",
            ability="store",
            remedy="Store into a source of blobs.",
        )

    async def disconnect(self, request: pb.DisconnectRequest) -> pb.DisconnectResponse:
        grant = self._admit_any(request.grant)
        return pb.DisconnectResponse(closed=await self._pools.close(grant.source_id))

    def _admit(self, token: str, selection: pb.Selection) -> Grant:
        """A path is held against the grant once it is known which relation it names. A query is
        judged before the source hears of it."""
        grant = self._gate.admit(token, "read")
        statement_of(selection)
        return grant

    async def _require_reading(self, work: Reading, grant: Grant, sql: str) -> None:
        """Of what the statement calls on that server, views and functions included."""
        of = (grant.owner, grant.source_id, str(grant.source_version))
        await self._resolver.require(work, guard.admit(sql), of)

    def _admit_any(self, token: str) -> Grant:
        operations: tuple[Operation, ...] = ("list", "read")
        for operation in operations:
            try:
                return self._gate.admit(token, operation)
            except OutsideGrant:
                continue
        return self._gate.admit(token, "write")

    def _limits(self, limits: pb.Limits, grant: Grant) -> Bounds:
        own = place_of(grant.config).statement_timeout_s
        ceiling = self._settings.statement_timeout_s
        return effective(limits, grant, ceiling=Bounds(max_seconds=min(own or ceiling, ceiling)))

    @asynccontextmanager
    async def _reading(
        self, grant: Grant, timeout_s: float, snapshot: str = ""
    ) -> AsyncIterator[Reading]:
        """On another's snapshot only with a connection that is free at once."""
        async with (
            self._pools.held(grant, spare=bool(snapshot)) as held,
            reading(held, timeout_s, self._share, snapshot=snapshot) as work,
        ):
            yield work

    def _most(self, bounds: Bounds) -> Most:
        own = self._settings
        return Most(own.scan_connections, own.scan_split_mb, bounds.max_rows)

    def _known(self, key: tuple[str, ...], refresh: bool, kind: type[T]) -> T | None:
        found = None if refresh else self._kept.get(key)
        return found if isinstance(found, kind) else None


def _key(grant: Grant, what: str, path: str) -> tuple[str, ...]:
    return grant.owner, grant.source_id, str(grant.source_version), what, path


def _require_table_format(request: pb.FetchRequest) -> None:
    if request.format and request.format not in TABLE_FORMATS:
        raise Unsupported(
            "a relation has no raw bytes",
            ability="format",
            remedy="Ask for FORMAT_CSV, FORMAT_PARQUET or FORMAT_ARROW.",
        )
    if request.offset_bytes or request.length_bytes:
        raise InvalidField("offset_bytes", "a part of the bytes can be asked for in FORMAT_RAW")
