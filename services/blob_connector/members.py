"""What a path stands for: one blob, or those that a glob matches; and how much they may weigh."""

import re
from collections.abc import Sequence

from servicekit.status import InvalidField
from services.blob_connector.azure import Blob, Container
from services.blob_connector.errors import TooLarge
from services.blob_connector.paths import BadPattern, Pattern, is_deceitful, is_pattern, pattern

MAX_MEMBERS = 10_000
_VERSION = re.compile(r"(snapshot|versionid)=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,20}Z")


async def members(container: Container, path: str, version: str = "") -> list[Blob]:
    """The blobs that a path stands for, in name order. A blob whose own name is the pattern is that
    blob alone, and with a `version` a path is a name. Raises `BlobNotFound`, `InvalidField`."""
    if not path or path.endswith("/"):
        raise InvalidField("path", "path must name a blob or a pattern, not a folder")
    if version:
        if not _VERSION.fullmatch(version):
            raise InvalidField(
                "version", "version must be one that browsing gave: snapshot=… or versionid=…"
            )
        return [await container.properties(path, version)]
    if not is_pattern(path):
        return [await container.properties(path)]
    try:
        found = await _matching(container, pattern(path))
    except BadPattern as bad:
        # it may still be a name
        found = [each async for each in container.all(path) if each.name == path]
        if not found:
            raise InvalidField("path", f"{path}: {bad}") from bad
    if not found:
        raise container.words.nothing(path)
    return found


async def _matching(container: Container, wanted: Pattern) -> list[Blob]:
    path = wanted.text
    found: list[Blob] = []
    async for blob in container.all(wanted.prefix):
        if blob.name == path:
            return [blob]
        if wanted.matches(blob.name) and not is_deceitful(blob.name):
            found.append(blob)
        if len(found) > MAX_MEMBERS:
            raise InvalidField("path", f"{path} matches more than {MAX_MEMBERS:,} blobs")
    return found


def require_online(container: Container, found: Sequence[Blob]) -> None:
    """Told before the bytes of others move. Raises `Archived`."""
    for blob in found:
        if blob.tier == "Archive":
            raise container.words.archived(blob.name, blob.archive_status)


def check_sizes(
    found: Sequence[Blob], max_blob: int, max_request: int, *, length: int | None = None
) -> None:
    """Told before bytes move; 0 = no limit. `length` = how much of the one blob is wanted. Raises
    `TooLarge`."""
    sizes = [blob.size_bytes if length is None else length for blob in found]
    for blob, size in zip(found, sizes, strict=True):
        if max_blob and size > max_blob:
            raise too_large(blob.name, size, max_blob)
    total = sum(sizes)
    if max_request and total > max_request:
        what = found[0].name if len(found) == 1 else f"{len(found)} blobs together"
        raise too_large(what, total, max_request)


def packed_too_large(name: str, limit: int) -> TooLarge:
    """Told while it is unpacked: what a compressed blob holds is not known before."""
    return TooLarge(
        f"{name}: unpacked it has more than the {limit:,} bytes that may be read",
        remedy="Fetch it as it is (raw), read it as a table, or have the limit raised.",
        path=name,
        limit_bytes=str(limit),
    )


def too_large(what: str, size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"{what}: {size:,} bytes, and the limit is {limit:,}",
        remedy="Narrow the path, ask for a part of it, or have the limit raised.",
        path=what,
        size_bytes=str(size),
        limit_bytes=str(limit),
    )
