"""What a path stands for: one blob, or those that a glob matches."""

import re
from collections.abc import Sequence

from connectorkit.files.patterns import BadPattern, Pattern, is_pattern, pattern
from servicekit.status import InvalidField
from services.blob_connector.azure import Blob, Container
from services.blob_connector.paths import is_deceitful

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
