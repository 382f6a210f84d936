"""What blocking code does in its own way: channels, waiting, files, and the end of things."""

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import ParamSpec, Protocol, TypeVar

import grpc

from isobath_client.channels import OPTIONS, Dialling
from isobath_client.errors import IsobathError

P = ParamSpec("P")
T = TypeVar("T")

sleep = time.sleep


def opened(to: Dialling) -> grpc.Channel:
    if to.credentials is None:
        return grpc.insecure_channel(to.target.address, options=OPTIONS)
    return grpc.secure_channel(to.target.address, to.credentials, options=OPTIONS)


def closed(channel: grpc.Channel) -> None:
    channel.close()


def in_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """In this one: nothing else waits for it."""
    return work(*args, **kwargs)


def best_effort(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
    """Do what should be done on the way out, without a word where the gateway is not to be
    reached, or the channel was closed before."""
    with contextlib.suppress(IsobathError, ValueError):
        work(*args, **kwargs)


class Loading(Protocol):
    """A file whose bytes are fetched once."""

    loaded: bytes | None

    def read(self) -> bytes: ...


def before_sight(files: Iterable[Loading]) -> None:
    """Nothing: it is fetched when it is shown."""


def on_sight(file: Loading) -> bytes | None:
    """What can be shown."""
    return file.read()
