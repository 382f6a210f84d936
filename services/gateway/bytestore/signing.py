"""How the gateway signs in to its container: connection string, key, SAS, or its own identity."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.identity.aio import ManagedIdentityCredential, WorkloadIdentityCredential
from azure.storage.blob.aio import ContainerClient, ExponentialRetry

from servicekit.secrets import Secret
from servicekit.settings import SettingsError
from services.gateway.bytestore.container import ContainerStore
from services.gateway.bytestore.place import Place
from services.gateway.bytestore.settings import FilesSettings


@asynccontextmanager
async def container(settings: FilesSettings, place: Place) -> AsyncIterator[ContainerStore]:
    """A store that was not asked yet; closed on leaving. Raises `SettingsError`."""
    async with AsyncExitStack() as stack:
        try:
            client = _client(settings, place, await _credential(settings, place, stack))
        except (ValueError, TypeError, KeyError):
            # the libraries' texts may repeat parts of a secret
            told = "FILES_URL or its credential cannot be read, or they do not belong together"
            raise SettingsError([f"{told}: copy them anew, whole"]) from None
        await stack.enter_async_context(client)
        yield ContainerStore(client, place.account, place.container)


async def _credential(settings: FilesSettings, place: Place, stack: AsyncExitStack) -> Any:
    """What the SDK signs with; None = a connection string, which says it itself."""
    if settings.account_key is not None:
        return AzureNamedKeyCredential(place.account, settings.account_key.reveal().strip())
    if settings.sas_token is not None:
        return AzureSasCredential(settings.sas_token.reveal().strip().lstrip("?"))
    if not settings.identity:
        return None
    known: dict[str, Any] = {"connection_verify": settings.ca_file or True}
    named: dict[str, Any] = {"client_id": settings.client_id} if settings.client_id else {}
    if settings.identity == "managed_identity":
        return await stack.enter_async_context(ManagedIdentityCredential(**named, **known))
    if settings.authority:
        # a host of one's own is none that Microsoft's directory of authorities knows
        known |= {"authority": settings.authority, "disable_instance_discovery": True}
    return await stack.enter_async_context(WorkloadIdentityCredential(**named, **known))


def _client(settings: FilesSettings, place: Place, credential: Any) -> ContainerClient:
    options: dict[str, Any] = {
        # the service never redirects
        "permit_redirects": False,
        "retry_policy": ExponentialRetry(
            initial_backoff=1,
            increment_base=2,
            random_jitter_range=1,
            retry_total=settings.retries,
            retry_connect=settings.retries,
            retry_read=settings.retries,
            retry_status=settings.retries,
        ),
        "connection_verify": settings.ca_file or True,
        "connection_timeout": settings.connect_timeout_s,
        "read_timeout": settings.read_timeout_s,
        # the SDK writes its stream in blocks of this size: larger ones are twice as fast
        "connection_data_block_size": 1024 * 1024,
    }
    if credential is not None:
        return ContainerClient(place.endpoint, place.container, credential=credential, **options)
    told = settings.connection_string or Secret("")
    client = ContainerClient.from_connection_string(told.reveal(), place.container, **options)
    if _endpoint(client.url) != f"{place.endpoint}/{place.container}":
        raise ValueError("the connection string is of another account than URL")
    return client


def _endpoint(url: str) -> str:
    return url.partition("?")[0].rstrip("/")
