"""What the gateway's streams cost at least: `python -m bench.gateway_peers KIND PORT ENGINE`.

They send the same chunks of the same engine over the same multiplexed call, and do nothing else: no
key, no run, no events that are kept. KIND is bare (ASGI and orjson), fastapi (StreamingResponse) or
sse_starlette.
"""

import asyncio
import importlib
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from bench.gateway_engine import MODEL
from isobath.inference.v1 import inference_pb2 as pb
from services.gateway.models import Models

_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8")]


def chunk(number: int, text: str) -> bytes:
    """As the gateway's: OpenAI's chunk, with the typed event beside."""
    event = {
        "run_id": "run-0123456789abcdef01234567",
        "sequence": str(number),
        "at": f"{time.time():.6f}",
        "block_text": {"text": text},
    }
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return orjson.dumps(
        {
            "id": "chatcmpl-run-0123456789abcdef01234567",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": MODEL,
            "choices": [choice],
            "isobath": event,
        }
    )


async def chunks(models: Models, body: dict[str, Any]) -> AsyncIterator[bytes]:
    said = [pb.Message(role=pb.ROLE_USER, content=body["messages"][-1]["content"])]
    asked = pb.GenerateRequest(model=MODEL, messages=said)
    number = 0
    async for event in models.generate(asked, key="", seconds=600):
        if event.HasField("delta"):
            number += 1
            yield chunk(number, event.delta.text)


def bare(models: Models) -> Any:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            raw, more = raw + message.get("body", b""), message.get("more_body", False)

        async def told() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            async for each in chunks(models, json.loads(raw)):
                body = b"data: " + each + b"\n\n"
                await send({"type": "http.response.body", "body": body, "more_body": True})

        telling = asyncio.create_task(told())
        # the client never ends it otherwise
        while (await receive())["type"] != "http.disconnect":
            pass
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)

    return application


def fastapi(models: Models) -> Any:
    application = FastAPI()

    @application.post("/v1/chat/completions")
    async def chat(request: Request) -> StreamingResponse:
        body = await request.json()

        async def told() -> AsyncIterator[bytes]:
            async for each in chunks(models, body):
                yield b"data: " + each + b"\n\n"

        return StreamingResponse(told(), media_type="text/event-stream")

    return application


def sse_starlette(models: Models) -> Any:
    response = importlib.import_module("sse_starlette").EventSourceResponse
    application = FastAPI()

    @application.post("/v1/chat/completions")
    async def chat(request: Request) -> Any:
        body = await request.json()

        async def told() -> AsyncIterator[dict[str, Any]]:
            async for each in chunks(models, body):
                yield {"data": each.decode()}

        return response(told(), sep="\n")

    return application


KINDS = {"bare": bare, "fastapi": fastapi, "sse_starlette": sse_starlette}


async def _serve(kind: str, port: int, engine: str) -> None:
    models = Models([engine])
    application = KINDS[kind](models)
    config = uvicorn.Config(
        application, port=port, log_level="error", access_log=False, lifespan="off", backlog=2048
    )
    await uvicorn.Server(config).serve()
    await models.aclose()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
