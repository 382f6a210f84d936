"""Microsoft Entra: the credential that a source names, with what may be said of it.

Tokens are kept and renewed by azure-identity, five minutes before they end (or when half of a
short life is over), and anew when the account challenges one.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Protocol
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.identity import CredentialUnavailableError
from azure.identity.aio import (
    CertificateCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate

from servicekit.secrets import Secret
from services.blob_connector.errors import AuthenticationFailed, BadConfig, Unreachable
from services.blob_connector.settings import Settings

# of an application, with a secret of the source's own
APPLICATION = ("client_secret", "client_certificate")
# of this process: whoever uses it reads with the connector's rights
OWN = ("workload_identity", "managed_identity", "default")
_AUTHORITIES = {
    ".usgovcloudapi.net": "login.microsoftonline.us",
    ".chinacloudapi.cn": "login.chinacloudapi.cn",
}
_CLOUDS = {
    "public": "login.microsoftonline.com",
    "us_government": "login.microsoftonline.us",
    "china": "login.chinacloudapi.cn",
}
_CODE = re.compile(r"AADSTS\d+")
# Microsoft Entra authentication and authorization error codes (Microsoft Learn)
_REMEDIES = {
    "AADSTS7000215": "The client secret is wrong: set its value, not its id.",
    "AADSTS7000222": "The client secret has expired: make a new one in the app registration.",
    "AADSTS700016": "There is no such application in that tenant: correct client_id or tenant_id.",
    "AADSTS700027": "The certificate is not one of the application's, or has expired: upload it "
    "to the app registration.",
    "AADSTS90002": "There is no such tenant: correct tenant_id.",
    "AADSTS900023": "There is no such tenant: correct tenant_id.",
    "AADSTS70021": "The federated credential does not fit: compare issuer, subject and audience.",
    "AADSTS700213": "The federated credential does not fit: compare issuer, subject and audience.",
    "AADSTS700024": "The token file or this machine's clock is out of date.",
    "AADSTS53003": "A conditional access policy forbids it: exempt the application.",
}
_NO_TOKEN = {
    "workload_identity": "Run the connector with a federated token file and AZURE_CLIENT_ID, "
    "AZURE_TENANT_ID set, as the workload identity webhook does.",
    "managed_identity": "Give the machine or pod that the connector runs on a managed identity, "
    "and name a user-assigned one by client_id.",
    "default": "Give the connector's process an identity, or name one: workload_identity or "
    "managed_identity.",
}


class Tokens(Protocol):
    """What this module asks of a credential of azure-identity."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken: ...
    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo: ...
    async def close(self) -> None: ...


class _Link:
    """One credential of the default chain; notes when it was the one that gave a token."""

    def __init__(self, inner: Tokens, signer: "Signer") -> None:
        self._inner = inner
        self._signer = signer

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        token = await self._inner.get_token(*scopes, **options)
        self._signer.used = _spoken(self._inner)
        return token

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        token = await self._inner.get_token_info(*scopes, options=options)
        self._signer.used = _spoken(self._inner)
        return token

    async def close(self) -> None:
        await self._inner.close()


def _spoken(credential: object) -> str:
    """ManagedIdentityCredential → managed identity."""
    words = re.findall("[A-Z][a-z]+", type(credential).__name__.removesuffix("Credential"))
    return " ".join(words).lower()


class Signer:
    """An identity of Entra as Azure's clients take it. `used` = which of the default chain gave the
    token. Its faults are this service's own; `aclose` closes its connections."""

    def __init__(self, way: str, told: str, host: str) -> None:
        self.way, self._told, self._host = way, told, host
        self.used = ""
        self.expires_at: datetime | None = None
        self.inner: Tokens

    @property
    def name(self) -> str:
        """As errors call it."""
        return f"{self._told} ({self.used})" if self.used else self._told

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        try:
            return await self.inner.get_token(*scopes, **options)
        except AzureError as exc:
            raise self._fault(exc) from exc

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        try:
            return await self.inner.get_token_info(*scopes, options=options)
        except AzureError as exc:
            raise self._fault(exc) from exc

    async def close(self) -> None:
        await self.inner.close()

    def _fault(self, exc: AzureError) -> AuthenticationFailed | Unreachable:
        """The text of the library is for the log: it names tenants and machines."""
        if isinstance(exc, CredentialUnavailableError):
            remedy = _NO_TOKEN.get(self.way, "Try again, then look at the connector's log.")
            return self._failed(f"there is no {self.name} to be had where this runs", remedy)
        if isinstance(exc, ClientAuthenticationError):
            code = found[0] if (found := _CODE.search(exc.message)) else ""
            known = f" ({code})" if code else ""
            remedy = _REMEDIES.get(code, "Check tenant_id, client_id and the credential itself.")
            return self._failed(f"Microsoft Entra refused the {self.name}{known}", remedy)
        return Unreachable(
            f"Microsoft Entra at {self._host} cannot be reached for the {self.name}",
            remedy="Let the connector reach it, or check the proxy and DNS.",
            identity=self.name,
            host=self._host,
        )

    def _failed(self, message: str, remedy: str) -> AuthenticationFailed:
        return AuthenticationFailed(message, remedy=remedy, identity=self.name, source=self._host)


