"""The application behind both faces: what HTTP and gRPC call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from servicekit import context, health
from servicekit.tls import Tls
from services.gateway.access.keys import Key, Keys, hash_key
from services.gateway.access.oidc import Oidc
from services.gateway.access.scopes import Scope, require
from services.gateway.access.usage import Usage, counting
from services.gateway.audit import Audit
from services.gateway.bytestore import place as bytestore
from services.gateway.callers import Caller, Callers
from services.gateway.clients import Services, connected
from services.gateway.data import Data, Grants
from services.gateway.declared import Declared, following
from services.gateway.diagnosis import Diagnosis
from services.gateway.feedback import Feedback
from services.gateway.files import FileStore
from services.gateway.links import Links
from services.gateway.measured import measuring
from services.gateway.placement import Placements
from services.gateway.readiness import Readiness
from services.gateway.registry import Registry
from services.gateway.repeating import repeating
from services.gateway.runs import Runs
from services.gateway.settings import Settings
from services.gateway.statuses import STATUSES
from services.gateway.store import database
from services.gateway.threads import Threads
from services.gateway.upkeep.cleaning import Cleaner, cleaning
from services.gateway.working import RunSettings
from services.gateway.writeback import Writeback

EXPIRY_S = 60.0
SANDBOX = "isobath.sandbox.v1.SandboxService"
# as the sandbox's health names them
TIERS = ("pod-vm", "namespaces", "landlock", "none")


@dataclass(frozen=True)
class Gateway:
    """All parts, joined."""

    settings: Settings
    callers: Callers
    keys: Keys
    usage: Usage
    registry: Registry
    data: Data
    files: FileStore
    threads: Threads
    runs: Runs
    feedback: Feedback
    services: Services
    readiness: Readiness
    diagnosis: Diagnosis

    async def admit(self, authorization: str, needs: Scope) -> Caller:
        """Who calls, let in and counted. Raises `Unauthenticated`, `NotAllowed`,
        `QuotaExceeded`."""
        caller = await self.callers.authenticate(authorization)
        context.tell(user=caller.owner)
        require(caller.scope, needs)
        await self.usage.request(caller)
        return caller

    async def revoke_key(self, caller: Caller, id: str) -> Key:
        """By an admin, or by the key itself. Raises `NotAllowed`, `NotFound`."""
        if id != caller.key_id:
            require(caller.scope, Scope.ADMIN)
        return await self.keys.revoke(id)

    async def health(self) -> dict[str, str]:
        """Each service's own word: SERVING, NOT_SERVING, or UNREACHABLE."""
        names = await self.services.channels()
        states = await asyncio.gather(*(health.state(each) for each in names.values()))
        return dict(zip(names, states, strict=True))

    async def tier(self) -> str:
        """The sandbox's isolation, from its health; empty where it does not say."""
        names = [f"{SANDBOX}/{tier}" for tier in TIERS]
        for replica in (await self.services.sandbox.channels()).values():
            states = await asyncio.gather(*(health.state(replica, each) for each in names))
            for tier, state in zip(TIERS, states, strict=True):
                if state == "SERVING":
                    return tier
        return ""


@asynccontextmanager
async def opened(
    settings: Settings, tls: Tls | None = None, draining: asyncio.Event | None = None
) -> AsyncIterator[Gateway]:
    """A gateway at work, which shows its certificate to the services that it calls; on leaving, its
    runs are cancelled and everything is closed."""
    home = folder(settings.home)
    async with AsyncExitStack() as stack:
        bytes_store = await stack.enter_async_context(
            bytestore.opened(settings.files, home, settings.upload_bytes)
        )
        store = await stack.enter_async_context(
            database.opened(database_url(settings), settings.schema_wait_s)
        )
        services = await stack.enter_async_context(
            connected(
                credentials=settings.credentials,
                connectors=settings.connectors,
                sandbox=settings.sandbox,
                inference=settings.inference,
                placing=Placements(store),
                token=settings.token,
                tls=tls,
            )
        )
        registry = Registry(store, services)
        await stack.enter_async_context(following(Declared(store, services)))
        own_key = hash_key(settings.key_hash, home)
        links = Links(own_key, settings.public_url.rstrip("/"), settings.link_s)
        files = FileStore(store, bytes_store, settings.upload_bytes, links)
        threads = Threads(store, services, files, settings.thread_ttl_s)
        limits = RunSettings(
            settings.agent_model,
            settings.max_runs,
            settings.chat_rows,
            settings.approval_s,
            settings.lease_s,
            settings.hand_over_s,
            settings.keep.conversations,
        )
        audit = Audit(store)
        writeback = Writeback(services, registry, files, audit, STATUSES)
        usage = await stack.enter_async_context(counting(Usage(store)))
        runs = Runs(
            store,
            services,
            registry,
            files,
            threads,
            limits,
            STATUSES,
            writeback,
            usage,
            audit,
            draining or asyncio.Event(),
        )
        data = Data(registry, Grants(services), services, audit, usage)
        await stack.enter_async_context(runs.at_work())
        await stack.enter_async_context(_expiring(threads, files, usage))
        cleaner = Cleaner(store, bytes_store, settings.keep)
        await stack.enter_async_context(cleaning(cleaner, settings.keep.clean_s))
        keys = Keys(store, own_key)
        await keys.seal()
        tokens = None
        if settings.oidc.issuer:
            tokens = await stack.enter_async_context(Oidc(settings.oidc))
        callers = Callers(keys, tokens)
        await stack.enter_async_context(measuring(store))
        yield Gateway(
            settings,
            callers,
            keys,
            usage,
            registry,
            data,
            files,
            threads,
            runs,
            Feedback(store, runs.ended, audit),
            services,
            readiness=Readiness(services, store),
            diagnosis=Diagnosis(audit, allowed=settings.profiling),
        )


@asynccontextmanager
async def _expiring(threads: Threads, files: FileStore, usage: Usage) -> AsyncIterator[None]:
    """Remove what is over, beside everything else."""

    async def sweep() -> None:
        await usage.expire()
        await files.expire()
        await threads.expire()

    task = asyncio.create_task(repeating(EXPIRY_S, sweep, "expiry of threads"))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def folder(home: Path) -> Path:
    """The gateway's home, made when it is not there."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def database_url(settings: Settings) -> str:
    """Where the database is; it may hold a password."""
    if settings.database_url is not None:
        return settings.database_url.reveal()
    return f"sqlite+aiosqlite:///{settings.home / 'gateway.db'}"
