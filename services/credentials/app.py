"""Opens the store and the vault, and serves."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from isobath.credentials.v1.credentials_pb2_grpc import add_CredentialServiceServicer_to_server
from servicekit.limits import Limiter
from servicekit.secrets import Secret
from servicekit.server import Server
from services.credentials import audit, revoking, roles, shared, signing, store
from services.credentials.audit import Trail
from services.credentials.clock import Clock
from services.credentials.declarations import Declarations, DeclaredVault
from services.credentials.declared import reference
from services.credentials.home import Home
from services.credentials.issuer import Issuer, Terms
from services.credentials.keys import DerivedKeys, GivenKeys, Keys, OwnKeys, Place
from services.credentials.model_key import ModelKey
from services.credentials.references import References
from services.credentials.servicer import NAME, STATUSES, CredentialServicer, allow
from services.credentials.settings import Settings
from services.credentials.store import Store
from services.credentials.vaults import database, hashicorp
from services.credentials.vaults.book import Book
from services.credentials.vaults.database import NoRoles, Roles
from services.credentials.vaults.embedded import EmbeddedVault
from services.credentials.vaults.hashicorp import Connection, HashiCorpVault
from services.credentials.vaults.login import AppRole, GivenToken, Login, SignedIn
from services.credentials.vaults.port import Vault
from services.credentials.vaults.sharing import SharedReads
from services.credentials.vaults.transit import TransitKeys


@asynccontextmanager
async def mount(
    server: Server, settings: Settings, *, environ: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """`environ`: where declared sources look for `env:NAME`."""
    async with AsyncExitStack() as stack:
        clock = Clock()
        kept = await stack.enter_async_context(_store(settings, clock))
        connection = await _connection(stack, settings)
        threads = await stack.enter_async_context(Limiter("credentials-sources", 1))
        references = References(environ or {}, connection, threads)
        declarations = Declarations(settings.sources_file, kept, references, threads)
        issuer = await _issuer(stack, settings, kept, clock, connection, declarations)
        trail = await audit.load(kept, clock)
        await _follow(stack, declarations, issuer, trail)
        key = ModelKey(reference(settings.model_key), references)
        servicer = CredentialServicer(issuer, trail, settings.heartbeat_s, declarations, key)
        server.register(
            NAME,
            lambda to: add_CredentialServiceServicer_to_server(servicer, to),
            statuses=STATUSES,
            allow=allow(
                frozenset(settings.gateways),
                frozenset(settings.connectors),
                frozenset(settings.models),
            ),
            refused=trail.refused,
            endless=frozenset({"WatchRevocations"}),
        )
        yield


def _store(settings: Settings, clock: Clock) -> AbstractAsyncContextManager[Store]:
    if settings.database_url is not None:
        return shared.opened(settings.database_url, partial(keys_of, settings), clock)
    home = Home(settings.home)
    return store.opened(home, keys_of(settings, home))


async def _connection(stack: AsyncExitStack, settings: Settings) -> Connection | None:
    if not settings.signs_in:
        return None
    return await stack.enter_async_context(hashicorp.connected(place_of(settings)))


async def _follow(
    stack: AsyncExitStack, declarations: Declarations, issuer: Issuer, trail: Trail
) -> None:
    """Raises SettingsError for a file that is wrong at the start."""

    async def revoke(source_id: str) -> None:
        facts = {"what": "source_id", "subject": source_id, "cause": "changed in the sources file"}
        async with trail.audited("revoke_grant", **facts):
            await issuer.revoke("source", source_id)

    await declarations.load(revoke)
    _beside(stack, declarations.watch(revoke), "sources file")


def _beside(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
    """Until the stack is left."""
    stack.push_async_callback(_stopped, asyncio.create_task(work, name=name))


async def _stopped(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _issuer(
    stack: AsyncExitStack,
    settings: Settings,
    kept: Store,
    clock: Clock,
    connection: Connection | None,
    declarations: Declarations,
) -> Issuer:
    leases: Roles = NoRoles()
    if connection is not None:
        leases = await stack.enter_async_context(database.roles(connection, Book(kept, clock)))
    keys = signing.Keys(kept, await signing.load(kept, clock.now()))
    ledger = await revoking.load(kept, clock.now(), clock)
    issuer = Issuer(
        vault=DeclaredVault(_vault(stack, settings, kept, connection), declarations),
        store=kept,
        keys=keys,
        ledger=ledger,
        clock=clock,
        terms=Terms(
            lease=timedelta(seconds=settings.lease_s),
            key_lead=timedelta(seconds=settings.key_lead_s),
            roles=tuple(roles.allowed(text) for text in settings.vault_roles),
        ),
        roles=leases,
    )
    _beside(stack, keys.follow(), "signing keys")
    _beside(stack, ledger.follow(), "revocations")
    return issuer


def _vault(
    stack: AsyncExitStack, settings: Settings, kept: Store, connection: Connection | None
) -> Vault:
    if settings.vault == "embedded" or connection is None:
        return EmbeddedVault(kept)
    shared = SharedReads(HashiCorpVault(connection, place_of(settings)))
    stack.push_async_callback(shared.aclose)
    return shared


def keys_of(settings: Settings, place: Place) -> Keys:
    """`place`: where salts and wrapped keys lie."""
    if settings.key:
        return GivenKeys(settings.key)
    if settings.passphrase:
        return DerivedKeys(place, settings.passphrase, settings.old_passphrase)
    if settings.vault_transit_key:
        mount = settings.vault_transit_mount
        return TransitKeys(place, place_of(settings), mount, settings.vault_transit_key)
    return OwnKeys(place)


def place_of(settings: Settings) -> hashicorp.Place:
    return hashicorp.Place(
        url=settings.vault_url,
        login=login_of(settings),
        mount=settings.vault_mount,
        folder=settings.vault_folder,
        namespace=settings.vault_namespace,
        timeout_s=settings.vault_timeout_s,
        ca_file=settings.vault_ca_file,
    )


def login_of(settings: Settings) -> Login:
    method = settings.vault_auth
    if method == "token":
        return GivenToken(settings.vault_token or Secret(""))
    mount = settings.vault_auth_mount or method
    if method == "approle":
        given = settings.vault_secret_id, settings.vault_wrapped_secret_id
        return AppRole(settings.vault_role, *given, mount)
    return SignedIn(method, settings.vault_role, settings.vault_jwt_file, mount)
