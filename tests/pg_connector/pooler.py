"""Poolers that give each transaction another session: PgBouncer itself where it is installed, and a
front of our own that is harder on its clients.

The front opens a session for each client, who logs in through it; from then on every transaction of
any client takes the session that rested longest. It does not imitate PgBouncer's own logins,
its limits, its errors, nor its care for settings that a client makes.
"""

import asyncio
import os
import shutil
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from dev.postgres import Postgres
from servicekit.ports import free_ports

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# "Message Formats" in the manual
_SSL_REQUEST, _CANCEL_REQUEST = 80877103, 80877102
_ENDS_BY_READY = (b"Q", b"S")


@dataclass(eq=False)
class Session:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    key: bytes = b""


@dataclass(eq=False)
class _Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    session: Session | None = None
    pump: "asyncio.Task[None] | None" = None
    # ReadyForQuery is awaited so often
    due: int = 0


@dataclass
class Front:
    server: Postgres
    port: int = 0
    resting: "asyncio.Queue[Session]" = field(default_factory=asyncio.Queue)
    # by the key that the client was given
    clients: dict[bytes, _Client] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(reader, writer)
        try:
            await self._start(client)
        except (OSError, asyncio.IncompleteReadError):
            pass  # it went away
        finally:
            writer.close()
            if client.pump is not None:
                client.pump.cancel()
            if client.session is not None:
                client.session.writer.close()

    async def _start(self, client: _Client) -> None:
        code, whole = await _first(client.reader)
        if code == _SSL_REQUEST:
            client.writer.write(b"N")
            code, whole = await _first(client.reader)
        if code == _CANCEL_REQUEST:
            await self._cancel(whole[8:])
            return
        session = Session(*await asyncio.open_connection("127.0.0.1", self.server.port))
        session.writer.write(whole)
        self._link(client, session)
        client.due = 1
        while True:
            kind, message = await _message(client.reader)
            if kind == b"X":
                return
            if client.session is None:
                self._link(client, await self.resting.get())
            assert client.session is not None
            client.due += kind in _ENDS_BY_READY
            client.session.writer.write(message)

    def _link(self, client: _Client, session: Session) -> None:
        client.session = session
        client.pump = asyncio.create_task(self._pump(client, session))

    async def _pump(self, client: _Client, session: Session) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                kind, message = await _message(session.reader)
                if kind == b"K":
                    session.key = message[5:]
                    self.clients[session.key] = client
                if kind == b"Z":
                    client.due -= 1
                if kind == b"Z" and message[5:] == b"I" and not client.due:
                    client.session = None
                    self.resting.put_nowait(session)
                    client.writer.write(message)
                    return
                client.writer.write(message)
                await client.writer.drain()
        client.writer.close()

    async def _cancel(self, key: bytes) -> None:
        client = self.clients.get(key)
        if client is None or client.session is None:
            return
        _, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        told = struct.pack("!ii", 8 + len(client.session.key), _CANCEL_REQUEST)
        writer.write(told + client.session.key)
        writer.close()
        await writer.wait_closed()


async def _first(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readexactly(8)
    size, code = struct.unpack("!ii", head)
    return code, head + await reader.readexactly(size - 8)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (size,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(size - 4)


@asynccontextmanager
async def front(server: Postgres) -> AsyncIterator[int]:
    """The port of one."""
    pooler = Front(server)
    async with await asyncio.start_server(pooler.serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]
    while not pooler.resting.empty():
        pooler.resting.get_nowait().writer.close()


@asynccontextmanager
async def pgbouncer(
    server: Postgres, user: str, password: str, *, sessions: int, mode: str = "transaction"
) -> AsyncIterator[int]:
    """The port of one that knows this user, with so many sessions."""
    assert PGBOUNCER is not None
    (port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        # pytest's own folders are closed to the account that it runs as
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isobath-pgb-")))
        folder.chmod(0o755)
        users, settings = folder / "users", folder / "pgbouncer.ini"
        users.write_text(f'"{user}" "{password}"\n')
        settings.write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={server.port}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = {mode}\n"
            f"default_pool_size = {sessions}\nmin_pool_size = {sessions}\n"
            "server_round_robin = 1\n"
        )
        account = ("-u", "nobody") if os.geteuid() == 0 else ()
        process = await asyncio.create_subprocess_exec(
            PGBOUNCER, *account, str(settings),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        stack.push_async_callback(process.wait)
        stack.callback(process.terminate)
        await _answers(port)
        yield port


async def _answers(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)
