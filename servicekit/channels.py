"""Calling other services: request id, token and deadline travel along by themselves."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

import grpc

from servicekit import context, metrics, tracing
from servicekit.addresses import is_unix
from servicekit.balanced import WATCHING, Balanced
from servicekit.names import is_several, listed
from servicekit.secrets import Secret
from servicekit.status import REQUEST_ID_KEY, decode
from servicekit.tls import Material, Tls, channel_credentials

T = TypeVar("T")

RECEIVE_LIMIT_BYTES = 64 * 1024 * 1024
METADATA_LIMIT_BYTES = 16 * 1024

Options = tuple[tuple[str, Any], ...]
OPTIONS: Options = (
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
    address: str,
    *,
    token: Secret | None = None,
    tls: Tls | None = None,
    tls_name: str = "",
    default_timeout_s: float = 30.0,
    repeatable: Collection[str] = (),
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel whose calls carry the request id, the token, and a deadline: what was given, or
    `default_timeout_s` for calls with one answer, and never beyond the incoming call's own. With
    `tls` both ends show their certificates, unless the address is a unix socket; `tls_name` stands
    in the other's where its address does not.

    A call whose answer is a stream has no default, because watches have no end; give it a
    `timeout`, or leave it to the incoming call's deadline. Errors stay AioRpcError: see `calling`,
    `faults`.

    An address may be several, with commas between, and each may be dns:///name:port, which is all
    addresses of the name: calls then go to those replicas that are ready (servicekit.balanced), and
    the methods named as `repeatable` are made again where one was lost."""

    def one(at: str, name: str, *more: tuple[str, Any]) -> _Channel:
        named = (("grpc.ssl_target_name_override", name),) if name else ()
        shown = None if is_unix(at) else tls
        return _Channel(at, (*OPTIONS, *named, *more), token, shown, default_timeout_s)

    opened: grpc.aio.Channel
    if is_several(address):
        opened = Balanced(
            listed(address),
            lambda at, name: one(at, tls_name or name, WATCHING),
            default_timeout_s=default_timeout_s,
            repeatable=repeatable,
        )
    else:
        opened = one(address, tls_name)
    try:
        yield opened
    finally:
        await opened.close()


class _Link:
    """One channel of gRPC, with one certificate, and the calls on it."""

    def __init__(self, address: str, options: Options, material: Material | None) -> None:
        self.material = material
        self.calls: WeakSet[Any] = WeakSet()
        if material is None:
            self.inner = grpc.aio.insecure_channel(address, options=list(options))
        else:
            shown = channel_credentials(material)
            self.inner = grpc.aio.secure_channel(address, shown, options=list(options))

    @property
    def idle(self) -> bool:
        return all(call.done() for call in self.calls)


class _Channel(grpc.aio.Channel):
    """Alters the arguments of each call and is out of the way then: gRPC's client interceptors
    would add a layer to every message of a stream. Where the certificate has changed, the next call
    opens another connection; those that run stay on theirs."""

    def __init__(
        self,
        address: str,
        options: Options,
        token: Secret | None,
        tls: Tls | None,
        default_timeout_s: float,
    ) -> None:
        self._address, self._options = address, options
        self._token, self._tls = token, tls
        self._default_s = default_timeout_s
        self._link = _Link(address, options, tls.material() if tls else None)
        self._left: list[_Link] = []
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._calls(args[0], lambda to: to.unary_unary(*args, **kwargs), self._default_s)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._calls(args[0], lambda to: to.unary_stream(*args, **kwargs), math.inf)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._calls(args[0], lambda to: to.stream_unary(*args, **kwargs), self._default_s)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._calls(args[0], lambda to: to.stream_stream(*args, **kwargs), math.inf)

    def _calls(
        self,
        path: str,
        made: Callable[[grpc.aio.Channel], Callable[..., Any]],
        default_s: float,
    ) -> Callable[..., Any]:
        link = self._link
        method = made(link.inner)

        def call(
            *args: Any, timeout: float | None = None, metadata: Any = None, **kwargs: Any
        ) -> Any:
            nonlocal link, method
            if (now := self._current()) is not link:
                link, method = now, made(now.inner)
            span = tracing.begin(path[1:], kind=tracing.CLIENT, attributes=tracing.of_rpc(path))
            begun = method(
                *args,
                timeout=_deadline(timeout, default_s),
                metadata=self._metadata(metadata, span),
                **kwargs,
            )
            metrics.CLIENT_RUNNING.labels(path).inc()
            begun.add_done_callback(partial(_ended, path, span, time.monotonic()))
            if self._tls is not None:
                link.calls.add(begun)
            return begun

        return call

    def _current(self) -> _Link:
        if self._tls is not None and self._tls.material() is not self._link.material:
            self._left.append(self._link)
            self._link = _Link(self._address, self._options, self._tls.material())
            for each in [each for each in self._left if each.idle]:
                self._left.remove(each)
                closing = asyncio.ensure_future(each.inner.close(None))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        return self._link

    def _metadata(
        self, given: Iterable[tuple[str, str | bytes]] | None, span: tracing.Marked
    ) -> Any:
        headers = list(given or ())
        names = {name for name, _ in headers}
        if REQUEST_ID_KEY not in names:
            headers.append((REQUEST_ID_KEY, context.request_id() or context.new_request_id()))
        if self._token is not None and "authorization" not in names:
            headers.append(("authorization", f"Bearer {self._token.reveal()}"))
        if tracing.TRACEPARENT not in names:
            # without a span of this call, those of whoever called us pass on
            told = tracing.headers() if span is tracing.NOTHING else span.headers()
            headers.extend(told.items())
        return tuple(headers)

    async def __aenter__(self) -> "_Channel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        left, self._left = self._left, []
        await asyncio.gather(*(each.inner.close(grace) for each in [self._link, *left]))
        await asyncio.gather(*self._closing)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._current().inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._current().inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._current().inner.channel_ready()


def _ended(path: str, span: tracing.Marked, began: float, call: Any) -> None:
    """The call is over, however it went."""
    code = _code_of(call).name
    metrics.CLIENT_RUNNING.labels(path).dec()
    metrics.CLIENT_HANDLED.labels(path, code).inc()
    metrics.CLIENT_SECONDS.labels(path).observe(time.monotonic() - began)
    span.tell({"rpc.response.status_code": code})
    if code not in ("OK", "CANCELLED"):
        span.fail(code)
    span.end()


def _code_of(call: Any) -> grpc.StatusCode:
    """Of a call that has ended there is nothing to wait for; gRPC knows no other way to ask."""
    asking = call.code()
    try:
        asking.send(None)
    except StopIteration as answer:
        return answer.value  # type: ignore[no-any-return]
    asking.close()
    return grpc.StatusCode.UNKNOWN


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
