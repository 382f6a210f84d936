"""What processes on one database tell each other: short words on channels, none of them kept.

A signal says that there is something to look at; what it is lies in tables. So one that was lost,
while a connection broke, costs time and nothing else: after each (re)connection every listener is
told `None`, "look yourself".
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from types import TracebackType
from typing import Any, Protocol, Self

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession

from servicekit import logs

# NOTIFY takes less than 8,000 bytes
MAX_PAYLOAD_BYTES = 7_999
# a listener that lags by more looks itself
_UNREAD = 4_096
# a connection that says nothing is asked for a sign of life
_ALIVE_EVERY_S = 10.0
_ANSWER_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_CHANNEL = re.compile(r"[a-z][a-z0-9_]{0,62}")
_log = logs.get(__name__)

Told = AsyncIterator[str | None]


class Signals(Protocol):
    """`tell` in a transaction: it is heard when that commits, and not at all otherwise."""

    async def tell(self, session: AsyncSession, channel: str, payload: str) -> None:
        """At most `MAX_PAYLOAD_BYTES`."""

    def listening(self, channel: str) -> AbstractContextManager[Told]:
        """While entered, an endless iterator of what was told; None = something may have been
        missed, so look yourself. It begins with None, when nothing is missed any more."""


class _Unread:
    """What one listener has not read."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(_UNREAD)

    def put(self, payload: str | None) -> None:
        if self._queue.full():
            while not self._queue.empty():
                self._queue.get_nowait()
            payload = None
        self._queue.put_nowait(payload)

    async def read(self) -> Told:
        while True:
            yield await self._queue.get()


class _Listeners:
    """All of a process, by channel."""

    def __init__(self) -> None:
        self._all: dict[str, list[_Unread]] = defaultdict(list)

    @property
    def channels(self) -> list[str]:
        return [channel for channel, unread in self._all.items() if unread]

    def tell(self, channel: str, payload: str | None) -> None:
        for each in self._all.get(channel, ()):
            each.put(payload)

    @contextmanager
    def one(self, channel: str) -> Iterator[_Unread]:
        unread = _Unread()
        self._all[_checked(channel)].append(unread)
        try:
            yield unread
        finally:
            self._all[channel].remove(unread)


class Local:
    """Within this process: SQLite is nobody else's."""

    def __init__(self) -> None:
        self._listeners = _Listeners()

    async def tell(self, session: AsyncSession, channel: str, payload: str) -> None:
        _checked(channel, payload)

        def committed(_: object) -> None:
            self._listeners.tell(channel, payload)

        event.listen(session.sync_session, "after_commit", committed, once=True)

    @contextmanager
    def listening(self, channel: str) -> Iterator[Told]:
        with self._listeners.one(channel) as unread:
            unread.put(None)
            yield unread.read()


class Notified:
    """By PostgreSQL's LISTEN and NOTIFY, on one connection for all of this process's listeners. It
    needs a session of its own: a pooler between must pool sessions, not transactions."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        self._listeners = _Listeners()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is None:
            return
        self._closing = True
        self._changed.set()
        # a statement that is cut would leave its connection to be broken off
        await asyncio.wait({self._task}, timeout=_ANSWER_S)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def tell(self, session: AsyncSession, channel: str, payload: str) -> None:
        _checked(channel, payload)
        told = {"channel": channel, "payload": payload}
        await session.execute(text("SELECT pg_notify(:channel, :payload)"), told)

    @contextmanager
    def listening(self, channel: str) -> Iterator[Told]:
        with self._listeners.one(channel) as unread:
            if self._task is None:
                self._task = asyncio.create_task(self._keep(), name="signals")
            self._changed.set()
            yield unread.read()

    async def _keep(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closing:
            try:
                async with self._connected() as connection:
                    pause_s = _FIRST_PAUSE_S
                    await self._listen(connection)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("signals_lost", error=type(error).__name__)
                await asyncio.sleep(pause_s)
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(**self._arguments, timeout=_ANSWER_S)
        try:
            yield connection
            await connection.close(timeout=_ANSWER_S)
        finally:
            connection.terminate()

    async def _listen(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Until this is left, or the connection breaks, which raises."""
        heard = set[str]()
        connection.add_termination_listener(lambda _: self._changed.set())
        while not self._closing:
            self._changed.clear()
            for channel in self._listeners.channels:
                if channel not in heard:
                    await connection.add_listener(channel, self._heard)
                    heard.add(channel)
                    self._listeners.tell(channel, None)
            with suppress(TimeoutError):
                async with asyncio.timeout(_ALIVE_EVERY_S):
                    await self._changed.wait()
            await connection.execute("SELECT 1", timeout=_ANSWER_S)

    def _heard(self, _: object, __: int, channel: str, payload: object) -> None:
        self._listeners.tell(channel, str(payload))


def _checked(channel: str, payload: str = "") -> str:
    if not _CHANNEL.fullmatch(channel):
        raise ValueError(f"{channel!r} is no name for a channel")
    if len(payload.encode()) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a signal takes {MAX_PAYLOAD_BYTES:,} bytes")
    return channel
