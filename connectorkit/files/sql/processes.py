"""The processes in which queries run: started ahead, one for each query, killed at its end."""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from connectorkit.files.errors import FileFault
from connectorkit.files.sql import frames
from connectorkit.files.sql.frames import Kind
from connectorkit.files.sql.serving import Files, Link, Ranges
from servicekit import logs
from servicekit.limits import Limiter

_log = logs.get(__name__)
_MODULE = "connectorkit.files.sql.child"
_START_S = 30.0


@dataclass(frozen=True)
class Share:
    """What one process may take. `locked` (DuckDB's own locks) and `confined` (the kernel's) are
    for tests of one without the other."""

    memory_bytes: int
    threads: int
    cpu_s: int
    locked: bool = True
    confined: bool = True


class ProcessLost(Exception):
    """It ended by itself. `code` is negative for a signal."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"the query's process ended with {code}")
        self.code = code


class Failed(Exception):
    """DuckDB's complaint, in its own fields."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(str(told.get("exception_message", "")))
        self.told = told


class Process:
    """`async with await Process.start(share) as process`; leaving kills it."""

    def __init__(self, process: asyncio.subprocess.Process, talk: "Link", asks: "Link") -> None:
        self._process, self._talk, self._asks = process, talk, asks
        self._serving: asyncio.Task[None] | None = None
        self._ranges: Ranges | None = None
        self.landlock = 0

    @classmethod
    async def start(cls, share: Share) -> Self:
        """Raises ProcessLost, TimeoutError."""
        ours, theirs = zip(socket.socketpair(), socket.socketpair(), strict=True)
        try:
            numbers = [each.fileno() for each in theirs]
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", _MODULE, *map(str, numbers)),
                pass_fds=numbers,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                cwd="/",
            )
        except BaseException:
            for each in ours:
                each.close()
            raise
        finally:
            for each in theirs:
                each.close()
        made = cls(process, await Link.of(ours[0]), await Link.of(ours[1]))
        try:
            async with asyncio.timeout(_START_S):
                await made._begin(share)
        except BaseException:
            await asyncio.shield(made.kill())
            raise
        return made

    async def _begin(self, share: Share) -> None:
        self._talk.write(frames.told(Kind.START, **vars(share)))
        kind, body = await self._next()
        if kind is not Kind.READY:
            raise ProcessLost(None)
        self.landlock = int(frames.read(body)["landlock"])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(self.kill())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def bytes_read(self) -> int:
        """Of the files, so far."""
        return self._ranges.bytes_read if self._ranges else 0

    @property
    def _fault(self) -> FileFault | None:
        return self._ranges.fault if self._ranges else None

    async def kill(self) -> None:
        """At once, whatever it is doing."""
        await self._stop_serving()
        with suppress(ProcessLookupError):
            self._process.kill()
        for link in (self._talk, self._asks):
            await link.aclose()
        await self._process.wait()

    async def parsed(self, sql: str) -> Mapping[str, Any]:
        """What DuckDB's parser makes of a text. Raises ProcessLost, Failed, Broken."""
        self._talk.write(frames.told(Kind.PARSE, sql=sql))
        kind, body = await self._next()
        if kind is Kind.FAILED:
            raise Failed(frames.read(body))
        return frames.read(body)

    async def run(
        self, sql: str, parameters: Sequence[Any], files: Files, *, most_rows: int = 0
    ) -> pa.Schema:
        """Begin; the columns. `batches` gives the rows. Raises as `parsed`, and FileFault."""
        await self._stop_serving()
        self._ranges = Ranges(self._asks, files)
        self._serving = asyncio.create_task(self._ranges.serve(), name="ranges")
        self._serving.add_done_callback(self._served)
        known = [[each.name, each.size_bytes] for each in files.members]
        self._talk.write(
            frames.told(
                Kind.RUN,
                sql=sql,
                parameters=parameters,
                files=known,
                families=files.families,
                most_rows=most_rows,
            )
        )
        kind, body = await self._answer()
        if kind is not Kind.SCHEMA:
            raise frames.Broken(f"{kind!r} before the columns")
        return pa.ipc.read_schema(pa.py_buffer(body))

    async def batches(
        self, schema: pa.Schema, threads: Limiter
    ) -> AsyncGenerator[pa.RecordBatch, None]:
        """The rows, as they come. What is not taken waits in the process."""
        while True:
            kind, body = await self._answer()
            if kind is Kind.DONE:
                return
            if kind is not Kind.BATCH:
                raise frames.Broken(f"{kind!r} among the rows")
            yield await threads.run(_batch, body, schema)

    async def _answer(self) -> tuple[Kind, bytes]:
        try:
            kind, body = await self._next()
        except ProcessLost:
            if self._fault is not None:
                raise self._fault from None
            raise
        if kind is Kind.FAILED:
            if self._fault is not None:
                raise self._fault
            raise Failed(frames.read(body))
        return kind, body

    async def _next(self) -> tuple[Kind, bytes]:
        try:
            return await self._talk.read()
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise ProcessLost(await self._process.wait()) from exc

    async def _stop_serving(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])

    def _served(self, task: asyncio.Task[None]) -> None:
        """Without its ranges the process would wait for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("ranges_failed", exc_info=error)
            with suppress(ProcessLookupError):
                self._process.kill()


def _batch(body: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """What came from the process is looked at before anything is done with it."""
    batch = pa.ipc.read_record_batch(pa.py_buffer(body), schema)
    batch.validate(full=True)
    return batch
