"""Calling other services: request id, token and deadline travel along by themselves."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import grpc

from servicekit import context
from servicekit.secrets import Secret
from servicekit.status import REQUEST_ID_KEY, decode

T = TypeVar("T")

RECEIVE_LIMIT_BYTES = 64 * 1024 * 1024
METADATA_LIMIT_BYTES = 16 * 1024

OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", RECEIVE_LIMIT_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", METADATA_LIMIT_BYTES),
    # a peer that vanished without a word is noticed within 30 s, during a call
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # a service that was restarted is found again soon
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class Cancellable(Protocol):
    def cancel(self) -> bool: ...


C = TypeVar("C", bound=Cancellable)


@asynccontextmanager
async def channel(
    address: str, *, token: Secret | None = None, default_timeout_s: float = 30.0
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel whose calls carry the request id, the token, and a deadline: what was given, or
    `default_timeout_s` for calls with one answer, and never beyond the incoming call's own.

    A call whose answer is a stream has no default, because watches have no end; give it a
    `timeout`, or leave it to the incoming call's deadline. Errors stay AioRpcError: see `calling`,
    `faults`."""
    async with grpc.aio.insecure_channel(address, options=list(OPTIONS)) as inner:
        yield _Channel(inner, token, default_timeout_s)


class _Channel(grpc.aio.Channel):
    """Alters the arguments of each call and is out of the way then: gRPC's client interceptors
    would add a layer to every message of a stream."""

    def __init__(self, inner: grpc.aio.Channel, token: Secret | None, default_timeout_s: float):
        self._inner = inner
        self._token = token
        self._default_s = default_timeout_s

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._calls(self._inner.unary_unary(*args, **kwargs), self._default_s)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._calls(self._inner.unary_stream(*args, **kwargs), math.inf)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._calls(self._inner.stream_unary(*args, **kwargs), self._default_s)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._calls(self._inner.stream_stream(*args, **kwargs), math.inf)

    def _calls(self, method: Callable[..., Any], default_s: float) -> Callable[..., Any]:
        def call(
            *args: Any, timeout: float | None = None, metadata: Any = None, **kwargs: Any
        ) -> Any:
            return method(
                *args,
                timeout=_deadline(timeout, default_s),
                metadata=self._metadata(metadata),
                **kwargs,
            )

        return call

    def _metadata(self, given: Iterable[tuple[str, str | bytes]] | None) -> Any:
        headers = list(given or ())
        names = {name for name, _ in headers}
        if REQUEST_ID_KEY not in names:
            headers.append((REQUEST_ID_KEY, context.request_id() or context.new_request_id()))
        if self._token is not None and "authorization" not in names:
            headers.append(("authorization", f"Bearer {self._token.reveal()}"))
        return tuple(headers)

    async def __aenter__(self) -> "_Channel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()


def _deadline(given: float | None, default_s: float) -> float | None:
    wanted = default_s if given is None else given
    allowed = min(wanted, context.remaining_s(math.inf))
    return None if math.isinf(allowed) else allowed


@asynccontextmanager
async def streaming(call: C) -> AsyncIterator[C]:
    """Cancels the call on leaving, always: gRPC does not when a loop over it is left."""
    try:
        yield call
    finally:
        call.cancel()


async def calling(awaitable: Awaitable[T]) -> T:
    """Awaits a call with one answer; its failure is a RemoteFault."""
    try:
        return await awaitable
    except grpc.aio.AioRpcError as exc:
        raise decode(exc) from exc


async def faults(messages: Any) -> AsyncIterator[Any]:
    """Iterates over a call's messages; its failure is a RemoteFault. To cancel: `streaming`."""
    try:
        async for message in messages:
            yield message
    except grpc.aio.AioRpcError as exc:
        raise decode(exc) from exc
