"""How a source signs in: connection string, account key, or SAS token."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.blob.aio import ContainerClient

from servicekit.secrets import Secret
from services.blob_connector.errors import BadConfig
from services.blob_connector.paths import folder_of
from services.blob_connector.settings import Settings

WAYS = ("connection_string", "account_key", "sas_token")


@dataclass(frozen=True)
class Place:
    """A container, or the part of it under `prefix`, and the kind of credential for it."""

    account: str
    container: str
    prefix: str
    way: str
    sas_expiry: str = ""

    @property
    def name(self) -> str:
        """As errors call it."""
        return f"container {self.container!r} of account {self.account!r}"


def connect(
    config: Mapping[str, Any], secrets: Mapping[str, Secret], settings: Settings
) -> tuple[Place, ContainerClient]:
    """A client, not yet used, and where it leads. The caller closes it. Raises `BadConfig`."""
    ways = [way for way in WAYS if way in secrets]
    if len(ways) != 1:
        raise BadConfig(
            "the source has no credential" if not ways else "the source has several credentials",
            remedy=f"Set exactly one of {', '.join(WAYS)}.",
            field="secrets",
        )
    secret = secrets[ways[0]]
    container, options = str(config["container"]), _options(settings)
    try:
        if ways[0] == "connection_string":
            client = ContainerClient.from_connection_string(secret.reveal(), container, **options)
        else:
            credential = _credential(ways[0], secret, config)
            client = ContainerClient(_url(config), container, credential=credential, **options)
    except ValueError as exc:
        # the SDK's text may repeat parts of what was given
        raise BadConfig(
            f"the {ways[0]} cannot be read",
            remedy="Copy it anew from the storage account, whole.",
            field=f"secrets.{ways[0]}",
        ) from exc
    expiry = _expiry(secret) if ways[0] == "sas_token" else ""
    prefix = folder_of(str(config.get("prefix", "")))
    return Place(client.account_name or "", container, prefix, ways[0], expiry), client


def _url(config: Mapping[str, Any]) -> str:
    url = str(config.get("account_url", ""))
    if not url:
        raise BadConfig(
            "account_url is missing",
            remedy="Set it, such as https://ACCOUNT.blob.core.windows.net.",
            field="config.account_url",
        )
    return url


def _credential(
    way: str, secret: Secret, config: Mapping[str, Any]
) -> AzureNamedKeyCredential | AzureSasCredential:
    if way == "sas_token":
        return AzureSasCredential(secret.reveal().lstrip("?"))
    return AzureNamedKeyCredential(account_of(_url(config)), secret.reveal())


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


def _expiry(secret: Secret) -> str:
    return parse_qs(secret.reveal().lstrip("?")).get("se", [""])[0]


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "retry_total": settings.retries,
        "initial_backoff": 0.2,
        "increment_base": 2,
        "connection_timeout": settings.connect_timeout_s,
        "read_timeout": settings.read_timeout_s,
        # the SDK writes its stream in blocks of this size: larger ones are twice as fast
        "connection_data_block_size": 1024 * 1024,
        "max_single_get_size": settings.range_bytes,
        "max_chunk_get_size": settings.range_bytes,
    }
