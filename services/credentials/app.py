"""Opens the store and the vault, and serves."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from isobath.credentials.v1.credentials_pb2_grpc import add_CredentialServiceServicer_to_server
from servicekit.secrets import Secret
from servicekit.server import Server
from services.credentials import audit, revoking, roles, signing, store
from services.credentials.clock import Clock
from services.credentials.home import Home
from services.credentials.issuer import Issuer, Terms
from services.credentials.keys import DerivedKeys, GivenKeys, Keys, OwnKeys
from services.credentials.servicer import NAME, STATUSES, CredentialServicer, allow
from services.credentials.settings import Settings
from services.credentials.store import Store
from services.credentials.vaults import database, hashicorp
from services.credentials.vaults.database import NoRoles, Roles
from services.credentials.vaults.embedded import EmbeddedVault
from services.credentials.vaults.hashicorp import HashiCorpVault
from services.credentials.vaults.login import AppRole, GivenToken, Login, SignedIn
from services.credentials.vaults.port import Vault
from services.credentials.vaults.transit import TransitKeys


@asynccontextmanager
async def mount(server: Server, settings: Settings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        clock = Clock()
        kept = await stack.enter_async_context(store.opened(Home(settings.home), keys_of(settings)))
        issuer = await _issuer(stack, settings, kept, clock)
        trail = await audit.load(kept, clock)
        servicer = CredentialServicer(issuer, trail, settings.heartbeat_s)
        server.register(
            NAME,
            lambda to: add_CredentialServiceServicer_to_server(servicer, to),
            statuses=STATUSES,
            allow=allow(frozenset(settings.gateways), frozenset(settings.connectors)),
            endless=frozenset({"WatchRevocations"}),
        )
        yield


async def _issuer(stack: AsyncExitStack, settings: Settings, kept: Store, clock: Clock) -> Issuer:
    vault, leases = await _vault(stack, settings, kept)
    return Issuer(
        vault=vault,
        store=kept,
        keyring=await signing.load(kept, clock.now()),
        ledger=await revoking.load(kept, clock.now()),
        clock=clock,
        terms=Terms(
            lease=timedelta(seconds=settings.lease_s),
            key_lead=timedelta(seconds=settings.key_lead_s),
            roles=tuple(roles.allowed(text) for text in settings.vault_roles),
        ),
        roles=leases,
    )


def keys_of(settings: Settings) -> Keys:
    home = Home(settings.home)
    if settings.key:
        return GivenKeys(settings.key)
    if settings.passphrase:
        return DerivedKeys(home, settings.passphrase, settings.old_passphrase)
    if settings.vault_transit_key:
        mount = settings.vault_transit_mount
        return TransitKeys(home, place_of(settings), mount, settings.vault_transit_key)
    return OwnKeys(home)


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


async def _vault(stack: AsyncExitStack, settings: Settings, kept: Store) -> tuple[Vault, Roles]:
    embedded, place = settings.vault == "embedded", place_of(settings)
    if embedded and not settings.vault_roles:
        return EmbeddedVault(kept), NoRoles()
    connection = await stack.enter_async_context(hashicorp.connected(place))
    leases = await stack.enter_async_context(database.roles(connection))
    return EmbeddedVault(kept) if embedded else HashiCorpVault(connection, place), leases
