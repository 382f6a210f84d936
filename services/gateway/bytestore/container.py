"""Bytes as blobs of one container of Azure Blob Storage.

A transient fault is asked again by the SDK's own policy. What is written is named once and never
again, so that a write whose answer was lost may simply be repeated."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from io import BytesIO
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobBlock
from azure.storage.blob.aio import BlobClient, ContainerClient

from services.gateway.bytestore.place import LARGEST_BYTES
from services.gateway.bytestore.port import Gone, Kept, Piece
from services.gateway.errors import FilesLost

BLOCK_BYTES = 4 * 1024 * 1024
assert BLOCK_BYTES * 50_000 == LARGEST_BYTES
# of one write or read at a time: so many blocks are held, and one that fills
BLOCKS_AHEAD = 2
# smaller files take one request; larger bodies hold up the loop where they are not given as streams
AT_ONCE_BYTES = 1024 * 1024
PAGE = 5000
_PROBE = ".isobath-probe"
_ROLE = (
    "give the identity the role Storage Blob Data Contributor on the container, or the SAS the "
    "rights sp=rwdl, and let the gateway's network in where the account has a firewall"
)
_CURES = {
    401: "copy the credential anew: the key may have been rotated, the SAS or the token have ended",
    403: "copy the credential anew if it was rotated or has ended; otherwise " + _ROLE,
    404: "make the container, or correct FILES_URL",
}
_IDENTITY = (
    "give the pod or machine the identity (for workload_identity a federated token file, with "
    "AZURE_CLIENT_ID and AZURE_TENANT_ID), and compare issuer, subject and audience of its "
    "federation"
)
_AADSTS = re.compile(r"AADSTS\d+")
_AWAY = "see that the account is there, and that DNS and firewall let the gateway reach it"


class ContainerStore:
    """A blob for each name, under that name. Whoever made the client closes it."""

    def __init__(self, client: ContainerClient, account: str, container: str) -> None:
        self._client = client
        self._told_as = f"container {container!r} of account {account!r}"

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        blob = self._client.get_blob_client(name)
        async with aclosing(blocks_of(chunks, BLOCK_BYTES)) as blocks:
            first = await anext(blocks, b"")
            size = len(first)
            if size <= AT_ONCE_BYTES:
                with self._told():
                    await blob.upload_blob(first, length=size, overwrite=True)
                return size
            async with _Staging(blob) as staging:
                with self._told():
                    await staging.add(first)
                async for block in blocks:
                    size += len(block)
                    with self._told():
                        await staging.add(block)
                with self._told():
                    await staging.commit()
        return size

    async def read(self, name: str, piece: Piece) -> AsyncGenerator[bytes, None]:
        blob = self._client.get_blob_client(name)
        offset, end = piece.offset, piece.offset + piece.length
        while offset < end:
            length = min(BLOCK_BYTES, end - offset)
            read = await self._range(blob, name, offset, length)
            offset += length
            yield read

    async def _range(self, blob: BlobClient, name: str, offset: int, length: int) -> bytes:
        """A request of its own, so that nothing stays open between two."""
        with self._told():
            try:
                coming = await blob.download_blob(offset, length)
                read: bytes = await coming.readall()
            except ResourceNotFoundError as exc:
                if _code(exc) == "ContainerNotFound":
                    raise
                raise Gone(name) from exc
            except HttpResponseError as exc:
                if exc.status_code == 416:
                    raise Gone(name) from exc
                raise
        if len(read) != length:
            raise Gone(name)
        return read

    async def delete(self, name: str) -> None:
        with self._told():
            try:
                await self._client.delete_blob(name, delete_snapshots="include")
            except ResourceNotFoundError as exc:
                if _code(exc) == "ContainerNotFound":
                    raise

    async def kept(self) -> AsyncGenerator[Kept, None]:
        """Blocks of writes that were cut off are not among them: the service forgets those by
        itself within a week."""
        pages: Any = self._client.list_blobs(results_per_page=PAGE).by_page()
        while True:
            with self._told():
                page = await anext(pages, None)
                found = [] if page is None else [each async for each in page]
            if page is None:
                return
            for each in found:
                yield Kept(each.name, each.size, int(each.last_modified.timestamp() * 1000))

    async def check(self) -> None:
        with self._told():
            await self._client.upload_blob(_PROBE, b"", overwrite=True)
            # that of another gateway, which starts at the same moment, may have gone with its own
            await self.delete(_PROBE)
            pages: Any = self._client.list_blobs(results_per_page=1).by_page()
            await anext(pages, None)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The SDK's errors as the gateway's own, without their text: it may hold signatures."""
        try:
            yield
        except AzureError as exc:
            raise FilesLost(f"{self._told_as} {_why(exc)}", _cure(exc)) from exc


class _Staging:
    """The blocks of one write, some of them on their way. What is left of them on leaving without
    `commit` is never seen by anybody."""

    def __init__(self, blob: BlobClient) -> None:
        self._blob = blob
        self._blocks: list[BlobBlock] = []
        self._coming: deque[asyncio.Future[Any]] = deque()

    async def __aenter__(self) -> "_Staging":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._coming:
            task.cancel()
        await asyncio.gather(*self._coming, return_exceptions=True)

    async def add(self, data: bytes) -> None:
        block = BlobBlock(f"{len(self._blocks):06d}")
        self._blocks.append(block)
        staging = self._blob.stage_block(block.id, BytesIO(data), length=len(data))
        self._coming.append(asyncio.ensure_future(staging))
        if len(self._coming) >= BLOCKS_AHEAD:
            await self._landed()

    async def _landed(self) -> None:
        await self._coming[0]
        self._coming.popleft()

    async def commit(self) -> None:
        while self._coming:
            await self._landed()
        await self._blob.commit_block_list(self._blocks)


async def blocks_of(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The same bytes in blocks of `size`; only the last is smaller, and none is empty."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        while len(waiting) >= size:
            yield bytes(memoryview(waiting)[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)


def _code(exc: HttpResponseError) -> str:
    """The service's own error code is an enumeration here and a text there."""
    code = getattr(exc, "error_code", "") or ""
    return str(getattr(code, "value", code))


def _why(exc: AzureError) -> str:
    if (code := _entra(exc)) is not None:
        return f"was not asked: the identity gets no token where the gateway runs{code}"
    if isinstance(exc, HttpResponseError) and exc.status_code:
        return f"answered {exc.status_code} {_code(exc)}".rstrip()
    return "cannot be reached"


def _cure(exc: AzureError) -> str:
    if _entra(exc) is not None:
        return _IDENTITY
    if isinstance(exc, HttpResponseError) and exc.status_code:
        return _CURES.get(exc.status_code, _AWAY)
    return _AWAY


def _entra(exc: AzureError) -> str | None:
    """Of a token that was not to be had: Microsoft Entra's code for it, where it gave one."""
    if not isinstance(exc, ClientAuthenticationError) or _code(exc):
        return None
    found = _AADSTS.search(exc.message)
    return f" ({found[0]})" if found else ""
