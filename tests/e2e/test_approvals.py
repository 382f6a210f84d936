"""A person between the model's code and a real PostgreSQL, every service its own process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from tests.e2e.conftest import Platform, start, stop
from tests.inference.model_server import ModelServer, serving

SQL = "SELECT count(*) AS n FROM public.customers"
ASKS = f"""<Analyze>count</Analyze>
<Code>
```python
print("customers:", int(sources["sales"].query("{SQL}")["n"][0]))
```
</Code>"""
ANSWERS = "<Answer>\nCounted.\n</Answer>"


@dataclass
class Turns(ModelServer):
    """Says one turn after the other."""

    turns: list[str] = field(default_factory=list)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.script = [self.turns.pop(0)]
        return await super().chat(request)

    @property
    def read(self) -> str:
        """What the model was given last."""
        return str(self.asked[-1]["messages"][-1]["content"])


@asynccontextmanager
async def asked(folder: Path) -> AsyncIterator[tuple[Platform, Turns, httpx.AsyncClient]]:
    async with serving(Turns()) as model:
        assert isinstance(model, Turns)
        platform = await asyncio.to_thread(
            start, folder / "home", ISOBATH_ENGINE="openai", ISOBATH_OPENAI_BASE_URL=model.url
        )
        try:
            headers = {"authorization": f"Bearer {platform.key}"}
            async with httpx.AsyncClient(
                base_url=platform.ready["http"], headers=headers, timeout=60
            ) as http:
                yield platform, model, http
        finally:
            await asyncio.to_thread(stop, platform)


async def begun(model: Turns, http: httpx.AsyncClient) -> str:
    model.turns = [ASKS, ANSWERS]
    body = {
        "messages": [{"role": "user", "content": "How many customers are there?"}],
        "data_sources": [{"source": "sales"}],
    }
    run = str((await http.post("/v1/runs", json=body)).raise_for_status().json()["id"])
    await stands(http, run, "waiting")
    return run


async def stands(http: httpx.AsyncClient, run: str, state: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for _ in range(600):
        answer = await http.get(f"/v1/runs/{run}")
        # the gateway may be coming up again
        told = answer.json() if answer.status_code == 200 else {}
        if told.get("status") == state:
            return told
        await asyncio.sleep(0.1)
    raise AssertionError(f"{run}: {told}, not {state}")


@pytest.mark.req("C4", "X4", "S8")
async def test_statement_of_the_model_waits_for_a_person(tmp_path: Path) -> None:
    async with asked(tmp_path) as (platform, model, http):
        guarded = {"approval": ["query"]}
        (await http.patch("/v1/data-sources/sales", json=guarded)).raise_for_status()
        run = await begun(model, http)
        address = f"/v1/runs/{run}/approvals"
        (pending,) = (await http.get(address)).json()["data"]
        assert (pending["sql"], pending["status"]) == (SQL, "pending")
        assert len(model.asked) == 1
        (await http.post(address, json={"approved": True})).raise_for_status()
        done = await stands(http, run, "completed")
        assert done["usage"]["waited_seconds"] > 0
        counted = await http.post("/v1/data-sources/sales/query", json={"sql": SQL})
        assert f"customers: {counted.json()['rows'][0][0]}" in model.read

        run = await begun(model, http)
        refusal = {"approved": False, "comment": "ask for regions only"}
        (await http.post(f"/v1/runs/{run}/approvals", json=refusal)).raise_for_status()
        await stands(http, run, "completed")
        assert "PermissionError" in model.read and "ask for regions only" in model.read

        run = await begun(model, http)
        os.kill(platform.pid("gateway"), signal.SIGKILL)
        await again(http)
        told = await stands(http, run, "interrupted")
        assert told["error"]["reason"] == "RUN_INTERRUPTED"
        (left,) = (await http.get(f"/v1/runs/{run}/approvals")).json()["data"]
        assert (left["status"], left["how"]) == ("refused", "withdrawn")
        late = await http.post(
            f"/v1/runs/{run}/approvals", json={"approved": True, "approval_id": left["id"]}
        )
        assert late.status_code == 409


async def again(http: httpx.AsyncClient) -> None:
    """Until the gateway was restarted."""
    for _ in range(600):
        try:
            if (await http.get("/health")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("the gateway did not come back")
