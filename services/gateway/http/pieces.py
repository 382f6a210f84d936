"""A connector's Fetch as an HTTP body: as it comes, stopped when the client goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from isobath.connector.v1 import connector_pb2 as connector

Fetched = AbstractAsyncContextManager[AsyncIterator[connector.FetchResponse]]


class Pieces(Response):
    """The bytes of one item. The status waits for the item's header, so that a fault of the source
    is an HTTP error; one that comes later tears the body."""

    def __init__(
        self, fetched: Fetched, headers: Callable[[connector.Header], Mapping[str, str]]
    ) -> None:
        super().__init__()
        self._fetched = fetched
        self._headers_of = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        async with self._fetched as events:
            async for event in events:
                kind = event.WhichOneof("event")
                if kind == "header":
                    self.init_headers(self._headers_of(event.header))
                    self.status_code = 206 if "content-range" in self.headers else 200
                    await send(self._start())
                elif kind == "piece":
                    await send(_body(event.piece, more=True))
                elif kind == "summary":
                    break
            await send(_body(b"", more=False))

    def _start(self) -> dict[str, object]:
        return {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }


def _body(data: bytes, *, more: bool) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
