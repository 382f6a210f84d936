"""Ranges of blobs by plain HTTP, signed as the source signs in.

A range is one GET, and the SDK's pipeline costs several times what the bytes do (ADR 0006); what it
does for a GET is little: a signature, a version, a request that is sent again.
"""

import base64
import hashlib
import hmac
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from urllib.parse import parse_qs, urlsplit

import aiohttp
from yarl import URL

from servicekit.secrets import Secret
from services.blob_connector.entra import Signer
from services.blob_connector.errors import BlobFault
from services.blob_connector.faults import Answer, Words
from services.blob_connector.retrying import LONGEST_WAIT_S, told_wait_s
from services.blob_connector.settings import Settings

VERSION = "2021-12-02"
SCOPE = "https://storage.azure.com/.default"
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_FAULT_BYTES = 16 * 1024


@dataclass(frozen=True)
class Signature:
    """What signs a request: one of a key, a SAS, or an identity of Entra; or nothing."""

    account: str = ""
    key: Secret | None = None
    sas: Secret | None = None
    signer: Signer | None = None

    async def signed(self, url: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """The address and headers to send."""
        date = format_datetime(datetime.now(UTC), usegmt=True)
        made = {**headers, "x-ms-date": date, "x-ms-version": VERSION}
        if self.sas is not None and "sig" not in parse_qs(urlsplit(url).query):
            url += ("&" if "?" in url else "?") + self.sas.reveal().strip().lstrip("?")
        elif self.signer is not None:
            made["Authorization"] = f"Bearer {(await self.signer.get_token(SCOPE)).token}"
        elif self.key is not None:
            made["Authorization"] = f"SharedKey {self.account}:{self._mac(url, made)}"
        return url, made

    def _mac(self, url: str, headers: Mapping[str, str]) -> str:
        """As "Authorize with Shared Key" (Microsoft Learn) has it, for a GET without a body."""
        assert self.key is not None
        told = sorted((name, value) for name, value in headers.items() if name.startswith("x-ms-"))
        lines = ["GET", *[""] * 7, headers["If-Match"], "", "", headers["Range"]]
        lines += [f"{name}:{value}" for name, value in told]
        text = "\n".join([*lines, f"/{self.account}{urlsplit(url).path}"])
        key = base64.b64decode(self.key.reveal().strip())
        return base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()


def signature_of(
    way: str, secrets: Mapping[str, Secret], account: str, signer: Signer | None
) -> Signature:
    """What a source's secrets sign with. A SAS in a connection string is in the clients' addresses
    already."""
    match way:
        case "account_key":
            return Signature(account, key=secrets[way])
        case "sas_token":
            return Signature(account, sas=secrets[way])
        case "connection_string":
            pairs = (each.partition("=") for each in secrets[way].reveal().split(";"))
            key = {name.strip().lower(): value for name, _, value in pairs}.get("accountkey")
            return Signature(account, key=Secret(key) if key else None)
    return Signature(account, signer=signer)


@cache
def _trusted(ca_file: str) -> ssl.SSLContext:
    """Read once: it takes as long as many ranges do."""
    return ssl.create_default_context(cafile=ca_file or None)


class Again(Exception):
    """The fault may pass: ask again after `wait_s` at least."""

    def __init__(self, fault: BlobFault, wait_s: float = 0.0) -> None:
        super().__init__(fault)
        self.fault, self.wait_s = fault, wait_s


class Ranges:
    """Connections of its own, opened by the first range; `aclose` closes them."""

    def __init__(self, signature: Signature, words: Words, settings: Settings) -> None:
        self._signature = signature
        self._words = words
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def aclose(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, url: str, name: str, etag: str, span: tuple[int, int]) -> bytes:
        """`span` = offset and length. Raises `Again` where the fault may pass, else `BlobFault`."""
        if self._closed:
            # what closing cut is not to be asked for again
            raise self._words.torn(name)
        offset, length = span
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "If-Match": f'"{etag}"'}
        url, headers = await self._signature.signed(url, headers)
        try:
            async with self._opened().get(
                URL(url, encoded=True), headers=headers, allow_redirects=False
            ) as answer:
                if answer.status != 206:
                    raise await self._fault(answer, name)
                data = await answer.read()
        except aiohttp.ClientConnectorError as exc:
            raise Again(self._words.away()) from exc
        except (TimeoutError, aiohttp.ClientError, OSError) as exc:
            raise Again(self._words.torn(name)) from exc
        if len(data) != length:
            raise Again(self._words.torn(name))
        return data

    async def _fault(self, answer: aiohttp.ClientResponse, name: str) -> BlobFault | Again:
        text = (await answer.content.read(_FAULT_BYTES)).decode(errors="replace")
        code = answer.headers.get("x-ms-error-code", "")
        fault = self._words.answered(Answer(answer.status, code, text, answer.headers), name)
        wait = told_wait_s(answer.headers)
        if answer.status in _TRANSIENT and wait <= LONGEST_WAIT_S:
            return Again(fault, wait)
        return fault

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=_trusted(self._settings.ca_file)),
                # bytes of a blob are left as they are, whatever its content encoding
                auto_decompress=False,
                read_bufsize=1024 * 1024,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=self._settings.connect_timeout_s,
                    sock_read=self._settings.read_timeout_s,
                ),
                # proxies by HTTPS_PROXY and NO_PROXY, as the SDK has it
                trust_env=True,
            )
        return self._session
