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
from urllib.parse import parse_qs, parse_qsl, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from servicekit.secrets import Secret
from services.blob_connector import faults, links
from services.blob_connector.entra import Signer
from services.blob_connector.errors import BlobFault
from services.blob_connector.faults import Words
from services.blob_connector.links import ConnectFailed, Driver, Links
from services.blob_connector.retrying import LONGEST_WAIT_S, told_wait_s
from services.blob_connector.settings import Settings

VERSION = "2021-12-02"
SCOPE = "https://storage.azure.com/.default"
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


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
        place = urlsplit(url)
        lines += [f"/{self.account}{place.path}"]
        lines += [f"{name}:{value}" for name, value in sorted(parse_qsl(place.query))]
        text = "\n".join(lines)
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
        self._driver: Driver | None = None
        self._closed = False

    async def aclose(self) -> None:
        self._closed = True
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.aclose()

    async def get(self, url: str, name: str, etag: str, span: tuple[int, int]) -> memoryview:
        """`span` = offset and length. Raises `Again` where the fault may pass, else `BlobFault`."""
        offset, length = span
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "If-Match": f'"{etag}"'}
        url, headers = await self._signature.signed(url, headers)
        if self._closed:
            # what closing cut is not to be asked for again
            raise self._words.torn(name)
        try:
            answer = await self._opened(url).get(url, headers, length)
        except ConnectFailed as exc:
            raise Again(self._words.away()) from exc
        except OSError as exc:
            raise Again(self._words.torn(name)) from exc
        if answer.status != 206:
            raise self._fault(answer, name)
        if len(answer.body) != length:
            raise Again(self._words.torn(name))
        return answer.body

    def _fault(self, answer: links.Answer, name: str) -> BlobFault | Again:
        text = bytes(answer.body).decode(errors="replace")
        code = answer.headers.get("x-ms-error-code", "")
        told = faults.Answer(answer.status, code, text, answer.headers)
        fault = self._words.answered(told, name)
        wait = told_wait_s(answer.headers)
        if answer.status in _TRANSIENT and wait <= LONGEST_WAIT_S:
            return Again(fault, wait)
        return fault

    def _opened(self, url: str) -> Driver:
        if self._driver is None:
            self._driver = _driver(url, self._settings)
        return self._driver


def _driver(url: str, settings: Settings) -> Driver:
    """Proxies by HTTPS_PROXY and NO_PROXY, as the SDK has it."""
    parts = urlsplit(url)
    if parts.scheme in getproxies() and not proxy_bypass(parts.netloc):
        return _Proxied(settings)
    return Links(
        connect_s=settings.connect_timeout_s,
        stall_s=settings.read_timeout_s,
        trusted=lambda: _trusted(settings.ca_file),
    )


class _Proxied:
    """Through a proxy, by aiohttp."""

    def __init__(self, settings: Settings) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_trusted(settings.ca_file)),
            # bytes of a blob are left as they are, whatever its content encoding
            auto_decompress=False,
            read_bufsize=1024 * 1024,
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=settings.connect_timeout_s,
                sock_read=settings.read_timeout_s,
            ),
            trust_env=True,
        )

    async def aclose(self) -> None:
        await self._session.close()

    async def get(self, url: str, headers: Mapping[str, str], length: int) -> links.Answer:
        """As `Driver`."""
        try:
            async with self._session.get(
                URL(url, encoded=True), headers=headers, allow_redirects=False
            ) as answer:
                most = length + 1 if answer.status == 206 else links.FAULT_BYTES
                body = await _read(answer.content, most)
        except aiohttp.ClientConnectorError as exc:
            raise ConnectFailed(str(exc)) from exc
        except aiohttp.ClientError as exc:
            raise ConnectionError(str(exc)) from exc
        return links.Answer(answer.status, CIMultiDict(answer.headers), memoryview(body))


async def _read(content: aiohttp.StreamReader, most: int) -> bytearray:
    body = bytearray()
    while len(body) < most and (more := await content.read(most - len(body))):
        body += more
    return body
