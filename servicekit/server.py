"""A service's life: mount what it needs, listen, serve, drain, leave."""

import asyncio
import ctypes
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

import grpc
from grpc_reflection.v1alpha import reflection

from servicekit import health, logs, metrics
from servicekit.addresses import CannotListen, is_local, is_unix, split_host_port
from servicekit.callers import Callers
from servicekit.channels import METADATA_LIMIT_BYTES
from servicekit.exporting import exporting, trace_settings
from servicekit.interceptors import NO_SERIALIZERS, Allow, Pipeline, Refused, Rules, Serializers
from servicekit.settings import SettingsError, load
from servicekit.status import NO_STATUSES, StatusTable
from servicekit.tls import Tls, TlsSettings

_log = logs.get(__name__)

# handlers that were cancelled at the end of the drain have this long for their cleanup
_CLEANUP_S = 5.0
_LAST_CALLS_S = 1.0
# prctl(2)
_PR_SET_DUMPABLE = 4


@dataclass(frozen=True)
class ServerSettings:
    # host:port or unix:path; port 0 takes a free one
    bind: str = "127.0.0.1:0"
    # host:port of the Prometheus listener; empty = none
    metrics_bind: str = ""
    # host:port of a listener that tells health and nothing else, without TLS, for the probes of
    # Kubernetes, which have no certificate; empty = none
    health_bind: str = ""
    # running calls have this long to end by themselves
    drain_s: float = 10.0
    # before that, new calls are still taken for so long, in seconds: whoever balances them learns
    # late that this service is NOT_SERVING
    linger_s: float = 0.0
    # a connection is told to open anew after so long, in seconds, and up to a tenth more or less,
    # so that clients which balance by connection find new replicas; 0 = never
    connection_age_s: float = 0.0
    # JSON {identity: sha256 of its token, or a list of them}; unset = callers are known by their
    # certificates, or without TLS this machine only, everybody is "local"
    callers_file: Path | None = None
    # who this service is, to those that call it and to those that it calls
    tls: TlsSettings = field(default_factory=TlsSettings)
    # no TLS, though other machines can reach it: only where the network itself encrypts, as a mesh
    # does
    plaintext: bool = False
    # its services tell callers apart by themselves, so that any address may be bound without a file
    public: bool = False
    # the largest message that is accepted or sent
    max_message_bytes: int = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        if not is_unix(self.bind):
            split_host_port(self.bind)
        for listener in filter(None, (self.metrics_bind, self.health_bind)):
            split_host_port(listener)


Staying = Callable[[float], Awaitable[None]]


class HasServer(Protocol):
    @property
    def server(self) -> ServerSettings: ...


S_contra = TypeVar("S_contra", contravariant=True)
S = TypeVar("S", bound=HasServer)


class Mount(Protocol[S_contra]):
    """services/<name>/app.py: a context manager that opens what is needed and registers it."""

    def __call__(
        self, server: "Server", settings: S_contra, /
    ) -> AbstractAsyncContextManager[None]: ...


