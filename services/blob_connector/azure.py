"""One container through Azure's SDK: listing, properties, ranges, and what a check needs."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from azure.storage.blob import BlobProperties
from azure.storage.blob.aio import BlobClient, BlobPrefix, ContainerClient

from servicekit import logs, tracing
from services.blob_connector import errors
from services.blob_connector.faults import Words
from services.blob_connector.identity import Place
from services.blob_connector.paths import is_deceitful
from services.blob_connector.ranges import Again, Ranges, Signature
from services.blob_connector.retrying import wait_s
from services.blob_connector.settings import Settings

_log = logs.get(__name__)
# the SDK's words for the service's own
_ASKED = {"snapshot": "snapshot", "versionid": "version_id"}
# the service's own most for one page
PAGE = 5000


@dataclass(frozen=True)
class Blob:
    """What the service says of a blob. `name` is relative to the source's prefix."""

    name: str
    size_bytes: int
    etag: str = ""
    modified_at: datetime | None = None
    content_type: str = ""
    md5: bytes = b""
    tier: str = ""
    # such as rehydrate-pending-to-hot
    archive_status: str = ""
    # gzip, where it was stored so without an ending that says it
    encoding: str = ""
    # "snapshot=…" or "versionid=…"; "" = the blob of now
    version: str = ""
    # of one that was deleted: how many days it can be had back
    deleted_days: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    # where they were asked for
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """A common prefix, ending in "/"."""

    name: str


@dataclass(frozen=True)
class Listed:
    """A page of the service, and the marker of the next one; empty = the last."""

    entries: Sequence[Blob | Folder]
    marker: str


def _place(entry: Blob | Folder) -> tuple[str, bool, str]:
    version = entry.version if isinstance(entry, Blob) else ""
    return entry.name, not version, version


def _version(found: BlobProperties) -> str:
    if found.snapshot:
        return f"snapshot={found.snapshot}"
    if found.version_id and not found.is_current_version:
        return f"versionid={found.version_id}"
    return ""


def _is_folder(found: BlobProperties | BlobPrefix) -> bool:
    """A directory of a hierarchical namespace is listed as an empty blob too."""
    metadata: Mapping[str, str] = getattr(found, "metadata", None) or {}
    return metadata.get("hdi_isfolder") == "true"


