"""How a source signs in: connection string, account key, SAS token, or an identity of Entra."""

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.blob.aio import ContainerClient

from connectorkit.files.patterns import folder_of
from servicekit.secrets import Secret
from services.blob_connector.entra import APPLICATION, OWN, Signer, signer_of
from services.blob_connector.errors import BadConfig
from services.blob_connector.retrying import Retry
from services.blob_connector.settings import Settings

SECRETS = ("connection_string", "account_key", "sas_token", *APPLICATION)
LARGEST_RANGE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Place:
    """A container, or the part of it under `prefix`, and the kind of credential for it."""

    account: str
    container: str
    prefix: str
    way: str
    # of a SAS or a certificate: when it ends; of a SAS, when it begins and what it may
    expires_at: datetime | None = None
    starts_at: datetime | None = None
    permissions: str = ""
    signer: Signer | None = None

    @property
    def name(self) -> str:
        """As errors call it."""
        return f"container {self.container!r} of account {self.account!r}"

    @property
    def source(self) -> str:
        """What a caller may know of where it is."""
        return f"{self.account}/{self.container}"

    @property
    def identity(self) -> str:
        """The credential, as errors call it."""
        if self.signer is not None:
            return self.signer.name
        return {"sas_token": "SAS token"}.get(self.way, self.way.replace("_", " "))


def connect(
    config: Mapping[str, Any], secrets: Mapping[str, Secret], settings: Settings
) -> tuple[Place, ContainerClient]:
    """A client, not yet used, and where it leads. The caller closes it. Raises `BadConfig`."""
    way = _way(config, secrets)
    container = str(config.get("container", ""))
    if not container:
        raise BadConfig("container is missing", remedy="Set it.", field="config.container")
    signer = signer_of(way, config, secrets, settings) if way in (*APPLICATION, *OWN) else None
    url = str(config.get("account_url", ""))
    client = _client(way, signer or secrets[way], url, container, settings)
    told = _told(secrets[way]) if way in ("sas_token", "connection_string") else {}
    place = Place(
        account=client.account_name or account_of(client.url),
        container=container,
        prefix=folder_of(str(config.get("prefix", ""))),
        way=way,
        expires_at=signer.expires_at if signer else _time(told.get("se", "")),
        starts_at=_time(told.get("st", "")),
        permissions=told.get("sp", ""),
        signer=signer,
    )
    return place, client


def _way(config: Mapping[str, Any], secrets: Mapping[str, Secret]) -> str:
    ways = [way for way in SECRETS if way in secrets]
    own = str(config.get("identity", ""))
    if own and own not in OWN:
        raise BadConfig(
            f"there is no identity {own!r}",
            remedy=f"Choose one of {', '.join(OWN)}, or leave it out and set a secret.",
            field="config.identity",
        )
    if len(ways) + bool(own) != 1:
        count = "no credential" if not ways else "several credentials"
        raise BadConfig(
            f"the source has {count}",
            remedy=f"Set exactly one of {', '.join(SECRETS)}, or config.identity.",
            field="secrets",
        )
    return own or ways[0]


def _client(
    way: str, secret: Secret | Signer, url: str, container: str, settings: Settings
) -> ContainerClient:
    options = _options(settings)
    if way == "connection_string" and isinstance(secret, Secret):
        try:
            return ContainerClient.from_connection_string(secret.reveal(), container, **options)
        except (ValueError, KeyError):
            # the SDK's text may repeat parts of what was given
            raise _unread("secrets.connection_string", "the connection string") from None
    if not url:
        raise BadConfig(
            "account_url is missing",
            remedy="Set it, such as https://ACCOUNT.blob.core.windows.net.",
            field="config.account_url",
        )
    try:
        credential: Any = secret if isinstance(secret, Signer) else _credential(way, secret, url)
    except (ValueError, TypeError):
        raise _unread(f"secrets.{way}", f"the {way}") from None
    try:
        return ContainerClient(url, container, credential=credential, **options)
    except ValueError as exc:
        raise _unread("config.account_url", "account_url") from exc


def _unread(field: str, what: str) -> BadConfig:
    remedy = "Copy it anew from the storage account, whole."
    return BadConfig(f"{what} cannot be read", remedy=remedy, field=field)


def _credential(way: str, secret: Secret, url: str) -> AzureNamedKeyCredential | AzureSasCredential:
    if way == "sas_token":
        return AzureSasCredential(secret.reveal().strip().lstrip("?"))
    key = secret.reveal().strip()
    if not base64.b64decode(key, validate=True):
        raise ValueError("it is empty")
    return AzureNamedKeyCredential(account_of(url), key)


def account_of(url: str) -> str:
    """The account's name: the host's first label, or at an IP address the first folder."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host != "localhost":
            return host.split(".")[0]
    return parts.path.strip("/").split("/")[0]


def _told(secret: Secret) -> dict[str, str]:
    """The public parameters of a SAS, also of one in a connection string, or {}."""
    text = secret.reveal().strip()
    found = text.partition("SharedAccessSignature=")[2].partition(";")[0] or text
    return {name: values[0] for name, values in parse_qs(found.lstrip("?")).items()}


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        # the service never redirects, and another host is not one that was allowed
        "permit_redirects": False,
        "retry_policy": Retry(settings.retries),
        "connection_verify": settings.ca_file or True,
        "connection_timeout": settings.connect_timeout_s,
        "read_timeout": settings.read_timeout_s,
        # the SDK writes its stream in blocks of this size: larger ones are twice as fast
        "connection_data_block_size": 1024 * 1024,
        # a range is one request: the SDK's own parallel ones outlive their cancellation
        "max_single_get_size": LARGEST_RANGE_BYTES,
    }