class Server:
    def __init__(self, settings: ServerSettings) -> None:
        _refuse_open_door(settings)
        self._settings = settings
        self._health = health.Health()
        # for calls to other services too
        self.tls = Tls(settings.tls) if settings.tls.cert_file else None
        self._secured = self.tls is not None and not (settings.public or is_unix(settings.bind))
        callers = Callers(settings.callers_file, self.tls if self._secured else None)
        self._pipeline = Pipeline(callers)
        self._grpc = grpc.aio.server(interceptors=(self._pipeline,), options=_options(settings))
        self._names: list[str] = []
        # what its services said before it listens
        self._withheld: set[str] = set()
        self._staying: list[Staying] = []
        self._hurried = asyncio.Event()
        # NOT_SERVING, to be stopped
        self.draining = asyncio.Event()
        # and no new calls
        self.closing = asyncio.Event()
        self._gave_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.port = 0
        self.metrics_port = 0
        self.health_port = 0

    @property
    def address(self) -> str:
        """What a client of this machine dials."""
        if is_unix(self._settings.bind):
            return self._settings.bind
        host = self._settings.bind.rpartition(":")[0]
        return f"{host}:{self.port}"

    def register(
        self,
        full_name: str,
        add: Callable[[grpc.aio.Server], object],
        *,
        statuses: StatusTable = NO_STATUSES,
        allow: Allow | None = None,
        refused: Refused | None = None,
        endless: frozenset[str] = frozenset(),
        serializers: Serializers = NO_SERIALIZERS,
        begins_traces: bool = False,
    ) -> None:
        """Adds a service. `allow`: method -> identities that may call it, "*" for any; a method
        that is not named is nobody's. None: the service itself looks at who calls. `refused` is
        told of each method that a caller may not call. `endless`: methods whose streams have no end
        (watches); the drain ends them at once, with UNAVAILABLE, instead of waiting for them.
        `serializers`: methods whose answers become bytes otherwise than by protobuf's own.
        `begins_traces`: a call that carries no trace begins one, as clients' calls do."""
        add(self._grpc)
        self._names.append(full_name)
        self._pipeline.govern(
            full_name,
            Rules(
                statuses,
                allow,
                refused,
                endless=endless,
                serializers=serializers,
                begins_traces=begins_traces,
            ),
        )
        self._health.set(False, full_name)

    def set_serving(self, serving: bool, full_name: str = "") -> None:
        (self._withheld.discard if serving else self._withheld.add)(full_name)
        up = not (self.draining.is_set() or self._gave_up.done())
        self._health.set(serving and up, full_name)

    def give_up(self, why: str) -> None:
        """NOT_SERVING from now on; the process drains and exits with 1, to be started anew."""
        self._health.set_all(False)
        if not self._gave_up.done():
            self._gave_up.set_result(why)

    @property
    def has_given_up(self) -> bool:
        return self._gave_up.done()

    async def gave_up(self) -> str:
        """Returns why, when `give_up` was called."""
        return await asyncio.shield(self._gave_up)

    def hurry(self) -> None:
        """Cuts the drain short: what still runs is cancelled."""
        self._hurried.set()

    async def start(self) -> None:
        self._add_public()
        self.port = self._listen()
        await self._grpc.start()
        self._health.set_all(True, but=self._withheld)
        await self._health.told()

    async def listen_for_probes(self, stack: AsyncExitStack) -> None:
        """NOT_SERVING until the service has started, and for as long as it ends."""
        if bind := self._settings.health_bind:
            self.health_port = await stack.enter_async_context(health.listening(self._health, bind))

    async def stop(self) -> None:
        """NOT_SERVING first; after `linger_s`, and what stays, no new calls, and endless streams
        end; then waits for the running ones. What stays and what runs have `drain_s` together."""
        self.draining.set()
        self._health.set_all(False)
        await self._health.told()
        begun, left_s = asyncio.get_running_loop().time(), self._settings.drain_s
        if self._staying:
            await self._stay()
            # what was called at the end of it is to be answered too
            stayed_s = asyncio.get_running_loop().time() - begun
            left_s = max(left_s - stayed_s, _LAST_CALLS_S)
        await self._linger(begun + self._settings.linger_s - asyncio.get_running_loop().time())
        self.closing.set()
        self._pipeline.drain()
        await self._stop_within(left_s)
        if not await self._pipeline.idle(_CLEANUP_S):
            _log.error("handlers_left_behind")

    async def _linger(self, seconds: float) -> None:
        if seconds <= 0 or self.has_given_up:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()

    def stay(self, until: Staying) -> None:
        """When the server is to stop, all calls are served on until this is over. It is given the
        seconds that it may take, which it keeps to."""
        self._staying.append(until)

    async def _stay(self) -> None:
        hurried = asyncio.ensure_future(self._hurried.wait())
        staying, self._staying = self._staying, []
        for until in staying:
            work = asyncio.ensure_future(until(self._settings.drain_s))
            await asyncio.wait({work, hurried}, return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            for failed in await asyncio.gather(work, return_exceptions=True):
                if isinstance(failed, Exception):
                    _log.error("staying_failed", exc_info=failed)
        hurried.cancel()

    async def _stop_within(self, grace_s: float) -> None:
        stopping = asyncio.create_task(self._grpc.stop(grace_s))
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                await self._grpc.stop(None)
            await stopping
        finally:
            hurried.cancel()

    def _add_public(self) -> None:
        self._health.add_to(self._grpc)
        public = Rules(public=True, endless=frozenset({"Watch"}))
        self._pipeline.govern(health.SERVICE, public)
        reflection.enable_server_reflection(
            (*self._names, health.SERVICE, reflection.SERVICE_NAME), self._grpc
        )
        self._pipeline.govern(
            reflection.SERVICE_NAME,
            Rules(public=True, endless=frozenset({"ServerReflectionInfo"})),
        )

    def _listen(self) -> int:
        bind = self._settings.bind
        try:
            if self._secured and self.tls is not None:
                port = self._grpc.add_secure_port(bind, self.tls.server_credentials())
            else:
                port = self._grpc.add_insecure_port(bind)
        except RuntimeError as exc:
            raise CannotListen(bind) from exc
        return 0 if is_unix(bind) else port


class GaveUp(Exception):
    """The service cannot work any more in this process."""


def _refuse_open_door(settings: ServerSettings) -> None:
    if settings.public or is_local(settings.bind) or settings.tls.cert_file:
        return
    reached = f"SERVER_BIND {settings.bind} can be reached from other machines, but "
    if not settings.plaintext:
        raise SettingsError(
            [
                f"{reached}SERVER_TLS_CERT_FILE, _KEY_FILE and _CA_FILE are not set: set them, or "
                "bind to 127.0.0.1. Where a mesh encrypts, set SERVER_PLAINTEXT=true"
            ]
        )
    if settings.callers_file is None:
        raise SettingsError(
            [f"{reached}SERVER_CALLERS_FILE is not set: anybody could call. Set it"]
        )


def _options(settings: ServerSettings) -> list[tuple[str, Any]]:
    aged = [("grpc.max_connection_age_ms", round(settings.connection_age_s * 1000))]
    return [
        *(aged if settings.connection_age_s else []),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", METADATA_LIMIT_BYTES),
        # else a second server on the same port would silently share its calls
        ("grpc.so_reuseport", 0),
        # our channels ping every 20 s while a call runs
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ]


@asynccontextmanager
async def serving(
    mount: Mount[S_contra], settings: S_contra, server_settings: ServerSettings
) -> AsyncIterator[Server]:
    """A started server. Dependencies open before it listens and close after its last call ended."""
    server = Server(server_settings)
    async with AsyncExitStack() as stack:
        if server_settings.metrics_bind:
            server.metrics_port = await stack.enter_async_context(
                metrics.listening(server_settings.metrics_bind)
            )
        await server.listen_for_probes(stack)
        watching = asyncio.create_task(metrics.watch_loop(), name="lag of the loop")
        stack.push_async_callback(_ended, watching)
        await stack.enter_async_context(mount(server, settings))
        stack.push_async_callback(server.stop)
        await server.start()
        yield server


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def main(name: str, settings_type: type[S], mount: Mount[S], *, prefix: str) -> NoReturn:
    """Runs the service until SIGTERM or SIGINT; a second signal cuts the drain short.

    Exit codes: 0 after a clean end, 1 for a failure (in the log), 2 for unusable settings."""
    _close_memory()
    try:
        settings = load(settings_type, environ, prefix=prefix)
        logs.configure(name, level=_log_level())
        metrics.tell_build(name)
        with exporting(trace_settings(environ), name):
            asyncio.run(_run(name, mount, settings))
    except SettingsError as exc:
        _tell_settings(name, exc)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        _log.exception("failed")
        sys.exit(1)
    sys.exit(0)


def _close_memory() -> None:
    """No core file holds what was in memory, and no other process of this user reads it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError("prctl(PR_SET_DUMPABLE) was refused")


def _log_level() -> str:
    level = environ.get("ISOBATH_LOG_LEVEL", "") or "INFO"
    if level.upper() not in logs.LEVELS:
        raise SettingsError([f"ISOBATH_LOG_LEVEL expects one of {', '.join(logs.LEVELS)}"])
    return level.upper()


def _tell_settings(name: str, error: SettingsError) -> None:
    print(f"{name} cannot start:", file=sys.stderr)  # noqa: T201
    for problem in error.problems:
        print(f"  {problem}", file=sys.stderr)  # noqa: T201


async def _run(name: str, mount: Mount[S], settings: S) -> None:
    stop = asyncio.Event()
    servers: list[Server] = []
    _on_signals(lambda: _stop_or_hurry(stop, servers))
    async with serving(mount, settings, settings.server) as server:
        servers.append(server)
        _log.info("serving", name=name, address=server.address, metrics=server.metrics_port)
        ends = [asyncio.create_task(each) for each in (stop.wait(), server.gave_up())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in ends:
            task.cancel()
        _log.info("draining", name=name)
    _log.info("stopped", name=name)
    if server.has_given_up:
        raise GaveUp(await server.gave_up())


def _stop_or_hurry(stop: asyncio.Event, servers: list[Server]) -> None:
    if stop.is_set():
        for server in servers:
            server.hurry()
    stop.set()


def _on_signals(act: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, act)
