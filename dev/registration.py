"""The sample sources, registered at the gateway as any client registers them: over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from dev.azurite import Azurite
from dev.postgres import Postgres
from dev.roster import ROOT
from dev.samples.load import CONTAINER, DATABASE, Login
from servicekit.secrets import Secret

TIMEOUT_S = 60.0
HEALTHY_S = 30.0


class RegistrationFailed(RuntimeError):
    """The gateway, or a source, refused; the message is what it said."""


@dataclass(frozen=True)
class Source:
    """The body of POST /v1/data-sources."""

    name: str
    type: str
    description: str
    config: dict[str, Any]
    secrets: dict[str, Secret]

    def body(self) -> dict[str, Any]:
        revealed = {name: secret.reveal() for name, secret in self.secrets.items()}
        return {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "config": self.config,
            "secrets": revealed,
        }


def sources(postgres: Postgres, login: Login, azurite: Azurite) -> list[Source]:
    """`sales`, `lake` and `files`."""
    return [
        Source(
            name="sales",
            type="postgresql",
            description="Meridian Outdoor's shop: customers, products, orders, lines, refunds",
            config={
                "host": postgres.host,
                "port": postgres.port,
                "database": DATABASE,
                "user": login.user,
                "sslmode": "prefer",
            },
            secrets={"password": Secret(login.password)},
        ),
        Source(
            name="lake",
            type="azure_blob",
            description="Shipments (Parquet by month), web sessions (CSV), the catalogue (JSON)",
            config={
                "account_url": azurite.account_url,
                "container": CONTAINER,
                "write_prefixes": ["results/"],
            },
            secrets={"account_key": Secret(azurite.key)},
        ),
        Source(
            name="files",
            type="local_file",
            description="Targets of sales by month and region (CSV), carriers' contracts (Excel)",
            config={"root": ROOT, "writable_folders": ["results/"]},
            secrets={},
        ),
    ]


@asynccontextmanager
async def api(url: str, key: Secret) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway, closed on leaving; it takes no proxy from the environment."""
    headers = {"authorization": f"Bearer {key.reveal()}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False
    ) as client:
        yield client


async def healthy(client: httpx.AsyncClient) -> None:
    """Until the gateway answers over HTTP that it reaches all services: its gRPC health may serve a
    moment earlier. Raises RegistrationFailed with what it said last."""
    said = "no answer"
    try:
        async with asyncio.timeout(HEALTHY_S):
            while True:
                try:
                    answer = await client.get("/health")
                    if answer.is_success:
                        return
                    said = answer.text
                except httpx.TransportError as failure:
                    said = str(failure)
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise RegistrationFailed(f"the gateway is not healthy: {said}") from None


async def register(client: httpx.AsyncClient, source: Source) -> str:
    """Make the source, or give one of that name its new address and secret; try it; its id."""
    listed = _answer(await client.get("/v1/data-sources", params={"page_size": 1000}))
    known = {each["name"]: each["id"] for each in listed["data"]}
    if source.name in known:
        made = await client.patch(f"/v1/data-sources/{known[source.name]}", json=source.body())
    else:
        made = await client.post("/v1/data-sources", json=source.body())
    identifier = str(_answer(made)["id"])
    tried = _answer(await client.post(f"/v1/data-sources/{identifier}/test"))
    if not tried.get("ok", False):
        raise RegistrationFailed(f"the source {source.name} does not answer: {tried}")
    return identifier


def _answer(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise RegistrationFailed(f"{response.request.url.path}: {response.text}")
    answer: dict[str, Any] = response.json()
    return answer
