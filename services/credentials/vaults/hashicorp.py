"""Secrets in HashiCorp Vault, or what speaks its API: the KV engine, version 2, through hvac.

KV keeps a version of its own for each path and writes only over the one that is named
(check-and-set): https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import hvac
import requests
from hvac import exceptions as refused
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from servicekit import logs
from servicekit.limits import Limiter
from servicekit.secrets import Secret
from services.credentials.errors import (
    SecretNotFound,
    StoreDamaged,
    VaultFault,
    VaultRefused,
    VaultUnavailable,
    VersionConflict,
)
from services.credentials.vaults.login import Login
from services.credentials.vaults.port import Change, Description, Record, changed
from services.credentials.vaults.session import Session

T = TypeVar("T")
_log = logs.get(__name__)

# hvac blocks, so this many calls may run at once, each on a connection of its own.
_THREADS = 4
# Reading may be repeated; a repeated write would meet the version that it made itself.
_RETRY = Retry(
    total=3,
    backoff_factor=0.2,
    backoff_jitter=0.2,
    status_forcelist=(412, 429, 502, 503),
    allowed_methods=("GET",),
    raise_on_status=False,
)
# Two writers of one path without an expected version: the loser reads again.
_TRIES = 5
# The token is looked after at least, and at most, so often.
_LOOK_S, _PAUSE_S = 5.0, 0.05
_CERTIFICATE = "Set VAULT_CA_FILE to the authority that signed it."


@dataclass(frozen=True)
class Place:
    url: str
    login: Login
    mount: str
    folder: str
    namespace: str
    timeout_s: float
    # of the authorities that Vault's certificate is checked by; None = those of the system
    ca_file: Path | None = None


@dataclass(frozen=True)
class Connection:
    threads: Limiter
    session: Session

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """In a thread. Raises VaultFault."""
        return await self.threads.run(_translated, work, *args)


class HashiCorpVault:
    def __init__(self, connection: Connection, place: Place) -> None:
        self._run, self._session = connection.run, connection.session
        self._place = place

    async def put(self, change: Change, now: datetime) -> Description:
        return (await self._run(self._put, change, now)).description

    async def get(self, source_id: str) -> Record:
        record = await self._run(self._find, source_id)
        if record is None:
            raise SecretNotFound(source_id)
        return record

    async def describe(self, source_id: str) -> Description:
        return (await self.get(source_id)).description

    async def delete(self, source_id: str) -> bool:
        return await self._run(self._delete, source_id)

    def _put(self, change: Change, now: datetime) -> Record:
        for _ in range(_TRIES):
            held = self._find(change.source_id)
            record = changed(held, change, now)
            if record is held:
                return record
            if self._write(record):
                if held is None:
                    self._label(record)
                return record
        raise VersionConflict(change.source_id, change.expected_version, None)

    def _find(self, source_id: str) -> Record | None:
        try:
            answer = self._session.call(
                lambda client: client.secrets.kv.v2.read_secret_version(
                    path=self._path(source_id),
                    mount_point=self._place.mount,
                    raise_on_deleted_version=True,
                )
            )
        except refused.InvalidPath:
            return None
        return _record(source_id, answer["data"])

    def _write(self, record: Record) -> bool:
        """Whether the version before this one was still the last."""
        try:
            self._session.call(
                lambda client: client.secrets.kv.v2.create_or_update_secret(
                    path=self._path(record.source_id),
                    secret=_document(record),
                    cas=record.version - 1,
                    mount_point=self._place.mount,
                )
            )
        except refused.InvalidRequest as exc:
            if "check-and-set" in str(exc):
                return False
            raise
        return True

    def _label(self, record: Record) -> None:
        """For people who look at Vault without the right to read secrets; nothing here reads it."""
        labels = {"source_id": record.source_id, "owner": record.owner}
        try:
            self._session.call(
                lambda client: client.secrets.kv.v2.update_metadata(
                    path=self._path(record.source_id),
                    custom_metadata=labels,
                    mount_point=self._place.mount,
                )
            )
        except (refused.VaultError, requests.RequestException) as exc:
            # The secret is stored: a failure now would have it stored twice.
            _log.warning("vault_metadata_not_written", why=type(exc).__name__)

    def _delete(self, source_id: str) -> bool:
        there = self._find(source_id) is not None
        self._session.call(
            lambda client: client.secrets.kv.v2.delete_metadata_and_all_versions(
                path=self._path(source_id), mount_point=self._place.mount
            )
        )
        return there

    def _path(self, source_id: str) -> str:
        return f"{self._place.folder}/{source_id}"


@contextmanager
def signed_in(place: Place, clock: Callable[[], float] = time.monotonic) -> Iterator[Session]:
    """Connects with the first call."""
    with requests.Session() as http:
        adapter = HTTPAdapter(max_retries=_RETRY, pool_maxsize=_THREADS)
        http.mount("http://", adapter)
        http.mount("https://", adapter)
        # else requests would take proxies, and credentials of a .netrc, from the environment
        http.trust_env = False
        # hvac leaves a session that it is given as it is
        http.verify = str(place.ca_file) if place.ca_file else True
        yield Session(lambda: _client(place, http), place.login, clock)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[HashiCorpVault]:
    async with connected(place) as connection:
        yield HashiCorpVault(connection, place)


@asynccontextmanager
async def connected(
    place: Place, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Connection]:
    """Connects at the first call, so that this service starts without Vault too."""
    with signed_in(place, clock) as session:
        async with Limiter("credentials-vault", _THREADS) as threads:
            keeping = asyncio.create_task(_kept(session, threads), name="vault token")
            try:
                yield Connection(threads, session)
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)


def _client(place: Place, http: requests.Session) -> hvac.Client:
    client = hvac.Client(
        url=place.url,
        token="",
        namespace=place.namespace or None,
        timeout=place.timeout_s,
        verify=http.verify,
        session=http,
    )
    client.token = None  # hvac takes the environment's, or a file's, where it is given none
    return client


async def _kept(session: Session, threads: Limiter) -> None:
    while True:
        wait_s = _LOOK_S
        try:
            wait_s = min(_LOOK_S, await threads.run(session.keep))
        except (refused.VaultError, requests.RequestException, VaultFault) as exc:
            _log.warning("vault_token_not_renewed", why=type(exc).__name__)
        await asyncio.sleep(max(wait_s, _PAUSE_S))


def _translated(work: Callable[..., T], *args: Any) -> T:
    with translating():
        return work(*args)


@contextmanager
def translating() -> Iterator[None]:
    """What hvac and requests raise, as VaultFault."""
    try:
        yield
    except (refused.Forbidden, refused.Unauthorized) as exc:
        raise VaultRefused("Vault does not allow this to the credential service") from exc
    except refused.InvalidRequest as exc:
        raise VaultRefused("Vault refused the request of the credential service") from exc
    except refused.VaultDown as exc:
        raise VaultUnavailable("Vault is sealed, or not ready") from exc
    except refused.RateLimitExceeded as exc:
        raise VaultUnavailable("Vault is asked for more than its quota allows") from exc
    except refused.VaultError as exc:
        raise VaultUnavailable("Vault does not answer as it should") from exc
    except requests.exceptions.SSLError as exc:
        raise VaultRefused("Vault's certificate is not trusted", remedy=_CERTIFICATE) from exc
    except requests.RequestException as exc:
        raise VaultUnavailable("Vault cannot be reached") from exc


def _document(record: Record) -> dict[str, str]:
    """KV takes any JSON; the fields are one text, so that no name of theirs meets one of ours."""
    return {
        "source_id": record.source_id,
        "owner": record.owner,
        "updated_at": record.updated_at.isoformat(),
        "binding": record.binding,
        "fields": json.dumps({name: value.reveal() for name, value in record.fields.items()}),
    }


def _record(source_id: str, data: dict[str, Any]) -> Record:
    document, version = data["data"], data["metadata"]["version"]
    try:
        fields = json.loads(document["fields"])
        updated_at = datetime.fromisoformat(document["updated_at"])
        named, owner = document["source_id"], document["owner"]
        binding = document.get("binding", "")
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreDamaged(f"secret {source_id}") from exc
    if named != source_id:
        raise StoreDamaged(f"secret {source_id}")
    secrets = {name: Secret(value) for name, value in fields.items()}
    return Record(source_id, owner, version, secrets, updated_at, binding)
