"""The way from a session's programs to its sources: beside the kernel, outside of the sandbox.

The kernel asks for a connection over the socket that it inherited, and is handed one end of a new
pair: no path, no address, nothing that another process could open. What it asks there goes to the
connector under the grant that this run was given; the grant itself never goes in. Arrow streams
pass through as the connector wrote them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from isobath.connector.v1 import connector_pb2 as pb
from servicekit import context, logs, tracing
from servicekit.channels import calling, faults, streaming
from servicekit.status import Fault, InvalidField, RemoteFault
from services.sandbox import asks, metrics
from services.sandbox.approvals import Approvals, wished
from services.sandbox.connectors import Reaching
from services.sandbox.errors import NoSuchSource, NothingToWrite
from services.sandbox.kernel.protocol import Decoder, Frame, Kind, ProtocolError, encode

_log = logs.get(__name__)

_READ = 256 * 1024
# a listing in one answer: below the limit of a frame's header
_ENTRIES = 10_000
_PAGE = 1_000
# two pieces wait in the socket at most
_SOCKET_BYTES = 2 * 1024 * 1024
_REFUSED = ("NOT_APPROVED", "BEYOND_GRANT", "GRANT_INVALID", "GRANT_EXPIRED", "GRANT_REVOKED")


@dataclass(frozen=True)
class Attached:
    """A source as a run was given it. The grants never leave this process but to its connector.
    `write_prefix`: the folder that `write_grant` reaches; "" = nothing may be written. `guarded`:
    what a person has to approve each time, by pb.GuardedOperation."""

    name: str
    source_id: str
    type: str
    grant: str
    write_grant: str = ""
    write_prefix: str = ""
    guarded: frozenset[int] = frozenset()

    def __repr__(self) -> str:
        return f"Attached({self.name!r}, {self.source_id!r}, {self.type!r})"


class Sources:
    """Those of all runs that are on: of two with one name, the later run's counts."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, Attached]] = {}

    def attach(self, run_id: str, sources: Iterable[Attached]) -> None:
        self._runs.pop(run_id, None)
        self._runs[run_id] = {source.name: source for source in sources}

    def detach(self, run_id: str) -> None:
        self._runs.pop(run_id, None)

    @property
    def held(self) -> bool:
        """Whether a run holds the session, be it without a source."""
        return bool(self._runs)

    def all(self) -> dict[str, Attached]:
        return {name: one for run in self._runs.values() for name, one in run.items()}

    def named(self, name: object) -> Attached:
        found = self.all().get(str(name))
        if found is None:
            raise NoSuchSource(str(name)[:200])
        return found