class Container:
    """Reads blobs under the source's prefix; `aclose` closes its connections."""

    def __init__(
        self, place: Place, client: ContainerClient, settings: Settings, signature: Signature
    ) -> None:
        self.place = place
        self.words = Words(place, client.primary_hostname or "")
        self._client = client
        self._ranges = Ranges(signature, self.words, settings)
        self._settings = settings

    @property
    def label(self) -> str:
        """What the log calls it."""
        return self.place.source

    async def aclose(self) -> None:
        """Close the connections."""
        await self._ranges.aclose()
        await self._client.close()
        if self.place.signer is not None:
            await self.place.signer.close()

    async def page(
        self,
        prefix: str,
        *,
        size: int,
        marker: str = "",
        folders: bool = True,
        include: Sequence[str] = (),
    ) -> Listed:
        """Blobs whose name begins with `prefix`, one level of them where `folders` is set. To
        `include`: "tags"; and of all levels "snapshots", "versions", "deleted"."""
        full = self.place.prefix + prefix
        with self.spoken(prefix):
            if folders:
                found: Any = self._client.walk_blobs(
                    name_starts_with=full,
                    delimiter="/",
                    results_per_page=size,
                    include=["metadata", *include],
                )
            else:
                found = self._client.list_blobs(
                    name_starts_with=full, results_per_page=size, include=["metadata", *include]
                )
            pages = found.by_page(marker or None)
            async for page in pages:
                entries = [self._entry(each) async for each in page if not _is_folder(each)]
                # the SDK gives a page's folders first; the service keeps all in name order
                # of one name, the oldest first and what is now last
                entries.sort(key=_place)
                return Listed(entries, pages.continuation_token or "")
        return Listed([], "")

    async def all(self, prefix: str) -> AsyncIterator[Blob]:
        """Every blob under a prefix, in name order, page by page."""
        marker = ""
        while True:
            page = await self.page(prefix, size=PAGE, marker=marker, folders=False)
            for entry in page.entries:
                if isinstance(entry, Blob):
                    yield entry
            if not page.marker:
                return
            marker = page.marker

    def _entry(self, found: BlobProperties | BlobPrefix) -> Blob | Folder:
        if isinstance(found, BlobPrefix):
            return Folder(self._relative(found.name))
        return self._blob(found)

    def _blob(self, found: BlobProperties) -> Blob:
        settings = found.content_settings
        return Blob(
            name=self._relative(found.name),
            size_bytes=found.size,
            etag=(found.etag or "").strip('"'),
            modified_at=found.last_modified,
            content_type=settings.content_type or "",
            md5=bytes(settings.content_md5 or b""),
            tier=found.blob_tier or "",
            archive_status=found.archive_status or "",
            metadata=found.metadata or {},
            tags=found.tags or {},
            encoding=settings.content_encoding or "",
            version=_version(found),
            deleted_days=(found.remaining_retention_days or 0) if found.deleted else None,
        )

    def _relative(self, name: str) -> str:
        return name[len(self.place.prefix) :]

    async def properties(self, name: str, version: str = "") -> Blob:
        """One blob, or what it was. Raises `BlobNotFound`."""
        if is_deceitful(name):
            raise self.words.deceitful(name)
        with self.spoken(name):
            client = self.client_of(name, version)
            return replace(self._blob(await client.get_blob_properties()), version=version)

    async def range(self, blob: Blob, offset: int, length: int) -> bytes:
        """As `view`, at the price of a copy."""
        return bytes(await self.view(blob, offset, length))

    async def view(self, blob: Blob, offset: int, length: int) -> memoryview:
        """Bytes of the blob as it was listed; again when torn.

        Raises `Changed` when it is another one meanwhile, `Torn` when the retries are used up.
        """
        url = self._url(blob)
        attempt = 1
        while True:
            try:
                with self._traced("GET", {"isobath.bytes": length}):
                    return await self._ranges.get(url, blob.name, blob.etag, (offset, length))
            except Again as again:
                if attempt > self._settings.retries:
                    raise again.fault from again
                _log.warning("read_again", blob=blob.name, offset=offset, attempt=attempt)
                await asyncio.sleep(max(again.wait_s, wait_s(attempt)))
                attempt += 1

    async def may_write(self) -> bool:
        """Asked without an effect: metadata for a blob that is not there are refused as forbidden
        to one who may not write, as missing to one who may."""
        if "c" in self.place.permissions:
            return True
        nowhere = self.client_of(f".isobath-{secrets.token_hex(16)}")
        try:
            with self.spoken("", writing=True):
                await nowhere.set_blob_metadata({})
        except (errors.Forbidden, errors.AuthenticationFailed):
            return False
        except errors.BlobNotFound:
            return True
        return True

    async def version(self) -> str:
        """The server's own name, learnt from a listing of one blob: reached, authenticated, may
        list."""
        seen: Mapping[str, str] = {}

        def note(response: Any) -> None:
            nonlocal seen
            seen = response.http_response.headers

        with self.spoken(""):
            found: Any = self._client.list_blobs(
                name_starts_with=self.place.prefix, results_per_page=1, raw_response_hook=note
            )
            async for page in found.by_page():
                [_ async for _ in page]
                break
        server, spoken = seen.get("Server", ""), seen.get("x-ms-version", "")
        return f"{server.replace(' Microsoft-HTTPAPI/2.0', '')} ({spoken})"

    def _url(self, blob: Blob) -> str:
        """As `client_of(name).url`, without making a client for each range."""
        place, _, query = self._client.url.partition("?")
        asked = "&".join(filter(None, (blob.version, query)))
        name = quote(self.place.prefix + blob.name, safe="~/")
        return f"{place}/{name}?{asked}" if asked else f"{place}/{name}"

    def client_of(self, name: str, version: str = "") -> BlobClient:
        """The SDK's client of one blob, sharing the connections."""
        kind, _, moment = version.partition("=")
        asked = {_ASKED[kind]: moment} if version else {}
        return self._client.get_blob_client(self.place.prefix + name, **asked)

    @contextmanager
    def spoken(self, name: str, *, writing: bool = False) -> Iterator[None]:
        """The SDK's errors as ours."""
        with self._traced("WRITE" if writing else "READ"), self.words.spoken(name, writing=writing):
            yield

    def _traced(
        self, operation: str, more: tracing.Attributes | None = None
    ) -> AbstractContextManager[tracing.Marked]:
        """A request to the service as traces show it: without a blob's name."""
        told = {
            "az.namespace": "Microsoft.Storage",
            "server.address": self._client.primary_hostname or "",
            "isobath.operation": operation,
            **(more or {}),
        }
        return tracing.leaf(f"blob {operation}", kind=tracing.CLIENT, attributes=told)
