"""How the HTTP side ends: told first, then closed, with what runs to its end."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from services.gateway.http.listener import Ending, listening


def application(started: asyncio.Event, finish: asyncio.Event) -> FastAPI:
    app = FastAPI()

    @app.get("/quick")
    async def quick() -> str:
        return "quick"

    @app.get("/slow")
    async def slow() -> str:
        started.set()
        await finish.wait()
        return "slow"

    return app


@pytest.mark.req("K3")
async def test_while_it_drains_connections_are_told_to_close_and_new_ones_are_taken(no_leaks):
    started, finish, ending = asyncio.Event(), asyncio.Event(), Ending(stop_s=5)
    async with (
        listening(application(started, finish), "127.0.0.1", 0, ending) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        assert "connection" not in (await client.get("/quick")).headers
        ending.draining.set()
        assert (await client.get("/quick")).headers["connection"] == "close"
        assert (await client.get("/quick")).text == '"quick"'


@pytest.mark.req("K3")
async def test_closing_takes_no_new_connection_and_lets_what_runs_end(no_leaks):
    started, finish, ending = asyncio.Event(), asyncio.Event(), Ending(stop_s=5)
    async with (
        listening(application(started, finish), "127.0.0.1", 0, ending) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        asking = asyncio.create_task(client.get("/slow"))
        await started.wait()
        ending.draining.set()
        ending.closing.set()
        async with asyncio.timeout(5):
            while await taken(port):
                await asyncio.sleep(0.01)
        finish.set()
        answer = await asking
        assert answer.text == '"slow"' and answer.headers["connection"] == "close"


async def taken(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
