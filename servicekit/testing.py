"""Servers within a test's own process, and the check that a test leaves nothing behind."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import pytest_asyncio

from servicekit.channels import channel
from servicekit.secrets import Secret
from servicekit.server import Mount, Server, ServerSettings, serving
from servicekit.tls import Tls

Mounted = tuple[Mount[Any], Any]

# gRPC and the loop take some moments to let go after the last close
_SETTLE_S = 5.0


@asynccontextmanager
async def running(
    *mounted: Mounted, server_settings: ServerSettings | None = None
) -> AsyncIterator[Server]:
    """One started server with all the given (mount, settings), on a free port of 127.0.0.1."""

    @asynccontextmanager
    async def mount_all(server: Server, _: None) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for mount, settings in mounted:
                await stack.enter_async_context(mount(server, settings))
            yield

    async with serving(mount_all, None, server_settings or ServerSettings(drain_s=2.0)) as server:
        yield server


@asynccontextmanager
async def open_channel(
    server: Server,
    *,
    token: Secret | None = None,
    tls: Tls | None = None,
    default_timeout_s: float = 30.0,
) -> AsyncIterator[grpc.aio.Channel]:
    async with channel(
        server.address, token=token, tls=tls, default_timeout_s=default_timeout_s
    ) as opened:
        yield opened


class Leaks:
    """What is alive now, and later what of it is new."""

    def __init__(self) -> None:
        self._tasks = set(asyncio.all_tasks())
        self._threads = set(threading.enumerate())
        self._files = set(_open_files())
        self._children = {child.pid for child in psutil.Process().children()}

    def found(self) -> list[str]:
        own = asyncio.current_task()
        tasks = (t for t in asyncio.all_tasks() if t not in self._tasks and t is not own)
        threads = (t for t in threading.enumerate() if t not in self._threads)
        files = (f for f in _open_files() if f not in self._files)
        children = (c for c in psutil.Process().children() if c.pid not in self._children)
        return [
            *(f"task {task!r}" for task in tasks),
            *(f"thread {thread.name}" for thread in threads if not _of_the_process(thread)),
            *(f"file {number} {target}{_ends(number)}" for number, target in files),
            *(f"process {child.pid}" for child in children),
        ]

    async def settled(self, timeout_s: float = _SETTLE_S) -> list[str]:
        """Waits for ends that are under way; gives what still lives then."""
        until = time.monotonic() + timeout_s
        while (left := self.found()) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return left


def _of_the_process(thread: threading.Thread) -> bool:
    """Started once and kept: gRPC's poller, and the loop's default executor."""
    return "_poll_wrapper" in thread.name or thread.name.startswith("asyncio_")


def _open_files() -> list[tuple[str, str]]:
    """Descriptors of files, pipes and sockets; those of event loops belong to the process."""
    files = []
    for number in Path("/proc/self/fd").iterdir():
        try:
            target = str(number.readlink())
        except OSError:
            continue  # closed between the two looks, as that of the listing itself
        if not target.startswith("anon_inode:"):
            files.append((number.name, target))
    return files


def _ends(number: str) -> str:
    """Of a socket: whom it connects, and how it stands."""
    found = [each for each in psutil.Process().net_connections("all") if str(each.fd) == number]
    return "".join(f" {each.laddr} {each.raddr} {each.status}" for each in found)


@pytest_asyncio.fixture
async def no_leaks() -> AsyncIterator[Leaks]:
    """Fails the test that leaves a task, thread, file, socket or process behind."""
    grpc.aio.init_grpc_aio()  # type: ignore[attr-defined]
    leaks = Leaks()
    yield leaks
    if left := await leaks.settled():
        pytest.fail("left behind: " + "; ".join(left))
