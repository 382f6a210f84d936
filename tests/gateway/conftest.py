"""A gateway among doubles and a real credential service, each on a server of its own."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest_asyncio

from isobath.connector.v1 import connector_pb2_grpc as connector_rpc
from isobath.inference.v1 import inference_pb2_grpc as inference_rpc
from isobath.sandbox.v1 import sandbox_pb2_grpc as sandbox_rpc
from servicekit.ports import free_port
from servicekit.secrets import Secret
from servicekit.server import Server
from servicekit.testing import no_leaks, open_channel, running
from services.credentials.app import mount as mount_credentials
from services.credentials.settings import Settings as CredentialSettings
from services.gateway.app import mount as mount_gateway
from services.gateway.settings import Settings
from tests.gateway.doubles import STATUSES, Connector, Models, Sandbox
from tests.gateway.truth import Truth, stream_problem

__all__ = ["no_leaks"]

KEY = "isb-of-the-tests"
CODE = "<Analyze>plan</Analyze>\n<Code>\n```python\n{}\n```\n</Code>"
ANSWER = "<Analyze>so</Analyze>\n<Answer>\n{}\n</Answer>"


@dataclass
class Platform:
    """What a test drives."""

    connector: Connector
    sandbox: Sandbox
    models: Models
    settings: Settings
    http: httpx.AsyncClient
    grpc: grpc.aio.Channel
    grpc_address: str
    # closes one server as a crash would: no drain
    stop: dict[str, Callable[[], Any]] = field(default_factory=dict)
    # holds every exchange against the OpenAPI document
    truth: Truth = field(default_factory=Truth)

    async def source(self, name: str = "shop", **more: Any) -> str:
        made = await self.http.post("/v1/data-sources", json=draft(name, **more))
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    @asynccontextmanager
    async def other(self, owner: str = "stranger", **more: Any) -> AsyncIterator[httpx.AsyncClient]:
        """Another caller, by a key of its own."""
        made = await self.http.post("/v1/keys", json={"owner": owner, **more})
        assert made.status_code == 201, made.text
        async with self.caller(made.json()["key"]) as client:
            yield client

    def caller(self, key: str) -> httpx.AsyncClient:
        """Whoever shows this key or token."""
        return httpx.AsyncClient(
            base_url=f"http://{self.settings.http_bind}",
            headers={"authorization": f"Bearer {key}"},
            timeout=30,
            trust_env=False,
            event_hooks={"response": [self.truth.hold]},
        )

    async def chat(self, *data: dict[str, Any], **more: Any) -> httpx.Response:
        return await self.http.post("/v1/chat/completions", json=question(*data, **more))

    async def stream(self, *data: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        response = await self.chat(*data, stream=True, **more)
        assert response.status_code == 200, response.text
        return chunks_of(response.text)


def draft(name: str = "shop", **more: Any) -> dict[str, Any]:
    config, secrets = {"host": "db"}, {"password": "planted-password"}
    return {"name": name, "type": "double", "config": config, "secrets": secrets, **more}


def question(*data: dict[str, Any], **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "How many?"}]
    return {"messages": messages, "data_sources": list(data), **more}


def chunks_of(text: str) -> list[dict[str, Any]]:
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert lines and lines.pop() == "[DONE]"
    said = stream_problem(text, "createChatCompletion")
    assert not said, said
    return [json.loads(line) for line in lines]


def registering(name: str, servicer: Any, add: Any) -> Any:
    @asynccontextmanager
    async def mount(server: Server, _: None) -> AsyncIterator[None]:
        server.register(name, lambda to: add(servicer, to), statuses=STATUSES)
        yield

    return mount


@asynccontextmanager
async def platform_of(
    folder: Path,
    *,
    declared: Path | None = None,
    beside: Callable[[str], tuple[Any, Any]] | None = None,
    **overrides: Any,
) -> AsyncIterator[Platform]:
    """`beside` = one more connector, from the address of the credential service."""
    connector, sandbox, models = Connector(), Sandbox(), Models()
    doubles: dict[str, tuple[Any, Any]] = {
        "connector": (connector, connector_rpc.add_ConnectorServiceServicer_to_server),
        "sandbox": (sandbox, sandbox_rpc.add_SandboxServiceServicer_to_server),
        "inference": (models, inference_rpc.add_InferenceServiceServicer_to_server),
    }
    async with AsyncExitStack() as stack:
        addresses: dict[str, str] = {}
        stop: dict[str, Callable[[], Any]] = {}

        async def start(name: str, mount: Any, settings: Any) -> None:
            own = await stack.enter_async_context(AsyncExitStack())
            server = await own.enter_async_context(running((mount, settings)))
            addresses[name] = server.address

            async def crash() -> None:
                server.hurry()
                await own.aclose()

            stop[name] = crash

        kept = CredentialSettings(home=folder / "credentials", sources_file=declared)
        await start("credentials", mount_credentials, kept)
        for name, (servicer, add) in doubles.items():
            await start(name, registering(servicer.NAME, servicer, add), None)
        connectors = [addresses["connector"]]
        if beside is not None:
            await start("beside", *beside(addresses["credentials"]))
            connectors.append(addresses["beside"])
        settings = Settings(
            home=folder / "gateway",
            http_bind=f"127.0.0.1:{free_port()}",
            api_key=Secret(KEY),
            credentials=addresses["credentials"],
            connectors=tuple(connectors),
            sandbox=overrides.pop("sandbox", (addresses["sandbox"],)),
            inference=(addresses["inference"],),
            **{"profiling": True, **overrides},
        )
        gateway = await stack.enter_async_context(running((mount_gateway, settings)))
        truth = Truth()
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://{settings.http_bind}",
                headers={"authorization": f"Bearer {KEY}"},
                timeout=30,
                trust_env=False,
                event_hooks={"response": [truth.hold]},
            )
        )
        channel = await stack.enter_async_context(open_channel(gateway, token=Secret(KEY)))
        yield Platform(
            connector, sandbox, models, settings, http, channel, gateway.address, stop, truth
        )


@pytest_asyncio.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    async with platform_of(tmp_path) as running_platform:
        yield running_platform