class Broker:
    """Of one kernel. `run` serves until the kernel goes; cancelling it ends every connection."""

    def __init__(
        self,
        session_id: str,
        sources: Sources,
        connectors: Reaching,
        approvals: Approvals,
        limit: int,
    ) -> None:
        self._session_id, self._sources = session_id, sources
        self._connectors, self._approvals, self._limit = connectors, approvals, limit
        self._open: dict[asyncio.Task[None], set[str]] = {}
        # of the program that runs: whose request it is, and its trace
        self._asker: tuple[context.Incoming, str] | None = None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Within it, what is asked belongs to the current call: the kernel itself knows nothing of
        it. One program runs at a time."""
        asker = self._asker = (context.current(), tracing.carried())
        try:
            yield
        finally:
            if self._asker is asker:
                self._asker = None

    async def run(self, door: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while await loop.sock_recv(door, 16):
                self._admit(door)
        except OSError:
            return  # the kernel went
        finally:
            await self._end(list(self._open))

    async def drop(self, names: Iterable[str]) -> None:
        """Ends the connections that work with these sources."""
        gone = set(names)
        await self._end([task for task, used in self._open.items() if used & gone])

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _admit(self, door: socket.socket) -> None:
        with suppress(OSError):  # a kernel that asks and does not take: nothing is owed
            if len(self._open) >= self._limit:
                door.send(b"n")
                return
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            with theirs:
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
                try:
                    socket.send_fds(door, [b"y"], [theirs.fileno()])
                except OSError:
                    ours.close()
                    raise
            self._serve(ours)

    def _serve(self, connection: socket.socket) -> None:
        used: set[str] = set()
        talk = _Talk(connection, self._answer, used)
        task = asyncio.create_task(talk.run(), name=f"broker {self._session_id}")
        self._open[task] = used
        task.add_done_callback(lambda done: self._open.pop(done, None))

    async def _answer(self, asked: dict[str, Any], talk: "_Talk") -> None:
        """One question; what fails is told in the talk itself."""
        incoming, trace = self._asker or (context.current(), "")
        operation = metrics.broker_operation(asked.get("do"))
        outcome = "left"
        with context.entered(incoming), tracing.continued(trace):
            try:
                with tracing.span(f"broker {operation}"):
                    await self._do(asked, talk)
                outcome = "ok"
            except Fault as exc:
                outcome = await self._refused(exc, asked, talk)
            finally:
                metrics.BROKER.labels(operation, outcome).inc()

    async def _refused(self, exc: Fault, asked: dict[str, Any], talk: "_Talk") -> str:
        """Tells the program, and says what the metrics call it."""
        reason = exc.reason if isinstance(exc, RemoteFault) else asks.reason(exc)
        if reason in _REFUSED:
            self._audit(asked, reason)
        # the kernel reads no answer before it has sent everything
        async for _ in talk.uploaded():
            pass
        failed = {"reason": reason, "message": exc.message, "remedy": exc.remedy}
        await talk.send(Kind.FAILED, {**failed, "fields": exc.metadata()})
        return "refused" if reason in _REFUSED else "failed"

    def _audit(self, asked: dict[str, Any], reason: str) -> None:
        source = self._sources.all().get(str(asked.get("source")))
        _log.warning(
            "access_refused",
            session=self._session_id,
            source_id=source.source_id if source else "",
            operation=str(asked.get("do"))[:40],
            reason=reason,
        )

    async def _do(self, asked: dict[str, Any], talk: "_Talk") -> None:
        operation = asked.get("do")
        if operation == "sources":
            known = self._sources.all().values()
            await talk.send(Kind.ANSWER, {"sources": [self._about(each) for each in known]})
            return
        source = self._sources.named(asked.get("source"))
        talk.used.add(source.name)
        tracing.tell({"isobath.source.id": source.source_id, "isobath.source.type": source.type})
        stub = await self._connectors.of_type(source.type)
        if operation == "fetch":
            fetch = asks.fetch(asked, source.grant)
            await self._approved(source, fetch)
            await self._fetch(stub, fetch, talk)
        elif operation == "upload":
            start = asks.store(asked, _write_grant(source))
            await self._approved(source, start)
            await self._upload(stub, start, talk)
        else:
            await talk.send(Kind.ANSWER, await self._told(stub, source, asked))

    async def _approved(self, source: Attached, request: pb.FetchRequest | pb.StoreRequest) -> None:
        wish = wished(source.source_id, request)
        if wish is not None and wish.operation in source.guarded:
            await self._approvals.require(wish, source.name)

    def _about(self, source: Attached) -> dict[str, str]:
        notes = self._connectors.notes(source.type)
        about = {"name": source.name, "type": source.type, "notes": notes}
        return about | ({"write_prefix": source.write_prefix} if source.write_grant else {})

    async def _told(self, stub: Any, source: Attached, asked: dict[str, Any]) -> dict[str, Any]:
        operation = asked.get("do")
        if operation == "list":
            wanted = asks.browse(asked, source.grant)
            entries = await self._browse(stub, wanted)
            return {"entries": [asks.entry(each) for each in entries]}
        if operation == "tables":
            return {"entries": [asks.entry(e) for e in await self._tables(stub, source.grant)]}
        if operation == "schema":
            request = pb.InspectRequest(grant=source.grant, path=asks.text(asked, "path"))
            return asks.schema(await calling(stub.Inspect(request)))
        raise InvalidField("do", f"the broker cannot {str(operation)[:40]!r}")

    async def _tables(self, stub: Any, grant: str) -> list[Any]:
        found = []
        for entry in await self._browse(stub, pb.BrowseRequest(grant=grant)):
            if entry.kind == pb.ENTRY_KIND_SCHEMA:
                within = pb.BrowseRequest(grant=grant, path=entry.path)
                found += await self._browse(stub, within)
            else:
                found.append(entry)
        return found[:_ENTRIES]

    async def _browse(self, stub: Any, request: Any) -> list[Any]:
        found: list[Any] = []
        request.page_size = _PAGE
        while len(found) < _ENTRIES:
            page = await calling(stub.Browse(request))
            found += page.entries
            request.page_token = page.next_page_token
            if not request.page_token:
                break
        return found[:_ENTRIES]

    async def _fetch(self, stub: Any, request: Any, talk: "_Talk") -> None:
        end: dict[str, Any] = {}
        async with streaming(stub.Fetch(request)) as call:
            async for message in faults(call):
                kind = message.WhichOneof("event")
                if kind == "piece":
                    await talk.send(Kind.PIECE, {}, message.piece)
                elif kind == "summary":
                    end = MessageToDict(message.summary, preserving_proto_field_name=True)
        await talk.send(Kind.END, end)

    async def _upload(self, stub: Any, start: Any, talk: "_Talk") -> None:
        async def requests() -> AsyncIterator[Any]:
            yield start
            async for piece in talk.uploaded():
                yield pb.StoreRequest(piece=piece)

        stored = await calling(stub.Store(requests(), timeout=3600.0))
        _log.info("uploaded", session=self._session_id, path=stored.path, bytes=stored.size_bytes)
        told = {"path": stored.path, "size_bytes": stored.size_bytes, "etag": stored.etag}
        await talk.send(Kind.ANSWER, told)


def _write_grant(source: Attached) -> str:
    if not source.write_grant:
        raise NothingToWrite(source.name)
    return source.write_grant


_Answer = Callable[[dict[str, Any], "_Talk"], Coroutine[Any, Any, None]]


class _Talk:
    """One connection. Questions come one after the other; when the kernel goes away, or asks again
    before it was answered, what is under way is cancelled."""

    def __init__(self, connection: socket.socket, answer: _Answer, used: set[str]) -> None:
        self._connection, self._answer, self.used = connection, answer, used
        self._connection.setblocking(False)
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self._uploading = False
        self._reading = asyncio.Lock()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        try:
            while (frame := await self._next()) is not None:
                if frame.kind is not Kind.ASK:
                    return
                self._uploading = frame.header.get("do") == "upload"
                if not await self._answered(frame):
                    return
                self.used.clear()
        except (OSError, ProtocolError):
            return
        except Exception:  # one talk of one session: the others go on
            _log.exception("broker_failed")
        finally:
            self._connection.close()

    async def _answered(self, frame: Frame) -> bool:
        """False = the kernel did not wait for it."""
        if self._uploading:
            await self._answer(frame.header, self)
            return True
        work = asyncio.create_task(self._answer(frame.header, self))
        watch = asyncio.create_task(self._gone())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            return work.done()
        finally:
            for task in (work, watch):
                task.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)

    async def _gone(self) -> None:
        """Until something comes, which is an end: nothing is owed while an answer is under way."""
        ready = self._loop.create_future()
        number = self._connection.fileno()
        self._loop.add_reader(number, lambda: _settle(ready))
        try:
            await ready
        finally:
            self._loop.remove_reader(number)

    async def _next(self) -> Frame | None:
        while not self._frames:
            data = await self._loop.sock_recv(self._connection, _READ)
            if not data:
                return None
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    async def uploaded(self) -> AsyncIterator[bytes]:
        """What is left of an upload. Of a Store that was refused early, gRPC may still wait for the
        next piece while the rest is read to be thrown away: one at a time reads the socket."""
        while True:
            async with self._reading:
                if not self._uploading:
                    return
                frame = await self._next()
                if frame is None:
                    raise ConnectionResetError("the kernel went in the middle of an upload")
                if frame.kind is not Kind.UPLOAD:
                    self._uploading = False
                    return
            yield frame.payload

    async def send(self, kind: Kind, header: dict[str, Any], payload: bytes = b"") -> None:
        await self._loop.sock_sendall(self._connection, encode(kind, header, payload))


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