@dataclass(frozen=True)
class _Wish:
    way: str
    tenant_id: str
    client_id: str
    host: str
    authority: str


def signer_of(
    way: str, config: Mapping[str, Any], secrets: Mapping[str, Secret], settings: Settings
) -> Signer:
    """Not yet used; whoever asked closes it. Raises `BadConfig`."""
    url = str(config.get("account_url", ""))
    host = urlsplit(url).hostname or ""
    if not url.lower().startswith("https://"):
        raise _bad("config.account_url", "a token is only sent over TLS", "Use an https address.")
    wish = _Wish(
        way,
        str(config.get("tenant_id", "")),
        str(config.get("client_id", "")),
        host,
        settings.authority or _authority(str(config.get("cloud", "")), host),
    )
    if way in OWN and not any(fnmatchcase(host, each) for each in settings.identity_hosts):
        raise _bad(
            "config.identity",
            f"this connector's own identity may not be used for {host}",
            "Name an application with a secret or certificate, or have the operator add the host "
            "to ISOBATH_BLOB_CONNECTOR_IDENTITY_HOSTS.",
        )
    for field in ("tenant_id", "client_id") if way in APPLICATION else ():
        if not config.get(field):
            raise _bad(f"config.{field}", f"{field} is missing", "Set it: it is in the app's page.")
    signer = Signer(way, _told(wish), wish.authority)
    try:
        signer.inner = _credential(wish, secrets, settings, signer)
    except (ValueError, TypeError):
        if way in OWN:
            message = f"there is no {signer.name} to be had where this runs"
            raise _bad("config.identity", message, _NO_TOKEN[way]) from None
        message = f"the {way.replace('_', ' ')} cannot be read"
        raise _bad(f"secrets.{way}", message, "Set it anew, whole.") from None
    return signer


def _bad(field: str, message: str, remedy: str) -> BadConfig:
    return BadConfig(message, remedy=remedy, field=field)


def _authority(cloud: str, host: str) -> str:
    if cloud:
        return _CLOUDS.get(cloud, _CLOUDS["public"])
    ending = next((each for each in _AUTHORITIES if host.endswith(each)), "")
    return _AUTHORITIES.get(ending, _CLOUDS["public"])


def _told(wish: _Wish) -> str:
    words = wish.way.replace("_", " ")
    if wish.way in APPLICATION:
        return f"{words} of application {wish.client_id}"
    if wish.way == "default":
        return "default credential"
    return f"{words} {wish.client_id}".strip()


def _credential(
    wish: _Wish, secrets: Mapping[str, Secret], settings: Settings, signer: Signer
) -> Any:
    known: dict[str, Any] = {"connection_verify": settings.ca_file or True}
    # a host of the operator's own is none that Microsoft's directory of authorities knows
    entra: dict[str, Any] = {
        "authority": wish.authority,
        "disable_instance_discovery": bool(settings.authority),
    }
    client = wish.client_id or None
    match wish.way:
        case "client_secret":
            secret = secrets[wish.way].reveal().strip()
            return ClientSecretCredential(wish.tenant_id, wish.client_id, secret, **entra, **known)
        case "client_certificate":
            data, signer.expires_at = _certificate(secrets[wish.way])
            return CertificateCredential(
                wish.tenant_id, wish.client_id, certificate_data=data, **entra, **known
            )
        case "workload_identity":
            tenant = wish.tenant_id or None
            return WorkloadIdentityCredential(tenant_id=tenant, client_id=client, **entra, **known)
        case "managed_identity":
            return ManagedIdentityCredential(client_id=client, **known)
    chain = DefaultAzureCredential(
        managed_identity_client_id=client,
        workload_identity_client_id=client,
        exclude_powershell_credential=True,
        exclude_developer_cli_credential=True,
        exclude_visual_studio_code_credential=True,
        exclude_shared_token_cache_credential=True,
        **entra,
        **known,
    )
    chain.credentials = tuple(_Link(each, signer) for each in chain.credentials)  # type: ignore[misc, arg-type]
    return chain


def _certificate(secret: Secret) -> tuple[bytes, datetime]:
    """PEM of key and certificate, or base64 of a PKCS 12 without a password; and its end."""
    text = secret.reveal().strip()
    if text.startswith("-----BEGIN"):
        found = load_pem_x509_certificate(text[text.index("-----BEGIN CERT") :].encode())
        return text.encode(), found.not_valid_after_utc
    data = base64.b64decode(text, validate=True)
    certificate = pkcs12.load_pkcs12(data, None).cert
    if certificate is None:
        raise ValueError("it holds no certificate")
    return data, certificate.certificate.not_valid_after_utc
