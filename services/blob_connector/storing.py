"""One blob from the pieces of a stream."""

from collections.abc import AsyncIterator, Callable, Mapping
from mimetypes import guess_type
from typing import Any

from connectorkit.files.receiving import pieces
from grants.scope import inside
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.status import InvalidField
from services.blob_connector.azure import Container
from services.blob_connector.errors import Forbidden
from services.blob_connector.paths import MAX_NAME_CHARS, problem_of
from services.blob_connector.uploads import write


async def store(
    container: Container,
    start: pb.StoreStart,
    requests: AsyncIterator[pb.StoreRequest],
    *,
    config: Mapping[str, Any],
    max_bytes: int,
    is_gone: Callable[[], bool],
) -> pb.StoreResponse:
    """Writes what follows `start`, where `write_prefixes` of the source allow it. A caller who
    `is_gone` at the end leaves nothing: its stream may end for want of a connection. Raises
    `InvalidField`, `Forbidden`, `TooLarge`, `Exists`."""
    if problem := problem_of(start.path):
        raise InvalidField("start.path", f"{start.path!r}: {problem}")
    if len(container.place.prefix + start.path) > MAX_NAME_CHARS:
        raise InvalidField("start.path", f"with the prefix it is over {MAX_NAME_CHARS} characters")
    _require_writable(start.path, config)
    stored = await write(
        container,
        start.path,
        pieces(requests, start.path, max_bytes),
        content_type=start.content_type or guess_type(start.path)[0] or "",
        overwrite=start.overwrite,
        is_gone=is_gone,
    )
    return pb.StoreResponse(
        path=start.path, size_bytes=stored.size_bytes, etag=stored.etag, md5=stored.md5.hex()
    )


def _require_writable(path: str, config: Mapping[str, Any]) -> None:
    allowed = [str(each) for each in config.get("write_prefixes") or ()]
    if inside(path, allowed):
        return
    under = f"lies outside of {', '.join(allowed)}" if allowed else "may not be written"
    raise Forbidden(
        f"{path} {under}: write_prefixes of the source names what may be",
        remedy="Choose a path under one of them, or have write_prefixes changed.",
        path=path,
    )
