"""Puts the sandbox together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from isobath.sandbox.v1 import sandbox_pb2_grpc as rpc
from isobath.sandbox.v1.relay_pb2_grpc import add_RelayServiceServicer_to_server as add_relay
from servicekit.limits import Limiter
from servicekit.server import Server
from services.sandbox import metrics, tiers
from services.sandbox.connectors import Connectors, Reaching
from services.sandbox.execution import Terms
from services.sandbox.home import Home
from services.sandbox.isolation.accounts import Accounts
from services.sandbox.isolation.port import Bounds
from services.sandbox.live import Surroundings
from services.sandbox.moves import Moves
from services.sandbox.peers import Peers
from services.sandbox.pods.relay import ALLOW as ALLOW_RELAY
from services.sandbox.pods.relay import ENDLESS, Relay, Relayed, RelayServicer
from services.sandbox.pods.relay import NAME as RELAY
from services.sandbox.pool import Ground, Pool
from services.sandbox.servicer import ALLOW, ALLOW_DRIVER, NAME, STATUSES, Servicer
from services.sandbox.sessions import Rules, Sessions
from services.sandbox.settings import Settings
from services.sandbox.spawner import Spawner
from services.sandbox.template import Template

_THREADS = 8
# beside those of sessions: one that is proved, and those that end while others start
_SPARE_ACCOUNTS = 8


@asynccontextmanager
async def mount(server: Server, settings: Settings) -> AsyncIterator[None]:
    if settings.driver == "pods":
        # its client of Kubernetes takes most of a second to load
        from services.sandbox.pods.app import mount as mount_pods

        async with mount_pods(server, settings):
            yield
    else:
        async with mount_local(server, settings):
            yield


@asynccontextmanager
async def mount_local(server: Server, settings: Settings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        threads = await stack.enter_async_context(Limiter("sandbox", _THREADS))
        ground = await _ground(stack, settings, threads)
        pool = await stack.enter_async_context(Pool(ground, settings.warm))
        relay = Relay()
        connectors: Reaching = (
            Relayed(relay)
            if settings.relayed
            else await stack.enter_async_context(
                Connectors(settings.connectors, settings.token, server.tls)
            )
        )
        around = Surroundings(
            pool, connectors, threads, terms_of(settings), settings.broker_connections
        )
        sessions = await stack.enter_async_context(
            Sessions(around, Home(settings.home).workspaces, rules_of(settings))
        )
        peers = await stack.enter_async_context(Peers(settings.peers, settings.token, server.tls))
        if settings.peers:
            server.stay(sessions.linger)
        servicer = Servicer(
            settings,
            ground.bounds,
            ground.isolation,
            sessions,
            connectors,
            threads,
            Moves(sessions, peers, threads, settings.workspace_bytes),
            server.draining,
        )
        server.register(
            NAME,
            lambda grpc_server: rpc.add_SandboxServiceServicer_to_server(servicer, grpc_server),
            statuses=STATUSES,
            allow=ALLOW_DRIVER if settings.relayed else ALLOW,
        )
        if settings.relayed:
            relayed = RelayServicer(relay)
            server.register(
                RELAY,
                lambda grpc_server: add_relay(relayed, grpc_server),
                allow=ALLOW_RELAY,
                endless=ENDLESS,
            )
        metrics.tell_tier(ground.isolation.name, ground.isolation.enforcement())
        metrics.tell_room(
            sessions=lambda: sessions.held,
            busy=lambda: sessions.busy,
            draining=server.draining.is_set,
            waiting=lambda: sessions.waiting,
            warm=lambda: pool.kept,
            slots=settings.sessions,
        )
        # health tells the tier: "isobath.sandbox.v1.SandboxService/namespaces"
        server.set_serving(True, f"{NAME}/{ground.isolation.name}")
        yield


async def _ground(stack: AsyncExitStack, settings: Settings, threads: Limiter) -> Ground:
    """The tier that is to be held, proved."""
    count = 2 * settings.sessions + settings.warm + _SPARE_ACCOUNTS
    accounts = Accounts(count, settings.uid_base)
    home = Home(settings.home)
    stack.enter_context(home.held(accounts.probing()))
    tiers.forget_fonts(home)
    spawner = stack.enter_context(Spawner())
    bounds = bounds_of(settings)
    python = await tiers.python(settings, accounts.probing(), threads)
    template = None
    if settings.forked:
        template = await stack.enter_async_context(Template(spawner, python, home.library, bounds))
    machine = tiers.Machine(home, accounts, bounds, spawner, threads, python, template)
    return await tiers.choose(settings, machine)


def bounds_of(settings: Settings) -> Bounds:
    return Bounds(
        memory_bytes=settings.memory_bytes,
        workspace_bytes=settings.workspace_bytes,
        scratch_bytes=settings.scratch_bytes,
        processes=settings.processes,
        cpu_s=settings.cpu_s,
        threads=settings.threads,
    )


def rules_of(settings: Settings) -> Rules:
    return Rules(
        limit=settings.sessions,
        line=settings.line,
        wait_s=settings.wait_s,
        kernel_idle_s=settings.kernel_idle_s,
        idle_s=settings.idle_s,
    )


def terms_of(settings: Settings) -> Terms:
    return Terms(
        timeout_s=settings.timeout_s,
        grace_s=settings.grace_s,
        head_bytes=settings.output_head_bytes,
        tail_bytes=settings.output_tail_bytes,
        displays=settings.displays,
        artifacts=settings.artifacts,
    )
