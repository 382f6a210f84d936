"""Data of a source as an HTTP body: rows, a streamed table, or a blob with ranges."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from starlette.responses import Response, StreamingResponse

from isobath.connector.v1 import connector_pb2 as connector
from servicekit.status import InvalidField
from services.gateway.callers import Caller
from services.gateway.gateway import Gateway
from services.gateway.http.edge import Json
from services.gateway.tables import rows_of

FORMATS = {
    "text/csv": connector.FORMAT_CSV,
    "application/vnd.apache.arrow.stream": connector.FORMAT_ARROW,
    "application/vnd.apache.parquet": connector.FORMAT_PARQUET,
}
# what a JSON answer may hold; larger results are streamed by Accept
JSON_BYTES = 64 * 1024 * 1024
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_SUFFIX = re.compile(r"bytes=-([1-9]\d*)")

Events = AsyncIterator[connector.FetchResponse]


async def table(
    gateway: Gateway, caller: Caller, source: str, request: connector.FetchRequest, accept: str
) -> Response:
    """Rows of a selection in the form that `Accept` names; JSON otherwise."""
    media_type = next((each for each in FORMATS if each in accept), "")
    if not media_type:
        return await _rows(gateway, caller, source, request)
    request.format = FORMATS[media_type]
    stack, events, _ = await _opened(gateway, caller, source, request)
    return StreamingResponse(_pieces(stack, events), media_type=media_type)


async def _rows(
    gateway: Gateway, caller: Caller, source: str, request: connector.FetchRequest
) -> Response:
    request.format = connector.FORMAT_ARROW
    if not request.limits.max_bytes:
        request.limits.max_bytes = JSON_BYTES
    began, collected = time.monotonic(), bytearray()
    summary = connector.Summary()
    async with gateway.data.fetch(caller, source, request) as events:
        async for event in events:
            collected += event.piece
            if event.HasField("summary"):
                summary = event.summary
    found = rows_of(bytes(collected))
    body = {
        **found,
        "row_count": len(found["rows"]),
        "truncated": summary.truncated,
        "truncated_by": summary.truncated_by,
        "elapsed_ms": round((time.monotonic() - began) * 1000, 1),
    }
    return Json(body)


async def unpacked(
    gateway: Gateway, caller: Caller, source: str, chosen: connector.Selection
) -> Response:
    """What one blob holds, unpacked where it is compressed."""
    request = connector.FetchRequest(selection=chosen, format=connector.FORMAT_UNPACKED)
    stack, events, header = await _opened(gateway, caller, source, request)
    media_type = header.content_type or "application/octet-stream"
    return StreamingResponse(_pieces(stack, events), media_type=media_type)


async def blob(
    gateway: Gateway, caller: Caller, source: str, chosen: connector.Selection, wanted: str
) -> Response:
    """One blob, or the range of it that `Range` names."""
    if suffix := _SUFFIX.fullmatch(wanted):
        # the last bytes: how many there are is asked first; of none, the whole is given
        size = await _size(gateway, caller, source, chosen)
        wanted = f"bytes={max(size - int(suffix[1]), 0)}-" if size else ""
    offset, length = _range(wanted)
    request = connector.FetchRequest(
        selection=chosen,
        format=connector.FORMAT_RAW,
        offset_bytes=offset,
        length_bytes=length,
    )
    stack, events, header = await _opened(gateway, caller, source, request)
    headers = {"accept-ranges": "bytes"}
    if header.etag:
        headers["etag"] = header.etag
    media_type = header.content_type or "application/octet-stream"
    if wanted:
        last = min(offset + length if length else header.size_bytes, header.size_bytes) - 1
        headers["content-range"] = f"bytes {offset}-{last}/{header.size_bytes}"
    status = 206 if wanted else 200
    return StreamingResponse(_pieces(stack, events), status, headers, media_type)


async def _size(gateway: Gateway, caller: Caller, source: str, chosen: connector.Selection) -> int:
    request = connector.FetchRequest(selection=chosen, format=connector.FORMAT_RAW, length_bytes=1)
    stack, _, header = await _opened(gateway, caller, source, request)
    async with stack:
        return header.size_bytes


def _range(wanted: str) -> tuple[int, int]:
    """Offset and length of a single range; a length of 0 goes to the end."""
    if not wanted:
        return 0, 0
    found = _RANGE.fullmatch(wanted)
    if not found or (found[2] and int(found[2]) < int(found[1])):
        raise InvalidField("range", "range must be bytes=first-last or bytes=-count")
    first = int(found[1])
    return first, int(found[2]) - first + 1 if found[2] else 0


async def _opened(
    gateway: Gateway, caller: Caller, source: str, request: connector.FetchRequest
) -> tuple[AsyncExitStack, Events, connector.Header]:
    """The events up to the header, so that a fault is a status and not a torn body."""
    async with AsyncExitStack() as stack:
        events = await stack.enter_async_context(gateway.data.fetch(caller, source, request))
        header = connector.Header()
        async for event in events:
            if event.HasField("header"):
                header = event.header
                break
        return stack.pop_all(), events, header


async def _pieces(stack: AsyncExitStack, events: Any) -> AsyncIterator[bytes]:
    async with stack:
        async for event in events:
            if event.HasField("piece"):
                yield event.piece
