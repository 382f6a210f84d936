"""One container through Azure's SDK, its errors in this service's words."""

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.storage.blob import BlobBlock, BlobProperties, ContentSettings
from azure.storage.blob.aio import BlobPrefix, ContainerClient

from servicekit import logs
from services.blob_connector import errors
from services.blob_connector.identity import Place
from services.blob_connector.paths import is_deceitful
from services.blob_connector.settings import Settings

_log = logs.get(__name__)
# the credential is good, a right is missing
_FORBIDDEN = frozenset(
    {
        "AuthorizationPermissionMismatch",
        "AuthorizationResourceTypeMismatch",
        "AuthorizationServiceMismatch",
        "InsufficientAccountPermissions",
    }
)


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


@dataclass(frozen=True)
class Folder:
    """A common prefix, ending in "/"."""

    name: str


@dataclass(frozen=True)
class Listed:
    """A page of the service, and the marker of the next one; empty = the last."""

    entries: Sequence[Blob | Folder]
    marker: str


class Container:
    """Reads and writes blobs under the source's prefix."""

    def __init__(self, place: Place, client: ContainerClient, settings: Settings) -> None:
        self.place = place
        self._client = client
        self._settings = settings

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def reach(self) -> None:
        """One page of one blob: reached, authenticated, may list."""
        await self.page("", size=1)

    async def page(
        self, prefix: str, *, size: int, marker: str = "", folders: bool = True
    ) -> Listed:
        """Blobs whose name begins with `prefix`, one level of them where `folders` is set."""
        full = self.place.prefix + prefix
        with self._translated(prefix):
            if folders:
                found: Any = self._client.walk_blobs(
                    name_starts_with=full, delimiter="/", results_per_page=size
                )
            else:
                found = self._client.list_blobs(name_starts_with=full, results_per_page=size)
            pages = found.by_page(marker or None)
            async for page in pages:
                entries = [self._entry(each) async for each in page]
                # the SDK gives a page's folders first; the service keeps all in name order
                entries.sort(key=lambda entry: entry.name)
                return Listed(entries, pages.continuation_token or "")
        return Listed([], "")

    async def all(self, prefix: str) -> AsyncIterator[Blob]:
        """Every blob under a prefix, in name order, page by page."""
        marker = ""
        while True:
            page = await self.page(prefix, size=5000, marker=marker, folders=False)
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
        )

    def _relative(self, name: str) -> str:
        return name[len(self.place.prefix) :]

    async def properties(self, name: str) -> Blob:
        """One blob. Raises `BlobNotFound`."""
        self._require_honest(name)
        with self._translated(name):
            blob = self._client.get_blob_client(self.place.prefix + name)
            return self._blob(await blob.get_blob_properties())

    async def range(self, blob: Blob, offset: int, length: int) -> bytes:
        """Bytes of the blob as it was listed; again from the start of the range when torn.

        Raises `Changed` when it is another one meanwhile, `Torn` when the retries are used up.
        """
        attempt = 0
        while True:
            try:
                return await self._range(blob, offset, length)
            except (IncompleteReadError, errors.Torn, ServiceResponseError) as torn:
                attempt += 1
                if attempt > self._settings.retries:
                    raise self._torn(blob.name) from torn
                _log.warning("read_again", blob=blob.name, offset=offset, attempt=attempt)
                await asyncio.sleep(0.2 * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311

    async def _range(self, blob: Blob, offset: int, length: int) -> bytes:
        client = self._client.get_blob_client(self.place.prefix + blob.name)
        with self._translated(blob.name, torn=True):
            stream = await client.download_blob(
                offset=offset,
                length=length,
                etag=f'"{blob.etag}"',
                match_condition=MatchConditions.IfNotModified,
            )
            data = await stream.readall()
        if len(data) != length:
            raise self._torn(blob.name)
        return bytes(data)

    async def read(
        self, blob: Blob, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The blob's bytes in order, a bounded number of ranges ahead. A whole blob with an MD5 is
        held against it. Raises `Torn`, `Changed`."""
        end = blob.size_bytes if length is None else min(blob.size_bytes, offset + length)
        step = self._settings.range_bytes
        starts = iter(range(offset, end, step))
        digest = hashlib.md5(usedforsecurity=False)
        whole = bool(blob.md5) and offset == 0 and end == blob.size_bytes
        window: list[asyncio.Task[bytes]] = []
        try:
            while True:
                self._fill(window, blob, starts, end)
                if not window:
                    break
                data = await window.pop(0)
                if whole:
                    digest.update(data)
                yield data
        finally:
            for task in window:
                task.cancel()
            await asyncio.gather(*window, return_exceptions=True)
        if whole and digest.digest() != blob.md5:
            raise self._torn(blob.name)

    def _fill(
        self, window: list[asyncio.Task[bytes]], blob: Blob, starts: Iterator[int], end: int
    ) -> None:
        while len(window) < self._settings.ranges_ahead:
            start = next(starts, None)
            if start is None:
                return
            length = min(self._settings.range_bytes, end - start)
            window.append(asyncio.create_task(self.range(blob, start, length)))

    async def write(
        self, name: str, pieces: AsyncIterator[bytes], *, content_type: str, overwrite: bool
    ) -> Blob:
        """Stage blocks, and commit them at the end: nothing is visible before. Raises `Exists`."""
        self._require_honest(name)
        client = self._client.get_blob_client(self.place.prefix + name)
        blocks: list[BlobBlock] = []
        if not overwrite and await client.exists():
            raise self._exists(name)
        with self._translated(name):
            async for piece in pieces:
                block = BlobBlock(f"{len(blocks):06d}")
                await client.stage_block(block.id, piece)
                blocks.append(block)
            guard: dict[str, Any] = {} if overwrite else {"if_none_match": "*"}
            await client.commit_block_list(
                blocks, content_settings=ContentSettings(content_type=content_type or None), **guard
            )
        return await self.properties(name)

    # Errors

    def _require_honest(self, name: str) -> None:
        """Raises `BlobNotFound` for a name that could lead to another blob."""
        if is_deceitful(name):
            raise errors.BlobNotFound(
                f"{name!r} holds . or .. as a folder, or a backslash, and is not asked for",
                remedy="Name the blob by its plain path within the source.",
                path=name,
            )

    def _torn(self, name: str) -> errors.Torn:
        return errors.Torn(
            f"{name} did not arrive whole, though it was asked for several times",
            remedy="Try again; if it lasts, look at the network between here and the account.",
            path=name,
        )

    def _exists(self, name: str) -> errors.Exists:
        remedy = "Choose another name, or ask to overwrite."
        return errors.Exists(f"there is a blob {name!r} already", remedy=remedy, field="path")

    @contextmanager
    def _translated(self, name: str, *, torn: bool = False) -> Iterator[None]:
        """The SDK's errors as ours; `torn` leaves those through that a new try may heal."""
        try:
            yield
        except ResourceModifiedError as exc:
            raise errors.Changed(
                f"{name} changed while it was read", remedy="Read it again.", path=name
            ) from exc
        except ResourceExistsError as exc:
            raise self._of_conflict(exc, name) from exc
        except ResourceNotFoundError as exc:
            raise self._not_found(exc, name) from exc
        except ClientAuthenticationError as exc:
            raise self._refused(exc, name) from exc
        except HttpResponseError as exc:
            if torn and isinstance(exc, IncompleteReadError):
                raise
            raise self._of_response(exc, name) from exc
        except (ServiceRequestError, ServiceResponseError) as exc:
            if torn and isinstance(exc, ServiceResponseError):
                raise
            raise self._unreachable() from exc
        except AzureError as exc:
            raise self._unreadable_key() from exc

    def _of_conflict(self, exc: HttpResponseError, name: str) -> errors.BlobFault:
        if _code(exc) == "BlobArchived":
            return _archived(name)
        return self._exists(name)

    def _of_response(self, exc: HttpResponseError, name: str) -> errors.BlobFault:
        if _code(exc) == "BlobArchived":
            return _archived(name)
        if exc.status_code in (401, 403):
            return self._refused(exc, name)
        if exc.status_code == 412:
            return errors.Changed(f"{name} changed while it was read", path=name)
        return errors.Unreachable(
            f"{self.place.name} answered {exc.status_code} {_code(exc)}".rstrip(),
            remedy="Try again; if it lasts, look at the account's own health page.",
            host=self._client.primary_hostname or "",
        )

    def _not_found(self, exc: HttpResponseError, name: str) -> errors.BlobNotFound:
        if _code(exc) == "ContainerNotFound":
            return errors.BlobNotFound(
                f"there is no {self.place.name}",
                remedy="Correct the container in the source's settings.",
                path=name,
            )
        return errors.BlobNotFound(
            f"there is no blob {name!r} in {self.place.name}",
            remedy="Browse the source to see what is there.",
            path=name,
        )

    def _refused(self, exc: HttpResponseError, name: str) -> errors.BlobFault:
        identity = self.place.way.replace("_", " ")
        if _code(exc) in _FORBIDDEN:
            return errors.Forbidden(
                f"the {identity} may not do this in {self.place.name}",
                remedy="Give it list and read rights (a data-plane role such as Storage Blob Data "
                "Reader, or sp=rl in a SAS).",
                identity=identity,
                path=name,
            )
        return errors.AuthenticationFailed(
            f"account {self.place.account!r} refused the {identity}",
            remedy="Renew it in the source's secrets: a key may have been rotated, a SAS expired. "
            "The account's firewall gives the same answer.",
            identity=identity,
        )

    def _unreachable(self) -> errors.Unreachable:
        host = self._client.primary_hostname or ""
        return errors.Unreachable(
            f"account {self.place.account!r} cannot be reached at {host}",
            remedy="Check account_url, DNS, and the account's firewall.",
            host=host,
        )

    def _unreadable_key(self) -> errors.AuthenticationFailed:
        identity = self.place.way.replace("_", " ")
        return errors.AuthenticationFailed(
            f"the {identity} for account {self.place.account!r} cannot be used to sign",
            remedy="Copy it anew from the storage account, whole.",
            identity=identity,
        )


def _code(exc: HttpResponseError) -> str:
    """The service's own error code."""
    code = getattr(exc, "error_code", "") or ""
    return str(getattr(code, "value", code))


def _archived(name: str) -> errors.Archived:
    return errors.Archived(
        f"{name} lies in the archive tier",
        remedy="Rehydrate it first: set its tier to Hot or Cool and wait, up to 15 hours.",
        path=name,
    )
