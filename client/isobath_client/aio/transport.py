"""What asyncio does in its own way: channels, waiting, files, and the end of things."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from typing import ParamSpec, Protocol, TypeVar

import grpc

from isobath_client.channels import OPTIONS, Dialling
from isobath_client.errors import IsobathError

P = ParamSpec("P")
T = TypeVar("T")
CLEANUP_S = 5.0

sleep = asyncio.sleep
in_thread = asyncio.to_thread


def opened(to: Dialling) -> grpc.aio.Channel:
    """A channel of the running loop."""
    if to.credentials is None:
        return grpc.aio.insecure_channel(to.target.address, options=OPTIONS)
    return grpc.aio.secure_channel(to.target.address, to.credentials, options=OPTIONS)


async def closed(channel: grpc.aio.Channel) -> None:
    await channel.close(None)


async def best_effort(
    work: Callable[P, Coroutine[object, object, T]], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Do what should be done on the way out, though a cancellation is under way: bounded, and
    without a word where the gateway is not to be reached."""
    doing = asyncio.ensure_future(work(*args, **kwargs))
    with contextlib.suppress(IsobathError, TimeoutError):
        await asyncio.wait_for(asyncio.shield(doing), CLEANUP_S)
    doing.cancel()


class Loading(Protocol):
    """A file whose bytes are fetched once."""

    loaded: bytes | None

    async def read(self) -> bytes: ...


async def before_sight(files: Iterable[Loading]) -> None:
    """Fetch what will be shown: a notebook cannot wait when it shows it."""
    for each in files:
        await each.read()


def on_sight(file: Loading) -> bytes | None:
    """What can be shown."""
    return file.loaded
