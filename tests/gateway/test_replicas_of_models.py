"""Replicas of the inference service as processes: one is killed in the middle of its answers."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.requests import Request

from isobath.inference.v1 import inference_pb2 as pb
from servicekit.health import wait_ready
from servicekit.ports import free_port
from services.gateway.errors import ServiceLost
from services.gateway.http.listener import listening
from services.gateway.models import reaching

ROOT = Path(__file__).resolve().parents[2]


def model_server(asked: asyncio.Semaphore, go_on: asyncio.Event) -> FastAPI:
    """Speaks as a model server does, and waits: before its first word, or after it."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> StreamingResponse:
        text = (await request.json())["messages"][-1]["content"]

        async def events() -> AsyncIterator[str]:
            if "late" in text:
                asked.release()
                await go_on.wait()
            yield chunk("the first words ")
            if "late" not in text:
                asked.release()
                await go_on.wait()
            yield chunk("second", "stop")
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


def chunk(text: str, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    body = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**body, 'choices': [choice]})}\n\n"


@asynccontextmanager
async def replica(model: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    address = f"127.0.0.1:{free_port()}"
    environ = {
        "PATH": os.environ["PATH"],
        "ISOBATH_INFERENCE_SERVER_BIND": address,
        "ISOBATH_INFERENCE_ENGINE": "openai",
        "ISOBATH_INFERENCE_OPENAI_BASE_URL": model,
        "ISOBATH_INFERENCE_MODEL": "m",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.inference", cwd=ROOT, env=environ,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await wait_ready(address, 60)
        yield address, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.req("K3", "S5")
async def test_a_replica_that_is_killed_loses_only_what_it_had_begun(no_leaks: object) -> None:
    asked, go_on = asyncio.Semaphore(0), asyncio.Event()
    async with AsyncExitStack() as stack:
        served = listening(model_server(asked, go_on), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{await stack.enter_async_context(served)}/v1"
        found = [await stack.enter_async_context(replica(url)) for _ in range(2)]
        models = await stack.enter_async_context(reaching([at for at, _ in found], None, None))

        told = asyncio.Event()

        async def said(text: str) -> str:
            message = pb.Message(role=pb.ROLE_USER, content=text)
            request = pb.GenerateRequest(messages=[message])
            words = []
            async with aclosing(models.generate(request, key="one", seconds=60)) as events:
                async for event in events:
                    words.append(event.delta.text)
                    told.set()
            return "".join(words)

        begun = asyncio.create_task(said("begun"))
        late = asyncio.create_task(said("late"))
        for _ in range(2):
            await asyncio.wait_for(asked.acquire(), 30)
        # the first words of the one have come; the other has none
        await asyncio.wait_for(told.wait(), 30)
        # one thread's turns go to one replica
        listed = await models._all.listed()
        busy = next(at for at, each in listed.items() if each.answers.under_way == 2)
        dict(found)[busy].send_signal(signal.SIGKILL)
        with pytest.raises(ServiceLost) as lost:
            await begun
        assert lost.value.retry_after_s and lost.value.remedy
        go_on.set()
        assert await late == "the first words second"
